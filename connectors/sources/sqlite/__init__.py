"""The SQLite source: a change table in the database file, fed by triggers.

    name = "shop"
    connector = "sqlite"
    dsn = "/var/lib/shop/shop.db"
    tables = ["main.*"]

The source makes the change table and the triggers itself, and makes the triggers again when a table's
columns have changed. They run within each writer's own statement and transaction: what is rolled back
leaves nothing, what is committed is recorded, whether or not the source runs. Writers need SQLite 3.38,
whose JSON functions the triggers call.
"""

"""Who may read what people cost: nobody but the owner and the members of one role.

    CREATE ROLE tallystream_cost_readers;
    GRANT tallystream_cost_readers TO controller;

The sink grants the role what is confidential, and takes it from everybody else each time it starts, also from whom
default privileges, ``GRANT ... ON ALL TABLES`` or a grant of single columns gave it. Without the role nobody else reads
it. Confidential are the tables of topics of that data class, and the views that show a cost. Of their
records that could not be processed, exceptions and `sink_dead_letter` say where they are, and not what is in them.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from connectors.sinks.warehouse.tables import warehouse
from streams.contracts.confidential import confidential_topics

COST_READERS = "tallystream_cost_readers"
CONFIDENTIAL_VIEWS = ("v_cost_of_work", "v_margin_month")

_HOLDERS = text(
    "SELECT DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END "
    "FROM pg_class, LATERAL (SELECT relacl AS grants "
    "UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = pg_class.oid) AS held, aclexplode(held.grants) AS acl "
    "WHERE pg_class.oid = to_regclass(:name) AND acl.grantee <> relowner "
    "AND (acl.grantee = 0 OR acl.grantee::regrole::text <> :readers)"
)
_READERS_LACK = text(
    "SELECT count(*) FROM pg_roles WHERE rolname = :readers "
    "AND NOT has_table_privilege(oid, to_regclass(:name), 'SELECT')"
)


def confidential() -> tuple[str, ...]:
    """Tables and views that only `COST_READERS` read."""
    secret = confidential_topics()
    tables = [load.table.name for topic, load in warehouse().loads.items() if topic in secret]
    return (*tables, *CONFIDENTIAL_VIEWS)


def keep_confidential(connection: Connection) -> None:
    """Take what is confidential from all who should not read it, and grant it to the role, if there is one."""
    for name in confidential():
        of = {"name": name, "readers": COST_READERS}
        for holder in connection.scalars(_HOLDERS, of).all():
            # With what they passed on. A % in a name is no parameter.
            connection.exec_driver_sql(f"REVOKE ALL ON {name} FROM {holder} CASCADE".replace("%", "%%"))
        if connection.scalar(_READERS_LACK, of):
            connection.exec_driver_sql(f"GRANT SELECT ON {name} TO {COST_READERS}")

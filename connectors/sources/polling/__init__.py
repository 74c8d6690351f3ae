"""The polling source: any database that SQLAlchemy speaks to, without its log.

    name = "crm"
    connector = "polling"
    dsn_env = "CRM_DSN"               # a SQLAlchemy URL
    tables = ["public.client", "public.task"]
    updated_at = "updated_at"         # or version; of every table without its own
    overlap_s = 60                    # how much later than its updated_at a row may be committed
    interval_s = 5
    compare = "keys"                  # or "rows", which finds changes that kept their updated_at too
    compare_every_s = 300             # comparisons find deletes

    [table."public.task"]
    version = "row_version"           # grows with each change of any row: not a counter of each row's own

What asking can't find out (`connectors.sources.polling.source.LIMITS`): states between two polls, rows
as they were before, when changes were committed, and which were committed together.
"""

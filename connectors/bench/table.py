"""The benchmark's table of nine columns, and the changes that are made to it. All of it is determined
by counts: each contender gets the same rows and the same statements.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import psycopg

SCHEMA, TABLE = "bench", "entry"
FULL_NAME = f"{SCHEMA}.{TABLE}"
COLUMNS = ("id", "client", "consultant", "work_date", "hours", "rate", "billable", "note", "changed")

# A transaction of the backlog: what an import of time entries looks like.
INSERTS, UPDATES, DELETES = 60, 35, 5

_CREATE = f"""
CREATE TABLE {FULL_NAME} (
    id bigint PRIMARY KEY, client text NOT NULL, consultant text NOT NULL, work_date date NOT NULL,
    hours numeric(6,2) NOT NULL, rate numeric(12,4) NOT NULL, billable boolean NOT NULL, note text,
    changed timestamptz NOT NULL)
"""
# Rows by number; every seventh has no note.
_INSERT = f"""
INSERT INTO {FULL_NAME}
SELECT i, 'client-' || i %% 500, 'consultant-' || i %% 4000, date '2024-01-01' + (i %% 700)::int,
       (i %% 96 + 1) * 0.25, 80 + i %% 9000 * 0.0125, i %% 5 <> 0,
       CASE WHEN i %% 7 <> 0 THEN 'worked on package ' || i END,
       timestamptz '2024-01-01 00:00:00Z' + i * interval '1.000001 s'
FROM generate_series(%s::bigint, %s::bigint) i
"""
_UPDATE = f"UPDATE {FULL_NAME} SET hours = hours + 0.25, note = 'corrected' WHERE id BETWEEN %s AND %s"
_DELETE = f"DELETE FROM {FULL_NAME} WHERE id BETWEEN %s AND %s"
# As the decoded messages have it: days since 1970, and ISO 8601 in UTC.
_SELECT = f"""
SELECT id, client, consultant, work_date - date '1970-01-01', hours, rate, billable, note,
       to_char(changed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM {FULL_NAME}
"""


def make_table(connection: psycopg.Connection, rows: int) -> None:
    """Make the table anew with rows 1 to ``rows``."""
    connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    connection.execute(_CREATE)
    connection.execute(_INSERT, [1, rows])
    connection.execute(f"VACUUM ANALYZE {FULL_NAME}")


def write_backlog(connection: psycopg.Connection, rows: int, changes: int) -> int:
    """Make at least ``changes`` changes to a table of ``rows`` rows, 100 a transaction; how many it were.

    Updates go round the first rows; deletes take rows that the transaction before has inserted.
    """
    made = 0
    for number in itertools.count():
        if made >= changes:
            return made
        first = rows + 1 + number * INSERTS
        update = number * UPDATES % max(rows - UPDATES, 1) + 1
        with connection.transaction():
            made += connection.execute(_INSERT, [first, first + INSERTS - 1]).rowcount
            made += connection.execute(_UPDATE, [update, update + UPDATES - 1]).rowcount
            if number:
                gone = first - INSERTS
                made += connection.execute(_DELETE, [gone, gone + DELETES - 1]).rowcount
    raise AssertionError("unreachable")


def write_paced(connection: psycopg.Connection, first: int, per_second: int, seconds: int) -> None:
    """One-row transactions from row number ``first`` on, at a steady rate: an insert, an update of it, …

    One that is late does not move those after it.
    """
    started = time.monotonic()
    for number in range(per_second * seconds):
        pause = started + number / per_second - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        row = first + number // 2
        if number % 2:
            connection.execute(_UPDATE, [row, row])
        else:
            connection.execute(_INSERT, [row, row])


def table_rows(connection: psycopg.Connection) -> Iterator[tuple[Any, ...]]:
    """The table as it is, in the values that decoded messages have."""
    yield from connection.execute(_SELECT)

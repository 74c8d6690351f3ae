"""Approved hours for payroll, by person and work date: each extract has what changed since the last one.

What was extracted stays as it was, and is not extracted again: a correction is a line of the next extract, with the
difference, negative where hours were taken back. The sum of all extracts is what is approved now, on every day up to
the last day that was asked for.

A warehouse that is loaded again from the start knows of few hours at first: the others would be taken back. An extract
is refused while the sink is behind where it was at the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from sqlalchemy import BigInteger, Column, Connection, Date, DateTime, Identity, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from streams.errors import ContractViolation, UsageError

DEFINITION = "payroll-1"

PAYROLL = MappingProxyType(
    {
        # What the next extract has: approved seconds by person and work date, less what was extracted of them.
        "v_payroll_due": """
SELECT coalesce(approved.consultant_id, extracted.consultant_id) AS consultant_id,
       coalesce(approved.day, extracted.work_date) AS work_date,
       (coalesce(approved.worked_seconds, 0) - coalesce(extracted.seconds, 0))::bigint AS seconds,
       coalesce(approved.worked_seconds, 0) AS approved_seconds
FROM (SELECT consultant_id, day, worked_seconds FROM utilization_daily WHERE NOT deleted) AS approved
FULL JOIN (
    SELECT consultant_id, work_date, sum(seconds) AS seconds FROM payroll_line GROUP BY 1, 2
) AS extracted ON extracted.consultant_id = approved.consultant_id AND extracted.work_date = approved.day
WHERE coalesce(approved.worked_seconds, 0) <> coalesce(extracted.seconds, 0)"""
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """``seconds`` more (or less) for a person's day; ``approved_seconds`` is what that makes in all."""

    consultant_id: str
    work_date: date
    seconds: int
    approved_seconds: int


@dataclass(frozen=True, slots=True)
class Extract:
    """A run of payroll: its number, when it was, the last work date it looked at (None: all)."""

    extract_id: int
    extracted_at: datetime
    until: date | None
    definition: str


def payroll_tables(metadata: MetaData) -> None:
    """The tables of extracts and of their lines."""
    Table(
        "payroll_extract",
        metadata,
        Column("extract_id", BigInteger, Identity(), primary_key=True),
        Column("extracted_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        Column("until", Date, comment="the last work date that it has lines of; null: all"),
        Column("definition", Text, nullable=False, comment="named and versioned"),
        Column(
            "positions", JSONB, comment="next offset of each partition of utilization.daily at the extract"
        ),
        comment="Runs of the payroll extract.",
    )
    Table(
        "payroll_line",
        metadata,
        Column("extract_id", BigInteger, primary_key=True, autoincrement=False),
        Column("consultant_id", Text, primary_key=True),
        Column("work_date", Date, primary_key=True),
        Column("seconds", BigInteger, nullable=False, comment="more, or less, than was extracted before"),
        Column("approved_seconds", BigInteger, nullable=False, comment="of the day in all, at the extract"),
        comment="Approved time by person and work date, as changes from one extract to the next.",
    )


_POSITIONS = """
SELECT coalesce(jsonb_object_agg(partition::text, next_offset), '{}') FROM sink_offsets
WHERE sink = 'warehouse' AND topic = 'utilization.daily'"""


def extract(
    connection: Connection, until: date | None = None, *, topic_made_anew: bool = False
) -> tuple[Extract, list[Line]]:
    """Extract what is due of work dates up to ``until``, in the connection's transaction. Two runs wait for each other.

    `ContractViolation` while the warehouse is not loaded as far as it was at the last extract; ``topic_made_anew`` says
    that its offsets began again, and that it is.

    Example: 8 h, extracted; corrected to 6 h and extracted again: a line of 28,800 s, then one of -7,200 s.
    """
    _require_schema(connection)
    connection.execute(text("LOCK TABLE payroll_extract IN EXCLUSIVE MODE"))
    _require_loaded(connection, topic_made_anew)
    run = connection.execute(
        text(
            f"INSERT INTO payroll_extract (until, definition, positions) VALUES (:until, :definition, ({_POSITIONS})) "
            "RETURNING extract_id, extracted_at, until, definition"
        ),
        {"until": until, "definition": DEFINITION},
    ).one()
    connection.execute(
        text(
            "INSERT INTO payroll_line (extract_id, consultant_id, work_date, seconds, approved_seconds) "
            "SELECT :extract, consultant_id, work_date, seconds, approved_seconds FROM v_payroll_due "
            "WHERE CAST(:until AS date) IS NULL OR work_date <= :until"
        ),
        {"extract": run.extract_id, "until": until},
    )
    return lines(connection, run.extract_id)


def lines(connection: Connection, extract_id: int) -> tuple[Extract, list[Line]]:
    """An extract of before, by person and work date; `UsageError` if there is none of that number."""
    found = [run for run in all_extracts(connection) if run.extract_id == extract_id]
    if not found:
        raise UsageError(f"no payroll extract {extract_id}; see `tallystream payroll list`")
    rows = connection.execute(
        text(
            "SELECT consultant_id, work_date, seconds, approved_seconds FROM payroll_line "
            "WHERE extract_id = :extract ORDER BY consultant_id, work_date"
        ),
        {"extract": extract_id},
    )
    return found[0], [Line(*row) for row in rows]


def all_extracts(connection: Connection) -> list[Extract]:
    """All extracts, the first one first."""
    _require_schema(connection)
    query = "SELECT extract_id, extracted_at, until, definition FROM payroll_extract ORDER BY extract_id"
    return [Extract(*row) for row in connection.execute(text(query))]


def _require_schema(connection: Connection) -> None:
    """`ContractViolation` unless the sink brought the tables and views to this version."""
    found = connection.scalar(
        text(
            "SELECT to_regclass('v_payroll_due') IS NOT NULL AND EXISTS (SELECT FROM pg_attribute "
            "WHERE attrelid = to_regclass('payroll_extract') AND attname = 'positions' AND NOT attisdropped)"
        )
    )
    if not found:
        raise ContractViolation(
            "the warehouse has no payroll of this version yet; start the warehouse sink once, with "
            "`tallystream sink run warehouse`"
        )


def _require_loaded(connection: Connection, topic_made_anew: bool) -> None:
    """`ContractViolation` if hours that were extracted may be missing only because they are not loaded."""
    is_empty = connection.scalar(
        text(
            "SELECT EXISTS (SELECT FROM payroll_line) "
            "AND NOT EXISTS (SELECT FROM utilization_daily WHERE NOT deleted)"
        )
    )
    if is_empty:
        raise ContractViolation(
            "hours were extracted and the warehouse holds none any more; run the warehouse sink until "
            "utilization.daily is loaded, then extract"
        )
    if topic_made_anew:
        return
    behind = connection.execute(
        text(
            "SELECT seen.key AS partition, seen.value AS upto, now.value AS next_offset FROM "
            "(SELECT positions FROM payroll_extract ORDER BY extract_id DESC LIMIT 1) AS last "
            "CROSS JOIN jsonb_each_text(last.positions) AS seen "
            f"LEFT JOIN jsonb_each_text(({_POSITIONS})) AS now ON now.key = seen.key "
            "WHERE now.value IS NULL OR now.value::bigint < seen.value::bigint ORDER BY seen.key LIMIT 1"
        )
    ).first()
    if behind is not None:
        raise ContractViolation(
            f"the warehouse is being loaded again: partition {behind.partition} of utilization.daily is at "
            f"{behind.next_offset or 'no offset'}, and was at {behind.upto} at the last extract; run the warehouse sink "
            "until it is there, then extract (or, if the topic was made anew and is loaded to its end, once with "
            "--topic-made-anew)"
        )

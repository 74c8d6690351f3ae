"""Messages to rows: COPY text, and the last record of each key."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sinks.warehouse import warehouse
from connectors.sinks.warehouse.copy_text import NULL, text
from connectors.sinks.warehouse.rows import RowMaker
from tests.unit.sinks.sink_builders import exception, ledger_line, message, segment

# The escapes of COPY's text format.
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def unescape(value: str) -> str:
    """Read a field as PostgreSQL does."""
    out, position = [], 0
    while position < len(value):
        if value[position] == "\\":
            out.append(_ESCAPES[value[position + 1]])
            position += 2
        else:
            out.append(value[position])
            position += 1
    return "".join(out)


def cells(maker: RowMaker, line: str) -> dict[str, str]:
    """A COPY line by column name."""
    return dict(zip(maker.columns, line.removesuffix("\n").split("\t"), strict=True))


@settings(deadline=None)  # times a busy machine, not the code
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_text_survives_copy(value: str) -> None:
    """Any text but NUL comes out as it went in, and never breaks its line or passes for null."""
    escaped = text(value)
    assert not set(escaped) & {"\t", "\n", "\r"}
    assert unescape(escaped) == value
    assert escaped != NULL


def test_values_are_written_exactly() -> None:
    """Decimals, dates, times, flags, arrays and bytes in the form PostgreSQL reads without loss."""
    maker = RowMaker(warehouse().loads["exceptions"])
    record = exception(
        amount=Decimal("12345678901234.5678"),
        missing_keys=['a"b', "c,d", "e\\f"],
        raw_value=b"\x00\xff",
        first_seen_at=datetime(2026, 3, 2, 8, 0, 0, 1, UTC),
    )
    row = cells(maker, maker.rows([message("exceptions", 0, record)]).text)
    assert row["amount"] == "12345678901234.5678"
    assert unescape(row["missing_keys"]) == r'{"a\"b","c,d","e\\f"}'
    assert unescape(row["raw_value"]) == r"\x00ff"
    assert row["first_seen_at"] == "2026-03-02T08:00:00.000001+00:00"
    assert row["resolved_at"] == NULL
    segments = RowMaker(warehouse().loads["billing.current"])
    row = cells(segments, segments.rows([message("billing.current", 0, segment(1, deleted=True))]).text)
    assert (row["deleted"], row["snapshot"], row["work_date"]) == ("t", "f", date(2026, 3, 2).isoformat())


def test_a_value_of_another_type_is_refused_alone() -> None:
    """A record whose writer had another type for a field is set aside, its neighbours are loaded."""
    maker = RowMaker(warehouse().loads["billing.events"])
    odd: dict[str, Any] = ledger_line(2, work_date=20514)
    nul = ledger_line(3, currency="E\0R")
    rows = maker.rows([message("billing.events", i, r) for i, r in enumerate([ledger_line(1), odd, nul])])
    assert rows.count == 1
    assert [m.offset for m in rows.refused] == [1, 2]
    assert {type(m.error).__name__ for m in rows.refused} == {"InvalidValue"}


@settings(deadline=None)  # times a busy machine, not the code
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=30))
def test_the_last_of_the_highest_revision_wins(changes: list[tuple[int, int]]) -> None:
    """Of each key one row remains: the last in topic order among those of the highest revision."""
    maker = RowMaker(warehouse().loads["billing.current"])
    messages = [
        message("billing.current", offset, segment(number, revision, seconds=offset))
        for offset, (number, revision) in enumerate(changes)
    ]
    rows = maker.rows(messages)
    expected: dict[str, tuple[int, int]] = {}
    for offset, (number, revision) in enumerate(changes):
        key = f"time:{number}"
        if key not in expected or expected[key][0] <= revision:
            expected[key] = (revision, offset)
    found = [cells(maker, line) for line in rows.text.splitlines()]
    assert {row["entry_id"]: (int(row["revision"]), int(row["seconds"])) for row in found} == expected
    assert rows.count == len(expected)
    assert rows.count + rows.stale == len(changes)


def test_ledger_lines_are_never_folded() -> None:
    """Appended rows stay apart, even of one entry: the database skips what it has."""
    maker = RowMaker(warehouse().loads["billing.events"])
    assert maker.rows([message("billing.events", i, ledger_line(1)) for i in range(2)]).count == 2

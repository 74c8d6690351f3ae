"""Where a difference comes from: source rows, what was seen of them, ledger lines; and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.proof.differences import Difference
from connectors.proof.oracle import load_oracle

# A month of a busy consultant has more entries than anybody reads.
MOST_SOURCES: Final = 100
# Of which checks the key is a fold's, with root and entry in it.
OF_FOLDS: Final = ("ledger", "current")

_LINE_FACTS: Final = (
    *("engagement_id", "revenue_method", "fee", "planned_seconds", "starts_on", "ends_on", "expires_on"),
)
_EXPENSE_FACTS: Final = (
    *("project_id", "consultant_id", "incurred_on", "amount", "currency", "tax_basis", "tax_amount"),
    *("markup", "cap_scope", "status", "version", "approved_at", "approved_by"),
)
# ``<root>:<entry>:<what it is about>``; that of a cap, ``<root>:<what>:<contract line>``, names no entry.
_SUBJECT: Final = re.compile(
    r"[^:]+:[^:]+:(?!over-cap:|below-billed:)(?P<entry>day:.+:\d{4}-\d\d-\d\d|[^:]+:[^:]+):"
)
_LOT_FACTS: Final = ("contract_line_id", "seconds", "fee", "starts_on", "expires_on")
_REVISION_FACTS: Final = (
    *("contract_line_id", "fee", "planned_seconds", "ends_on", "effective_on", "decided_at"),
)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source database as the oracle read it; without facts it is not there, or not valid."""

    system: str
    table: str
    id: str  # native
    facts: Mapping[str, Any]

    @property
    def canonical_id(self) -> str:
        """``<system>:<native id>``."""
        return f"{self.system}:{self.id}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A fold: one segment of an entry in one bucket."""

    root: str
    segment: str
    bucket: str
    line: str | None
    month: str | None
    seconds: int
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Place in the log of a source."""

    system: str
    epoch: int
    lsn: int
    ordinal: int

    def __str__(self) -> str:
        lsn = f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"  # as PostgreSQL writes it
        return f"{self.system} epoch {self.epoch} lsn {lsn} ordinal {self.ordinal}"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the ledger with the change that caused it."""

    event_id: str
    kind: str
    bucket: str
    seconds: int
    amount: Decimal | None
    currency: str | None
    position: Position


@dataclass(frozen=True, slots=True)
class Captured:
    """The latest canonical record of a source row, and in which fields it is not what the row says now."""

    position: Position
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """All about one difference.

    ``captured`` is by canonical id, for what was looked up. ``unlike`` are the events of which the warehouse
    says something else than the topic.
    """

    difference: Difference
    entry: str | None
    sources: tuple[SourceRow, ...]
    expected: tuple[Segment, ...]
    found: tuple[Segment, ...]
    lines: tuple[LedgerLine, ...]
    unlike: tuple[str, ...]
    captured: Mapping[str, Captured | None]
    advice: str


def entry_of(difference: Difference) -> str | None:
    """The entry that a difference is about; None for utilization and revenue, and for an event that is there twice."""
    check, key = difference.place.check, difference.place.key
    if check in OF_FOLDS or check == "drafts":
        return str(getattr(key, "entry"))  # noqa: B009  a named tuple of the oracle
    if check == "incidents":
        found = _SUBJECT.match(str(key[0]))
        return None if found is None else found["entry"]
    return str(key[0]) if check in ("conservation", "parked", "refused") else None


def roots_of(entry: str, *folds: Mapping[Any, Any]) -> list[str]:
    """All roots that an entry has lines on."""
    return sorted({key.root for of_side in folds for key in of_side if key.entry == entry})


def segments_of(entry: str | None, folds: Mapping[Any, Any]) -> tuple[Segment, ...]:
    """An entry's segments that are not nothing, in order."""
    found = [
        Segment(
            key.root, key.segment, key.bucket, key.line, key.month, fold.seconds, fold.amount, key.currency
        )
        for key, fold in folds.items()
        if key.entry == entry and not fold.is_nothing
    ]
    return tuple(sorted(found, key=lambda s: (s.root, s.segment, s.bucket, s.month or "")))


def sources_of(difference: Difference, rows: Any) -> tuple[SourceRow, ...]:
    """The source rows that a difference is computed from, the entries on the days for utilization, the contract
    line with its plans for revenue."""
    if difference.place.check == "revenue":
        return _terms(difference.place.key[1], rows)
    entry = entry_of(difference)
    if entry is None:
        return _entries_of_person(difference, rows)
    if entry.startswith("day:"):
        found = [
            row
            for row in rows.time_entries.values()
            if entry.startswith(f"day:{row.consultant_id}:") and entry.endswith(f":{row.work_date}")
        ]
        return tuple(_time_entry(row) for row in found[:MOST_SOURCES])
    if entry in rows.milestones:
        row = rows.milestones[entry]
        facts = {"amount": row.amount, "status": row.status, "accepted_on": row.accepted_on}
        return (SourceRow(*_native(entry, "milestone"), facts),)
    if entry in rows.expenses:
        row = rows.expenses[entry]
        facts = {name: getattr(row, name) for name in _EXPENSE_FACTS}
        return (SourceRow(*_native(entry, "expense"), facts),)
    if entry in rows.time_entries:
        return (_time_entry(rows.time_entries[entry]),)
    table = "time_entry" if entry.startswith("time:") else "milestone"
    return (SourceRow(*_native(entry, table), {}),)


def captured_of(source: SourceRow, record: Mapping[str, Any] | None) -> Captured | None:
    """How a row's latest canonical record compares with the row; None if there is no record."""
    if record is None:
        return None
    if record["deleted"]:
        stale: tuple[str, ...] = ("deleted",) if source.facts else ()
    elif not source.facts:
        stale = ("deleted",)
    else:
        stale = tuple(name for name, value in source.facts.items() if record.get(name) != value)
    return Captured(position_of(record), stale)


def position_of(record: Mapping[str, Any]) -> Position:
    """The source position that a record carries."""
    return Position(
        record["source_system"], record["source_epoch"], record["source_lsn"], record["source_ordinal"]
    )


def ledger_line(record: Mapping[str, Any]) -> LedgerLine:
    """A ledger record or row of the warehouse, as far as it matters here."""
    return LedgerLine(
        record["event_id"],
        record["kind"],
        record["bucket"],
        record["seconds"],
        record["amount"],
        record["currency"],
        position_of(record),
    )


def unlike(warehouse: Collection[LedgerLine], topic: Collection[LedgerLine]) -> tuple[str, ...]:
    """Events that one of the two does not have, or has otherwise."""
    return tuple(sorted({line.event_id for line in {*warehouse} ^ {*topic}}))


def advise(
    difference: Difference,
    sources: Sequence[SourceRow],
    captured: Mapping[str, Captured | None],
    rows: Any,
    expected: Any,
    actual: Any,
    actions: Mapping[str, str],
    *,
    other_side_agrees: bool,
    stayed: bool,
) -> str:
    """What to do next, in a sentence or two; the first cause that fits.

    ``actions`` are remedies by exception class. ``stayed`` is whether it was waited for.
    """
    again = "run this again" if stayed else "run this again with a longer --wait"
    quarantined = {q.id: q.reason for q in rows.quarantined}
    for source in sources:
        seen = captured.get(source.canonical_id)
        where = f"{source.system}.{source.table} {source.id}"
        if source.canonical_id in quarantined:
            return f"{where} breaks a rule ({quarantined[source.canonical_id]}): {_action(actions, 'INVALID_VALUE')}"
        if seen is not None and seen.stale:
            fields = ", ".join(seen.stale)
            return (
                f"still in flight: the last captured state of {where} ({seen.position}) differs from the row in "
                f"{fields}; see that source {source.system} and a worker run, wait, and {again}"
            )
        if source.canonical_id in captured and seen is None and source.facts:
            return (
                f"still in flight: {where} is not captured yet; see that source {source.system} and a worker "
                f"run, wait, and {again}"
            )
    entry = entry_of(difference)
    why = expected.parked.get(entry)
    held = None if actual.current is None else actual.current.parked.get(entry)
    if held is not None and held != why:
        return _parked("the system parks it", held, actions)
    if why is not None and why != held and actual.current is not None:
        return _parked("the oracle parks it", why, actions)
    if difference.place.side == "warehouse" and other_side_agrees:
        return (
            "the topics agree with the oracle here, only the warehouse does not: see that its sink runs and has "
            "caught up; if it has, the row was changed in the warehouse: delete it, stop the sink, "
            "`tallystream sink reset warehouse`, and start it again"
        )
    if not stayed:
        return f"it may be in flight: {again}"
    return (
        "it stayed the same while it was waited for, and the source rows above are captured: a row that it depends "
        "on (contract, rate, invoice line) may be delayed; if all sources have caught up, it is a fault: keep these "
        "event ids"
    )


def _parked(who: str, parked: Any, actions: Mapping[str, str]) -> str:
    keys = ", ".join(parked.missing_keys)
    action = _action(actions, parked.exception_class)
    return f"{who} as {parked.exception_class}" + (f" ({keys})" if keys else "") + f": {action}"


def _action(actions: Mapping[str, str], exception_class: str) -> str:
    return actions.get(exception_class, "see the exception's message")


def _entries_of_person(difference: Difference, rows: Any) -> tuple[SourceRow, ...]:
    check, key = difference.place.check, difference.place.key
    if check not in ("daily", "windows", "groups", "plans"):
        return ()
    starts_on, window = key[-1], key[-2]
    if check == "daily":
        ends_on = starts_on + timedelta(days=1)
    elif check == "plans" or window == "week":
        ends_on = starts_on + timedelta(days=7)
    else:
        longest = timedelta(days=93 if window == "quarter" else 31)
        ends_on = (starts_on + longest).replace(day=1)
    found = [
        row
        for row in rows.time_entries.values()
        if starts_on <= row.work_date < ends_on and _is_of(row, check, key, rows)
    ]
    return tuple(_time_entry(row) for row in sorted(found, key=lambda row: str(row.id))[:MOST_SOURCES])


def _is_of(row: Any, check: str, key: tuple[Any, ...], rows: Any) -> bool:
    """Whether an entry is in a day, a window, or the window of a group."""
    if check != "groups":
        return bool(row.consultant_id == str(key[0]))
    dimension, value = key[:2]
    person = load_oracle().consultant_on(row.consultant_id, row.work_date, rows)
    return dimension == "firm" or getattr(person, str(dimension), None) == str(value)


def _terms(line_id: str, rows: Any) -> tuple[SourceRow, ...]:
    """A contract line, its lots, and the decisions that planned it anew."""
    line = rows.contract_lines.get(line_id)
    facts = {} if line is None else {name: getattr(line, name) for name in _LINE_FACTS}
    found = [SourceRow(*_native(line_id, "contract_line"), facts)]
    for lot in rows.prepaid_lots.values():
        if lot.contract_line_id == line_id:
            facts = {name: getattr(lot, name) for name in _LOT_FACTS}
            found.append(SourceRow(*_native(lot.id, "prepaid_lot"), facts))
    for revision in rows.plan_revisions.values():
        if revision.contract_line_id == line_id:
            facts = {name: getattr(revision, name) for name in _REVISION_FACTS}
            found.append(SourceRow(*_native(revision.id, "plan_revision"), facts))
    return tuple(found)


def _time_entry(row: Any) -> SourceRow:
    names = ("consultant_id", "project_id", "task_id", "work_date", "seconds", "kind", "status", "version")
    return SourceRow(*_native(row.id, "time_entry"), {name: getattr(row, name) for name in names})


def _native(canonical_id: str, table: str) -> tuple[str, str, str]:
    system, _, native = canonical_id.partition(":")
    return system, table, native


def looked_up(sources: Collection[SourceRow]) -> dict[str, list[str]]:
    """Canonical ids by table."""
    ids: dict[str, list[str]] = {}
    for source in sources:
        ids.setdefault(source.table, []).append(source.canonical_id)
    return ids

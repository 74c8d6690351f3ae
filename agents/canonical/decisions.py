"""What to do with one record of a change topic: the whole canonical flow, as values.

    tombstone, message (op m), table ignored on purpose   skip
    truncate (op t)                                       exception UNMAPPED on the table
    table without a mapping                               exception UNMAPPED on the table
    a later change of the same transaction and key        skip (ownership is judged all the same)
    position not after the stored one                     skip as duplicate, unless the mapping is newer
    delete                                                publish deleted, clear the row's exceptions
    row breaks its mapping                                publish deleted, raise INVALID_VALUE or SCHEMA
    else                                                  publish, clear an exception that was raised

A truncate does not say which rows went, so nothing is withdrawn on a guess: the exception asks for a new
snapshot, whose comparison finds them.

An observed column that another system owns is judged change by change, also inside a transaction, since
the last state's ``before`` is only the transaction's previous step. It is reported on the subject
``<id>#<field>`` and never merged; deleting the row clears it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from agents.canonical.envelopes import Headers, is_last_for_key, notes, times_of
from agents.canonical.mapping import (
    OWNERSHIP,
    UNMAPPED,
    IgnoredTable,
    MappedChange,
    Quarantine,
    Record,
    SystemMapping,
    TableMapping,
    map_change,
    violations,
)
from agents.canonical.positions import POSITION_HEADER, Position, position_of
from agents.canonical.rows import RowState
from streams.errors import RecordError

FLOW: Final = "canonical"


class Action(Enum):
    """What became of the record, for counters; what to do follows from the other fields."""

    PUBLISH = "publish"
    DELETE = "delete"
    QUARANTINE = "quarantine"
    REFUSE = "refuse"
    """No row it could be about: an exception, and nothing to remember."""
    SKIP_TOMBSTONE = "tombstone"
    SKIP_MESSAGE = "message"
    SKIP_IGNORED = "ignored"
    SKIP_SUPERSEDED = "superseded"
    SKIP_DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the lane does, in one transaction.

    ``records`` are of ``canonical.<entity>``; two where a row moved to another route: its deletion where
    it was, then its content where it is. ``reports`` are of ``exceptions.raised``, without the raw bytes,
    which the lane has. ``state`` is to be stored under the row's `identify`; None leaves it.
    """

    action: Action
    entity: str | None = None
    records: tuple[Record, ...] = ()
    reports: tuple[Record, ...] = ()
    state: RowState | None = None


def identify(mapping: SystemMapping, change: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """(entity, canonical id) of a change, under which its `RowState` is kept; None if it has no row."""
    if change is None:
        return None
    table = mapping.table_of(change["source"])
    row = change.get("before") if change["op"] == "d" else change.get("after")
    if row is None or not isinstance(table, TableMapping):
        return None
    try:
        return table.entity, table.id_of(row)
    except RecordError:
        return None


def decide(
    change: Mapping[str, Any] | None,
    headers: Headers,
    stored: RowState | None,
    mapping: SystemMapping,
    now: datetime,
) -> Decision:
    """Decide what one change does; ``stored`` is the state under its `identify`, ``now`` its publishing time.

    Raises `PoisonRecord` only for an envelope or header that is none.
    """
    if change is None:
        return Decision(Action.SKIP_TOMBSTONE)
    op, source = change["op"], change["source"]
    if op == "m":
        return Decision(Action.SKIP_MESSAGE)
    table = mapping.table_of(source)
    if isinstance(table, IgnoredTable):
        return Decision(Action.SKIP_IGNORED)
    position = position_of(source, headers.get(POSITION_HEADER))
    times = times_of(change, now)
    if table is None or op == "t":
        return _refuse_table(mapping, source, table, position, times)
    specials, unchanged, absent = notes(headers)
    last = is_last_for_key(headers)
    duplicate = stored is not None and stored.supersedes(position, table.version)
    seen = () if duplicate else violations(table, change, absent)
    if duplicate:
        return Decision(Action.SKIP_DUPLICATE, table.entity)
    if not last and not seen:
        return Decision(Action.SKIP_SUPERSEDED, table.entity)
    row = _Row(mapping.system, table, position, stored, times)
    for observed in seen:
        assert change["after"] is not None, "violations are only of updates"
        row.raise_ownership(table.id_of(change["after"]), observed.field, observed.owner)
    if not last:
        return row.done(Action.SKIP_SUPERSEDED)
    mapped = map_change(table, change, specials, unchanged)
    if mapped.id is None:
        assert mapped.quarantine is not None
        subject = mapping.full_name(source)
        # The position makes the revision: there is no row whose reports could be counted.
        report = _report(times, subject, position.lsn, mapped.quarantine)
        return Decision(Action.REFUSE, table.entity, (), (report,))
    return row.apply(mapped)


class _Row:
    """Builds the decision about one row: its records, its reports, its next state."""

    __slots__ = ("_live", "_ownership", "_position", "_raised", "_records", "_reports", "_revision", "_route",
                 "_stored", "_system", "_table", "_times")  # fmt: skip

    def __init__(
        self,
        system: str,
        table: TableMapping,
        position: Position,
        stored: RowState | None,
        times: Record,
    ) -> None:
        self._system = system
        self._table = table
        self._position = position
        self._stored = stored
        self._times = times
        self._revision = stored.reports if stored else 0
        self._live = stored.live if stored else False
        self._raised = stored.raised if stored else False
        self._ownership = stored.ownership if stored else False
        self._route = stored.route if stored else None
        self._records: list[Record] = []
        self._reports: list[Record] = []

    def raise_ownership(self, identifier: str, field: str, owner: str) -> None:
        """Report that this system changed a field that ``owner`` owns."""
        message = f"{self._table.entity}.{field} belongs to {owner}; the change in {self._system} is not used"
        self._report(f"{identifier}#{field}", Quarantine(OWNERSHIP, message))
        self._ownership = True

    def apply(self, mapped: MappedChange) -> Decision:
        """Publish, withdraw or quarantine the row's last state."""
        identifier = mapped.id
        assert identifier is not None
        route = mapped.route
        if mapped.record is not None:
            if self._live and self._route != route:
                self._withdraw(identifier, self._route)
            self._records.append(self._complete(mapped.record))
        else:
            # What is withdrawn is what was published; a row that never was says so where it would be.
            route = self._route if self._live or route is None else route
            if route is not None or self._table.route is None:
                self._withdraw(identifier, route)
        self._live, self._route = mapped.record is not None, route
        if mapped.quarantine is not None:
            self._report(identifier, mapped.quarantine)
            self._raised = True
            return self.done(Action.QUARANTINE)
        if self._raised:
            self._report(identifier, None)
            self._raised = False
        if mapped.record is not None:
            return self.done(Action.PUBLISH)
        if self._ownership:
            for observed in self._table.observed:
                self._report(f"{identifier}#{observed.field}", None)
            self._ownership = False
        return self.done(Action.DELETE)

    def done(self, action: Action) -> Decision:
        """The decision. A superseded change keeps the stored position: its successor is still to come."""
        position, version = self._position, self._table.version
        if action is Action.SKIP_SUPERSEDED and self._stored is not None:
            position, version = self._stored.position, self._stored.mapping_version
        elif action is Action.SKIP_SUPERSEDED:
            position, version = Position(-1, 0, 0), 0
        state = RowState(
            position, version, self._revision, self._live, self._raised, self._ownership, self._route
        )
        return Decision(action, self._table.entity, tuple(self._records), tuple(self._reports), state)

    def _withdraw(self, identifier: str, route: str | None) -> None:
        record: Record = {"id": identifier}
        if self._table.route is not None:
            record[self._table.route.name] = route
        self._records.append(self._complete(record, deleted=True))

    def _complete(self, record: Record, deleted: bool = False) -> Record:
        """Add what every canonical record carries beside its business fields."""
        times, position = self._times, self._position
        record["deleted"] = deleted
        record["source_system"] = self._system
        record["source_epoch"] = position.epoch
        record["source_lsn"] = position.lsn
        record["source_ordinal"] = position.ordinal
        record["occurred_at"] = times["occurred_at"]
        record["captured_at"] = times["captured_at"]
        record["published_at"] = times["published_at"]
        record["snapshot"] = times["snapshot"]
        record["mapping_version"] = self._table.label
        return record

    def _report(self, subject: str, problem: Quarantine | None) -> None:
        self._revision += 1
        self._reports.append(_report(self._times, subject, self._revision, problem))


def _report(times: Record, subject: str, revision: int, problem: Quarantine | None) -> Record:
    return {
        "op": "CLEAR" if problem is None else "RAISE",
        "revision": revision,
        "flow": FLOW,
        "subject": subject,
        "exception_class": problem.exception_class if problem else None,
        "message": problem.message if problem else None,
        "rated_at": times["published_at"],
        **times,
    }


def _refuse_table(
    mapping: SystemMapping,
    source: Mapping[str, Any],
    table: TableMapping | None,
    position: Position,
    times: Record,
) -> Decision:
    name = mapping.full_name(source)
    if table is None:
        message = f"{name} has no mapping; map it or ignore it with a reason in {mapping.name}.yaml"
    else:
        message = f"{name} was truncated; snapshot it again so that the rows that went are withdrawn"
    # The position makes the revision: there is no row whose reports could be counted.
    report = _report(times, name, position.lsn, Quarantine(UNMAPPED, message))
    return Decision(Action.REFUSE, table.entity if table else None, (), (report,))

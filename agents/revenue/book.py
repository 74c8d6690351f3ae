"""What a lane holds of its roots, in pieces, so that a change of an entry writes that entry and a line or two:

e\\0<root>\\0<entry>            the entry: rated item, segments, and the parts of it that are in the sums
d\\0<root>\\0<day line>\\0<…>    accounting date of an entry of the day, in their order: the first dates the day line
s\\0<root>\\0<line>             sums by month
r\\0<root>\\0<line>\\0<month>    revision and content of the row last published; no content: as deleted
x\\0<root>\\0<line>             the same of the exception last reported
u\\0<line>\\0<root>             which roots have sums of a line, whosever it is
i                             the lines that were there when the lane began have been computed
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.billing.daylines import DAY_PREFIX, day_line_id
from agents.billing.items import order_bytes
from agents.revenue.entries import EntryState, Rated
from agents.revenue.sums import Months, MonthSums
from streams.lanes.state import Overlay
from streams.packing import packed

ENTRY, DAY, SUMS, ROW, REPORT, USERS, BEGUN = b"e\0", b"d\0", b"s\0", b"r\0", b"x\0", b"u\0", b"i"
# Amounts as records have them: equal content is equal text.
_PLACES: Final = Decimal("0.0001")


class _DayEntry(NamedTuple):
    work_date: date
    entry_id: str


def entry(state: Overlay, root_id: str, entry_id: str) -> EntryState:
    """An entry, empty if there is none."""
    stored = state.get(_key(ENTRY, root_id, entry_id))
    return EntryState() if stored is None else EntryState.unpacked(stored)


def has_entry(state: Overlay, root_id: str, entry_id: str) -> bool:
    """Whether anything was heard of an entry."""
    return state.get(_key(ENTRY, root_id, entry_id)) is not None


def put_entry(state: Overlay, root_id: str, entry_id: str, one: EntryState) -> None:
    """Store an entry."""
    state.put(_key(ENTRY, root_id, entry_id), one.packed())


def entries(state: Overlay, root_id: str) -> list[str]:
    """Ids of a root's entries."""
    prefix = _key(ENTRY, root_id, "")
    return [key[len(prefix) :].decode() for key, _ in state.scan(prefix)]


def put_day(state: Overlay, root_id: str, entry_id: str, old: Rated | None, new: Rated | None) -> set[str]:
    """Note what day line an item may date now; ids of the day lines whose first item may be another."""
    touched = set()
    for item, is_new in ((old, False), (new, True)):
        day_line = None if item is None else day_line_id(item)
        if item is None or day_line is None:
            continue
        touched.add(day_line)
        key = _key(DAY, root_id, day_line) + b"\0" + order_bytes(_DayEntry(item.work_date, entry_id))
        if is_new:
            state.put(key, item.accounting_date.isoformat().encode())
        else:
            state.delete(key)
    return touched


def day_line_on(state: Overlay, root_id: str, entry_id: str) -> date | None:
    """The accounting date of a day line: that of the day's first item. None for what is none, or has no item."""
    if not entry_id.startswith(DAY_PREFIX):
        return None
    for _, day in state.scan(_key(DAY, root_id, entry_id) + b"\0"):
        return date.fromisoformat(day.decode())
    return None


def sums(state: Overlay, root_id: str, line_id: str) -> Months:
    """Sums of a line."""
    stored = state.get(_key(SUMS, root_id, line_id))
    months = {} if stored is None else json.loads(stored)
    return {date.fromisoformat(month): MonthSums.unpacked(values) for month, values in months.items()}


def put_sums(state: Overlay, root_id: str, line_id: str, months: Months) -> None:
    """Store the sums of a line, and that the root uses it."""
    by_month = {month.isoformat(): one.packed() for month, one in sorted(months.items())}
    state.put(_key(SUMS, root_id, line_id), packed(by_month))
    user = _key(USERS, line_id, root_id)
    if state.get(user) is None:
        state.put(user, b"")


def users(state: Overlay, line_id: str) -> list[str]:
    """The roots that have, or had, sums of a line."""
    prefix = _key(USERS, line_id, "")
    return [key[len(prefix) :].decode() for key, _ in state.scan(prefix)]


def lines(state: Overlay, root_id: str) -> set[str]:
    """The lines that a root has, or had, sums or rows of."""
    found = set()
    for kind in (SUMS, ROW):
        prefix = _key(kind, root_id, "")
        found |= {key[len(prefix) :].split(b"\0", 1)[0].decode() for key, _ in state.scan(prefix)}
    return found


def roots(state: Overlay) -> set[str]:
    """All roots that anything is known of."""
    return {key.split(b"\0", 2)[1].decode() for kind in (ENTRY, SUMS, ROW) for key, _ in state.scan(kind)}


class Published:
    """The rows and the report of one line as last published, read once."""

    def __init__(self, state: Overlay, root_id: str, line_id: str) -> None:
        self._state = state
        self._prefix = _key(ROW, root_id, line_id) + b"\0"
        self._report = _key(REPORT, root_id, line_id)
        # By state key: revision and content.
        self._last: dict[bytes, tuple[int, list[Any] | None]] = {}
        for key, stored in [*state.scan(self._prefix), (self._report, state.get(self._report))]:
            if stored is not None:
                revision, content = json.loads(stored)
                self._last[key] = (revision, content)

    def months(self) -> list[date]:
        """Months that have a row which is not deleted."""
        return [
            date.fromisoformat(key[len(self._prefix) :].decode())
            for key, (_, content) in self._last.items()
            if content is not None and key != self._report
        ]

    def row(self, month: date, content: tuple[Any, ...] | None) -> int | None:
        """Note a row (None: deleted); its new revision, or None if its content is what it was."""
        return self._note(self._prefix + month.isoformat().encode(), content)

    def report(self, missing: tuple[str, ...]) -> int | None:
        """Note what is missing; the report's new revision, or None if it says nothing new."""
        return self._note(self._report, missing or None)

    def _note(self, key: bytes, content: tuple[Any, ...] | None) -> int | None:
        revision, last = self._last.get(key, (0, None))
        now = None if content is None else [_text(value) for value in content]
        if now == last:
            return None
        self._last[key] = (revision + 1, now)
        self._state.put(key, packed([revision + 1, now]))
        return revision + 1


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value.quantize(_PLACES))
    return list(value) if isinstance(value, tuple) else value


def _key(kind: bytes, one: str, other: str) -> bytes:
    return kind + f"{one}\0{other}".encode()

"""With which entry of its root an invoice line or a bill adjustment is held.

With the one that it is about, so that an entry of a root without limits is allocated by its own book alone; and a
credit with the charge that it names, whatever entry it carries itself. Rows change: one that is about another
entry now leaves the one it was held with, or it would count twice. So the state has the place of each row:

``h\\0<root>\\0<kind>\\0<row>`` → entry; ``w\\0<root>\\0<charge>\\0<credit>`` → entry, while the charge is not there;
``a\\0<person>\\0<root>``: of whom there is, or was, an approved adjustment on the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from agents.billing.book import EntryBook
from agents.billing.index import ANY
from agents.billing.posted import CREDIT_LINE
from streams.lanes.state import Overlay

HELD: Final = b"h\0"
WAITING: Final = b"w\0"
APPROVED: Final = b"a\0"
LINE: Final = "line"
ADJUSTMENT: Final = "adjustment"

# The book of an entry on a root.
BookOf = Callable[[Overlay, str, str], EntryBook]


class Filing:
    """Files rows into the books that ``book_of`` gives, one object an entry and slice."""

    def __init__(self, book_of: BookOf) -> None:
        self._book_of = book_of

    def holder(self, state: Overlay, root_id: str, kind: str, row_id: str) -> str | None:
        """The entry that a row is held with; None if it is not held, or was filed by an earlier version."""
        stored = state.get(_held(root_id, kind, row_id))
        return None if stored is None else stored.decode()

    def take(
        self, state: Overlay, root_id: str, entry_id: str, kind: str, value: bytes, row: dict[str, Any]
    ) -> set[str]:
        """File a row that is about ``entry_id``, or take one out that no longer counts; the entries that this
        changes."""
        if kind == LINE:
            return self._take_line(state, root_id, entry_id, value, row)
        row_id = row["id"]
        before = self.holder(state, root_id, kind, row_id)
        if before is not None and before != entry_id:
            self._book_of(state, root_id, before).drop_adjustment(row_id)
        held = self._book_of(state, root_id, entry_id).put_adjustment(value, row)
        self.remember(state, root_id, entry_id, kind, row_id, held)
        if held:
            _note_approver(state, root_id, row["approver_id"])
        return {entry_id, before or entry_id}

    def approved_by(self, state: Overlay, person: str) -> Iterator[str]:
        """The roots that have adjustments which a person, or (`ANY`) anybody, approved."""
        prefix = APPROVED if person == ANY else APPROVED + f"{person}\0".encode()
        for key, _ in state.scan(prefix):
            yield key.rsplit(b"\0", 1)[1].decode()

    def _take_line(
        self, state: Overlay, root_id: str, entry_id: str, value: bytes, row: dict[str, Any]
    ) -> set[str]:
        row_id = row["id"]
        before = self.holder(state, root_id, LINE, row_id)
        is_credit = row["kind"] == CREDIT_LINE and row["credits_line_id"] is not None
        if is_credit:
            entry_id = self._with_its_charge(state, root_id, entry_id, row)
        touched = {entry_id, before or entry_id}
        if before is not None and before != entry_id:
            touched |= self._carry_credits(state, root_id, row_id, before, entry_id)
            self._book_of(state, root_id, before).drop_line(row_id)
        held = self._book_of(state, root_id, entry_id).put_line(value, row)
        self.remember(state, root_id, entry_id, LINE, row_id, held)
        if held and not is_credit:
            touched |= self._collect_waiting(state, root_id, row_id, entry_id)
        return touched

    def remember(
        self, state: Overlay, root_id: str, entry_id: str, kind: str, row_id: str, held: bool = True
    ) -> None:
        """Note where a row is, or that it is nowhere."""
        key = _held(root_id, kind, row_id)
        known = state.get(key)
        if held and known != entry_id.encode():
            state.put(key, entry_id.encode())
        elif not held and known is not None:
            state.delete(key)

    def remember_all(self, state: Overlay, root_id: str, entry_id: str, book: EntryBook) -> None:
        """Note where the rows of a book are, which an earlier version may not have noted."""
        for line_id in book.lines:
            self.remember(state, root_id, entry_id, LINE, line_id)
        adjustments = (*book.adjustments.values(), *(one.adjustment for one in book.released.values()))
        for adjustment in adjustments:
            self.remember(state, root_id, entry_id, ADJUSTMENT, adjustment.id)
            _note_approver(state, root_id, adjustment.approver_id)

    def _with_its_charge(self, state: Overlay, root_id: str, entry_id: str, row: dict[str, Any]) -> str:
        charge = row["credits_line_id"]
        holder = self.holder(state, root_id, LINE, charge)
        key = _waiting(root_id, charge) + row["id"].encode()
        if holder is None:
            state.put(key, entry_id.encode())
            return entry_id
        if state.get(key) is not None:
            state.delete(key)
        return holder

    def _carry_credits(self, state: Overlay, root_id: str, charge: str, old: str, new: str) -> set[str]:
        """What names a charge goes with it to another entry."""
        book = self._book_of(state, root_id, old)
        credits = [line.id for line in book.lines.values() if line.credits_line_id == charge]
        return self._move(state, root_id, dict.fromkeys(credits, old), new)

    def _collect_waiting(self, state: Overlay, root_id: str, charge: str, entry_id: str) -> set[str]:
        """Credits that came before their charge."""
        prefix = _waiting(root_id, charge)
        found = {key[len(prefix) :].decode(): value.decode() for key, value in list(state.scan(prefix))}
        for credit in found:
            state.delete(prefix + credit.encode())
        return self._move(state, root_id, found, entry_id)

    def _move(self, state: Overlay, root_id: str, places: dict[str, str], new: str) -> set[str]:
        touched = set()
        for row_id, old in places.items():
            if old != new and self._book_of(state, root_id, old).hand_line(
                row_id, self._book_of(state, root_id, new)
            ):
                self.remember(state, root_id, new, LINE, row_id)
                touched |= {old, new}
        return touched


def _note_approver(state: Overlay, root_id: str, person: str | None) -> None:
    key = APPROVED + f"{person}\0{root_id}".encode()
    if state.get(key) is None:
        state.put(key, b"")


def _held(root_id: str, kind: str, row_id: str) -> bytes:
    return HELD + f"{root_id}\0{kind}\0{row_id}".encode()


def _waiting(root_id: str, charge: str) -> bytes:
    return WAITING + f"{root_id}\0{charge}\0".encode()

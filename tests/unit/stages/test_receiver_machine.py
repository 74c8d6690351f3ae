"""The receivers of re-keyed streams against a model that knows where each entry is.

An entry wanders between places, each move a removal and a placement of one revision. The messages arrive
in any order, more than once, with restarts in between. Once all have, each place holds what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from agents.billing.book import Books, EntryBook
from agents.utilization.contributions import ConsultantState, Contribution
from streams.contracts import load_schema
from streams.lanes.state import MemoryStore, Overlay

PLACES = ["A", "B", "C"]
ENTRIES = ["time:1", "time:2"]
DAY = date(2026, 3, 2)
RATED = {
    **{field["name"]: None for field in load_schema("events/rated")["fields"]},
    "item_kind": "entry", "work_date": DAY, "accounting_date": DAY, "version": 1, "disposition": "priced",
    "quantity_seconds": 0, "applies_to_invoiced": False,
}  # fmt: skip


class Receiver:
    """The allocation stage's books and utilization's states of all places, restored from what is stored."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._store = MemoryStore()
        self._pieces: dict[str, dict[str, bytes]] = {place: {} for place in PLACES}
        self.restart()

    def restart(self) -> None:
        """Forget what is only in memory."""
        self._books = Books(lambda value: self._messages[int(value)])
        self._people = {
            place: ConsultantState.restore(place, self._pieces[place].items()) for place in PLACES
        }

    def receive(self, message: dict[str, Any]) -> None:
        """Apply one message, as both stages do, and store what changed."""
        place, entry_id = message["place"], message["entry_id"]
        self._messages.append(RATED | message | {"root_id": place})
        state = Overlay(self._store)
        book = self._books.entry(state, place, entry_id)
        if book.put_rated(b"%d" % (len(self._messages) - 1), self._messages[-1]):
            self._books.write(state, place, entry_id, book)
        self._store.write(state.changes)
        person = self._people[place]
        contribution = message | {
            "work_date": DAY,
            "worked_seconds": message["seconds"],
            "billable_seconds": 0,
            "unclassified_seconds": 0,
            "project_id": None,
        }
        person.apply(entry_id, Contribution.from_record(contribution))
        self._pieces[place] |= person.take_writes()

    def items(self) -> dict[tuple[str, str], int]:
        """Seconds by place and entry, of what allocation holds."""
        books = {(place, entry): self._book(place, entry) for place in PLACES for entry in ENTRIES}
        return {key: book.item.seconds for key, book in books.items() if book.item is not None}

    def _book(self, place: str, entry_id: str) -> EntryBook:
        return self._books.entry(Overlay(self._store), place, entry_id)

    def worked(self) -> dict[str, int]:
        """Seconds by place, of what utilization holds."""
        return {place: seconds for place in PLACES if (seconds := self._people[place].worked_seconds())}

    def revisions(self) -> dict[tuple[str, str], int]:
        """The revision that each place has of each entry."""
        return {(place, entry): self._book(place, entry).revision for place in PLACES for entry in ENTRIES}


class Wanderers(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.receiver = Receiver()
        self.where: dict[str, tuple[str, int]] = {}
        self.revision = 0
        self.flying: list[dict[str, Any]] = []
        self.landed: list[dict[str, Any]] = []
        self.seen: dict[tuple[str, str], int] = {}

    def _send(self, op: str, place: str, entry: str, seconds: int) -> None:
        self.flying.append(
            {"op": op, "place": place, "entry_id": entry, "revision": self.revision, "seconds": seconds}
        )

    @rule(entry=st.sampled_from(ENTRIES), place=st.sampled_from(PLACES), seconds=st.integers(1, 5))
    def an_entry_is_placed(self, entry: str, place: str, seconds: int) -> None:
        self.revision += 1
        old = self.where.get(entry)
        if old is not None and old[0] != place:
            self._send("REMOVE", old[0], entry, 0)
        self._send("PUT", place, entry, seconds)
        self.where[entry] = (place, seconds)

    @precondition(lambda self: self.where)
    @rule(data=st.data())
    def an_entry_is_withdrawn(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(sorted(self.where)))
        self.revision += 1
        self._send("REMOVE", self.where.pop(entry)[0], entry, 0)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def a_message_lands(self, data: st.DataObject) -> None:
        self._land(self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1))))

    @precondition(lambda self: self.landed)
    @rule(data=st.data())
    def a_message_lands_again(self, data: st.DataObject) -> None:
        self._land(data.draw(st.sampled_from(self.landed)))

    def _land(self, message: dict[str, Any]) -> None:
        self.receiver.receive(message)
        self.landed.append(message)

    @rule()
    def the_receiver_restarts(self) -> None:
        self.receiver.restart()

    @invariant()
    def no_revision_goes_back(self) -> None:
        now = self.receiver.revisions()
        assert all(now[key] >= revision for key, revision in self.seen.items())
        self.seen = now

    def teardown(self) -> None:
        """The newest first: the worst order there is."""
        for message in reversed(self.flying):
            self._land(message)
        there = {(place, entry): seconds for entry, (place, seconds) in self.where.items()}
        assert self.receiver.items() == there
        self.receiver.restart()
        assert self.receiver.items() == there
        worked: dict[str, int] = {}
        for place, seconds in self.where.values():
            worked[place] = worked.get(place, 0) + seconds
        assert self.receiver.worked() == worked


TestWanderers = Wanderers.TestCase
TestWanderers.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def any_revision_counts(patch: pytest.MonkeyPatch) -> None:
    """What arrives last wins."""
    put = EntryBook.put_rated

    def eager(self: EntryBook, value: bytes, record: dict[str, Any]) -> bool:
        self.revision = 0
        return put(self, value, record)

    patch.setattr(EntryBook, "put_rated", eager)


def removals_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A removed contribution leaves nothing behind that could refuse an older one."""
    apply = ConsultantState.apply

    def forgetful(self: ConsultantState, entry_id: str, part: Contribution) -> set[date]:
        touched = apply(self, entry_id, part)
        if part.day is None:
            self._entries.pop(entry_id, None)
        return touched

    patch.setattr(ConsultantState, "apply", forgetful)


@pytest.mark.parametrize("fault", [any_revision_counts, removals_are_forgotten])
def test_a_receiver_that_forgets_is_seen(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A → B → A with the newest first undoes it."""
    fault(monkeypatch)
    machine = Wanderers()
    machine.an_entry_is_placed("time:1", "A", 1)
    machine.an_entry_is_placed("time:1", "B", 2)
    machine.an_entry_is_placed("time:1", "A", 3)
    with pytest.raises(AssertionError):
        machine.teardown()

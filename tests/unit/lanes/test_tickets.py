"""The ticket ledger against a model that knows what was really applied."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.lanes.tickets import Ticket, TicketLedger

PARTITION = ("t", 0)


class Deliveries(RuleBasedStateMachine):
    """Deliver, finish in any order, lose, seek, revoke, and acknowledge late.

    The model keeps, for the current generation only, the offsets that were finished; the law is that
    everything between the generation's start and the committable offset was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ledger = TicketLedger()
        self.live = False
        self.start = 0
        self.finished: set[int] = set()
        self.open: list[Ticket] = []
        self.stale: list[Ticket] = []
        self.generations: set[int] = set()

    @rule(position=st.integers(0, 30))
    def seek(self, position: int) -> None:
        generation = self.ledger.seek(PARTITION, position)
        assert generation not in self.generations, "a generation number came back"
        self.generations.add(generation)
        self.stale += self.open
        self.open, self.finished, self.start, self.live = [], set(), position, True

    @precondition(lambda self: self.live)
    @rule()
    def revoke(self) -> None:
        self.ledger.drop(PARTITION)
        self.stale += self.open
        self.open, self.finished, self.live = [], set(), False

    @precondition(lambda self: self.live)
    @rule(length=st.integers(0, 5))
    def deliver(self, length: int) -> None:
        generation, delivered = self.ledger.position(PARTITION)
        ticket = self.ledger.issue(PARTITION, delivered + length)
        assert (ticket.generation, ticket.base, ticket.end) == (generation, delivered, delivered + length)
        self.open.append(ticket)

    @precondition(lambda self: self.live)
    @rule(length=st.integers(1, 5))
    def deliver_and_lose(self, length: int) -> None:
        """Nobody will ever finish this one."""
        _, delivered = self.ledger.position(PARTITION)
        self.ledger.issue(PARTITION, delivered + length)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        ticket = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        assert self.ledger.finish(ticket)
        self.finished.update(range(ticket.base, ticket.end))
        self.stale.append(ticket)  # a second acknowledgement may come

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def finish_late(self, data: st.DataObject) -> None:
        ticket = self.stale[data.draw(st.integers(0, len(self.stale) - 1))]
        old = ticket.done
        before = self.ledger.committable()
        accepted = self.ledger.finish(ticket)
        assert accepted <= old, "an acknowledgement of an old generation was accepted"
        assert self.ledger.committable() == before

    @invariant()
    def commits_only_what_was_applied(self) -> None:
        committable = self.ledger.committable()
        if not self.live:
            assert PARTITION not in committable
            return
        assert set(range(self.start, committable[PARTITION])) <= self.finished
        assert committable[PARTITION] >= self.start


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_chunks_finished_out_of_order_commit_only_the_prefix() -> None:
    """The later of two chunks moves nothing until the earlier one is done."""
    ledger = TicketLedger()
    ledger.seek(PARTITION, 10)
    first, second = ledger.issue(PARTITION, 20), ledger.issue(PARTITION, 30)
    ledger.finish(second)
    assert ledger.committable() == {PARTITION: 10}
    ledger.finish(first)
    assert ledger.committable() == {PARTITION: 30}


def test_a_chunk_before_the_delivered_position_is_refused() -> None:
    """Offsets that go backwards without a seek are a bug of the caller, and said so."""
    ledger = TicketLedger()
    ledger.seek(PARTITION, 10)
    with pytest.raises(ValueError, match="9 lies before the delivered position 10"):
        ledger.issue(PARTITION, 9)


def test_an_acknowledgement_of_a_revoked_partition_is_void_when_it_comes_back() -> None:
    """Generation numbers survive a revocation: the old owner's ticket does not count for the new one."""
    ledger = TicketLedger()
    ledger.seek(PARTITION, 0)
    late = ledger.issue(PARTITION, 100)
    ledger.drop(PARTITION)
    ledger.seek(PARTITION, 0)
    ledger.issue(PARTITION, 50)
    assert not ledger.finish(late)
    assert ledger.committable() == {PARTITION: 0}


def test_a_partition_never_assigned_is_unknown() -> None:
    """Dropping or finishing what was never there does nothing."""
    ledger = TicketLedger()
    ledger.drop(PARTITION)
    assert ledger.committable() == {}
    assert not ledger.finish(Ticket(PARTITION, 1, 0, 5))

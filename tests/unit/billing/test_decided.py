"""Which entries a close makes allocation look at again."""

from __future__ import annotations

from datetime import timedelta

from source_databases import at

from agents.billing.adjustments import Adjustment
from agents.billing.closes import Facts, Released
from agents.billing.decided import Decided
from agents.billing.index import ANY
from agents.billing.terms import Terms
from agents.billing.touches import Touch
from streams.lanes.state import MemoryStore, Overlay

CLOSE = at("04-03 18:00")


def found(state: Overlay, touch: Touch) -> list[bytes]:
    """Entries that a touch reaches."""
    return list(Decided().affected([touch], state))


def test_entries_of_the_legal_entity_that_were_decided_since() -> None:
    """A close reaches its own entity's, from its time on; one that changed unseen, everybody's."""
    state = Overlay(MemoryStore())
    for entity, entry_id, days in (("erp:A", "time:1", -1), ("erp:A", "time:2", 1), ("erp:B", "time:3", 1)):
        adjustment = Adjustment("erp:A1", "erp:E", entry_id, "hold", None)
        released = Released(adjustment, CLOSE + timedelta(days=days))
        Decided().note(state, "erp:E", entity, Facts(entry_id, None, released=[released]))
    assert found(state, Touch("period:erp:A", None, None, CLOSE)) == [b"erp:E\0time:2"]
    assert found(state, Touch("period:erp:B")) == [b"erp:E\0time:3"]
    every = [b"erp:E\0time:1", b"erp:E\0time:2", b"erp:E\0time:3"]
    assert found(state, Touch("period:" + ANY)) == every
    assert found(state, Touch("fx:EUR:USD")) == []


def test_roots_whose_entries_share_something_are_found_as_a_whole() -> None:
    """By the hour of their last decision: a close in that hour costs a visit, one in the next none."""
    state, terms = Overlay(MemoryStore()), Terms("erp:E", legal_entity_id="erp:A")
    for minutes in (-10, -5):
        Decided().note_root(state, "erp:E", terms, CLOSE + timedelta(minutes=minutes))
    assert len(list(state.scan(b"t\0"))) == 1
    assert found(state, Touch("period:erp:A", None, None, CLOSE - timedelta(minutes=1))) == [b"erp:E"]
    assert found(state, Touch("period:erp:A", None, None, CLOSE)) == []
    Decided().note_root(state, "erp:E", Terms("erp:E"), CLOSE)
    assert found(state, Touch("period:" + ANY)) == [b"erp:E"]

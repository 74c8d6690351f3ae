"""Positions, the stored progress, and the decision where to continue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.postgres.config import default_slot
from connectors.sources.postgres.position import PendingTable, Position, Progress, lsn_text, lsn_value
from connectors.sources.postgres.resume import check_resume, may_drop, must_snapshot
from connectors.sources.postgres.server.connection import Identity, SlotState
from streams.errors import ConfigurationError, PositionLost

NUMBERS = st.integers(0, 2**63)
POSITIONS = st.builds(Position, st.integers(1, 9), NUMBERS, NUMBERS)

PROGRESS = Progress("7000", 1, 1, "tallystream_erp", 900, 3, 1000, True, {"public.t": 500})
SLOT = SlotState("tallystream_erp", "pgoutput", "erp", None, 1000, None)
IDENTITY = Identity("7000", 1, 2000, "erp")


@given(POSITIONS)
def test_positions_survive_their_text(position: Position) -> None:
    """The header's text reads back."""
    assert Position.parse(str(position).encode()) == position


@given(POSITIONS, POSITIONS)
def test_positions_order_by_epoch_then_log_then_ordinal(a: Position, b: Position) -> None:
    """Order is that of the tuple, numerically."""
    assert (a < b) == ((a.epoch, a.lsn, a.ordinal) < (b.epoch, b.lsn, b.ordinal))


@pytest.mark.parametrize("text", ["", "1/2", "1/2/3/4", "a/1/2", "1/-2/3", "1/2/٣"])
def test_other_texts_are_no_positions(text: str) -> None:
    """Anything but three decimal numbers is refused."""
    with pytest.raises(ValueError, match="position"):
        Position.parse(text)


@given(st.integers(0, 2**64 - 1))
def test_lsns_survive_their_text(lsn: int) -> None:
    """PostgreSQL's spelling reads back."""
    assert lsn_value(lsn_text(lsn)) == lsn


def test_lsn_spelling() -> None:
    """The manual's example."""
    assert lsn_value("16/B374D848") == 0x16_B374D848


def test_progress_survives_json() -> None:
    """What is stored reads back; what a newer version added is ignored."""
    assert Progress.from_json(PROGRESS.to_json()) == PROGRESS
    assert Progress.from_json(PROGRESS.to_json()[:-1] + b',"new":1}') == PROGRESS


def test_a_watermark_never_goes_back_and_needs_all_tables() -> None:
    """While a table is read it is told to nobody, and none is taken; afterwards the next one is."""
    streaming = replace(PROGRESS, partial=None).heard_up_to(5_000)
    assert streaming.watermark_us == 5_000
    assert streaming.heard_up_to(4_000) is streaming.heard_up_to(None) is streaming
    assert Progress.from_json(streaming.to_json()).watermark_us == 5_000
    reading = replace(streaming, incremental=(PendingTable("public.new"),))
    assert Progress.from_json(reading.to_json()).watermark_us == 0
    assert reading.heard_up_to(6_000) is reading
    assert replace(reading, incremental=()).heard_up_to(6_000).watermark_us == 6_000
    assert replace(PROGRESS, snapshot_done=False).heard_up_to(6_000).watermark_us == 0


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"epoch":1}'])
def test_foreign_progress_halts(value: bytes) -> None:
    """A record that is not ours is never taken for a fresh start."""
    with pytest.raises(PositionLost):
        Progress.from_json(value)


def test_resume_where_nothing_is_missing() -> None:
    """A slot at or behind our position, on the same cluster, continues."""
    check_resume("erp", PROGRESS, "tallystream_erp", SLOT, IDENTITY)
    check_resume("erp", PROGRESS, "tallystream_erp", replace(SLOT, confirmed_flush_lsn=10), IDENTITY)


@pytest.mark.parametrize(
    ("slot", "identity", "words"),
    [
        (None, IDENTITY, "no longer exists: changes from 0/3E8 up to 0/7D0"),
        (
            replace(SLOT, lost="wal_removed"),
            IDENTITY,
            "invalidated (wal_removed): changes from 0/3E8 up to 0/7D0",
        ),
        (replace(SLOT, confirmed_flush_lsn=1001), IDENTITY, "stands at 0/3E9, ahead of source erp at 0/3E8"),
        (SLOT, replace(IDENTITY, system_identifier="8000"), "cluster 7000 up to 0/3E8"),
        (SLOT, replace(IDENTITY, flushed_lsn=999), "ends at 0/3E7"),
    ],
)
def test_every_gap_halts_with_its_bounds(slot: SlotState | None, identity: Identity, words: str) -> None:
    """A lost, invalidated or advanced slot, another cluster, a shorter log."""
    with pytest.raises(PositionLost) as raised:
        check_resume("erp", PROGRESS, "tallystream_erp", slot, identity)
    assert words in str(raised.value)
    assert "tallystream source repair" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_slot_is_a_wrong_configuration() -> None:
    """Another slot's name, plugin or database is the configuration's fault."""
    for name, slot in (
        ("other", SLOT),
        ("tallystream_erp", replace(SLOT, plugin="wal2json")),
        ("tallystream_erp", replace(SLOT, database="crm")),
    ):
        with pytest.raises(ConfigurationError):
            check_resume("erp", PROGRESS, name, slot, IDENTITY)


def test_only_our_own_slot_is_dropped() -> None:
    """By default name or by a stored intention; never an active one, nor another plugin's."""
    begun = replace(PROGRESS, snapshot_done=False)
    assert must_snapshot(None)
    assert must_snapshot(begun)
    assert not must_snapshot(PROGRESS)
    assert may_drop(None, SLOT, "erp")
    assert not may_drop(None, replace(SLOT, name="mine"), "erp")
    assert may_drop(replace(begun, slot="mine"), replace(SLOT, name="mine"), "erp")
    assert not may_drop(begun, replace(SLOT, active_pid=7), "erp")
    assert not may_drop(begun, replace(SLOT, plugin="wal2json"), "erp")


def test_default_slots_have_the_alphabet_of_slots() -> None:
    """Lower case, digits and underscores only."""
    assert default_slot("ERP-eu") == "tallystream_erp_eu"

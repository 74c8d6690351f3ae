"""Spools and the index of last changes: order, bounds, and what a rolled back part leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sources import lastkeys
from connectors.sources.lastkeys import Bits, LastOfKeys
from connectors.sources.postgres.log.spill import READ_BYTES, Spool
from connectors.sources.spill import SpillArea
from streams.errors import DependencyUnavailable

MESSAGES = st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 3), st.binary(min_size=1, max_size=40)))


@given(MESSAGES, st.integers(1, 300))
def test_what_went_in_comes_out_in_order_twice(messages: list[tuple[int, int, bytes]], limit: int) -> None:
    """Whatever part of it is on disk; and no more than the limit and a message are held in memory."""
    area = SpillArea(None, limit)
    spool = Spool(area)
    for lsn, xid, message in messages:
        spool.append(lsn, xid, message)
        assert area.held <= limit
    expected = [(lsn, message) for lsn, _, message in messages]
    assert list(spool.frames()) == expected
    assert list(spool.frames()) == expected
    spool.close()
    assert area.held == 0


def test_a_message_larger_than_a_block() -> None:
    """Between small ones, on disk."""
    area = SpillArea(None, 10)
    spool = Spool(area)
    messages = [b"Ia", b"I" + b"x" * (2 * READ_BYTES), b"Ib", b"I" + b"y" * READ_BYTES]
    for message in messages:
        spool.append(1, 0, message)
    assert spool.on_disk
    assert [message for _, message in spool.frames()] == messages
    spool.close()


def test_a_rolled_back_part_loses_its_changes_and_keeps_its_shapes() -> None:
    """The server describes a relation once a transaction, maybe within the part that is rolled back."""
    spool = Spool(SpillArea(None, 1000))
    for xid, message in [(1, b"Ia"), (2, b"Rb"), (2, b"Ic"), (2, b"Yd"), (1, b"Ie")]:
        spool.append(0, xid, message)
    spool.aborted.add(2)
    assert [message for _, message in spool.frames()] == [b"Ia", b"Rb", b"Yd", b"Ie"]
    assert spool.shapes == [b"Rb", b"Yd"]
    spool.close()


def test_all_spools_share_one_limit() -> None:
    """Many transactions in progress hold no more in memory than one."""
    area = SpillArea(None, 1000)
    spools = [Spool(area) for _ in range(50)]
    for _ in range(20):
        for spool in spools:
            spool.append(0, 0, b"I" * 84)
    assert area.held <= 1000
    assert all(len(list(spool.frames())) == 20 for spool in spools)
    for spool in spools:
        spool.close()


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """One line, with the setting that mends it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DependencyUnavailable, match="spill_dir") as raised:
        SpillArea(tmp_path / "file", 10).file()
    assert "\n" not in str(raised.value)


def test_spill_files_have_no_name(tmp_path: Path) -> None:
    """A killed process leaves nothing behind."""
    spool = Spool(SpillArea(tmp_path, 1))
    spool.append(0, 0, b"I" * 100)
    assert spool.on_disk
    assert list(tmp_path.iterdir()) == []
    spool.close()


EVENTS = st.lists(
    st.one_of(st.tuples(st.integers(1, 2), st.integers(0, 6)), st.tuples(st.integers(1, 2), st.none())),
    max_size=60,
)


@settings(max_examples=150)
@given(EVENTS, st.integers(1, 5))
def test_the_index_agrees_with_a_dictionary(events: list[tuple[int, int | None]], buckets: int) -> None:
    """Over truncates, several buckets, and buffers that are written out after two entries."""
    patch = pytest.MonkeyPatch()
    patch.setattr(lastkeys, "_BUFFER_BYTES", 50)
    patch.setattr(lastkeys, "BUCKET_CHANGES", 1)
    try:
        index = LastOfKeys(SpillArea(None, 1), buckets)
        latest: dict[tuple[int, int], int] = {}
        expected = [1] * len(events)
        for ordinal, (relation, key) in enumerate(events):
            if key is None:
                index.truncate(relation, ordinal)
                for one in [one for one in latest if one[0] == relation]:
                    expected[latest.pop(one)] = 0
            else:
                index.add(relation, key, ordinal)
                if (relation, key) in latest:
                    expected[latest[relation, key]] = 0
                latest[relation, key] = ordinal
        assert list(index.finish(len(events), lambda: None)) == expected
        index.close()
    finally:
        patch.undo()


def test_bits_read_like_bytes() -> None:
    """Indexes, slices and bounds."""
    bits = Bits(10)
    bits.clear(3)
    bits.clear(9)
    assert list(bits) == [1, 1, 1, 0, 1, 1, 1, 1, 1, 0]
    assert bits[2:5] == bytearray([1, 0, 1])
    with pytest.raises(IndexError):
        bits[10]

"""Fetch frames as the gate reads them."""

from __future__ import annotations

import struct

import pytest

from streams.stack.fetches import (
    aborted_entries,
    batches,
    fetch_offsets,
    fetch_request,
    is_empty,
    max_wait_seconds,
    strip_aborted,
)


def answer(version: int, *, aborted: list[tuple[int, int]], records: bytes, error: int = 0) -> bytes:
    """An answer with one empty partition and the given one, of topic ``t``."""
    frame = struct.pack(">ii", 7, 0) + (struct.pack(">hi", 0, 0) if version >= 7 else b"")
    frame += struct.pack(">i", 1) + struct.pack(">h", 1) + b"t" + struct.pack(">i", 2)
    for partition, entries, data, code in ((0, [], b"", 0), (1, aborted, records, error)):
        frame += struct.pack(">ihqq", partition, code, 9, 9)
        frame += struct.pack(">q", 0) if version >= 5 else b""
        frame += struct.pack(">i", len(entries)) + b"".join(struct.pack(">qq", *e) for e in entries)
        frame += struct.pack(">i", -1) if version >= 11 else b""
        frame += struct.pack(">i", len(data)) + data
    return frame


@pytest.mark.parametrize("version", [4, 5, 7, 9, 11])
def test_answers_are_read_in_every_version(version: int) -> None:
    """Aborted transactions are found with their place, and emptiness is about records and errors."""
    full = answer(version, aborted=[(1000, 4), (1001, 6)], records=b"x" * 30)
    found = aborted_entries(full, version)
    assert [(e.topic, e.partition, e.producer, e.first) for e in found] == [
        ("t", 1, 1000, 4),
        ("t", 1, 1001, 6),
    ]
    assert not is_empty(full, version)
    assert is_empty(answer(version, aborted=[(1000, 4)], records=b""), version)
    assert not is_empty(answer(version, aborted=[], records=b"", error=1), version)
    stripped = strip_aborted(full, version, found[:1])
    assert [e.producer for e in aborted_entries(stripped, version)] == [-2, 1001]
    assert len(stripped) == len(full)
    assert stripped[-30:] == full[-30:]


def test_requests_are_read_as_written() -> None:
    """The gate's own request says what it asks for, and that it doesn't want to wait."""
    request = fetch_request("topic", 3, 42, 1)
    assert fetch_offsets(request, 4) == {("topic", 3): 42}
    assert max_wait_seconds(request) == 0


def test_batches_tell_markers_from_records() -> None:
    """Base and next offset, producer and the control bit of each batch; a cut-off last batch is left out."""
    head = struct.Struct(">qiibIhiqqqhii")

    def batch(base: int, last: int, producer: int, attributes: int) -> bytes:
        return head.pack(base, head.size - 12, 0, 2, 0, attributes, last, 0, 0, producer, 0, 0, last + 1)

    frame = struct.pack(">iiih", 7, 0, 1, 1) + b"t" + struct.pack(">iihqqi", 1, 0, 0, 9, 9, 0)
    data = batch(5, 2, 1000, 0x10) + batch(8, 0, 1000, 0x30)
    frame += struct.pack(">i", len(data)) + data
    assert list(batches(frame)) == [(5, 8, 1000, False), (8, 9, 1000, True)]
    assert list(batches(frame[:-3])) == [(5, 8, 1000, False)]

"""Fetch requests and answers of Kafka's protocol, versions 4 to 11, as far as the gate needs them. Pure.

The embedded broker lists every aborted transaction of a partition in each read-committed answer, also those
whose end lies before the fetched offset. Clients then take the producer's next, committed transactions
for aborted and drop them. `strip_aborted` takes such entries out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FETCH = 1
LOWEST, HIGHEST = 4, 11
_ANSWER_PARTITION = {
    version: struct.Struct(">ihqq" + ("q" if version >= 5 else "")) for version in range(LOWEST, HIGHEST + 1)
}
_ENTRY = struct.Struct(">qq")
_INT = struct.Struct(">i")
_BATCH = struct.Struct(">qiibIhiqqqhii")
_CONTROL = 0x20


@dataclass(frozen=True, slots=True)
class Aborted:
    """One entry of an answer's list: a transaction of ``producer`` that began at ``first``."""

    topic: str
    partition: int
    producer: int
    first: int
    at: int  # where the entry lies in the frame


def aborted_entries(frame: bytes, version: int) -> list[Aborted]:
    """All entries of an answer (correlation id first, no size in front)."""
    at = 4 + 4 + (6 if version >= 7 else 0)
    head = _ANSWER_PARTITION[version]
    found = []
    (topics,) = struct.unpack_from(">i", frame, at)
    at += 4
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", frame, at)
        name_at = at + 2
        (partitions,) = struct.unpack_from(">i", frame, name_at + length)
        at = name_at + length + 4
        for _ in range(partitions):
            (partition,) = struct.unpack_from(">i", frame, at)
            at += head.size
            (entries,) = struct.unpack_from(">i", frame, at)
            at += 4
            for _ in range(max(entries, 0)):
                producer, first = _ENTRY.unpack_from(frame, at)
                topic = frame[name_at : name_at + length].decode()
                found.append(Aborted(topic, partition, producer, first, at))
                at += _ENTRY.size
            if version >= 11:
                at += 4
            (size,) = struct.unpack_from(">i", frame, at)
            at += 4 + max(size, 0)
    return found


def is_empty(frame: bytes, version: int) -> bool:
    """Whether an answer brings neither a record nor an error of any partition."""
    at = 4 + 4
    if version >= 7:
        if frame[at : at + 2] != b"\0\0":
            return False
        at += 6
    size = _ANSWER_PARTITION[version].size
    after = 4 if version >= 11 else 0
    (topics,) = _INT.unpack_from(frame, at)
    at += 4
    for _ in range(topics):
        at += 2 + (frame[at] << 8 | frame[at + 1])
        (partitions,) = _INT.unpack_from(frame, at)
        at += 4
        for _ in range(partitions):
            if frame[at + 4] or frame[at + 5]:
                return False
            at += size
            entries = _INT.unpack_from(frame, at)[0]
            at += 4 + (entries * _ENTRY.size if entries > 0 else 0) + after
            if _INT.unpack_from(frame, at)[0] > 0:
                return False
            at += 4
    return True


def max_wait_seconds(frame: bytes) -> float:
    """How long the client lets the broker wait for records."""
    (client,) = struct.unpack_from(">h", frame, 8)
    return float(_INT.unpack_from(frame, 14 + max(client, 0))[0]) / 1000


def fetch_offsets(frame: bytes, version: int) -> dict[tuple[str, int], int]:
    """The offset asked for of each (topic, partition) of a request."""
    (client,) = struct.unpack_from(">h", frame, 8)
    at = 10 + max(client, 0) + 17 + (8 if version >= 7 else 0)
    (topics,) = struct.unpack_from(">i", frame, at)
    at += 4
    offsets = {}
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", frame, at)
        topic = frame[at + 2 : at + 2 + length].decode()
        (partitions,) = struct.unpack_from(">i", frame, at + 2 + length)
        at += 2 + length + 4
        for _ in range(partitions):
            (partition,) = struct.unpack_from(">i", frame, at)
            at += 8 if version >= 9 else 4
            (offset,) = struct.unpack_from(">q", frame, at)
            at += 8 + (8 if version >= 5 else 0) + 4
            offsets[topic, partition] = offset
    return offsets


def strip_aborted(frame: bytes, version: int, stale: list[Aborted]) -> bytes:
    """The answer with ``stale`` entries made harmless: their producer becomes one that never writes.

    Replaced rather than removed, so that nothing else of the frame moves.
    """
    changed = bytearray(frame)
    for entry in stale:
        struct.pack_into(">q", changed, entry.at, -2)
    return bytes(changed)


def fetch_request(topic: str, partition: int, offset: int, correlation: int) -> bytes:
    """A version 4 request, read uncommitted, of up to 16 MiB from one partition."""
    name = topic.encode()
    header = struct.pack(">hhih", FETCH, LOWEST, correlation, 4) + b"gate"
    body = struct.pack(">iiiibi", -1, 0, 0, 16 << 20, 0, 1)
    body += struct.pack(">h", len(name)) + name
    return header + body + struct.pack(">iiqi", 1, partition, offset, 16 << 20)


def batches(frame: bytes) -> Iterator[tuple[int, int, int, bool]]:
    """(base offset, next offset, producer, is control) of the batches of a version 4 answer for one partition."""
    at = 8 + 4
    (length,) = struct.unpack_from(">h", frame, at)
    at += 2 + length + 4 + _ANSWER_PARTITION[LOWEST].size
    (entries,) = struct.unpack_from(">i", frame, at)
    at += 4 + max(entries, 0) * _ENTRY.size
    (size,) = struct.unpack_from(">i", frame, at)
    at += 4
    end = min(at + max(size, 0), len(frame))
    while at + _BATCH.size <= end:
        base, length, _, _, _, attributes, last, _, _, producer, *_ = _BATCH.unpack_from(frame, at)
        yield base, base + last + 1, producer, bool(attributes & _CONTROL)
        at += 12 + length

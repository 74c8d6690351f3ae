"""Which changes of a large transaction are the last of their key, with memory that does not grow with it.

Each keyed change leaves a fixed-size entry (a 128-bit digest of relation and key, the relation, the
ordinal) in one of many buckets by its digest, on disk. At the end one bucket after the other is read
from its end: the first entry of a digest is the last change of its key, all others are superseded. In
memory are, at any time, 16 KB a bucket, the digests of one bucket, and one bit a change: 20 MB for a
hundred million changes. Beyond 67 million the digests of a bucket grow in proportion, by 100 bytes for
each 1,024 changes. Two keys with one digest would hide one of two last states from those who read last
states only; among ten million keys that has the probability of 10⁻²⁵.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from connectors.sources.spill import SpillArea

BUCKET_CHANGES = 1 << 16
BUCKETS_MOST = 1024
_BUFFER_BYTES = 16_384
_ENTRY = struct.Struct(">16sIQ")  # digest, relation, ordinal


class Bits(Sequence[int]):
    """``count`` bits, all 1 at first; reads like a bytearray of 0 and 1."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._bits = bytearray(b"\xff") * (count + 7 >> 3)

    def clear(self, index: int) -> None:
        """Make one 0."""
        self._bits[index >> 3] &= ~(1 << (index & 7)) & 0xFF

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return bytearray(self[one] for one in range(*index.indices(self._count)))
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._bits[index >> 3] >> (index & 7) & 1


class LastOfKeys:
    """Takes the changes of one transaction in their order; ``expected`` is about how many there are."""

    def __init__(self, area: SpillArea, expected: int) -> None:
        count = min(max(expected // BUCKET_CHANGES, 1), BUCKETS_MOST)
        self._file = area.file()
        self._buffers = [bytearray() for _ in range(count)]
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        self._truncated: dict[int, int] = {}

    def add(self, relation: int, key: Hashable, ordinal: int) -> None:
        """A change of a key."""
        digest = hashlib.blake2b(repr((relation, key)).encode(), digest_size=16).digest()
        bucket = int.from_bytes(digest[:4], "big") % len(self._buffers)
        buffer = self._buffers[bucket]
        buffer += _ENTRY.pack(digest, relation, ordinal)
        if len(buffer) >= _BUFFER_BYTES:
            self._pieces[bucket].append((self._file.write(buffer), len(buffer)))
            buffer.clear()

    def truncate(self, relation: int, ordinal: int) -> None:
        """All rows of ``relation`` are gone: no earlier keyed change of it is a last state."""
        self._truncated[relation] = ordinal

    def finish(self, count: int, tick: Callable[[], None]) -> Bits:
        """One bit for each of ``count`` ordinals. ``tick`` is called now and then."""
        last = Bits(count)
        for buffer, pieces in zip(self._buffers, self._pieces, strict=True):
            seen: set[bytes] = set()
            self._supersede(buffer, seen, last)
            for offset, size in reversed(pieces):
                self._supersede(self._file.read(offset, size), seen, last)
                tick()
        return last

    def _supersede(self, entries: bytes | bytearray, seen: set[bytes], last: Bits) -> None:
        truncated = self._truncated
        for position in range(len(entries) - _ENTRY.size, -1, -_ENTRY.size):
            digest, relation, ordinal = _ENTRY.unpack_from(entries, position)
            if digest in seen or ordinal < truncated.get(relation, -1):
                last.clear(ordinal)
            else:
                seen.add(digest)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

"""The messages of one transaction as they came: LSN, (sub-)transaction id, bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from connectors.sources.spill import SpillArea, SpillFile

READ_BYTES = 1 << 20
_FRAME = struct.Struct(">QII")  # LSN, transaction id, length of the message
_SHAPES = frozenset(b"RY")  # relations and types


class Spool:
    """The messages of one transaction, in their order; on disk once the area is over its limit."""

    def __init__(self, area: SpillArea) -> None:
        self._area = area
        area.join(self)
        self._memory = bytearray()
        self._file: SpillFile | None = None
        self.messages = 0
        self.shapes: list[bytes] = []
        """The messages among them that describe relations and types."""
        self.aborted: set[int] = set()
        """Sub-transactions that were rolled back: `frames` leaves their changes out."""

    @property
    def on_disk(self) -> bool:
        """Some of it is."""
        return self._file is not None

    @property
    def size(self) -> int:
        """Bytes, in memory and on disk."""
        return len(self._memory) + (self._file.size if self._file is not None else 0)

    def append(self, lsn: int, xid: int, message: bytes) -> None:
        """Add a message of the (sub-)transaction ``xid``."""
        self.messages += 1
        if message[0] in _SHAPES:
            self.shapes.append(message)
        added = _FRAME.pack(lsn, xid, len(message)) + message
        self._memory += added
        self._area.hold(len(added))

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._memory)

    def flush(self) -> int:
        """Write what is in memory to disk; how many bytes that was."""
        if self._file is None:
            self._file = self._area.file()
        written = self.held
        self._file.write(self._memory)
        self._memory = bytearray()
        return written

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """LSN and message of each. Relations and types stay even where their sub-transaction did not:
        the server sends them once a transaction, whatever becomes of the part that it sent them in."""
        aborted = self.aborted
        for block in self._blocks():
            position = 0
            while position < len(block):
                lsn, xid, length = _FRAME.unpack_from(block, position)
                start = position + _FRAME.size
                position = start + length
                message = block[start:position]
                if xid not in aborted or message[0] in _SHAPES:
                    yield lsn, message

    def _blocks(self) -> Iterator[bytes]:
        """What was written, in pieces of whole frames."""
        file = self._file
        offset = 0
        while file is not None and offset < file.size:
            block = file.read(offset, READ_BYTES)
            whole, wanted = _whole_frames(block)
            if not whole:  # one message larger than a block
                whole, block = wanted, file.read(offset, wanted)
            assert 0 < whole <= len(block), "the spill file is shorter than what was written"
            yield block[:whole]
            offset += whole
        if self._memory:
            yield bytes(self._memory)

    def close(self) -> None:
        """Forget it, and give the space back."""
        self._area.release(self)
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()


def _whole_frames(block: bytes) -> tuple[int, int]:
    """How many bytes of ``block`` are whole frames, and how many the first frame takes."""
    position = first = 0
    while position + _FRAME.size <= len(block):
        end = position + _FRAME.size + int(_FRAME.unpack_from(block, position)[2])
        first = first or end
        if end > len(block):
            break
        position = end
    return position, first

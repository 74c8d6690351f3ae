"""Disk for what does not fit in memory: files without a name, gone with the process that made them.

`SpillArea` bounds the bytes that all its spools hold in memory together. A `Spool` keeps the messages
of one transaction as they came: LSN, (sub-)transaction id, bytes. A disk that is full is a
`DependencyUnavailable` that names the folder: nothing was acknowledged, so the session that follows
receives the transaction anew, and goes on as soon as there is room.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from streams.errors import DependencyUnavailable

READ_BYTES = 1 << 20
_FRAME = struct.Struct(">QII")  # LSN, transaction id, length of the message
_SHAPES = frozenset(b"RY")  # relations and types


class SpillFile:
    """One nameless file: appended to, and read at any offset. Errors as the module says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed by `close`
        except OSError as error:
            self._refuse(error)

    def write(self, data: bytes | bytearray) -> int:
        """Append; the offset at which ``data`` is."""
        offset = self.size
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, self.size)
                self.size += written
                view = view[written:]
        except OSError as error:
            self._refuse(error)
        finally:
            view.release()
        return offset

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer at the end."""
        try:
            return os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            self._refuse(error)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

    def _refuse(self, error: OSError) -> NoReturn:
        raise DependencyUnavailable(
            f"a large transaction can't be spilled to {self._folder}: {error.strerror}; make room there, or "
            "set spill_dir to a folder on another disk"
        ) from None


class SpillArea:
    """Makes spools that together hold at most ``limit`` bytes of messages in memory."""

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.folder = folder if folder is not None else Path(tempfile.gettempdir())
        self.limit = limit
        self.held = 0
        """Bytes in the memory of all spools."""
        self._spools: set[Spool] = set()

    def spool(self) -> Spool:
        """A new, empty one."""
        made = Spool(self)
        self._spools.add(made)
        return made

    def hold(self, added: int) -> None:
        """Account for bytes that a spool has taken in; beyond the limit the largest goes to disk."""
        self.held += added
        if self.held > self.limit:
            largest = max(self._spools, key=lambda spool: spool.held)
            self.held -= largest.flush()

    def release(self, spool: Spool) -> None:
        """Forget a spool that is closed."""
        if spool in self._spools:
            self._spools.remove(spool)
            self.held -= spool.held

    def file(self) -> SpillFile:
        """A new, empty one."""
        return SpillFile(self.folder)


class Spool:
    """The messages of one transaction, in their order; on disk once the area is over its limit."""

    def __init__(self, area: SpillArea) -> None:
        self._area = area
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

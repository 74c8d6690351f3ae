"""Disk for what does not fit in memory: files without a name, gone with the process that made them.

A disk that is full is a `DependencyUnavailable` that names the folder: nothing was acknowledged, so the
session that follows receives the transaction anew, and goes on as soon as there is room.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NoReturn, Protocol

from streams.errors import DependencyUnavailable


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


class Holder(Protocol):
    """Has bytes in memory that could be on disk."""

    @property
    def held(self) -> int:
        """Bytes in memory."""

    def flush(self) -> int:
        """Write what is in memory to disk; how many bytes that was."""


class SpillArea:
    """Makes files, and bounds what its holders have in memory together to ``limit`` bytes."""

    def __init__(self, folder: Path | None, limit: int) -> None:
        self.folder = folder if folder is not None else Path(tempfile.gettempdir())
        self.limit = limit
        self.held = 0
        """Bytes in the memory of all holders."""
        self._holders: set[Holder] = set()

    def join(self, holder: Holder) -> None:
        """Count on it, until `release`."""
        self._holders.add(holder)

    def hold(self, added: int) -> None:
        """Account for bytes that a holder has taken in; beyond the limit the largest goes to disk."""
        self.held += added
        if self.held > self.limit:
            largest = max(self._holders, key=lambda holder: holder.held)
            self.held -= largest.flush()

    def release(self, holder: Holder) -> None:
        """Forget one that is closed."""
        if holder in self._holders:
            self._holders.remove(holder)
            self.held -= holder.held

    def file(self) -> SpillFile:
        """A new, empty one."""
        return SpillFile(self.folder)

"""The wall clock of one process, set forward and back while it runs."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("stepped_clock.c")
AHEAD_S = 600


class Clock:
    """Processes that are started with `environment` are ahead of us by what `step` said last.

    Their monotonic clock, by which waits go, stays as it is, as on a machine whose time is set. Skips where
    there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        library = folder / "stepped_clock.so"
        _compile(library)
        self.step(0)
        self.environment = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def step(self, seconds: int) -> None:
        """Set the clock to this far ahead of ours; negative is behind."""
        # In place, and at once: the processes have the file mapped.
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", seconds))


def _compile(library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc) to make the clock of a process")
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O2",
        "-Wall",
        "-Werror",
        "-o",
        str(library),
        str(SOURCE),
        "-ldl",
    ]
    subprocess.run(command, check=True)

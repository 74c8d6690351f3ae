"""The wall clock of one process, set forward and back while it runs, by Debian's libfaketime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "FAKETIME_LIBRARY"
PLACES = "/usr/lib", "*/faketime/libfaketimeMT.so.1"
AHEAD_S = 600
PROBE_S = 20.0
# A client's own time limit, with nobody to be reached.
PROBE = """
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 1000, "log_level": 0})
producer.produce("topic", b"value")
producer.flush(5)
"""


class Clock:
    """Processes that are started with `environment` are ahead of us by what `step` said last.

    Their monotonic clock, by which waits go, is to stay as it is, as on a machine whose time is set.
    Skips where that can't be had: with libfaketime 0.9.10 a flush of librdkafka does not end while the
    clock is ahead.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.environment = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step(AHEAD_S)
        try:
            subprocess.run(
                [sys.executable, "-c", PROBE],
                env={**os.environ, **self.environment},
                timeout=PROBE_S,
                check=True,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(
                "librdkafka's waits do not end under this libfaketime: what it shows is not the worker's"
            )
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set the clock to this far ahead of ours; negative is behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="ascii")
        new.replace(self._file)


def _library() -> Path:
    found = (
        [Path(os.environ[VARIABLE])] if VARIABLE in os.environ else sorted(Path(PLACES[0]).glob(PLACES[1]))
    )
    if not found:
        pytest.skip(f"needs libfaketime: install it, or set {VARIABLE}")
    return found[0]

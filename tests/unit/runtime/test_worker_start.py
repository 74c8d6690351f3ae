"""A worker can be stopped while it starts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.errors import DependencyUnavailable
from streams.settings import Settings
from streams.worker.process import WorkerProcess


class Application:
    """One whose brokers never answer, or that fails at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.cancelled = False

    async def start(self) -> None:
        """Never, or the error."""
        if self._error is not None:
            raise self._error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def start(application: Any, *, stop: bool) -> None:
    """As `WorkerProcess.run` starts its applications, told to ``stop`` meanwhile."""

    async def whole() -> None:
        worker = WorkerProcess(Settings(), [])
        worker._apps = {"flow": application}
        if stop:
            asyncio.get_running_loop().call_later(0.02, worker._stopping.set)
        await worker._start_apps()
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(whole(), 5))


def test_a_stop_ends_a_start_without_brokers() -> None:
    """It waits for nothing that may never come."""
    application = Application()
    start(application, stop=True)
    assert application.cancelled


def test_what_keeps_it_from_starting_is_raised() -> None:
    """An error of an application is the worker's."""
    with pytest.raises(OSError, match="no room"):
        start(Application(OSError("no room")), stop=False)


def test_brokers_that_went_away_are_said_in_one_line() -> None:
    """Their client's error would be a traceback."""
    with pytest.raises(DependencyUnavailable, match=r"no Kafka broker answers at .* any more") as raised:
        start(Application(KafkaConnectionError("Unable to bootstrap")), stop=False)
    assert "\n" not in str(raised.value)

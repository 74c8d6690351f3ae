"""A database that fails inside the benchmark of sources is one line of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import psycopg
import pytest

from connectors.bench import run
from connectors.bench.load import DSN_VARIABLE
from connectors.bench.measure import Size
from connectors.bench.slots import SlotWatch
from streams.errors import DependencyUnavailable

SERVER_GONE = psycopg.OperationalError("server closed the connection\n\tThis probably means a crash")


class BrokenConnection:
    """A connection whose server has gone."""

    def execute(self, *_: Any) -> NoReturn:
        """Fails."""
        raise SERVER_GONE

    def close(self) -> None:
        """Nothing to end."""


def test_a_database_error_is_a_dependency_that_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with the first line of what the database says, not with the client's exception."""

    @contextlib.contextmanager
    def stack(*_: Any, **__: Any) -> Iterator[None]:
        yield

    def measure(*_: Any) -> NoReturn:
        raise SERVER_GONE

    monkeypatch.setattr(run, "Stack", stack)
    monkeypatch.setattr(run, "_contenders", lambda *_: [run.Contender])
    monkeypatch.setattr(run.Contender, "name", "ours", raising=False)
    monkeypatch.setattr(run, "_measure", measure)
    settings = run.BenchSettings(Size(1000, 1, 1), "embedded", "512m", debezium=False, keep=False)
    with pytest.raises(DependencyUnavailable) as raised:
        run.run_bench(settings, lambda *_: None)
    assert str(raised.value) == "the benchmark's database: server closed the connection"


def test_the_slot_watch_hands_its_error_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the watching thread is raised where the slot is awaited."""
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: BrokenConnection())
    with SlotWatch("", "slot") as watch:
        watch._thread.join(5)
        with pytest.raises(psycopg.OperationalError, match="server closed"):
            watch.check()


def test_the_paced_writer_ends_with_one_line() -> None:
    """The writer's process says what the database said, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "connectors.bench.load", "1", "1", "1"],
        env={**os.environ, DSN_VARIABLE: "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "127.0.0.1" in done.stderr

"""The polling source beside writers: kills, restarts of the database, and a comparison row by row."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.sources.running import (
    DEADLINE_S,
    assert_no_position_twice,
    assert_positions_grow,
    wait_until,
)
from integration.sources_polling.polled import Polled, connect, write

KILLS = 5


def test_writers_beside_the_polls(polled: Polled) -> None:
    """Inserts, updates, deletes and changes of keys by three writers, from before the initial reading on."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 3000) i")
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(polled, stop, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        with polled.running():
            time.sleep(5)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    polled.run_once()
    messages = polled.messages("line")
    assert {"r", "c", "u", "d"} == {m.value["op"] for m in messages if m.value}
    assert polled.same()
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


@pytest.mark.parametrize("lost", [False, True])
def test_kills(polled: Polled, tmp_path: Path, lost: bool) -> None:
    """SIGKILL at random moments under writers, the state file kept or lost: no row lost, none doubled."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 3000) i")
    choose, stop, log = random.Random(5), threading.Event(), tmp_path / "log"
    writer = threading.Thread(target=write, args=(polled, stop, 1))
    writer.start()
    try:
        for _ in range(KILLS):
            before = polled.end("line")
            source = polled.process(log)
            try:
                # One is the end of the transaction that the last kill has left open.
                wait_until(lambda: polled.end("line") > before + 1)  # noqa: B023 - called in this round
                time.sleep(choose.random() / 2)
                assert source.poll() is None, "it has ended by itself"
            finally:
                source.kill()
                source.wait()
            if lost:
                for file in tmp_path.glob("rows*"):
                    file.unlink()
    finally:
        stop.set()
        writer.join()
    polled.run_once()
    assert polled.same()
    assert_no_position_twice(polled.messages("line"))
    assert_unchanged_rows_are_sent_once(polled)
    assert b"Traceback" not in log.read_bytes()


def test_the_database_restarts(polled: Polled, tmp_path: Path) -> None:
    """Orderly and by a crash, under a writer: the source waits, and goes on by itself."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 3000) i")
    postgres, stop, log = polled.stack.postgres, threading.Event(), tmp_path / "log"
    writer = threading.Thread(target=write_on, args=(polled, stop))
    writer.start()
    source = polled.process(log)
    try:
        for end in (signal.SIGINT, signal.SIGQUIT):
            wait_for_news(polled)
            assert postgres.child.pid is not None
            os.kill(postgres.child.pid, end)
            wait_until(lambda: not postgres.running)
            failures = log.read_bytes().count(b"session_failed")
            wait_until(lambda: log.read_bytes().count(b"session_failed") > failures)  # noqa: B023 - in this round
            postgres.start()
        wait_for_news(polled)
        assert source.poll() is None, "it has ended by itself"
        source.terminate()
        assert source.wait(DEADLINE_S) == 0
    finally:
        stop.set()
        writer.join()
        source.kill()
        source.wait()
        if not postgres.running:  # the other tests need it too
            postgres.start()
        polled.sql.close()
        polled.sql = connect(polled.dsn, polled.name)
    polled.run_once()
    assert polled.same()
    assert_no_position_twice(polled.messages("line"))
    assert_unchanged_rows_are_sent_once(polled)
    assert b"Traceback" not in log.read_bytes()


def wait_for_news(polled: Polled) -> None:
    known = len(polled.messages("line"))
    wait_until(lambda: len(polled.messages("line")) > known)


def write_on(polled: Polled, stop: threading.Event) -> None:
    """`write`, anew after each end of the connection."""
    for seed in itertools.count():
        with contextlib.suppress(psycopg.OperationalError):
            write(polled, stop, seed)
        if stop.wait(0.1):
            break


def assert_unchanged_rows_are_sent_once(polled: Polled) -> None:
    """No two records of a key in a row say the same."""
    last: dict[Any, Any] = {}
    for message in polled.messages("line"):
        row = message.value and message.value["after"]
        assert row is None or last.get(message.key["id"]) != row, f"{message} was published twice"
        last[message.key["id"]] = row

"""The MariaDB source as a process that is killed, and a server that is: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from integration.sources.harness import assert_no_position_twice, assert_positions_grow, wait_until
from integration.sources_mariadb.harness import Capture, connect, running_mariadb
from integration.sources_mariadb.processes import COLUMNS, LINE, Writers

from streams.stack import Stack

KILLS = 5
SNAPSHOT_KILLS = 2  # of these, soon after the start


@pytest.mark.slow
def test_kill_9_under_load(capture: Capture) -> None:
    """SIGKILL at random moments of snapshot and stream while three writers write: row-exact, once."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'before' FROM seq_1_to_20000")
    seed = random.Random(11)
    published = []
    with Writers(capture, 3):
        for number in range(KILLS):
            before = len(capture.messages("line"))
            process = capture.process(capture.folder / "log")
            if number >= SNAPSHOT_KILLS:  # these hit the stream: something more was published
                wait_until(lambda: process.poll() is not None or len(capture.messages("line")) > before, 90)  # noqa: B023
                time.sleep(seed.random())
            else:
                time.sleep(1 + 2 * seed.random())
            assert process.poll() is None, "it ended by itself"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            published.append(len(capture.messages("line")))
        time.sleep(0.5)
    capture.run_once()
    messages = capture.messages("line")
    assert len(messages) > 20_000
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    print(f"{KILLS} kills, published in between {published}, in the end {len(messages)} records")


def test_a_server_that_is_killed_and_comes_back(stack: Stack, tmp_path: Path) -> None:
    """The source waits, goes on by itself, and has each row once."""
    with running_mariadb({"sync-binlog": "1", "innodb-flush-log-at-trx-commit": "1"}) as server:
        capture = Capture(stack, server, tmp_path)
        capture.execute(LINE)
        capture.run_once()
        with capture.running():
            capture.execute("INSERT INTO line VALUES (1, 1, 'before')")
            wait_until(lambda: len(capture.messages("line")) == 1)
            server.kill()
            server.start()
            capture.sql = connect(server, database=capture.name)
            capture.execute("INSERT INTO line VALUES (2, 2, 'after')")
            wait_until(lambda: len(capture.messages("line")) == 2)
        assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
        assert_no_position_twice(capture.messages("line"))
        capture.close()

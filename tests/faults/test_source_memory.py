"""The memory of the PostgreSQL source while a transaction of two million rows passes through it."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from faults.conftest import FULL
from integration.sources.harness import Capture
from integration.sources.running import iter_topic
from support.faults.supervisor import END_S, Commands, said
from support.faults.world import World

from connectors.bench.process import peak_rss_mb

ROWS = (200_000, 2_000_000)  # of one transaction after the other
PUBLISHED_S = 1_800.0  # a tenth of that where nothing else runs
PEAK_MB = 150
GROWTH_MB = 25  # of ten times as many rows: one bit a change and what a heap does, no more

CREATE = """
CREATE TABLE entry (
    id bigint PRIMARY KEY, client text NOT NULL, consultant text NOT NULL, work_date date NOT NULL,
    hours numeric(6,2) NOT NULL, rate numeric(12,4) NOT NULL, billable boolean NOT NULL, note text,
    changed timestamptz NOT NULL)
"""
INSERT = """
INSERT INTO entry
SELECT i, 'client-' || i %% 500, 'consultant-' || i %% 4000, date '2024-01-01' + (i %% 700)::int,
       (i %% 96 + 1) * 0.25, 80 + i %% 9000 * 0.0125, i %% 5 <> 0, 'worked on package ' || i, now()
FROM generate_series(%s::bigint, %s::bigint) i
"""

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not FULL, reason="takes minutes: `make faults` runs it"),
]


@pytest.mark.timeout(4800)
@pytest.mark.parametrize("delivered", ["in progress", "after its commit"])
def test_a_transaction_of_two_million_rows(world: World, delivered: str) -> None:
    """Nine columns: the peak stays under the bound and does not follow the rows, each of which arrives once."""
    capture = world.capture
    capture.sql.execute(CREATE)
    # The server sends what is beyond this while it is in progress, else it keeps it until the commit.
    work_mem = "64MB" if delivered == "in progress" else "2GB"
    dsn = f"{world.dsn}?options=-c%20logical_decoding_work_mem%3D{work_mem}"
    commands = world.commands(dsn=dsn)
    assert commands.run("run", "--once").code == 0
    process = commands.start("run")
    try:
        peaks, first = [], 1
        for rows in ROWS:
            capture.sql.execute(INSERT, [first, first + rows - 1])
            first += rows
            began = time.monotonic()
            wait_for_published(commands, process, rows)
            peaks.append(peak_rss_mb(process.pid))
            print(
                f"{rows} rows, {delivered}: published {time.monotonic() - began:.0f} s after the commit, "
                f"peak {peaks[-1]:.1f} MB"
            )
        process.terminate()
        assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.wait()
    assert peaks[1] < PEAK_MB, peaks
    assert peaks[1] - peaks[0] < GROWTH_MB, peaks
    assert_each_once(capture, sum(ROWS))
    commands.assert_no_traceback()


def wait_for_published(commands: Commands, process: subprocess.Popen[bytes], rows: int) -> None:
    """Return when the source has said that a transaction of so many rows is published."""
    deadline = time.monotonic() + PUBLISHED_S
    while not said(commands.lines(), "large_transaction", f'"changes": {rows},'):
        assert process.poll() is None, commands.lines()[-1]
        assert time.monotonic() < deadline, "it is not published"
        time.sleep(0.5)


def assert_each_once(capture: Capture, rows: int) -> None:
    """Row by row, by the number that makes all of a row; none is kept in memory."""
    seen = bytearray(rows + 1)
    for raw in iter_topic(capture.stack.broker.bootstrap, capture.topic("entry")):
        row: dict[str, Any] = capture.decoded(raw).value["after"]
        number = row["id"]
        seen[number] += 1
        assert row["note"] == f"worked on package {number}"
        assert row["client"] == f"client-{number % 500}"
        assert row["billable"] == (number % 5 != 0)
    assert seen.count(1) == rows
    assert not seen[0]

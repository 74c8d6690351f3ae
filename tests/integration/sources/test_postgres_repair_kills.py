"""Repairs that are killed, and repairs of what a kill or somebody else has left: row by row in the end."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    wait_until,
)
from support.faults.supervisor import Commands

from connectors.bench.process import peak_rss_mb
from connectors.sources.postgres.repair.repair import Repaired
from streams.errors import DependencyUnavailable, PositionLost

COLUMNS = ("id", "cost", "note")
ROWS = 150_000  # a fast machine is not through with them before the kill


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A table of 300 rows, to be captured."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)")
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, 300) i")
    return capture


def start(capture: Capture, command: str) -> subprocess.Popen[bytes]:
    """A command as its own process, as the command line runs it."""
    stack, log = capture.stack, capture.folder / "source.log"
    return Commands(capture.config_file(), stack.broker.bootstrap, stack.registry.url, log).start(command)


def killed_when(capture: Capture, command: str, due: Callable[[], bool]) -> None:
    """SIGKILL the command as soon as ``due``."""
    process = start(capture, command)
    try:
        wait_until(due)
    finally:
        process.kill()
        process.wait()


def repair(capture: Capture) -> Repaired:
    done = capture.repair()
    assert done is not None
    return done


def assert_equal(capture: Capture) -> None:
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


@pytest.mark.slow
def test_killed_several_times_it_is_run_again(line: Capture) -> None:
    """SIGKILL when it has just begun, and twice after some more differences are visible: the source
    refuses to run; the next repair publishes the rest, none of them twice, and the topic is the table."""
    line.run_once()
    line.sql.execute("INSERT INTO line SELECT i, i, 'bulk' FROM generate_series(1001, 150000) i")
    line.sql.execute("DELETE FROM line WHERE id BETWEEN 10 AND 20")
    line.sql.execute("UPDATE line SET note = 'changed' WHERE id BETWEEN 30 AND 40")
    line.drop_slot()
    killed_when(line, "repair", lambda: line.progress().repairing)
    kept = len(line.messages("line"))
    for _ in range(2):
        known = line.end("line")
        killed_when(line, "repair", lambda known=known: line.end("line") > known + 15_000)
        assert line.progress().repairing, "the kill came too late to show anything"
        # (The progress is only readable when the killed one's transaction has ended.)
        assert kept < len(line.messages("line")) < 149_000
        kept = len(line.messages("line"))
    with pytest.raises(PositionLost, match="began and did not end"):
        line.run_once()
    repair(line)
    changed = [m.key["id"] for m in line.messages("line") if m.position[0] > 1 and m.value is not None]
    assert len(changed) == len(set(changed)) == 149_000 + 11 + 11
    assert_equal(line)
    line.sql.execute("DELETE FROM line WHERE id > 149990")
    line.run_once()
    assert_equal(line)


def test_after_a_snapshot_that_did_not_end(line: Capture) -> None:
    """A first snapshot SIGKILLed after some chunks, changes of rows that it had and had not published, then
    the slot dropped: the rest is published as creates, what it had is not published again."""
    line.settings["snapshot_chunk_pages"] = 8
    line.sql.execute("INSERT INTO line SELECT i, i, 'bulk' FROM generate_series(1001, %s::int) i", [ROWS])
    killed_when(line, "run", lambda: bool(line.slots()) and end_of_snapshot(line) > 0)
    published = {m.key["id"] for m in line.messages("line")}
    assert 0 < len(published) < ROWS - 700, "it was not killed within the snapshot"
    line.sql.execute("DELETE FROM line WHERE id % 10 = 0")
    line.sql.execute("UPDATE line SET note = 'changed' WHERE id % 10 = 1")
    line.drop_slot()
    with pytest.raises(PositionLost, match="source repair"):
        line.run_once()
    counts = repair(line).tables[f"{line.name}.line"]
    rows = set(line.rows("line", "id"))
    assert counts == {
        "rows": len(rows),
        "c": len(rows - published),
        "u": len([one for one in published if one % 10 == 1]),
        "d": len(published - rows),
    }
    assert_equal(line)
    line.sql.execute("UPDATE line SET note = 'later' WHERE id % 100 = 2")
    line.run_once()
    assert_equal(line)


def end_of_snapshot(capture: Capture) -> int:
    """Rows that the snapshot under way has published, as stored."""
    run = capture.progress().run
    return 0 if run is None else run.rows


def test_of_a_table_whose_topic_was_deleted(line: Capture) -> None:
    """The topic is made again and has all rows; the stream goes on in it."""
    line.run_once()
    admin = AdminClient({"bootstrap.servers": line.stack.broker.bootstrap})
    topic = line.topic("line")
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics)
    line.sql.execute("UPDATE line SET note = 'changed' WHERE id < 10")
    line.drop_slot()
    assert repair(line).tables[f"{line.name}.line"] == {"rows": 300, "c": 300, "u": 0, "d": 0}
    assert_equal(line)
    line.sql.execute("DELETE FROM line WHERE id < 5")
    line.run_once()
    assert_equal(line)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(line: Capture) -> None:
    """A repair of many rows takes hardly more than one of few; all of them would take some 200 MB more."""
    line.settings["partitions"] = 12
    peaks = []
    for first, last in ((1_001, 20_000), (20_001, 140_000)):
        line.sql.execute(
            "INSERT INTO line SELECT i, i, repeat(md5(i::text), 6) FROM generate_series(%s::int, %s::int) i",
            [first, last],
        )
        line.run_once()
        line.drop_slot()
        peaks.append(peak_mb(start(line, "repair")))
    assert peaks[1] < 150, peaks
    assert peaks[1] - peaks[0] < 40, peaks


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The most memory that the process has held, by the time that it ended well."""
    peak = 0.0
    while process.poll() is None:
        with contextlib.suppress(DependencyUnavailable):  # it has just ended
            peak = max(peak, peak_rss_mb(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0
    return peak

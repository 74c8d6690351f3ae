"""Large transactions and XA transactions of the MariaDB source, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from integration.sources.harness import (
    assert_no_position_twice,
    assert_positions_grow,
    read_topic,
    wait_until,
)
from integration.sources_mariadb.harness import Capture, connect
from integration.sources_mariadb.processes import COLUMNS, LINE

from connectors.sources.mariadb import transactions
from connectors.sources.mariadb.parts import PART_CHANGES

SMALL = 10_000  # bytes: all but the smallest transactions go to disk


@pytest.fixture
def spills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each transaction that goes to disk."""
    seen: list[int] = []
    real = transactions.TransactionBuffer.flush

    def flush(self: transactions.TransactionBuffer) -> int:
        seen.append(len(self))
        return real(self)

    monkeypatch.setattr(transactions.TransactionBuffer, "flush", flush)
    return seen


def test_a_spilled_transaction_is_as_one_in_memory(capture: Capture, spills: list[int]) -> None:
    """Order, last of their keys, a change of key and a savepoint rolled back; then a small one."""
    capture.execute(LINE)
    capture.run_once(spill_after=SMALL)
    capture.sql.begin()
    capture.execute("INSERT INTO line SELECT seq, 0, 'new' FROM seq_1_to_5000")
    capture.execute("SAVEPOINT s")
    capture.execute("INSERT INTO line SELECT seq, 0, 'undone' FROM seq_6001_to_9000")
    capture.execute("ROLLBACK TO SAVEPOINT s")
    capture.execute("UPDATE line SET cost = id WHERE id % 2 = 0")
    capture.execute("UPDATE line SET id = -id WHERE id % 1000 = 0")
    capture.execute("DELETE FROM line WHERE id % 5 = 1")
    capture.sql.commit()
    capture.execute("INSERT INTO line VALUES (6000, 1, 'small')")
    capture.run_once(spill_after=SMALL)
    assert len(spills) == 1
    changes = capture.changes("line")
    assert [m.position[2] for m in changes] == [*range(5000 + 2500 + 10 + 1000), 0]
    last = [m for m in changes if m.last]
    assert len(last) == len({m.key["id"] for m in last}) == 5000 + 5 + 1
    assert {m.key["id"] for m in last if m.value["op"] != "d"} == set(capture.rows("line", *COLUMNS))
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(capture.messages("line"))
    assert_positions_grow(capture.messages("line"))


def test_a_rolled_back_large_transaction_leaves_nothing(capture: Capture) -> None:
    """The server does not log it; the one that follows is published."""
    capture.execute(LINE)
    capture.run_once(spill_after=SMALL)
    capture.sql.begin()
    capture.execute("INSERT INTO line SELECT seq, 0, 'never' FROM seq_1_to_5000")
    capture.sql.rollback()
    capture.execute("INSERT INTO line SELECT seq, 0, 'kept' FROM seq_7001_to_7100")
    capture.run_once(spill_after=SMALL)
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert len(capture.messages("line")) == 100


def kill(process: subprocess.Popen[bytes]) -> None:
    assert process.poll() is None, "it ended by itself"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def published(capture: Capture) -> int:
    return len(read_topic(capture.stack.broker.bootstrap, capture.topic("line")))


def written(capture: Capture) -> int:
    """Records in the table's topic, those of transactions that are open or aborted included."""
    settings = {"group.id": "written", "isolation.level": "read_uncommitted"}
    consumer = Consumer({"bootstrap.servers": capture.stack.broker.bootstrap, **settings})
    try:
        partitions = [TopicPartition(capture.topic("line"), partition) for partition in (0, 1)]
        return sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in partitions)
    finally:
        consumer.close()


@pytest.mark.slow
def test_a_kill_within_a_spilled_transaction(capture: Capture) -> None:
    """Nothing of it is lost or published twice, wherever the kill hits."""
    capture.settings["spill_after"] = SMALL
    capture.execute(LINE)
    capture.run_once()
    capture.sql.begin()
    capture.execute("INSERT INTO line SELECT seq, 0, 'new' FROM seq_1_to_200000")
    capture.execute("UPDATE line SET cost = id WHERE id % 2 = 0")
    capture.sql.commit()
    process = capture.process(capture.folder / "log")
    time.sleep(2.5)  # it is reading the log
    kill(process)
    for more in (1.1, 0.3):  # parts: one and something is written
        before = written(capture)
        process = capture.process(capture.folder / "log")
        wait_until(lambda: process.poll() is not None or written(capture) > before + more * PART_CHANGES, 90)  # noqa: B023
        kill(process)
        assert published(capture) in (PART_CHANGES, 2 * PART_CHANGES)
    capture.run_once()
    messages = capture.messages("line")
    partial = [m.headers["tallystream.partial"] for m in sorted(messages, key=lambda m: m.position)]
    assert partial == [b"1"] * 2 * PART_CHANGES + [b"0"] * PART_CHANGES
    assert len(messages) == 300_000
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


def prepare(capture: Capture, xid: str, *statements: str) -> None:
    """Leave a prepared transaction behind, whose session is gone."""
    sql = connect(capture.server, database=capture.name)
    with sql.cursor() as cursor:
        cursor.execute(f"XA START {xid}")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute(f"XA END {xid}")
        cursor.execute(f"XA PREPARE {xid}")
    sql.close()


def test_xa_is_published_at_its_commit(capture: Capture) -> None:
    """Not when it is prepared, and in the order of the commits; one rolled back never."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line VALUES (1, 1, 'first')")
    capture.run_once()
    with capture.running():
        prepare(capture, f"'{capture.name}a'", "UPDATE line SET cost = 2 WHERE id = 1")
        prepare(capture, f"'{capture.name}b','branch',7", "INSERT INTO line VALUES (2, 2, 'never')")
        capture.execute("INSERT INTO line VALUES (3, 3, 'between')")
        wait_until(lambda: len(capture.messages("line")) == 2)
        capture.execute(f"XA ROLLBACK '{capture.name}b','branch',7")
        capture.execute(f"XA COMMIT '{capture.name}a'")
        capture.execute("INSERT INTO line VALUES (4, 4, 'after')")
        wait_until(lambda: len(capture.messages("line")) == 4)
    changes = capture.changes("line")
    assert [(m.value["op"], m.key["id"]) for m in changes] == [("r", 1), ("c", 3), ("u", 1), ("c", 4)]
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert capture.progress().prepared is None


def test_prepared_xa_survives_restarts(capture: Capture) -> None:
    """Prepared before a restart, decided after others: each change once, none of the others again."""
    capture.settings["spill_after"] = SMALL
    capture.execute(LINE)
    capture.run_once()
    names = [f"'{capture.name}{number}'" for number in range(4)]
    capture.execute("INSERT INTO line VALUES (1, 1, 'first')")
    rows = ", ".join(f"({number}, 0, 'large')" for number in range(1001, 3001))
    prepare(capture, names[0], f"INSERT INTO line VALUES {rows}")
    capture.execute("INSERT INTO line VALUES (2, 2, 'second')")
    prepare(capture, names[1], "INSERT INTO line VALUES (3, 3, 'third')")
    capture.run_once()
    assert len(capture.messages("line")) == 2
    held = capture.progress().prepared
    assert held is not None
    capture.execute("INSERT INTO line VALUES (4, 4, 'fourth')")
    capture.execute(f"XA COMMIT {names[1]}")
    capture.run_once()
    assert [m.key["id"] for m in capture.changes("line")] == [1, 2, 4, 3]
    assert capture.progress().prepared == held, "the oldest is still open"
    prepare(capture, names[2], "INSERT INTO line VALUES (5, 5, 'never')")
    capture.run_once()
    capture.execute(f"XA COMMIT {names[0]}")
    capture.execute(f"XA ROLLBACK {names[2]}")
    prepare(capture, names[3], "INSERT INTO line VALUES (6, 6, 'last')")
    capture.run_once()
    assert capture.progress().prepared != held
    capture.execute(f"XA COMMIT {names[3]}")
    capture.run_once()
    capture.run_once()
    messages = capture.messages("line")
    assert len(messages) == 4 + 2000 + 1
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert capture.progress().prepared is None
    assert_no_position_twice(messages)


def test_xa_in_one_phase_and_rolled_back_before_it_is_prepared(capture: Capture) -> None:
    """The one is an ordinary transaction in the log, the other is not in it."""
    capture.execute(LINE)
    capture.run_once()
    for number, end in ((1, "XA COMMIT {} ONE PHASE"), (2, "XA ROLLBACK {}")):
        xid = f"'{capture.name}{number}'"
        capture.execute(f"XA START {xid}")
        capture.execute("INSERT INTO line VALUES (%s, 0, 'x')", number)
        capture.execute(f"XA END {xid}")
        capture.execute(end.format(xid))
    capture.run_once()
    assert [m.key["id"] for m in capture.messages("line")] == [1]

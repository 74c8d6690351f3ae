"""Transactions of MySQL: compressed ones, XA, large ones, and the source killed in the middle of them."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from integration.sources.running import assert_no_position_twice, assert_positions_grow, wait_until
from integration.sources_mariadb import test_mariadb_snapshots as snapshots
from integration.sources_mariadb import test_mariadb_transactions as transactions
from integration.sources_mariadb.processes import COLUMNS, LINE, Writers
from integration.sources_mysql.harness import Capture

from connectors.sources.check import WARN
from connectors.sources.mariadb import xa
from streams.errors import DependencyUnavailable

# What holds for MariaDB: these run here on MySQL.
spills, fail_at = transactions.spills, snapshots.fail_at
test_a_spilled_transaction_is_as_one_in_memory = transactions.test_a_spilled_transaction_is_as_one_in_memory
test_xa_is_published_at_its_commit = transactions.test_xa_is_published_at_its_commit
test_prepared_xa_survives_restarts = transactions.test_prepared_xa_survives_restarts
test_xa_in_one_phase = transactions.test_xa_in_one_phase_and_rolled_back_before_it_is_prepared
test_a_snapshot_goes_on_from_any_key = snapshots.test_it_goes_on_from_any_key
test_a_table_without_a_key_is_begun_again = snapshots.test_a_table_without_a_key_is_begun_again
test_a_table_in_another_order_is_begun_again = snapshots.test_a_table_in_another_order_is_begun_again
test_a_table_without_a_key_while_xa_commits = snapshots.test_a_table_without_a_key_while_xa_commits
test_xa_that_is_open_while_the_snapshot_begins = snapshots.test_xa_that_is_open_while_the_snapshot_begins
test_xa_that_is_open_while_a_table_is_added = snapshots.test_xa_that_is_open_while_a_table_is_added

KILLS = 4
SNAPSHOT_KILLS = 1  # of these, soon after the start


@pytest.mark.slow
def test_kill_9_under_load(capture: Capture) -> None:
    """SIGKILL at random moments of snapshot and stream while two writers write: row-exact, once."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'before' FROM seq_1_to_10000")
    seed = random.Random(11)
    with Writers(capture, 2):
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
    capture.run_once()
    messages = capture.messages("line")
    assert len(messages) > 10_000
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


def test_compressed_transactions(capture: Capture) -> None:
    """binlog_transaction_compression: what is in them is published as if they were not, in several sizes."""
    capture.execute(LINE)
    capture.execute("CREATE TABLE other (id int PRIMARY KEY, note longtext)")
    capture.run_once()
    capture.execute("SET SESSION binlog_transaction_compression = ON")
    capture.execute("INSERT INTO line SELECT seq, 0, repeat('x', 200) FROM seq_1_to_3000")
    capture.sql.begin()
    capture.execute("UPDATE line SET cost = id, note = 'z' WHERE id % 3 = 0")
    capture.execute("INSERT INTO other VALUES (1, repeat('y', 500000))")
    capture.execute("DELETE FROM line WHERE id % 5 = 0")
    capture.sql.commit()
    capture.execute("SET SESSION binlog_transaction_compression = OFF")
    capture.execute("UPDATE line SET note = 'plain' WHERE id = 1")
    file = capture.execute("SHOW BINARY LOGS")[-1][0]
    kinds = {row[2] for row in capture.execute(f"SHOW BINLOG EVENTS IN '{file}'")}
    assert "Transaction_payload" in kinds
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert capture.folded("other", "id", "note") == capture.rows("other", "id", "note")
    assert_no_position_twice(capture.messages("line"))
    changes = capture.changes("line")
    places = [(m.position[:2], m.value["source"]["pos"], m.value["source"]["row"]) for m in changes]
    assert places == sorted(places), "the changes of a transaction have places in their order"


def test_xa_that_stays_open_is_named(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot does not begin without its changes; what is said to be typed ends it."""
    monkeypatch.setattr(xa, "WAIT_S", 0.5)
    capture.execute(LINE)
    transactions.prepare(capture, f"'{capture.name}','b',7", "INSERT INTO line VALUES (1, 0, 'x')")
    name = f"X'{capture.name.encode().hex().upper()}',X'62',7"
    with pytest.raises(DependencyUnavailable, match=f"prepared: {name}.*XA COMMIT or XA ROLLBACK"):
        capture.run_once()
    assert [one.status for one in capture.source().check() if name in one.subject] == [WARN]
    capture.execute(f"XA ROLLBACK {name}")
    capture.run_once()
    assert capture.messages("line") == []


def test_a_table_made_of_a_query(capture: Capture) -> None:
    """CREATE TABLE ... SELECT is one transaction in the log: its rows come with it, once."""
    capture.execute(LINE)
    capture.run_once()
    with capture.running(tables=[f"{capture.name}.line", f"{capture.name}.*"]):
        capture.execute("INSERT INTO line VALUES (9, 9, 'it reads the log')")
        capture.execute("DELETE FROM line")
        wait_until(lambda: len(capture.messages("line")) >= 2)
        capture.execute("CREATE TABLE source (id int PRIMARY KEY)")
        capture.execute("INSERT INTO source VALUES (1), (2)")
        capture.execute("DROP TABLE line")
        capture.execute(f"{LINE} SELECT id, 1.5 cost, 'made' note FROM source")
        wait_until(lambda: capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS))
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert len(capture.rows("line", *COLUMNS)) == 2
    assert_no_position_twice(capture.messages("line"))

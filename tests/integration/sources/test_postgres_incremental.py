"""Tables read again while their changes are streamed, by a signal: on real servers."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    wait_until,
)
from structlog.testing import capture_logs
from typer.testing import CliRunner

from connectors.sources.cli import app
from connectors.sources.postgres.snapshot.incremental import Incremental
from streams.errors import ConfigurationError

COLUMNS = ("id", "cost", "note")
ROWS = 2000


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A table that is captured and streamed, and a signal table."""
    capture.settings |= {
        "tables": [f"{capture.name}.line"],
        "signal_table": f"{capture.name}.signal",
        "incremental_chunk_rows": 150,
    }
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)")
    capture.sql.execute("CREATE TABLE signal (id text PRIMARY KEY, type text NOT NULL, data text)")
    capture.sql.execute(
        "INSERT INTO line SELECT i, i, 'row ' || i FROM generate_series(1, %s::int) i", [ROWS]
    )
    capture.run_once()
    return capture


def ask(capture: Capture) -> None:
    result = CliRunner().invoke(
        app, ["snapshot", str(capture.config_file()), "--table", f"{capture.name}.line"]
    )
    assert result.exit_code == 0, result.output


def reread(capture: Capture) -> int:
    """Records of incremental snapshots."""
    return sum(
        1
        for m in capture.messages("line")
        if m.value and m.value["source"]["snapshot"] == "incremental" and m.value["op"] == "r"
    )


def idle(capture: Capture) -> bool:
    """The signal is taken and its snapshot done."""
    left = capture.sql.execute("SELECT 1 FROM signal").fetchone()
    return left is None and not capture.progress().incremental


def assert_equal(capture: Capture) -> None:
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


@contextlib.contextmanager
def writer(capture: Capture) -> Iterator[None]:
    """Changes, deletes, changes of key and inserts, all over the table."""
    stop = threading.Event()

    def write() -> None:
        chance = random.Random(1)
        number = 100_000
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            while not stop.is_set():
                number += 1
                sql.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                sql.execute("UPDATE line SET cost = cost + 1 WHERE id = %s", [chance.randrange(1, ROWS)])
                sql.execute("DELETE FROM line WHERE id = %s", [chance.randrange(1, ROWS)])
                sql.execute("UPDATE line SET id = -id WHERE id = %s", [chance.randrange(1, ROWS)])
                time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_quiet_table_is_read_again(line: Capture) -> None:
    """Every row once, marked as incremental; the signal's row is gone."""
    with line.running():
        ask(line)
        wait_until(lambda: idle(line))
    assert reread(line) == ROWS
    assert_equal(line)


def test_under_load_the_stream_wins(line: Capture) -> None:
    """Rows are changed, deleted and renamed all the time: the topic equals the table in the end."""
    with line.running():
        with writer(line):
            ask(line)
            wait_until(lambda: reread(line) > 0)
            wait_until(lambda: idle(line))
        time.sleep(0.3)
    line.run_once()
    assert reread(line) > ROWS // 4
    assert_equal(line)


@contextlib.contextmanager
def chunks_wait(line: Capture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A snapshot is asked for, and its first chunks are read and not published before the block has
    ended, and the update in it is; then all of it is."""
    step, full, released = Incremental.step, threading.Event(), threading.Event()

    def holding(self: Incremental, progress: object) -> object:
        if not self.active or released.is_set():
            return step(self, progress)  # type: ignore[arg-type]
        if self._reader.found.full():
            full.set()
        return progress

    monkeypatch.setattr(Incremental, "step", holding)
    with line.running():
        ask(line)
        wait_until(full.is_set)
        yield
        wait_until(lambda: any(m.value and m.value["op"] == "u" for m in line.messages("line")))
        released.set()
        wait_until(lambda: idle(line))


def test_a_row_deleted_after_its_chunk_was_read_stays_away(
    line: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete is streamed before the chunk, which still has the row, is published."""
    with chunks_wait(line, monkeypatch):
        line.sql.execute("DELETE FROM line WHERE id IN (1, 2)")
        line.sql.execute("UPDATE line SET note = 'newer' WHERE id = 3")
    again = {
        m.key["id"]
        for m in line.messages("line")
        if m.value and m.value["source"]["snapshot"] == "incremental"
    }
    assert not again & {1, 2, 3}
    assert len(again) == ROWS - 3
    assert_equal(line)


def test_a_transaction_with_more_keys_than_are_remembered(
    line: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that were read before it are not published, but read again later than it: no row is lost,
    none comes back, none is older than the stream's."""
    monkeypatch.setattr("connectors.sources.postgres.snapshot.touched.MOST_KEYS", 100)
    with capture_logs() as logs, chunks_wait(line, monkeypatch), line.sql.transaction():
        line.sql.execute("DELETE FROM line WHERE id % 3 = 0")
        line.sql.execute("UPDATE line SET note = 'newer' WHERE id % 3 = 1")
    assert [one["table"] for one in logs if one["event"] == "incremental_chunk_read_again"] == [
        f"{line.name}.line"
    ]
    assert reread(line) == len(line.rows("line", "id"))
    assert_equal(line)


def test_it_goes_on_where_it_was(line: Capture) -> None:
    """Stopped between two chunks: the next run reads the rest only."""
    with line.running():
        ask(line)
        wait_until(lambda: bool(line.progress().incremental and line.progress().incremental[0].after))
    (pending,) = line.progress().incremental
    assert pending.after is not None
    assert 0 < reread(line) < ROWS
    line.sql.execute("DELETE FROM line WHERE id % 10 = 0")
    before = reread(line)
    with line.running():
        wait_until(lambda: idle(line))
    expected = line.sql.execute("SELECT count(*) FROM line WHERE id > %s", [int(pending.after[0])]).fetchone()
    assert expected is not None
    assert reread(line) == before + expected[0]
    assert_equal(line)


def test_a_mistaken_signal_is_put_aside(line: Capture) -> None:
    """A table that is not captured, and data that are no JSON: said in the log, the stream goes on."""
    line.sql.execute("INSERT INTO signal VALUES ('1', 'execute-snapshot', 'no JSON')")
    line.sql.execute(
        "INSERT INTO signal VALUES ('2', 'execute-snapshot', '{\"data-collections\": [\"public.nothing\"]}')"
    )
    with line.running():
        wait_until(lambda: idle(line))
        line.sql.execute("UPDATE line SET note = 'after' WHERE id = 1")
        wait_until(lambda: any(m.value and m.value["op"] == "u" for m in line.messages("line")))
    assert_equal(line)


def test_the_command_refuses_what_cannot_be(line: Capture) -> None:
    """A table that is not captured, a signal table that is not there: one line each."""

    def refused(table: str, *words: str) -> None:
        result = CliRunner().invoke(app, ["snapshot", str(line.config_file()), "--table", table])
        assert isinstance(result.exception, ConfigurationError)
        assert all(word in str(result.exception) for word in words)
        assert "\n" not in str(result.exception)

    refused("public.nothing", "public.nothing", "does not capture it")
    line.settings["signal_table"] = f"{line.name}.absent"
    refused(f"{line.name}.line", "CREATE TABLE", "absent")

"""Snapshots asked for by a message in the log, where there is no signal table."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    read_topic,
    wait_until,
)
from structlog.testing import capture_logs
from typer.testing import CliRunner

from connectors.sources.cli import app
from connectors.sources.postgres.log.between import SIGNALS
from connectors.sources.postgres.position import PendingTable, Progress
from connectors.sources.topics import POSITIONS

COLUMNS = ("id", "cost", "note")
ROWS = 600


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A table that is captured; and no signal table."""
    capture.settings |= {"tables": [f"{capture.name}.line"], "incremental_chunk_rows": 100}
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)")
    capture.sql.execute("INSERT INTO line SELECT i, i, 'row' FROM generate_series(1, %s::int) i", [ROWS])
    capture.run_once()
    return capture


def emit(capture: Capture, content: str, *, transactional: bool = True) -> None:
    capture.sql.execute("SELECT pg_logical_emit_message(%s, %s, %s)", [transactional, SIGNALS, content])


def request(capture: Capture) -> str:
    data = {"data-collections": [f"{capture.name}.line"]}
    return json.dumps({"id": "1", "type": "execute-snapshot", "data": data})


def reread(capture: Capture) -> Counter[int]:
    """How often each row was read by incremental snapshots."""
    return Counter(
        m.key["id"]
        for m in capture.messages("line")
        if m.value and m.value["source"]["snapshot"] == "incremental"
    )


def assert_equal(capture: Capture) -> None:
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


def test_the_command_writes_a_message(line: Capture) -> None:
    """Every row is read again while the source runs, once."""
    with line.running():
        arguments = ["snapshot", str(line.config_file()), "--table", f"{line.name}.line"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert "the log" in result.output
        wait_until(lambda: reread(line).total() == ROWS and not line.progress().incremental)
    assert set(reread(line).values()) == {1}
    assert_equal(line)


def test_asked_for_while_the_source_is_away(line: Capture) -> None:
    """The next run hears it, once: the one after it reads nothing again."""
    emit(line, request(line))
    line.sql.execute("UPDATE line SET note = 'after' WHERE id <= 10")
    line.run_once()
    assert len(reread(line)) == reread(line).total() >= ROWS - 10
    before = reread(line)
    line.sql.execute("UPDATE line SET note = 'later' WHERE id = 1")
    line.run_once()
    assert reread(line) == before
    assert_equal(line)


def test_the_request_is_stored_with_the_transaction_that_made_it(line: Capture) -> None:
    """A message within a transaction of changes: rolled back it asks for nothing, committed it is in the
    very first position that passes those changes."""
    line.sql.execute("BEGIN")
    emit(line, request(line))
    line.sql.execute("ROLLBACK")
    line.run_once()
    assert not reread(line)
    line.sql.execute("BEGIN")
    line.sql.execute("UPDATE line SET note = 'with' WHERE id = 1")
    emit(line, request(line))
    line.sql.execute("COMMIT")
    before = line.progress()
    line.run_once()
    stored = [
        Progress.from_json(one.value())
        for one in read_topic(line.stack.broker.bootstrap, POSITIONS)
        if one.key() == line.name.encode()
    ]
    passed = next(one for one in stored if one.commit_lsn > before.commit_lsn)
    assert passed.incremental == (PendingTable(f"{line.name}.line"),)
    assert not stored[-1].incremental
    assert any(m.value and m.value["op"] == "u" for m in line.messages("line"))
    assert len(reread(line)) == reread(line).total() >= ROWS - 1
    assert_equal(line)


def test_mistaken_messages_stop_nothing(line: Capture) -> None:
    """One warning for each, and none for what is no signal; the stream goes on."""
    with capture_logs() as logs:
        for content in ("", "no JSON", "[1]", '{"type": "stop"}', '{"type": "execute-snapshot", "data": 1}'):
            emit(line, content)
        emit(line, request(line), transactional=False)  # of no transaction: not to be passed exactly once
        line.sql.execute("SELECT pg_logical_emit_message(true, 'of somebody else', 'x')")
        emit(line, request(line).replace('"id"', '"source": "another", "id"'))
        line.sql.execute("UPDATE line SET note = 'after' WHERE id = 1")
        line.run_once()
    ignored = [one for one in logs if one["event"] == "signal_ignored"]
    assert len(ignored) == 5
    assert all(one["log_level"] == "warning" and "\n" not in one["reason"] for one in ignored)
    assert not reread(line)
    assert_equal(line)


def test_a_table_that_is_not_captured_or_has_no_key(line: Capture) -> None:
    """A warning that says why, for each; the others that were asked for are read."""
    line.settings["tables"] = [f"{line.name}.line", f"{line.name}.tally"]
    line.sql.execute("CREATE TABLE tally (kind text)")
    line.sql.execute("INSERT INTO tally VALUES ('a'), ('a')")
    line.run_once()
    asked = request(line).replace('["', f'["{line.name}.nothing", "{line.name}.tally", "')
    with capture_logs() as logs:
        emit(line, asked)
        line.run_once()
    refused = {one["table"]: one["reason"] for one in logs if one["event"] == "incremental_snapshot_refused"}
    assert refused == {f"{line.name}.nothing": "it is not captured", f"{line.name}.tally": "it has no key"}
    assert reread(line).total() == ROWS
    assert len(line.messages("tally")) == 2
    assert not line.progress().incremental
    assert_equal(line)

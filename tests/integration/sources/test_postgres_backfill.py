"""Snapshots on a topic of their own: what was there before, apart from what changes."""

from __future__ import annotations

from typing import Any

import pytest
from integration.sources.harness import Capture, Message, assert_no_position_twice, wait_until

from connectors.sources.check import FAIL
from connectors.sources.postgres.position import Position
from connectors.sources.postgres.snapshot.signals import request_snapshot
from streams.errors import ConfigurationError

COLUMNS = ("id", "cost", "note")
ROWS = 500


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A table whose snapshots go apart, and one whose don't."""
    capture.settings["backfill"] = [f"{capture.name}.line"]
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)")
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, %s::int) i", [ROWS])
    capture.sql.execute("CREATE TABLE small (id int PRIMARY KEY)")
    capture.sql.execute("INSERT INTO small VALUES (1)")
    return capture


def latest(capture: Capture) -> dict[Any, tuple[Any, ...]]:
    """Of both topics: of each key the image at the highest position, whichever topic has it."""
    found: dict[str, tuple[Position, Message]] = {}
    for message in (*capture.messages("line.backfill"), *capture.messages("line")):
        if message.value is None:
            continue
        at = Position(*message.position)
        if str(message.key) not in found or at > found[str(message.key)][0]:
            found[str(message.key)] = at, message
    rows = [m.value["after"] for _, m in found.values() if m.value["after"] is not None]
    return {row["id"]: tuple(row[column] for column in COLUMNS) for row in rows}


def test_rows_of_snapshots_go_apart_and_changes_do_not(line: Capture) -> None:
    """Together they are the table; the other table's rows are where they always are."""
    line.run_once()
    assert [m.value["op"] for m in line.messages("line.backfill")] == ["r"] * ROWS
    assert line.messages("line") == []
    assert [m.value["op"] for m in line.messages("small")] == ["r"]
    line.sql.execute("UPDATE line SET note = 'new' WHERE id <= 10")
    line.sql.execute("DELETE FROM line WHERE id = 11")
    line.run_once()
    assert len(line.messages("line.backfill")) == ROWS
    assert latest(line) == line.rows("line", *COLUMNS)
    assert_no_position_twice([*line.messages("line.backfill"), *line.messages("line")])


def test_a_snapshot_on_request_goes_apart_while_the_table_changes(line: Capture) -> None:
    """The stream goes on in its own topic; in the end the later of both is the table."""
    line.run_once()
    with line.running(incremental_chunk_rows=50):
        request_snapshot(line.source()._config, [f"{line.name}.line"])
        for key in range(1, 100):
            line.sql.execute("UPDATE line SET cost = cost + 1 WHERE id = %s", [key])
            line.sql.execute("DELETE FROM line WHERE id = %s", [ROWS - key])
        wait_until(lambda: len(line.messages("line.backfill")) > ROWS and not line.progress().incremental)
        wait_until(lambda: latest(line) == line.rows("line", *COLUMNS))
    assert {m.value["op"] for m in line.messages("line") if m.value} == {"u", "d"}


def test_a_repair_reads_both_topics(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lost slot only what is in neither of them is published, and what is in one and gone."""
    line.run_once()
    line.sql.execute("UPDATE line SET note = 'seen' WHERE id = 1")
    line.run_once()
    line.drop_slot()
    line.sql.execute("UPDATE line SET note = 'missed' WHERE id = 2")
    line.sql.execute("DELETE FROM line WHERE id = 3")
    line.sql.execute("INSERT INTO line VALUES (1000, 1, 'missed')")
    before = len([m for m in line.messages("line") if m.value is not None])
    assert line.repair() is not None
    line.run_once()
    repaired = [m for m in line.messages("line") if m.value is not None][before:]
    assert sorted(m.value["op"] for m in repaired) == ["c", "d", "u"]
    assert latest(line) == line.rows("line", *COLUMNS)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (["{}.none"], "backfill names {}.none, which tables does not capture"),
        (["{}.keyless"], "backfill: {}.keyless has no key"),
    ],
)
def test_what_cannot_go_apart_is_refused(line: Capture, tables: list[str], said: str) -> None:
    """Before a row is read, in one line; and by the check."""
    line.sql.execute("CREATE TABLE keyless (id int)")
    line.sql.execute("ALTER TABLE keyless REPLICA IDENTITY FULL")
    changed = {"backfill": [name.format(line.name) for name in tables]}
    with pytest.raises(ConfigurationError) as raised:
        line.run_once(**changed)
    assert str(raised.value).startswith(said.format(line.name))
    assert "\n" not in str(raised.value)
    failed = [finding for finding in line.source(**changed).check() if finding.status == FAIL]
    assert any("backfill" in finding.text or finding.subject == "columns and backfill" for finding in failed)

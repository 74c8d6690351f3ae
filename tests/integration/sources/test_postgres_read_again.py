"""What the configuration left out and captures again, and what a kill must not make it forget."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from integration.sources.harness import Capture, assert_no_position_twice, assert_positions_grow, wait_until
from structlog.testing import capture_logs

from connectors.sources.postgres.snapshot.incremental import Incremental
from connectors.sources.postgres.snapshot.signals import request_snapshot
from connectors.sources.publisher import Publisher

ROWS = 300


class Killed(BaseException):
    """In place of a SIGKILL: nothing in the source handles it."""


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table, published."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text, secret text)")
    capture.sql.execute(
        "INSERT INTO line SELECT i, 'old', 's' || i FROM generate_series(1, %s::int) i", [ROWS]
    )
    return capture


def newest(capture: Capture, *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Rows by id as the last record of each tells; a record without a column has None in it."""
    rows: dict[Any, Any] = {}
    for m in capture.messages("line"):
        if m.value is not None:
            rows[m.key["id"]] = m.value["after"]
    return {key: tuple(map(row.get, columns)) for key, row in rows.items() if row is not None}


def idle(capture: Capture) -> bool:
    return not capture.progress().incremental


def assert_published(capture: Capture, *columns: str) -> None:
    assert newest(capture, "id", *columns) == capture.rows("line", "id", *columns)
    assert_no_position_twice(capture.messages("line"))
    assert_positions_grow(capture.messages("line"))


@pytest.mark.parametrize("moment", ["at its start", "while it streams"])
def test_killed_when_a_column_is_registered(
    line: Capture, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Before the request to read the table again is stored: the next start finds that it is wanted."""
    commit = Publisher.commit
    killed = []

    def kill(self: Publisher, position: bytes, columns: bytes | None = None) -> None:
        if columns is not None:
            killed.append(columns)
            raise Killed
        commit(self, position, columns)

    line.run_once()
    version = fields(line)
    add = "ALTER TABLE line ADD COLUMN more int NOT NULL DEFAULT 7"
    if moment == "at its start":
        line.sql.execute(add)
        monkeypatch.setattr(Publisher, "commit", kill)
        with pytest.raises(Killed):
            line.run_once()
    else:
        with line.running(error=Killed):
            wait_until(line.streaming)
            monkeypatch.setattr(Publisher, "commit", kill)
            line.sql.execute(add)
            line.sql.execute("INSERT INTO line VALUES (1001, 'new', 'x', 8)")
            wait_until(lambda: bool(killed))
    monkeypatch.setattr(Publisher, "commit", commit)
    assert fields(line) == version | {"more"}, "the schema was not registered before the kill"
    assert idle(line)
    line.run_once()
    assert_published(line, "note", "more")


def fields(capture: Capture) -> set[str]:
    """Of the row, in the newest registered schema."""
    schema = capture.latest_schema("line")
    row = next(branch for branch in schema["fields"][0]["type"] if isinstance(branch, dict))
    return {field["name"] for field in row["fields"]}


def test_a_column_that_comes_while_the_table_is_read(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that were read before it lack it: the table is read once more after that."""
    line.settings["incremental_chunk_rows"] = 50
    line.run_once()
    step, chunks = Incremental.step, 0

    def counted(self: Incremental, progress: Any) -> Any:
        nonlocal chunks
        if chunks == 2:  # the third one waits until the column is there
            return progress
        after = step(self, progress)
        chunks += after is not progress
        return after

    monkeypatch.setattr(Incremental, "step", counted)
    with line.running():
        request_snapshot(line.config(), [f"{line.name}.line"])
        wait_until(lambda: chunks == 2)
        line.sql.execute("ALTER TABLE line ADD COLUMN more int NOT NULL DEFAULT 7")
        line.sql.execute("UPDATE line SET note = 'new' WHERE id = 1")
        wait_until(lambda: any(m.value and m.value["op"] == "u" for m in line.messages("line")))
        monkeypatch.setattr(Incremental, "step", step)
        wait_until(lambda: idle(line))
    assert_published(line, "note", "more")


REVERTED: dict[str, dict[str, Any]] = {
    "left out": {"columns_exclude": ["line.secret"]},
    "not included": {"columns_include": ["line.note"]},
    "null": {"mask_null": ["line.secret"]},
    "masked": {"mask": {"line.secret": "***"}},
}


@pytest.mark.parametrize("rule", REVERTED)
def test_a_column_is_published_again(line: Capture, rule: str) -> None:
    """Rows that were published without its values are read again by themselves; the log says so."""
    ((option, named),) = REVERTED[rule].items()
    full = f"{line.name}."
    given: Any = (
        {full + k: v for k, v in named.items()} if isinstance(named, dict) else [full + k for k in named]
    )
    line.run_once(**{option: given})
    assert {row[1] for row in newest(line, "id", "secret").values()} == {"***" if rule == "masked" else None}
    line.run_once(**{option: given})
    assert len(line.messages("line")) == ROWS
    with capture_logs() as logs:
        line.run_once()
    (said,) = [one for one in logs if one["event"] == "tables_read_again"]
    assert said["tables"] == [f"{line.name}.line"]
    assert_published(line, "note", "secret")
    line.run_once()
    assert len(line.messages("line")) == 2 * ROWS


def test_a_renamed_column_is_read_again(line: Capture) -> None:
    """The topic has its values under another name."""
    line.run_once()
    line.sql.execute("ALTER TABLE line RENAME COLUMN note TO remark")
    line.run_once()
    assert_published(line, "remark", "secret")


@pytest.mark.parametrize("key", [True, False])
def test_a_table_is_captured_again(line: Capture, key: bool) -> None:
    """Its changes of the time between were not published: it is read anew as a whole, and the log says
    what that does not find. Without a key, what was published before is taken back first."""
    if not key:
        line.sql.execute("ALTER TABLE line DROP CONSTRAINT line_pkey")
        line.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    line.sql.execute("CREATE TABLE other (id int PRIMARY KEY)")
    line.run_once()
    line.run_once(tables=[f"{line.name}.other"])
    line.sql.execute("UPDATE line SET note = 'meanwhile' WHERE id <= 100")
    line.sql.execute("INSERT INTO line VALUES (1001, 'meanwhile', 's')")
    line.run_once(tables=[f"{line.name}.other"])
    assert line.progress().former == [f"{line.name}.line"]
    with capture_logs() as logs:
        line.run_once()
    (said,) = [one for one in logs if one["event"] == "table_read_anew"]
    assert "source repair" in said["reason"]
    assert line.progress().former == []
    line.sql.execute("UPDATE line SET note = 'after' WHERE id = 7")
    line.run_once()
    if key:
        assert_published(line, "note", "secret")
        return
    held: Counter[Any] = Counter()
    for m in sorted(line.messages("line"), key=lambda m: m.position):
        if m.value["op"] == "t":
            held.clear()
            continue
        for image, change in (("before", -1), ("after", 1)):
            if m.value[image] is not None:
                held[tuple(m.value[image].values())] += change
    assert +held == Counter(line.rows("line", "id", "note", "secret").values())


def test_a_table_without_a_key_gets_a_column(line: Capture) -> None:
    """It can't be read in chunks by key: it is read anew as a whole at the next start."""
    line.sql.execute("ALTER TABLE line DROP CONSTRAINT line_pkey")
    line.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    line.run_once()
    with capture_logs() as logs, line.running():
        wait_until(line.streaming)
        line.sql.execute("ALTER TABLE line ADD COLUMN more int NOT NULL DEFAULT 7")
        line.sql.execute("INSERT INTO line VALUES (1001, 'new', 's', 8)")
        wait_until(lambda: len(line.messages("line")) == ROWS + 1)
        wait_until(lambda: line.progress().former == [f"{line.name}.line"])
    assert [one["tables"] for one in logs if one["event"] == "restart_to_read_anew"] == [
        [f"{line.name}.line"]
    ]
    line.run_once()
    messages = sorted(line.messages("line"), key=lambda m: m.position)
    last = max(at for at, m in enumerate(messages) if m.value["op"] == "t")
    rows = Counter((m.value["after"]["id"], m.value["after"]["more"]) for m in messages[last + 1 :])
    assert rows == Counter(line.rows("line", "id", "more").values())

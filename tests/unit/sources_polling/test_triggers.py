"""The triggers of a SQLite file: whatever is written, the change table's fold is the table."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sources.sqlite.changes import Change, ChangeTable

TABLE = """
CREATE TABLE item (
    id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE, a, b, note TEXT, amount REAL, UNIQUE (a, b)
);
CREATE TABLE pair (x TEXT NOT NULL, y INT NOT NULL, v, PRIMARY KEY (x, y));
CREATE TABLE bare (x TEXT NOT NULL PRIMARY KEY, v UNIQUE) WITHOUT ROWID;
CREATE TABLE child (
    id INTEGER PRIMARY KEY, item INTEGER REFERENCES item (id) ON DELETE CASCADE ON UPDATE CASCADE
);
"""
KEYS = {"item": ("id",), "pair": ("x", "y"), "bare": ("x",), "child": ("id",)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def sql(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def install(path: Path) -> list[Change]:
    """Install the triggers; what the change table holds after it."""
    table = ChangeTable(path, "shop")
    try:
        shapes = table.shapes(["main.*"])
        table.install(shapes)
        assert table.up_to_date(shapes)
        batch = table.read(0, table.schema_version)
    finally:
        table.close()
    assert batch is not None
    return batch.changes


def fold(changes: list[Change], table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The table as the changes make it; a before image must be what the fold says."""
    state: dict[tuple[Any, ...], dict[str, Any]] = {}
    for change in changes:
        if change.table != table:
            continue
        if change.before is not None:
            assert state.pop(tuple(change.before[key] for key in KEYS[table])) == change.before
        if change.after is not None:
            state[tuple(change.after[key] for key in KEYS[table])] = change.after
    return state


def rows(sql: sqlite3.Connection, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    cursor = sql.execute(f"SELECT * FROM {table}")
    names = [name for name, *_ in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor]
    return {tuple(row[key] for key in KEYS[table]): row for row in found}


def statement(choose: random.Random) -> tuple[str, list[Any]]:
    """Some write, of those whose effects on other rows are easily missed too."""
    small = lambda: choose.randint(1, 6)  # noqa: E731
    value = choose.choice([None, 1, -(2**63), 2**63 - 1, 0.1, 1e308, "", "é\0x", "1", b"", b"\xff\0"])
    how = choose.choice(["", "OR REPLACE", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ROLLBACK"])
    code = choose.choice(["a", "A", "b", "c", None])
    return choose.choice(
        [
            (f"INSERT {how} INTO item VALUES (?, ?, ?, ?, ?, ?)", [small(), code, small(), 1, value, 0.5]),
            (f"INSERT {how} INTO item (code, a, b) VALUES (?, ?, 2), ('d', 3, 3)", [code, small()]),
            ("INSERT INTO item (id, note) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET note = 'up'", [small(), value]),
            (f"UPDATE {how} item SET code = ?, note = ? WHERE id = ?", [code, value, small()]),
            (f"UPDATE {how} item SET id = ? WHERE id = ?", [small(), small()]),
            (f"UPDATE {how} item SET a = ?, b = 1 WHERE id < ?", [small(), small()]),
            ("DELETE FROM item WHERE id = ?", [small()]),
            (f"INSERT {how} INTO pair VALUES (?, ?, ?)", [str(small()), small(), value]),
            (f"INSERT {how} INTO pair (rowid, x, y) VALUES (?, ?, ?)", [small(), str(small()), small()]),
            (f"UPDATE {how} pair SET y = y + 1, v = ?", [value]),
            (f"UPDATE {how} pair SET rowid = ? WHERE rowid = ?", [small(), small()]),
            ("DELETE FROM pair" if small() == 1 else "DELETE FROM pair WHERE y = 3", []),
            (f"INSERT {how} INTO bare VALUES (?, ?)", [str(small()), value]),
            (f"UPDATE {how} bare SET v = ? WHERE x = ?", [value, str(small())]),
            (f"INSERT {how} INTO child VALUES (?, ?)", [small(), small()]),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_fold_of_the_changes_is_the_table(
    path: Path, sql: sqlite3.Connection, seed: int, recursive: bool
) -> None:
    """Random writes: REPLACE by any constraint, upserts, changes of keys, cascades, failed statements."""
    sql.executescript(TABLE)
    install(path)
    sql.execute("PRAGMA foreign_keys = ON")
    sql.execute(f"PRAGMA recursive_triggers = {int(recursive)}")
    choose = random.Random(seed)
    failed = 0
    for _ in range(600):
        text, values = statement(choose)
        try:
            sql.execute(text, values)
        except sqlite3.IntegrityError:
            failed += 1
    changes = install(path)
    assert len(changes) > 300
    assert failed > 10
    for table in KEYS:
        assert fold(changes, table) == rows(sql, table), table


def test_values_come_back_as_they_were(path: Path, sql: sqlite3.Connection) -> None:
    """Reals of any bits, integers of 64, texts with NUL, quotes and surrogate pairs, blobs; types too."""
    sql.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, v)")
    install(path)
    choose = random.Random(7)
    given: list[Any] = [struct.unpack("<d", choose.randbytes(8))[0] for _ in range(5000)]
    given = [None if value != value else value for value in given]  # SQLite has no NaN
    given += [5e-324, 1.7976931348623157e308, float("inf"), -float("inf"), -0.0, 0.1, 1 / 3, 2**53 + 0.0]
    given += [0, -1, 2**63 - 1, -(2**63), "", "t", "\0", "a\"\\'", "\U0001f600é", "1", b"", bytes(range(256))]
    sql.executemany("INSERT INTO item (v) VALUES (?)", [(value,) for value in given])
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("INSERT INTO item (v) VALUES (CAST(x'61ff62' AS TEXT))")
    other.close()
    found = [change.after["v"] for change in install(path) if change.after]
    assert found.pop() == "a\udcffb"
    # SQLite itself stores no negative zero.
    given = [0.0 if value == 0.0 and isinstance(value, float) else value for value in given]
    assert [(type(one), repr(one)) for one in found] == [(type(one), repr(one)) for one in given]


def test_a_table_of_many_columns(path: Path, sql: sqlite3.Connection) -> None:
    """More columns than a function of SQLite takes arguments."""
    columns = [f"c{number}" for number in range(300)]
    sql.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(columns)})")
    install(path)
    sql.execute(f"INSERT INTO wide VALUES (1, {', '.join(map(str, range(300)))})")
    (change,) = install(path)
    assert change.after == {"id": 1, **{name: number for number, name in enumerate(columns)}}


def test_columns_added_and_renamed_are_caught_up(path: Path, sql: sqlite3.Connection) -> None:
    """What was written between the ALTER and the new triggers is recorded again, with the new column."""
    sql.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, a)")
    sql.execute("INSERT INTO item VALUES (1, 1), (2, 2)")
    install(path)
    sql.execute("ALTER TABLE item ADD COLUMN b")
    sql.execute("UPDATE item SET b = 'new' WHERE id = 2")
    sql.execute("ALTER TABLE item RENAME COLUMN a TO aa")
    sql.execute("INSERT INTO item VALUES (3, NULL, NULL)")
    last = {change.after["id"]: change.after for change in install(path) if change.after}
    assert last[1] == {"id": 1, "aa": 1, "b": None}
    assert last[2] == {"id": 2, "aa": 2, "b": "new"}
    assert install(path)[-1].seq == len(install(path)), "nothing is recorded twice"


def test_a_rolled_back_write_leaves_nothing(path: Path, sql: sqlite3.Connection) -> None:
    """The change table is in the writer's own transaction."""
    sql.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    install(path)
    sql.execute("BEGIN")
    sql.execute("INSERT INTO item VALUES (1)")
    sql.execute("ROLLBACK")
    assert install(path) == []

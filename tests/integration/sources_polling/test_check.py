"""What ``source check`` says of these sources."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from connectors.sources.check import FAIL, OK, UNREACHABLE
from connectors.sources.polling.config import PollingConfig
from connectors.sources.polling.source import PollingSource
from connectors.sources.running import Surroundings
from connectors.sources.sqlite.config import SqliteConfig
from connectors.sources.sqlite.source import SqliteSource

NOWHERE = Surroundings("127.0.0.1:1", "http://127.0.0.1:1")


def shop(folder: Path) -> Path:
    path = folder / "shop.db"
    sql = sqlite3.connect(path)
    sql.executescript("CREATE TABLE item (id INTEGER PRIMARY KEY, at TEXT); CREATE TABLE bare (v);")
    sql.close()
    return path


def polling(folder: Path, **changes: object) -> PollingSource:
    given = {"name": "shop", "connector": "polling", "dsn": f"sqlite:///{shop(folder)}", "updated_at": "at"}
    return PollingSource(PollingConfig(**{**given, "tables": ["main.item"], **changes}), NOWHERE)  # type: ignore[arg-type]


def test_polling(tmp_path: Path) -> None:
    """Tables that fit, a column that is missing, a server that does not answer; and the limits."""
    source = polling(tmp_path)
    assert [(one.status, one.text) for one in source.check()] == [(OK, "key id; polled by at")]
    assert any("before images are null" in line for line in source.describe())


def test_polling_what_fails(tmp_path: Path) -> None:
    """A column that is missing, and a server that does not answer."""
    (missing,) = polling(tmp_path, updated_at="changed").check()
    assert (missing.status, "no column changed" in missing.text) == (FAIL, True)
    (tmp_path / "other").mkdir()
    (away,) = polling(tmp_path / "other", dsn="postgresql://u:secret@127.0.0.1:1/x", tables=["a.b"]).check()
    assert (away.status, "secret" in away.text) == (UNREACHABLE, False)


def test_sqlite(tmp_path: Path) -> None:
    """Tables that can be followed and that can't; nothing is made in the file."""
    path = shop(tmp_path)
    config = SqliteConfig(name="shop", connector="sqlite", dsn=str(path), tables=("main.item",))  # type: ignore[arg-type]
    source = SqliteSource(config, NOWHERE)
    assert [one.status for one in source.check()] == [OK, OK]
    assert any("writes to the file" in line for line in source.describe())
    (bare,) = SqliteSource(config.model_copy(update={"tables": ("main.bare",)}), NOWHERE).check()
    assert (bare.status, "no primary key" in bare.text) == (FAIL, True)
    sql = sqlite3.connect(path)
    assert sql.execute("SELECT name FROM sqlite_master").fetchall() == [("item",), ("bare",)]
    sql.close()

"""A promoted standby and a restored backup: the same log, or another history that a repair takes over."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.sources.harness import Capture, fold, read_topic

from streams.errors import PositionLost
from streams.stack.ports import free_port
from streams.stack.postgres import Postgres

COLUMNS = ("id", "cost", "note")
LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"


def test_a_promotion_after_what_was_published_goes_on(capture: Capture, tmp_path: Path) -> None:
    """A new timeline that has all that was published is the same log."""
    server = Postgres(tmp_path / "first", free_port(), tmp_path / "first.log")
    server.start()
    own: dict[str, Any] = {"dsn": server.dsn("erp"), "tables": ["public.line"]}
    try:
        with psycopg.connect(server.dsn("erp"), autocommit=True) as sql:
            sql.execute(LINE)
            sql.execute("INSERT INTO line VALUES (1, 1, 'old')")
        capture.run_once(**own)
        server.stop()
        promote(server)
        with psycopg.connect(server.dsn("erp"), autocommit=True) as sql:
            sql.execute("INSERT INTO line VALUES (2, 2, 'new')")
        capture.run_once(**own)
        assert (capture.progress().timeline, capture.progress().epoch) == (2, 1)
        topic = f"cdc.{capture.name}.public.line"
        assert len(read_topic(capture.stack.broker.bootstrap, topic)) == 2
    finally:
        server.stop()


def test_a_restored_backup(capture: Capture, tmp_path: Path) -> None:
    """A promotion before what was published halts, and a repair takes back what the restored database
    never had."""
    first = Postgres(tmp_path / "first", free_port(), tmp_path / "first.log")
    first.start()
    copy = Postgres(tmp_path / "copy", free_port(), tmp_path / "copy.log")
    own: dict[str, Any] = {"dsn": first.dsn("erp"), "tables": ["public.line"]}
    try:
        with psycopg.connect(first.dsn("erp"), autocommit=True) as sql:
            sql.execute(LINE)
            sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, 5) i")
        capture.run_once(**own)
        first.stop()
        backup(first.folder, copy.folder)
        first.start()
        with psycopg.connect(first.dsn("erp"), autocommit=True) as sql:
            sql.execute("INSERT INTO line VALUES (6, 6, 'after the backup')")
            sql.execute("UPDATE line SET note = 'after the backup' WHERE id = 1")
        capture.run_once(**own)
    finally:
        first.stop()
    try:
        promote(copy)
        own["dsn"] = copy.dsn("erp")
        with psycopg.connect(own["dsn"], autocommit=True) as sql:
            sql.execute("INSERT INTO line VALUES (7, 7, 'another history')")
            sql.execute("SELECT pg_switch_wal()")  # beyond what the other has written
            sql.execute("INSERT INTO line VALUES (8, 8, 'another history')")
            with pytest.raises(PositionLost, match=r"was promoted at .* source repair"):
                capture.run_once(**own)
            assert capture.repair(**own) is not None
            capture.run_once(**own)
            rows = {row[0]: row for row in sql.execute("SELECT id, cost, note FROM line").fetchall()}
        topic = f"cdc.{capture.name}.public.line"
        decoded = [capture.decoded(m) for m in read_topic(capture.stack.broker.bootstrap, topic)]
        assert fold(decoded, *COLUMNS) == rows
    finally:
        copy.stop()


def backup(folder: Path, copy: Path) -> None:
    """Copy a stopped server's folder, with its owners."""
    shutil.copytree(folder, copy)
    for path in [folder, *folder.rglob("*")]:
        owner = path.stat()
        os.chown(copy / path.relative_to(folder), owner.st_uid, owner.st_gid)


def promote(server: Postgres) -> None:
    """Start the stopped server as a standby, and make it a primary on a new timeline."""
    (next(server.folder.rglob("PG_VERSION")).parent / "standby.signal").touch()
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as sql:
        sql.execute("SELECT pg_promote()")

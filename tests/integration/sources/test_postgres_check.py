"""``source check`` on a real server: everything that is wrong is found at once, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.sources.harness import Capture, gauge, wait_until

import connectors
from connectors.sources.check import FAIL, OK, UNREACHABLE, WARN, Finding, Report, check_source
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.server.connection import Server
from connectors.sources.postgres.server.slotwatch import SlotWatch
from connectors.sources.running import Surroundings
from streams.stack.ports import free_port
from streams.stack.postgres import Postgres

COMMAND = "from connectors.sources.cli import app; app()"
ROLE_PASSWORD = "not-a-secret"


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table of one row."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, amount int)")
    capture.sql.execute("INSERT INTO line VALUES (1, 1)")
    return capture


@pytest.fixture
def role(line: Capture) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"{line.name}_role"
    line.sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{ROLE_PASSWORD}'")
    yield name
    line.sql.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}")


def report(capture: Capture, around: Surroundings | None = None, **changes: Any) -> Report:
    return check_source(capture.config(**changes), around or capture.surroundings)


def found(report: Report, status: str, words: str) -> Finding:
    """The one finding of a status that says ``words`` in its text or remedy."""
    hits = [one for one in report.findings if one.status == status and words in f"{one.text} → {one.remedy}"]
    assert len(hits) == 1, "\n".join(str(one) for one in report.findings)
    return hits[0]


def statuses(report: Report, status: str) -> list[Finding]:
    return [one for one in report.findings if one.status == status]


def test_a_sound_source_has_no_failures_and_nothing_is_made(line: Capture) -> None:
    """Exit code 0 before and after the first run; no slot, publication or topic comes of checking."""
    before = report(line)
    assert statuses(before, FAIL) == []
    assert before.exit_code == 0
    found(before, OK, "the first run makes the slot")
    assert line.slots() == []
    assert (
        line.sql.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", [line.slot()]).fetchone() is None
    )
    line.run_once()
    after = report(line)
    assert after.exit_code == 0
    found(after, OK, "without a gap")
    found(after, OK, "carries all of the tables")


def test_all_that_a_poor_role_lacks_is_said_at_once(line: Capture, role: str) -> None:
    """Replication, schema, table and publication, each with its statement; exit code 1."""
    dsn = f"postgresql://{role}:{ROLE_PASSWORD}@127.0.0.1:{line.stack.postgres.port}/erp"
    poor = report(line, dsn=dsn)
    assert poor.exit_code == 1
    found(poor, FAIL, f"ALTER ROLE {role} REPLICATION")
    found(poor, FAIL, f'GRANT USAGE ON SCHEMA "{line.name}" TO {role}')
    found(poor, FAIL, f'GRANT SELECT ON "{line.name}"."line" TO {role}')
    found(poor, FAIL, f'let the tables\' owner run CREATE PUBLICATION "{line.slot()}" FOR TABLE')


def test_what_it_says_to_type_mends_it(line: Capture, role: str) -> None:
    """Having typed the remedies, there is no failure left, and the source runs."""
    dsn = f"postgresql://{role}:{ROLE_PASSWORD}@127.0.0.1:{line.stack.postgres.port}/erp"
    for finding in statuses(report(line, dsn=dsn), FAIL):
        statement = finding.remedy.removeprefix("let the tables' owner ").removeprefix("run ")
        line.sql.execute(statement.removesuffix(" as a superuser"))
    mended = report(line, dsn=dsn)
    assert statuses(mended, FAIL) == []
    line.run_once(dsn=dsn)
    assert len(line.messages("line")) == 1


def test_tables_that_can_not_be_captured(line: Capture) -> None:
    """A missing one, a view, an unlogged one, one that would refuse updates, one whose columns collide."""
    line.sql.execute("CREATE VIEW shown AS SELECT * FROM line")
    line.sql.execute("CREATE UNLOGGED TABLE quick (id int PRIMARY KEY)")
    line.sql.execute("CREATE TABLE keyless (id int)")
    line.sql.execute('CREATE TABLE twins (id int PRIMARY KEY, "a b" int, "a-b" int)')
    names = ["line", "missing", "shown", "quick", "keyless", "twins"]
    found_ = report(line, tables=[f"{line.name}.{name}" for name in names])
    assert found_.exit_code == 1
    found(found_, FAIL, "matches no table")
    found(found_, FAIL, "is a view")
    found(found_, FAIL, "SET LOGGED")
    found(found_, FAIL, f'ALTER TABLE "{line.name}"."keyless" REPLICA IDENTITY FULL')
    found(found_, FAIL, "both become Avro field")
    # the warning is true: the server does refuse
    line.sql.execute("INSERT INTO keyless VALUES (1)")
    line.sql.execute(f"CREATE PUBLICATION {line.slot()} FOR TABLE keyless")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        line.sql.execute("UPDATE keyless SET id = 2")


def test_what_replica_identities_cost(line: Capture) -> None:
    """A table with large values warns, one without says it, FULL is silent, no key at all warns."""
    line.sql.execute("CREATE TABLE wide (id int PRIMARY KEY, body text)")
    line.sql.execute("CREATE TABLE whole (id int PRIMARY KEY, body text)")
    line.sql.execute("CREATE TABLE heap (body text)")
    line.sql.execute("ALTER TABLE whole REPLICA IDENTITY FULL")
    line.sql.execute("ALTER TABLE heap REPLICA IDENTITY FULL")
    line.sql.execute(
        "CREATE TABLE log (id int, day date, body text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"
    )
    line.sql.execute(
        "CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
    )
    line.sql.execute("ALTER TABLE log_2026 REPLICA IDENTITY NOTHING")
    result = report(line)
    by_table = {
        name: {
            (one.status, one.remedy != "") for one in result.findings if one.subject == f"{line.name}.{name}"
        }
        for name in ("line", "wide", "whole", "heap", "log")
    }
    assert by_table["line"] == {(OK, True), (OK, False)}
    assert by_table["wide"] == {(WARN, True)}
    assert by_table["whole"] == {(OK, False)}
    assert by_table["heap"] == {(WARN, True)}
    assert (FAIL, True) in by_table["log"], "updates of the partition would be refused"


def test_types_and_columns_that_cannot_be_published(line: Capture) -> None:
    """Rules that name no column, a masked key, and types published as text are told before the first run."""
    table = f"{line.name}.line"
    line.sql.execute("CREATE TYPE spot AS (x int, y int)")
    line.sql.execute("ALTER TABLE line ADD at spot, ADD twice int GENERATED ALWAYS AS (amount * 2) STORED")
    result = report(line, mask={f"{table}.id": "x"}, columns_exclude=[f"{table}.wrong"])
    found(result, FAIL, f"there is no column {table}.wrong")
    found(result, FAIL, "is a key column")
    found(result, OK, "as PostgreSQL's text, for Avro has nothing like it: at")
    found(result, WARN, "generated columns are not in the log, nor in the topic: twice")


def test_a_publication_that_leaves_things_out(line: Capture) -> None:
    """Operations fail; row filters, column lists and foreign tables warn."""
    line.sql.execute("CREATE TABLE other (id int PRIMARY KEY)")
    line.sql.execute(
        f"CREATE PUBLICATION {line.slot()} FOR TABLE line (id) WHERE (id > 0), other WITH (publish = 'insert')"
    )
    found(report(line), FAIL, "SET (publish = 'insert, update, delete, truncate')")
    line.sql.execute(f"ALTER PUBLICATION {line.slot()} SET (publish = 'insert, update, delete, truncate')")
    result = report(line, tables=[f"{line.name}.line"])
    found(result, WARN, "only rows WHERE")
    found(result, WARN, "the columns amount")
    found(result, WARN, f"also carries {line.name}.other")


def test_slot_and_position(line: Capture) -> None:
    """A gap fails with its bounds and the command; a slot in use warns; a foreign one fails."""
    line.run_once()
    with line.running():
        wait_until(line.streaming)
        found(report(line), WARN, "a source runs")
    found(report(line, slot_bytes_limit=1), WARN, "more than slot_bytes_limit = 1")
    line.drop_slot()
    line.sql.execute("INSERT INTO line VALUES (2, 2)")
    gap = report(line)
    assert gap.exit_code == 1
    assert "changes from 0/" in found(gap, FAIL, "no longer exists").text
    assert "tallystream source repair" in found(gap, FAIL, "no longer exists").remedy
    foreign = f"{line.name}_foreign"
    line.sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [foreign])
    other = report(line, name=f"{line.name}x", slot=foreign)
    found(other, FAIL, f"pg_drop_replication_slot('{foreign}')")


def test_topics_with_another_partition_count(line: Capture) -> None:
    """Named with both counts."""
    line.run_once()
    found(report(line, partitions=5), FAIL, "set partitions = 2")


def test_servers_that_are_not_there(line: Capture) -> None:
    """Each is named, the others are looked at all the same; exit code 3."""
    nowhere = report(line, Surroundings("127.0.0.1:1", "http://127.0.0.1:1"))
    assert nowhere.exit_code == 3
    assert [one.subject for one in statuses(nowhere, UNREACHABLE)] == ["kafka", "registry"]
    found(nowhere, OK, "may replicate")
    down = report(line, dsn="postgresql://u@127.0.0.1:1/erp")
    assert down.exit_code == 3
    assert [one.subject for one in statuses(down, UNREACHABLE)] == ["server"]
    found(down, OK, "brokers: 1")


def test_a_server_that_was_never_prepared(line: Capture, tmp_path: Path) -> None:
    """wal_level, slots and senders used up, a bound on the log: all in one report."""
    settings = {"wal_level": "replica", "max_replication_slots": "1", "max_slot_wal_keep_size": "64MB"}
    server = Postgres(tmp_path / "own", free_port(), tmp_path / "own.log", settings)
    server.start()
    try:
        dsn = server.dsn("erp")
        with psycopg.connect(dsn, autocommit=True) as sql:
            sql.execute("CREATE TABLE public.line (id int PRIMARY KEY)")
            sql.execute("SELECT pg_create_physical_replication_slot('standby')")
        result = report(line, dsn=dsn, tables=["public.line"])
        found(result, FAIL, "SET wal_level = 'logical'")
        found(result, FAIL, "SET max_replication_slots = 5")
        found(result, OK, "64.0 MB")
    finally:
        server.stop()


def test_a_lost_slot_is_told_and_repaired(line: Capture, tmp_path: Path) -> None:
    """A real one: the server removes log beyond max_slot_wal_keep_size while the source is away."""
    settings = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    server = Postgres(tmp_path / "own", free_port(), tmp_path / "own.log", settings)
    server.start()
    try:
        dsn = server.dsn("erp")
        own = {"dsn": dsn, "tables": ["public.line"]}
        with psycopg.connect(dsn, autocommit=True) as sql:
            sql.execute("CREATE TABLE public.line (id int PRIMARY KEY, body text)")
            line.run_once(**own)
            sql.execute("CREATE TABLE filler (body text)")
            for _ in range(4):
                sql.execute("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
                sql.execute("SELECT pg_switch_wal()")
                sql.execute("CHECKPOINT")
            state = Server(dsn, "test").slot(line.slot())
            assert state is not None
            assert state.lost
            lost = report(line, **own)
            assert lost.exit_code == 1
            assert any(one.status == FAIL and "is lost" in one.text for one in lost.findings)
            watch = SlotWatch(
                Server(dsn, "test"), PostgresConfig(name=line.name, dsn=dsn, tables=["public.line"])
            )
            watch.note(state)
            assert gauge("tallystream_source_slot_wal_status", source=line.name, status="lost") == 1
            sql.execute("INSERT INTO line VALUES (7, 'seven')")
            path = tmp_path / "own.toml"
            path.write_text(
                f'name = "{line.name}"\ndsn = "{dsn}"\ntables = ["public.line"]\npartitions = 2\n',
                encoding="utf-8",
            )
            around = line.surroundings
            options = [str(path), "--kafka", around.kafka, "--registry", around.registry_url]
            result = command("repair", *options)
            assert result.returncode == 0, result.stderr
            assert "1 rows; published 1 creates, 0 updates, 0 deletes" in result.stdout
            line.run_once(**own)
            assert report(line, **own).exit_code == 0
    finally:
        server.stop()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``tallystream source …`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=Path(connectors.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_json_and_the_table_of_the_command(line: Capture) -> None:
    """``--json`` is one object with the same findings; the exit code is the report's."""
    around = line.surroundings
    options = [str(line.config_file()), "--kafka", around.kafka, "--registry", around.registry_url]
    result = command("check", *options, "--json")
    assert result.returncode == 0, result.stderr
    parsed = json.loads(result.stdout)
    assert parsed["source"] == line.name
    assert {"status", "subject", "text", "remedy"} == set(parsed["findings"][0])
    shown = command("check", *options)
    assert "wal_level" in shown.stdout
    assert " ok" in shown.stdout.splitlines()[-1]

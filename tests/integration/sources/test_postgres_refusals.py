"""What the source refuses, and that each refusal is one line that says what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from integration.sources.harness import Capture, read_topic, wait_until

from connectors.sources.postgres import PostgresConfig, PostgresSource, StopSignal, Surroundings
from streams.errors import (
    ConfigurationError,
    ContractViolation,
    DependencyUnavailable,
    PositionLost,
    TallystreamError,
)
from streams.stack.ports import free_port
from streams.stack.postgres import Postgres

ROLE_PASSWORD = "not-a-secret"


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table of one row."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
    capture.sql.execute("INSERT INTO line VALUES (1, 'a')")
    return capture


@pytest.fixture
def role(line: Capture) -> Iterator[str]:
    """A role that may log in and nothing else; the DSN is its own."""
    name = f"{line.name}_role"
    line.sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{ROLE_PASSWORD}'")
    line.sql.execute(f"GRANT USAGE ON SCHEMA {line.name} TO {name}")
    yield name
    line.sql.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}")


def as_role(capture: Capture, role: str) -> dict[str, str]:
    host = f"127.0.0.1:{capture.stack.postgres.port}"
    return {"dsn": f"postgresql://{role}:{ROLE_PASSWORD}@{host}/erp"}


def refused(
    capture: Capture, kind: type[TallystreamError], exit_code: int, *words: str, **changes: object
) -> None:
    with pytest.raises(kind) as raised:
        capture.run_once(**changes)
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert raised.value.exit_code == exit_code


def test_an_unreachable_server(line: Capture) -> None:
    """Exit code 3, with the address."""
    refused(line, DependencyUnavailable, 3, "127.0.0.1:1", dsn="postgresql://u@127.0.0.1:1/erp")


def test_a_wrong_password(line: Capture) -> None:
    """The server's own words, without the password."""
    dsn = f"postgresql://tallystream:wrong@127.0.0.1:{line.stack.postgres.port}/erp"
    refused(line, DependencyUnavailable, 3, "password authentication failed", dsn=dsn)


def test_a_role_without_replication(line: Capture, role: str) -> None:
    """Names the ALTER ROLE to run."""
    refused(line, DependencyUnavailable, 3, f"ALTER ROLE {role} REPLICATION", **as_role(line, role))


def test_a_role_that_may_not_publish(line: Capture, role: str) -> None:
    """Names the CREATE PUBLICATION for the owner, and the GRANT."""
    line.sql.execute(f"ALTER ROLE {role} REPLICATION")
    words = ("CREATE PUBLICATION", "GRANT CREATE ON DATABASE")
    refused(line, DependencyUnavailable, 3, *words, **as_role(line, role))


def test_a_role_that_may_not_read(line: Capture, role: str) -> None:
    """Names the GRANT SELECT; nothing of the snapshot is visible, and the grant heals it."""
    line.sql.execute(f"ALTER ROLE {role} REPLICATION")
    line.sql.execute(f"CREATE PUBLICATION {line.slot()} FOR TABLE line")
    grant = f'GRANT SELECT ON "{line.name}"."line" TO {role}'
    refused(line, DependencyUnavailable, 3, grant, **as_role(line, role))
    assert line.messages("line") == []
    line.sql.execute(grant)
    line.run_once(**as_role(line, role))
    assert len(line.messages("line")) == 1


def test_a_slot_in_use(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start is refused with the reader's PID, and leaves the first alone."""
    monkeypatch.setattr("connectors.sources.postgres.source.SLOT_WAIT_S", 0.5)
    line.run_once()
    with line.running():
        wait_until(lambda: line.streaming() and line.slot_active())
        refused(line, DependencyUnavailable, 3, "PID", "stop the other reader")
        line.sql.execute("INSERT INTO line VALUES (2, 'b')")
    line.run_once()
    assert len(line.messages("line")) == 2


def test_a_table_that_does_not_exist(line: Capture) -> None:
    """Exit code 2, naming the entry."""
    refused(line, ConfigurationError, 2, "public.nothing", tables=["public.nothing"])


def test_a_changed_partition_count(line: Capture) -> None:
    """Keys would move: refused with both counts."""
    line.run_once()
    line.sql.execute("INSERT INTO line VALUES (2, 'b')")
    refused(line, ContractViolation, 1, "has 2 partitions, 5 are asked for", partitions=5)


def test_a_slot_that_is_not_ours(line: Capture) -> None:
    """A slot named in the configuration, without a position of ours, is never dropped."""
    slot = f"{line.name}_foreign"
    line.sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    refused(line, ConfigurationError, 2, f"slot {slot} exists", slot=slot)


def test_a_publication_that_leaves_operations_out(line: Capture) -> None:
    """Deletes that are not published would be lost silently."""
    line.sql.execute(f"CREATE PUBLICATION {line.slot()} FOR TABLE line WITH (publish = 'insert')")
    refused(line, ConfigurationError, 2, "ALTER PUBLICATION")


def test_a_lost_slot_halts(line: Capture) -> None:
    """With the bounds of what is unknown; a new snapshot, asked for, heals it in a new epoch."""
    line.run_once()
    line.drop_slot()
    line.sql.execute("INSERT INTO line VALUES (2, 'b')")
    refused(line, PositionLost, 1, f"slot {line.slot()} no longer exists: changes from 0/", "source repair")
    line.source().resnapshot()
    line.run_once()
    messages = line.messages("line")
    assert {m.position[0] for m in messages} == {1, 2}
    assert line.folded("line", "id", "note") == line.rows("line", "id", "note")


def test_a_recreated_slot_halts(line: Capture) -> None:
    """A slot that somebody made again starts later than our position: never continued silently."""
    line.run_once()
    line.drop_slot()
    line.sql.execute("INSERT INTO line VALUES (2, 'b')")
    line.sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [line.slot()])
    refused(line, PositionLost, 1, "ahead of source", "the changes in between are lost")


def test_an_advanced_slot_halts(line: Capture) -> None:
    """So does one that somebody advanced."""
    line.run_once()
    line.sql.execute("INSERT INTO line VALUES (2, 'b')")
    wait_until(lambda: not line.slot_active())
    line.sql.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [line.slot()])
    refused(line, PositionLost, 1, "ahead of source")


def test_a_server_without_logical_log(capture: Capture, tmp_path: Path) -> None:
    """wal_level=replica: exit code 3, with the command that sets it."""
    server = Postgres(tmp_path / "replica", free_port(), tmp_path / "replica.log", {"wal_level": "replica"})
    server.start()
    try:
        words = "wal_level=replica; run ALTER SYSTEM SET wal_level = 'logical'"
        refused(capture, DependencyUnavailable, 3, words, dsn=server.dsn("erp"), tables=["public.line"])
    finally:
        server.stop()


def test_a_server_that_shuts_down_is_not_held_up(capture: Capture, tmp_path: Path) -> None:
    """A fast shutdown ends at once while a source streams, and the source goes on after the restart."""
    server = Postgres(tmp_path / "own", free_port(), tmp_path / "own.log")
    server.start()
    try:
        dsn = server.dsn("erp")
        with psycopg.connect(dsn, autocommit=True) as sql:
            sql.execute("CREATE TABLE line (id int PRIMARY KEY)")
        topic = f"cdc.{capture.name}.public.line"
        with capture.running(dsn=dsn, tables=["public.line"]):
            for number in (1, 2):
                with psycopg.connect(dsn, autocommit=True) as sql:
                    sql.execute("INSERT INTO line VALUES (%s)", [number])
                wait_until(lambda: len(read_topic(capture.stack.broker.bootstrap, topic)) == number)  # noqa: B023
                with psycopg.connect(dsn, autocommit=True) as sql:
                    wait_until(lambda: _streams(sql))
                started = time.monotonic()
                server.stop()
                assert time.monotonic() - started < 5
                server.start()
    finally:
        server.stop()


def _streams(sql: psycopg.Connection) -> bool:
    return sql.execute("SELECT 1 FROM pg_replication_slots WHERE active").fetchone() is not None


def test_a_stopped_broker(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3 with the broker's address."""
    monkeypatch.setattr("connectors.sources.topics.ADMIN_TIMEOUT_S", 1.0)

    config = PostgresConfig(name=line.name, dsn=line.dsn, **line.settings)
    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
        PostgresSource(config, Surroundings("127.0.0.1:1", line.stack.registry.url)).run(
            StopSignal(), once=True
        )

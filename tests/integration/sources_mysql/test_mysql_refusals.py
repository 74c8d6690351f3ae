"""What the MySQL source refuses, and that each refusal is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources.running import wait_until
from integration.sources_mariadb.fixtures import PASSWORD
from integration.sources_mariadb.test_mariadb_refusals import (  # noqa: F401  they run here on MySQL
    purged,
    refused,
    test_a_character_set_that_cannot_be_read,
    test_a_purged_log_that_was_read,
    test_a_replica_that_takes_our_number,
    test_a_table_of_another_engine,
    test_a_table_that_is_not_there,
    test_a_wrong_password,
    test_an_unreachable_server,
)
from integration.sources_mysql.harness import Capture, running_mysql

from streams.errors import (
    ConfigurationError,
    ContractViolation,
    DependencyUnavailable,
    PoisonRecord,
    PositionLost,
)
from streams.stack import Stack


@pytest.fixture
def own(stack: Stack, tmp_path: Path) -> Iterator[Capture]:
    """A captured table of one row on a server of its own, which tests restart, reset and purge."""
    with running_mysql() as server:
        capture = Capture(stack, server, tmp_path)
        capture.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
        capture.execute("INSERT INTO line VALUES (1, 'a')")
        yield capture
        capture.close()


def test_missing_rights_one_after_the_other(line: Capture, user: str) -> None:
    """Each refusal names the right and a GRANT that mends it; with all of them the source runs, and logs in by
    caching_sha2_password."""
    dsn = line.server.dsn(user, PASSWORD)
    grants = [
        ("REPLICATION CLIENT", "*.*", DependencyUnavailable, 3),
        ("RELOAD", "*.*", DependencyUnavailable, 3),
        ("XA_RECOVER_ADMIN", "*.*", DependencyUnavailable, 3),
        ("SELECT", f"`{line.name}`", ConfigurationError, 2),
        ("REPLICATION SLAVE", "*.*", DependencyUnavailable, 3),
    ]
    for right, on, kind, code in grants:
        message = refused(line, kind, code, f"GRANT {right} ON {on}", dsn=dsn)
        line.execute(message[message.index("GRANT ") :])
    line.run_once(dsn=dsn)
    assert [m.key["id"] for m in line.messages("line")] == [1]
    assert line.execute("SELECT plugin FROM mysql.user WHERE user = %s", user) == [("caching_sha2_password",)]


def test_the_other_connector_is_named(line: Capture) -> None:
    """MySQL read as MariaDB: said with the key to set."""
    refused(line, DependencyUnavailable, 3, "not MariaDB", 'connector = "mysql"', connector="mariadb")


def test_settings_of_the_log(own: Capture) -> None:
    """The statement that is said mends it."""
    for setting, value in (
        ("binlog_format", "MIXED"),
        ("binlog_row_image", "MINIMAL"),
        ("binlog_row_metadata", "MINIMAL"),
        ("binlog_row_value_options", "PARTIAL_JSON"),
    ):
        own.execute(f"SET GLOBAL {setting} = '{value}'")
        message = refused(own, DependencyUnavailable, 3, value, f"SET GLOBAL {setting} = ")
        own.execute(message[message.index("SET GLOBAL") : message.index(", add ")])
    own.run_once()
    assert len(own.messages("line")) == 1


def test_a_server_without_gtids_or_without_a_log(own: Capture) -> None:
    """Said with what to do; GTIDs are switched on in steps."""
    own.execute("SET GLOBAL gtid_mode = ON_PERMISSIVE")
    refused(own, DependencyUnavailable, 3, "gtid_mode is ON_PERMISSIVE", "SET GLOBAL gtid_mode = ON")
    own.server.settings |= {"log-bin": None, "skip-log-bin": "ON"}
    own.server.restart()
    refused(own, DependencyUnavailable, 3, "no binary log", "log_bin", "[mysqld]")


def test_parts_of_json(line: Capture) -> None:
    """A session that logs parts of JSON columns halts the source."""
    line.execute("CREATE TABLE doc (id int PRIMARY KEY, d json)")
    line.execute("INSERT INTO doc VALUES (1, json_object('a', repeat('x', 2000)))")
    line.run_once()
    line.execute("SET SESSION binlog_row_value_options = 'PARTIAL_JSON'")
    line.execute("UPDATE doc SET d = json_set(d, '$.a', 'y')")
    refused(line, PoisonRecord, 1, "binlog_row_value_options", "resnapshot")


def test_a_gtid_with_a_tag(own: Capture) -> None:
    """In the log while streaming, and at the start."""
    own.run_once()
    own.execute("SET gtid_next = 'AUTOMATIC:mine'")
    own.execute("INSERT INTO line VALUES (2, 'tagged')")
    own.execute("SET gtid_next = 'AUTOMATIC'")
    refused(own, DependencyUnavailable, 3, "GTIDs with a tag", "mine")


def test_a_table_that_is_locked_for_long(line: Capture) -> None:
    """The snapshot does not hold writers up for ever behind a statement that runs on."""
    only = [f"{line.name}.line"]
    line.execute("CREATE TABLE other (id int PRIMARY KEY)")
    line.execute("LOCK TABLES other WRITE")
    refused(line, DependencyUnavailable, 3, "locked for a moment", tables=only)
    line.execute("UNLOCK TABLES")
    line.run_once(tables=only)
    assert [m.key["id"] for m in line.messages("line")] == [1]


def test_a_purged_log(own: Capture) -> None:
    """Changes that were removed before they were read: halted with the bounds of the gap, not skipped."""
    own.run_once()
    at = own.progress().gtid
    own.execute("INSERT INTO line VALUES (2, 'lost')")
    (lost,) = own.execute("SELECT gtid_subtract(@@gtid_executed, %s)", at)[0]
    own.execute("FLUSH BINARY LOGS")
    own.execute("INSERT INTO line VALUES (3, 'kept')")
    wait_until(lambda: purged(own))
    refused(own, PositionLost, 1, at, lost, "purged", "resnapshot")
    own.source().resnapshot()
    own.run_once()
    assert own.folded("line", "id", "note") == own.rows("line", "id", "note")


@pytest.mark.parametrize("more", [0, 50])
def test_a_reset_log(own: Capture, more: int) -> None:
    """The numbers start again: seen even when the log has reached ours again."""
    for number in range(10, 20):
        own.execute("INSERT INTO line VALUES (%s, 'before')", number)
    own.run_once()
    at = own.progress().gtid
    own.execute("RESET BINARY LOGS AND GTIDS")
    for number in range(100, 100 + more):
        own.execute("INSERT INTO line VALUES (%s, 'after')", number)
    refused(own, PositionLost, 1, at, "resnapshot")


def test_another_server_and_a_promoted_replica(own: Capture) -> None:
    """A server that is not the one read is refused; a replica with our last transaction is followed on
    request, and is then the one that is read: the sets of both servers' transactions merge."""
    with running_mysql({"server-id": "2"}) as other:
        replica = Capture(own.stack, other, own.folder)
        dsn = other.dsn()
        own.run_once()
        replica.execute("RESET BINARY LOGS AND GTIDS")
        replica.execute(
            "CHANGE REPLICATION SOURCE TO source_host='127.0.0.1', source_port=%s, source_user='tallystream', "
            "source_password=%s, source_auto_position=1, get_source_public_key=1",
            own.server.port,
            own.server.password,
        )
        replica.execute("START REPLICA")
        own.execute("INSERT INTO line VALUES (2, 'on the first')")
        ((at,),) = own.execute("SELECT @@gtid_executed")
        assert replica.execute("SELECT wait_for_executed_gtid_set(%s, 20)", at) == [(0,)]
        replica.execute("STOP REPLICA")
        replica.execute(f"INSERT INTO {own.name}.line VALUES (3, 'on the second')")
        refused(own, PositionLost, 1, own.progress().gtid, "failover = true", dsn=dsn)
        own.run_once(dsn=dsn, failover=True)
        assert [m.key["id"] for m in own.changes("line")] == [1, 2, 3]
        assert {m.value["source"]["server_id"] for m in own.changes("line")} == {1, 2}
        assert len(own.progress().gtid.split(",")) == 2
        replica.execute(f"INSERT INTO {own.name}.line VALUES (4, 'on the second')")
        own.run_once(dsn=dsn)
        assert [m.key["id"] for m in own.changes("line")] == [1, 2, 3, 4]
        refused(own, PositionLost, 1, "ends at")
        replica.close()


def test_rows_that_were_logged_as_text(line: Capture) -> None:
    """A session with binlog_format=STATEMENT leaves no rows: said, not skipped."""
    line.run_once()
    line.execute("SET SESSION binlog_format = 'STATEMENT'")
    line.execute("INSERT INTO line VALUES (2, 'text')")
    refused(line, ContractViolation, 1, "logged as text")


def test_check_says_the_same_before_the_first_run(line: Capture, user: str) -> None:
    """All well with the limits said, or what would be refused; nothing is published."""
    assert [one.status for one in line.source().check()] == ["ok", "ok", "warn"]
    (finding,) = line.source(dsn=line.server.dsn(user, PASSWORD)).check()
    assert finding.status == "fail"
    assert "GRANT REPLICATION CLIENT" in finding.text
    assert line.messages("line") == []

"""What the MariaDB source refuses, and that each refusal is one line that says what to do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources.harness import wait_until
from integration.sources_mariadb.fixtures import PASSWORD
from integration.sources_mariadb.harness import Capture, running_mariadb

from connectors.sources.mariadb.stream import LogStream
from connectors.sources.running import StopSignal
from streams.errors import (
    ConfigurationError,
    DependencyUnavailable,
    PositionLost,
    TallystreamError,
)
from streams.stack import Stack


@pytest.fixture
def own(stack: Stack, tmp_path: Path) -> Iterator[Capture]:
    """A captured table of one row on a server of its own, which tests restart, reset and purge."""
    with running_mariadb() as server:
        capture = Capture(stack, server, tmp_path)
        capture.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
        capture.execute("INSERT INTO line VALUES (1, 'a')")
        yield capture
        capture.close()


def refused(
    capture: Capture, kind: type[TallystreamError], exit_code: int, *words: str, **changes: object
) -> str:
    with pytest.raises(kind) as raised:
        capture.run_once(**changes)
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert PASSWORD not in message
    assert capture.server.password not in message
    assert raised.value.exit_code == exit_code
    return message


def purged(capture: Capture) -> bool:
    """Remove all but the last file of the log; not yet done while the server takes us for its reader."""
    with warnings.catch_warnings(action="ignore"):
        capture.execute(f"PURGE BINARY LOGS TO '{capture.execute('SHOW BINARY LOGS')[-1][0]}'")
    return len(capture.execute("SHOW BINARY LOGS")) == 1


def test_an_unreachable_server(line: Capture) -> None:
    """Exit code 3, with the address."""
    refused(line, DependencyUnavailable, 3, "127.0.0.1:1", dsn="mysql://u:p@127.0.0.1:1")


def test_a_wrong_password(line: Capture) -> None:
    """Exit code 3, without the password."""
    refused(line, DependencyUnavailable, 3, "does not let", dsn=line.server.dsn(password=PASSWORD))


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:p@h/db", "nonsense", "mysql://u@h:port", "mysql://u@h?what=1"]
)
def test_a_dsn_that_is_none(line: Capture, dsn: str) -> None:
    """Exit code 2."""
    refused(line, ConfigurationError, 2, "the DSN", dsn=dsn)


def test_missing_rights_one_after_the_other(line: Capture, user: str) -> None:
    """Each refusal names the right and a GRANT that mends it; with all of them the source runs."""
    dsn = line.server.dsn(user, PASSWORD)
    grants = [
        ("BINLOG MONITOR", "*.*", DependencyUnavailable, 3),
        ("SELECT", f"`{line.name}`", ConfigurationError, 2),
        ("REPLICATION SLAVE", "*.*", DependencyUnavailable, 3),
    ]
    for right, on, kind, code in grants:
        message = refused(line, kind, code, f"GRANT {right} ON {on}", dsn=dsn)
        statement = message[message.index("GRANT ") :].replace("@'%'", "@'%%'")
        line.execute(statement.replace("%%", "%"))
    line.run_once(dsn=dsn)
    assert [m.key["id"] for m in line.messages("line")] == [1]


def test_the_right_to_lock(line: Capture, user: str) -> None:
    """Needed where XA is in use and a table has no key: its snapshot begins while nothing is committed."""
    line.execute(f"GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO {user}")
    line.execute(f"GRANT SELECT ON {line.name}.* TO {user}")
    for step in ("START", "END", "PREPARE", "COMMIT"):
        line.execute(f"XA {step} '{line.name}'")
    dsn = line.server.dsn(user, PASSWORD)
    line.run_once(dsn=dsn)
    line.execute("CREATE TABLE log (line text)")
    line.execute("INSERT INTO log VALUES ('a'), ('a')")
    message = refused(line, DependencyUnavailable, 3, "GRANT RELOAD ON *.*", dsn=dsn)
    line.execute(message[message.index("GRANT ") :])
    line.run_once(dsn=dsn)
    assert len(line.messages("log")) == 2


def test_a_right_on_some_columns_only(line: Capture, user: str) -> None:
    """A column that may not be read is not left out: the table is refused."""
    line.execute(f"GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO {user}")
    line.execute(f"GRANT SELECT (id) ON {line.name}.line TO {user}")
    refused(line, DependencyUnavailable, 3, "lacks SELECT", "line", dsn=line.server.dsn(user, PASSWORD))


def test_a_table_that_is_not_there(line: Capture) -> None:
    """Exit code 2, naming the entry."""
    refused(line, ConfigurationError, 2, f"{line.name}.nothing", tables=[f"{line.name}.nothing"])


def test_a_table_of_another_engine(line: Capture) -> None:
    """MyISAM has no transactions; the ALTER TABLE is said."""
    line.execute("CREATE TABLE old (id int PRIMARY KEY) ENGINE=MyISAM")
    refused(line, ConfigurationError, 2, "MyISAM", "ENGINE=InnoDB")


def test_a_character_set_that_cannot_be_read(line: Capture) -> None:
    """Named with table and column when the log has it."""
    line.execute("CREATE TABLE odd (id int PRIMARY KEY, t varchar(9) CHARACTER SET swe7)")
    line.run_once()
    line.execute("INSERT INTO odd VALUES (1, 'x')")
    refused(line, TallystreamError, 1, f"{line.name}.odd: column t", "swe7", "utf8mb4")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("binlog_format", "MIXED"),
        ("binlog_row_image", "MINIMAL"),
        ("binlog_row_metadata", "MINIMAL"),
    ],
)
def test_a_setting_of_the_log(own: Capture, setting: str, value: str) -> None:
    """The statement that is said mends it."""
    own.execute(f"SET GLOBAL {setting} = '{value}'")
    message = refused(own, DependencyUnavailable, 3, value, f"SET GLOBAL {setting} = ")
    own.execute(message[message.index("SET GLOBAL") : message.index(", add ")])
    own.run_once()
    assert len(own.messages("line")) == 1


def test_a_server_without_a_log(own: Capture) -> None:
    """log_bin off: said with what to add where."""
    own.server.settings["log-bin"] = None
    own.server.restart()
    refused(own, DependencyUnavailable, 3, "no binary log", "log_bin")


def test_a_purged_log(own: Capture) -> None:
    """Changes that were removed before they were read: halted with the GTID, not skipped."""
    own.run_once()
    at = own.progress().gtid
    own.execute("INSERT INTO line VALUES (2, 'lost')")
    own.execute("FLUSH BINARY LOGS")
    own.execute("INSERT INTO line VALUES (3, 'kept')")
    wait_until(lambda: purged(own))
    refused(own, PositionLost, 1, at, "purged", "resnapshot")
    own.source().resnapshot()
    own.run_once()
    assert own.folded("line", "id", "note") == own.rows("line", "id", "note")


def test_a_purged_log_that_was_read(own: Capture) -> None:
    """Files that were read before they went are not missed."""
    own.run_once()
    own.execute("FLUSH BINARY LOGS")
    own.execute("INSERT INTO line VALUES (2, 'kept')")
    wait_until(lambda: purged(own))
    own.run_once()
    assert own.folded("line", "id", "note") == own.rows("line", "id", "note")


@pytest.mark.parametrize("more", [0, 50])
def test_a_reset_log(own: Capture, more: int) -> None:
    """RESET MASTER starts the numbers again: seen even when the log has reached ours again."""
    for number in range(10, 20):
        own.execute("INSERT INTO line VALUES (%s, 'before')", number)
    own.run_once()
    at = own.progress().gtid
    own.execute("RESET MASTER")
    for number in range(100, 100 + more):
        own.execute("INSERT INTO line VALUES (%s, 'after')", number)
    refused(own, PositionLost, 1, at, "resnapshot")


def test_another_server_and_a_promoted_replica(own: Capture) -> None:
    """A server that is not the one read is refused; a replica with our last transaction is followed on
    request, and is then the one that is read."""
    with running_mariadb({"server-id": "2", "log-slave-updates": "ON", "gtid-strict-mode": "ON"}) as other:
        replica = Capture(own.stack, other, own.folder)
        dsn = other.dsn()
        own.run_once()
        replica.execute("RESET MASTER")
        replica.execute("SET GLOBAL gtid_slave_pos = ''")
        replica.execute(
            "CHANGE MASTER TO master_host='127.0.0.1', master_port=%s, master_user='tallystream', "
            "master_password=%s, master_use_gtid=slave_pos",
            own.server.port,
            own.server.password,
        )
        replica.execute("START SLAVE")
        own.execute("INSERT INTO line VALUES (2, 'on the first')")
        at = own.execute("SELECT @@gtid_binlog_pos")[0][0]
        assert replica.execute("SELECT MASTER_GTID_WAIT(%s, 20)", at) == [(0,)]
        replica.execute("STOP SLAVE")
        replica.execute(f"INSERT INTO {own.name}.line VALUES (3, 'on the second')")
        refused(own, PositionLost, 1, own.progress().gtid, "failover = true", dsn=dsn)
        own.run_once(dsn=dsn, failover=True)
        assert [m.key["id"] for m in own.changes("line")] == [1, 2, 3]
        assert {m.value["source"]["server_id"] for m in own.changes("line")} == {1, 2}
        replica.execute(f"INSERT INTO {own.name}.line VALUES (4, 'on the second')")
        own.run_once(dsn=dsn)
        assert [m.key["id"] for m in own.changes("line")] == [1, 2, 3, 4]
        refused(own, PositionLost, 1, "ends at")
        replica.close()


def test_a_replica_that_takes_our_number(line: Capture) -> None:
    """The server ends our stream: not taken for a lost log, and the key to set is said."""
    server = line.source().server(line.server.dsn())
    start = server.identify().gtid
    stop = StopSignal()
    ours = LogStream(server, 4711, start)
    twin = LogStream(server, 4711, start)

    def read() -> bool:
        ours.wait(stop, 0.1)
        while ours.read() is not None:
            pass
        return False

    try:
        with pytest.raises(DependencyUnavailable, match="our number 4711: give this source a server_id"):
            wait_until(read)
    finally:
        ours.close()
        twin.close()
        stop.close()


def test_check_says_the_same_before_the_first_run(line: Capture, user: str) -> None:
    """All well with the limits said, or what would be refused; nothing is published."""
    assert [one.status for one in line.source().check()] == ["ok", "ok", "warn"]
    (finding,) = line.source(dsn=line.server.dsn(user, PASSWORD)).check()
    assert finding.status == "fail"
    assert "GRANT BINLOG MONITOR" in finding.text
    assert line.messages("line") == []

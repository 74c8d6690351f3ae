"""The stack's parts that need no server: ports, state, logs, the choice of broker."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import streams.stack
from streams.errors import DependencyUnavailable, UsageError
from streams.stack import Stack, jars, ports
from streams.stack.__main__ import parse_ports
from streams.stack.account import reachable, reachable_copy
from streams.stack.process import last_line
from streams.stack.state import (
    DataDirLock,
    ProcessRecord,
    ServiceRecord,
    StackState,
    end_leftovers,
    read_state,
    record_process,
    write_state,
)


def test_the_public_surface_is_pinned() -> None:
    """What the demo and fixtures may rely on."""
    assert streams.stack.__all__ == ["SERVICES", "ServiceStatus", "Stack", "kafka_available"]


def test_importing_the_stack_loads_no_client() -> None:
    """Commands that only might need the stack stay fast."""
    code = (
        "import sys, streams.stack\n"
        "heavy = {'psycopg2', 'confluent_kafka', 'aiohttp', 'redis', 'avro', 'faust'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("broker", ["foo", "host:", ":9092", "host:99999", "host:9092,other"])
def test_a_broker_that_is_none_is_refused(broker: str, tmp_path: Path) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match="embedded, kafka or HOST:PORT"):
        Stack(tmp_path, broker)


def test_unknown_services_are_refused(tmp_path: Path) -> None:
    """In the list of services, and among the ports."""
    with pytest.raises(UsageError, match="no service 'mariadb'"):
        Stack(tmp_path, services=["mariadb"])
    with pytest.raises(UsageError, match="no service 'kafka'"):
        Stack(tmp_path, ports={"kafka": 9092})


def test_a_server_that_does_not_run_is_no_attribute(tmp_path: Path) -> None:
    """The error says which one, and what to do."""
    with pytest.raises(UsageError, match="runs no Redis"):
        _ = Stack(tmp_path).redis


@pytest.mark.parametrize("text", ["redis", "redis=", "redis=x", "=1x"])
def test_ports_are_pairs(text: str) -> None:
    """SERVICE=PORT, anything else is refused."""
    with pytest.raises(UsageError, match="SERVICE=PORT"):
        parse_ports([text])


def test_free_ports_are_never_given_twice() -> None:
    """Nor is one that somebody listens on, nor one of the range of outgoing connections."""
    found = {ports.free_port() for _ in range(50)}
    try:
        assert len(found) == 50
        assert max(found) < 32768
        with socket.create_server((ports.HOST, 0)) as server:
            busy = server.getsockname()[1]
            assert ports.free_port(busy) != busy
            with pytest.raises(DependencyUnavailable, match=f"port {busy} for redis is taken"):
                ports.require_free("redis", busy)
    finally:
        for port in found:
            ports.release(port)


def test_the_last_line_of_a_log_is_the_last_that_says_something(tmp_path: Path) -> None:
    """Blank lines are skipped, long ones shortened, a missing log is no error."""
    log = tmp_path / "x.log"
    assert last_line(log) == "no log"
    log.write_text("first\n" + "y" * 1000 + "\n\n  \n")
    assert last_line(log) == "y" * 300
    log.write_text("\n")
    assert last_line(log) == "nothing logged"


def state(*processes: ProcessRecord) -> StackState:
    service = ServiceRecord("redis", "127.0.0.1:1", "log", processes)
    return StackState(record_process(os.getpid()), "embedded", (service,), {"TALLYSTREAM_X": "secret"})


def test_the_state_file_comes_back_and_is_ours_alone(tmp_path: Path) -> None:
    """It holds passwords."""
    written = state(record_process(os.getpid()))
    write_state(tmp_path, written)
    assert read_state(tmp_path) == written
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_a_state_file_of_another_version_is_explained(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "stack.json").write_text('{"version": 9}')
    with pytest.raises(DependencyUnavailable, match="another version"):
        read_state(tmp_path)


def test_a_pid_that_was_given_to_another_program_is_not_touched() -> None:
    """A leftover is known by its start time, too."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        reused = ProcessRecord(process.pid, "long ago")
        assert not reused.alive
        assert end_leftovers(state(reused)) == []
        assert process.poll() is None
        known = record_process(process.pid)
        assert known.alive
        process.kill()
    assert not known.alive


def test_the_lock_of_a_data_folder_is_held_once(tmp_path: Path) -> None:
    """By one stack at a time; it can be taken again after a release."""
    first, second = DataDirLock(tmp_path), DataDirLock(tmp_path)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_a_closed_parent_folder_makes_a_path_unreachable(tmp_path: Path) -> None:
    """Whoever owns what is below it."""
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not reachable(inner)
    assert reachable(Path("/usr/bin"))


def test_programs_in_a_closed_folder_are_copied_once_to_an_open_one(tmp_path: Path) -> None:
    """A virtual environment in root's home; a folder that others could have filled is refused."""
    program = tmp_path / "closed" / "install" / "program"
    program.parent.mkdir(parents=True)
    program.write_text("x")
    tmp_path.joinpath("closed").chmod(0o700)
    label = f"test-{os.getpid()}"
    root, parts = program.parents[1], ["install"]
    copy = reachable_copy(root, parts, label)
    try:
        assert (copy / "install" / "program").read_text() == "x"
        assert reachable(copy / "install")
        assert reachable_copy(root, parts, label) == copy
        copy.chmod(0o777)
        with pytest.raises(DependencyUnavailable, match="is not ours"):
            reachable_copy(root, parts, label)
    finally:
        shutil.rmtree(copy)


def test_missing_java_and_maven_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Apache Kafka can't run then, and says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    jars.java.cache_clear()
    try:
        assert not streams.stack.kafka_available()
        with pytest.raises(DependencyUnavailable, match="needs Java, and there is none: install Java 17"):
            jars.java()
        with pytest.raises(DependencyUnavailable, match="fetched by Maven, and there is none"):
            jars.kafka_jars()
    finally:
        jars.java.cache_clear()

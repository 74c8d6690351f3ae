"""The local servers: they start, answer, keep data, and never outlive the one who started them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.errors import DependencyUnavailable
from streams.settings import load_settings
from streams.stack import SERVICES, Stack, account, ports, postgres
from streams.stack.packages import require_package
from streams.stack.postgres import PACKAGE
from streams.stack.state import read_state

GONE_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


def processes_of(stack_dir: Path) -> list[psutil.Process]:
    """All processes that mention the folder or were started from a recorded one, the owner left out."""
    state = read_state(stack_dir)
    assert state is not None
    roots = [psutil.Process(process.pid) for service in state.services for process in service.processes]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def running(process: psutil.Process) -> bool:
    """A zombie, which waits for its new parent to notice, does not run."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if running(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def produce(bootstrap: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for number in range(count):
        producer.produce(topic, str(number).encode())
    assert producer.flush(20) == 0


def create_topic(bootstrap: str, topic: str, replicas: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, replicas)])[topic].result(20)


def records(bootstrap: str, topic: str) -> int:
    consumer = KafkaConsumer({"bootstrap.servers": bootstrap, "group.id": "count"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        return int(high - low)
    finally:
        consumer.close()


def test_all_servers_are_healthy_and_found_by_the_settings(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable is a setting, and each server answers at its address."""
    assert [(status.name, status.healthy) for status in stack.status()] == [(name, True) for name in SERVICES]
    for name, value in stack.settings_environment().items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    for dsn in (settings.erp_dsn, settings.crm_dsn, settings.time_dsn, settings.bi_dsn):
        assert dsn is not None
        psycopg2.connect(dsn.get_secret_value()).close()
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.ping()
    assert AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).list_topics(timeout=10).brokers


def test_postgres_asks_for_the_password_and_replicates_logically(stack: Stack) -> None:
    """SCRAM over TCP, and a slot can be made."""
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(stack.postgres.dsn("erp").replace(stack.postgres.password, "wrong"))
    connection = stack.postgres.connect("erp")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SHOW wal_level")
            assert cursor.fetchone() == ("logical",)
            cursor.execute(
                "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = current_user"
            )
            assert cursor.fetchone() == (True,)
            cursor.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            cursor.execute("SELECT pg_drop_replication_slot('s')")
    finally:
        connection.close()


def test_each_server_keeps_port_and_data_over_a_restart(stack: Stack) -> None:
    """PostgreSQL also over kill -9; the broker over a clean restart, which is what it promises."""
    addresses = [status.address for status in stack.status()]
    with stack.postgres.connect("bi") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 1 AS one")
    connection.close()
    create_topic(stack.broker.bootstrap, "kept")
    produce(stack.broker.bootstrap, "kept", 100)
    with redis.Redis.from_url(stack.redis.url) as client:
        client.set("kept", "1")

    stack.postgres.kill()
    assert not stack.postgres.running
    assert not stack.postgres.healthy()
    for server in (stack.postgres, stack.broker, stack.redis, stack.registry):
        server.restart()  # type: ignore[union-attr]  # this stack's broker is ours

    assert [status.address for status in stack.status()] == addresses
    assert all(status.healthy for status in stack.status())
    with stack.postgres.connect("bi") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT one FROM kept")
        assert cursor.fetchone() == (1,)
    connection.close()
    assert records(stack.broker.bootstrap, "kept") == 100
    with redis.Redis.from_url(stack.redis.url) as client:
        assert client.get("kept") == b"1"
    pids = {pid for status in stack.status() for pid in status.pids}
    state = read_state(stack.data_dir)
    assert state is not None
    assert {process.pid for service in state.services for process in service.processes} == pids


def test_two_stacks_side_by_side(stack: Stack, tmp_path: Path) -> None:
    """Nothing is shared: other ports, other databases, and one ends without the other."""
    with Stack(tmp_path, services=["postgres", "redis"]) as other:
        assert {s.address for s in stack.status()}.isdisjoint({s.address for s in other.status()})
        with redis.Redis.from_url(other.redis.url) as client:
            client.set("only", "here")
        with redis.Redis.from_url(stack.redis.url) as client:
            assert client.get("only") is None
    assert all(status.healthy for status in stack.status())


def test_one_stack_a_folder(stack: Stack) -> None:
    """The second is refused in one line, and the first is not disturbed."""
    with pytest.raises(DependencyUnavailable, match=r"a stack runs in .* already"):
        Stack(stack.data_dir).start()
    assert all(status.healthy for status in stack.status())


def test_ports_and_data_are_taken_up_again(tmp_path: Path) -> None:
    """A stack that is started again has its old addresses, if they are free."""
    addresses = []
    for _ in range(2):
        with Stack(tmp_path, services=["redis", "registry"]) as stack:
            addresses.append([status.address for status in stack.status()])
    assert addresses[0] == addresses[1]
    assert read_state(tmp_path) is None


def test_settings_of_postgres_can_be_changed(tmp_path: Path) -> None:
    """A server without logical replication, as refusals need, and with it after a restart."""
    with Stack(tmp_path, services=["postgres"], postgres_settings={"wal_level": "replica"}) as stack:
        for expected in ("replica", "logical"):
            connection = stack.postgres.connect()
            with connection.cursor() as cursor:
                cursor.execute("SHOW wal_level")
                assert cursor.fetchone() == (expected,)
            connection.close()
            stack.postgres.settings.clear()
            stack.postgres.restart()


def test_a_busy_port_is_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    """The server and the port are named; servers that had started are stopped."""
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        stack = Stack(tmp_path, services=["redis", "registry"], ports={"registry": port})
        with pytest.raises(DependencyUnavailable, match=f"port {port} for registry is taken"):
            stack.start()
    assert read_state(tmp_path) is None
    with stack:
        assert stack.registry.port == port


def test_a_server_that_fails_at_start_is_explained(tmp_path: Path) -> None:
    """Its name, the last line of its log, and the log's path; the other servers are stopped."""
    stack = Stack(tmp_path, services=["postgres", "redis"], postgres_settings={"wal_level": "everything"})
    with pytest.raises(DependencyUnavailable) as error:
        stack.start()
    message = str(error.value)
    assert message.startswith("postgres ended at start with exit code 1: ")
    assert "postgres.log" in message
    assert "\n" not in message
    assert read_state(tmp_path) is None


def start_process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.stack", "--data-dir", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_runs_after_the_one_who_started_it(tmp_path: Path, number: signal.Signals) -> None:
    """However it ends: killed, by Ctrl-C, or asked to; and what was written is there the next time."""
    with start_process(tmp_path) as process:
        state = read_state(tmp_path)
        assert state is not None
        bootstrap = state.environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        create_topic(bootstrap, "kept")
        produce(bootstrap, "kept", 10)
        servers = processes_of(tmp_path)
        assert len(servers) > len(SERVICES)  # PostgreSQL has several
        process.send_signal(number)
        process.communicate()
        assert wait_until_gone(servers, GONE_WITHIN_S) == []
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    with Stack(tmp_path, services=["broker", "postgres"]) as stack:
        assert records(stack.broker.bootstrap, "kept") == 10


def test_the_children_live_on_when_the_thread_that_started_them_ends(tmp_path: Path) -> None:
    """The kernel's signal comes when a thread ends; fixtures and executors start stacks in threads."""
    stack = Stack(tmp_path, services=["redis"])
    thread = threading.Thread(target=stack.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.2)
        assert stack.redis.healthy()
    finally:
        stack.stop()


def test_leftovers_of_a_crash_are_ended_by_the_next_start(tmp_path: Path) -> None:
    """Even if the kernel did not end them: here their death signal is held up by a stop."""
    with start_process(tmp_path, "--service", "redis") as process:
        (server,) = processes_of(tmp_path)
        server.suspend()
        process.kill()
        process.communicate()
        assert running(server)
        with Stack(tmp_path, services=["redis"]) as stack:
            assert stack.redis.healthy()
            assert not running(server)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reaches every folder")
def test_an_ordinary_user_needs_no_other_account(stack: Stack) -> None:
    """All servers run as us."""
    assert {process.uids().real for process in processes_of(stack.data_dir)} == {os.geteuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the account")
def test_postgres_never_runs_as_root(stack: Stack) -> None:
    """It runs as another user in a folder that only root can walk down to, and widens no permission."""
    (pid,) = next(status.pids for status in stack.status() if status.name == "postgres")
    assert psutil.Process(pid).uids().effective != 0
    assert any(folder.stat().st_mode & 0o077 == 0 for folder in stack.data_dir.parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the account")
def test_postgres_runs_from_an_environment_in_a_closed_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its programs are copied, libraries included, to where the other user may run them."""
    site = tmp_path / "home" / "site-packages"
    package = require_package(PACKAGE)
    for part in (PACKAGE, f"{PACKAGE}.libs"):
        shutil.copytree(package.parent / part, site / part)
    site.parent.chmod(0o700)
    shared = Path(tempfile.mkdtemp())
    shared.chmod(0o755)
    monkeypatch.setattr(account, "SHARED", shared)
    monkeypatch.setattr(postgres, "require_package", lambda name: site / name)
    try:
        with Stack(tmp_path / "data", services=["postgres"]) as stack:
            assert stack.postgres.healthy()
            assert psutil.Process(stack.postgres.child.pid).exe().startswith(str(shared))
    finally:
        shutil.rmtree(shared)

"""How the warehouse sink starts, waits, gives way and stops, on real servers."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import REGISTRY

from connectors.sinks.feed import Feed
from connectors.sinks.runner import Runner
from connectors.sinks.warehouse import WarehouseTarget, session
from streams.errors import Fenced, PositionLost
from tests.integration.sinks.sink_world import World, eventually
from tests.unit.sinks.sink_builders import batch, ledger_line, message, record_of


@contextmanager
def running(world: World, **options: object) -> Iterator[threading.Thread]:
    """The warehouse sink, running in a thread of this process."""
    stop = threading.Event()
    target = WarehouseTarget(world.dsn)
    runner = Runner(target, lambda: world.feed(target), stop=stop, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def loaded(world: World, lines: int) -> bool:
    """Whether the ledger has that many lines."""
    return world.count("fact_billing_event") == lines


def stderr_of(process: subprocess.Popen[bytes]) -> str:
    """What a process wrote on standard error until its end."""
    return process.communicate(timeout=60)[1].decode()


def test_a_second_instance_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one instance holds the lock another does not start, and writes nothing; afterwards it may."""
    monkeypatch.setattr(session, "LOCK_PATIENCE_S", 0.3)
    first, second = WarehouseTarget(world.dsn), WarehouseTarget(world.dsn)
    first.open()
    with pytest.raises(Fenced, match="another instance of sink warehouse is running"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_an_instance_whose_positions_were_moved_stops(world: World) -> None:
    """Even where a pooler breaks the lock, of two instances only one can commit a range of records."""
    target = WarehouseTarget(world.dsn)
    target.open()
    target.begin({("billing.events", 0): 0})
    world.rows("UPDATE sink_offsets SET next_offset = 5")
    with pytest.raises(Fenced, match="moved by another instance"):
        target.apply(batch(message("billing.events", 0, ledger_line(1))))
    target.close()
    assert world.count("fact_billing_event") == 0


def test_deleted_records_are_not_skipped(world: World) -> None:
    """Records deleted before they were loaded stop the sink with what to do; a reset goes on."""
    world.send("latency.windows", *[record_of("latency.windows", hop=f"h{n}") for n in range(5)])
    world.load()
    world.send("latency.windows", *[record_of("latency.windows", hop=f"h{n}") for n in range(5, 10)])
    for future in world.admin.delete_records([TopicPartition("latency.windows", 0, 8)]).values():
        future.result(10)
    with pytest.raises(
        PositionLost, match=r"offset 5 of latency\.windows\[0\].*sink reset warehouse --topic"
    ):
        world.load()
    assert world.count("latency_window") == 5
    process = world.process("reset", "warehouse", "--topic", "latency.windows")
    assert stderr_of(process) == ""
    assert process.returncode == 0
    world.load()
    assert world.rows("SELECT hop FROM latency_window ORDER BY 1") == [
        (f"h{n}",) for n in (0, 1, 2, 3, 4, 8, 9)
    ]


def test_a_topic_shorter_than_the_position_is_noticed(world: World) -> None:
    """A topic that was made anew, or a broker that lost its end, stops the sink."""
    world.send("latency.windows", record_of("latency.windows"))
    world.load()
    world.rows("UPDATE sink_offsets SET next_offset = 7 WHERE topic = 'latency.windows'")
    with pytest.raises(PositionLost, match="truncated or made anew"):
        world.load()


def test_records_deleted_while_it_runs_are_noticed(world: World) -> None:
    """The next record going after the start, say by retention, is an error of the feed and no jump."""
    feed = world.feed(WarehouseTarget(world.dsn))
    world.send("latency.windows", *[record_of("latency.windows", hop=f"h{n}") for n in range(5)])
    feed.start({("latency.windows", 0): 0}, "warehouse")
    # A position that went after it was checked.
    feed._consumer.assign([TopicPartition("latency.windows", 0, 99)])
    with pytest.raises(PositionLost, match="the broker no longer has it"):
        drain_until_error(feed)
    feed.close()


def drain_until_error(feed: Feed) -> None:
    """Read for a while."""
    for _ in range(100):
        feed.next(0.1)


def test_the_database_may_go_and_come_back(world: World) -> None:
    """Records that arrive while PostgreSQL is down are loaded when it is back, each once."""
    world.send("billing.events", *[ledger_line(n) for n in range(10)])
    with running(world):
        eventually(lambda: world.count("fact_billing_event") == 10, "first records")
        world.stack.postgres.kill()
        world.send("billing.events", *[ledger_line(n) for n in range(10, 20)])
        time.sleep(1)
        world.stack.postgres.start()
        eventually(lambda: world.count("fact_billing_event") == 20, "records of the outage")
        world.send("billing.events", ledger_line(20))
        eventually(lambda: world.count("fact_billing_event") == 21, "records after it")


def test_a_cut_connection_is_made_again(world: World) -> None:
    """The server ending the sink's session loses and doubles nothing."""
    with running(world):
        for start in range(0, 100, 10):
            world.send("billing.events", *[ledger_line(n) for n in range(start, start + 10)])
            if start % 30 == 0:
                eventually(partial(loaded, world, start + 10), "loaded")
                world.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'tallystream sink warehouse'"
                )
        eventually(lambda: world.count("fact_billing_event") == 100, "all")


def test_the_broker_may_go_and_come_back(world: World) -> None:
    """A restarted broker is waited for."""
    world.send("billing.events", *[ledger_line(n) for n in range(10)])
    with running(world):
        eventually(lambda: world.count("fact_billing_event") == 10, "first records")
        world.stack.broker.stop()  # type: ignore[union-attr]
        time.sleep(2)
        world.stack.broker.start()
        world.send("billing.events", *[ledger_line(n) for n in range(10, 20)])
        eventually(lambda: world.count("fact_billing_event") == 20, "records after the restart")


def test_dependencies_that_stay_away_end_the_process(world: World) -> None:
    """Patience ends with exit code 3 and one line that names the server, for the database and the broker."""
    world.stack.postgres.stop()
    process = world.process("run", "warehouse", "--patience", "1")
    last = stderr_of(process).splitlines()[-1]
    assert process.returncode == 3
    assert last.startswith("error: warehouse 127.0.0.1:")
    world.stack.postgres.start()
    process = world.process(
        "run", "warehouse", "--patience", "1", TALLYSTREAM_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}"
    )
    last = stderr_of(process).splitlines()[-1]
    assert process.returncode == 3
    assert last.startswith("error: Kafka at 127.0.0.1:")


def test_missing_topics_are_waited_for(tmp_path: Path) -> None:
    """A sink that starts before its topics exist says so once, and loads them when they come."""
    world = World(tmp_path, create=False)
    try:
        process = world.process("run", "warehouse", "--topic-patience", "1")
        lines = stderr_of(process).splitlines()
        assert process.returncode == 3
        assert sum("waiting for topics" in line for line in lines) == 1
        assert lines[-1].startswith("error: topics billing.events, ")
        assert lines[-1].endswith("start a worker, which creates them")
        with running(world, topic_patience_s=60):
            time.sleep(1)
            world.create_topics(WarehouseTarget(world.dsn).topics)
            world.send("billing.events", ledger_line(1))
            eventually(lambda: world.count("fact_billing_event") == 1, "loaded")
    finally:
        world.close()


def test_sigterm_stops_cleanly_and_probes_answer(world: World) -> None:
    """The process is ready while it reads, tells its metrics, and ends with 0 when asked to."""
    port = free_port()
    world.send("billing.events", *[ledger_line(n) for n in range(100)])
    process = world.process("run", "warehouse", TALLYSTREAM_HTTP_PORT=str(port))
    eventually(lambda: answer(port, "/readyz") == (200, "ready\n"), "ready")
    eventually(lambda: world.count("fact_billing_event") == 100, "loaded")
    assert answer(port, "/livez") == (200, "alive\n")
    status, metrics = answer(port, "/metrics")
    assert status == 200
    assert 'tallystream_sink_rows_total{sink="warehouse",table="fact_billing_event"} 100.0' in metrics
    assert 'tallystream_sink_lag_records{partition="0",sink="warehouse",topic="billing.events"}' in metrics
    process.send_signal(signal.SIGTERM)
    assert stderr_of(process).count("\n") >= 1
    assert process.returncode == 0


def test_loading_adds_little_latency(world: World) -> None:
    """Single records are in the warehouse within a quarter of a second of being produced, at the median."""

    def total(name: str) -> float:
        labels = {"sink": "warehouse", "topic": "billing.events"}
        return REGISTRY.get_sample_value(f"tallystream_sink_produced_to_loaded_seconds_{name}", labels) or 0.0

    def within(bound: str) -> float:
        labels = {"sink": "warehouse", "topic": "billing.events", "le": bound}
        return REGISTRY.get_sample_value("tallystream_sink_produced_to_loaded_seconds_bucket", labels) or 0.0

    with running(world):
        world.send("billing.events", ledger_line(0))
        eventually(lambda: world.count("fact_billing_event") == 1, "running")
        count, fast = total("count"), within("0.25")
        for number in range(1, 41):
            world.send("billing.events", ledger_line(number))
            time.sleep(0.02)
        eventually(lambda: total("count") == count + 40, "all counted")
        assert within("0.25") - fast >= 20


def test_columns_of_a_newer_contract_are_added(world: World) -> None:
    """An optional field that the table lacks is added at start; a lost required column stops it."""
    world.load()
    world.rows("ALTER TABLE billing_current DROP COLUMN fx_rate")
    world.rows("ALTER TABLE utilization_daily DROP COLUMN capacity_hours")
    world.load()
    assert world.rows("SELECT fx_rate FROM billing_current") == []
    assert world.rows("SELECT capacity_hours FROM utilization_daily") == []
    world.rows("ALTER TABLE billing_current DROP COLUMN rule_version")
    process = world.process("run", "warehouse", "--drain")
    assert "lacks column rule_version" in stderr_of(process).splitlines()[-1]
    assert process.returncode == 1


def test_partitions_added_later_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that a topic gains is loaded from its beginning, without a restart."""
    from confluent_kafka.admin import NewPartitions

    from connectors.sinks import runner

    monkeypatch.setattr(runner, "PARTITION_CHECK_S", 0.5)
    with running(world):
        world.send("latency.windows", record_of("latency.windows", hop="a"))
        eventually(lambda: world.count("latency_window") == 1, "running")
        for future in world.admin.create_partitions([NewPartitions("latency.windows", 2)]).values():
            future.result(10)
        world.send("latency.windows", *[record_of("latency.windows", hop=f"h{n}") for n in range(20)])
        eventually(lambda: world.count("latency_window") == 21, "both partitions")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answer(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except OSError as error:
        return getattr(error, "code", 0), ""

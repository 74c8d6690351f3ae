"""A worker process on a real broker: restarts, fencing, lost positions, clean stops, refusals."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from worker_harness import PARTITIONS, RAISED, Site, wait_for

from streams.lanes.claims import claim

CLEAN_STOP_SECONDS = 10.0
GROUP = "tallystream-exceptions"


def subjects(prefix: str, count: int) -> list[str]:
    """Subjects over all partitions."""
    return [f"{prefix}-{n}" for n in range(count)]


def test_a_restarted_worker_continues_with_its_state(embedded_site: Site) -> None:
    """Counts go on where they were: after a clean stop without restoring anything, after a kill with.

    A clean stop takes less than ten seconds and exits with 0.
    """
    site, names = embedded_site, subjects("restart", 40)
    site.report(names)
    worker = site.worker().wait_ready()
    site.wait_seen("restart", dict.fromkeys(names, 1))
    code, seconds = worker.terminate()
    assert (code, seconds < CLEAN_STOP_SECONDS) == (0, True), worker.output()

    site.report(names)
    again = site.worker().wait_ready()
    site.wait_seen("restart", dict.fromkeys(names, 2))
    assert again.restored() == {}, "a clean store was restored all the same"

    again.kill()
    site.report(names)
    third = site.worker().wait_ready()
    site.wait_seen("restart", dict.fromkeys(names, 3))
    assert sum(third.restored().values()) >= len(names)
    assert third.terminate()[0] == 0


def test_an_idle_worker_keeps_its_store_clean(embedded_site: Site) -> None:
    """Started and stopped without any input in between: the next start restores nothing either."""
    site = embedded_site
    site.report(subjects("idle", 20))
    first = site.worker().wait_ready()
    site.wait_seen("idle", dict.fromkeys(subjects("idle", 20), 1))
    assert first.terminate()[0] == 0
    for _ in range(2):
        worker = site.worker().wait_ready()
        assert worker.restored() == {}
        assert worker.terminate()[0] == 0


def test_offsets_are_committed_as_a_hint(embedded_site: Site) -> None:
    """What lag monitors read reaches the end of the input."""
    site = embedded_site
    before = site.committed(GROUP, RAISED)
    site.report(subjects("hint", 30))
    site.worker().wait_ready()
    site.wait_seen("hint", dict.fromkeys(subjects("hint", 30), 1))
    wait_for(lambda: site.committed(GROUP, RAISED) >= before + 30, 15, lambda: "offsets were not committed")


def test_a_fenced_lane_stops_the_worker(embedded_site: Site) -> None:
    """A second owner of the lane: a clear error, exit code 1, nothing acknowledged, nothing doubled."""
    site, names = embedded_site, subjects("fence", 40)
    site.report(names)
    worker = site.worker().wait_ready()
    site.wait_seen("fence", dict.fromkeys(names, 1))
    wait_for(lambda: site.committed(GROUP, RAISED) > 0, 15, lambda: "nothing was committed")
    time.sleep(1.5)  # the commit timer has had its turn
    committed = site.committed(GROUP, RAISED)
    claim(site.bootstrap, "exceptions", range(PARTITIONS), "another")
    site.report(names)
    assert worker.wait_end() == 1, worker.output()
    assert "has a new owner" in worker.error_line()
    assert not worker.printed_traceback(), worker.output()
    assert site.committed(GROUP, RAISED) == committed
    assert site.seen("fence") == dict.fromkeys(names, 1)
    site.worker().wait_ready()
    site.wait_seen("fence", dict.fromkeys(names, 2))


def test_a_busy_port_is_an_unreachable_dependency(embedded_site: Site) -> None:
    """Exit code 3 and one line, with the setting that chooses another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        worker = embedded_site.worker(TALLYSTREAM_HTTP_PORT=str(port))
        assert worker.wait_end() == 3
    assert f"port {port} on 127.0.0.1 is taken" in worker.error_line()
    assert "TALLYSTREAM_HTTP_PORT" in worker.error_line()
    assert not worker.printed_traceback(), worker.output()


def test_a_registry_that_is_down_is_an_unreachable_dependency(embedded_site: Site) -> None:
    """Exit code 3 and one line, with its address and setting."""
    worker = embedded_site.worker(TALLYSTREAM_REGISTRY_URL="http://127.0.0.1:1")
    assert worker.wait_end() == 3, worker.output()
    assert "http://127.0.0.1:1" in worker.error_line()
    assert "TALLYSTREAM_REGISTRY_URL" in worker.error_line()
    assert not worker.printed_traceback(), worker.output()


def test_a_changed_partition_count_is_refused(embedded_site: Site) -> None:
    """Exit code 1, with the way to migrate, before any lane is opened."""
    worker = embedded_site.worker(TALLYSTREAM_PARTITIONS=str(PARTITIONS + 1))
    assert worker.wait_end() == 1
    line = worker.error_line()
    assert f"has {PARTITIONS} partitions, its contract says {PARTITIONS + 1}" in line
    assert "copy it to a new topic" in line


def test_a_stop_right_after_the_start_is_clean(embedded_site: Site) -> None:
    """SIGTERM while the worker is still opening its lanes."""
    worker = embedded_site.worker()
    wait_for(lambda: worker.is_ready() or _answers(worker.port), 60, worker.output)
    code, seconds = worker.terminate()
    assert (code, seconds < CLEAN_STOP_SECONDS) == (0, True), worker.output()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.kafka
def test_two_workers_share_partitions_and_lose_nothing(kafka_site: Site) -> None:
    """A second worker starts, a rebalance moves lanes with their state; it stops, and they move back.

    Reports arrive all the time; each is counted once. No worker fails, whoever fences whom.
    """
    site, names = kafka_site, subjects("share", 60)
    expected: Counter[str] = Counter()

    def report() -> None:
        site.report(names)
        expected.update(names)

    first = site.worker("worker-a").wait_ready()
    report()
    site.wait_seen("share", dict(expected))
    second = site.worker("worker-b")
    deadline = time.monotonic() + 60
    while '"event": "lane_open"' not in second.output():
        assert time.monotonic() < deadline, second.output()
        report()
        time.sleep(0.2)
    second.wait_ready()
    report()
    site.wait_seen("share", dict(expected))
    assert sum(second.restored().values()) > 0, "the second worker took over no state"
    assert first.process.poll() is None, first.output()
    code, seconds = second.terminate()
    assert (code, seconds < CLEAN_STOP_SECONDS) == (0, True), second.output()
    for _ in range(5):
        report()
        time.sleep(0.2)
    site.wait_seen("share", dict(expected))
    assert first.process.poll() is None, first.output()
    assert first.terminate()[0] == 0


@pytest.mark.kafka
def test_one_worker_more_than_partitions_is_ready_and_takes_over(kafka_site: Site) -> None:
    """A spare worker counts as ready without lanes, and gets some when another is killed."""
    site, names = kafka_site, subjects("spare", 30)
    workers = [site.worker(f"spare-{n}") for n in range(PARTITIONS + 1)]
    for worker in workers:
        worker.wait_ready()
    site.report(names)
    site.wait_seen("spare", dict.fromkeys(names, 1))
    workers[0].kill()
    workers[1].kill()
    site.report(names)
    site.wait_seen("spare", dict.fromkeys(names, 2))
    assert workers[2].process.poll() is None


@pytest.mark.kafka
def test_a_broker_that_goes_away_does_not_keep_a_worker_from_stopping(kafka_site: Site) -> None:
    """SIGTERM while the broker is down: it ends by itself before Kubernetes would kill it, exit code 3."""
    site, names = kafka_site, subjects("dark", 20)
    site.report(names)
    worker = site.worker("dark-0").wait_ready()
    site.wait_seen("dark", dict.fromkeys(names, 1))
    broker = site.stack.kafka
    broker.kill()
    try:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait_end(25) == 3
        assert "do the brokers at" in worker.error_line()
        assert not worker.printed_traceback(), worker.output()
    finally:
        broker.start()


@pytest.mark.kafka
def test_an_input_that_was_deleted_halts_the_worker(kafka_site: Site) -> None:
    """Records beyond the cursor went before they were applied: exit code 1 and what to do, no silence.

    The last test on its broker: the flow can't go on there.
    """
    site, names = kafka_site, subjects("lost", 40)
    site.report(names)
    worker = site.worker("lost-0").wait_ready()
    site.wait_seen("lost", dict.fromkeys(names, 1))
    assert worker.terminate()[0] == 0
    site.report(names)
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    ends = [TopicPartition(RAISED, partition, -1) for partition in range(PARTITIONS)]
    for future in admin.delete_records(ends).values():
        future.result(20)
    again = site.worker("lost-0")
    assert again.wait_end() == 1, again.output()
    assert "were deleted before they were applied" in again.error_line()
    assert not again.printed_traceback()

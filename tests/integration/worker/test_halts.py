"""What is lost halts a worker with one line that says what happened and what to do, never an `earliest`.

On Apache Kafka. The tests follow each other on one broker; each leaves the flow able to go on, the last not.
"""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from worker_harness import PARTITIONS, RAISED, Site, Worker, wait_for

from streams.contracts.topics import contract_topics, create_topics

pytestmark = pytest.mark.kafka

GROUP = "tallystream-exceptions"
STATE = "state.exceptions"
ANEW = ("--from-earliest", RAISED)


def applied(site: Site, prefix: str) -> Worker:
    """A worker that has applied a report of each of some subjects."""
    worker = site.worker("halts").wait_ready()
    names = [f"{prefix}-{number}" for number in range(20)]
    site.report(names)
    site.wait_seen(prefix, dict.fromkeys(names, 1))
    return worker


def halt(worker: Worker) -> str:
    """The line with which a worker halts."""
    assert worker.wait_end() == 1, worker.output()
    assert not worker.printed_traceback(), worker.output()
    return worker.error_line()


def goes_on(site: Site, prefix: str) -> None:
    """Read from the beginning because somebody said so, the flow goes on; afterwards as ever."""
    names = [f"{prefix}-again-{number}" for number in range(20)]
    for count, options in enumerate((ANEW, ()), start=1):
        worker = site.worker("halts", options=options).wait_ready()
        site.report(names)
        site.wait_seen(f"{prefix}-again", dict.fromkeys(names, count))
        assert worker.terminate()[0] == 0, worker.output()


def admin(site: Site) -> AdminClient:
    """For what an operator does by mistake. Hold on to it: without it its answers never come."""
    return AdminClient({"bootstrap.servers": site.bootstrap})


def delete(site: Site, topic: str) -> None:
    """Delete a topic, until it is gone."""
    client = admin(site)
    client.delete_topics([topic])[topic].result(30)
    wait_for(
        lambda: topic not in client.list_topics(timeout=10).topics, 30, lambda: f"{topic} is still there"
    )


def deleted_group(site: Site) -> bool:
    """Delete the group with its offsets, once the session of its last member is over."""
    client = admin(site)
    try:
        client.delete_consumer_groups([GROUP])[GROUP].result(30)
    except KafkaException as error:
        if error.args[0].name() != "NON_EMPTY_GROUP":
            raise
        return False
    return True


def recreate(site: Site, topic: str) -> None:
    """Delete an input and create it as contracted."""
    delete(site, topic)
    create_topics(site.bootstrap, {topic: contract_topics(site.contracts, PARTITIONS)[topic]})


@pytest.mark.timeout(180)
def test_a_topic_created_anew_halts_at_the_next_start(kafka_site: Site) -> None:
    """Also when the new one is as long as the old: its id tells. Nothing of it is applied before it is said."""
    site = kafka_site
    worker = applied(site, "anew")
    assert worker.terminate()[0] == 0
    recreate(site, RAISED)
    site.report([f"anew-{number}" for number in range(400)])
    line = halt(site.worker("halts"))
    assert f"topic {RAISED} was deleted and created anew" in line
    assert f"tallystream worker --from-earliest {RAISED}" in line
    assert set(site.seen("anew").values()) == {1}
    goes_on(site, "anew")
    assert site.seen("anew-1") != {}
    assert site.seen("anew-0")["anew-0"] == 2, "what was written to the new topic before it was said was lost"


@pytest.mark.timeout(180)
def test_a_topic_created_anew_halts_a_running_worker(kafka_site: Site) -> None:
    """Within seconds, whatever is written to the new one."""
    site = kafka_site
    worker = applied(site, "under")
    recreate(site, RAISED)
    line = halt(worker)
    assert RAISED in line
    assert "--from-earliest" in line or "no longer exists" in line
    assert f"topic {RAISED} was deleted and created anew" in halt(site.worker("halts"))
    goes_on(site, "under")


@pytest.mark.timeout(180)
def test_records_deleted_before_they_were_applied_halt(kafka_site: Site) -> None:
    """Retention that is shorter than a stop: which offsets are missing, and how to go on."""
    site = kafka_site
    assert applied(site, "expired").terminate()[0] == 0
    site.report([f"expired-{number}" for number in range(20)])
    ends = [TopicPartition(RAISED, partition, -1) for partition in range(PARTITIONS)]
    client = admin(site)
    for future in client.delete_records(ends).values():
        future.result(60)
    line = halt(site.worker("halts"))
    assert "were deleted before they were applied; lengthen the topic's retention" in line
    assert f"--from-earliest {RAISED}" in line
    goes_on(site, "expired")


@pytest.mark.timeout(180)
def test_lost_committed_offsets_change_nothing(kafka_site: Site) -> None:
    """They are a hint for lag monitors: the lane's own cursor says where it goes on, and nothing counts twice."""
    site = kafka_site
    assert applied(site, "hint").terminate()[0] == 0
    wait_for(lambda: deleted_group(site), 30, lambda: f"{GROUP} still has its member")
    names = [f"hint-{number}" for number in range(20)]
    site.report(names)
    worker = site.worker("halts").wait_ready()
    site.wait_seen("hint", dict.fromkeys(names, 2))
    assert worker.terminate()[0] == 0


@pytest.mark.timeout(180)
def test_added_partitions_halt(kafka_site: Site) -> None:
    """Under a running worker, and at the next start: keys would go where their state is not."""
    site = kafka_site
    worker = applied(site, "more")
    client = admin(site)
    client.create_partitions([NewPartitions(RAISED, PARTITIONS + 1)])[RAISED].result(30)
    line = halt(worker)
    assert f"topic {RAISED} has {PARTITIONS + 1} partitions" in line
    assert "copy it" in line
    assert f"topic {RAISED} has {PARTITIONS + 1} partitions" in halt(site.worker("halts"))
    recreate(site, RAISED)
    goes_on(site, "more")


@pytest.mark.timeout(180)
def test_lost_state_halts(kafka_site: Site) -> None:
    """With a local copy that is ahead of its topic, and without any: a group that has come somewhere, and no
    state. The last test: nothing but a copy of the topic helps."""
    site = kafka_site
    worker = applied(site, "state")
    wait_for(lambda: site.committed(GROUP, RAISED) > 0, 15, worker.output)
    assert worker.terminate()[0] == 0
    delete(site, STATE)
    assert f"{STATE}/" in halt(site.worker("halts"))
    line = halt(site.worker("elsewhere"))
    assert f"by {GROUP}, but the state that came of it is gone" in line
    assert "restore that topic from a copy" in line
    assert site.seen("state") == {f"state-{number}": 1 for number in range(20)}

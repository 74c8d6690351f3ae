"""The transactional publisher and the positions it writes, against a broker."""

from __future__ import annotations

import pytest
from integration.sources.harness import Capture, read_topic

from connectors.sources.positions import read_position
from connectors.sources.publisher import STREAM_TRANSACTION_S, Publisher
from connectors.sources.topics import Topics, topic_name
from streams.errors import Fenced


def test_records_and_position_are_one(capture: Capture) -> None:
    """Nothing of an abandoned transaction is visible, neither its records nor its position."""
    kafka, name = capture.stack.broker.bootstrap, capture.name
    topics = Topics(kafka, 2, 1)
    topics.ensure_positions()
    topic = topic_name(name, "public", "t")
    assert topics.ensure_changes(topic) == 2
    publisher = Publisher(name, kafka, STREAM_TRANSACTION_S)
    publisher.send(topic, b"k", b"first", [("h", b"1")])
    publisher.commit(b"one")
    assert read_position(kafka, name) == b"one"
    publisher.send(topic, b"k", b"second", [])
    publisher.close()
    assert read_position(kafka, name) == b"one"
    assert [message.value() for message in read_topic(kafka, topic)] == [b"first"]


def test_the_next_publisher_fences_the_last(capture: Capture) -> None:
    """A predecessor's open transaction is ended, and it is told to stop when it commits."""
    kafka, name = capture.stack.broker.bootstrap, capture.name
    topics = Topics(kafka, 1, 1)
    topics.ensure_positions()
    topic = topic_name(name, "public", "t")
    topics.ensure_changes(topic)
    zombie = Publisher(name, kafka, STREAM_TRANSACTION_S)
    zombie.send(topic, b"k", b"zombie", [])
    successor = Publisher(name, kafka, STREAM_TRANSACTION_S)
    assert read_position(kafka, name) is None
    successor.send(topic, b"k", b"successor", [])
    successor.commit(b"two")
    with pytest.raises(Fenced, match=name):
        zombie.commit(b"zombie")
    assert read_position(kafka, name) == b"two"
    assert [message.value() for message in read_topic(kafka, topic)] == [b"successor"]


def test_positions_of_many_sources_share_the_topic(capture: Capture) -> None:
    """Each reads its own latest, whatever others wrote around it."""
    kafka = capture.stack.broker.bootstrap
    Topics(kafka, 1, 1).ensure_positions()
    publishers = {
        name: Publisher(name, kafka, STREAM_TRANSACTION_S)
        for name in (f"{capture.name}a", f"{capture.name}b")
    }
    for number in range(3):
        for name, publisher in publishers.items():
            publisher.commit(f"{name} {number}".encode())
    for name in publishers:
        assert read_position(kafka, name) == f"{name} 2".encode()
    assert read_position(kafka, f"{capture.name}c") is None

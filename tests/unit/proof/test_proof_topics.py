"""What a proof holds of topics, topics that can't be read, and connections that are left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError

from connectors.proof import run, topics
from connectors.proof.run import TOPICS, Prover
from connectors.proof.topics import EVENTS, TopicFolds
from streams.errors import DependencyUnavailable
from streams.serde import Decoder
from streams.settings import Settings
from streams.topicreader import places_of

BROKER = "broker:9092"


def reader(**known: Any) -> Consumer:
    """A consumer whose broker lists these topics."""
    return cast(Consumer, SimpleNamespace(list_topics=lambda timeout: SimpleNamespace(topics=known)))


def listed(*partitions: int, error: int | None = None) -> SimpleNamespace:
    """A topic as it is listed."""
    return SimpleNamespace(
        partitions=dict.fromkeys(partitions), error=None if error is None else KafkaError(error)
    )


def test_places_are_all_partitions_in_order() -> None:
    """Of each topic that is asked for."""
    assert places_of(reader(a=listed(1, 0), b=listed(0), c=listed(0)), BROKER, ["b", "a"]) == [
        ("b", 0),
        ("a", 0),
        ("a", 1),
    ]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "topic a does not exist at broker:9092"),
        ({"a": listed(error=KafkaError.UNKNOWN_TOPIC_OR_PART)}, "topic a does not exist at broker:9092"),
        ({"a": listed(error=KafkaError.TOPIC_AUTHORIZATION_FAILED)}, "topic a can't be read at broker:9092"),
    ],
)
def test_a_topic_that_can_not_be_read_is_not_empty(known: dict[str, Any], words: str) -> None:
    """Missing, or listed with an error and without partitions: one line."""
    with pytest.raises(DependencyUnavailable, match=words) as raised:
        places_of(reader(**known), BROKER, ["a"])
    assert "\n" not in str(raised.value)


class Message:
    """A record of the ledger; its value is the event's id."""

    def __init__(self, event: str, offset: int) -> None:
        self._event, self._offset = event, offset

    def topic(self) -> str:
        return EVENTS

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b""

    def value(self) -> bytes:
        return self._event.encode()


class Ids:
    """Decodes the records of `Message`: an hour of one segment each."""

    def decode(self, value: bytes) -> dict[str, Any]:
        given = {"event_id": value.decode(), "kind": "CHARGE", "seconds": 3600}
        return defaultdict(lambda: None, given)


def test_events_that_are_there_twice_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all reads, and every record is folded, however few are held at once."""
    reads = [["a", "b", "a", "c", "d"], ["a", "e", "c"]]

    def read(_reader: Any, starts: Any) -> Iterator[Message]:
        (start,) = starts
        yield from (Message(event, max(start.offset, 0) + at) for at, event in enumerate(reads.pop(0)))

    monkeypatch.setattr(topics, "consumer", lambda *_, **__: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(topics, "places_of", lambda *_: [(EVENTS, 0)])
    monkeypatch.setattr(topics, "read_from", read)
    monkeypatch.setattr(topics, "BATCH_RECORDS", 2)
    folds = TopicFolds(BROKER, cast(Decoder, Ids()))
    folds.advance()
    assert folds.actual().ledger.duplicates == {"a": 2}
    folds.advance()
    found = folds.actual().ledger
    assert found.duplicates == {"a": 3, "c": 2}
    assert sum(fold.seconds for fold in found.folds.values()) == 8 * 3600


def test_connections_are_left_if_the_registry_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consumer and registry client."""
    left: list[str] = []

    def closes(name: str, **more: Callable[..., Any]) -> Callable[..., SimpleNamespace]:
        return lambda *_, **__: SimpleNamespace(close=lambda: left.append(name), **more)

    def away(subject: str) -> None:
        raise DependencyUnavailable(f"no registry for {subject}")

    engine = SimpleNamespace(dispose=lambda: None)
    database = SimpleNamespace(engine=engine, ask=lambda: None, reading=lambda: nullcontext(engine))
    monkeypatch.setattr(run, "open_database", lambda *_: database)
    monkeypatch.setattr(run, "Registry", closes("registry", learn=away))
    monkeypatch.setattr(run, "TopicFolds", closes("folds"))
    with pytest.raises(DependencyUnavailable, match="no registry for billing"):
        Prover(Settings(), [TOPICS]).run(1)
    assert left == ["folds", "registry"]

"""A topic's records read back into a folded state, whatever version of the schema wrote them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro import parse_schema, schemaless_reader

from connectors.sources import avro
from connectors.sources.envelope import POSITION, SPECIAL
from connectors.sources.postgres.pgoutput.transactions import TRUNCATE
from connectors.sources.postgres.position import Position
from connectors.sources.postgres.repair.foldedstate import (
    START,
    UNCOMPARABLE,
    CountedState,
    Folded,
    Image,
    KeyedState,
    place,
)
from connectors.sources.postgres.repair.spelling import Spelling, meaning, plain
from connectors.sources.postgres.tables.records import UNCHANGED
from connectors.sources.subjects import row_fields
from streams.errors import ContractViolation, DependencyUnavailable, PoisonRecord
from streams.logs import LIBRDKAFKA

READ_TIMEOUT_S = 60.0  # a broker that is silent for longer is down
READ_RECORDS = 500  # taken from the client's queue at a time, or what came in READ_WAIT_S
READ_WAIT_S = 0.2

Advance = Callable[[int], None]


class Writers:
    """The schemas that records were written with, by id."""

    def __init__(self, url: str, spelling: Spelling) -> None:
        self._url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 3})
        self._spelling = spelling
        self._known: dict[bytes, tuple[Any, bool]] = {}

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def decode(self, data: bytes) -> tuple[dict[str, Any], bool]:
        """An envelope without logical types, and whether its row types mean what the table's mean now."""
        known = self._known.get(data[:5])
        if known is None:
            known = self._known[data[:5]] = self._fetch(data[:5])
        schema, comparable = known
        try:
            return schemaless_reader(BytesIO(data[5:]), schema, None), comparable
        except (EOFError, ValueError, IndexError, UnicodeDecodeError) as error:
            raise PoisonRecord(f"does not decode ({type(error).__name__})") from None

    def _fetch(self, framing: bytes) -> tuple[Any, bool]:
        if len(framing) < 5 or framing[:1] != avro.MAGIC:
            raise PoisonRecord("has no schema id")
        number = int.from_bytes(framing[1:], "big")
        try:
            schema = plain(json.loads(str(self._client.get_schema(number).schema_str)))
        except SchemaRegistryError as error:
            raise DependencyUnavailable(
                f"schema registry {self._url}: schema {number}: {error.error_message}; it must hold the schemas "
                "of all that the topics hold"
            ) from None
        except Exception as error:  # the client lets its HTTP library's errors through
            raise DependencyUnavailable(
                f"schema registry {self._url}: does not answer ({type(error).__name__}); start it or set "
                "TALLYSTREAM_REGISTRY_URL"
            ) from None
        now = self._spelling.types
        then = {name: meaning(type_) for name, type_ in row_fields(schema).items()}
        return parse_schema(schema), all(then[name] == now[name] for name in then.keys() & now.keys())


class Folding:
    """Applies a topic's records to a state."""

    def __init__(self, topic: str, spelling: Spelling, writers: Writers) -> None:
        self._topic = topic
        self._spelling = spelling
        self._writers = writers

    def keyed(self, state: KeyedState, message: Any) -> None:
        """One record of a table with a key."""
        key, data, headers = message.key(), message.value(), dict(message.headers() or ())
        at = _place(headers)
        if data is None:
            if key is not None:
                state.put(message.partition(), at, key, None)
            return
        envelope, comparable = self._decode(message)
        if envelope["op"] == TRUNCATE:
            state.truncate(message.partition(), at)
        elif key is not None:
            after = envelope["after"]
            image = None if after is None else self._image(after, headers, "after.", comparable)
            if image is not None and UNCHANGED in headers and image.row != UNCOMPARABLE:
                image = self._completed(image, json.loads(headers[UNCHANGED]), state.get(key))
            state.put(message.partition(), at, key, image)

    def counted(self, state: CountedState, message: Any) -> None:
        """One record of a table without a key: its row images are all there is."""
        if message.key() is not None:
            raise ContractViolation(
                f"topic {self._topic} has records with a key, its table has none now; give the table its primary "
                "key back, or move it to a new topic"
            )
        if message.value() is None:
            return
        headers = dict(message.headers() or ())
        at = _place(headers)
        envelope, comparable = self._decode(message)
        if envelope["op"] == TRUNCATE:
            state.truncate(message.partition(), at)
            return
        for side, by in (("before", -1), ("after", 1)):
            if envelope[side] is not None:
                if not comparable:
                    raise ContractViolation(
                        f"topic {self._topic} has rows of another column type, and its table has no key to tell "
                        "which they are; give the table a primary key, or move it to a new topic"
                    )
                image = self._image(envelope[side], headers, f"{side}.", comparable)
                state.count(message.partition(), at, image, by)

    def _decode(self, message: Any) -> tuple[dict[str, Any], bool]:
        try:
            return self._writers.decode(message.value())
        except PoisonRecord as error:
            raise ContractViolation(
                f"topic {self._topic}, partition {message.partition()}, offset {message.offset()}: the record {error}; "
                "something else writes to this topic, so it can't be compared with the table"
            ) from None

    def _image(self, row: dict[str, Any], headers: dict[str, bytes], side: str, comparable: bool) -> Image:
        if not comparable:
            return Image(UNCOMPARABLE, b"")
        special = json.loads(headers[SPECIAL]) if SPECIAL in headers else {}
        mine = {path.removeprefix(side): text for path, text in special.items() if path.startswith(side)}
        return self._spelling.of_topic(row, mine)

    def _completed(self, image: Image, unchanged: list[str], previous: Image | None) -> Image:
        """With the values that the log left out, from the row as it was."""
        now = self._spelling.decode(image)
        then = None if previous is None else self._spelling.decode(previous)
        if now is None or then is None:
            return image
        row, special = now
        for name in unchanged:
            if name in row and row[name] is None and name not in special:
                row[name] = then[0].get(name)
                if name in then[1]:
                    special[name] = then[1][name]
        return self._spelling.of_topic(row, special)


def read_records(bootstrap: str, topic: str, partitions: int, advance: Advance) -> Iterator[Any]:
    """All committed records up to where the topic ends now, a partition at a time: some brokers answer
    with all that a partition holds, whatever was asked for. ``advance`` is told how many came."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"repair-{topic}",  # required by the library; nothing is committed under it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            # By default a hundred thousand records, which is most of the memory of a repair.
            "queued.min.messages": 2000,
            "queued.max.messages.kbytes": 2048,
            "fetch.max.bytes": 1 << 20,
            "fetch.wait.max.ms": 10,  # the next partition's records wait behind an answer that has none
            "fetch.queue.backoff.ms": 5,  # a second by default, for which a full queue would idle
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        for partition in range(partitions):
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_TIMEOUT_S)
            consumer.assign([TopicPartition(topic, partition, low)])
            yield from _read_partition(consumer, advance)
    except KafkaException as error:
        raise DependencyUnavailable(f"Kafka at {bootstrap}: {topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _read_partition(consumer: Consumer, advance: Advance) -> Iterator[Any]:
    heard = time.monotonic()
    while True:
        messages = consumer.consume(READ_RECORDS, timeout=READ_WAIT_S)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > READ_TIMEOUT_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "could not be read to its end"))
        ended = False
        records = 0
        for message in messages:
            error = message.error()
            if error is None:
                records += 1
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                ended = True
            else:
                raise KafkaException(error)
        advance(records)
        if ended:
            return


def fold_topic(messages: Iterator[Any], folding: Folding, state: KeyedState | CountedState) -> Folded:
    """The state, with all of the records applied."""
    if isinstance(state, KeyedState):
        for message in messages:
            folding.keyed(state, message)
    else:
        for message in messages:
            folding.counted(state, message)
    return state


def _place(headers: dict[str, bytes]) -> bytes:
    try:
        at = Position.parse(headers[POSITION])
    except (KeyError, ValueError):
        return START  # not from us: it counts where it stands in the topic
    return place(at.epoch, at.lsn, at.ordinal)

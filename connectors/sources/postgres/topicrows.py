"""A topic's records read back into a folded state, whatever version of the schema wrote them.

Rows are compared as bytes: both the topic's and the table's are spelled in one schema, the table's
present one with every field nullable. A field that the writer did not have is null. A row whose
writer had another *type* for a field (another scale, say) has bytes that mean something else, so it
is taken to differ from whatever the table has.
"""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from connectors.sources import avro
from connectors.sources.postgres.envelope import value_schema
from connectors.sources.postgres.foldedstate import (
    START,
    UNCOMPARABLE,
    CountedState,
    Folded,
    Image,
    KeyedState,
    place,
)
from connectors.sources.postgres.pgoutput import Row
from connectors.sources.postgres.position import Position
from connectors.sources.postgres.records import POSITION, SPECIAL, UNCHANGED
from connectors.sources.postgres.tables import Table
from connectors.sources.postgres.transactions import TRUNCATE
from connectors.sources.subjects import row_fields
from streams.errors import ContractViolation, DependencyUnavailable, PoisonRecord
from streams.logs import LIBRDKAFKA

READ_TIMEOUT_S = 60.0  # a broker that is silent for longer is down
READ_RECORDS = 500  # taken from the client's queue at a time, or what came in READ_WAIT_S
READ_WAIT_S = 0.2

Advance = Callable[[int], None]


class Spelling:
    """The one schema in which a table's rows are compared, and rows in it."""

    def __init__(self, table: Table) -> None:
        topic = table.topic
        nullable = [replace(field, optional=True) for field in table.fields]
        envelope = plain(value_schema(topic, nullable))
        row = next(branch for branch in envelope["fields"][0]["type"] if isinstance(branch, dict))
        self.types = {name: meaning(type_) for name, type_ in row_fields(envelope).items()}
        self._schema = parse_schema({**row, "namespace": avro.namespace(topic)})
        self._encoder = table.row_encoder(nullable)

    def of_table(self, row: Row) -> Image:
        """A row as the database has it."""
        encoded, special = self._encoder.encode(row)
        return Image(encoded, special_json(special))

    def of_topic(self, row: dict[str, Any], special: dict[str, str]) -> Image:
        """A row as a record has it, decoded without logical types."""
        out = BytesIO()
        try:
            schemaless_writer(out, self._schema, {name: row.get(name) for name in self.types})
        except (ValueError, TypeError, struct.error):
            return Image(UNCOMPARABLE, b"")
        return Image(out.getvalue(), special_json({n: t for n, t in special.items() if n in self.types}))

    def decode(self, image: Image) -> tuple[dict[str, Any], dict[str, str]] | None:
        """The fields of an image, and its special texts; None for one that can't be compared."""
        if image.row == UNCOMPARABLE:
            return None
        decoded: dict[str, Any] = schemaless_reader(BytesIO(image.row), self._schema, None)
        return decoded, json.loads(image.special) if image.special else {}


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
    """All committed records up to where the topic ends now; ``advance`` is told how many came."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"repair-{topic}",  # required by the library; nothing is committed under it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            # A hundred thousand a partition by default, which is most of the memory of a repair.
            "queued.min.messages": 2000,
            "queued.max.messages.kbytes": 8192,
            "fetch.max.bytes": 8_388_608,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        waiting = set(range(partitions))
        starts = []
        for partition in sorted(waiting):
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_TIMEOUT_S)
            starts.append(TopicPartition(topic, partition, low))
        consumer.assign(starts)
        heard = time.monotonic()
        while waiting:
            messages = consumer.consume(READ_RECORDS, timeout=READ_WAIT_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > READ_TIMEOUT_S:
                raise DependencyUnavailable(f"Kafka at {bootstrap}: {topic} could not be read to its end")
            records = 0
            for message in messages:
                error = message.error()
                if error is None:
                    records += 1
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition())
                else:
                    raise KafkaException(error)
            advance(records)
    except KafkaException as error:
        raise DependencyUnavailable(f"Kafka at {bootstrap}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def fold_topic(messages: Iterator[Any], folding: Folding, state: KeyedState | CountedState) -> Folded:
    """The state, with all of the records applied."""
    if isinstance(state, KeyedState):
        for message in messages:
            folding.keyed(state, message)
    else:
        for message in messages:
            folding.counted(state, message)
    return state


def special_json(special: dict[str, str] | None) -> bytes:
    """Special texts in one spelling; empty for none."""
    return json.dumps(special, sort_keys=True, ensure_ascii=False).encode() if special else b""


def plain(schema: Any) -> Any:
    """A schema without logical types, so that values are the bytes and numbers that are on the wire."""
    if isinstance(schema, dict):
        return {name: plain(value) for name, value in schema.items() if name != "logicalType"}
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


_ATTRIBUTES = ("connect.parameters", "connect.doc", "connect.version", "connect.type", "precision", "default")


def meaning(schema: Any) -> Any:
    """What of a field's schema says how its bytes are to be understood: equal here, equal bytes mean the
    same. Nullability, widths of integers, precision and the labels of an enum do not matter."""
    if isinstance(schema, list):
        branches = [meaning(one) for one in schema if one != "null"]
        return branches[0] if len(branches) == 1 else branches
    if isinstance(schema, dict):
        if schema.get("type") in ("record", "enum", "fixed"):
            return f"{schema.get('namespace')}.{schema['name']}"
        kept = {name: meaning(value) for name, value in schema.items() if name not in _ATTRIBUTES}
        return kept["type"] if set(kept) == {"type"} else kept
    return "integer" if schema in ("int", "long") else schema


def _place(headers: dict[str, bytes]) -> bytes:
    try:
        at = Position.parse(headers[POSITION])
    except (KeyError, ValueError):
        return START  # not from us: it counts where it stands in the topic
    return place(at.epoch, at.lsn, at.ordinal)

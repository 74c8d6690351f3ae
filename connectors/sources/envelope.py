"""What the Debezium envelopes of all sources have in common: ops, headers, schemas, and their bytes.

Field order, names and ``connect.*`` attributes are Debezium's, so that readers made for it read
this. A kind of source adds its own fields to the end of the source block.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from connectors.sources import avro
from connectors.sources.avro import NULL, SOME, long

CREATE, UPDATE, DELETE, TRUNCATE, READ = "c", "u", "d", "t", "r"

POSITION = "tallystream.position"
LAST_FOR_KEY = "tallystream.last_for_key"
ABSENT = "tallystream.absent"  # columns that are null in an image because they are not known
SPECIAL = "tallystream.special"  # values without an Avro form, by path: {"after.cap_money": "NaN"}
NEW_KEY = "__debezium.newkey"  # on the delete of a change of key: the framed key it now has
OLD_KEY = "__debezium.oldkey"  # on the create: the framed key it had

VERSION = "1"  # of what we write in the source block, for readers that look at it

Header: TypeAlias = tuple[str, bytes]
# By whether it is the last: ``LAST_FOR_KEY`` as it is sent.
LAST_MARKS: tuple[Header, Header] = ((LAST_FOR_KEY, b"0"), (LAST_FOR_KEY, b"1"))
Schema: TypeAlias = Any  # a type's name, or the dict or list that JSON makes of a schema

_TRANSACTION = {
    "type": "record",
    "name": "block",
    "namespace": "event",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "total_order", "type": "long"},
        {"name": "data_collection_order", "type": "long"},
    ],
    "connect.version": 1,
    "connect.name": "event.block",
}


class Record(NamedTuple):
    """One Kafka record. ``everywhere``: to each partition of the topic, for a truncate has no key and
    concerns them all."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    everywhere: bool = False


class RowField(NamedTuple):
    """A field of a row's record, or of its key's."""

    name: str
    schema: Schema
    optional: bool


def source_schema(namespace: str, own: list[dict[str, Any]]) -> dict[str, Any]:
    """Schema of a source block: what all have, then a kind's ``own`` fields."""
    return {
        "type": "record",
        "name": "Source",
        "namespace": namespace,
        "fields": [
            {"name": "version", "type": "string"},
            {"name": "connector", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "ts_ms", "type": "long"},
            {"name": "snapshot", **avro.optional("string")},
            {"name": "db", "type": "string"},
            {"name": "sequence", **avro.optional("string")},
            {"name": "ts_us", **avro.optional("long")},
            {"name": "ts_ns", **avro.optional("long")},
            *own,
        ],
        "connect.name": f"{namespace}.Source",
    }


def key_schema(topic: str, fields: Iterable[RowField]) -> dict[str, Any]:
    """Schema of the key: the key's columns, none of them nullable."""
    namespace = avro.namespace(topic)
    return {
        "type": "record",
        "name": "Key",
        "namespace": namespace,
        "fields": _row_fields(field._replace(optional=False) for field in fields),
        "connect.name": f"{namespace}.Key",
    }


def value_schema(topic: str, fields: Iterable[RowField], source: dict[str, Any]) -> dict[str, Any]:
    """Schema of the envelope, with a kind's `source_schema`."""
    namespace = avro.namespace(topic)
    row = {
        "type": "record",
        "name": "Value",
        "fields": _row_fields(fields),
        "connect.name": f"{namespace}.Value",
    }
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": namespace,
        "fields": [
            {"name": "before", **avro.optional(row)},
            {"name": "after", **avro.optional("Value")},
            {"name": "source", "type": source},
            {"name": "transaction", **avro.optional(_TRANSACTION)},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", **avro.optional("long")},
            {"name": "ts_us", **avro.optional("long")},
            {"name": "ts_ns", **avro.optional("long")},
        ],
        "connect.version": 2,
        "connect.name": f"{namespace}.Envelope",
    }


def _row_fields(fields: Iterable[RowField]) -> list[dict[str, Any]]:
    defined: set[str] = set()
    result = []
    for field in fields:
        schema = _spelled_once(field.schema, defined)
        if field.optional:
            result.append({"name": field.name, **avro.optional(schema)})
        else:
            result.append({"name": field.name, "type": schema})
    return result


def _spelled_once(schema: Schema, defined: set[str]) -> Schema:
    """``schema`` with the named types that were ``defined`` before replaced by their names."""
    if isinstance(schema, list):
        return [_spelled_once(branch, defined) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if schema["type"] == "array":
        return {**schema, "items": _spelled_once(schema["items"], defined)}
    if schema["type"] == "record":
        full_name = f"{schema['namespace']}.{schema['name']}"
        if full_name in defined:
            return full_name
        defined.add(full_name)
    return schema


def who(connector: str, source: str) -> bytes:
    """The source block's ``version``, ``connector`` and ``name``, which is the prefix of the source's topics."""
    return avro.text(VERSION) + avro.text(connector) + avro.text(f"cdc.{source}")


def changed_at(microseconds: int, snapshot: str) -> bytes:
    """Its ``ts_ms`` and ``snapshot``."""
    return long(microseconds // 1000) + SOME + avro.text(snapshot)


def changed_exactly(microseconds: int) -> bytes:
    """Its ``ts_us`` and ``ts_ns``."""
    return SOME + long(microseconds) + SOME + long(microseconds * 1000)


def tail(op: str, captured_us: int) -> bytes:
    """What follows the source block: no ``transaction``, the ``op``, and when we read the change."""
    return NULL + avro.text(op) + SOME + long(captured_us // 1000) + changed_exactly(captured_us)


def header_json(value: object) -> bytes:
    """The compact JSON of a header. What is no text in UTF-8 is escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="backslashreplace")

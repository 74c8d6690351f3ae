"""The one spelling in which a topic's rows and its table's are compared.

Rows are compared as bytes: both the topic's and the table's are spelled in one schema, the table's
present one with every field nullable. A field that the writer did not have is null. A row whose
writer had another *type* for a field (another scale, say) has bytes that mean something else, so it
is taken to differ from whatever the table has.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from connectors.sources import avro
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.repair.foldedstate import UNCOMPARABLE, Image
from connectors.sources.postgres.tables.envelope import value_schema
from connectors.sources.postgres.tables.table import Table
from connectors.sources.subjects import row_fields


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

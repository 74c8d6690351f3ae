"""Captured tables with their registered schemas and compiled encoders."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from typing import NamedTuple

from connectors.sources import avro
from connectors.sources.mariadb import catalog, tablemap
from connectors.sources.mariadb.catalog import Shape
from connectors.sources.mariadb.cells import ReadRow, Row, reader, row_reader
from connectors.sources.mariadb.envelope import EnvelopeEncoder, Origin, value_schema
from connectors.sources.mariadb.server import Server
from connectors.sources.mariadb.strings import BINARY, label_text
from connectors.sources.mariadb.tablemap import LogTable
from connectors.sources.mariadb.types import column_type, logged_column
from connectors.sources.postgres.tables.envelope import Field, RowEncoder, encode_key, key_schema
from connectors.sources.subjects import Subjects, must_be_optional, row_fields
from connectors.sources.topics import Topics, topic_name
from streams.errors import ContractViolation


class Table:
    """One shape of a captured table, ready to encode. A changed table becomes another `Table`."""

    def __init__(
        self, shape: Shape, topic: str, fields: list[Field], registry: Subjects, origin: Origin
    ) -> None:
        self.topic = topic
        self.full_name = shape.full_name
        self._shape = shape
        self._origin = origin
        self._registry = registry
        self._fields = fields
        places = {field.column: index for index, field in enumerate(fields)}
        self._key = [places[column] for column in shape.key]
        self._key_of: Callable[[Row], Hashable] | None = (
            operator.itemgetter(*self._key) if self._key else None
        )
        self._compile()

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key's cells out of a row; None when the table has no key."""
        return self._key_of

    def widen(self, column: str) -> None:
        """Register a version of the schema in which ``column`` may be null, and encode by it."""
        if column in self._shape.key:
            raise ContractViolation(
                f"{self.full_name}: key column {column} holds a value that no key can carry"
            )
        self._fields = [
            Field(field.column, field.name, field.type, field.optional or field.column == column)
            for field in self._fields
        ]
        self._compile()

    def _compile(self) -> None:
        fields = self._fields
        schema_id = self._registry.register(
            f"{self.topic}-value", value_schema(self.topic, fields, self._origin.connector), self.full_name
        )
        self.rows = RowEncoder(fields)
        self.envelope = EnvelopeEncoder(schema_id, self._origin, self._shape.schema, self._shape.table)
        self.encode_key: Callable[[Row], bytes] | None = None
        if self._key:
            keyed = [fields[index] for index in self._key]
            key_id = self._registry.register(
                f"{self.topic}-key", key_schema(self.topic, keyed), self.full_name
            )
            self.encode_key = encode_key(key_id, keyed, self._key)


class Emptied:
    """A table as far as a truncate needs it, which has no rows: by the newest schema of its topic."""

    def __init__(self, topic: str, schema: str, table: str, schema_id: int, origin: Origin) -> None:
        self.topic = topic
        self.full_name = f"{schema}.{table}"
        self.rows = RowEncoder([])
        self.envelope = EnvelopeEncoder(schema_id, origin, schema, table)
        self.encode_key: Callable[[Row], bytes] | None = None

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """It has no rows to take a key out of."""
        return None

    def widen(self, column: str) -> None:
        """Never asked for: it has no columns."""
        raise ContractViolation(f"{self.full_name}: a truncated table has no column {column}")


class LoggedTable(NamedTuple):
    """A table as a table map describes it: how to read its row images, and how to encode them."""

    table: Table
    columns: int
    read: ReadRow


class Tables:
    """Makes a `Table` of each table of the include list, once a shape; makes its topic too."""

    def __init__(
        self, server: Server, source: str, include: set[str], registry: Subjects, topics: Topics
    ) -> None:
        self._server = server
        self._origin = Origin(server.connector, source)
        self.include = include
        self._registry = registry
        self._topics = topics
        self._charsets = catalog.charsets(server)
        self._shapes: dict[Shape, Table] = {}
        self._logged: dict[bytes, LoggedTable | None] = {}

    def logged(self, body: bytes) -> LoggedTable | None:
        """The table that a table map describes, None when it is not included.

        `ContractViolation` when it can't be read, or when the registry refuses its schema.
        """
        if body not in self._logged:
            described = tablemap.describe(body, geometry_is_text=self._server.geometry_is_text)
            self._logged[body] = self._read(described) if described.full_name in self.include else None
        return self._logged[body]

    def table(self, shape: Shape) -> Table:
        """The table of a shape; errors as in `logged`."""
        table = self._shapes.get(shape)
        if table is None:
            table = self._shapes[shape] = self._make(shape)
        return table

    def emptied(self, full_name: str) -> Emptied | None:
        """The table for a truncate; None when nothing was ever published of it."""
        schema, _, table = full_name.partition(".")
        topic = topic_name(self._origin.name, schema, table)
        subject = f"{topic}-value"
        latest = self._registry.latest(subject)
        if latest is None:
            return None
        self._topics.ensure_changes(topic)
        return Emptied(
            topic, schema, table, self._registry.register(subject, latest, full_name), self._origin
        )

    def key_columns(self, full_name: str) -> frozenset[str]:
        """Columns of the key that a table's records have, in small letters; none where they have no key."""
        schema, _, table = full_name.partition(".")
        topic = topic_name(self._origin.name, schema, table)
        return frozenset(name.lower() for name in row_fields(self._registry.latest(f"{topic}-key")))

    def forget(self) -> None:
        """Tables were altered: look at the catalog again where it is needed."""
        self._logged.clear()

    def _read(self, described: LogTable) -> LoggedTable:
        with self._server.connect() as connection:
            hints = catalog.type_hints(connection, described.schema, described.table)
        columns, reads = [], []
        where = described.full_name
        for one in described.columns:
            binary = one.collation is None or self._charsets.get(one.collation) == BINARY
            labels = label_text(one, self._charsets, where)
            column = logged_column(one, hints.get(one.name), binary, labels)
            columns.append(column)
            reads.append(reader(one, column.type, self._charsets, where))
        shape = Shape(described.schema, described.table, tuple(columns), described.key)
        return LoggedTable(self.table(shape), len(columns), row_reader(reads))

    def _make(self, shape: Shape) -> Table:
        topic = topic_name(self._origin.name, shape.schema, shape.table)
        self._topics.ensure_changes(topic)
        registered = row_fields(self._registry.latest(f"{topic}-value"))
        names = avro.distinct([column.name for column in shape.columns], shape.full_name)
        fields = []
        for column, name in zip(shape.columns, names, strict=True):
            optional = column.name not in shape.key and (
                column.nullable or must_be_optional(registered, name)
            )
            fields.append(Field(column.name, name, column_type(column), optional))
        return Table(shape, topic, fields, self._registry, self._origin)

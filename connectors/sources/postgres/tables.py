"""Captured tables with their registered schemas and compiled encoders."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable

from connectors.sources import avro
from connectors.sources.postgres import catalog
from connectors.sources.postgres.envelope import (
    EnvelopeEncoder,
    Field,
    RowEncoder,
    encode_key,
    key_schema,
    value_schema,
)
from connectors.sources.postgres.pgoutput import Relation, Row
from connectors.sources.postgres.server import Server
from connectors.sources.postgres.types import column_type
from connectors.sources.subjects import Subjects, must_be_optional, row_fields
from connectors.sources.topics import Topics, topic_name
from streams.errors import ContractViolation


class Table:
    """One shape of a captured table, ready to encode. A changed table becomes another `Table`."""

    def __init__(
        self,
        relation: Relation,
        topic: str,
        fields: list[Field],
        key: tuple[str, ...],
        registry: Subjects,
        database: str,
        source: str,
    ) -> None:
        self.relation = relation
        self.topic = topic
        self.full_name = relation.full_name
        self.field_names = tuple(field.name for field in fields)
        self.not_in_identity = tuple(
            field.name for field, column in zip(fields, relation.columns, strict=True) if not column.identity
        )
        self._source = source
        self._database = database
        self._registry = registry
        self._fields = fields
        self._key = [index for index, field in enumerate(fields) if field.column in key]
        self._key.sort(key=lambda index: key.index(fields[index].column))
        self._key_of: Callable[[Row], Hashable] | None = operator.itemgetter(*self._key) if key else None
        self._compile()

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key's cells out of a row; None when the table has no key."""
        return self._key_of

    def widen(self, column: str) -> None:
        """Register a version of the schema in which ``column`` may be null, and encode by it."""
        if column in {self._fields[index].column for index in self._key}:
            raise ContractViolation(
                f"{self.full_name}: key column {column} holds a value that no key can carry"
            )
        self._fields = [
            Field(field.column, field.name, field.type, field.optional or field.column == column)
            for field in self._fields
        ]
        self._compile()

    def _compile(self) -> None:
        fields, relation = self._fields, self.relation
        subject = f"{self.topic}-value"
        schema_id = self._registry.register(subject, value_schema(self.topic, fields), self.full_name)
        self.rows = RowEncoder(fields)
        self.envelope = EnvelopeEncoder(
            schema_id, self._source, self._database, relation.schema, relation.table
        )
        self.encode_key: Callable[[Row], bytes] | None = None
        if self._key:
            keyed = [fields[index] for index in self._key]
            key_id = self._registry.register(
                f"{self.topic}-key", key_schema(self.topic, keyed), self.full_name
            )
            self.encode_key = encode_key(key_id, keyed, self._key)


class Tables:
    """Makes a `Table` of each relation of the include list, once a shape; makes its topic too."""

    def __init__(
        self, server: Server, system: str, include: set[str], registry: Subjects, topics: Topics
    ) -> None:
        self._server = server
        self._system = system
        self._include = include
        self._registry = registry
        self._topics = topics
        self._known: dict[Relation, Table] = {}
        self._announced: dict[int, str] = {}

    def announce_type(self, oid: int, name: str) -> None:
        """Remember a type message's name."""
        self._announced[oid] = name

    def table(self, relation: Relation) -> Table | None:
        """The table of ``relation``, None when it is not included.

        `ContractViolation` when the registry refuses its schema, naming table and column.
        """
        if relation.full_name not in self._include:
            return None
        table = self._known.get(relation)
        if table is None:
            table = self._known[relation] = self._make(relation)
        return table

    def _make(self, relation: Relation) -> Table:
        with self._server.connect() as connection:
            known = catalog.facts(connection, relation.oid)
            types = catalog.types(connection, relation.columns, self._announced)
        topic = topic_name(self._system, relation.schema, relation.table)
        self._topics.ensure_changes(topic)
        registered = row_fields(self._registry.latest(f"{topic}-value"))
        names = avro.distinct([column.name for column in relation.columns], relation.full_name)
        key = key_columns(relation, known.primary_key)
        fields = []
        for column, name in zip(relation.columns, names, strict=True):
            info, typmod = types[column]
            required = column.name in known.not_null and (relation.identity == "f" or column.name in key)
            optional = column.name not in key and (not required or must_be_optional(registered, name))
            fields.append(Field(column.name, name, column_type(info, typmod), optional))
        return Table(relation, topic, fields, key, self._registry, self._server.database, self._system)


def key_columns(relation: Relation, primary_key: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that make the message's key, in the primary key's order; () for none.

    Under the default and the index identity these are the identity's columns, as a delete carries no
    others. Under REPLICA IDENTITY FULL every column is, so the primary key is taken; NOTHING allows
    inserts only.
    """
    names = {column.name for column in relation.columns}
    if relation.identity in "di":
        flagged = tuple(column.name for column in relation.columns if column.identity)
        return primary_key if set(primary_key) == set(flagged) else flagged
    return primary_key if set(primary_key) <= names else ()

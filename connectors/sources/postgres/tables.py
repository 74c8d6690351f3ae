"""Captured tables with their registered schemas and compiled encoders."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from connectors.sources import avro
from connectors.sources.postgres import catalog
from connectors.sources.postgres.columns import TableRules, declared
from connectors.sources.postgres.envelope import (
    EnvelopeEncoder,
    Field,
    PartialRowEncoder,
    RowEncoder,
    encode_key,
    key_schema,
    value_schema,
)
from connectors.sources.postgres.halting import halt
from connectors.sources.postgres.pgoutput import Column, Relation, Row
from connectors.sources.postgres.server import Server
from connectors.sources.postgres.types import (
    EnumLabels,
    TypeInfo,
    column_type,
    lossy,
    text_type,
    with_labels,
)
from connectors.sources.subjects import Subjects, must_be_optional, row_fields
from connectors.sources.topics import Topics, topic_name
from streams.errors import ConfigurationError, ContractViolation


class Shape(NamedTuple):
    """What a relation's columns become: Avro names of all, places of those that are published, and their
    types as the catalog has them."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    types: Mapping[str, tuple[TypeInfo, int]]


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
        shape: Shape,
    ) -> None:
        self.relation = relation
        self.topic = topic
        self.full_name = relation.full_name
        self.field_names = shape.names
        self.not_in_identity = tuple(
            field.name
            for field, place in zip(fields, shape.places, strict=True)
            if not relation.columns[place].identity
        )
        self._shape = shape
        self._source = source
        self._database = database
        self._registry = registry
        self._fields = fields
        # The key's columns among the fields, and where they are in the row.
        self._key = [index for index, field in enumerate(fields) if field.column in key]
        self._key.sort(key=lambda index: key.index(fields[index].column))
        self._key_places = [shape.places[index] for index in self._key]
        self._key_of: Callable[[Row], Hashable] | None = (
            operator.itemgetter(*self._key_places) if key else None
        )
        self._compile()

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its published columns as fields, in their order."""
        return tuple(self._fields)

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key's cells out of a row; None when the table has no key."""
        return self._key_of

    @property
    def key(self) -> tuple[str, ...]:
        """The key's columns, in its order; () for none."""
        return tuple(self._fields[index].column for index in self._key)

    def row_encoder(self, fields: Sequence[Field]) -> RowEncoder:
        """Whole rows to the bytes of ``fields``, which are `fields`, or as many others in their order."""
        places = self._shape.places
        complete = len(places) == len(self.relation.columns)
        return RowEncoder(fields) if complete else PartialRowEncoder(fields, places)

    def widen(self, column: str) -> None:
        """Register a version of the schema that can carry what ``column`` holds, and encode by it.

        That is a field that may be null, or the labels that its enum has got. `ContractViolation` when
        it is a key's column, or the registry refuses.
        """
        labels = next(field.type.labels for field in self._fields if field.column == column)
        if labels is not None and labels.unseen:
            self._relabel(column, labels)
        elif column in {self._fields[index].column for index in self._key}:
            raise ContractViolation(
                f"{self.full_name}: key column {column} holds a value that no key can carry; publish the "
                f'table under a new topic with as_text = ["{self.full_name}.{column}"]'
            )
        else:
            self._fields = [
                replace(field, optional=field.optional or field.column == column) for field in self._fields
            ]
        self._compile()

    def _relabel(self, column: str, labels: EnumLabels) -> None:
        info, typmod = self._shape.types[column]
        listed = (*labels.listed, *dict.fromkeys(labels.unseen))
        kind = column_type(with_labels(info, listed), typmod)
        self._fields = [
            replace(field, type=kind) if field.column == column else field for field in self._fields
        ]

    def _compile(self) -> None:
        fields, relation = self._fields, self.relation
        subject = f"{self.topic}-value"
        schema_id = self._registry.register(subject, value_schema(self.topic, fields), self.full_name)
        self.rows = self.row_encoder(fields)
        self.envelope = EnvelopeEncoder(
            schema_id, self._source, self._database, relation.schema, relation.table
        )
        self.encode_key: Callable[[Row], bytes] | None = None
        if self._key:
            keyed = [fields[index] for index in self._key]
            key_id = self._registry.register(
                f"{self.topic}-key", key_schema(self.topic, keyed), self.full_name
            )
            self.encode_key = encode_key(key_id, keyed, self._key_places)


class Tables:
    """Makes a `Table` of each relation of the include list, once a shape; makes its topic too.

    All tables are made as they are now at once, so that what can't work is refused before a row is
    read. A table that changes later in a way that can't be published is halted alone where that loses
    nothing: see `connectors.sources.postgres.halting`.
    """

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
        self._declared = declared(system)
        self._rules = self._declared.rules
        self._names: dict[int, str] = {}
        self._halted: set[int] = set()
        self._prepare()

    def announce_type(self, oid: int, name: str) -> None:
        """Remember a type message's name."""
        self._announced[oid] = name

    def table(self, relation: Relation) -> Table | None:
        """The table of ``relation``, None when it is not included or, in the stream, halted.

        `ContractViolation`, naming table and column, when the registry refuses its schema and the
        table can't be halted alone: whoever reads a table's rows as it is now can't do without it.
        """
        if isinstance(relation, catalog.CurrentRelation):
            return self._current(relation) if relation.full_name in self._include else None
        if relation.oid in self._halted:
            return None
        if relation.full_name not in self._include:
            before = self._names.get(relation.oid)
            if before is not None:
                self._halt(
                    relation,
                    ContractViolation(
                        f"table {before} is now called {relation.full_name}; restart to "
                        "read it anew under that name, or name it back first"
                    ),
                )
            return None
        table = self._known.get(relation)
        if table is None:
            try:
                table = self._known[relation] = self._make(relation)
            except (ContractViolation, ConfigurationError) as error:
                self._halt(relation, error)
        return table

    def _prepare(self) -> None:
        with self._server.connect() as connection:
            self._rules.verify(connection)
            relations = []
            for one in catalog.included_tables(connection, sorted(self._include)):
                columns = catalog.published_columns(connection, self._declared.publication, one)
                relations.append(catalog.current_relation(connection, one.oid, columns))
        for relation in relations:
            self._current(relation)
            self._names[relation.oid] = relation.full_name

    def _current(self, relation: catalog.CurrentRelation) -> Table:
        logged = relation.as_logged()
        table = self._known.get(logged)
        if table is None:
            table = self._known[logged] = self._make(logged)
        return table

    def _halt(self, relation: Relation, error: ContractViolation | ConfigurationError) -> None:
        halt(self._server, self._system, self._declared.own_publication, relation, error)
        self._halted.add(relation.oid)

    def _make(self, relation: Relation) -> Table:
        rules = self._rules.of(relation.full_name)
        columns = {column.name for column in relation.columns}
        with self._server.connect() as connection:
            known = catalog.facts(connection, relation.oid)
            types = catalog.types(connection, relation.columns, self._announced)
        rules.check_shape(columns, known.columns)
        key = key_columns(relation, known.primary_key)
        rules.check_key(key)
        _refuse_lossy(relation, types, rules)
        topic = topic_name(self._system, relation.schema, relation.table)
        self._topics.ensure_changes(topic)
        registered = row_fields(self._registry.latest(f"{topic}-value"))
        # The registry's client remembers the latest version it saw; ours of this session may be later.
        nullable = {
            field.name
            for table in self._known.values()
            if table.topic == topic
            for field in table.fields
            if field.optional
        }
        names = avro.distinct([column.name for column in relation.columns], relation.full_name)
        fields, places = [], []
        for place, (column, name) in enumerate(zip(relation.columns, names, strict=True)):
            if not rules.publishes(column.name, key):
                continue
            info, typmod = types[column]
            kind = text_type(info) if column.name in rules.as_text else column_type(info, typmod)
            required = (
                column.name in known.not_null
                and column.name not in rules.nulled
                and (relation.identity == "f" or column.name in key)
            )
            optional = column.name not in key and (
                not required or name in nullable or must_be_optional(registered, name)
            )
            fields.append(Field(column.name, name, rules.treat(column.name, kind), optional))
            places.append(place)
        shape = Shape(tuple(names), tuple(places), {column.name: found for column, found in types.items()})
        return Table(relation, topic, fields, key, self._registry, self._server.database, self._system, shape)


def _refuse_lossy(
    relation: Relation, types: Mapping[Column, tuple[TypeInfo, int]], rules: TableRules
) -> None:
    """`ConfigurationError` names the columns whose type has no form that holds its values."""
    refused = [
        (column.name, info.name)
        for column, (info, _) in types.items()
        if lossy(info) and column.name not in rules.as_text and rules.publishes(column.name, ())
    ]
    if refused:
        named = ", ".join(f"{relation.full_name}.{column} ({kind})" for column, kind in refused)
        wanted = ", ".join(f'"{relation.full_name}.{column}"' for column, _ in refused)
        raise ConfigurationError(
            f"{named}: PostgreSQL's text of that type does not hold the whole value; leave the column out "
            f"with columns_exclude, or take the text as it is: as_text = [{wanted}]"
        )


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

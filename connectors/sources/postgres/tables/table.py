"""One shape of a captured table, with its registered schemas and compiled encoders."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from connectors.sources.postgres.pgoutput.messages import Relation, Row
from connectors.sources.postgres.tables.envelope import (
    EnvelopeEncoder,
    Field,
    PartialRowEncoder,
    RowEncoder,
    encode_key,
    key_schema,
    value_schema,
)
from connectors.sources.postgres.types.mapping import (
    EnumLabels,
    TypeInfo,
    column_type,
    with_labels,
)
from connectors.sources.subjects import Subjects
from streams.errors import ContractViolation


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
        snapshot_topic: str,
        fields: list[Field],
        key: tuple[str, ...],
        registry: Subjects,
        database: str,
        source: str,
        shape: Shape,
    ) -> None:
        self.relation = relation
        self.topic = topic
        self.snapshot_topic = snapshot_topic
        """Where its rows in snapshots go: the same, or the one for backfills."""
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

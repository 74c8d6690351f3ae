"""The tables of a source: what is made of each shape that its log describes."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sources import avro
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.messages import Column, Relation
from connectors.sources.postgres.rules import LEFT_OUT, TableRules
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.connection import Server
from connectors.sources.postgres.tables.columns import Carried, KnownColumns
from connectors.sources.postgres.tables.envelope import Field
from connectors.sources.postgres.tables.halting import halt
from connectors.sources.postgres.tables.table import Shape, Table
from connectors.sources.postgres.types.mapping import (
    TypeInfo,
    column_type,
    lossy,
    text_type,
)
from connectors.sources.subjects import Subjects, must_be_optional, row_fields
from connectors.sources.topics import Topics, topic_name
from streams.contracts.topics import backfill_topic
from streams.errors import ConfigurationError, ContractViolation


class Tables:
    """Makes a `Table` of each relation of the include list, once a shape; makes its topic too.

    All tables are made as they are now at once, so that what can't work is refused before a row is
    read. A table that changes later in a way that can't be published is halted alone where that loses
    nothing: see `connectors.sources.postgres.tables.halting`.
    """

    def __init__(
        self,
        server: Server,
        config: PostgresConfig,
        include: set[str],
        registry: Subjects,
        topics: Topics,
        columns: KnownColumns | None = None,
    ) -> None:
        """``columns``: what is known of the tables' columns, and learns what becomes of them."""
        self._server = server
        self._config = config
        self._system = config.name
        self._include = include
        self._registry = registry
        self._topics = topics
        self._known: dict[Relation, Table] = {}
        self._announced: dict[int, str] = {}
        self._rules = config.column_rules
        self._names: dict[int, str] = {}
        self._halted: set[int] = set()
        self.columns = columns if columns is not None else KnownColumns()
        self._prepare()

    @property
    def subjects(self) -> Subjects:
        """Where the schemas are registered."""
        return self._registry

    def announce_type(self, oid: int, name: str) -> None:
        """Remember a type message's name."""
        self._announced[oid] = name

    def take_gained(self) -> tuple[list[str], list[str]]:
        """Tables, found since this was last asked, of which published rows lack a column: those with a key
        to read them again by, and those without one."""
        gained = self.columns.take_gained()
        keyless = {table.full_name for table in self._known.values() if table.key_of is None}
        return [name for name in gained if name not in keyless], [name for name in gained if name in keyless]

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
        self._config.check_backfill(self._include)
        with self._server.connect() as connection:
            self._rules.verify(connection)
            relations = []
            for one in catalog.included_tables(connection, sorted(self._include)):
                columns = catalog.published_columns(connection, self._config.publication_name, one)
                relations.append(catalog.current_relation(connection, one.oid, columns))
        for relation in relations:
            self._current(relation)
            self._names[relation.oid] = relation.full_name

    def _current(self, relation: catalog.CurrentRelation) -> Table:
        logged = relation.as_logged()
        table = self._known.get(logged)
        if table is None:
            table = self._known[logged] = self._make(logged, whole=True)
        return table

    def _halt(self, relation: Relation, error: ContractViolation | ConfigurationError) -> None:
        halt(self._server, self._system, self._config.own_publication, relation, error)
        self._halted.add(relation.oid)

    def _make(self, relation: Relation, *, whole: bool = False) -> Table:
        """``whole``: the relation has all columns that are there now and are published."""
        rules = self._rules.of(relation.full_name)
        columns = {column.name for column in relation.columns}
        with self._server.connect() as connection:
            known = catalog.facts(connection, relation.oid)
            types = catalog.types(connection, relation.columns, self._announced)
        rules.check_shape(columns, known.columns.keys())
        key = key_columns(relation, known.primary_key)
        rules.check_key(key)
        _refuse_lossy(relation, types, rules)
        topic = topic_name(self._system, relation.schema, relation.table)
        self._topics.ensure_changes(topic)
        snapshot_topic = self._snapshot_topic(relation.full_name, topic, key)
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
        table = Table(
            relation,
            topic,
            snapshot_topic,
            fields,
            key,
            self._registry,
            self._server.database,
            self._system,
            shape,
        )
        carried = {
            name: Carried(number, rules.form(name, key) if name in columns else LEFT_OUT)
            for name, number in known.columns.items()
            if whole or name in columns
        }
        self.columns.learn(relation.full_name, carried, known.given, whole=whole)
        return table

    def _snapshot_topic(self, table: str, topic: str, key: tuple[str, ...]) -> str:
        if table not in self._config.backfill:
            return topic
        self._config.check_backfill_key(table, key)
        apart = backfill_topic(topic)
        self._topics.ensure_changes(apart)
        return apart


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

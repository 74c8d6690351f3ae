"""What of the captured tables and their publication would go wrong, for ``source check``."""

from __future__ import annotations

import psycopg
from psycopg import sql

from connectors.sources import avro
from connectors.sources.check import FAIL, OK, WARN, Finding
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.messages import Relation
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.catalog import PARTITIONED, CapturedTable
from connectors.sources.postgres.server.connection import Server, identifier, quoted, raw
from connectors.sources.postgres.server.publication import Published, check_publication
from connectors.sources.postgres.tables.tables import key_columns
from connectors.sources.postgres.types.mapping import TypeInfo, column_type, lossy, text_type
from streams.errors import ConfigurationError, ContractViolation

_IDENTITIES = {"d": "DEFAULT", "i": "USING INDEX", "n": "NOTHING", "f": "FULL"}


def publication_findings(
    connection: psycopg.Connection, server: Server, config: PostgresConfig, captured: list[CapturedTable]
) -> list[Finding]:
    """Whether the publication carries the tables whole, or can be made to."""
    name = config.publication_name
    subject = f"publication {name}"
    try:
        published = check_publication(connection, name, captured)
    except ConfigurationError as error:
        return [Finding(FAIL, subject, *_split(str(error)))]
    missing = [one for one in captured if one.full_name not in published]
    found = [] if not missing else [_publishable(connection, server, name, missing)]
    for one in captured:
        if one.full_name in published:
            found += _left_out(connection, subject, one, published[one.full_name])
    others = sorted(published.keys() - {one.full_name for one in captured})
    if others:
        text = f"also carries {_some(others)}: read from the log for nothing"
        found.append(Finding(WARN, subject, text, "name them in tables, or ALTER PUBLICATION … DROP TABLE"))
    if published and not found:
        found.append(Finding(OK, subject, "carries all of the tables"))
    return found


def _publishable(
    connection: psycopg.Connection, server: Server, name: str, missing: list[CapturedTable]
) -> Finding:
    """Whether our role may make the publication, or add to it; the statement for its owner if not."""
    row = connection.execute(
        "SELECT pg_has_role(pubowner, 'USAGE'), puballtables FROM pg_publication WHERE pubname = %s", [name]
    ).fetchone()
    names = sql.SQL(", ").join(identifier(one.schema, one.table) for one in missing)
    if row is None:
        allowed = _one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')")
        start, end = "CREATE PUBLICATION {} FOR TABLE {}", " WITH (publish_via_partition_root = true)"
    else:
        allowed, (start, end) = row[0], ("ALTER PUBLICATION {} ADD TABLE {}", "")
    statement = raw(start + end).format(identifier(name), names).as_string(connection)
    owned = _one(
        connection,
        "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class WHERE oid = ANY(%s)",
        [[one.oid for one in missing]],
    )
    what = "does not exist" if row is None else f"lacks {_some([one.full_name for one in missing])}"
    if allowed and owned:
        return Finding(OK, f"publication {name}", f"{what}; the first run sees to it")
    text = f"{what}, and role {server.user} may not see to it"
    return Finding(FAIL, f"publication {name}", text, f"let the tables' owner run {statement}")


def _left_out(
    connection: psycopg.Connection, subject: str, one: CapturedTable, published: Published
) -> list[Finding]:
    found = []
    if published.row_filter:
        text = f"carries of {one.full_name} only rows WHERE {published.row_filter}"
        found.append(Finding(WARN, subject, text, "a row that leaves the filter arrives as a delete"))
    if published.columns is not None:
        columns = catalog.current_relation(connection, one.oid, None).columns
        lacking = [column.name for column in columns if column.name not in published.columns]
        if lacking:
            text = f"leaves out of {one.full_name} the columns {_some(lacking)}"
            found.append(
                Finding(WARN, subject, text, "fine if that is meant; else ALTER PUBLICATION … SET TABLE")
            )
    return found


def rule_findings(
    connection: psycopg.Connection, config: PostgresConfig, captured: list[CapturedTable]
) -> list[Finding]:
    """Whether the columns that are left out, masked, hashed or taken as text are there, and the tables whose
    snapshots go apart."""
    try:
        config.column_rules.verify(connection)
        config.check_backfill([one.full_name for one in captured])
    except ConfigurationError as error:
        return [Finding(FAIL, "columns and backfill", *_split(str(error)))]
    return []


def table_findings(
    connection: psycopg.Connection, server: Server, config: PostgresConfig, one: CapturedTable
) -> list[Finding]:
    """Rights, replica identity, key, types and partitions of one table; one line when all is well."""
    found = _rights(connection, server, one)
    found += _identity(connection, one)
    found += _columns(connection, config, one)
    found += _partition(connection, one)
    if not any(finding.status in (WARN, FAIL) for finding in found):
        found.append(Finding(OK, one.full_name, "can be read and captured"))
    return found


def _rights(connection: psycopg.Connection, server: Server, one: CapturedTable) -> list[Finding]:
    usage, select, secured = connection.execute(
        "SELECT has_schema_privilege(c.relnamespace, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), "
        "row_security_active(c.oid) FROM pg_class c WHERE c.oid = %s",
        [one.oid],
    ).fetchone() or (True, True, False)
    found = []
    if not usage:
        remedy = f"run GRANT USAGE ON SCHEMA {quoted(one.schema)} TO {server.user}"
        found.append(Finding(FAIL, one.full_name, f"role {server.user} may not use its schema", remedy))
    if not select:
        remedy = f"run GRANT SELECT ON {quoted(one.schema, one.table)} TO {server.user}"
        found.append(Finding(FAIL, one.full_name, f"role {server.user} may not read it", remedy))
    if secured:
        text = "row security would hide rows from the snapshot, though not from the log"
        found.append(Finding(FAIL, one.full_name, text, f"run ALTER ROLE {server.user} BYPASSRLS"))
    return found


def _identity(connection: psycopg.Connection, one: CapturedTable) -> list[Finding]:
    """What the log holds of a row before its change. A partitioned table's is that of its partitions."""
    members = connection.execute(
        "SELECT n.nspname || '.' || c.relname, c.relreplident::text, "
        "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), "
        "EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident), "
        "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attstorage <> 'p'), c.oid = %(oid)s "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s) UNION SELECT %(oid)s::oid) ORDER BY 1",
        {"oid": one.oid},
    ).fetchall()
    refusing, lean, toasted = [], [], False
    for name, identity, key, index, wide, root in members:
        if identity == "n" or (identity == "d" and not key) or (identity == "i" and not index):
            refusing.append((name, _IDENTITIES[identity]))
        elif identity != "f" and not (root and one.kind == PARTITIONED and len(members) > 1):
            lean.append(name)
            toasted = toasted or wide
    found = []
    for name, identity in refusing:
        text = f"{name} has REPLICA IDENTITY {identity} and no key for it: once published, "
        text += "the server refuses every UPDATE and DELETE of it, those of your applications"
        remedy = f"give it a primary key, or run ALTER TABLE {_quoted_name(name)} REPLICA IDENTITY FULL"
        found.append(Finding(FAIL, one.full_name, text, remedy))
    (key,) = (row[2] for row in members if row[5]) if members else (True,)
    if not key and not refusing and "i" not in {row[1] for row in members}:
        text = "has no key: its records have none either, so no topic can be compacted, and no reader can tell rows apart"
        found.append(Finding(WARN, one.full_name, text, "give it a primary key"))
    if lean:
        cost = "`before` holds the key only"
        if toasted:
            cost += ", and a large value that an UPDATE leaves alone is missing from `after`"
        text = f"REPLICA IDENTITY FULL is lacking: {cost}"
        remedy = "; ".join(f"ALTER TABLE {_quoted_name(name)} REPLICA IDENTITY FULL" for name in lean[:3])
        status = WARN if toasted else OK
        remedy = (
            f"run {remedy}{' …' if len(lean) > 3 else ''}; the log grows by each changed row's old values"
        )
        found.append(Finding(status, one.full_name, text, remedy))
    return found


def _columns(connection: psycopg.Connection, config: PostgresConfig, one: CapturedTable) -> list[Finding]:
    published = catalog.published_columns(connection, config.publication_name, one)
    relation = catalog.current_relation(connection, one.oid, published)
    facts = catalog.facts(connection, one.oid)
    found = _types(connection, config, one, relation)
    try:
        rules = config.column_rules.of(one.full_name)
        rules.check_key(key_columns(relation, facts.primary_key))
        config.check_backfill_key(one.full_name, key_columns(relation, facts.primary_key))
        rules.check_shape({column.name for column in relation.columns}, facts.columns.keys())
    except (ConfigurationError, ContractViolation) as error:
        found.append(Finding(FAIL, one.full_name, *_split(str(error))))
    try:
        avro.distinct([column.name for column in relation.columns], one.full_name)
    except ContractViolation as error:
        found.append(Finding(FAIL, one.full_name, *_split(str(error))))
    generated = [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped "
            "AND attgenerated <> ''",
            [one.oid],
        ).fetchall()
        if name not in {column.name for column in relation.columns}
    ]
    if generated:
        text = f"generated columns are not in the log, nor in the topic: {_some(generated)}"
        found.append(
            Finding(WARN, one.full_name, text, "compute them downstream, or make them ordinary columns")
        )
    return found


def _types(
    connection: psycopg.Connection, config: PostgresConfig, one: CapturedTable, relation: Relation
) -> list[Finding]:
    """Types whose text is not the whole value are refused; those published as text are named."""
    as_text = config.as_text
    kinds = {
        column.name: info
        for column, (info, _) in catalog.types(connection, relation.columns, {}).items()
        if f"{one.full_name}.{column.name}" not in config.columns_exclude
    }
    refused = [
        name for name, info in kinds.items() if lossy(info) and f"{one.full_name}.{name}" not in as_text
    ]
    found = []
    if refused:
        text = f"PostgreSQL's text of {_named(refused, kinds)} does not hold the whole value"
        wanted = ", ".join(f'"{one.full_name}.{name}"' for name in refused)
        remedy = f"leave it out with columns_exclude, or take the text as it is: as_text = [{wanted}]"
        found.append(Finding(FAIL, one.full_name, text, remedy))
    own_text = [
        name
        for name, info in kinds.items()
        if name not in refused and column_type(info, -1).schema == text_type(info).schema
    ]
    if own_text:
        text = f"published as PostgreSQL's text, for Avro has nothing like it: {_named(own_text, kinds)}"
        found.append(Finding(OK, one.full_name, text))
    return found


def _named(columns: list[str], kinds: dict[str, TypeInfo]) -> str:
    return _some([f"{name} ({kinds[name].name})" for name in columns])


def _partition(connection: psycopg.Connection, one: CapturedTable) -> list[Finding]:
    row = connection.execute(
        "SELECT pg_partition_root(%s)::regclass::text WHERE (SELECT relispartition FROM pg_class WHERE oid = %s)",
        [one.oid, one.oid],
    ).fetchone()
    if row is None:
        return []
    text = f"is a partition of {row[0]}: where that is published too, its changes come under that name only"
    return [Finding(WARN, one.full_name, text, f"name {row[0]} in tables instead")]


def _one(connection: psycopg.Connection, query: str, values: list[object] | None = None) -> object:
    row = connection.execute(raw(query), values).fetchone()
    return None if row is None else row[0]


def _quoted_name(full_name: str) -> str:
    return quoted(*full_name.split(".", 1))


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _split(message: str) -> tuple[str, str]:
    """A message of ours as what is wrong and what to do."""
    problem, _, remedy = message.partition("; ")
    return problem, remedy

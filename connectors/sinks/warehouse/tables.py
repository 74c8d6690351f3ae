"""The warehouse: a star schema in SQLAlchemy Core, its columns taken from the Avro contracts.

| table                | one row                         | key                                      | rows are  |
|----------------------|---------------------------------|------------------------------------------|-----------|
| `fact_billing_event` | line of the billing ledger      | event_id                                 | appended  |
| `billing_current`    | segment of an entry, current    | root_id, entry_id, segment               | replaced  |
| `invoice_proposal`   | proposal of an invoice          | root_id, month, payer_id, currency       | replaced  |
| `utilization_daily`  | consultant's day                | consultant_id, day                       | replaced  |
| `utilization_window` | consultant's window             | consultant_id, window_kind, starts_on    | replaced  |
| `utilization_plan`   | consultant's week on a project  | consultant_id, project_id, starts_on     | replaced  |
| `utilization_group`  | group's window                  | dimension, value, window_kind, starts_on | replaced  |
| `revenue_current`    | contract line's month           | root_id, contract_line_id, period_start  | replaced  |
| `period_state`       | accounting period's close       | legal_entity_id, period_id               | replaced  |
| `fact_exception`     | exception, current              | flow, subject                            | replaced  |
| `latency_window`     | hop's latency in a window       | hop, window_start                        | replaced  |
| `dim_*`              | state of an entity (SCD type 2) | id, valid_from                           | succeeded |
| `*_version`          | version of a row: see `versions`| its table's, recorded_at                 | succeeded |
| `payroll_extract`    | run of the payroll extract      | extract_id                               | appended  |
| `payroll_line`       | change of a person's day        | extract_id, consultant_id, work_date     | appended  |
| `practice_of_service_line` | practice that sells a line | service_line                          | the firm's |
| `sink_offsets`       | partition's position            | sink, topic, partition                   | replaced  |
| `sink_dead_letter`   | record that was set aside       | sink, topic, partition, offset           | appended  |

Columns are named as in the contract, except that `window` (a reserved word) is `window_kind`. Money is
`numeric` of the contract's precision, durations are integer seconds, and `hours` columns are derived
from them for display, to four places. `loaded_at` is the start of the transaction that wrote the row.

Replaced rows keep `deleted` rows, so that an older revision read again can't revive them: filter by
`NOT deleted`, as the views do. `revision` never goes down.

A dimension's state holds in `[valid_from, valid_to)`; `valid_to` is null and `is_current` true for the
last one, which may be `deleted`. There are no foreign keys: a fact may arrive before its dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)

from connectors.sinks.warehouse.avro_columns import column_of
from connectors.sinks.warehouse.ledger import take_back_once
from connectors.sinks.warehouse.payroll import payroll_tables
from connectors.sinks.warehouse.versions import version_table
from streams.contracts import Contracts, load_contracts, load_schema

# Wide enough for any bigint of seconds: one row may bill a year of a whole team.
HOURS = Numeric(20, 4)


class Mode(Enum):
    """How records become rows."""

    APPEND = "append"  # a record is a row for ever; the same key again is a duplicate
    REPLACE = "replace"  # the row of the key is replaced unless the record is older
    HISTORY = "history"  # a change closes the current row of the key and opens another


@dataclass(frozen=True, slots=True)
class Load:
    """How one topic is loaded. ``columns`` maps the record's fields to columns, in table order.

    ``guard`` is the column that never goes down in a key's records. ``defaults`` are what the
    contract gives to fields that an older writer did not know. ``versions`` keeps what was replaced.
    ``routed_by`` is the field that decides the topic's partition, where that is not the row's id.
    """

    topic: str
    table: Table
    mode: Mode
    key: tuple[str, ...]
    columns: dict[str, str]
    defaults: dict[str, Any]
    guard: str | None = None
    versions: Table | None = None
    routed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Warehouse:
    """All tables, and the loads by topic."""

    metadata: MetaData
    loads: dict[str, Load]
    offsets: Table
    dead_letters: Table


# Of the many rates, those of the default card: with no scope but role, grade and region.
DEFAULT_CARD = "num_nonnulls(task_id, project_id, contract_line_id, client_id, consultant_id) = 0"
RENAMED = {"window": "window_kind"}
DIMENSIONS = (
    "consultant",
    "consultant_position",
    "project",
    "client",
    "account",
    "task",
    "engagement",
    "contract_line",
    "legal_entity",
    "opportunity",
    "rate",
    "cost_rate",
    "fx_rate",
    "period",
    "payer_split",
    "time_entry",
    "time_entry_version",
    "time_entry_event",
    "expense",
    "expense_version",
    "invoice_line",
    "bill_adjustment",
)


@cache
def warehouse() -> Warehouse:
    """Build the tables from the contracts."""
    metadata = MetaData()
    loads = [
        _load(
            metadata,
            "fact_billing_event",
            "billing.events",
            Mode.APPEND,
            ("event_id",),
            hours={"hours": "seconds"},
            indexes=(("entry_id",), ("accounting_date",)),
        ),
        _load(
            metadata,
            "billing_current",
            "billing.current",
            Mode.REPLACE,
            ("root_id", "entry_id", "segment"),
            guard="revision",
            versioned=True,
            hours={"hours": "seconds"},
            indexes=(("entry_id",), ("accounting_date",)),
        ),
        _load(
            metadata,
            "invoice_proposal",
            "billing.invoice_event",
            Mode.REPLACE,
            ("root_id", "month", "payer_id", "currency"),
            guard="revision",
            hours={"unbilled_hours": "unbilled_seconds", "draft_hours": "draft_seconds"},
            indexes=(("month",),),
        ),
        _load(
            metadata,
            "utilization_daily",
            "utilization.daily",
            Mode.REPLACE,
            ("consultant_id", "day"),
            guard="revision",
            versioned=True,
            hours=_UTILIZATION_HOURS,
            indexes=(("day",),),
        ),
        _load(
            metadata,
            "utilization_window",
            "utilization.windows",
            Mode.REPLACE,
            ("consultant_id", "window_kind", "starts_on"),
            guard="revision",
            versioned=True,
            hours=_WINDOW_HOURS,
            indexes=(("window_kind", "starts_on"),),
        ),
        _load(
            metadata,
            "utilization_plan",
            "utilization.plan",
            Mode.REPLACE,
            ("consultant_id", "project_id", "starts_on"),
            guard="revision",
            versioned=True,
            hours={"planned_hours": "planned_seconds", "worked_hours": "worked_seconds"},
            indexes=(("project_id", "starts_on"),),
        ),
        _load(
            metadata,
            "utilization_group",
            "utilization.groups",
            Mode.REPLACE,
            ("dimension", "value", "window_kind", "starts_on"),
            guard="revision",
            versioned=True,
            hours=_UTILIZATION_HOURS,
            indexes=(("window_kind", "starts_on"),),
        ),
        _load(
            metadata,
            "revenue_current",
            "revenue.current",
            Mode.REPLACE,
            ("root_id", "contract_line_id", "period_start"),
            guard="revision",
            versioned=True,
            hours={"progress_hours": "progress_seconds", "planned_hours": "planned_seconds"},
            indexes=(("period_start",),),
        ),
        _load(
            metadata,
            "period_state",
            "billing.period_state",
            Mode.REPLACE,
            ("legal_entity_id", "period_id"),
            guard="revision",
        ),
        _load(
            metadata,
            "fact_exception",
            "exceptions",
            Mode.REPLACE,
            ("flow", "subject"),
            guard="revision",
            indexes=(("state",),),
        ),
        _load(
            metadata,
            "latency_window",
            "latency.windows",
            Mode.REPLACE,
            ("hop", "window_start"),
            guard="emitted_at",
        ),
        *(_dimension(metadata, entity) for entity in DIMENSIONS),
    ]
    take_back_once(metadata.tables["fact_billing_event"])
    _index_rates(metadata.tables)
    _practices(metadata)
    payroll_tables(metadata)
    return Warehouse(
        metadata, {load.topic: load for load in loads}, _offsets(metadata), _dead_letters(metadata)
    )


_UTILIZATION_HOURS = {
    "worked_hours": "worked_seconds",
    "billable_hours": "billable_seconds",
    "capacity_hours": "capacity_seconds",
}
_WINDOW_HOURS = _UTILIZATION_HOURS | {
    "target_hours": "target_seconds",
    "shortfall_hours": "shortfall_seconds",
    "planned_hours": "planned_seconds",
}


@cache
def _contracts() -> Contracts:
    return load_contracts()


def _load(
    metadata: MetaData,
    name: str,
    topic: str,
    mode: Mode,
    key: tuple[str, ...],
    *,
    guard: str | None = None,
    hours: dict[str, str] | None = None,
    indexes: tuple[tuple[str, ...], ...] = (),
    extra: tuple[Column[Any], ...] = (),
    versioned: bool = False,
) -> Load:
    """A table for a topic's records: its fields, then ``extra``, the derived hours, and `loaded_at`."""
    schema_name = _contracts().topics[topic].schema
    assert schema_name is not None
    schema = load_schema(schema_name)
    columns = {field["name"]: RENAMED.get(field["name"], field["name"]) for field in schema["fields"]}
    fields = [
        column_of(field, columns[field["name"]], primary_key=columns[field["name"]] in key)
        for field in schema["fields"]
    ]
    derived = [
        Column(
            column, HOURS, Computed(f"round({seconds} / 3600.0, 4)", persisted=True), comment="for display"
        )
        for column, seconds in (hours or {}).items()
    ]
    loaded_at = Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=text("now()"))
    table = Table(name, metadata, *fields, *extra, *derived, loaded_at, comment=schema.get("doc"))
    for names in indexes:
        Index(f"ix_{name}_{'_'.join(names)}", *(table.c[column] for column in names))
    defaults = {field["name"]: field["default"] for field in schema["fields"] if "default" in field}
    versions = version_table(metadata, table, tuple(columns.values()), key) if versioned else None
    routed_by = _contracts().topics[topic].partition_by if mode is Mode.HISTORY else None
    return Load(topic, table, mode, key, columns, defaults, guard, versions, routed_by)


def _dimension(metadata: MetaData, entity: str) -> Load:
    """`dim_<entity>` with the validity of each state, one of them current."""
    validity: tuple[Column[Any], ...] = (
        Column("valid_from", DateTime(timezone=True), primary_key=True, comment="commit time of the change"),
        Column("valid_to", DateTime(timezone=True), comment="exclusive; null: still valid"),
        Column("is_current", Boolean, nullable=False, comment="the last known state"),
    )
    load = _load(metadata, f"dim_{entity}", f"canonical.{entity}", Mode.HISTORY, ("id",), extra=validity)
    columns = load.table.c
    Index(f"ix_dim_{entity}_current", columns.id, unique=True, postgresql_where=columns.is_current)
    return load


def _index_rates(tables: Mapping[str, Table]) -> None:
    """What views look up for each entry: its exchange rate, its person's cost, the default card."""
    fx, cost, card = tables["dim_fx_rate"], tables["dim_cost_rate"], tables["dim_rate"]
    Index(
        "ix_dim_fx_rate_pair_day",
        fx.c.from_currency,
        fx.c.to_currency,
        fx.c.day.desc(),
        postgresql_where=fx.c.is_current,
    )
    Index("ix_dim_cost_rate_consultant", cost.c.consultant_id, postgresql_where=cost.c.is_current)
    Index("ix_dim_rate_default_card", card.c.role, postgresql_where=text(f"is_current AND {DEFAULT_CARD}"))


def _practices(metadata: MetaData) -> Table:
    return Table(
        "practice_of_service_line",
        metadata,
        Column("service_line", Text, primary_key=True, comment="as opportunities name it"),
        Column("practice", Text, nullable=False, comment="as consultants name it"),
        comment="Which practice sells a service line; filled by finance, read by v_booking.",
    )


def _offsets(metadata: MetaData) -> Table:
    return Table(
        "sink_offsets",
        metadata,
        Column("sink", Text, primary_key=True),
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("next_offset", BigInteger, nullable=False, comment="of the next record to load"),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        comment="Position of each sink, written in the transaction that writes its rows.",
    )


def _dead_letters(metadata: MetaData) -> Table:
    return Table(
        "sink_dead_letter",
        metadata,
        Column("sink", Text, primary_key=True),
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("offset", BigInteger, primary_key=True, autoincrement=False),
        Column("timestamp_ms", BigInteger, nullable=False, comment="of the record, since 1970"),
        Column("exception_class", Text, nullable=False, comment="POISON, SCHEMA or INVALID_VALUE"),
        Column("message", Text, nullable=False),
        Column("raw_key", LargeBinary),
        Column("raw_value", LargeBinary),
        Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        comment="Records that could not be loaded, with their bytes; of confidential topics without.",
    )

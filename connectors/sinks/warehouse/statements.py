"""The SQL that loads rows: COPY into a session's staging table, then merge into the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from connectors.sinks.warehouse.tables import Load, Mode
from connectors.sinks.warehouse.versions import recording

_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statements:
    """All statements of one load. The staging table empties itself at each commit.

    ``merge`` of a table whose versions are kept selects how many rows it wrote.
    """

    create_stage: str
    copy: str
    merge: str


def statements(load: Load, columns: Sequence[str]) -> Statements:
    """Statements that load ``columns`` of a table."""
    table = load.table
    name, stage = _quote(table.name), _quote(f"stage_{table.name}")
    names = _names(columns)
    merge = (
        f"INSERT INTO {name} AS held ({names}) SELECT {names} FROM {stage} {_conflict(load, table, columns)}"
    )
    return Statements(
        create_stage=(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS "
            f"AS SELECT {names} FROM {name} WITH NO DATA"
        ),
        copy=f"COPY {stage} ({names}) FROM STDIN",
        merge=merge if load.versions is None else recording(merge, table, load.versions, columns, load.key),
    )


def _conflict(load: Load, table: Table, columns: Sequence[str]) -> str:
    key = [column.name for column in table.primary_key]
    if load.mode is Mode.APPEND:
        return f"ON CONFLICT ({_names(key)}) DO NOTHING"
    changes = [f"{_quote(column)} = excluded.{_quote(column)}" for column in columns if column not in key]
    update = f"ON CONFLICT ({_names(key)}) DO UPDATE SET {', '.join(changes)}, loaded_at = now()"
    if load.mode is Mode.HISTORY:
        # Closed states first, so that no id ever has two current ones.
        return f"ORDER BY is_current {update}"
    assert load.guard is not None
    guard = _quote(load.guard)
    return f"{update} WHERE excluded.{guard} >= held.{guard}"


def select_current(table: Table, columns: Sequence[str]) -> str:
    """The current states of some ids of a dimension; takes the ids as one array."""
    return f"SELECT {_names(columns)} FROM {_quote(table.name)} WHERE is_current AND id = ANY(%s)"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(_quote(column) for column in columns)

"""What an amendment leaves behind: the terms as they were, which the months that are closed go by."""

from __future__ import annotations

from typing import Final

from connectors.reference.firm.model import TABLES, Key
from connectors.reference.firm.world import Draft, World

_OF_A_VERSION: Final = frozenset({"id", "ended_at"})


def keep_version(world: World, tx: Draft, table: str, key: Key) -> None:
    """Keep what an engagement or a contract line says, before it is changed in the same transaction."""
    row, kept = world.rows[table][key], f"{table}_version"
    names = {column.name for column in TABLES[kept].columns} - _OF_A_VERSION - {f"{table}_id"}
    tx.insert(
        kept,
        id=f"V-{world.number(kept):03}",
        **{f"{table}_id": key},
        **{name: row[name] for name in names},
        ended_at=world.now,
    )

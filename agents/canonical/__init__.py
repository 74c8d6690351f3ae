"""Canonical entities from the row changes of vendors' tables: mapping, order, ownership, quarantine."""

from agents.canonical.decisions import Action, Decision, decide, identify
from agents.canonical.loader import load_mappings
from agents.canonical.mapping import IgnoredTable, MappedChange, SystemMapping, TableMapping, map_change
from agents.canonical.positions import Position, parse_position, position_of
from agents.canonical.rows import RowState

__all__ = [
    "Action",
    "Decision",
    "IgnoredTable",
    "MappedChange",
    "Position",
    "RowState",
    "SystemMapping",
    "TableMapping",
    "decide",
    "identify",
    "load_mappings",
    "map_change",
    "parse_position",
    "position_of",
]

"""Slowly changing dimensions, type 2: from records to validity ranges. Pure.

A state is a dict of the record's fields plus `valid_from`, `valid_to` and `is_current`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
State = dict[str, Any]

# Where a record came from and when; a change of these alone is no change of the entity.
LINEAGE = frozenset(
    {
        "source_system",
        "source_epoch",
        "source_lsn",
        "source_ordinal",
        "occurred_at",
        "captured_at",
        "published_at",
        "snapshot",
        "mapping_version",
    }
)


@dataclass(frozen=True, slots=True)
class Folded:
    """States to write, by (id, valid_from) and with closed states first; and how many records were stale."""

    states: list[State]
    stale: int


def fold(current: Mapping[str, State], records: Iterable[Record], routed_by: str | None = None) -> Folded:
    """Apply records, in topic order, to the current states of their ids.

    - A change closes the current state at the change's commit time and opens a new one.
    - A record with the same content only refreshes the lineage.
    - A record from an earlier position in its source than the current state is stale: it was read
      again, and its effect is in the history already. The same position again (a mapping changed)
      corrects the state in place.
    - A commit time not later than the current state's start (two commits in one microsecond, or a
      source's clock set back) replaces the state, since no empty or negative range may come about.
    - A change of ``routed_by`` moves the id to another partition, and what it leaves in the old one, a deletion from
      the same position, may be read after it: that is stale.
    """
    latest: dict[str, State] = dict(current)
    changed: dict[tuple[str, Any], State] = {}
    stale = 0
    for record in records:
        identity = record["id"]
        held = latest.get(identity)
        if held is not None and (
            _position(record) < _position(held) or _is_left_behind(record, held, routed_by)
        ):
            stale += 1
            continue
        if held is None:
            state = _opened(record, record["occurred_at"])
        elif _content(record) == _content(held) or record["occurred_at"] <= held["valid_from"]:
            state = _opened(record, held["valid_from"])
            if state == held:
                stale += 1
                continue
        else:
            closed = {**held, "valid_to": record["occurred_at"], "is_current": False}
            changed[identity, closed["valid_from"]] = closed
            state = _opened(record, record["occurred_at"])
        latest[identity] = changed[identity, state["valid_from"]] = state
    return Folded(sorted(changed.values(), key=lambda state: bool(state["is_current"])), stale)


def _is_left_behind(record: Record, held: State, routed_by: str | None) -> bool:
    return (
        routed_by is not None
        and record["deleted"]
        and not held["deleted"]
        and _position(record) == _position(held)
        and record[routed_by] != held[routed_by]
    )


def _opened(record: Record, valid_from: Any) -> State:
    return {**record, "valid_from": valid_from, "valid_to": None, "is_current": True}


def _position(record: Mapping[str, Any]) -> tuple[int, int, int]:
    return record["source_epoch"], record["source_lsn"], record["source_ordinal"]


def _content(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in record.items()
        if k not in LINEAGE and k not in ("valid_from", "valid_to", "is_current")
    }

"""What people do to a firm's books after its last change: periods are closed anew, entries corrected."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

from relinked import Relinked

VERSIONED = ("version", "consultant_code", "project_code", "task_code", "work_date", "hours", "kind")


def closes_anew(world: Relinked, period: str, rng: random.Random) -> None:
    """At another time, or not at all."""
    ends_on: date = world.tables["accounting_period"][period]["ends_on"]
    at = datetime(ends_on.year, ends_on.month, 1, tzinfo=UTC) + timedelta(days=rng.randint(1, 20))
    closed = rng.choice([at, at, None])
    status = "open" if closed is None else "closed"
    world.update("accounting_period", period, closed_at=closed, status=status)


def corrects(world: Relinked, entry: int, rng: random.Random) -> None:
    """The row and its version arrive as they come."""
    row = world.tables["time_entry"][entry]
    ended = row["approved_at"] + timedelta(days=rng.randint(1, 40))
    versions = world.tables["time_entry_version"]
    kept: dict[str, Any] = {name: row[name] for name in (*VERSIONED, "approved_at", "approved_by")}
    kept |= {"id": max(versions, default=0) + 1, "entry_id": entry, "ended_at": ended}
    if rng.random() < 0.2:
        world.insert("time_entry_version", **kept)
        world.delete("time_entry", entry)
        return
    hours, version = row["hours"] / 2, row["version"] + 1
    status, approved_at = rng.choice([("approved", ended + timedelta(days=1)), ("withdrawn", None)])
    world.update("time_entry", entry, hours=hours, version=version, status=status, approved_at=approved_at)
    world.insert("time_entry_version", **kept)


def is_approved(row: dict[str, Any]) -> bool:
    """Whether it stands, and since when is known."""
    return row["status"] == "approved" and row["approved_at"] is not None

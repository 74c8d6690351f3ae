"""What records do to the live views: from what is held and what came to what is to be written. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from connectors.sinks.redis import keys
from streams.errors import InvalidValue

Record = dict[str, Any]
_WINDOW_FIELDS = (
    "revision",
    "deleted",
    "ends_on",
    "worked_seconds",
    "billable_seconds",
    "unclassified_seconds",
    "capacity_seconds",
    "utilization",
    "practice",
    "region",
    "target_seconds",
    "shortfall_seconds",
    "planned_seconds",
    "planned_billable_seconds",
    "forecast",
    "computed_at",
)
# Not in the views: raw bytes belong to the dead-letter topic.
_EXCEPTION_FIELDS = (
    "exception_id",
    "revision",
    "state",
    "flow",
    "subject",
    "exception_class",
    "message",
    "blocks",
    "queue",
    "severity",
    "missing_keys",
    "seconds",
    "amount",
    "currency",
    "first_seen_at",
    "last_seen_at",
    "visible_at",
    "resolved_at",
    "times_seen",
)

_NEEDED_OF_WINDOWS: dict[str, type] = {
    "consultant_id": str,
    "window": str,
    "starts_on": date,
    "ends_on": date,
    "revision": int,
}
_NEEDED_OF_EXCEPTIONS: dict[str, type] = {
    "exception_id": str,
    "revision": int,
    "state": str,
    "first_seen_at": datetime,
}


@dataclass(slots=True)
class WindowsChange:
    """Fields to set and to delete in a consultant's hash, and when the whole of it expires."""

    set: dict[str, str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    expires_at: datetime | None = None
    stale: int = 0


def fold_windows(held: Mapping[str, str], records: Iterable[Record], today: date) -> WindowsChange:
    """A consultant's windows after ``records``, in topic order; a lower revision than held is stale."""
    change = WindowsChange()
    windows = {name: json.loads(text) for name, text in held.items()}
    for record in records:
        name = f"{record['window']}:{record['starts_on'].isoformat()}"
        if name in windows and windows[name]["revision"] > record["revision"]:
            change.stale += 1
            continue
        text = json.dumps({key: _plain(record.get(key)) for key in _WINDOW_FIELDS}, separators=(",", ":"))
        windows[name] = json.loads(text)
        change.set[name] = text
    oldest = today - keys.KEEP_WINDOWS
    ends = {name: date.fromisoformat(window["ends_on"]) for name, window in windows.items()}
    for name, ends_on in ends.items():
        if ends_on < oldest:
            change.set.pop(name, None)
            if name in held:
                change.delete.append(name)
    last = max((ends_on for ends_on in ends.values() if ends_on >= oldest), default=None)
    if last is not None:
        change.expires_at = datetime.combine(last + keys.KEEP_WINDOWS, time(), UTC)
    return change


@dataclass(slots=True)
class ExceptionChange:
    """One exception's hash, and its place in the set of open ones (None: not in it)."""

    fields: dict[str, str]
    open_since_ms: int | None
    resolved: bool


def fold_exception(
    held_revision: int | None, records: Iterable[Record]
) -> tuple[ExceptionChange | None, int]:
    """One exception after ``records``, in topic order (None if all are stale), and how many are stale."""
    newest: Record | None = None
    revision = held_revision
    stale = 0
    for record in records:
        if revision is not None and record["revision"] < revision:
            stale += 1
            continue
        newest, revision = record, record["revision"]
    if newest is None:
        return None, stale
    fields = {key: _text(newest.get(key)) for key in _EXCEPTION_FIELDS}
    since = round(newest["first_seen_at"].timestamp() * 1000) if newest["state"] == "open" else None
    return ExceptionChange(fields, since, newest["state"] == "resolved"), stale


def check(record: Record, *, windows: bool) -> None:
    """`InvalidValue` if a window's, or else an exception's record lacks what its view is made of."""
    needed = _NEEDED_OF_WINDOWS if windows else _NEEDED_OF_EXCEPTIONS
    for name, kind in needed.items():
        if not isinstance(record.get(name), kind):
            raise InvalidValue(f"field {name} is missing or no {kind.__name__}")


def event_time(record: Record) -> datetime | None:
    """When what a record tells of happened: the commit in the source, or the exception's last sight."""
    for name in ("occurred_at", "last_seen_at", "window_end"):
        value = record.get(name)
        if isinstance(value, datetime):
            return value
    return None


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers that must stay exact as text."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _text(value: Any) -> str:
    """A value as a hash field has it: null as the empty string, lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, list | bool):
        return json.dumps(value)
    return str(_plain(value))

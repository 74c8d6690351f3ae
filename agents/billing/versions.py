"""How an entry was priced at closes, as the rating stage publishes it and keeps it: one rated record a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.billing.closes import Version
from agents.billing.items import Item

# Publishes what an item was and is, with what names its version; the record, None of one that is taken out.
Publish = Callable[[Item | None, Item | None, dict[str, Any]], bytes | None]


def kept_versions(
    stored: Mapping[str, bytes], decode: Callable[[bytes], dict[str, Any]]
) -> dict[str, Version]:
    """The versions whose records are kept, by their ids."""
    found = {}
    for version_id, value in stored.items():
        record = decode(value)
        found[version_id] = Version(version_id, Item.from_record(record), record["ended_at"])
    return found


def publish_versions(
    stored: Mapping[str, bytes], old: Mapping[str, Version], new: Mapping[str, Version], publish: Publish
) -> dict[str, bytes]:
    """Publish those that came, changed or went; the records to keep."""
    kept: dict[str, bytes] = {}
    for version_id in sorted(old.keys() | new.keys()):
        before, after = old.get(version_id), new.get(version_id)
        if before == after:
            kept[version_id] = stored[version_id]
            continue
        ended_at = None if after is None else after.ended_at
        value = publish(
            None if before is None else before.item,
            None if after is None else after.item,
            {"version_id": version_id, "ended_at": ended_at},
        )
        if value is not None:
            kept[version_id] = value
    return kept

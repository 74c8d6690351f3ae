"""What counts no more of entries, from the canonical records, for the bookings of the agents' pure code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agents.billing import Adjustment, BillingReference, DraftLine, Entry, Item, PostedLine, rate_entry
from agents.billing.closes import Facts, Released, Version

Records = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class History:
    """Versions that ended and adjustments that were released."""

    versions: list[Version]
    released: list[Released]

    @classmethod
    def of(cls, records: Records, reference: BillingReference) -> History:
        """Those of the canonical records, rated."""
        versions, released = [], []
        for entity, record in records:
            if entity == "time_entry_version":
                item = rate_entry(Entry.from_version(record), reference).item
                assert item is not None
                kept = Item.from_record(item.fields())
                versions.append(Version(record["id"], kept, record["ended_at"]))
            if entity == "bill_adjustment" and record["released_at"] is not None:
                adjustment = Adjustment.as_decided(record)
                assert adjustment is not None
                [limited] = reference.limits.limited([adjustment])
                released.append(Released(limited, record["released_at"]))
        return cls(versions, released)

    @property
    def roots(self) -> set[str]:
        """Roots that something of it was on."""
        return {version.item.root_id for version in self.versions}

    def by_entry(
        self,
        root: str,
        items: Sequence[Item],
        lines: Sequence[PostedLine],
        adjustments: Sequence[Adjustment],
        drafts: Sequence[DraftLine],
    ) -> Iterator[Facts]:
        """The facts of each entry of a root."""
        charges = {line.id: line.entry_id for line in lines if line.kind == "charge"}
        of_line = {line.id: charges.get(line.credits_line_id or "", line.entry_id) for line in lines}
        here = [version for version in self.versions if version.item.root_id == root]
        entries = {item.entry_id: item for item in items}
        names = entries.keys() | set(of_line.values()) | {draft.entry_id for draft in drafts}
        names |= {version.item.entry_id for version in here}
        for entry_id in sorted(names):
            yield Facts(
                entry_id,
                entries.get(entry_id),
                [line for line in lines if of_line[line.id] == entry_id],
                [one for one in adjustments if one.entry_id == entry_id],
                [draft for draft in drafts if draft.entry_id == entry_id],
                [version for version in here if version.item.entry_id == entry_id],
                [
                    one
                    for one in self.released
                    if (one.adjustment.root_id, one.adjustment.entry_id) == (root, entry_id)
                ],
            )

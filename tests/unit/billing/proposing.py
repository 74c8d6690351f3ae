"""Invoice proposals as both judges say them, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import oracle

from agents.billing import LiveSegment
from agents.posting import Group, InvoicingView, Part, part_of
from agents.posting.proposals import KINDS

ProposalKey = tuple[str, str, str, str]  # root, month, payer, currency


class Shown(NamedTuple):
    """A proposal: lines, seconds and money of each kind."""

    state: str
    po_number: str | None
    tax_region: str | None
    unbilled: tuple[int, int, Decimal]
    draft: tuple[int, int, Decimal]
    credit: tuple[int, int, Decimal]
    billed: tuple[int, int, Decimal]
    stale: tuple[str, ...]


@dataclass
class Proposing:
    """The agents' proposals, kept up to date with the segments; ``published`` counts each one's revisions."""

    _parts: dict[tuple[str, str, str], Part] = field(default_factory=dict)
    _groups: dict[ProposalKey, Group] = field(default_factory=dict)

    def update(
        self, live: Mapping[str, Mapping[tuple[str, str], LiveSegment]], view: InvoicingView
    ) -> dict[ProposalKey, Shown]:
        """Take in what has changed of all segments; stored and read back, as the stage does."""
        touched = set()
        for root, states in live.items():
            for (entry, name), state in states.items():
                record = None if state.segment is None else state.segment.fields() | {"deleted": False}
                now = None if record is None else part_of(record)
                before = self._parts.pop((root, entry, name), None)
                if now is not None:
                    self._parts[root, entry, name] = Part.from_bytes(now.to_bytes())
                for part, sign in ((before, -1), (now, 1)):
                    if part is not None:
                        at = (root, part.month, part.payer_id, part.currency)
                        self._groups.setdefault(at, Group()).add(part, sign)
                        touched.add(at)
        for at, group in list(self._groups.items()):
            if at in touched:
                self._publish(at, group, view)
        return {at: _shown(group) for at, group in self._groups.items() if _is_there(group)}

    def _publish(self, at: ProposalKey, group: Group, view: InvoicingView) -> None:
        stale = sorted(
            part.stale
            for (root, _, _), part in self._parts.items()
            if part.stale and (root, part.month, part.payer_id, part.currency) == at
        )
        revision, published = group.revision, group.published
        made = group.proposal(view.po_numbers.get(at[0]), view.tax_regions.get(at[2]), tuple(stale))
        is_new = group.publish(made)
        assert is_new == (group.revision == revision + 1) == (group.published != published)
        self._groups[at] = Group.from_bytes(group.to_bytes())
        assert self._groups[at] == group


def _is_there(group: Group) -> bool:
    return group.published is not None and group.published.state != "withdrawn"


def _shown(group: Group) -> Shown:
    assert group.published is not None
    said = group.published.fields()
    sums = [(said[f"{kind}_lines"], said[f"{kind}_seconds"], said[f"{kind}_amount"]) for kind in KINDS]
    assert said["stale_drafts"] == len(said["stale_draft_ids"])
    return Shown(said["state"], said["po_number"], said["tax_region"], *sums, tuple(said["stale_draft_ids"]))


def of_the_oracle(expected: oracle.Expected) -> dict[ProposalKey, Shown]:
    """The oracle's proposals."""
    found = {}
    for key, said in expected.proposals.items():
        sums: list[Any] = [tuple(one) for one in (said.unbilled, said.on_draft, said.credit, said.billed)]
        found[key.root, key.month, key.payer, key.currency] = Shown(
            said.state, said.po_number, said.tax_region, *sums, said.stale_draft_ids
        )
    return found

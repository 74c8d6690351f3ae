"""Invoice proposals as both judges say them, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import oracle

from agents.billing import LiveSegment
from agents.posting import Divided, Group, InvoicingView, Part, divide, part_of
from agents.posting.proposals import KINDS
from agents.posting.undivided import Undivided

ProposalKey = tuple[str, str, str, str]  # root, month, payer, currency
NotDivided = tuple[int, Decimal, tuple[str, ...]]  # seconds, money, what is wrong


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

    _entries: dict[tuple[str, str], Divided] = field(default_factory=dict)
    _groups: dict[ProposalKey, Group] = field(default_factory=dict)
    _undivided: dict[tuple[str, str], Undivided] = field(default_factory=dict)

    def update(
        self, live: Mapping[str, Mapping[tuple[str, str], LiveSegment]], view: InvoicingView
    ) -> dict[ProposalKey, Shown]:
        """Take in what has changed of all segments; stored and read back, as the stage does."""
        touched = set()
        parts: dict[tuple[str, str], dict[str, Part]] = {}
        for root, states in live.items():
            for (entry, name), state in states.items():
                of_entry = parts.setdefault((root, entry), {})
                record = None if state.segment is None else state.segment.fields() | {"deleted": False}
                now = None if record is None else part_of(record)
                if now is not None:
                    of_entry[name] = Part.from_bytes(now.to_bytes())
        for (root, entry), of_entry in parts.items():
            before, after = self._entries.get((root, entry), Divided()), Divided(tuple(of_entry.values()))
            if view.splits.has(root):
                after = divide(of_entry, partial(view.splits.on, root))
            self._entries[root, entry] = after
            for some, sign in ((before.parts, -1), (after.parts, 1)):
                for part in some:
                    at = (root, part.month, part.payer_id, part.currency)
                    self._groups.setdefault(at, Group()).add(part, sign)
                    touched.add(at)
            for some, sign in ((before.undivided, -1), (after.undivided, 1)):
                for part in some:
                    self._undivided.setdefault((root, part.currency), Undivided()).add(part, sign)
        for at, group in list(self._groups.items()):
            if at in touched:
                self._publish(at, group, view)
        return {at: _shown(group) for at, group in self._groups.items() if _is_there(group)}

    def undivided(self, view: InvoicingView) -> dict[tuple[str, str], NotDivided]:
        """What can't be divided, as it is reported; stored and read back."""
        for (root, currency), one in self._undivided.items():
            one.report(root, currency, view.splits.wrong(root))
            assert one.report(root, currency, view.splits.wrong(root)) is None
            assert Undivided.from_bytes(one.to_bytes()) == one
        return {
            at: (one.said.seconds, Decimal(one.said.amount), one.said.wrong)
            for at, one in self._undivided.items()
            if one.said is not None
        }

    def _publish(self, at: ProposalKey, group: Group, view: InvoicingView) -> None:
        stale = sorted(
            part.stale
            for (root, _), added in self._entries.items()
            for part in added.parts
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


def undivided_of_the_oracle(expected: oracle.Expected) -> dict[tuple[str, str], NotDivided]:
    """What the oracle can't divide."""
    return {at: (said.seconds, said.amount, said.wrong) for at, said in expected.undivided.items()}

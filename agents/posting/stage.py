"""The stage of invoice proposals: the current segments in, ``billing.invoice_event`` out, keyed by contract.

State, with keys of parts that are separated by ``\\0``; of contracts with several payers, see `dividing`, too:

``c <root> <entry> <segment>``                  what the segment adds, and to which proposal; none if to none
``g <root> <month> <currency> <payer>``         sums and the last published content of a proposal
``p <payer> <root> <month> <currency>``         that there is one, to find a payer's
``s <root> <month> <currency> <payer> <line> <entry>``  a stale draft of it
``u <root> <currency>``                         what can't be divided among the payers
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from agents.posting.dividing import DividedEntries
from agents.posting.dividing import state_key as _key
from agents.posting.payers import Divided
from agents.posting.proposals import Group, Part, part_of
from agents.posting.reference import ENGAGEMENT, PAYER_SPLIT, InvoicingView
from agents.posting.reference import Touch as InvoicingTouch
from agents.posting.undivided import Undivided
from agents.rejects import RAISED, Rejects
from streams.errors import RecordError
from streams.lanes.records import InputRecord, decoded
from streams.lanes.stage import Cause, SliceContext, Touch, in_order
from streams.lanes.state import Overlay
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

FLOW: Final = "posting"
INPUTS: Final = ("billing.current",)
RULES: Final = "proposals/2"
# So many stale drafts are named in a proposal: a record stays small, whoever makes thousands of lines stale.
MOST_NAMED: Final = 100
# What names an entry to evaluate again begins so; no root does, and these come first.
_ENTRY_KEY: Final = b"\0"
_TIMES: Final = ("occurred_at", "captured_at", "published_at", "snapshot")

GroupKey = tuple[str, str, str, str]  # root, month, currency, payer
Times = dict[str, Any]


class ProposalStage:
    """Keeps the invoice proposals of one partition's contracts."""

    inputs: Sequence[str] = INPUTS
    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference: InvoicingView = environment.view
        self._decode = environment.decoder.decode
        self._proposals = environment.publisher("billing.invoice_event")
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._divided = DividedEntries(self._reference.splits)
        # Of the slice: proposals that may have changed, with the times of the last change; and what is not divided.
        self._dirty: dict[GroupKey, Times] = {}
        self._groups: dict[GroupKey, Group] = {}
        self._undivided: dict[tuple[str, str], tuple[Undivided, Times]] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Proposals are read when they are touched."""
        self._divided.open(state)

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Take in a segment as it is now."""
        if record.value is None:
            return
        row = decoded(record, self._decode, record.value)
        state, root_id, entry_id = context.state, row["root_id"], row["entry_id"]
        key = _key("c", root_id, entry_id, row["segment"])
        stored, now = state.get(key), part_of(row)
        before = None if stored is None else Part.from_bytes(stored)
        if before == now:
            return
        times = {name: row[name] for name in (*_TIMES, "rated_at")}
        by_payer = self._divided.concern(root_id)
        added = self._divided.added(root_id, entry_id, state) if by_payer else Divided()
        if now is not None:
            state.put(key, now.to_bytes())
        else:
            state.delete(key)
        if by_payer:
            self._move(root_id, entry_id, added, times, state)
            return
        for part, sign in ((before, -1), (now, 1)):
            if part is not None:
                self._add(root_id, entry_id, part, sign, times, state)

    def _move(self, root_id: str, entry_id: str, before: Divided, times: Times, state: Overlay) -> None:
        """Divide an entry anew; ``before`` is what it has added so far."""
        now = self._divided.divide(root_id, entry_id, state)
        gone, come = Counter(before.parts), Counter(now.parts)
        for parts, sign in ((gone - come, -1), (come - gone, 1)):
            for part in parts.elements():
                self._add(root_id, entry_id, part, sign, times, state)
        for undivided, sign in ((before.undivided, -1), (now.undivided, 1)):
            for part in undivided:
                self._not_divided(root_id, part.currency, times, state).add(part, sign)

    def _not_divided(self, root_id: str, currency: str, times: Times, state: Overlay) -> Undivided:
        """One object per slice."""
        known = self._undivided.get((root_id, currency))
        if known is None:
            stored = state.get(_key("u", root_id, currency))
            found = Undivided() if stored is None else Undivided.from_bytes(stored)
        else:
            found = known[0]
        self._undivided[root_id, currency] = (found, times)
        return found

    def _add(self, root_id: str, entry_id: str, part: Part, sign: int, times: Times, state: Overlay) -> None:
        at = (root_id, part.month, part.currency, part.payer_id)
        self._group(at, state).add(part, sign)
        self._dirty[at] = times
        if part.stale is not None:
            key = _key("s", *at, part.stale, entry_id)
            if sign > 0:
                state.put(key, b"")
            else:
                state.delete(key)

    def _group(self, at: GroupKey, state: Overlay) -> Group:
        """One object per slice."""
        group = self._groups.get(at)
        if group is None:
            stored = state.get(_key("g", *at))
            group = self._groups[at] = Group() if stored is None else Group.from_bytes(stored)
        return group

    def finish(self, context: SliceContext) -> None:
        """Publish the proposals that came to be other ones in the slice, and report what is not divided."""
        for at, times in self._dirty.items():
            self._settle(at, times, context)
        for (root_id, currency), (undivided, times) in self._undivided.items():
            self._report(root_id, currency, undivided, times, context)
        self._dirty.clear()
        self._groups.clear()
        self._undivided.clear()

    def _settle(self, at: GroupKey, times: Times, context: SliceContext) -> None:
        group, state = self._group(at, context.state), context.state
        root_id, month, currency, payer_id = at
        prefix = _key("s", *at, "")
        stale = islice(state.scan(prefix), MOST_NAMED)
        named = tuple(key[len(prefix) :].split(b"\0")[0].decode() for key, _ in stale)
        is_new = group.revision == 0
        changed = group.publish(
            group.proposal(
                self._reference.po_numbers.get(root_id), self._reference.tax_regions.get(payer_id), named
            )
        )
        if changed and group.published is not None:
            self._proposals.emit(
                context,
                {
                    "root_id": root_id,
                    "month": month,
                    "payer_id": payer_id,
                    "currency": currency,
                    "revision": group.revision,
                    "event_id": f"{root_id}:{month}:{payer_id}:{currency}:{group.revision}",
                    **group.published.fields(),
                    "rule_version": self.rules,
                    "proposed_at": context.now,
                    **{name: times[name] for name in _TIMES},
                },
            )
            context.count("proposals")
            if is_new:
                state.put(_key("p", payer_id, root_id, month, currency), b"")
        state.put(_key("g", *at), group.to_bytes())

    def _report(
        self, root_id: str, currency: str, undivided: Undivided, times: Times, context: SliceContext
    ) -> None:
        report = undivided.report(root_id, currency, self._reference.splits.wrong(root_id))
        if report is not None:
            self._raised.emit(context, {**report, "flow": FLOW, **times})
            context.count("undivided")
        context.state.put(_key("u", root_id, currency), undivided.to_bytes())

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """The proposals of engagements and payers, and the entries that are divided otherwise."""
        found: set[bytes] = set()
        for touch in touches:
            assert isinstance(touch, InvoicingTouch)
            if touch.entity == PAYER_SPLIT:
                found.update(self._entries({touch.id} if touch.id else None, state))
                continue
            of_engagement = touch.entity == ENGAGEMENT
            for key, _ in state.scan(_key("g" if of_engagement else "p", touch.id, "")):
                parts = key.split(b"\0")[1:]
                found.add(b"\0".join(parts if of_engagement else [*parts[1:], parts[0]]))
        return in_order(found, after)

    def _entries(self, root_ids: Iterable[str] | None, state: Overlay) -> Iterator[bytes]:
        """The keys of the entries of contracts, or of all that have payers or had."""
        for root_id in self._divided.roots | self._reference.splits.roots if root_ids is None else root_ids:
            for entry_id in self._divided.entries(root_id, state):
                yield _ENTRY_KEY + _key(root_id, entry_id)

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All entries that are divided, then all proposals."""
        yield from in_order(self._entries(None, state), after)
        for key, _ in state.scan(_key("g", ""), _key("g", "") + after):
            group = key.split(b"\0", 1)[1]
            if group > after:
                yield group

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Say of entries and proposals what the references say now."""
        times = {
            "occurred_at": cause.occurred_at,
            "captured_at": cause.captured_at,
            "published_at": cause.published_at,
            "snapshot": True,
            "rated_at": cause.published_at,
        }
        for key in keys:
            if key.startswith(_ENTRY_KEY):
                root_id, entry_id = key.removeprefix(_ENTRY_KEY).decode().split("\0")
                added = self._divided.added(root_id, entry_id, context.state)
                self._move(root_id, entry_id, added, times, context.state)
                continue
            root_id, month, currency, payer_id = key.decode().split("\0")
            self._dirty.setdefault((root_id, month, currency, payer_id), times)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""


# Nobody waits for a proposal by the second, and every gathering costs a transaction.
GATHER_SECONDS: Final = 2.0  # float: a wait

POSTING = FlowDefinition(
    FLOW,
    (StageDefinition("posting-proposals", INPUTS, ProposalStage, "root"),),
    InvoicingView,
    gather_seconds=GATHER_SECONDS,
)

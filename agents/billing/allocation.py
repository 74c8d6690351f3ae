"""Allocation: from a root's items, posted lines and write-offs to its segments.

The result is a function of the present facts alone, never of the order in which they came. Posted lines are
taken out first; discounts and write-offs reduce what remains; the rest is covered, unbilled, on hold or over
a cap. Drafts then name parts of what is unbilled. For each entry, the seconds of its segments sum to its
approved seconds (0 once it is withdrawn).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from agents.billing.adjustments import WRITE_OFF_KIND, Adjustment, discounts, hold, of_kind
from agents.billing.authority import asked_seconds, refusal, standing, worth
from agents.billing.caps import Limits, Part
from agents.billing.daylines import DAY_VERSION, DayLine, day_lines
from agents.billing.drafts import DraftLine, put_on_draft
from agents.billing.items import EXPENSE, MILESTONE_ITEM, PARKED, PRICED, Item, order_key
from agents.billing.posted import (
    NetLine,
    PostedLine,
    billed_segment,
    credit_due_segment,
    net_lines,
)
from agents.billing.repricing import repriced
from agents.billing.rounding import share
from agents.billing.segments import (
    BASE,
    REFUSED,
    ROUNDING,
    ROUNDING_SEGMENT,
    UNBILLED,
    WRITTEN_OFF,
    Key,
    Segment,
    item_segment,
)
from agents.billing.terms import Terms
from streams.money import ZERO, round_money

Segments = dict[Key, Segment]


def allocate(
    items: Iterable[Item],
    posted_lines: Iterable[PostedLine],
    adjustments: Iterable[Adjustment],
    terms: Terms,
    drafts: Iterable[DraftLine] = (),
) -> Segments:
    """All segments of a root. ``items`` are unique by entry, lines, adjustments and drafts by id; any order."""
    nets = net_lines(posted_lines)
    independent = terms.is_independent
    ordered = list(items) if independent else sorted(items, key=order_key)
    by_entry = {item.entry_id: item for item in ordered}
    days = [] if independent else day_lines(ordered, terms)
    live = _place_posted(nets, by_entry, {day.entry_id for day in days}, terms)
    decided: dict[str, list[Adjustment]] = {}
    for adjustment in adjustments:
        decided.setdefault(adjustment.entry_id, []).append(adjustment)
    segments = live.segments
    scopes = {item.entry_id: item.cap_scope for item in ordered if item.item_kind == EXPENSE}
    limits = None if independent else Limits(terms, nets, scopes)
    for item in ordered:
        entry_id = item.entry_id
        own = decided.get(entry_id, ())
        rest = _place_item(item, live.of(entry_id), own, segments, terms)
        if rest is not None:
            parts = [Part(BASE, UNBILLED, *rest)] if limits is None else limits.place(item, *rest)
            put_parts(item, parts, own, segments, terms)
    for day in days:
        _place_day(day, live.of(day.entry_id), segments)
    on_draft: dict[str, list[DraftLine]] = {}
    for draft in drafts:
        on_draft.setdefault(draft.entry_id, []).append(draft)
    for entry_id, those in on_draft.items():
        put_on_draft(segments, by_entry.get(entry_id), those, terms)
    return segments


def allocate_item(
    entry_id: str,
    item: Item | None,
    posted_lines: Iterable[PostedLine],
    adjustments: Iterable[Adjustment],
    terms: Terms,
    drafts: Iterable[DraftLine] = (),
) -> Segments:
    """The segments of one entry of a root whose `Terms.is_independent`: what `allocate` gives for it.

    ``item`` is None once the entry left the root. ``posted_lines`` are the charge lines of the entry with
    all credits that name one of them, whatever entry the credits themselves carry.
    """
    own = list(adjustments)
    segments, rest = allocate_alone(entry_id, item, net_lines(posted_lines), own, terms)
    if item is not None and rest is not None:
        put_parts(item, [Part(BASE, UNBILLED, *rest)], own, segments, terms)
    put_on_draft(segments, item, drafts, terms)
    return segments


def allocate_alone(
    entry_id: str,
    item: Item | None,
    nets: Sequence[NetLine],
    adjustments: Sequence[Adjustment],
    terms: Terms,
) -> tuple[Segments, tuple[int, Decimal] | None]:
    """The segments of an entry that depend on nothing else, and the remainder that limits are for, if any.

    ``nets`` are the posted lines of the entry.
    """
    live = _place_posted(nets, {} if item is None else {entry_id: item}, set(), terms)
    if item is None:
        return live.segments, None
    return live.segments, _place_item(item, live.of(entry_id), adjustments, live.segments, terms)


def allocate_day(entry_id: str, day: DayLine | None, nets: Sequence[NetLine], terms: Terms) -> Segments:
    """The segments of a day line; ``nets`` are the posted lines of it, ``day`` is None where there is no amount."""
    live = _place_posted(nets, {}, set() if day is None else {entry_id}, terms)
    if day is not None:
        _place_day(day, live.of(entry_id), live.segments)
    return live.segments


def put_parts(
    item: Item, parts: Iterable[Part], adjustments: Sequence[Adjustment], segments: Segments, terms: Terms
) -> None:
    """Add the segments of the parts that an item's remainder went to, less what is on hold; an empty part is none."""
    if adjustments:
        rounding = terms.rounding_of(item.contract_line_id)
        parts = hold(parts, standing(item, adjustments, rounding), item.currency or "", rounding)
    for part in parts:
        if part.seconds or part.amount:
            _put(segments, item_segment(item, part.segment, part.bucket, part.seconds, part.amount))


class _Posted:
    """Segments of posted lines, and the lines that count for an item: those that aren't stale."""

    __slots__ = ("_by_entry", "segments")

    def __init__(self) -> None:
        self.segments: Segments = {}
        self._by_entry: dict[str, list[NetLine]] = {}

    def add(self, net: NetLine) -> None:
        self._by_entry.setdefault(net.line.entry_id, []).append(net)

    def of(self, entry_id: str) -> Sequence[NetLine]:
        return self._by_entry.get(entry_id, ())


def _place_posted(
    nets: Iterable[NetLine], items: dict[str, Item], day_ids: set[str], terms: Terms
) -> _Posted:
    """A billed segment for each posted line, and a credit due where what was billed is no longer so.

    A line is stale unless its entry is on this root in the version that was billed.
    """
    posted = _Posted()
    for net in nets:
        entry_id = net.line.entry_id
        item = items.get(entry_id)
        _put(posted.segments, billed_segment(net, item, terms))
        version = DAY_VERSION if entry_id in day_ids else None if item is None else item.version
        if net.line.entry_version == version:
            posted.add(net)
        else:
            _put(posted.segments, credit_due_segment(net, item, terms))
    return posted


def _place_item(
    item: Item,
    nets: Sequence[NetLine],
    adjustments: Sequence[Adjustment],
    segments: Segments,
    terms: Terms,
) -> tuple[int, Decimal] | None:
    """Put what is no matter of limits; returns the remainder that is, None if nothing can be."""
    disposition = item.disposition
    if disposition != PRICED:
        seconds = item.seconds
        for net in nets:
            seconds -= net.seconds
        parked = disposition == PARKED
        # A parked milestone has no seconds and no known amount, an expense never has seconds: they must show all the same.
        if seconds or item.item_kind == EXPENSE or (parked and item.item_kind == MILESTONE_ITEM):
            _put(segments, item_segment(item, BASE, disposition, seconds, None if parked else ZERO))
        return None
    assert item.amount is not None
    taken: list[tuple[Adjustment, Decimal]] = []
    rounding = terms.rounding_of(item.contract_line_id)
    if adjustments and item.item_kind != MILESTONE_ITEM:
        _put_refused(item, adjustments, segments, rounding)
        adjustments = standing(item, adjustments, rounding)
        taken = discounts(item.amount, adjustments, item.currency or "", rounding)
        for adjustment, off in taken:
            _put(segments, item_segment(item, adjustment.segment, WRITTEN_OFF, 0, off))
    seconds, amount = _remainder(item, taken, nets, rounding)
    if item.item_kind == MILESTONE_ITEM:
        if seconds or amount:
            _put(segments, item_segment(item, BASE, UNBILLED, seconds, amount))
        return None
    if item.quantity_seconds != item.seconds:
        rest = item.seconds - item.quantity_seconds
        _put(segments, item_segment(item, ROUNDING_SEGMENT, ROUNDING, rest, item.rounding_amount))
    if adjustments:
        seconds, amount = _write_off(item, adjustments, seconds, amount, segments, rounding)
    return seconds, amount


def _put_refused(item: Item, adjustments: Sequence[Adjustment], segments: Segments, rounding: str) -> None:
    """Segments of nothing for the adjustments that have no effect: what they lack shows, and what they ask for."""
    for adjustment in adjustments:
        why = refusal(adjustment, item, rounding)
        if why is not None:
            shown = item_segment(item, adjustment.segment, REFUSED, 0, ZERO)._replace(
                exception_class=why.exception_class,
                missing_keys=why.missing_keys,
                draft_seconds=asked_seconds(adjustment, item),
                draft_amount=worth(adjustment, item, rounding),
            )
            _put(segments, shown)


def _remainder(
    item: Item, taken: Sequence[tuple[Adjustment, Decimal]], nets: Sequence[NetLine], rounding: str
) -> tuple[int, Decimal]:
    """Seconds and money of a priced item that are neither posted nor ``taken`` by discounts.

    Money is by subtraction, unless the rate changed after the posting: see `agents.billing.repricing`.
    """
    gross, quantity = item.amount, item.quantity_seconds
    assert gross is not None
    worth = gross
    for _, off in taken:
        worth -= off
    if not nets:
        return quantity, worth
    anew = repriced(item, taken, nets, rounding)
    if anew is not None:
        return anew.seconds, anew.amount
    seconds, amount = quantity, worth
    for net in nets:
        seconds -= net.seconds
        amount -= net.amount
    return seconds, amount


def _write_off(
    item: Item,
    adjustments: Sequence[Adjustment],
    seconds: int,
    amount: Decimal,
    segments: Segments,
    rounding: str,
) -> tuple[int, Decimal]:
    """Take the write-offs, by id, out of the remainder; each takes at most what is left of it.

    Example: 8 h/1,200 with a write-off of 2 h: 2 h/300 written off, 6 h/900 remain. Money that goes back to the
    client is not written off: of 2 h/-100 the 2 h are, and -100 remain. Of an expense money is written off, as much as
    the decision says: of 220.00, 50.00, and 170.00 remain.
    """
    if item.item_kind == EXPENSE:
        for adjustment in of_kind(WRITE_OFF_KIND, adjustments):
            off_amount = min(round_money(adjustment.amount, item.currency or ""), max(amount, ZERO))
            if off_amount:
                _put(segments, item_segment(item, adjustment.segment, WRITTEN_OFF, 0, off_amount))
            amount -= off_amount
        return seconds, amount
    for adjustment in of_kind(WRITE_OFF_KIND, adjustments):
        off_seconds = min(adjustment.seconds or 0, seconds)
        if off_seconds <= 0:
            continue
        off_amount = max(amount, ZERO)
        if off_seconds != seconds:
            off_amount = share(off_amount, off_seconds, seconds, item.currency or "", rounding)
        _put(segments, item_segment(item, adjustment.segment, WRITTEN_OFF, off_seconds, off_amount))
        seconds -= off_seconds
        amount -= off_amount
    return seconds, amount


def _place_day(day: DayLine, nets: Sequence[NetLine], segments: Segments) -> None:
    seconds = sum(net.seconds for net in nets)
    amount = sum((net.amount for net in nets), ZERO)
    segment = day.to_segment(seconds, amount)
    if segment is not None:
        _put(segments, segment)


def _put(segments: Segments, segment: Segment) -> None:
    segments[segment.entry_id, segment.segment] = segment

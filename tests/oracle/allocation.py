"""Where the time and money of a root go: one engagement's items, split into segments.

Posted ERP lines are frozen: they are *billed*, whatever happens to their entry. What an item has
left is discounted or written off where that was decided, covered by what was prepaid, then runs through
the caps; what then is to be billed may be on hold, or on a draft of the ERP's.
Seconds are conserved: the segments of an entry add up to its approved seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date
from decimal import Decimal
from typing import Final

from .authority import refused
from .caps import Allowance, share, split
from .daylines import day_items
from .decisions import LONG_AGO, Part, Posted, changed_since, currency_of, discounts, hold, remaining
from .drafts import is_draft, take
from .exact import ZERO, round_money
from .incidents import CapState, Incident, credits_due, of_caps
from .included import Pool, draw
from .payers import payers_of
from .rating import Item
from .rows import BillAdjustment, InvoiceLine, Rows
from .segments import Draft, Segment, Work

PREPAID_METHODS: Final = ("retainer", "prepaid")
OVER_CAP_BUCKET: Final = {"hold": "over_cap", "write_off": "written_off", "bill": "unbilled"}
# The one segment of a priced item that is no entry, by (kind, whether it is a per diem).
_SEGMENT_OF: Final = {
    ("milestone", False): "base",
    ("day", False): "uplift",
    ("day", True): "per-diem",
}


def allocate(
    root: str,
    rated: Iterable[Item],
    invoice_lines: Iterable[InvoiceLine],
    adjustments: Iterable[BillAdjustment],
    rows: Rows,
    dated: Callable[[list[Segment]], list[Segment]] | None = None,
) -> list[Segment]:
    """All segments of one root, given its items, its invoice lines and its adjustments.

    ``dated`` may give them other accounting dates before drafts take of them.
    """
    return _Root(root, rated, invoice_lines, adjustments, rows).segments(dated)


def allocate_and_note(
    root: str,
    rated: Iterable[Item],
    invoice_lines: Iterable[InvoiceLine],
    adjustments: Iterable[BillAdjustment],
    rows: Rows,
) -> tuple[list[Segment], dict[str, Incident]]:
    """The same, with the incidents that must be open of the root, by subject."""
    one = _Root(root, rated, invoice_lines, adjustments, rows)
    segments = one.segments()
    return segments, one.noted | credits_due(segments) | one.of_caps()


def item_order(item: Item) -> tuple[date, int, int, int, str]:
    """Work date, then time before ERP before others, then native id: numbers by value, then texts."""
    system, _, native = item.entry_id.partition(":")
    rank = {"time": 0, "erp": 1}.get(system, 2)
    if native.isascii() and native.isdigit():
        return (item.work_date, rank, 0, int(native), "")
    return (item.work_date, rank, 1, 0, native)


def net_posted(invoice_lines: Iterable[InvoiceLine]) -> list[tuple[InvoiceLine, int, Decimal]]:
    """Posted charges, each with its seconds and amount less the posted credits that name it.

    A charge that was credited in full, time and money, is left out: nothing of it is billed.
    """
    posted = [line for line in invoice_lines if line.status == "posted"]
    credits_of: dict[str, list[InvoiceLine]] = defaultdict(list)
    for line in posted:
        if line.kind == "credit" and line.credits_line_id is not None:
            credits_of[line.credits_line_id].append(line)
    net = []
    for line in posted:
        if line.kind == "charge":
            seconds = line.seconds - sum(credit.seconds for credit in credits_of[line.id])
            amount = line.amount - sum((credit.amount for credit in credits_of[line.id]), ZERO)
            if seconds != 0 or amount != 0:
                net.append((line, seconds, amount))
    return net


class _Root:
    """One pass over one root; the allowances shrink as items use them, in item order."""

    def __init__(
        self,
        root: str,
        rated: Iterable[Item],
        invoice_lines: Iterable[InvoiceLine],
        adjustments: Iterable[BillAdjustment],
        rows: Rows,
    ) -> None:
        self.root = root
        self.rows = rows
        self.engagement = rows.engagements.get(root)
        self.rated = sorted(rated, key=item_order)
        self.items = self.rated + day_items(self.rated, rows)
        self.invoice_lines = sorted(invoice_lines, key=lambda line: line.id)
        self.decided: dict[tuple[str, str], list[BillAdjustment]] = defaultdict(list)
        for adjustment in sorted(adjustments, key=lambda a: a.id):
            if adjustment.released_at is None:
                self.decided[adjustment.kind, adjustment.entry_id].append(adjustment)
        # by lines that name the current version of an entry
        self.posted: dict[str, Posted] = {}
        self.line_caps: dict[str, Allowance] = {}
        self.root_cap = Allowance(None, None)
        self.lots: dict[Pool, Allowance] = {}
        self.out: list[Segment] = []
        self.noted: dict[str, Incident] = {}
        # What is posted beyond caps, and what passes them, by contract line and (None) of the engagement.
        self.beyond: dict[str | None, tuple[int, Decimal]] = {}
        self.over: dict[str | None, tuple[int, Decimal]] = defaultdict(lambda: (0, ZERO))

    def segments(self, dated: Callable[[list[Segment]], list[Segment]] | None = None) -> list[Segment]:
        self._bill_posted_lines()
        self._open_caps()
        for item in self.items:
            self._place(item)
        if dated is not None:
            self.out = dated(self.out)
        for line in self.invoice_lines:
            if is_draft(line):
                self._put_on_draft(line)
        return self.out

    def _bill_posted_lines(self) -> None:
        """What was posted, less credits, is billed.

        A charge for a version of an entry that is no longer current, or no longer on this root, is
        stale: what it billed is due back, on a negative unbilled segment beside it.
        """
        version_here = {item.entry_id: item.version for item in self.items}
        for line, seconds, amount in net_posted(self.invoice_lines):
            self._add_posted(line, f"inv:{line.id}", "billed", seconds, amount)
            if version_here.get(line.entry_id) == line.entry_version:
                so_far = self.posted.get(line.entry_id) or Posted(0, ZERO, LONG_AGO)
                last = max(so_far.last, line.posted_at or LONG_AGO)
                self.posted[line.entry_id] = Posted(so_far.seconds + seconds, so_far.money + amount, last)
            else:
                self._add_posted(line, f"due:{line.id}", "unbilled", -seconds, -amount)

    def _add_posted(
        self, line: InvoiceLine, segment: str, bucket: str, seconds: int, amount: Decimal
    ) -> None:
        """Booked on the UTC date of posting, also when it is due back."""
        self.out.append(
            Segment(
                root=self.root,
                entry_id=line.entry_id,
                segment=segment,
                bucket=bucket,
                seconds=seconds,
                amount=amount,
                line_id=line.contract_line_id,
                currency=None if self.engagement is None else self.engagement.currency,
                accounting_date=None if line.posted_at is None else line.posted_at.astimezone(UTC).date(),
                work=self._printed(line),
            )
        )

    def _client(self) -> str | None:
        return None if self.engagement is None else self.engagement.client_id

    def _printed(self, line: InvoiceLine) -> Work:
        """As the line says; of one that says nothing, as the entry is today, if it is on this root."""
        said = Work(line.client_id, line.project_id, line.task_id, line.consultant_id, line.work_date)
        if said == Work():
            today = next((item for item in self.rated if item.entry_id == line.entry_id), None)
            said = Work() if today is None else self._work(today)
        return said._replace(client=said.client or self._client())

    def _work(self, item: Item) -> Work:
        """Of an entry, an expense, a milestone or a line of a day; the latter two are on no project."""
        project = task = None
        if item.kind == "entry":
            entry = self.rows.time_entries[item.entry_id]
            project, task = entry.project_id, entry.task_id
        if item.kind == "expense":
            project = self.rows.expenses[item.entry_id].project_id
        return Work(self._client(), project, task, item.consultant_id, item.work_date)

    def _open_caps(self) -> None:
        """Headroom is the cap less all that is billed, stale lines too; of expenses here, what they count against."""
        scopes = {item.entry_id: item.cap_scope for item in self.items}
        if self.engagement is not None:
            self.root_cap = Allowance(self.engagement.cap_seconds, self.engagement.cap_money)
        for line in self.rows.contract_lines.values():
            if line.engagement_id == self.root:
                self.line_caps[line.id] = Allowance(line.cap_seconds, line.cap_money)
        for segment in self.out:
            if segment.bucket == "billed" and segment.amount is not None:
                scope = scopes.get(segment.entry_id, "line")
                if scope != "none":
                    self.root_cap.use(segment.seconds, segment.amount)
                if scope == "line" and segment.line_id in self.line_caps:
                    self.line_caps[segment.line_id].use(segment.seconds, segment.amount)
        caps: dict[str | None, Allowance] = {None: self.root_cap, **self.line_caps}
        self.beyond = {of: cap.passed() for of, cap in caps.items()}

    def of_caps(self) -> dict[str, Incident]:
        """What is to be said of the caps, by subject."""
        states = []
        for of, beyond in self.beyond.items():
            row = self.engagement if of is None else self.rows.contract_lines[of]
            if row is not None:
                states.append(CapState(of or "engagement", row.over_cap_action, *beyond, *self.over[of]))
        currency = None if self.engagement is None else self.engagement.currency
        return of_caps(self.root, currency, states)

    def _add(self, item: Item, segment: str, bucket: str, seconds: int, amount: Decimal | None) -> None:
        """Add a segment unless it is empty. What has no time by its kind, and no money that is known or to be billed,
        stays all the same: a parked milestone, an expense that is parked or not billed to anybody.
        """
        shows = (item.kind, bucket) in (
            ("milestone", "parked"),
            ("expense", "parked"),
            ("expense", "non_chargeable"),
        )
        if seconds == 0 and not amount and not shows:
            return
        self.out.append(self._segment(item, segment, bucket, seconds, amount))

    def _segment(
        self, item: Item, segment: str, bucket: str, seconds: int, amount: Decimal | None
    ) -> Segment:
        return Segment(
            root=self.root,
            entry_id=item.entry_id,
            segment=segment,
            bucket=bucket,
            seconds=seconds,
            amount=amount,
            line_id=item.line_id,
            currency=item.currency,
            accounting_date=item.accounting_date,
            work=self._work(item),
            how=(*item.how, item.exception_class, item.missing_keys),
        )

    def _place(self, item: Item) -> None:
        """Put everything of the item that is not posted into its buckets."""
        posted = self.posted.get(item.entry_id)
        posted_seconds = 0 if posted is None else posted.seconds
        if item.disposition == "parked":
            self._add(item, "base", "parked", item.seconds - posted_seconds, None)
        elif item.disposition in ("fixed_fee", "non_chargeable"):
            self._add(item, "base", item.disposition, item.seconds - posted_seconds, ZERO)
        elif item.kind not in (
            "entry",
            "expense",
        ):  # milestones and lines of a day bypass write-offs, lots and caps
            seconds, money = remaining(item, posted)
            self._add(item, _SEGMENT_OF[item.kind, item.method == "per_diem"], "unbilled", seconds, money)
        else:
            self._refuse(item)
            self._add(item, "rounding", "rounding", item.seconds - item.quantity, item.rounding_amount)
            taken = self._discount(item)
            self._note_price(item, posted, taken)
            seconds, money = remaining(item, posted, taken)
            seconds, money = self._write_off(item, seconds, money)
            seconds, money = self._cover(item, seconds, money)
            self._cap(item, seconds, money)

    def _refuse(self, item: Item) -> None:
        """Set aside the decisions that their approvers might not make."""
        for kind in ("write_off", "discount", "hold"):
            standing = []
            for adjustment in self.decided[kind, item.entry_id]:
                reason = refused(adjustment, item, self.rows)
                if reason is None:
                    standing.append(adjustment)
                else:
                    segment = self._segment(item, f"adj:{adjustment.id}", "refused", 0, ZERO)
                    self.out.append(segment._replace(refused=reason))
            self.decided[kind, item.entry_id] = standing

    def _discount(self, item: Item) -> list[tuple[BillAdjustment, Decimal]]:
        """Take decided discounts from what the entry is worth."""
        assert item.amount is not None
        taken = discounts(
            item.amount, self.decided["discount", item.entry_id], currency_of(item), item.rounding
        )
        for adjustment, money in taken:
            self._add(item, f"adj:{adjustment.id}", "written_off", 0, money)
        return taken

    def _note_price(
        self, item: Item, posted: Posted | None, taken: list[tuple[BillAdjustment, Decimal]]
    ) -> None:
        """That what is posted has another price than now, and the difference: in what is left to be billed."""
        if posted is None or not changed_since(item, posted, taken):
            return
        at_this_price = remaining(replace(item, applies_to_invoiced=True), posted, taken)[1]
        difference = at_this_price - remaining(item, posted, taken)[1]
        self.noted[f"{self.root}:{item.entry_id}:price"] = Incident(
            "RATE_CHANGED_AFTER_POSTING", posted.seconds, difference, item.currency
        )

    def _write_off(self, item: Item, seconds: int, money: Decimal) -> tuple[int, Decimal]:
        """Take decided write-offs from the remainder, in order of their ids, as far as time is left.

        Of an expense they are of money, as far as there is some.
        """
        if item.kind == "expense":
            for adjustment in self.decided["write_off", item.entry_id]:
                off = min(
                    round_money(adjustment.amount or ZERO, currency_of(item), item.rounding), max(money, ZERO)
                )
                self._add(item, f"adj:{adjustment.id}", "written_off", 0, off)
                money -= off
            return seconds, money
        for adjustment in self.decided["write_off", item.entry_id]:
            if seconds <= 0:
                break
            off_seconds = min(adjustment.seconds or 0, seconds)
            off_money = share(max(money, ZERO), off_seconds, seconds, currency_of(item), item.rounding)
            self._add(item, f"adj:{adjustment.id}", "written_off", off_seconds, off_money)
            seconds, money = seconds - off_seconds, money - off_money
        return seconds, money

    def _cover(self, item: Item, seconds: int, money: Decimal) -> tuple[int, Decimal]:
        """Cover hours from what the line includes on that day; return the excess.

        A lot is of hours: a remainder without hours (a price difference) is not covered, nor is what goes back
        to the client.
        """
        if item.method not in PREPAID_METHODS or seconds <= 0 or money < 0:
            return seconds, money
        for segment, covered_seconds in draw(item, seconds, self.rows, self.lots):
            if covered_seconds:
                covered_money = share(money, covered_seconds, seconds, currency_of(item), item.rounding)
                self._add(item, segment, "covered", covered_seconds, covered_money)
                seconds, money = seconds - covered_seconds, money - covered_money
        return seconds, money

    def _cap(self, item: Item, seconds: int, money: Decimal) -> None:
        """The line's cap first; what passes it uses the engagement's. Over a cap, its action decides.

        An expense passes the caps that it does not count against. It has no hours: a cap of hours never binds it.
        """
        line = self.rows.contract_lines[str(item.line_id)]
        engagement = self.rows.engagements[self.root]
        currency = currency_of(item)
        nothing = Allowance(None, None)
        line_cap = self.line_caps[line.id] if item.cap_scope == "line" else nothing
        root_cap = self.root_cap if item.cap_scope != "none" else nothing
        at_line = split(seconds, money, line_cap, currency, item.rounding)
        at_root = split(at_line.seconds, at_line.money, root_cap, currency, item.rounding)
        if money >= 0:  # what is given back releases no headroom: only a posted credit does
            line_cap.use(at_line.seconds, at_line.money)
            root_cap.use(at_root.seconds, at_root.money)
        for of, (over_seconds, over_money) in (
            (line.id, (at_line.over_seconds, at_line.over_money)),
            (None, (at_root.over_seconds, at_root.over_money)),
        ):
            self.over[of] = (self.over[of][0] + over_seconds, self.over[of][1] + over_money)
        over_line, over_root = (
            OVER_CAP_BUCKET[line.over_cap_action],
            OVER_CAP_BUCKET[engagement.over_cap_action],
        )
        parts = [
            Part("base", "unbilled", at_root.seconds, at_root.money),
            Part("over-line", over_line, at_line.over_seconds, at_line.over_money),
            Part("over-engagement", over_root, at_root.over_seconds, at_root.over_money),
        ]
        for adjustment in self.decided["hold", item.entry_id]:
            parts, held_seconds, held_money = hold(parts, adjustment.seconds, currency, item.rounding)
            self._add(item, f"adj:{adjustment.id}", "on_hold", held_seconds, held_money)
        for part in parts:
            self._add(item, part.segment, part.bucket, part.seconds, part.money)

    def _put_on_draft(self, line: InvoiceLine) -> None:
        """What the line takes of what its entry has to be billed; nothing of another version's."""
        item = next((item for item in self.items if item.entry_id == line.entry_id), None)
        like, seconds, money = None, 0, ZERO
        is_payers = line.client_id in payers_of(self.root, self.rows)
        if item is not None and item.version == line.entry_version:
            like, seconds, money, self.out = take(line, self.out, item.rounding, is_payers)
        if like is None:
            like = self._nothing_on_draft(line)
        if is_payers:
            like = like._replace(work=like.work._replace(client=line.client_id))
        is_as_it_says = (seconds, money, like.line_id) == (line.seconds, line.amount, line.contract_line_id)
        other_client = line.client_id is not None and like.work.client != line.client_id
        draft = Draft(line.seconds, line.amount, other_client or not is_as_it_says)
        self.out.append(
            like._replace(
                segment=f"draft:{line.id}", bucket="on_draft", seconds=seconds, amount=money, draft=draft
            )
        )

    def _nothing_on_draft(self, line: InvoiceLine) -> Segment:
        """Of a line that takes nothing: as it says itself, on the accounting date of its entry, if that is here."""
        today = next((item for item in self.rated if item.entry_id == line.entry_id), None)
        return Segment(
            root=self.root,
            entry_id=line.entry_id,
            segment="",
            bucket="",
            seconds=0,
            amount=ZERO,
            line_id=line.contract_line_id,
            currency=None if self.engagement is None else self.engagement.currency,
            accounting_date=line.work_date if today is None else today.accounting_date,
            work=self._printed(line),
        )


def invoice_lines_by_root(rows: Rows) -> dict[str, list[InvoiceLine]]:
    """Invoice lines by the engagement they were issued under."""
    by_root: dict[str, list[InvoiceLine]] = defaultdict(list)
    for line in rows.invoice_lines.values():
        by_root[line.engagement_id].append(line)
    return by_root


def adjustments_by_root(rows: Rows) -> dict[str, Sequence[BillAdjustment]]:
    """Adjustments by the engagement they were decided for: they don't follow an entry that moves away."""
    by_root: dict[str, list[BillAdjustment]] = defaultdict(list)
    for adjustment in rows.bill_adjustments.values():
        by_root[adjustment.engagement_id].append(adjustment)
    return dict(by_root)

"""Two judges of the same source rows: the agents' pure code, and the oracle."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from histories import History, Kept
from incidents_of_agents import incidents_of
from oracle import Expected, Fold, Incident, canonical_rows, compute_from_rows
from oracle.books import Books
from oracle.rating import rate_entry as rate_by_the_oracle
from proposing import (
    NotDivided,
    ProposalKey,
    Proposing,
    Shown,
    of_the_oracle,
    undivided_of_the_oracle,
)
from source_databases import D, Sources, all_records

from agents.billing import (
    REFERENCE_ENTITIES,
    Adjustment,
    BillingReference,
    DraftLine,
    Entry,
    Expense,
    Item,
    LedgerLine,
    LiveSegment,
    Milestone,
    PostedLine,
    Segment,
    allocate,
    rate_entry,
    rate_expense,
    rate_milestone,
)
from agents.billing.booking import Booked as KeptLines
from agents.billing.booking import diff_books
from agents.billing.entrybooks import EntryBooks, as_it_is
from agents.billing.functional import in_functional
from agents.billing.incidents import of_caps
from agents.posting import InvoicingView
from agents.utilization import ConsultantState, Contribution, Lineage, UtilizationReference, recompute

NOW = datetime(2026, 4, 30, tzinfo=UTC)

Booked = dict[tuple[str, str, str, str | None], tuple[int, Decimal | None]]
Figures = dict[tuple[str, str], tuple[str, int, Decimal | None]]  # bucket, seconds, amount


@dataclass(frozen=True)
class Judgement:
    """What a judge says: segments by (entry, segment), and what is known of each entry and consultant."""

    figures: Figures
    months: dict[tuple[str, str], str | None]
    booked: Booked
    """What the ledger says by entry, segment, bucket and accounting month: seconds and amount."""
    functional: dict[tuple[str, str], Decimal | None]
    """What each segment is worth in the books of the legal entity, None where it is unknown."""
    approved: dict[str, int]
    dates: dict[str, date]
    """Accounting dates of entries."""
    parked: dict[str, tuple[str, tuple[str, ...]]]
    proposals: dict[ProposalKey, Shown]
    undivided: dict[tuple[str, str], NotDivided]
    """What of a contract and currency can't be divided among its payers."""
    drafts: dict[tuple[str, str], tuple[int, Decimal | None, bool]]
    """What each draft line says of an entry, in seconds and money, and whether it is stale."""
    days: dict[tuple[str, date], int]
    """Billable seconds by consultant and local day."""
    refused: dict[tuple[str, str], tuple[str, tuple[str, ...]]]
    """Why bill adjustments have no effect, by entry and segment."""
    weeks: dict[tuple[str, date], tuple[int, int | None, Decimal | None]]
    """Billable seconds, capacity and their ratio by consultant and Monday."""
    incidents: dict[str, Incident]
    """Of those that are judged, what must be open: class, seconds, amount and currency by subject."""

    def check_conservation(self) -> None:
        """The seconds of an entry's segments are those approved of it."""
        seconds: dict[str, int] = defaultdict(int)
        for (entry_id, _), (_, part, _) in self.figures.items():
            seconds[entry_id] += part
        approved = {entry_id: of for entry_id, of in self.approved.items() if of}
        assert {key: sum_ for key, sum_ in seconds.items() if sum_} == approved


class Judge(Protocol):
    """Reads the databases as they are now."""

    def __call__(self, sources: Sources) -> Judgement: ...


@dataclass
class Agents:
    """The agents' pure code. ``ledger`` are all lines that were ever appended, ``lines`` the last judgement's."""

    lines: tuple[LedgerLine, ...] = ()
    ledger: list[LedgerLine] = field(default_factory=list)
    _proposing: Proposing = field(default_factory=Proposing)
    _kept: Kept = field(default_factory=Kept)
    _incidents: dict[str, Incident] = field(default_factory=dict)
    _live: dict[str, dict[tuple[str, str], LiveSegment]] = field(default_factory=lambda: defaultdict(dict))
    _books: dict[str, dict[tuple[str, str], KeptLines]] = field(default_factory=lambda: defaultdict(dict))

    def __call__(self, sources: Sources) -> Judgement:
        """Map, rate, allocate, and bring the ledger up to date."""
        records = all_records(sources)
        reference, people, invoicing = BillingReference(), UtilizationReference(), InvoicingView()
        for entity, record in records:
            people.apply(entity, record["id"], record)
            if entity in InvoicingView.entities:
                invoicing.apply(entity, record["id"], record)
            if entity in REFERENCE_ENTITIES:
                reference.apply(entity, record["id"], record)
        found = [Entry.from_record(record) for entity, record in records if entity == "time_entry"]
        entries = [entry for entry in found if entry is not None]
        results = [rate_entry(entry, reference) for entry in entries]
        milestones = [Milestone.from_record(record) for entity, record in records if entity == "milestone"]
        expenses = [Expense.from_record(record) for entity, record in records if entity == "expense"]
        results_of_all = [
            *results,
            *(rate_milestone(one, reference) for one in milestones),
            *(rate_expense(one, reference) for one in expenses),
        ]
        items = [
            Item.from_record(result.item.fields()) for result in results_of_all if result.item is not None
        ]
        self._keep(items, records, reference)
        states: dict[str, ConsultantState] = {}
        for entry, result in zip(entries, results, strict=True):
            assert result.contribution is not None
            state = states.setdefault(entry.consultant_id, ConsultantState(entry.consultant_id))
            state.apply(entry.id, Contribution(1, entry.work_date, *result.contribution))
        lineage = Lineage(NOW, NOW, NOW, NOW, False)
        facts = [recompute(state, people, list(state.days), lineage, NOW) for state in states.values()]
        weeks = [row for fact in facts for row in fact.windows if row["window"] == "week"]
        return Judgement(
            *self._fold(),
            functional={
                of.segment.key: of.segment.functional_amount
                for on_root in self._live.values()
                for of in on_root.values()
                if of.segment is not None
            },
            approved={entry.id: entry.seconds for entry in entries},
            dates={item.entry_id: item.accounting_date for item in items if item.item_kind == "entry"},
            parked={
                item.entry_id: (item.exception_class, item.missing_keys or ())
                for item in items
                if item.exception_class is not None
            },
            proposals=self._proposing.update(self._live, invoicing),
            undivided=self._proposing.undivided(invoicing),
            drafts=self._drafts(),
            refused=self._refused(),
            incidents=dict(self._incidents),
            days={(r["consultant_id"], r["day"]): r["billable_seconds"] for f in facts for r in f.daily},
            weeks={
                (row["consultant_id"], row["starts_on"]): (
                    row["billable_seconds"],
                    row["capacity_seconds"],
                    row["utilization"],
                )
                for row in weeks
            },
        )

    def _keep(
        self, items: list[Item], records: list[tuple[str, dict[str, Any]]], reference: BillingReference
    ) -> None:
        """Allocate every root that has or had anything, and append what changed to the ledger."""
        found = [PostedLine.from_record(record) for entity, record in records if entity == "invoice_line"]
        posted = [line for line in found if line is not None]
        maybe = [DraftLine.from_record(record) for entity, record in records if entity == "invoice_line"]
        drafts = [line for line in maybe if line is not None]
        decided = [
            Adjustment.from_record(record) for entity, record in records if entity == "bill_adjustment"
        ]
        adjustments = reference.limits.limited(one for one in decided if one is not None)
        history = History.of(records, reference)
        self._incidents.clear()
        appended: list[LedgerLine] = []
        on_roots = {x.root_id for some in (items, posted, drafts) for x in some} | history.roots
        for root in sorted(on_roots | set(self._live) | set(self._books)):
            terms = reference.terms(root)
            facts = (
                [item for item in items if item.root_id == root],
                [line for line in posted if line.root_id == root],
                [adjustment for adjustment in adjustments if adjustment.root_id == root],
                [line for line in drafts if line.root_id == root],
            )
            target = allocate(*facts[:3], terms, facts[3])
            books = EntryBooks(as_it_is(target), {}, {})
            for entry_id, own in history.books(root, *facts, reference=reference, kept=self._kept).items():
                others = {key: of for key, of in books.bookings.items() if key[0] != entry_id}
                books = EntryBooks(others | own.bookings, books.earned | own.earned, books.last | own.last)
            uses = self._kept.uses(root) if not reference.terms_history(root).is_independent else {}
            self._incidents |= incidents_of(terms, facts, target, of_caps(terms, uses))
            fx = reference.fx
            target = {key: in_functional(segment, terms, fx) for key, segment in target.items()}
            books = books.mapped(partial(in_functional, terms=terms, fx=fx))
            change = diff_books(self._live[root], self._books[root], target, books)
            self._live[root] |= change.changed
            self._books[root] |= {key: of for key, of in change.booked.items() if of is not None}
            for key, kept in change.booked.items():
                if kept is None:
                    self._books[root].pop(key, None)
            appended += change.lines
        self.lines = tuple(appended)
        self.ledger += appended

    def _drafts(self) -> dict[tuple[str, str], tuple[int, Decimal | None, bool]]:
        live = [state.segment for of_root in self._live.values() for state in of_root.values()]
        return {
            (of.entry_id, str(of.invoice_line_id)): (
                of.draft_seconds or 0,
                of.draft_amount,
                of.exception_class is not None,
            )
            for of in live
            if of is not None and of.bucket == "on_draft"
        }

    def _refused(self) -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
        live = [state.segment for of_root in self._live.values() for state in of_root.values()]
        return {
            of.key: (of.exception_class or "", of.missing_keys or ())
            for of in live
            if of is not None and of.bucket == "refused"
        }

    def _fold(self) -> tuple[Figures, dict[tuple[str, str], str | None], Booked]:
        """What is live, and the sums of the ledger, which are the same but for the months."""
        live = [of.segment for on_root in self._live.values() for of in on_root.values()]
        figures: Figures = {}
        months: dict[tuple[str, str], str | None] = {}
        for of in live:
            if of is not None:
                assert of.key not in figures
                figures[of.key] = (of.bucket, of.seconds, of.amount)
                months[of.key] = _month(of.accounting_date)
        booked: Booked = {}
        count: dict[tuple[str, str, str, str | None], int] = defaultdict(int)
        for line in self.ledger:
            of = line.segment
            key = (of.entry_id, of.segment, of.bucket, _month(of.accounting_date))
            count[key] += -1 if line.kind == "REVERSAL" else 1
            seconds, amount = booked.get(key, (0, None))
            both = [money for money in (amount, of.amount) if money is not None]
            booked[key] = (seconds + of.seconds, sum(both, D(0)) if both else None)
        assert len({line.event_id for line in self.ledger}) == len(self.ledger)
        self._check_reversals()
        return (
            figures,
            months,
            {key: sums for key, sums in booked.items() if sums[0] or sums[1] or count[key]},
        )

    def _check_reversals(self) -> None:
        """A reversal takes back all of a charge that came before it, and of each charge there is one at most."""
        charges: dict[str, Segment] = {}
        for line in self.ledger:
            if line.reverses is None:
                charges[line.event_id] = line.segment
            else:
                of = charges.pop(line.reverses)
                assert (line.segment.seconds, line.segment.amount or 0) == (-of.seconds, -(of.amount or 0))
                assert (line.segment.functional_amount or 0) == -(of.functional_amount or 0)


class Oracle:
    """The independent batch pass."""

    def __call__(self, sources: Sources) -> Judgement:
        """Compute everything anew."""
        rows = canonical_rows(*(sources.of(system) for system in ("erp", "crm", "time")))
        out = compute_from_rows(rows)
        books = Books(rows)
        entries = [rows.time_entries[entry_id] for entry_id in out.approved]
        weeks = {key: week for key, week in out.windows.items() if key.window == "week"}
        return Judgement(
            figures={
                (key.entry, key.segment): (key.bucket, fold.seconds, fold.amount)
                for key, fold in out.billing.items()
            },
            months={(key.entry, key.segment): key.month for key in out.billing},
            booked=_booked(out),
            functional={(key.entry, key.segment): fold.functional for key, fold in out.billing.items()},
            approved=dict(out.approved),
            dates={entry.id: rate_by_the_oracle(entry, rows, books).accounting_date for entry in entries},
            parked={entry: (why.exception_class, why.missing_keys) for entry, why in out.parked.items()},
            proposals=of_the_oracle(out),
            undivided=undivided_of_the_oracle(out),
            drafts={(key.entry, key.line): tuple(draft) for key, draft in out.drafts.items()},
            refused={key: tuple(why) for key, why in out.refused.items()},
            incidents=out.incidents,
            days={(key.consultant_id, key.day): of_day.billable for key, of_day in out.daily.items()},
            weeks={
                (key.consultant_id, key.starts_on): (week.billable, week.capacity, week.ratio)
                for key, week in weeks.items()
            },
        )


def _booked(out: Expected) -> Booked:
    """The oracle's ledger, whoever's work it is."""
    folds: dict[tuple[str, str, str, str | None], Fold] = {}
    for of, fold in out.booked.items():
        key = (of.entry, of.segment, of.bucket, of.month)
        folds[key] = folds[key] + fold if key in folds else fold
    return {key: (fold.seconds, fold.amount) for key, fold in folds.items() if not fold.is_nothing}


def _month(on: date | None) -> str | None:
    return None if on is None else f"{on:%Y-%m}"

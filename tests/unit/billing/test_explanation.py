"""A ledger line explained: amount, rate, chain and neighbours of every kind of line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from billing_builders import (
    HOUR,
    NOW,
    ROOT,
    Firm,
    allocated,
    credit,
    day,
    entry,
    money,
    posted,
    put_rate,
    record,
    small_firm,
    write_off,
)
from rich.console import Console

from agents.billing import (
    Adjustment,
    DraftLine,
    Item,
    LiveSegment,
    Milestone,
    PostedLine,
    diff,
    rate_entry,
    rate_milestone,
)
from agents.explain.eventid import read_event_id
from agents.explain.explanation import Facts, LineExplanation, explain_line
from agents.explain.neighbours import Neighbours
from agents.explain.show import as_text, show

TIMES = dict.fromkeys(("occurred_at", "captured_at", "published_at", "rated_at", "allocated_at"), NOW)
POSITION = {"source_system": "time", "source_epoch": 1, "source_lsn": 4711, "source_ordinal": 2}


def time_row(number: int, on: str, hours: str | int, **fields: Any) -> dict[str, Any]:
    """The canonical record of an approved entry of C1 on P1."""
    return record(
        "time_entry",
        f"time:{number}",
        **{
            "consultant_id": "erp:C1",
            "project_id": "erp:P1",
            "work_date": day(on),
            "seconds": int(Decimal(hours) * HOUR),
            "kind": "standard",
            "status": "approved",
            "version": 1,
            "approved_at": datetime(2026, 3, 10, 12, tzinfo=UTC),
            **POSITION,
            **fields,
        },
    )


class Ledger:
    """The lines of a root as they grow, and explanations of them."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self.records: list[dict[str, Any]] = []
        self._live: Mapping[tuple[str, str], LiveSegment] = {}

    def settle(
        self,
        items: Iterable[Item],
        lines: Iterable[PostedLine] = (),
        adjustments: Iterable[Adjustment] = (),
        drafts: Iterable[DraftLine] = (),
    ) -> Ledger:
        """Append what it takes to get to the segments of these facts."""
        change = diff(self._live, allocated(self.firm, items, lines, adjustments, drafts))
        self._live = change.live(self._live)
        more = {**TIMES, **POSITION, "snapshot": False, "rule_version": "test"}
        self.records += [line.fields() | more for line in change.lines]
        return self

    def explain(self, event_id: str, **facts: Any) -> LineExplanation:
        """The explanation of a line; it must survive being shown."""
        (wanted,) = read_event_id(event_id)
        found = Neighbours(wanted)
        for one in self.records:
            if found.wants(one["event_id"]):
                found.take(one)
        explanation = explain_line(Facts(found, self.firm.ref, **facts))
        assert json.loads(as_text(explanation))["line"]["event_id"] == event_id
        shown = StringIO()
        show(Console(file=shown, width=200, emoji=False), explanation)
        assert event_id in shown.getvalue()
        return explanation


def items(firm: Firm, *entries: Any) -> list[Item]:
    """Rated items of entries."""
    rated = [rate_entry(one, firm.ref).item for one in entries]
    assert all(rated)
    return [one for one in rated if one is not None]


def text_of(explanation: LineExplanation) -> str:
    """All that is said in sentences."""
    return " | ".join((*explanation.arithmetic.remarks, explanation.rate.statement, *explanation.notes))


def test_a_plain_charge_says_its_product_and_its_rate() -> None:
    """8 h at 100: the product, the winner, and a candidate that lost with the reason."""
    firm = put_rate(small_firm(), "erp:R-old", 80, effective_from=day("01-01"), effective_to=day("02-01"))
    put_rate(firm, "erp:R-project", 150, project_id="erp:P1", role="dev")
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))
    found = ledger.explain(
        "erp:E1:time:1:base:1:CHARGE",
        entry_entity="time_entry",
        entry=time_row(1, "03-02", 8),
        names={("project", "erp:P1"): "Rollout"},
    )
    assert found.arithmetic.formula == "8 h x 150.00 EUR/h x 1 x FX 1 = 1200, rounded 1200.00 EUR"
    assert (found.arithmetic.agrees, found.arithmetic.rounding) == (
        True,
        "half up to 0.01 EUR, once, at the end",
    )
    assert (found.rate.winner_now, found.rate.still_wins) == ("erp:R-project", True)
    assert [(one.id, one.outcome) for one in found.rate.candidates] == [
        ("erp:R-project", "won"),
        ("erp:R-default", "a more specific scope has a rate"),
        ("erp:R-old", "not effective on the work date"),
    ]
    assert [(link.what, link.now) for link in found.chain] == [
        ("consultant", "erp:C1"),
        ("project", "erp:P1"),
        ("contract line", "erp:L1"),
        ("engagement", ROOT),
        ("client", "erp:CL1"),
        ("legal entity", "erp:LE1"),
    ]
    assert found.chain[1].name == "Rollout"
    assert found.lineage.source_lsn == 4711
    assert found.entry is not None
    assert found.entry.rating_now == f"priced, 1200.00 EUR at erp:R-project, on {ROOT}"
    assert found.line.state == "in force"
    assert found.notes == ()


def test_exchange_and_multiplier_are_in_the_product() -> None:
    """E2 with overtime: EUR 133.33 x 7.5 h x 1.5 x 1.0837, rounded once; a later rate is told."""
    firm = small_firm()
    firm.put("engagement", ROOT, currency="USD")
    firm.put(
        "fx_rate", "erp:F1", from_currency="EUR", to_currency="USD", day=day("03-02"), rate=Decimal("1.0837")
    )
    put_rate(firm, "erp:R-default", "133.33")
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", "7.5", kind="overtime")))
    found = ledger.explain("erp:E1:time:1:base:1:CHARGE")
    assert found.arithmetic.formula == (
        "7.5 h x 133.33 EUR/h x 1.5 x FX 1.0837 = 1625.50936125, rounded 1625.51 USD"
    )
    assert (found.arithmetic.agrees, found.arithmetic.computed) == (True, found.line.amount)
    assert "spot exchange rate erp:F1, EUR to USD, published for 2026-03-02" in text_of(found)
    firm.put("fx_rate", "erp:F1", rate=Decimal("1.1"))
    assert "is 1.1 now; the line has 1.0837" in text_of(ledger.explain("erp:E1:time:1:base:1:CHARGE"))
    firm.drop("fx_rate", "erp:F1")
    assert "no spot exchange rate EUR to USD" in text_of(ledger.explain("erp:E1:time:1:base:1:CHARGE"))


def test_a_rate_that_no_longer_wins_is_told() -> None:
    """Another rate, another price, a tie, or none at all: the line is not what would come out now."""
    firm = small_firm()
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))

    def statement() -> str:
        found = ledger.explain("erp:E1:time:1:base:1:CHARGE").rate
        assert found.still_wins is False
        return found.statement

    put_rate(firm, "erp:R-default", 110)
    assert "its price is 110.00 EUR/h now" in statement()
    put_rate(firm, "erp:R-pc", 150, project_id="erp:P1", consultant_id="erp:C1")
    assert "no longer the winner: erp:R-pc wins now on 2026-03-02" in statement()
    put_rate(firm, "erp:R-pc2", 160, project_id="erp:P1", consultant_id="erp:C1")
    assert "erp:R-pc, erp:R-pc2 are equally specific now" in statement()
    firm.drop("rate", "erp:R-pc").drop("rate", "erp:R-pc2").drop("rate", "erp:R-default")
    assert "no rate holds now" in statement()
    firm.drop("project", "erp:P1")
    found = ledger.explain("erp:E1:time:1:base:1:CHARGE")
    assert found.rate.still_wins is None
    assert "not in the reference tables: project:erp:P1" in found.rate.statement
    assert "project erp:P1 is not in the reference tables now" in found.notes


def test_a_correction_names_reversal_and_next_charge() -> None:
    """8 h corrected to 6: each of the three lines names its neighbours; the reversal is the negated product."""
    firm = small_firm()
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))
    ledger.settle(items(firm, entry(1, "03-02", 6, version=2)))
    first = ledger.explain("erp:E1:time:1:base:1:CHARGE").line
    back = ledger.explain("erp:E1:time:1:base:1:REVERSAL")
    second = ledger.explain("erp:E1:time:1:base:2:CHARGE").line
    assert (first.state, first.reversed_by, first.next_charge) == (
        "taken back",
        "erp:E1:time:1:base:1:REVERSAL",
        "erp:E1:time:1:base:2:CHARGE",
    )
    assert (back.line.reverses, back.line.amount) == ("erp:E1:time:1:base:1:CHARGE", money(-800))
    assert (back.arithmetic.computed, back.arithmetic.agrees) == (Decimal("-800.00"), True)
    assert (second.state, second.reversed_by, second.next_charge) == ("in force", None, None)


def test_shares_of_a_capped_entry_say_why_the_product_differs() -> None:
    """E6: 100.00 left, 8 h at 137.50; 2,618 s at the price would be 99.99."""
    firm = put_rate(small_firm(cap_money=money(100)), "erp:R-default", "137.50")
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))
    base = ledger.explain("erp:E1:time:1:base:1:CHARGE")
    assert (base.line.seconds, base.arithmetic.computed, base.arithmetic.agrees) == (
        2618,
        Decimal("99.99"),
        False,
    )
    assert "the whole entry, 8 h, is 1100.00; its live segments: 100.00 + 1000.00" in text_of(base)
    over = ledger.explain("erp:E1:time:1:over-line:1:CHARGE")
    assert over.line.meaning == "beyond the cap of the contract line"
    assert "the contract line's cap is now 100.00 EUR, beyond it: hold" in over.notes
    assert [one.event_id.split(":")[4] for one in over.live_lines] == ["base", "over-line"]


@pytest.mark.parametrize(
    ("method", "terms", "says"),
    [
        ("retainer", {}, "10 h (retainer)"),
        ("prepaid", {"expires_on": day("03-31")}, "10 h (prepaid) until 2026-03-31"),
        ("retainer", {"unused_hours": "roll_over"}, "10 h (retainer); unused, all roll over"),
        (
            "retainer",
            {"unused_hours": "roll_over", "rollover_seconds": 4 * HOUR, "rollover_months": 2},
            "10 h (retainer); unused, at most 4 h a month roll over, for at most 2 months",
        ),
    ],
)
def test_what_is_covered_says_what_the_line_includes(method: str, terms: dict[str, Any], says: str) -> None:
    """Hours, how long a lot is valid, what becomes of a retainer's unused hours."""
    terms = {"starts_on": day("01-01"), **terms}
    firm = small_firm(billing_method=method, included_seconds=10 * HOUR, **terms)
    found = Ledger(firm).settle(items(firm, entry(1, "03-02", 8))).explain("erp:E1:time:1:covered:1:CHARGE")
    assert f"the contract line now includes {says}" in found.notes


def test_rounding_of_the_quantity_is_a_difference_of_two_products() -> None:
    """E3: 20 min at 150 rounded to 0.33 h."""
    firm = put_rate(small_firm(quantity_increment_seconds=1188), "erp:R-default", 150)
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", "0.3333333")))
    found = ledger.explain("erp:E1:time:1:rounding:1:ROUNDING")
    assert found.arithmetic.agrees is True
    assert found.arithmetic.formula is not None
    assert "0.33 h after rounding = 49.50" in found.arithmetic.formula


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"quantity_increment_seconds": 900}, "to the nearest 0.25 h"),
        ({"quantity_increment_seconds": 900, "quantity_rounding": "up"}, "every started 0.25 h"),
        ({"minimum_quantity_seconds": 1800}, "at least 0.5 h"),
        (
            {"quantity_increment_seconds": 900, "quantity_rounding": "up", "minimum_quantity_seconds": 1800},
            "every started 0.25 h and at least 0.5 h",
        ),
    ],
)
def test_the_contract_line_says_how_it_rounds_time(terms: dict[str, Any], says: str) -> None:
    """In the chain, beside the rounding of money."""
    found = Ledger(small_firm(**terms)).settle(items(small_firm(**terms), entry(1, "03-02", 1)))
    chain = {link.what: link.detail for link in found.explain("erp:E1:time:1:base:1:CHARGE").chain}
    assert f"quantity {says}" in chain["contract line"]
    assert "rounding half_up" in chain["contract line"]


@pytest.mark.parametrize(("rounding", "uplift"), [("half_up", "0.13"), ("half_even", "0.12")])
def test_an_uplift_is_rounded_as_the_line_says(rounding: str, uplift: str) -> None:
    """1 h is missing of 3 h, at 0.125: the explanation comes to the amount that the ledger has."""
    firm = put_rate(small_firm(day_minimum_seconds=3 * HOUR, rounding=rounding), "erp:R-default", "0.125")
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 2)))
    found = ledger.explain("erp:E1:day:erp:C1:erp:L1:2026-03-02:uplift:1:UPLIFT")
    assert (found.line.amount, found.arithmetic.computed) == (Decimal(uplift), Decimal(uplift))
    assert found.arithmetic.agrees is True


def test_a_posted_line_has_the_figures_of_the_erp() -> None:
    """No rate; charge and credits as the ERP has them, and their net, which is the line's."""
    firm = small_firm()
    charge = posted("erp:I1", "time:1", 5, 500)
    back = credit("erp:I2", charge, 2, 200)
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 5)), [charge, back])
    rows = [
        record(
            "invoice_line",
            line_id,
            kind=kind,
            invoice_id=f"erp:{line_id[-1]}",
            seconds=hours * HOUR,
            amount=money(hours * 100),
            status="posted",
            entry_version=1,
            posted_at=NOW,
        )
        for line_id, kind, hours in (("erp:I2", "credit", 2), ("erp:I1", "charge", 5))
    ]
    found = ledger.explain("erp:E1:time:1:inv:erp:I1:1:CHARGE", invoice_lines=rows)
    assert found.rate.none_because is not None
    assert "the ERP's own time and money count" in found.rate.none_because
    assert found.arithmetic.formula is None
    assert found.arithmetic.remarks[-1] == "net of credits: 3.0000 h, 300.00 EUR"
    assert found.line.amount == Decimal(300)
    assert "the accounting date is the day of the ERP's posting" in found.notes
    undated = [{**row, "posted_at": None} for row in rows]
    found = ledger.explain("erp:E1:time:1:inv:erp:I1:1:CHARGE", invoice_lines=undated)
    assert "charge erp:I1 on invoice erp:1, posted with no date: 5.0000 h" in text_of(found)
    gone = ledger.explain("erp:E1:time:1:inv:erp:I1:1:CHARGE")
    assert "is not among the posted invoice lines now" in text_of(gone)


def test_a_credit_due_says_what_it_takes_back() -> None:
    """E9: posted, then corrected."""
    firm = small_firm()
    lines = [posted("erp:I1", "time:1", 8, 800)]
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 6, version=2)), lines)
    found = ledger.explain("erp:E1:time:1:due:erp:I1:1:CHARGE")
    assert found.line.meaning == "a credit that is due for invoice line erp:I1"
    assert "the entry was changed after it was invoiced" in text_of(found)


def test_an_adjustment_without_effect_says_why() -> None:
    """2 of 8 h at 100 are worth 200, and its approver's limit is 150."""
    firm = small_firm()
    limited = replace(write_off("erp:A1", "time:1", 2), approver_id="erp:B", limits=(("EUR", money(150)),))
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)), adjustments=[limited])
    found = ledger.explain("erp:E1:time:1:adj:erp:A1:1:CHARGE")
    says = "has no effect: APPROVAL_LIMIT, limit:erp:B/write_off/EUR"
    assert found.line.meaning == f"bill adjustment erp:A1, which {says}"
    assert "nothing: the bill adjustment has no effect" in text_of(found)


def test_a_draft_says_both_figures() -> None:
    """5 of 8 h on a draft, at their price; corrected, the draft has nothing, and it is said that it is stale."""
    firm = small_firm()
    on_draft = DraftLine("erp:I1", "erp:E1", "erp:L1", "time:1", 1, 5 * HOUR, money(500))
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)), drafts=[on_draft])
    found = ledger.explain("erp:E1:time:1:draft:erp:I1:1:CHARGE")
    assert found.line.meaning == "on invoice line erp:I1, a draft"
    assert found.arithmetic.formula is not None
    assert found.notes == ("the draft says 5.0000 h, 500.00 EUR",)
    whole = ledger.explain("erp:E1:time:1:base:1:CHARGE")
    assert whole.arithmetic.agrees
    ledger.settle(items(firm, entry(1, "03-02", 6, version=2)), drafts=[on_draft])
    found = ledger.explain("erp:E1:time:1:draft:erp:I1:2:CHARGE")
    assert (found.line.seconds, found.line.amount) == (0, 0)
    assert "it is stale, there is something else to bill" in text_of(found)
    assert "nothing of it is there to bill" in text_of(found)


def test_a_write_off_shows_its_decision() -> None:
    """Hours, reason, approver."""
    firm = small_firm()
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)), (), [write_off("erp:A1", "time:1", 2)])
    decision = record(
        "bill_adjustment", "erp:A1", kind="write_off", seconds=7200, reason="goodwill", approver_id="erp:C9"
    )
    found = ledger.explain("erp:E1:time:1:adj:erp:A1:1:CHARGE", adjustment=decision)
    assert "write-off erp:A1: 2.0000 h, reason: goodwill, approved by erp:C9" in found.notes
    assert found.arithmetic.agrees is True


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"billing_method": "non_billable"}, "contract line or task is non-billable"),
        ({"billing_method": "milestone"}, "paid by a fixed fee"),
    ],
)
def test_time_without_a_price_says_why(fields: dict[str, Any], says: str) -> None:
    """Fixed fee and non-chargeable time have no rate."""
    firm = small_firm(**fields)
    found = Ledger(firm).settle(items(firm, entry(1, "03-02", 8))).explain("erp:E1:time:1:base:1:CHARGE")
    assert found.rate.none_because is not None
    assert says in found.rate.none_because
    assert found.rate.candidates == ()


def test_a_parked_entry_says_what_it_waits_for() -> None:
    """A tie shows its candidates; a missing project shows that none can be looked for; money is unknown."""
    firm = put_rate(small_firm(), "erp:R2", 120)
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))
    tied = ledger.explain(
        "erp:E1:time:1:base:1:CHARGE", entry_entity="time_entry", entry=time_row(1, "03-02", 8)
    )
    assert tied.line.amount is None
    assert "parked as AMBIGUOUS_RATE, waiting for rate:erp:R-default, rate:erp:R2" in text_of(tied)
    assert {one.outcome for one in tied.rate.candidates} == {"tied"}
    assert tied.entry is not None
    assert tied.entry.rating_now.startswith("parked, AMBIGUOUS_RATE")
    firm.drop("rate", "erp:R2")
    assert (
        ledger.explain("erp:E1:time:1:base:1:CHARGE").rate.statement
        == "erp:R-default would win now on 2026-03-02"
    )

    lost = entry(2, "03-02", 8, project_id="erp:P9")
    found = Ledger(firm)
    found.records += [
        {**one, "root_id": "entry:time:2", "event_id": "entry:time:2:time:2:base:1:CHARGE"}
        for one in Ledger(firm).settle(items(firm, lost)).records
    ]
    parked = found.explain("entry:time:2:time:2:base:1:CHARGE")
    assert "MISSING_REFERENCE, waiting for project:erp:P9; its money is unknown, not 0" in text_of(parked)
    assert parked.rate.candidates == ()
    assert ("project", "erp:P9", True) in [(link.what, link.on_line, link.missing) for link in parked.chain]


def test_a_milestone_is_worth_its_own_amount() -> None:
    """No rate, no hours; the chain is its own contract line's."""
    firm = small_firm(billing_method="milestone")
    row = record(
        "milestone",
        "erp:M1",
        engagement_id=ROOT,
        contract_line_id="erp:L1",
        amount=money(5000),
        status="accepted",
        accepted_on=day("03-02"),
        accepted_at=NOW,
        **POSITION,
    )
    item = rate_milestone(Milestone.from_record(row), firm.ref).item
    assert item is not None
    found = (
        Ledger(firm)
        .settle([item])
        .explain("erp:E1:erp:M1:base:1:CHARGE", entry_entity="milestone", entry=row)
    )
    assert found.rate.none_because == "an accepted milestone is worth its own amount"
    assert "the milestone's amount is 5000.00 EUR now" in found.arithmetic.remarks
    assert [link.what for link in found.chain] == ["contract line", "engagement", "client", "legal entity"]
    assert found.entry is not None
    assert (found.entry.entity, found.entry.status) == ("milestone", "accepted")


def test_day_lines_are_explained_by_the_day() -> None:
    """E7: a minimum of 4 h and 3 h worked; a per diem of 900."""
    firm = small_firm(day_minimum_seconds=4 * HOUR)
    ledger = Ledger(firm).settle(
        items(firm, entry(1, "03-02", 1), entry(2, "03-02", 2), entry(3, "03-03", 4))
    )
    uplift = ledger.explain("erp:E1:day:erp:C1:erp:L1:2026-03-02:uplift:1:UPLIFT")
    assert (uplift.arithmetic.computed, uplift.arithmetic.agrees) == (Decimal("100.00"), True)
    assert uplift.arithmetic.formula == (
        "4 h minimum - 3 h on the day = 1 h x 100.00 EUR/h x 1 x FX 1 = 100, rounded 100.00 EUR"
    )
    assert "see erp:E1:time:1:base:1:CHARGE" in uplift.rate.statement
    assert len(uplift.live_lines) == 3
    assert uplift.entry is None
    ledger.settle(items(firm, entry(1, "03-02", 1), entry(2, "03-02", 2), entry(4, "03-02", 2)))
    past = ledger.explain("erp:E1:day:erp:C1:erp:L1:2026-03-02:uplift:1:UPLIFT")
    assert (past.line.state, past.arithmetic.formula) == ("taken back", None)
    assert "100.00 EUR are worth 1 h" in past.arithmetic.remarks[1]

    firm = small_firm(billing_method="per_diem", per_diem_amount=money(900))
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 3), entry(2, "03-02", 5)))
    diem = ledger.explain("erp:E1:day:erp:C1:erp:L1:2026-03-02:per-diem:1:CHARGE")
    assert "the contract line's per diem is 900.00 EUR now" in diem.arithmetic.remarks
    assert "however long it was" in text_of(diem)


def test_an_entry_that_is_gone_is_told() -> None:
    """No record of the entry, or one that is withdrawn."""
    firm = small_firm()
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)))
    gone = ledger.explain("erp:E1:time:1:base:1:CHARGE").entry
    assert gone is not None
    assert gone.rating_now == "nothing: no time entry, milestone or expense has this id now"
    row = time_row(1, "03-02", 8, status="withdrawn")
    withdrawn = ledger.explain("erp:E1:time:1:base:1:CHARGE", entry_entity="time_entry", entry=row).entry
    assert withdrawn is not None
    assert (withdrawn.status, withdrawn.rating_now) == ("withdrawn", "nothing to bill")


def test_neighbours_stay_few() -> None:
    """However often a segment changes, and whatever else is on the root."""
    firm = small_firm()
    ledger = Ledger(firm)
    for version in range(1, 41):
        ledger.settle(items(firm, entry(1, "03-02", version, version=version), entry(2, "03-02", 1)))
    (wanted,) = read_event_id("erp:E1:time:1:base:7:CHARGE")
    found = Neighbours(wanted)
    taken = [one for one in ledger.records if found.wants(one["event_id"])]
    for one in taken:
        found.take(one)
    assert len(taken) == 79
    assert [line.event_id for line in found.live] == ["erp:E1:time:1:base:40:CHARGE"]
    assert found.reversal is not None
    assert found.reversal.revision == 7
    assert found.replacement is not None
    assert found.replacement.revision == 8


def test_a_discount_is_money_without_time() -> None:
    """The adjustment's own amount; the product of no hours would say 0."""
    firm = small_firm()
    ledger = Ledger(firm).settle(items(firm, entry(1, "03-02", 8)), (), [write_off("erp:A1", "time:1", 2)])
    (line,) = [one for one in ledger.records if one["segment"] == "adj:erp:A1"]
    line |= {"seconds": 0, "amount": money(200)}
    decision = {**record("bill_adjustment", "erp:A1", kind="discount"), "amount": money(200)}
    found = ledger.explain("erp:E1:time:1:adj:erp:A1:1:CHARGE", adjustment=decision)
    assert (found.arithmetic.formula, found.arithmetic.agrees) == (None, None)
    assert "money without time" in text_of(found)
    assert "discount erp:A1: 200.00 EUR, reason: none given, approved by nobody" in found.notes

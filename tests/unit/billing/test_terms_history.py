"""What was agreed of a contract at each close, from versions that come in any order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing_builders import day, money

from agents.billing import BillingReference, LineTerms, Terms, Touch
from agents.billing.contracts import NO_CAP, Cap, Lot
from agents.billing.termshistory import EngagementVersion, LineVersion, TermsHistory

APRIL_10, MAY_10, JUNE_10 = (datetime(2026, month, 10, 9, tzinfo=UTC) for month in (4, 5, 6))
LOTS = (Lot("erp:A", "erp:L", 3600),)
NOW = Terms("erp:E", "EUR", "erp:A", "erp:LE", Cap(money(1300)), {"erp:L": LineTerms("prepaid", lots=LOTS)})

OTHERS = (
    *("quantity_increment_seconds", "quantity_rounding", "minimum_quantity_seconds", "rounding"),
    *("expenses_billed", "expense_markup"),
)


def cap(number: int, amount: int | None, until: datetime) -> EngagementVersion:
    """A version of the engagement."""
    return EngagementVersion(f"erp:V{number}", "erp:E", Cap(None if amount is None else money(amount)), until)


def test_a_close_has_the_first_version_that_ended_no_earlier() -> None:
    """A cap of 1,000 until 10 April, of 1,200 until 10 May; what ends at the close stood at it."""
    history = TermsHistory.of(NOW, [cap(2, 1200, MAY_10), cap(1, 1000, APRIL_10)], [])
    at_closes = [history.as_of(close).cap.money for close in (APRIL_10, MAY_10, JUNE_10)]
    assert at_closes == [money(1000), money(1200), money(1300)]
    assert history.as_of(JUNE_10) is NOW


def test_engagement_and_lines_have_versions_of_their_own() -> None:
    """Until 10 April the line had 5 h, until 10 May the engagement no cap; method and lots are as they are now."""
    line = LineVersion("erp:V1", "erp:L", LineTerms("", included_seconds=18_000), APRIL_10)
    gone = LineVersion("erp:V2", "erp:L9", LineTerms(""), APRIL_10)
    history = TermsHistory.of(NOW, [cap(1, None, MAY_10)], [line, gone])
    first, second = history.as_of(APRIL_10), history.as_of(MAY_10)
    assert (first.cap.money, second.cap.money) == (None, None)
    assert first.lines == {"erp:L": LineTerms("prepaid", included_seconds=18_000, lots=LOTS)}
    assert second.lines == NOW.lines


def test_what_was_shared_once_is_told_together() -> None:
    """A cap that is gone was one at a close."""
    free = Terms("erp:E", "EUR", "erp:A", "erp:LE")
    assert TermsHistory(free).is_independent
    assert TermsHistory.of(free, [cap(1, None, APRIL_10)], []).is_independent
    assert not TermsHistory.of(free, [cap(1, 1000, APRIL_10)], []).is_independent


def test_versions_touch_the_terms_of_their_root() -> None:
    """Whatever comes first; one that is taken back is no more."""
    reference, version = BillingReference(), {"deleted": False, "ended_at": APRIL_10, **_of_cap(Decimal(500))}
    of_line: dict[str, Any] = {"id": "erp:V", "contract_line_id": "erp:L", **version, **_of_line()}
    assert reference.apply("contract_line_version", "erp:V", of_line) == []
    line = {
        "id": "erp:L",
        "engagement_id": "erp:E",
        "deleted": False,
        "billing_method": "tm",
        **_of_cap(None),
    }
    others = dict.fromkeys(OTHERS)
    assert Touch("terms:erp:E") in reference.apply("contract_line", "erp:L", line | _of_line() | others)
    of_engagement = {"id": "erp:W", "engagement_id": "erp:E", **version}
    assert reference.apply("engagement_version", "erp:W", of_engagement) == [Touch("terms:erp:E")]
    row = {"id": "erp:E", "deleted": False, "currency": "EUR", "fx_rate_type": None, "fx_direction": None}
    row |= {"client_id": "erp:A", "legal_entity_id": "erp:LE", "starts_on": None, "ends_on": None}
    reference.apply("engagement", "erp:E", row | _of_cap(None))
    [(end, terms)] = reference.terms_history("erp:E").ended
    assert (end, terms.cap, terms.lines["erp:L"].cap) == (APRIL_10, Cap(Decimal(500)), Cap(Decimal(500)))
    assert reference.terms("erp:E").cap == NO_CAP
    assert reference.apply("contract_line_version", "erp:V", None) == [Touch("terms:erp:E")]
    assert reference.terms_history("erp:E").ended[0][1].lines["erp:L"].cap == NO_CAP


def _of_cap(amount: Decimal | None) -> dict[str, Any]:
    return {"cap_money": amount, "cap_seconds": None, "over_cap_action": "hold"}


def _of_line() -> dict[str, Any]:
    names = (
        "included_seconds", "per_diem_amount", "day_minimum_seconds", "expires_on", "unused_hours", "ends_on",
        "rollover_seconds", "rollover_months",
    )  # fmt: skip
    return {**dict.fromkeys(names), "starts_on": day("03-01")}

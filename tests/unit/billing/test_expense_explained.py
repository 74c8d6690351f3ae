"""The ledger lines of expenses explained."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billing_builders import Firm, day, money, record, small_firm
from test_explanation import POSITION, Ledger, text_of

from agents.billing import Expense, Item, rate_expense


def row(**fields: Any) -> dict[str, Any]:
    """The canonical record of an approved expense of C1 on P1, 238.00 gross with 38.00 tax, at a markup of 10%."""
    given = {
        "consultant_id": "erp:C1",
        "project_id": "erp:P1",
        "incurred_on": day("03-05"),
        "amount": money(238),
        "currency": "EUR",
        "tax_basis": "gross",
        "tax_amount": money(38),
        "markup": money(10),
        "cap_scope": "line",
        "status": "approved",
        "version": 1,
        "approved_at": datetime(2026, 3, 10, 12, tzinfo=UTC),
        "approved_by": "erp:B",
        **POSITION,
    }
    return record("expense", "erp:X", **(given | fields))


def item(firm: Firm, **fields: Any) -> Item:
    """It, rated."""
    made = rate_expense(Expense.from_record(row(**fields)), firm.ref).item
    assert made is not None
    return made


def dollars() -> Firm:
    """The small firm with a contract in USD."""
    firm = small_firm().put("engagement", "erp:E1", currency="USD")
    pair = {"from_currency": "EUR", "to_currency": "USD", "day": day("03-05"), "rate": money("1.0837")}
    return firm.put("fx_rate", "erp:F", **pair)


def test_its_price_is_its_net_cost_and_its_multiplier_the_markup() -> None:
    """200.00 x 1.1 x 1.0837 = 238.41, by no rate; and what its row says of it."""
    firm = dollars()
    found = (
        Ledger(firm)
        .settle([item(firm)])
        .explain("erp:E1:erp:X:base:1:CHARGE", entry_entity="expense", entry=row())
    )
    assert found.arithmetic.formula == "200.00 EUR fixed x 1.1 x FX 1.0837 = 238.414, rounded 238.41 USD"
    assert found.arithmetic.agrees
    assert found.rate.statement == "an expense is worth its net cost with its markup, whoever paid it"
    assert found.rate.candidates == ()
    said = text_of(found)
    assert "238.00 EUR gross less 38.00 tax; markup 10%; counts against the caps of: line" in said
    assert found.entry is not None
    assert (found.entry.status, found.entry.rating_now) == ("approved", "priced, 238.41 USD, on erp:E1")
    assert [link.what for link in found.chain][:3] == ["consultant", "project", "contract line"]


def test_the_markup_of_the_line_and_a_part_over_a_cap() -> None:
    """Of 215.00, 115.00 are over a cap of 100.00."""
    firm = small_firm(expense_markup=money("7.5"), cap_money=money(100))
    ledger = Ledger(firm).settle([item(firm, markup=None)])
    facts = {"entry_entity": "expense", "entry": row(markup=None)}
    found = ledger.explain("erp:E1:erp:X:over-line:1:CHARGE", **facts)
    assert "markup 7.5% (the contract line's)" in text_of(found)
    assert found.arithmetic.agrees is False
    assert "215.00; its live segments: 100.00 + 115.00" in text_of(found).replace(
        "115.00 + 100.00", "100.00 + 115.00"
    )


def test_what_is_parked_or_billed_to_nobody() -> None:
    """No rates are looked for; the line bills no expenses."""
    firm = small_firm()
    ledger = Ledger(firm).settle([item(firm, currency="CHF")])
    facts = {"entry_entity": "expense", "entry": row(currency="CHF")}
    found = ledger.explain("erp:E1:erp:X:base:1:CHARGE", **facts)
    assert found.rate.candidates == ()
    assert "parked as MISSING_FX, waiting for fx:CHF:EUR:2026-03-05" in found.rate.statement
    firm.put("contract_line", "erp:L1", expenses_billed=False)
    ledger.settle([item(firm)])
    found = ledger.explain("erp:E1:erp:X:base:2:CHARGE", entry_entity="expense", entry=row())
    assert (found.line.bucket, found.line.amount) == ("non_chargeable", 0)
    assert "the contract line bills no expenses" in text_of(found)

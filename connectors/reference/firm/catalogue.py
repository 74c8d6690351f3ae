"""What the firm sells: one engagement for every way of billing, as data.

Caps and included hours are given in percent of the hours that the line's projects are expected to take,
so that a cap is reached within the run whatever the size of the firm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

CORPORATE: Final = "corporate"  # a type of exchange rate
Pricing = Literal["line_role", "project_role", "client_card", "default_card", "personal", "none"]
RateUnit = Literal["hour", "day", "fixed"]
CapKind = Literal["money", "hours"]


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit in percent of the expected hours, or of their worth."""

    kind: CapKind
    percent: int
    action: str = "hold"


@dataclass(frozen=True, slots=True)
class LineSpec:
    """A contract line with its own project.

    ``weight`` is the project's share of staffing; 0 keeps ordinary staffing away. ``invoiced`` lines are
    billed by the ERP. ``specialists`` says whether the specialist role has a price here.
    ``extra_line`` adds a T&M line that a task of the project names instead of the project's line.
    ``fee_percent`` is the fee, in percent of what the expected hours are worth, and ``expires_months`` how many
    months after the first one of the history a lot expires. Milestones of a line with a fee bill it.
    ``expense_markup`` is in percent; ``expenses_billed`` None is the ERP's default.
    ``increment`` and ``minimum`` (hours) of an entry's time are rounded to by ``quantity_rounding``.
    ``rollover`` is how unused hours of a retainer roll over: percent of a month's, and for how many months.
    """

    name: str
    method: str = "tm"
    weight: int = 1
    pricing: Pricing = "line_role"
    rate_currency: str | None = None
    unit: RateUnit = "hour"
    cap: Cap | None = None
    included_percent: int | None = None
    included_monthly: bool = False
    per_diem: Decimal | None = None
    day_minimum: Decimal | None = None
    increment: int | None = None
    quantity_rounding: str | None = None
    minimum: Decimal | None = None
    rounding: str = "half_up"
    invoiced: bool = False
    specialists: bool = True
    extra_line: bool = False
    milestones: int = 0
    revenue: str | None = None
    fee_percent: int | None = None
    expires_months: int | None = None
    rollover: tuple[int, int] | None = None
    expense_markup: Decimal | None = None
    expenses_billed: bool | None = None


@dataclass(frozen=True, slots=True)
class EngagementSpec:
    """An engagement; ``tag`` is how acts find it. ``ends_percent`` ends it during the run.

    ``fx`` is the type and direction of the exchange rates it converts by; null is the default.
    """

    tag: str
    lines: tuple[LineSpec, ...]
    currency: str = "EUR"
    cap: Cap | None = None
    ends_percent: int | None = None
    fx: tuple[str | None, str | None] = (None, None)
    per_firm: bool = field(default=False)  # once, however large the firm: small print and planted trouble


STANDARD: Final = tuple(
    EngagementSpec(
        "standard",
        (LineSpec("Time and materials", weight=3, invoiced=True, expense_markup=Decimal(5)),),
        currency,
    )
    for currency in ("EUR", "USD", "GBP", "EUR", "USD")
)

FEATURES: Final = (
    EngagementSpec("by_project", (LineSpec("Rates by project", weight=2, pricing="project_role"),)),
    EngagementSpec("card", (LineSpec("Client card", weight=2, pricing="client_card"),), "USD"),
    EngagementSpec(
        "default_card",
        (LineSpec("List prices", weight=2, pricing="default_card", specialists=False),),
        "GBP",
    ),
    EngagementSpec("personal", (LineSpec("Named people", weight=2, pricing="personal"),)),
    EngagementSpec("usd_rates", (LineSpec("Priced in dollars", rate_currency="USD"),)),
    EngagementSpec("gbp_rates", (LineSpec("Priced in pounds", rate_currency="GBP"),), "USD"),
    EngagementSpec("chf_rates", (LineSpec("Priced in francs", rate_currency="CHF"),)),
    EngagementSpec("line_money_hold", (LineSpec("Capped", cap=Cap("money", 45), invoiced=True),)),
    EngagementSpec("line_hours_write_off", (LineSpec("Capped", cap=Cap("hours", 45, "write_off")),), "USD"),
    EngagementSpec("line_money_bill", (LineSpec("Soft cap", cap=Cap("money", 50, "bill")),), "GBP"),
    EngagementSpec(
        "engagement_money_hold",
        (LineSpec("Design", cap=Cap("money", 40), expense_markup=Decimal("7.5")), LineSpec("Build")),
        cap=Cap("money", 45),
    ),
    EngagementSpec(
        "engagement_hours_write_off",
        (
            LineSpec("Support"),
            LineSpec("Training", increment=900, quantity_rounding="nearest", minimum=Decimal("0.75")),
        ),
        "USD",
        cap=Cap("hours", 50, "write_off"),
    ),
    EngagementSpec("engagement_money_bill", (LineSpec("Advice"),), "GBP", cap=Cap("money", 55, "bill")),
    EngagementSpec(
        "milestones",
        (LineSpec("Fixed price", "milestone", weight=2, pricing="none", extra_line=True, milestones=5),),
    ),
    EngagementSpec(
        "retainer",
        (
            LineSpec(
                "Retainer",
                "retainer",
                included_percent=80,
                included_monthly=True,
                fee_percent=35,
                milestones=2,
                rollover=(50, 1),
            ),
        ),
    ),
    EngagementSpec(
        "retainer_capped",
        (LineSpec("Retainer", "retainer", included_percent=30, included_monthly=True, fee_percent=25),),
        "USD",
        cap=Cap("money", 30),
    ),
    EngagementSpec(
        "prepaid",
        (LineSpec("Prepaid hours", "prepaid", included_percent=40, fee_percent=35, expires_months=1),),
        "GBP",
    ),
    EngagementSpec(
        "per_diem", (LineSpec("Day rate", "per_diem", pricing="none", per_diem=Decimal("900.00")),)
    ),
    EngagementSpec("goodwill", (LineSpec("Proof of concept", "non_billable", pricing="none"),)),
    EngagementSpec(
        "day_minimum", (LineSpec("Half-day minimum", day_minimum=Decimal(4), rounding="half_even"),)
    ),
    EngagementSpec("tenth_hour", (LineSpec("Tenths of an hour", increment=36, minimum=Decimal(1)),), "USD"),
    EngagementSpec(
        "quarter_hour",
        (LineSpec("Started quarters", increment=900, quantity_rounding="up", expenses_billed=False),),
    ),
    EngagementSpec("half_even", (LineSpec("Banker's rounding", rounding="half_even", cap=Cap("hours", 60)),)),
    EngagementSpec("day_rates", (LineSpec("Rates by the day", unit="day", increment=900),), "GBP"),
    EngagementSpec("call_outs", (LineSpec("Fixed price a call", unit="fixed", cap=Cap("money", 20)),)),
    EngagementSpec("day_rates_usd", (LineSpec("Dollars by the day", rate_currency="USD", unit="day"),)),
    EngagementSpec("inverse_fx", (LineSpec("Priced in dollars", rate_currency="USD"),), fx=(None, "inverse")),
    EngagementSpec(
        "corporate_fx", (LineSpec("Priced in dollars", rate_currency="USD"),), fx=(CORPORATE, "direct")
    ),
)

TROUBLE: Final = (
    EngagementSpec("late_rate", (LineSpec("No specialist price yet", specialists=False),), per_firm=True),
    EngagementSpec("never_rate", (LineSpec("No specialist price", specialists=False),), "USD", per_firm=True),
    EngagementSpec("negative_cap_never", (LineSpec("Small job", weight=0),), per_firm=True),
    EngagementSpec("negative_cap_fixed", (LineSpec("Typing error"),), per_firm=True),
    EngagementSpec("nan_cap", (LineSpec("Not a number"),), "GBP", per_firm=True),
    EngagementSpec("ambiguous", (LineSpec("Priced twice", weight=2, pricing="project_role"),), per_firm=True),
    EngagementSpec("moved", (LineSpec("Changes hands", pricing="project_role"),), per_firm=True),
    EngagementSpec("destination", (LineSpec("Takes over", pricing="project_role"),), per_firm=True),
    EngagementSpec("expires", (LineSpec("Extended late"),), ends_percent=40, per_firm=True),
    EngagementSpec("expired", (LineSpec("Never extended", weight=0),), ends_percent=45, per_firm=True),
)

# How a fee is earned, beside the retainers and the lot above. Last, so that no other engagement's number moves.
FEES: Final = (
    EngagementSpec(
        "fixed_price",
        (
            LineSpec(
                "Implementation",
                "milestone",
                pricing="none",
                milestones=3,
                revenue="percent_complete",
                fee_percent=95,
            ),
        ),
        "USD",
    ),
    EngagementSpec(
        "prepaid_expired",
        (LineSpec("Last year's hours", "prepaid", included_percent=60, fee_percent=50, expires_months=0),),
    ),
)


def catalogue(consultants: int) -> tuple[EngagementSpec, ...]:
    """The engagements of a firm of some size: a standard one for five people, features for each forty."""
    standard = max(len(STANDARD), consultants // 5)
    copies = max(1, consultants // 40)
    return (
        *(STANDARD[number % len(STANDARD)] for number in range(standard)),
        *(spec for spec in FEATURES for _ in range(copies)),
        *TROUBLE,
        *FEES,
    )

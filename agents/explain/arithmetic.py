"""How the amount of a ledger line comes about, step by step and to be checked with a pocket calculator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agents.billing.contracts import HALF_UP
from agents.billing.items import FIXED_FEE, NON_CHARGEABLE, PARKED
from agents.billing.segments import (
    ADJUSTMENT_SEGMENT,
    BILLED,
    DRAFT_SEGMENT,
    DUE_SEGMENT,
    POSTED_SEGMENT,
    REFUSED,
    ROUNDING_SEGMENT,
    UPLIFT_SEGMENT,
    Segment,
)
from streams.money import (
    EXACT,
    FIXED,
    SECONDS_PER_HOUR,
    ZERO,
    minor_unit,
    price_seconds,
    round_money,
    seconds_to_hours,
)

# Places shown of a product before it is rounded.
_PLACES: Final = Decimal("0.0000000001")
_ROUNDING_WORDS: Final = {"half_up": "half up", "half_even": "half to even"}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Quantity x price x multiplier x FX, where there is a price.

    ``exact`` is the product before rounding, to ten places; ``computed`` after it. ``agrees`` says whether
    that is the line's amount: it isn't where the line is a share of an entry, which ``remarks`` explain.
    """

    formula: str | None
    exact: Decimal | None
    computed: Decimal | None
    agrees: bool | None
    rounding: str | None
    remarks: tuple[str, ...]


def without_price(*remarks: str) -> Arithmetic:
    """An amount that isn't computed from a price."""
    return Arithmetic(None, None, None, None, None, remarks)


def priced(
    segment: Segment,
    rate_currency: str | None,
    rounding: str | None,
    day_minimum_seconds: int | None,
    live: Iterable[Segment],
) -> Arithmetic:
    """The arithmetic of a segment that has a price.

    ``rate_currency``, ``rounding`` and ``day_minimum_seconds`` are those of the rate and of the contract line
    as they are now, None where these are gone; ``live`` are the live segments of the entry or day, empty if the
    line itself is not live.
    """
    currency = segment.currency or ""
    rule = rounding or HALF_UP
    if segment.segment == ROUNDING_SEGMENT:
        return _rounding_line(segment, rule, list(live))
    seconds = segment.seconds
    if segment.segment == UPLIFT_SEGMENT:
        return _uplift(segment, rate_currency, rule, day_minimum_seconds, list(live))
    if not seconds and segment.segment.startswith(DRAFT_SEGMENT):
        return without_price("money without time, which the ERP has put on a draft")
    if segment.bucket == REFUSED:
        return without_price("nothing: the bill adjustment has no effect")
    if not seconds and segment.segment.startswith(ADJUSTMENT_SEGMENT):
        return without_price(
            "money without time: the bill adjustment's own amount, as far as there was so much"
        )
    exact = _product(segment, seconds)
    computed = _price(segment, seconds, rule)
    remarks = ["the price is for the entry, however long it is"] if price_unit(segment) == FIXED else []
    if rounding is None:
        remarks.append("the contract line is not in the reference tables now; half up is assumed")
    agrees = computed == segment.amount
    if not agrees:
        remarks.append(_share_remark(segment, computed))
        remarks.extend(_whole_remarks(segment, rule, list(live)))
    formula = f"{_formula(segment, seconds, rate_currency)} = {plain(exact)}, rounded {computed} {currency}"
    return Arithmetic(formula, exact, computed, agrees, _rule_text(rule, currency), tuple(remarks))


def hours_text(seconds: int) -> str:
    """Hours to four places, and the seconds where the hours are not exact: ``0.3333 h (1200 s)``."""
    hours = seconds_to_hours(seconds)
    text = f"{plain(hours)} h"
    return text if hours * SECONDS_PER_HOUR == seconds else f"{text} ({seconds} s)"


def _rounding_line(segment: Segment, rule: str, live: Sequence[Segment]) -> Arithmetic:
    """What the rounding of the quantity is worth: the approved time priced, less the rounded time priced."""
    remark = "the approved time at its price, less the time after rounding at its price; it is not billed"
    currency = segment.currency or ""
    quantity = sum(other.seconds for other in live if other.segment != ROUNDING_SEGMENT)
    if not live:
        return Arithmetic(None, None, None, None, _rule_text(rule, currency), (remark,))
    approved = quantity + segment.seconds
    exact, rounded = _price(segment, approved, rule), _price(segment, quantity, rule)
    computed = exact - rounded
    formula = (
        f"{hours_text(approved)} approved = {exact}, {hours_text(quantity)} after rounding = {rounded}; "
        f"{exact} - {rounded} = {computed} {currency}"
    )
    agrees = computed == segment.amount
    return Arithmetic(formula, None, computed, agrees, _rule_text(rule, currency), (remark,))


def _uplift(
    segment: Segment, rate_currency: str | None, rule: str, minimum: int | None, live: Sequence[Segment]
) -> Arithmetic:
    """What the day lacks of its minimum; of a line that is not in force, the time that its money stands for."""
    assert segment.price is not None
    currency = segment.currency or ""
    remark = "time missing of the day's minimum, at the price of the day's first entry, without multiplier"
    if not live or minimum is None:
        unit = EXACT.multiply(segment.price, _factor(segment))
        hour = EXACT.divide(
            EXACT.multiply(unit, Decimal(SECONDS_PER_HOUR)), Decimal(price_unit(segment) or SECONDS_PER_HOUR)
        )
        money = f"{money_text(segment.amount, currency)} {currency}"
        worth = [f"{money} are worth {plain(_hours(segment.amount or ZERO, hour))} h"] if hour else []
        return Arithmetic(None, None, None, None, _rule_text(rule, currency), (remark, *worth))
    worked = sum(other.seconds for other in live if _counts_for_day(segment, other))
    posted = sum(
        (o.amount or ZERO for o in live if o.entry_id == segment.entry_id and o.bucket == BILLED), ZERO
    )
    missing = minimum - worked
    exact = _product(segment, missing)
    computed = _price(segment, missing, rule) - posted
    formula = (
        f"{hours_text(minimum)} minimum - {hours_text(worked)} on the day = "
        f"{_formula(segment, missing, rate_currency)} = {plain(exact)}, rounded {computed + posted} {currency}"
    )
    if posted:
        formula += f", of which {money_text(posted, currency)} are posted"
    agrees = computed == segment.amount
    return Arithmetic(formula, exact, computed, agrees, _rule_text(rule, currency), (remark,))


def _counts_for_day(segment: Segment, other: Segment) -> bool:
    """Whether a live segment's time counts towards the day of the uplift."""
    unpriced = (FIXED_FEE, NON_CHARGEABLE, PARKED)
    return (
        other.entry_id != segment.entry_id
        and other.segment != ROUNDING_SEGMENT
        and other.bucket not in unpriced
        and other.price_unit_seconds != FIXED
    )


def _hours(amount: Decimal, hour: Decimal) -> Decimal:
    return EXACT.divide(amount, hour).quantize(Decimal("0.0001"), context=EXACT)


def _share_remark(segment: Segment, computed: Decimal) -> str:
    difference = money_text((segment.amount or ZERO) - computed, segment.currency)
    return (
        f"the line has {money_text(segment.amount, segment.currency)}, a difference of {difference}: it is a "
        "share of its entry. An entry is priced as a whole and rounded once; a cap in money splits money "
        "exactly and time half up, a cap in hours or an adjustment of hours money in proportion, a discount takes "
        "money only, and what remains is by subtraction"
    )


def _whole_remarks(segment: Segment, rule: str, live: Sequence[Segment]) -> list[str]:
    """The entry as a whole, where its live segments are shares of one price."""
    shares = [
        other for other in live if other.segment != ROUNDING_SEGMENT and (other.seconds or other.amount)
    ]
    if any(other.segment.startswith((POSTED_SEGMENT, DUE_SEGMENT)) for other in shares):
        return ["a part of the entry is posted with the ERP's figures; the rest is by subtraction"]
    factors = {
        (other.price, price_unit(other), other.multiplier, _factor(other), other.currency) for other in shares
    }
    if len(shares) < 2 or len(factors) != 1:
        return []
    seconds = sum(other.seconds for other in shares)
    amount = sum((other.amount or ZERO for other in shares), ZERO)
    whole = _price(segment, seconds, rule)
    parts = " + ".join(money_text(other.amount, other.currency) for other in shares)
    says = "is" if whole == amount else "would be"
    return [f"the whole entry, {hours_text(seconds)}, {says} {whole}; its live segments: {parts}"]


def _price(segment: Segment, seconds: int, rule: str) -> Decimal:
    assert segment.price is not None
    return price_seconds(
        seconds,
        segment.price,
        segment.currency or "",
        multiplier=segment.multiplier or Decimal(1),
        fx=segment.fx_rate or Decimal(1),
        fx_divides=bool(segment.fx_divides),
        rounding=rule,
        unit_seconds=price_unit(segment),
    )


def price_unit(segment: Segment) -> int:
    """The time that a segment's price is for; lines of before there were other units are priced by the hour."""
    unit = segment.price_unit_seconds
    return SECONDS_PER_HOUR if unit is None else unit


def _factor(segment: Segment) -> Decimal:
    """What the exchange rate multiplies by."""
    rate = segment.fx_rate or Decimal(1)
    return EXACT.divide(Decimal(1), rate) if segment.fx_divides else rate


def _product(segment: Segment, seconds: int) -> Decimal:
    assert segment.price is not None
    factors = EXACT.multiply(segment.multiplier or Decimal(1), _factor(segment))
    product, unit = EXACT.multiply(segment.price, factors), price_unit(segment)
    if unit != FIXED:
        product = EXACT.divide(EXACT.multiply(product, Decimal(seconds)), Decimal(unit))
    return product.quantize(_PLACES, context=EXACT)


def _formula(segment: Segment, seconds: int, rate_currency: str | None) -> str:
    price = f"{money_text(segment.price, rate_currency)} {rate_currency or ''}".strip()
    multiplier, fx = segment.multiplier or Decimal(1), segment.fx_rate or Decimal(1)
    factors = f"{plain(multiplier)} {'/' if segment.fx_divides else 'x'} FX {plain(fx)}"
    if price_unit(segment) == FIXED:
        return f"{price} fixed x {factors}"
    return f"{hours_text(seconds)} x {price}/{unit_text(price_unit(segment))} x {factors}"


def unit_text(unit_seconds: int) -> str:
    """What a price is for: ``h``, ``day of 7.5 h`` or ``entry``."""
    if unit_seconds == FIXED:
        return "entry"
    if unit_seconds == SECONDS_PER_HOUR:
        return "h"
    return f"day of {hours_text(unit_seconds)}"


def money_text(amount: Decimal | None, currency: str | None) -> str:
    """An amount to the minor unit of its currency: Avro's further places say nothing where they are zero."""
    if amount is None:
        return "unknown"
    rounded = round_money(amount, currency or "")
    return f"{rounded if rounded == amount else amount:f}"


def plain(value: Decimal) -> str:
    """Without exponent and trailing zeros, ``7.5`` and ``100``."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rule_text(rule: str, currency: str) -> str:
    return f"{_ROUNDING_WORDS.get(rule, rule)} to {minor_unit(currency)} {currency}, once, at the end"

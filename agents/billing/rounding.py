"""Where money is rounded, and by whose rule.

The contract line says how: ``half_up`` (away from zero, the default) or ``half_even``. Its rule holds at every point
where billing rounds money of its work, and each rounds once, from the exact figure to the currency's minor unit:

1. the amount of an entry: quantity x price x multiplier x FX (`rating`), and the same of the time worked, the
   difference of the two being the segment ``rounding``;
2. the uplift to a day's minimum: missing time x price x FX (`daylines`);
3. the covered part of an entry, by its share of the hours (`caps`);
4. the part that a cap in hours lets pass, by its share of the hours (`caps`; a cap in money splits exactly);
5. the part that is written off or held, by its share of the hours (`allocation`, `adjustments`);
6. a discount, whose amount may have more places than the currency (`adjustments`);
7. what an adjustment asks for, where it is held against its approver's limit (`authority`);
8. what is left of an entry at a new price after a part was posted, and the share of its discounts (`allocation`);
9. the part that a draft takes of what is unbilled, by its share of the hours (`drafts`).

Of an amount that is split, each part taken is rounded and the last is by subtraction: the parts sum to the whole.

What the contract doesn't say: seconds round half up (`streams.money`). Amounts in the currency of the legal entity,
and what is earned of a fee, are its books, not the client's contract, and round half up (`functional`,
`agents.revenue`). What the ERP has posted is taken as it is. A milestone and a per diem are amounts of their own.

Example: of 3 s worth 0.10 a cap of 1 s lets 0.03 pass; of 2 s worth 0.25 one of 1 s lets 0.13 pass, or, half even,
0.12, and the other part is 0.12, or 0.13.
"""

from __future__ import annotations

from decimal import Decimal

from streams.money import EXACT, round_money


def share(amount: Decimal, seconds: int, of_seconds: int, currency: str, rounding: str) -> Decimal:
    """The money of a part of a quantity: 100.00 for 3 s, of which 1 s, is 33.33; ``rounding`` is the line's."""
    exact = EXACT.divide(EXACT.multiply(amount, Decimal(seconds)), Decimal(of_seconds))
    return round_money(exact, currency, rounding)

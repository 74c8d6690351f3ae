"""The warehouse's money arithmetic on a real PostgreSQL, against the engine's."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

from psycopg2.extras import execute_values

from connectors.sinks.warehouse.exact import ratio, rounded
from streams.money import EXACT, round_fraction
from streams.stack import Stack


def test_quotients_are_rounded_as_the_engine_rounds_them(tmp_path: Path) -> None:
    """Thousands of random and of exactly halved quotients, negative ones and large ones too, in three currencies."""
    chance = random.Random(7)
    pairs = [
        (Decimal(chance.randrange(-(10**16), 10**16)).scaleb(-4), Decimal(chance.randrange(1, 10**7)))
        for _ in range(2000)
    ]
    pairs += [(Decimal(chance.randrange(-(10**6), 10**6) * 36 + 18), Decimal(3600)) for _ in range(1000)]
    with Stack(tmp_path, services=("postgres",)) as stack:
        connection = stack.postgres.connect()
        with connection.cursor() as cursor:
            for currency in ("EUR", "JPY", "KWD"):
                found = execute_values(
                    cursor,
                    f"SELECT x, y, {rounded('x', 'y', repr(currency))}, {ratio('x', 'y', 6)}"
                    " FROM (VALUES %s) AS given (x, y)",
                    pairs,
                    page_size=len(pairs),
                    fetch=True,
                )
                assert len(found) == len(pairs)
                for over, under, money, quotient in found:
                    assert money == round_fraction(Fraction(over) / Fraction(under), currency)
                    assert quotient == EXACT.divide(over, under).quantize(
                        Decimal("0.000001"), rounding=ROUND_HALF_UP, context=EXACT
                    )
            cursor.execute(f"SELECT {ratio('1', '0', 4)}")
            assert cursor.fetchone() == (None,)
        connection.close()

"""What closes know of a row, and what a change of it, or of what it was, changes at any of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from billing_builders import day, put_rate, record, small_firm
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing.entities import FxRate
from agents.billing.known import Ended, KnownRows
from agents.billing.touches import Touch

# A close at every moment of decision, one before and one after them: each pair of moments has one between.
CLOSES = [datetime(2026, 4, number, tzinfo=UTC) for number in range(1, 10)]
MOMENTS = CLOSES[1:8]

some = st.none() | st.sampled_from(MOMENTS)
rows = st.builds(
    lambda row_id, rate, decided: FxRate(
        row_id, "EUR", "USD", date(2026, 3, 30), Decimal(rate), None, decided
    ),
    st.sampled_from("AB"),
    st.integers(1, 3),
    some,
)
edits = st.tuples(st.just("row"), rows, st.booleans()) | st.tuples(
    st.sampled_from("VWX"), st.builds(Ended, rows, st.sampled_from(MOMENTS)), st.booleans()
)


def knowledge(known: KnownRows[FxRate]) -> dict[tuple[str, datetime | None], Decimal | None]:
    """The rate of each row at each close, and (None) now."""
    found: dict[tuple[str, datetime | None], Decimal | None] = {}
    for row_id in "AB":
        for close in CLOSES:
            stood = known.stood(row_id, close)
            found[row_id, close] = None if stood is None else stood.rate
        now = known.by_id.get(row_id)
        found[row_id, None] = None if now is None else now.rate
    return found


def test_the_last_decision_before_a_close_that_had_not_ended() -> None:
    """1 since long ago, 2 since 3 April, 3 since 5 April: a decision at the close is not known to it."""
    known: KnownRows[FxRate] = KnownRows()
    old = FxRate("A", "EUR", "USD", date(2026, 3, 30), Decimal(1))
    second = FxRate("A", "EUR", "USD", date(2026, 3, 30), Decimal(2), None, CLOSES[2])
    known.replace_version("V", Ended(old, CLOSES[2]))
    known.replace_version("W", Ended(second, CLOSES[4]))
    known.replace("A", FxRate("A", "EUR", "USD", date(2026, 3, 30), Decimal(3), None, CLOSES[4]))
    found = [stood.rate for close in CLOSES[:7] if (stood := known.stood("A", close)) is not None]
    assert found == [1, 1, 1, 2, 2, 3, 3]
    assert known.moments("A") == {CLOSES[2], CLOSES[4]}
    assert known.newest == CLOSES[4]


@given(st.lists(edits, max_size=12))
@settings(max_examples=300, deadline=None)
def test_differences_are_what_closes_know_otherwise(changes: list[tuple[str, object, bool]]) -> None:
    """Neither more nor less: each close that knows something else is told of, and nothing else is."""
    known: KnownRows[FxRate] = KnownRows()
    for name, value, gone in changes:
        before = knowledge(known)
        if isinstance(value, FxRate):
            told = known.replace(value.id, None if gone else value)
        else:
            assert isinstance(value, Ended)
            told = known.replace_version(name, None if gone else value)
        after = knowledge(known)
        differ = {(before[key], after[key]) for key in before if before[key] != after[key]}
        pairs = {(a and a.rate, b and b.rate) for a, b in told}
        assert pairs == differ


def test_a_rate_that_ends_touches_only_the_days_it_loses_once_it_is_known_what_it_was() -> None:
    """The version first, then the row that ends on 1 July: entries of March are not looked at again."""
    firm = put_rate(small_firm(), "erp:R1", 100, project_id="erp:P1", role="dev")
    row = firm.rows["rate", "erp:R1"]
    ended = {name: value for name, value in row.items() if name != "id"}
    version = record("rate_version", "erp:V1", **{**ended, "rate_id": "erp:R1", "ended_at": CLOSES[3]})
    assert firm.ref.apply("rate_version", "erp:V1", version) == []
    closed = {**row, "effective_to": day("07-01"), "decided_at": CLOSES[3]}
    assert firm.ref.apply("rate", "erp:R1", closed) == [Touch("rate@pr:erp:P1/dev", day("07-01"), None)]


def test_a_version_that_comes_last_touches_all_its_days() -> None:
    """Until it is there, closes before the decision knew no rate."""
    firm = put_rate(small_firm(), "erp:R1", 100, project_id="erp:P1", role="dev")
    row = firm.rows["rate", "erp:R1"]
    all_days = Touch("rate@pr:erp:P1/dev", row["effective_from"], None)
    assert firm.ref.apply("rate", "erp:R1", {**row, "decided_at": CLOSES[3]}) == [all_days]
    ended = {name: value for name, value in row.items() if name != "id"}
    version = record("rate_version", "erp:V1", **{**ended, "rate_id": "erp:R1", "ended_at": CLOSES[3]})
    assert firm.ref.apply("rate_version", "erp:V1", version) == [all_days]

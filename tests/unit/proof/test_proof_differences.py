"""Differences as values: they are those that the oracle counts, whatever was changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from oracle import Actual, Expected, Fold, Parked, compare
from oracle.drafts import DraftKey
from oracle.segments import Draft
from unit.proof.doctored import actual, expected, key_of

from connectors.proof.differences import Difference, find
from connectors.proof.words import Figures

Tamper = Callable[[Expected, Actual], None]


def a_cent(of: Expected, found: Actual) -> None:
    """An amount of the ledger is a cent too much."""
    assert found.ledger is not None
    key = key_of(of, "time:2", "unbilled")
    fold = found.ledger.folds[key]
    assert fold.amount is not None
    found.ledger.folds[key] = replace(fold, amount=fold.amount + Decimal("0.01"))


def a_segment(of: Expected, found: Actual) -> None:
    """A segment of the ledger is missing, and so is its time."""
    assert found.ledger is not None
    del found.ledger.folds[key_of(of, "time:2", "over_cap")]


def a_bucket(of: Expected, found: Actual) -> None:
    """A current segment is in another bucket."""
    assert found.current is not None
    key = key_of(of, "time:2", "over_cap")
    found.current.folds[key._replace(bucket="written_off")] = found.current.folds.pop(key)


def an_event_twice(_: Expected, found: Actual) -> None:
    """An event was counted twice."""
    assert found.ledger is not None
    found.ledger.duplicates["erp:E:time:1:base:1:CHARGE"] = 2


def a_reason(_: Expected, found: Actual) -> None:
    """An entry is parked for another reason."""
    assert found.current is not None
    found.current.parked["time:3"] = Parked("MISSING_RATE", ("rate:x",))


def a_day(_: Expected, found: Actual) -> None:
    """A day has another capacity, and a window is missing, as is one of a group, and all of the plan."""
    assert found.daily is not None
    assert found.windows is not None
    assert found.groups is not None
    del found.groups[next(iter(found.groups))]
    assert found.plans is not None
    found.plans.clear()
    key = next(iter(found.daily))
    found.daily[key] = replace(found.daily[key], capacity=1)
    del found.windows[next(iter(found.windows))]


def a_draft(_: Expected, found: Actual) -> None:
    """A draft that there is not, and a proposal with another PO."""
    assert found.current is not None
    assert found.proposals is not None
    found.current.drafts[DraftKey("erp:E", "time:2", "erp:I9")] = Draft(60, Decimal(2), True)
    key = next(iter(found.proposals))
    found.proposals[key] = found.proposals[key]._replace(po_number="PO-1")


def an_earned_cent(_: Expected, found: Actual) -> None:
    """A month of a contract line has earned a cent too much."""
    assert found.revenue is not None
    key = next(iter(found.revenue))
    recognised = found.revenue[key].recognised
    assert recognised is not None
    found.revenue[key] = replace(found.revenue[key], recognised=recognised + Decimal("0.01"))


def an_incident(_: Expected, found: Actual) -> None:
    """The credit of I2 is nobody's matter, and 2 h/100 more are over the cap."""
    assert found.incidents is not None
    del found.incidents["erp:E:time:4:due:erp:I2"]
    over = "erp:E:over-cap:engagement"
    assert found.incidents[over] == ("OVER_CAP", 3 * 3600, Decimal(300), "EUR")
    found.incidents[over] = found.incidents[over]._replace(seconds=5 * 3600, amount=Decimal(400))


def nothing(_: Expected, found: Actual) -> None:
    """A fold that was reversed in full is no fold."""
    assert found.ledger is not None
    key = next(iter(found.ledger.folds))
    found.ledger.folds[key._replace(segment="gone")] = Fold(0, Decimal(0), 0)


@pytest.mark.parametrize(
    "tamper",
    [
        a_cent,
        a_segment,
        a_bucket,
        an_event_twice,
        a_reason,
        a_day,
        a_draft,
        an_earned_cent,
        an_incident,
        nothing,
    ],
)
def test_what_is_found_is_what_the_oracle_counts(tamper: Tamper) -> None:
    """By check, and by its words as far as the oracle lists them."""
    of = expected()
    found = actual(of)
    tamper(of, found)
    differences = sorted(find("topics", of, found), key=lambda difference: difference.order)
    counted = {check: n for check, (_, n) in compare(of, found).by_check.items() if n}
    assert dict(Counter(difference.place.check for difference in differences)) == counted
    assert bool(differences) == (tamper is not nothing)


def test_right_outputs_have_no_difference() -> None:
    """Nothing is found where nothing is wrong."""
    of = expected()
    assert list(find("topics", of, actual(of))) == []


def test_a_difference_says_where_and_what() -> None:
    """Side, check, key, and both figures, to the cent."""
    of = expected()
    found = actual(of)
    a_cent(of, found)
    (one,) = find("warehouse", of, found)
    assert one == Difference(one.place, Figures(10800, Decimal(300)), Figures(10800, Decimal("300.01")))
    assert str(one).startswith("warehouse: ledger erp:E time:2 base unbilled erp:L EUR 2026-03")
    assert str(one).endswith("expected 10800 s 300.00, found 10800 s 300.01")


def test_drafts_and_proposals_are_told_in_words() -> None:
    """With all that is compared of them."""
    of = expected()
    found = actual(of)
    a_draft(of, found)
    said = {difference.place.check: str(difference) for difference in find("topics", of, found)}
    assert said["drafts"].endswith("erp:I9: expected nothing, found 60 s 2.00, stale")
    assert "PO None, tax region None, found" in said["proposals"]
    assert said["proposals"].endswith("0 stale drafts, PO PO-1, tax region None")


def test_incidents_are_told_in_words() -> None:
    """Class, time and money."""
    of = expected()
    found = actual(of)
    an_incident(of, found)
    said = sorted(str(difference) for difference in find("topics", of, found))
    assert said[0].endswith("expected OVER_CAP 10800 s, 300.00 EUR, found OVER_CAP 18000 s, 400.00 EUR")
    assert said[1].endswith(
        "erp:E:time:4:due:erp:I2: expected CREDIT_DUE -3600 s, -100.00 EUR, found nothing"
    )


def test_the_ledger_comes_first() -> None:
    """It explains most of what follows; the sides come one after the other."""
    of = expected()
    found = actual(of)
    for tamper in (a_day, a_segment, a_reason):
        tamper(of, found)
    both = [*find("warehouse", of, found), *find("topics", of, found)]
    first = min(both, key=lambda difference: difference.order)
    assert first.place[:2] == ("topics", "ledger")
    assert first.found is None

"""Acts on closed periods, where the legal entity asks for a right: judged by the agents and by the oracle.

Work of 30 March; March is closed softly on 2 April 18:00, and hard on 3 April 18:00.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import Sources, at, day
from two_judges import Agents, Judge, Oracle

SOFT, HARD = at("04-02 18:00"), at("04-03 18:00")
REFUSED = {"time:1": ("CLOSED_PERIOD", ("period:erp:2026-03", "right:erp:LE/erp:B"))}


def approved(text: str, late_acts: str | None = "by_right", by: str | None = "B") -> Sources:
    """The firm with its first months, and 8 h that ``B`` approved at a time."""
    sources = Sources().put("legal_entity", "LE", late_acts=late_acts)
    for month in (3, 4, 5):
        starts, ends = date(2026, month, 1), date(2026, month + 1, 1)
        sources.put("accounting_period", f"2026-{month:02}", starts_on=starts, ends_on=ends)
    sources.put("accounting_period", "2026-03", status="closed", soft_closed_at=SOFT, closed_at=HARD)
    return sources.work(1, "03-30", 8, approved_at=at(text), approved_by=by)


def with_right(sources: Sources, since: str = "01-01 00:00", until: str | None = None) -> Sources:
    """``B`` has the right for a time."""
    span = {"granted_at": at(since), "revoked_at": None if until is None else at(until)}
    return sources.put("period_right", "PR", legal_entity_id="LE", person_id="B", **span)


@pytest.mark.parametrize("late_acts", [None, "anybody", "by_right"])
def test_before_the_soft_close_nobody_needs_a_right(judge: Judge, late_acts: str | None) -> None:
    """A minute before it the work date is the accounting date."""
    assert judge(approved("04-02 17:59", late_acts)).dates == {"time:1": day("03-30")}


def test_without_the_right_a_soft_close_is_a_close(judge: Judge) -> None:
    """From its very moment on the entry is parked, and says whose right at which period it lacks."""
    said = judge(approved("04-02 18:00"))
    assert said.parked == REFUSED
    said.check_conservation()


def test_with_the_right_a_softly_closed_period_is_open(judge: Judge) -> None:
    """It is booked where the work was done."""
    assert judge(with_right(approved("04-03 17:59"))).dates == {"time:1": day("03-30")}


def test_with_the_right_a_late_act_is_an_adjustment(judge: Judge) -> None:
    """After the hard close it is booked on the first day of the first open period; without it, nowhere."""
    sources = approved("04-03 18:00")
    assert judge(sources).parked == REFUSED
    assert judge(with_right(sources)).dates == {"time:1": day("04-01")}


@pytest.mark.parametrize("late_acts", [None, "anybody"])
def test_elsewhere_anybody_may_be_late(judge: Judge, late_acts: str | None) -> None:
    """E11: the soft close says nothing, and after the hard one it is 1 April."""
    assert judge(approved("04-02 19:00", late_acts)).dates == {"time:1": day("03-30")}
    assert judge(approved("04-04 09:00", late_acts)).dates == {"time:1": day("04-01")}


def test_the_right_counts_that_was_held_at_the_decision(judge: Judge) -> None:
    """Not one that began later, nor one that had ended; its last moment is exclusive."""
    assert judge(with_right(approved("04-04 09:00"), since="04-04 09:01")).parked == REFUSED
    assert judge(with_right(approved("04-04 09:00"), until="04-04 09:00")).parked == REFUSED
    assert judge(with_right(approved("04-04 09:00"), until="04-04 09:01")).parked == {}


def test_an_unknown_approver_has_no_right(judge: Judge) -> None:
    """A late act that names nobody is nobody's."""
    refused = ("CLOSED_PERIOD", ("period:erp:2026-03", "right:erp:LE/None"))
    assert judge(approved("04-04 09:00", by=None)).parked == {"time:1": refused}


def test_another_legal_entitys_right_is_none_here(judge: Judge) -> None:
    """Rights are of one legal entity."""
    sources = with_right(approved("04-04 09:00")).put("period_right", "PR", legal_entity_id="LE2")
    assert judge(sources).parked == REFUSED


def test_time_without_money_is_not_refused(judge: Judge) -> None:
    """Non-billable work has no charge that a closed period could lack."""
    sources = approved("04-04 09:00").put("contract_line", "L", billing_method="non_billable")
    assert judge(sources).parked == {}


moments = st.integers(0, 80).map(lambda hours: datetime(2026, 4, 1, tzinfo=UTC) + timedelta(hours=hours))


@settings(max_examples=150, deadline=None)
@given(
    late_acts=st.sampled_from([None, "by_right"]),
    closes=st.tuples(st.none() | moments, st.none() | moments),
    quarter=st.none() | moments,
    rights=st.lists(st.tuples(st.sampled_from("BD"), moments, st.none() | moments), max_size=3),
    work=st.lists(
        st.tuples(st.sampled_from(["03-30", "04-01"]), st.sampled_from("BD"), st.none() | moments),
        min_size=1,
        max_size=4,
    ),
)
def test_both_judges_agree(
    late_acts: str | None,
    closes: tuple[datetime | None, datetime | None],
    quarter: datetime | None,
    rights: list[tuple[str, datetime, datetime | None]],
    work: list[tuple[str, str, datetime | None]],
) -> None:
    """Whatever closes when, whoever has a right when, and approves when; also where periods overlap."""
    sources = approved("04-01 00:00", late_acts)
    sources.put("accounting_period", "2026-03", soft_closed_at=closes[0], closed_at=closes[1])
    span = {"starts_on": day("01-01"), "ends_on": day("04-01")}
    sources.put("accounting_period", "Q1", **span, closed_at=quarter)
    for number, (person, granted, revoked) in enumerate(rights):
        span = {"granted_at": granted, "revoked_at": revoked}
        sources.put("period_right", f"R{number}", legal_entity_id="LE", person_id=person, **span)
    for number, (on, person, moment) in enumerate(work, start=2):
        sources.work(number, on, 1, approved_at=moment, approved_by=person)
    said, expected = Agents()(sources), Oracle()(sources)
    assert (said.figures, said.parked, said.dates) == (expected.figures, expected.parked, expected.dates)
    said.check_conservation()

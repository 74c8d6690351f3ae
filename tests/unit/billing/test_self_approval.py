"""Time that its own author approved waits for somebody else, judged by the agents and by the oracle."""

from __future__ import annotations

import pytest
from source_databases import HOUR, D, Sources, day
from two_judges import Judge

WAITS = {"time:1": ("SELF_APPROVAL", ("approver:erp:C",))}


def test_it_is_parked_until_somebody_else_approves(judge: Judge) -> None:
    """Its worth is not known, its time counts; approved by another, it is billed."""
    sources = Sources().work(1, "03-05", 8, approved_by="C")
    own = judge(sources)
    assert own.figures == {("time:1", "base"): ("parked", 8 * HOUR, None)}
    assert own.parked == WAITS
    assert own.days == {("erp:C", day("03-05")): 8 * HOUR}
    again = judge(sources.work(1, "03-05", 8, version=2, approved_by="M"))
    assert again.figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(800))}
    assert again.parked == {}


@pytest.mark.parametrize("method", ["per_diem", "milestone"])
def test_work_for_a_fixed_fee_too(judge: Judge, method: str) -> None:
    """A day that only its author vouches for earns no per diem."""
    sources = Sources().put("contract_line", "L", billing_method=method, per_diem_amount=D(900))
    assert judge(sources.work(1, "03-05", 8, approved_by="C")).parked == WAITS


def test_nobody_waits_for_what_is_never_billed(judge: Judge) -> None:
    """Internal and non-billable work."""
    sources = Sources().put("contract_line", "L", billing_method="non_billable")
    sources.put("project", "I", engagement_id=None, contract_line_id=None)
    sources.work(1, "03-05", 8, approved_by="C").work(2, "03-05", 1, project_code="I", approved_by="C")
    judgement = judge(sources)
    assert judgement.parked == {}
    assert {bucket for bucket, _, _ in judgement.figures.values()} == {"non_chargeable"}


def test_what_is_missing_is_said_first(judge: Judge) -> None:
    """The reference; once it is there, the approval."""
    sources = Sources().work(1, "03-05", 8, approved_by="C").drop("client", "A")
    assert judge(sources).parked == {"time:1": ("MISSING_REFERENCE", ("client:erp:A",))}
    assert judge(sources.put("client", "A")).parked == WAITS


def test_a_posted_line_of_it_stays_posted(judge: Judge) -> None:
    """Billed before anybody looked: what is posted is frozen, and nothing more of it is to be billed."""
    sources = Sources().work(1, "03-05", 8, approved_by="C").charge("I1", 1, 8, 800)
    assert judge(sources).figures == {("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800))}

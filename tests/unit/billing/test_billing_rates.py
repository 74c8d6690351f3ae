"""Which rate wins: scopes, cards, ties, effective ranges, and the explanation of all three."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from billing_builders import Firm, day, entry, put_rate, rated, small_firm

from agents.billing import RateSubject, explain_rate, find_rate

SCOPES: list[dict[str, Any]] = [
    {"task_id": "erp:T1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "role": "dev"},
    {"contract_line_id": "erp:L1", "role": "dev"},
    {"client_id": "erp:CL1", "role": "dev", "grade": "senior", "region": "eu"},
    {"client_id": "erp:CL1", "role": "dev", "region": "eu"},
    {"client_id": "erp:CL1", "grade": "senior"},
    {"client_id": "erp:CL1"},
    {"role": "dev", "grade": "senior", "region": "eu"},
    {"grade": "senior", "region": "eu"},
    {"region": "eu"},
    {},
]
MISMATCHES: list[dict[str, Any]] = [
    {"task_id": "erp:T2", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "role": "qa"},
    {"client_id": "erp:CL1", "grade": "junior"},
    {"client_id": "erp:CL2"},
    {"role": "dev", "region": "us"},
]
OTHER_SHAPES: list[dict[str, Any]] = [
    {"task_id": "erp:T1"},
    {"consultant_id": "erp:C1"},
    {"project_id": "erp:P1"},
    {"contract_line_id": "erp:L1"},
    {"task_id": "erp:T1", "role": "dev"},
    {"project_id": "erp:P1", "role": "dev", "grade": "senior"},
    {"client_id": "erp:CL1", "consultant_id": "erp:C1"},
    {"contract_line_id": "erp:L1", "client_id": "erp:CL1", "role": "dev"},
]


def bare_firm() -> Firm:
    """The small firm without a rate."""
    return small_firm().drop("rate", "erp:R-default")


def winner(firm: Firm, on: str = "03-02") -> str | None:
    """The rate of an entry with a task."""
    item = rated(firm, entry(1, on, 8, task_id="erp:T1")).item
    assert item is not None
    return item.rate_id


def subject(firm: Firm) -> RateSubject:
    """C1 on task T1."""
    return RateSubject(firm.ref.consultants["erp:C1"], "erp:P1", "erp:T1", "erp:L1", "erp:CL1")


@pytest.mark.parametrize("index", range(len(SCOPES)))
def test_the_most_specific_scope_wins(index: int) -> None:
    """Each scope beats all that come after it, and none that come before."""
    firm = bare_firm()
    for number, scope in reversed(list(enumerate(SCOPES[index:], index))):
        put_rate(firm, f"erp:R{number:02}", 100 + number, **scope)
    assert winner(firm) == f"erp:R{index:02}"


@pytest.mark.parametrize("scope", MISMATCHES + OTHER_SHAPES)
def test_other_subjects_and_other_shapes_never_match(scope: dict[str, Any]) -> None:
    """A rate matches only with every column equal, and only in one of the listed shapes."""
    result = rated(put_rate(bare_firm(), "erp:R1", 100, **scope), entry(1, "03-02", 8, task_id="erp:T1"))
    assert result.parking is not None
    assert result.parking.exception_class == "MISSING_RATE"
    assert result.parking.missing_keys == ("rate:erp:L1/erp:C1",)


@pytest.mark.parametrize("scope", SCOPES)
def test_two_rates_of_one_scope_are_ambiguous(scope: dict[str, Any]) -> None:
    """A tie is never a choice: both are named, sorted, and the entry waits."""
    firm = put_rate(put_rate(bare_firm(), "erp:R9", 100, **scope), "erp:R10", 100, **scope)
    put_rate(firm, "erp:R-less", 90, client_id="erp:CL2")
    result = rated(firm, entry(1, "03-02", 8, task_id="erp:T1"))
    assert result.parking is not None
    assert result.parking.exception_class == "AMBIGUOUS_RATE"
    assert result.parking.missing_keys == ("rate:erp:R10", "rate:erp:R9")


def test_cards_with_as_many_attributes_tie() -> None:
    """Role and grade is as specific as role and region."""
    firm = put_rate(bare_firm(), "erp:R1", 100, role="dev", grade="senior")
    put_rate(firm, "erp:R2", 110, role="dev", region="eu")
    put_rate(firm, "erp:R3", 120, role="dev")
    result = rated(firm, entry(1, "03-02", 8))
    assert result.parking is not None
    assert result.parking.missing_keys == ("rate:erp:R1", "rate:erp:R2")


def test_an_attribute_that_the_consultant_lacks_matches_nothing() -> None:
    """A consultant without a role gets no role's rate, and does not tie with himself."""
    firm = bare_firm().put("consultant", "erp:C1", role=None)
    put_rate(firm, "erp:R1", 100, project_id="erp:P1", role="dev")
    put_rate(firm, "erp:R2", 100, grade="senior")
    assert winner(firm) == "erp:R2"


@pytest.mark.parametrize(
    ("on", "expected"),
    [("02-28", "erp:R-old"), ("03-01", "erp:R-new"), ("06-30", "erp:R-new"), ("07-01", None)],
)
def test_rates_hold_on_a_half_open_range(on: str, expected: str | None) -> None:
    """The work date decides, the end is exclusive."""
    scope = {"project_id": "erp:P1", "role": "dev"}
    firm = put_rate(bare_firm(), "erp:R-old", 100, effective_to=day("03-01"), **scope)
    put_rate(firm, "erp:R-new", 110, effective_from=day("03-01"), effective_to=day("07-01"), **scope)
    assert winner(firm, on) == expected


def test_a_lapsed_rate_lets_the_next_scope_win() -> None:
    """A more specific rate that is not effective does not hide a less specific one."""
    firm = put_rate(bare_firm(), "erp:R1", 150, project_id="erp:P1", role="dev", effective_to=day("02-01"))
    put_rate(firm, "erp:R2", 100, role="dev")
    assert winner(firm) == "erp:R2"
    assert winner(firm, "01-15") == "erp:R1"


def test_ids_with_slashes_are_not_confused() -> None:
    """Coordinates are compared by their parts, not by their text."""
    firm = bare_firm().put("project", "a/b", engagement_id="erp:E1", contract_line_id="erp:L1")
    put_rate(firm, "erp:R1", 100, project_id="a", role="b/dev")
    put_rate(firm, "erp:R2", 120, project_id="a/b", role="dev")
    item = rated(firm, entry(1, "03-02", 8, project_id="a/b")).item
    assert item is not None
    assert item.rate_id == "erp:R2"


def test_the_explanation_says_why_the_others_lost() -> None:
    """Every rate that concerns the subject is listed, most specific first, with its outcome."""
    firm = put_rate(
        bare_firm(), "erp:R1", 100, project_id="erp:P1", role="dev", effective_to=date(2026, 2, 1)
    )
    put_rate(firm, "erp:R2", 110, client_id="erp:CL1", role="dev", grade="senior")
    put_rate(firm, "erp:R3", 120, client_id="erp:CL1", role="dev")
    put_rate(firm, "erp:R4", 130, client_id="erp:CL1", role="qa")
    put_rate(firm, "erp:R5", 140)
    put_rate(firm, "erp:R6", 150, client_id="erp:CL9")
    explanation = explain_rate(firm.ref.rates, subject(firm), day("03-02"))
    assert explanation.winner is not None
    assert explanation.winner.id == "erp:R2"
    assert [(c.rate.id, c.scope, c.outcome) for c in explanation.candidates] == [
        ("erp:R1", "project and role", "not effective on the work date"),
        ("erp:R2", "client card", "won"),
        ("erp:R3", "client card", "another rate of the card asks for more of the consultant's attributes"),
        ("erp:R4", "client card", "asks for role qa, the consultant has dev"),
        ("erp:R5", "default card", "a more specific scope has a rate"),
    ]
    assert explanation.examined == find_rate(firm.ref.rates, subject(firm), day("03-02")).examined


def test_the_explanation_of_a_tie_names_no_winner() -> None:
    """Both are tied."""
    firm = put_rate(put_rate(bare_firm(), "erp:R1", 100, role="dev"), "erp:R2", 100, role="dev")
    explanation = explain_rate(firm.ref.rates, subject(firm), day("03-02"))
    assert explanation.winner is None
    assert [c.outcome for c in explanation.candidates] == ["tied", "tied"]

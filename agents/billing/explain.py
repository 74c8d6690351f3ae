"""Why a rate won: every rate that concerns the subject, the winner, and why each of the others lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from agents.billing.entities import Consultant, Rate
from agents.billing.rates import DEFAULT_CARD, SCOPE_NAMES, RateSubject, RateTable, find_rate, subject_pairs

WON: Final = "won"
TIED: Final = "tied"
NOT_EFFECTIVE: Final = "not effective on the work date"
LESS_SPECIFIC: Final = "a more specific scope has a rate"
FEWER_ATTRIBUTES: Final = "another rate of the card asks for more of the consultant's attributes"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rate that was considered: its scope in words, and ``won``, ``tied`` or why it lost."""

    rate: Rate
    scope: str
    outcome: str


@dataclass(frozen=True, slots=True)
class RateExplanation:
    """``winner`` is None for a tie or a miss; candidates are most specific first, then by id."""

    winner: Rate | None
    candidates: tuple[Candidate, ...]
    examined: tuple[str, ...]


def explain_rate(table: RateTable, subject: RateSubject, day: date) -> RateExplanation:
    """The explanation of what `find_rate` says for the same subject and work date.

    Example: a rate for (project, role) wins; the client's card is listed with "a more specific scope has a
    rate", last year's rate of the same scope with "not effective on the work date".
    """
    finding = find_rate(table, subject, day)
    best = dict.fromkeys((rate.id for rate in finding.rates), WON if len(finding.rates) == 1 else TIED)
    candidates = []
    passed = False  # whether the winning scope is behind us
    for scope, rates in _scopes(table, subject):
        for rate in sorted(rates, key=_id):
            outcome = best.get(rate.id) or _loss(rate, subject.consultant, day, passed)
            candidates.append(Candidate(rate, SCOPE_NAMES[scope], outcome))
        passed = passed or scope == finding.scope
    winner = finding.rates[0] if len(finding.rates) == 1 else None
    return RateExplanation(winner, tuple(candidates), finding.examined)


def _scopes(table: RateTable, subject: RateSubject) -> list[tuple[str, list[Rate]]]:
    pairs = [(pair[0], table.pair_rates(pair)) for pair in subject_pairs(subject)]
    client = list(table.card_rates(f"rate@cl:{subject.client_id}"))
    return [*pairs, ("cl", client), ("default", list(table.card_rates(DEFAULT_CARD)))]


def _loss(rate: Rate, consultant: Consultant, day: date, passed: bool) -> str:
    for name in ("role", "grade", "region"):
        wanted, has = getattr(rate, name), getattr(consultant, name)
        if wanted is not None and wanted != has:
            return f"asks for {name} {wanted}, the consultant has {has}"
    if not rate.is_effective_on(day):
        return NOT_EFFECTIVE
    return LESS_SPECIFIC if passed else FEWER_ATTRIBUTES


def _id(rate: Rate) -> str:
    return rate.id

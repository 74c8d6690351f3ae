"""The rate of a ledger line held against the rates as they are now, or why the line has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from agents.billing.chain import resolve
from agents.billing.contracts import MILESTONE, PER_DIEM
from agents.billing.entities import Rate
from agents.billing.explain import TIED, RateExplanation, explain_rate
from agents.billing.items import FIXED_FEE, NON_CHARGEABLE, PARKED
from agents.billing.rates import RateSubject
from agents.billing.reference import BillingReference
from agents.billing.results import AMBIGUOUS_RATE, MISSING_FX, MISSING_RATE
from agents.billing.segments import (
    DUE_SEGMENT,
    ON_DRAFT,
    PER_DIEM_SEGMENT,
    POSTED_SEGMENT,
    UPLIFT_SEGMENT,
    Segment,
)
from agents.explain.arithmetic import money_text, price_unit, unit_text

# Parked for something that the candidates explain.
_OF_RATES: Final = (MISSING_RATE, AMBIGUOUS_RATE, MISSING_FX)


@dataclass(frozen=True, slots=True)
class CandidateRate:
    """A row of the table of candidates; ``effective_to`` is exclusive."""

    id: str
    scope: str
    asks_for: str
    price: Decimal
    unit: str
    currency: str
    effective_from: date | None
    effective_to: date | None
    outcome: str


@dataclass(frozen=True, slots=True)
class RateStory:
    """``rate_id`` is the line's. ``none_because`` is set where a line has no rate.

    ``still_wins`` is None where that can't be said: nothing to compare, or references are missing now.
    ``statement`` says all of it in a sentence.
    """

    rate_id: str | None
    none_because: str | None
    winner_now: str | None
    still_wins: bool | None
    statement: str
    candidates: tuple[CandidateRate, ...]


def why_rate(
    segment: Segment, is_milestone: bool, first_of_day: str | None, ref: BillingReference
) -> RateStory:
    """The story of a segment's rate, for its own person, project, task and work date.

    ``first_of_day`` is the id of a line that the rate of a day's uplift is explained at.
    """
    if segment.rate_id is None:
        because = no_rate_reason(segment, is_milestone)
        is_expense = segment.price is not None
        if is_expense or segment.bucket != PARKED or segment.exception_class not in _OF_RATES:
            return RateStory(None, because, None, None, because, ())
    elif segment.segment == UPLIFT_SEGMENT:
        where = f"; see {first_of_day}" if first_of_day else ""
        statement = f"{segment.rate_id}, the rate of the day's first entry{where}"
        return RateStory(segment.rate_id, None, None, None, statement, ())
    subject, missing = _subject(segment, ref)
    none_because = None if segment.rate_id else no_rate_reason(segment, is_milestone)
    if subject is None or segment.work_date is None:
        statement = f"no candidates can be looked for now: {missing}"
        return RateStory(segment.rate_id, none_because, None, None, statement, ())
    found = explain_rate(ref.rates, subject, segment.work_date)
    wins = None
    if segment.rate_id is not None:
        wins = found.winner is not None and _same(segment, found.winner)
    return RateStory(
        segment.rate_id,
        none_because,
        None if found.winner is None else found.winner.id,
        wins,
        _statement(segment, found),
        tuple(_candidate(one.rate, one.scope, one.outcome) for one in found.candidates),
    )


def no_rate_reason(segment: Segment, is_milestone: bool) -> str:
    """Why a segment without a rate has none."""
    if segment.segment.startswith(POSTED_SEGMENT):
        return "the line is posted: the ERP's own time and money count, and no rate of today moves them"
    if segment.segment.startswith(DUE_SEGMENT):
        return (
            "a credit is due: the entry was changed after it was invoiced, so the posted line is taken back "
            "with the ERP's own figures"
        )
    if segment.bucket == ON_DRAFT and not segment.seconds and not segment.amount:
        return "the ERP has it on a draft, and nothing of it is there to bill"
    if segment.bucket == PARKED:
        keys = ", ".join(segment.missing_keys or ())
        return f"it is parked as {segment.exception_class}, waiting for {keys}; its money is unknown, not 0"
    if segment.price is not None and segment.rate_id is None:
        return "an expense is worth its net cost with its markup, whoever paid it"
    if is_milestone:
        return "an accepted milestone is worth its own amount"
    if segment.segment == PER_DIEM_SEGMENT:
        return "a day on a per diem line is worth the contract line's amount, however long it was"
    if segment.bucket == FIXED_FEE:
        return f"the time is paid by a fixed fee (a {MILESTONE} or {PER_DIEM} line), not by the hour"
    if segment.bucket == NON_CHARGEABLE:
        return "the work is internal, or its contract line or task is non-billable"
    return "it has no price by the hour"


def _subject(segment: Segment, ref: BillingReference) -> tuple[RateSubject | None, str]:
    """Who works on what, by the references as they are now; or what is missing for that."""
    if segment.consultant_id is None or segment.project_id is None:
        return None, "the line names no consultant and project"
    chain = resolve(segment.consultant_id, segment.project_id, segment.task_id, ref, segment.work_date)
    if chain.missing:
        return None, f"not in the reference tables: {', '.join(sorted(set(chain.missing)))}"
    if chain.consultant is None or chain.line is None or chain.engagement is None:
        return None, f"{segment.project_id} is internal now"
    subject = RateSubject(
        chain.consultant, segment.project_id, segment.task_id, chain.line.id, chain.engagement.client_id
    )
    return subject, ""


def _same(segment: Segment, rate: Rate) -> bool:
    price = (segment.rate_id, segment.price, price_unit(segment))
    return price == (rate.id, rate.price, rate.unit_seconds)


def _statement(segment: Segment, found: RateExplanation) -> str:
    on = f"on {segment.work_date}"
    winner, mine = found.winner, segment.rate_id
    if winner is not None:
        if mine is None:
            return f"{winner.id} would win now {on}"
        if _same(segment, winner):
            return f"{mine} wins now, too, {on}"
        if winner.id == mine:
            return f"{mine} wins now, too, {on}, but its price is {price_text(winner)} now"
        return f"the line has {mine}; that is no longer the winner: {winner.id} wins now {on}"
    tied = ", ".join(one.rate.id for one in found.candidates if one.outcome == TIED)
    now = f"{tied} are equally specific now {on}, so none wins" if tied else f"no rate holds now {on}"
    return now if mine is None else f"the line has {mine}; that is no longer the winner: {now}"


def price_text(rate: Rate) -> str:
    """A price: ``150.00 EUR/h``, ``1000.00 EUR/day of 7.5 h``."""
    return f"{money_text(rate.price, rate.currency)} {rate.currency}/{unit_text(rate.unit_seconds)}"


def _candidate(rate: Rate, scope: str, outcome: str) -> CandidateRate:
    asked = [f"{name} {value}" for name in ("role", "grade", "region") if (value := getattr(rate, name))]
    return CandidateRate(
        rate.id,
        scope,
        ", ".join(asked),
        rate.price,
        unit_text(rate.unit_seconds),
        rate.currency,
        rate.effective_from,
        rate.effective_to,
        outcome,
    )

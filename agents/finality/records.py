"""The state of a period as a record of ``billing.period_state``, and what is raised of it as an exception."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from agents.finality.states import Late, Period, PeriodState
from streams.money import seconds_to_hours

FLOW: Final = "close"
LATE_FACT: Final = "LATE_FACT"
_NO_CURRENCY: Final = "-"

Record = dict[str, Any]


def period_of(row: Record) -> Period | None:
    """The period of a decoded ``canonical.period``; None where it is deleted or of no entity."""
    if row["deleted"] or row["legal_entity_id"] is None or row["starts_on"] is None or row["ends_on"] is None:
        return None
    return Period(
        row["id"],
        row["legal_entity_id"],
        row["starts_on"],
        row["ends_on"],
        row["soft_closed_at"],
        row["closed_at"],
    )


def to_record(state: PeriodState, now: datetime) -> Record:
    """The record. Watermarks are ``<system> <time>``, ends ``<topic> <partition> <offset>``, what is late
    ``<entry> <currency> <seconds> <amount>``, - for no currency."""
    period = state.period
    return {
        "legal_entity_id": period.legal_entity_id,
        "period_id": period.id,
        "starts_on": period.starts_on,
        "ends_on": period.ends_on,
        "revision": state.revision,
        "state": state.state,
        "soft_closed_at": period.soft_closed_at,
        "closed_at": period.closed_at,
        "final_at": state.final_at,
        "waits_for": list(state.waits_for),
        "watermarks": [f"{system} {at.isoformat()}" for system, at in (state.watermarks or {}).items()],
        "ends": [f"{topic} {of} {end}" for (topic, of), end in sorted((state.ends or {}).items())],
        "late": [
            f"{one.entry_id} {one.currency or _NO_CURRENCY} {one.seconds} {one.amount}" for one in state.late
        ],
        "computed_at": now,
    }


def from_record(record: Record) -> PeriodState:
    """As `to_record` gave it."""
    period = Period(
        record["period_id"],
        record["legal_entity_id"],
        record["starts_on"],
        record["ends_on"],
        record["soft_closed_at"],
        record["closed_at"],
    )
    told = [text.split(" ") for text in record["watermarks"]]
    ends = [text.split(" ") for text in record["ends"]]
    return PeriodState(
        period,
        record["state"],
        tuple(record["waits_for"]),
        record["final_at"],
        {system: datetime.fromisoformat(at) for system, at in told} or None,
        {(topic, int(partition)): int(end) for topic, partition, end in ends} or None,
        tuple(_late(text) for text in record["late"]),
        record["revision"],
    )


def _late(text: str) -> Late:
    entry_id, currency, seconds, amount = text.rsplit(" ", 3)
    return Late(entry_id, None if currency == _NO_CURRENCY else currency, int(seconds), Decimal(amount))


def reports(before: PeriodState | None, state: PeriodState, now: datetime) -> Iterator[Record]:
    """What to raise, and to clear, of what is late for a period, by entry and currency, where it changed."""
    had = _by_subject(before)
    has = _by_subject(state)
    for subject in sorted({*had, *has}):
        one = has.get(subject)
        if one == had.get(subject):
            continue
        yield {
            "op": "CLEAR" if one is None else "RAISE",
            "revision": state.revision,
            "flow": FLOW,
            "subject": subject,
            "exception_class": None if one is None else LATE_FACT,
            "message": None if one is None else _message(state, one),
            "blocks": None,
            "seconds": None if one is None else one.seconds,
            "amount": None if one is None or one.currency is None else one.amount,
            "currency": None if one is None else one.currency,
            **dict.fromkeys(("occurred_at", "captured_at", "published_at", "rated_at"), now),
            "snapshot": True,
        }


def _message(state: PeriodState, one: Late) -> str:
    period = state.period
    worth = "" if one.currency is None else f" and {one.amount} {one.currency}"
    return (
        f"of {one.entry_id} something that was decided before period {period.id} closed, on "
        f"{period.closed_at:%Y-%m-%d %H:%M} UTC, came when it was final: its books moved by "
        f"{seconds_to_hours(one.seconds)} h{worth}"
    )


def _by_subject(state: PeriodState | None) -> dict[str, Late]:
    if state is None:
        return {}
    return {f"{state.period.id}:{one.entry_id}:{one.currency or _NO_CURRENCY}": one for one in state.late}

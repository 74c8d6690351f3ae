"""The state of each accounting period, as ``billing.period_state`` tells it. Pure.

| state         | when                                                                                        |
|---------------|---------------------------------------------------------------------------------------------|
| `open`        | it has no hard and no soft close                                                            |
| `soft_closed` | closed to those without the right to late acts                                              |
| `closing`     | it is hard closed, and some of what was committed before that may not have been applied yet |
| `final`       | every system's watermark has passed the close in all stages                                 |
| `reopened`    | it was closing or final, and its close was taken back                                       |

A period that is final stays so while its close stays as it is: how far the systems are is then not asked any more. A
close at another time begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

OPEN: Final = "open"
SOFT_CLOSED: Final = "soft_closed"
CLOSING: Final = "closing"
FINAL: Final = "final"
REOPENED: Final = "reopened"

Place = tuple[str, int]  # a topic and a partition


class Period(NamedTuple):
    """What the ERP says of a period."""

    id: str
    legal_entity_id: str
    starts_on: date
    ends_on: date
    soft_closed_at: datetime | None
    closed_at: datetime | None


class Late(NamedTuple):
    """An entry of which something decided before the close came when the period was final: what it moved in the
    period's books, in one currency (None: what has no price)."""

    entry_id: str
    currency: str | None
    seconds: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PeriodState:
    """``waits_for`` names what a closing period waits for; ``watermarks`` are those that it became final by.

    ``ends`` is where the ledger and the topics of what is decided ended then: what is behind that, and was decided
    before the close, is ``late``.
    """

    period: Period
    state: str
    waits_for: tuple[str, ...] = ()
    final_at: datetime | None = None
    watermarks: Mapping[str, datetime] | None = None
    ends: Mapping[Place, int] | None = None
    late: tuple[Late, ...] = ()
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far everything is: by system, what is captured, and what is applied by all stages.

    ``lacking`` says what the stages have still to do for what is captured.
    """

    captured: Mapping[str, datetime]
    applied: Mapping[str, datetime]
    lacking: Sequence[str] = ()


def judge(
    period: Period,
    before: PeriodState | None,
    progress: Progress,
    systems: Collection[str],
    ends: Mapping[Place, int],
    now: datetime,
) -> PeriodState:
    """The state of a period; ``before`` itself where nothing changed.

    ``ends`` is where the ledger and the topics of what is decided ended after all that is ``applied`` was.

    Example: closed at 18:00; erp and crm are applied up to 18:01, time up to 17:55: closing, waiting for ``source time``.
    """
    state = _judge(period, before, progress, systems, ends, now)
    if before is None or state == before:
        return before or state
    return replace(state, revision=before.revision + 1)


def _judge(
    period: Period,
    before: PeriodState | None,
    progress: Progress,
    systems: Collection[str],
    ends: Mapping[Place, int],
    now: datetime,
) -> PeriodState:
    revision = 1 if before is None else before.revision
    if period.closed_at is None:
        name = OPEN if period.soft_closed_at is None else SOFT_CLOSED
        if before is not None and before.state in (CLOSING, FINAL, REOPENED) and name == OPEN:
            name = REOPENED
        return PeriodState(period, name, revision=revision)
    if before is not None and is_settled(period, before):
        return replace(before, period=period)
    waits_for = waits(period.closed_at, progress, systems)
    if waits_for:
        return PeriodState(period, CLOSING, waits_for, revision=revision)
    watermarks = {system: progress.applied[system] for system in sorted(systems)}
    return PeriodState(period, FINAL, (), now, watermarks, dict(ends), revision=revision)


def is_settled(period: Period, before: PeriodState | None) -> bool:
    """Whether a period was final by the close that it has."""
    return before is not None and before.state == FINAL and before.period.closed_at == period.closed_at


def waits(close: datetime, progress: Progress, systems: Collection[str]) -> tuple[str, ...]:
    """What a close waits for: ``source <system>`` not read beyond it, else ``stage <name>-<partition>: <what>``."""
    unread = tuple(
        f"source {system}"
        for system in sorted(systems)
        if system not in progress.captured or progress.captured[system] <= close
    )
    if unread or all(system in progress.applied and progress.applied[system] > close for system in systems):
        return unread
    return tuple(f"stage {name}" for name in progress.lacking) or ("stages",)


def with_late(before: PeriodState, late: tuple[Late, ...]) -> PeriodState:
    """With what is late for it; ``before`` itself where that is the same."""
    return before if late == before.late else replace(before, late=late, revision=before.revision + 1)

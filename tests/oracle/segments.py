"""A segment: the part of an item's time and money that is in one state of billing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple


class Work(NamedTuple):
    """Whose work it is, for whom, on what, of which day."""

    client: str | None = None
    project: str | None = None
    task: str | None = None
    consultant: str | None = None
    day: date | None = None


class Draft(NamedTuple):
    """What a line of an ERP's draft says of its entry, and whether it is stale: billing says something else."""

    seconds: int
    amount: Decimal
    is_stale: bool


class Reason(NamedTuple):
    """Why a bill adjustment counts for nothing."""

    exception_class: str
    missing_keys: tuple[str, ...]


class Segment(NamedTuple):
    """A part of one item's time and money in one bucket; ``amount`` None is unknown (parked).

    An adjustment that counts for nothing is ``refused``, with nothing in it but the reason. ``how`` it came to be worth
    that: by which rate, price, multiplier and exchange rate, or why it is parked; none of what is posted.
    """

    root: str
    entry_id: str
    segment: str
    bucket: str
    seconds: int
    amount: Decimal | None
    line_id: str | None
    currency: str | None
    accounting_date: date | None
    work: Work
    draft: Draft | None = None
    refused: Reason | None = None
    how: tuple[object, ...] = ()

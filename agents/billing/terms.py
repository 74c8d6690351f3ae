"""The terms of an allocation root: what its items share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.billing.contracts import HALF_UP, NO_CAP, PER_DIEM, PREPAID, RETAINER, Cap, LineTerms


@dataclass(frozen=True, slots=True)
class Terms:
    """Currency, parties and limits of a root, and of its contract lines by id.

    ``functional_currency`` is the legal entity's, ``fx_rate_type`` by which type of rate it is converted. ``payers`` are
    the clients that a draft may be for beside ``client_id``.

    A root that is no known engagement (internal work, parked entries, an engagement that was deleted)
    has no currency and no limits.
    """

    root_id: str
    currency: str | None = None
    client_id: str | None = None
    legal_entity_id: str | None = None
    cap: Cap = NO_CAP
    lines: Mapping[str, LineTerms] = field(default_factory=dict)
    functional_currency: str | None = None
    fx_rate_type: str | None = None
    payers: frozenset[str] = frozenset()

    @property
    def is_independent(self) -> bool:
        """Whether no item's segments depend on another item: no cap, no inclusion, no day line."""
        return not self.cap.is_set and not any(_shares(line) for line in self.lines.values())

    def rounding_of(self, contract_line_id: str | None) -> str:
        """How money of a contract line is rounded (see `rounding`); half up where the line is unknown."""
        line = self.lines.get(contract_line_id or "")
        return HALF_UP if line is None else line.rounding

    @property
    def has_day_lines(self) -> bool:
        """Whether there can be amounts of a consultant's day."""
        return any(_has_days(line) for line in self.lines.values())

    def has_days_of(self, line_id: str | None) -> bool:
        """Whether a contract line can have them."""
        line = self.lines.get(line_id or "")
        return line is not None and _has_days(line)


def _has_days(line: LineTerms) -> bool:
    return line.day_minimum_seconds > 0 or line.method == PER_DIEM


def _shares(line: LineTerms) -> bool:
    return (
        line.cap.is_set
        or _has_days(line)
        or (line.method in (RETAINER, PREPAID) and line.included_seconds > 0)
        or (line.method == PREPAID and bool(line.lots))
    )

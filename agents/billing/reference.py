"""The reference tables of billing in memory, and what a change of one of their rows can reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from operator import attrgetter
from typing import Final, TypeVar

from agents.billing.authority import LimitTable
from agents.billing.contracts import ContractLine, Engagement, LineTerms, Lot, Payer
from agents.billing.entities import (
    ApprovalLimit,
    Client,
    Consultant,
    FxRate,
    LegalEntity,
    Period,
    PeriodRight,
    Project,
    Rate,
    Record,
    Task,
)
from agents.billing.fx import FxTable
from agents.billing.known import ended_fx_rate, ended_rate
from agents.billing.periods import PeriodTable
from agents.billing.rates import RateTable
from agents.billing.rights import RightTable
from agents.billing.terms import Terms
from agents.billing.termshistory import EngagementVersion, LineVersion, TermsHistory
from agents.billing.touches import Touch, half_open
from agents.consultant_positions import Position, Positions, differing, seen_as
from agents.owned import OwnedRows
from streams.errors import ContractViolation

__all__ = [
    "REFERENCE_ENTITIES",
    "BillingReference",
    "Client",
    "Consultant",
    "ContractLine",
    "Engagement",
    "FxRate",
    "LegalEntity",
    "Period",
    "PeriodRight",
    "Project",
    "Rate",
    "Task",
    "Touch",
]

# The entities that billing reads as tables, named as in their topics (``canonical.<entity>``).
REFERENCE_ENTITIES: Final = (
    "consultant",
    "consultant_position",
    "project",
    "task",
    "contract_line",
    "engagement",
    "client",
    "legal_entity",
    "rate",
    "rate_version",
    "fx_rate",
    "fx_rate_version",
    "period",
    "period_right",
    "approval_limit",
    "prepaid_lot",
    "engagement_version",
    "contract_line_version",
    "payer_split",
)

Row = TypeVar("Row")


class BillingReference:
    """Reference rows by id with the indexes that rating and allocation ask.

    Not thread-safe; one worker feeds one instance, in the order of each row's changes.
    """

    def __init__(self) -> None:
        self.consultants: dict[str, Consultant] = {}
        self.positions = Positions()
        self.projects: dict[str, Project] = {}
        self.tasks: dict[str, Task] = {}
        self.lines: dict[str, ContractLine] = {}
        self.engagements: dict[str, Engagement] = {}
        self.clients: dict[str, Client] = {}
        self.legal_entities: dict[str, LegalEntity] = {}
        self.rates = RateTable()
        self.fx = FxTable()
        self.periods = PeriodTable()
        self.rights = RightTable()
        self.limits = LimitTable()
        self._lines_of: dict[str, set[str]] = {}
        self._lots: OwnedRows[str, Lot] = OwnedRows(attrgetter("contract_line_id"))
        self._cap_versions: OwnedRows[str, EngagementVersion] = OwnedRows(attrgetter("engagement_id"))
        self._line_versions: OwnedRows[str, LineVersion] = OwnedRows(attrgetter("contract_line_id"))
        self._payers: OwnedRows[str, Payer] = OwnedRows(attrgetter("engagement_id"))
        # Of known engagements only, so that it stays as small as the engagement table.
        self._terms: dict[str, TermsHistory] = {}

    def apply(self, entity: str, row_id: str, record: Record | None) -> list[Touch]:
        """Take in the latest state of a row and return what it touches.

        ``entity`` is one of `REFERENCE_ENTITIES`; ``record`` the decoded canonical record, where None or
        ``deleted`` takes the row away. A record whose business fields are those we hold touches
        nothing. Raises ContractViolation for an entity that billing has no table of.
        """
        gone = record is None or record["deleted"]
        row: Record = {} if gone or record is None else record
        match entity:
            case "consultant":
                return self._replace_consultant(row_id, None if gone else Consultant.from_record(row))
            case "consultant_position":
                return self._replace_position(row_id, None if gone else Position.from_record(row))
            case "project":
                return _replace(self.projects, "project", row_id, None if gone else Project.from_record(row))
            case "task":
                return _replace(self.tasks, "task", row_id, None if gone else Task.from_record(row))
            case "contract_line":
                return self._replace_line(row_id, None if gone else ContractLine.from_record(row))
            case "engagement":
                return self._replace_engagement(row_id, None if gone else Engagement.from_record(row))
            case "client":
                return _replace(self.clients, "client", row_id, None if gone else Client.from_record(row))
            case "legal_entity":
                return self._replace_legal_entity(row_id, None if gone else LegalEntity.from_record(row))
            case "rate":
                return self.rates.replace(row_id, None if gone else Rate.from_record(row))
            case "rate_version":
                return self.rates.replace_version(row_id, None if gone else ended_rate(row))
            case "fx_rate":
                return self.fx.replace(row_id, None if gone else FxRate.from_record(row))
            case "fx_rate_version":
                return self.fx.replace_version(row_id, None if gone else ended_fx_rate(row))
            case "period":
                return self.periods.replace(row_id, None if gone else Period.from_record(row))
            case "period_right":
                return self.rights.replace(row_id, None if gone else PeriodRight.from_record(row))
            case "approval_limit":
                return self.limits.replace(row_id, None if gone else ApprovalLimit.from_record(row))
            case "prepaid_lot":
                return self._replace_lot(row_id, None if gone else Lot.from_record(row))
            case "engagement_version":
                versions = self._cap_versions.replace(
                    row_id, None if gone else EngagementVersion.from_record(row)
                )
                return self._touch_roots(version.engagement_id for version in versions)
            case "contract_line_version":
                of_lines = self._line_versions.replace(row_id, None if gone else LineVersion.from_record(row))
                return self._touch_roots(self._roots_of(version.contract_line_id for version in of_lines))
            case "payer_split":
                return self._replace_payer(row_id, None if gone else Payer.from_record(row))
            case _:
                raise ContractViolation(f"billing keeps no reference table of {entity!r}")

    def consultant_on(self, consultant_id: str, day: date | None) -> Consultant | None:
        """A consultant as of a day, by their position then; by their own row alone without a day."""
        consultant = self.consultants.get(consultant_id)
        if consultant is None or day is None:
            return consultant
        return consultant.in_position(self.positions.on(consultant_id, day))

    def terms(self, root_id: str) -> Terms:
        """The caps and inclusions of an allocation root; empty for a root that is no known engagement."""
        return self.terms_history(root_id).now

    def terms_history(self, root_id: str) -> TermsHistory:
        """The same, with what they were before amendments."""
        history = self._terms.get(root_id)
        if history is not None:
            return history
        lines = {line_id: self._line_terms(line_id) for line_id in sorted(self._lines_of.get(root_id, ()))}
        engagement = self.engagements.get(root_id)
        if engagement is None:
            return TermsHistory(Terms(root_id, lines=lines))
        entity = self.legal_entities.get(engagement.legal_entity_id)
        terms = Terms(
            root_id,
            engagement.currency,
            engagement.client_id,
            engagement.legal_entity_id,
            engagement.cap,
            lines,
            None if entity is None else entity.currency,
            engagement.fx_rule.rate_type,
            frozenset(payer.client_id for payer in self._payers.of(root_id)),
        )
        of_lines = [version for line_id in lines for version in self._line_versions.of(line_id)]
        history = self._terms[root_id] = TermsHistory.of(terms, self._cap_versions.of(root_id), of_lines)
        return history

    def _replace_consultant(self, consultant_id: str, new: Consultant | None) -> list[Touch]:
        """All days of who comes or goes; else those on which no position says what the row says otherwise."""
        old = self.consultants.get(consultant_id)
        touches = _replace(self.consultants, "consultant", consultant_id, new)
        if not touches or old is None or new is None:
            return touches
        steps = self.positions.steps(consultant_id)
        days = differing(seen_as(steps, old.in_position), seen_as(steps, new.in_position))
        return [half_open(touches[0].dependency, start, end) for start, end in days]

    def _replace_position(self, row_id: str, new: Position | None) -> list[Touch]:
        """The days on which somebody differs for it; nobody knows whom it is of: none, until they come."""
        touches = []
        for consultant_id, before, after in self.positions.replace(row_id, new):
            consultant = self.consultants.get(consultant_id)
            if consultant is not None:
                who = consultant.in_position
                days = differing(seen_as(before, who), seen_as(after, who))
                touches += [half_open(f"consultant:{consultant_id}", start, end) for start, end in days]
        return touches

    def _replace_line(self, line_id: str, new: ContractLine | None) -> list[Touch]:
        old = self.lines.pop(line_id, None)
        if old is not None:
            self._lines_of[old.engagement_id].discard(line_id)
        if new is not None:
            self.lines[line_id] = new
            self._lines_of.setdefault(new.engagement_id, set()).add(line_id)
        touches = []
        if _part(old) != _part(new):
            touches.append(Touch(f"line:{line_id}"))
        before = None if old is None else (old.engagement_id, old.terms)
        after = None if new is None else (new.engagement_id, new.terms)
        if before != after:
            for root_id in sorted({line.engagement_id for line in (old, new) if line is not None}):
                self._terms.pop(root_id, None)
                touches.append(Touch(f"terms:{root_id}"))
        return touches

    def _line_terms(self, line_id: str) -> LineTerms:
        lots = tuple(self._lots.of(line_id))
        terms = self.lines[line_id].terms
        return replace(terms, lots=lots) if lots else terms

    def _replace_lot(self, lot_id: str, new: Lot | None) -> list[Touch]:
        lots = self._lots.replace(lot_id, new)
        return self._touch_roots(self._roots_of(lot.contract_line_id for lot in lots))

    def _roots_of(self, line_ids: Iterable[str]) -> set[str]:
        """The engagements of lines, as far as these are known."""
        lines = (self.lines.get(line_id) for line_id in line_ids)
        return {line.engagement_id for line in lines if line is not None}

    def _touch_roots(self, root_ids: Iterable[str]) -> list[Touch]:
        """Roots whose terms have changed, now or before."""
        roots = sorted(set(root_ids))
        for root_id in roots:
            self._terms.pop(root_id, None)
        return [Touch(f"terms:{root_id}") for root_id in roots]

    def _replace_legal_entity(self, entity_id: str, new: LegalEntity | None) -> list[Touch]:
        old = self.legal_entities.get(entity_id)
        touches = _replace(self.legal_entities, "legal_entity", entity_id, new)
        if (None if old is None else old.currency) != (None if new is None else new.currency):
            for root_id in sorted(e.id for e in self.engagements.values() if e.legal_entity_id == entity_id):
                self._terms.pop(root_id, None)
                touches.append(Touch(f"terms:{root_id}"))
        return touches

    def _replace_payer(self, row_id: str, new: Payer | None) -> list[Touch]:
        roots = sorted({payer.engagement_id for payer in self._payers.replace(row_id, new)})
        for root_id in roots:
            self._terms.pop(root_id, None)
        return [Touch(f"terms:{root_id}") for root_id in roots]

    def _replace_engagement(self, engagement_id: str, new: Engagement | None) -> list[Touch]:
        old = self.engagements.pop(engagement_id, None)
        if new is not None:
            self.engagements[engagement_id] = new
        touches = []
        if _part(old) != _part(new):
            touches.append(Touch(f"engagement:{engagement_id}"))
        if (None if old is None else old.terms_part) != (None if new is None else new.terms_part):
            self._terms.pop(engagement_id, None)
            touches.append(Touch(f"terms:{engagement_id}"))
        return touches


def _part(row: ContractLine | Engagement | None) -> object:
    return None if row is None else row.rating_part


def _replace(table: dict[str, Row], kind: str, row_id: str, new: Row | None) -> list[Touch]:
    old = table.get(row_id)
    if old == new:
        return []
    if new is None:
        del table[row_id]
    else:
        table[row_id] = new
    return [Touch(f"{kind}:{row_id}")]

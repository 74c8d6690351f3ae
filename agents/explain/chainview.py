"""The chain of a ledger line, from consultant to client, as on the line and as the references lead now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from agents.billing.chain import Chain, milestone_chain, resolve
from agents.billing.contracts import PREPAID, RETAINER, Cap, LineTerms
from agents.billing.entities import NON_BILLABLE, Record
from agents.billing.quantities import QuantityRule
from agents.billing.reference import BillingReference
from agents.billing.segments import (
    COVERED_SEGMENT,
    LOT_SEGMENT,
    OVER_ENGAGEMENT,
    OVER_LINE,
    UPLIFT_SEGMENT,
    Segment,
)
from agents.explain.arithmetic import hours_text, money_text
from agents.explain.eventid import PARKED_ROOT


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One step: its id on the line, the id that the references lead to now, and what that row says."""

    what: str
    on_line: str | None
    now: str | None
    name: str | None
    detail: str
    missing: bool


def chain_links(
    segment: Segment, milestone: Record | None, ref: BillingReference, names: Mapping[tuple[str, str], str]
) -> tuple[ChainLink, ...]:
    """The steps of a segment; of a milestone's, by its own contract line and engagement."""
    chain = _chain(segment, milestone, ref)
    line_id = segment.contract_line_id if chain.line is None else chain.line.id
    line = ref.lines.get(line_id or "")
    engagement = chain.engagement
    if engagement is None and line is not None:
        engagement = ref.engagements.get(line.engagement_id)
    root = None if segment.root_id.startswith(f"{PARKED_ROOT}:") else segment.root_id
    client = segment.client_id if engagement is None else engagement.client_id
    entity = segment.legal_entity_id if engagement is None else engagement.legal_entity_id
    consultant = ref.consultant_on(segment.consultant_id or "", segment.work_date)
    task = ref.tasks.get(segment.task_id or "")
    links = (
        (
            "consultant",
            segment.consultant_id,
            None if consultant is None else consultant.id,
            ""
            if consultant is None
            else _joined(role=consultant.role, grade=consultant.grade, region=consultant.region),
        ),
        ("project", segment.project_id, _known(segment.project_id, ref.projects), ""),
        (
            "task",
            segment.task_id,
            None if task is None else task.id,
            NON_BILLABLE if task is not None and task.non_billable else "",
        ),
        (
            "contract_line",
            segment.contract_line_id,
            None if line is None else line.id,
            ""
            if line is None
            else _joined(
                method=line.method,
                quantity=_quantity_text(line.quantity),
                rounding=line.rounding,
                cap=cap_text(line.terms.cap, None),
            ),
        ),
        (
            "engagement",
            root,
            None if engagement is None else engagement.id,
            ""
            if engagement is None
            else _joined(
                currency=engagement.currency,
                since=engagement.starts_on,
                until=engagement.ends_on,
                cap=cap_text(engagement.cap, engagement.currency),
            ),
        ),
        ("client", segment.client_id, _known(client, ref.clients), ""),
        ("legal_entity", segment.legal_entity_id, _known(entity, ref.legal_entities), ""),
    )
    return tuple(
        ChainLink(
            what.replace("_", " "), on_line, now, names.get((what, now or on_line or "")), detail, now is None
        )
        for what, on_line, now, detail in links
        if on_line is not None or now is not None
    )


def _quantity_text(rule: QuantityRule) -> str | None:
    """How an entry's time is rounded: ``every started 0.25 h and at least 0.5 h``; None where it isn't."""
    how = "every started" if rule.is_up else "to the nearest"
    said = [f"{how} {hours_text(rule.increment)}"] if rule.increment else []
    if rule.minimum:
        said.append(f"at least {hours_text(rule.minimum)}")
    return " and ".join(said) or None


def _included_text(line: LineTerms) -> str:
    """Hours, of what, and for how long: ``10 h (retainer); unused, at most 4 h a month roll over, for at most 2 months``."""
    said = f"{hours_text(line.included_seconds)} ({line.method})"
    if line.method == RETAINER and line.rollover is not None:
        most, months = line.rollover.seconds, line.rollover.months
        said += f"; unused, {'all' if most is None else f'at most {hours_text(most)} a month'} roll over"
        said += "" if months is None else f", for at most {months} months"
    if line.method == PREPAID and line.expires_on is not None:
        said += f" until {line.expires_on}"
    return said


def limit_notes(segment: Segment, ref: BillingReference) -> list[str]:
    """The cap, inclusion or minimum that the segment is about, as it is now."""
    terms = ref.terms(segment.root_id)
    line = terms.lines.get(segment.contract_line_id or "")
    if segment.segment == OVER_ENGAGEMENT:
        return [f"the engagement's cap is now {cap_text(terms.cap, terms.currency) or 'not set'}"]
    if line is None:
        return []
    if segment.segment == OVER_LINE:
        return [f"the contract line's cap is now {cap_text(line.cap, terms.currency) or 'not set'}"]
    if segment.segment == COVERED_SEGMENT:
        return [f"the contract line now includes {_included_text(line)}"]
    for lot in line.lots:
        if segment.segment == LOT_SEGMENT + lot.id:
            until = "" if lot.expires_on is None else f" until {lot.expires_on}"
            return [f"the lot now has {hours_text(lot.seconds)}{until}"]
    if segment.segment == UPLIFT_SEGMENT:
        return [f"the contract line's day minimum is now {hours_text(line.day_minimum_seconds)}"]
    return []


def cap_text(cap: Cap, currency: str | None) -> str | None:
    """A cap in words, None where there is none: ``1000.00 EUR, beyond it: hold``."""
    if not cap.is_set:
        return None
    limits = []
    if cap.money is not None:
        limits.append(f"{money_text(Decimal(cap.money), currency)} {currency or ''}".strip())
    if cap.seconds is not None:
        limits.append(hours_text(cap.seconds))
    return f"{' and '.join(limits)}, beyond it: {cap.over_cap_action}"


def _chain(segment: Segment, milestone: Record | None, ref: BillingReference) -> Chain:
    if milestone is not None:
        return milestone_chain(milestone["contract_line_id"] or "", milestone["engagement_id"] or "", ref)
    if segment.consultant_id is None or segment.project_id is None:
        return Chain()
    return resolve(segment.consultant_id, segment.project_id, segment.task_id, ref, segment.work_date)


def _known(row_id: str | None, table: Mapping[str, object]) -> str | None:
    return row_id if row_id in table else None


def _joined(**parts: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)

"""Billing: what approved time, accepted milestones and expenses are worth, and in which state of billing it is.

The modules here are pure: values in, values out. Two stages use them: rating, keyed by entry
(`rate_entry`, `rate_milestone`, `rate_expense`), and allocation, keyed by root (`allocate`, `diff`).
"""

from __future__ import annotations

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import allocate, allocate_item
from agents.billing.contracts import Cap, ContractLine, Engagement, LineTerms
from agents.billing.drafts import DraftLine
from agents.billing.expenses import Expense, rate_expense
from agents.billing.explain import RateExplanation, explain_rate
from agents.billing.inputs import Entry, Milestone
from agents.billing.items import Item
from agents.billing.ledger import LedgerDiff, LedgerLine, LiveSegment, diff
from agents.billing.posted import PostedLine
from agents.billing.rates import RateFinding, RateSubject, find_rate
from agents.billing.rating import rate_entry, rate_milestone
from agents.billing.reference import REFERENCE_ENTITIES, BillingReference
from agents.billing.results import Contribution, Parking, RatedResult
from agents.billing.segments import Segment
from agents.billing.terms import Terms
from agents.billing.touches import Touch

__all__ = [
    "REFERENCE_ENTITIES",
    "Adjustment",
    "BillingReference",
    "Cap",
    "ContractLine",
    "Contribution",
    "DraftLine",
    "Engagement",
    "Entry",
    "Expense",
    "Item",
    "LedgerDiff",
    "LedgerLine",
    "LineTerms",
    "LiveSegment",
    "Milestone",
    "Parking",
    "PostedLine",
    "RateExplanation",
    "RateFinding",
    "RateSubject",
    "RatedResult",
    "Segment",
    "Terms",
    "Touch",
    "allocate",
    "allocate_item",
    "diff",
    "explain_rate",
    "find_rate",
    "rate_entry",
    "rate_expense",
    "rate_milestone",
]

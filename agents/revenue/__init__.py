"""Revenue: what is earned of each contract line in each accounting month, beside what was billed of it."""

from agents.revenue.entries import EntryState
from agents.revenue.months import MonthRow, month_rows
from agents.revenue.reference import RevenueReference
from agents.revenue.sums import MonthSums
from agents.revenue.terms import LineTerms, Revision

__all__ = [
    "EntryState",
    "LineTerms",
    "MonthRow",
    "MonthSums",
    "RevenueReference",
    "Revision",
    "month_rows",
]

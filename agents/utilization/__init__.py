"""Utilization: worked and billable time against capacity, of consultants and groups, by day and window."""

from agents.utilization.capacity import UtilizationReference
from agents.utilization.contributions import ConsultantState, Contribution, piece_key
from agents.utilization.facts import DEFINITION, Facts, Lineage, recompute, recompute_touch
from agents.utilization.touches import Touch

__all__ = [
    "DEFINITION",
    "ConsultantState",
    "Contribution",
    "Facts",
    "Lineage",
    "Touch",
    "UtilizationReference",
    "piece_key",
    "recompute",
    "recompute_touch",
]

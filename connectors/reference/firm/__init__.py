"""A consulting firm, simulated: real transactions for the ERP, the CRM and the time tracker.

``plan(FirmSettings(seed=7))`` computes everything the firm will write; ``Firm(plan, engines)`` writes it:
``seed()`` what is there before the pipeline starts, ``run()`` what happens while it runs.
"""

from connectors.reference.firm.model import Delete, FirmSettings, Insert, Plan, Transaction, Update
from connectors.reference.firm.simulation import plan
from connectors.reference.firm.writer import Firm, Progress, connect

__all__ = [
    "Delete",
    "Firm",
    "FirmSettings",
    "Insert",
    "Plan",
    "Progress",
    "Transaction",
    "Update",
    "connect",
    "plan",
]

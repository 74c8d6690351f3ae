"""Posting: what is to be invoiced, proposed by contract, month, payer and currency."""

from agents.posting.payers import Divided, divide
from agents.posting.proposals import Group, Part, Proposal, Sum, part_of, state_of
from agents.posting.reference import InvoicingView

__all__ = ["Divided", "Group", "InvoicingView", "Part", "Proposal", "Sum", "divide", "part_of", "state_of"]

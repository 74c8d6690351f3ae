"""Reads the reference topics once, to their end, into billing's reference tables."""

from __future__ import annotations

from agents.bench.topics import read_topic
from agents.billing.reference import BillingReference
from agents.billing.view import BillingView
from streams.references.feed import PREFIX
from streams.serde import Decoder


def load_reference(bootstrap: str, decoder: Decoder) -> BillingReference:
    """The tables as they are now."""
    view = BillingView()
    for entity in view.entities:
        for _, value in read_topic(bootstrap, PREFIX + entity):
            if value is not None:
                row = decoder.decode(value)
                view.apply(entity, row["id"], None if row["deleted"] else row)
    return view.reference

"""What may be said of records of the data class ``confidential``: where they are, not what is in them."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from streams.contracts.catalogue import load_contracts

# How a mapping's errors begin: the line of the mapping, the field, the column.
_PLACE: Final = re.compile(r"\S+:\d+ \S+ \(column [^)]*\)")


@cache
def confidential_topics() -> frozenset[str]:
    """The topics of that data class."""
    topics = load_contracts().topics
    return frozenset(name for name, topic in topics.items() if topic.data_class == "confidential")


def withheld(message: str) -> str:
    """A message without the values that it may quote.

    Example: ``reference-erp.yaml:147 cost_rate.cost (column cost): '62.12345' has 5 decimals`` becomes
    ``reference-erp.yaml:147 cost_rate.cost (column cost): what it says is confidential; see the source``.
    """
    place = _PLACE.match(message)
    return f"{place[0] if place else 'the record'}: what it says is confidential; see the source"

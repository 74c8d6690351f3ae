"""Reads what a preview is computed from: reference tables, and the latest row of each fact.

The facts' latest records are held as they are encoded, some hundred bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agents.billing.reference import REFERENCE_ENTITIES
from agents.preview.changefile import FACT_ENTITIES
from agents.preview.whatif import WhatIf
from streams.errors import RecordError
from streams.references.feed import PREFIX
from streams.serde import Decoder
from streams.topicreader import TopicReader

Row = dict[str, Any]


class FactsReader:
    """Reads over one connection; ``say`` is told what is being read."""

    def __init__(self, topics: TopicReader, decoder: Decoder, say: Callable[[str], None]) -> None:
        self._topics = topics
        self._decode = decoder.decode
        self._say = say
        self._facts: dict[str, dict[bytes, bytes]] = {}

    def read(self, what_if: WhatIf) -> None:
        """Give it the reference tables, and keep the facts for `scan`."""
        for entity in REFERENCE_ENTITIES:
            what_if.reference_rows(entity, self._rows(self._latest(entity)))
        for entity in FACT_ENTITIES:
            self._facts[entity] = self._latest(entity)

    def scan(self, entity: str) -> Iterator[Row]:
        """The latest rows of a fact's entity, those that were deleted among them."""
        self._say(f"computing {entity}")
        return self._rows(self._facts[entity])

    def _latest(self, entity: str) -> dict[bytes, bytes]:
        topic = PREFIX + entity
        self._say(f"reading {topic}")
        records = self._topics.read(topic)
        return {record.key or b"": record.value for record in records if record.value is not None}

    def _rows(self, latest: dict[bytes, bytes]) -> Iterator[Row]:
        """Decoded; a record that can't be read counts for nothing, as it does in a worker."""
        for value in latest.values():
            try:
                yield self._decode(value)
            except RecordError:
                continue

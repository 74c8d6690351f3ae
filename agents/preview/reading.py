"""Reads what a preview is computed from: reference tables, and the latest row of each fact.

The facts' latest records are held as they are encoded, some hundred bytes each. A record that can't be read
counts for nothing, as it does in a worker: the row stays what the record before it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agents.billing.reference import REFERENCE_ENTITIES
from agents.preview.changefile import FACT_ENTITIES
from agents.preview.whatif import WhatIf
from streams.contracts import load_schema
from streams.errors import DependencyUnavailable, RecordError, SchemaMismatch
from streams.references.feed import PREFIX
from streams.serde import Decoder, frame_id
from streams.topicreader import TopicReader

Row = dict[str, Any]


class FactsReader:
    """Reads over one connection; ``say`` is told what is being read.

    ``unreadable`` is how many records were no records. `DependencyUnavailable` where they are of schemas that the
    registry does not know, or knows as something else: then it is not the one of these topics.
    """

    def __init__(self, topics: TopicReader, decoder: Decoder, say: Callable[[str], None]) -> None:
        self._topics = topics
        self._decode = decoder.decode
        self._say = say
        self._facts: dict[str, dict[bytes, bytes]] = {}
        self.unreadable = 0

    def read(self, what_if: WhatIf) -> None:
        """Give it the reference tables, and keep the facts for `scan`."""
        for entity in REFERENCE_ENTITIES:
            what_if.reference_rows(entity, map(self._decode, self._latest(entity).values()))
        for entity in FACT_ENTITIES:
            self._facts[entity] = self._latest(entity)

    def scan(self, entity: str) -> Iterator[Row]:
        """The latest rows of a fact's entity, those that were deleted among them."""
        self._say(f"computing {entity}")
        return map(self._decode, self._facts[entity].values())

    def _latest(self, entity: str) -> dict[bytes, bytes]:
        """The latest record of each key that can be read."""
        topic = PREFIX + entity
        self._say(f"reading {topic}")
        fields = {field["name"] for field in load_schema(f"canonical/{entity}")["fields"]}
        latest, unreadable = {}, 0
        for record in self._topics.read(topic):
            if record.value is None:
                continue
            try:
                names = self._decode(record.value).keys()
            except SchemaMismatch:
                raise _other_registry(topic, f"schema id {frame_id(record.value)} is unknown") from None
            except RecordError:
                unreadable += 1
                continue
            if not (names <= fields or names >= fields):  # an earlier or a later version of the contract
                raise _other_registry(topic, f"its schema has {', '.join(sorted(names - fields))}")
            latest[record.key or b""] = record.value
        if unreadable and not latest:
            raise _other_registry(topic, f"none of its {unreadable:,} records can be read")
        self.unreadable += unreadable
        return latest


def _other_registry(topic: str, why: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"topic {topic}: {why}; set TALLYSTREAM_REGISTRY_URL to the registry that its schemas are in"
    )

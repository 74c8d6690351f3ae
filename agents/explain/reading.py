"""Reads what a ledger line is explained from: its root's partition of the ledger, references, the entry.

Streams through and keeps what matters; only the reference tables are held in full, as a worker holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agents.billing.reference import BillingReference
from agents.billing.segments import ADJUSTMENT_SEGMENT, DUE_SEGMENT, POSTED_SEGMENT
from agents.billing.view import BillingView
from agents.explain.entryview import EXPENSE, MILESTONE, TIME_ENTRY
from agents.explain.eventid import EventId
from agents.explain.explanation import Facts
from agents.explain.neighbours import Neighbours
from streams.contracts import Contracts, TopicContract
from streams.contracts.topics import key_of
from streams.errors import NotFound, RecordError
from streams.references.feed import PREFIX
from streams.serde import Decoder
from streams.serde.partitioning import partition_of
from streams.topicreader import TopicReader

LEDGER: Final = "billing.events"
INVOICE_LINE: Final = PREFIX + "invoice_line"
ADJUSTMENT: Final = PREFIX + "bill_adjustment"
# Entities of a line's chain that have a name to show.
NAMED: Final = frozenset(("consultant", "project", "task", "contract_line", "engagement"))
# Ids of other lines that a message about an unknown one names.
HINTS: Final = 3

Row = dict[str, Any]
Say = Callable[[str], None]


class FactsReader:
    """Reads over one connection; ``say`` is told what is being read."""

    def __init__(self, topics: TopicReader, decoder: Decoder, contracts: Contracts, say: Say) -> None:
        self._topics = topics
        self._decode = decoder.decode
        self._contracts = contracts
        self._say = say

    def read(self, readings: Sequence[EventId]) -> Facts:
        """What the line with one of these readings of its id is explained from; `NotFound` if none has it."""
        ledger = self._ledger(readings)
        wanted, record = ledger.wanted, ledger.record
        assert record is not None
        reference, names = self._references()
        entity, entry = None, None
        if not wanted.is_day_line:
            # A milestone has no person; a posted line of an entry that is gone has none either.
            of_somebody = bool(record["consultant_id"])
            order = (TIME_ENTRY, EXPENSE, MILESTONE) if of_somebody else (MILESTONE, TIME_ENTRY, EXPENSE)
            for entity in order:
                entry = self._latest(PREFIX + entity, {"id": wanted.entry_id})
                if entry is not None:
                    break
        return Facts(
            ledger,
            reference,
            None if entry is None else entity,
            entry,
            self._invoice_lines(wanted),
            self._adjustment(wanted),
            names,
        )

    def _ledger(self, readings: Sequence[EventId]) -> Neighbours:
        others: dict[str, None] = {}
        for wanted in readings:
            found = Neighbours(wanted)
            for key, value in self._partition_of(LEDGER, {"root_id": wanted.root_id}):
                if found.wants(key):
                    found.take(self._decode(value))
            if found.record is not None:
                return found
            others |= {line.event_id: None for line in found.live}
        raise NotFound(f"{LEDGER} has no line {readings[0].text}; {_hint(readings[0], list(others))}")

    def _references(self) -> tuple[BillingReference, dict[tuple[str, str], str]]:
        """The tables as they are now. A row that can't be read is missing, as it is in a worker."""
        view, names = BillingView(), {}
        self._say("the reference tables")
        for record in self._topics.read(*(PREFIX + entity for entity in view.entities)):
            if record.value is None:
                continue
            try:
                row = self._decode(record.value)
            except RecordError:
                continue
            entity = record.topic.removeprefix(PREFIX)
            view.apply(entity, row["id"], None if row["deleted"] else row)
            if entity in NAMED and row.get("name"):
                names[entity, row["id"]] = row["name"]
        return view.reference, names

    def _latest(self, topic: str, key_fields: Mapping[str, str]) -> Row | None:
        """The last record of a key of a compacted topic."""
        key, last = key_of(self._contracts.topics[topic], key_fields).decode(), None
        for other, value in self._partition_of(topic, key_fields):
            if other == key:
                last = value
        return None if last is None else self._decode(last)

    def _invoice_lines(self, wanted: EventId) -> list[Row]:
        """The posted line that the segment is about, and the credits that name it."""
        if not wanted.segment.startswith((POSTED_SEGMENT, DUE_SEGMENT)):
            return []
        line_id = wanted.segment.partition(":")[2]
        rows: dict[str, Row] = {}
        for _, value in self._partition_of(INVOICE_LINE, {"engagement_id": wanted.root_id}):
            row = self._decode(value)
            on_root = row["engagement_id"] == wanted.root_id  # others share the partition
            if on_root and line_id in (row["id"], row["credits_line_id"]):
                rows[row["id"]] = row
            else:
                rows.pop(row["id"], None)  # went to another engagement, or a credit that no longer names it
        return list(rows.values())

    def _adjustment(self, wanted: EventId) -> Row | None:
        if not wanted.segment.startswith(ADJUSTMENT_SEGMENT):
            return None
        row_id = wanted.segment.removeprefix(ADJUSTMENT_SEGMENT)
        return self._latest(ADJUSTMENT, {"engagement_id": wanted.root_id, "id": row_id})

    def _partition_of(self, topic: str, fields: Mapping[str, str]) -> Any:
        """(key, value) of the records of the one partition where those with these key fields are."""
        self._say(topic)
        routing = fields[_routing(self._contracts.topics[topic])]
        partition = partition_of(routing, self._topics.partitions(topic))
        for record in self._topics.read_partition(topic, partition):
            if record.key is not None and record.value is not None:
                yield record.key.decode(errors="replace"), record.value


def _routing(contract: TopicContract) -> str:
    """The field that decides the partition."""
    name = contract.partition_by or contract.key
    assert name is not None
    return name


def _hint(wanted: EventId, others: Sequence[str]) -> str:
    if not others:
        return (
            f"nothing of entry {wanted.entry_id} is in force on {wanted.root_id}: check the id, or that "
            "TALLYSTREAM_KAFKA_BOOTSTRAP names the right brokers"
        )
    shown = ", ".join(sorted(others)[:HINTS])
    more = f" and {len(others) - HINTS} more" if len(others) > HINTS else ""
    return f"lines in force of the same entry are {shown}{more}"

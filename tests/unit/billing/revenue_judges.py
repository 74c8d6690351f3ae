"""Two judges of revenue: the revenue stage in its lanes, fed with what billing says, and the oracle."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Protocol

from histories import History
from oracle import Revenue, RevenueKey, canonical_rows, compute_from_rows, revenue_from_records
from source_databases import Sources, all_records

from agents.billing import (
    REFERENCE_ENTITIES,
    Adjustment,
    BillingReference,
    Entry,
    Expense,
    Item,
    Milestone,
    PostedLine,
    allocate,
    rate_entry,
    rate_expense,
    rate_milestone,
)
from agents.revenue.reference import ENTITIES
from agents.revenue.stage import REVENUE
from streams.testing import TopologyDriver

NOW = datetime(2026, 4, 30, tzinfo=UTC)
TIMES = dict.fromkeys(("occurred_at", "captured_at", "published_at", "rated_at", "allocated_at"), NOW)
POSITION: dict[str, Any] = {"source_system": "erp", "source_epoch": 1, "source_lsn": 1, "source_ordinal": 0}
COMMON: dict[str, Any] = {**TIMES, **POSITION, "snapshot": False, "rule_version": "1", "mapping_version": "1"}

Months = dict[RevenueKey, Revenue]
Content = dict[tuple[str, ...], dict[str, Any]]


class RevenueJudge(Protocol):
    """Reads the databases as they are now."""

    def __call__(self, sources: Sources) -> Months: ...


class Oracle:
    """The independent batch pass."""

    def __call__(self, sources: Sources) -> Months:
        """Compute everything anew."""
        rows = canonical_rows(*(sources.of(system) for system in ("erp", "crm", "time")))
        return compute_from_rows(rows).revenue


class Stage:
    """The stage, which hears only of what changed since it was last asked, in an order of ``seed``."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.driver = TopologyDriver([REVENUE])
        self._said: dict[str, Content] = defaultdict(dict)
        self._revisions: dict[tuple[str, tuple[str, ...]], int] = defaultdict(int)

    def __call__(self, sources: Sources) -> Months:
        """Tell the differences, let the lanes work, and read what they published."""
        for _ in self.tell(sources):
            if self.rng.random() < 0.2:
                self.driver.feed_references(self.rng.randint(0, 5), self.rng)
                self.driver.step(self.rng, 5)
        return self.hear()

    def tell(self, sources: Sources) -> Iterator[str]:
        """Put each difference on its topic, whose name it yields then."""
        changes = [
            change for topic, content in _contents(sources) for change in self._changes(topic, content)
        ]
        self.rng.shuffle(changes)
        for topic, record in changes:
            publisher = self.driver.environment().publisher(topic)
            context = _Emitted()
            publisher.emit(context, record)  # type: ignore[arg-type]
            self.driver.produce(topic, context.key, context.value, partition=context.partition)
            yield topic

    def hear(self) -> Months:
        """What is published once all is applied."""
        self.driver.run(self.rng)
        self.driver.tick(1)
        return revenue_from_records(self.records())

    def records(self) -> list[dict[str, Any]]:
        """All that was published."""
        return self.driver.records("revenue.current")

    def _changes(self, topic: str, content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
        said = self._said[topic]
        for key in sorted({*said, *content}):
            new, old = content.get(key), said.get(key)
            if new == old:
                continue
            self._revisions[topic, key] += 1
            last = new if new is not None else old
            assert last is not None
            record = {
                **last,
                **COMMON,
                "revision": self._revisions[topic, key],
                "deleted": new is None or new.get("deleted", False),
            }
            if topic == "billing.rated":
                record["op"] = "REMOVE" if new is None else "PUT"
            if topic == "billing.current":
                record["event_id"] = "|".join(key)
                record["earned"] = None if new is None else new.get("earned")
            yield topic, record
        self._said[topic] = content


class _Emitted:
    """What a publisher emitted last."""

    def emit(
        self, topic: str, key: bytes, value: bytes, partition: int | None, headers: Any, decoded: Any
    ) -> None:
        """As `SliceContext.emit`."""
        self.key, self.value, self.partition = key, value, partition


def _contents(sources: Sources) -> Iterator[tuple[str, Content]]:
    """What the topics that the stage reads say of the databases, by key, apart from revisions and lineage."""
    records = all_records(sources)
    by_entity: dict[str, list[dict[str, Any]]] = defaultdict(list)
    reference = BillingReference()
    for entity, record in records:
        by_entity[entity].append(record)
        if entity in REFERENCE_ENTITIES:
            reference.apply(entity, record["id"], record)
    for entity in ENTITIES:
        yield f"canonical.{entity}", {(record["id"],): record for record in by_entity[entity]}
    entries = (Entry.from_record(record) for record in by_entity["time_entry"])
    results = [rate_entry(entry, reference) for entry in entries if entry is not None]
    results += [rate_milestone(Milestone.from_record(one), reference) for one in by_entity["milestone"]]
    results += [rate_expense(Expense.from_record(one), reference) for one in by_entity["expense"]]
    items = [Item.from_record(result.item.fields()) for result in results if result.item is not None]
    history = History.of(records, reference)
    yield (
        "billing.rated",
        {(item.root_id, item.entry_id): item.fields() for item in items}
        | {
            (one.item.root_id, one.item.entry_id, one.id): one.item.fields()
            | {"version_id": one.id, "ended_at": one.ended_at}
            for one in history.versions
        },
    )
    lines = [line for one in by_entity["invoice_line"] if (line := PostedLine.from_record(one)) is not None]
    decided = [
        made for one in by_entity["bill_adjustment"] if (made := Adjustment.from_record(one)) is not None
    ]
    decided = reference.limits.limited(decided)
    current: Content = {}
    for root in {item.root_id for item in items} | {line.root_id for line in lines} | history.roots:
        segments = allocate(
            [item for item in items if item.root_id == root],
            [line for line in lines if line.root_id == root],
            [one for one in decided if one.root_id == root],
            reference.terms(root),
        )
        current |= {(root, *key): segment.fields() for key, segment in segments.items()}
        on_root = [[one for one in some if one.root_id == root] for some in (items, lines, decided)]
        for books in history.books(root, *on_root, [], reference=reference).values():  # type: ignore[arg-type]
            for key, earned in books.earned.items():
                gone = {**books.last[key].fields(), "seconds": 0, "amount": None, "deleted": True}
                current[(root, *key)] = {**current.get((root, *key), gone), "earned": list(earned)}
    yield "billing.current", current


def row(months: Months, month: str, line: str = "L") -> Revenue:
    """The month of 2026 of a line of engagement E: ``row(months, "03")``."""
    return months[RevenueKey("erp:E", f"erp:{line}", date(2026, int(month), 1))]

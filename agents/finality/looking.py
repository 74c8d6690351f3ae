"""Looks at how far sources and stages are, in the topics where they say so themselves.

A source's position is in ``source.positions``, written in the same transaction as the changes that it covers; its
``watermark_us`` says until when all commits are among them. A lane's cursor is the last record of each of its state
topics, written in the same transaction as all that it stands for. Nothing here is a lag or an estimate.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from agents.finality.marks import Mark, Step, not_reached
from agents.finality.states import Place, Progress
from streams.errors import DependencyUnavailable
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.watermarks import watermarks
from streams.references.feed import PREFIX
from streams.tails import last_records
from streams.topicreader import consumer, places_of, read_from
from streams.worker.flow import FlowDefinition

POSITIONS = "source.positions"
# What is looked at of a topic that every source writes to many times a minute: one that is not in it is down.
POSITIONS_REACH = 20_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Following:
    """New records of topics, from positions that are kept; a connection of its own, to be closed."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._reader = consumer(bootstrap, name)
        self._positions: dict[Place, int] = {}

    def close(self) -> None:
        """Leave the brokers."""
        self._reader.close()

    def begin(self, place: Place, offset: int | None = None, *, reach: int | None = None) -> None:
        """Where to begin, unless that was said before: at an offset, or so many before the end, or at first."""
        if place in self._positions:
            return
        try:
            low, high = watermarks(self._reader, *place)
        except KafkaException as error:
            raise DependencyUnavailable(f"{place[0]}/{place[1]}: {error.args[0].str()}") from None
        at = low if reach is None else high - reach
        self._positions[place] = max(low, at if offset is None else offset)

    def read(self) -> Iterator[Any]:
        """What is new, each partition in order; raises `DependencyUnavailable`."""
        starts = [TopicPartition(*place, offset) for place, offset in self._positions.items()]
        try:
            for message in read_from(self._reader, starts) if starts else ():
                self._positions[message.topic(), message.partition()] = message.offset() + 1
                yield message
        except KafkaException as error:
            raise DependencyUnavailable(f"{starts[0].topic}: {error.args[0].str()}") from None

    def places(self, *topics: str) -> list[Place]:
        """All partitions of topics."""
        return places_of(self._reader, self._bootstrap, topics)


class Sources:
    """The sources' watermarks, by system."""

    def __init__(self, bootstrap: str, systems: Collection[str]) -> None:
        self._systems = systems
        self._following = Following(bootstrap, "tallystream-watermarks")
        self._known: dict[str, datetime] = {}

    def close(self) -> None:
        """Leave the brokers."""
        self._following.close()

    def watermarks(self) -> dict[str, datetime]:
        """As they are now. A source that takes a snapshot has none; neither has one that was not heard of."""
        self._following.begin((POSITIONS, 0), reach=POSITIONS_REACH)
        for message in self._following.read():
            name = (message.key() or b"").decode(errors="replace")
            if name in self._systems and message.value() is not None:
                told = watermark_of(message.value())
                if told is None:
                    self._known.pop(name, None)
                else:
                    self._known[name] = told
        return dict(self._known)


def watermark_of(position: bytes) -> datetime | None:
    """What a source's position says of it, if it says something."""
    stored = json.loads(position)
    micros = stored.get("watermark_us") if isinstance(stored, dict) else None
    return EPOCH + timedelta(microseconds=micros) if micros else None


class Stages:
    """The stages of flows as steps of a mark; ``counts`` are partitions by stage, ``topics`` by reference topic."""

    def __init__(self, bootstrap: str, steps: Sequence[Step], references: Mapping[str, int]) -> None:
        self._bootstrap = bootstrap
        self.steps = steps
        self._references = references

    def ends(self, step: Step) -> dict[Place, int]:
        """Where the inputs and reference topics of a stage end now, behind their last records."""
        places = [(topic, partition) for topic in step.inputs for partition in range(step.partitions)]
        for entity in step.entities:
            topic = PREFIX + entity
            places += [(topic, partition) for partition in range(self._references[topic])]
        return {place: last.end for place, last in last_records(self._bootstrap, places).items()}

    def cursors(self, step: Step) -> dict[int, Cursor]:
        """The durable cursor of each partition of a stage."""
        topic = f"state.{step.name}"
        found = last_records(self._bootstrap, [(topic, partition) for partition in range(step.partitions)])
        return {
            partition: Cursor.from_bytes(last.value)
            for (_, partition), last in found.items()
            if last.key == CURSOR_KEY and last.value is not None
        }


def steps_of(flows: Sequence[FlowDefinition], partitions: Mapping[str, int]) -> list[Step]:
    """The stages of flows in their order, as steps; ``partitions`` by stage."""
    steps = []
    for flow in flows:
        entities = tuple(flow.view().entities) if flow.view is not None else ()
        for stage in flow.stages:
            looked_at = entities if stage.looks_up else ()
            steps.append(Step(stage.name, tuple(stage.inputs), looked_at, partitions[stage.name]))
    return steps


class Marker:
    """Follows one mark after the other through the stages."""

    def __init__(self, sources: Sources, stages: Stages) -> None:
        self._sources = sources
        self._stages = stages
        self._mark: Mark | None = None
        self._applied: Mapping[str, datetime] = {}
        self._closes: Collection[object] = ()

    def look(self, closes: Collection[object]) -> Progress:
        """How far everything is. A mark that is under way goes on where it was; then there is a new one.

        ``closes`` are those that wait, as ``canonical.period`` was just read. Of one that was not among them before the
        stages may not have heard: what is applied is then found out anew, with goals behind it in its topic.
        """
        if not set(closes) <= set(self._closes):
            self._mark, self._applied = None, {}
        self._closes = closes
        captured = self._sources.watermarks()
        lacking: list[str] = []
        if self._mark is not None:
            lacking = self._follow(self._mark)
        if not lacking:
            lacking = self._follow(Mark(captured))
        return Progress(captured, self._applied, lacking)

    def _follow(self, mark: Mark) -> list[str]:
        """As far as the stages are; what the one that it stands before then lacks."""
        while mark.step < len(self._stages.steps):
            step = self._stages.steps[mark.step]
            if mark.goal is None:
                mark = mark.aim(self._stages.ends(step))
            assert mark.goal is not None
            lacking = not_reached(step, mark.goal, self._stages.cursors(step))
            if lacking:
                self._mark = mark
                return lacking
            mark = mark.passed()
        self._mark, self._applied = None, mark.watermarks
        return []

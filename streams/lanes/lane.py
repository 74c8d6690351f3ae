"""A lane: all stages of a flow on one partition, which share one transaction.

Records of several stages that gather while a transaction is committed go into the next one together. A
transaction costs what ten records cost, so that three stages with one transaction answer sooner than
three that wait for each other's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from streams.lanes.core import Gap, LaneCore
from streams.lanes.records import Chunk

# Counters by stage.
Counts = dict[str, Mapping[str, int]]


class LaneLog(Protocol):
    """What the stages' slices are gathered in until they are committed together."""

    def flush(self) -> None:
        """Commit what was gathered in one transaction; raises `Fenced` or a retriable error."""

    def release(self) -> None:
        """Leave the brokers. What was gathered and not committed is dropped."""


class Lane:
    """The stages of one partition by name; ``ticking`` names those that have timers.

    After any error the lane must be abandoned: stages may have moved beyond what was committed.
    """

    def __init__(
        self, cores: Mapping[str, LaneCore], log: LaneLog, ticking: Collection[str] = frozenset()
    ) -> None:
        self._cores = dict(cores)
        self._log = log
        self._ticking = ticking
        self._stage_of = {topic: name for name, core in cores.items() for topic in core.stage.inputs}

    def inputs(self) -> Iterator[str]:
        """All input topics of all stages."""
        return iter(self._stage_of)

    def position(self, topic: str) -> int | None:
        """Next offset of an input topic to apply, None if nothing was applied yet."""
        return self._cores[self._stage_of[topic]].position(topic)

    def start_at(self, topic: str, offset: int) -> None:
        """Where an input topic begins of which nothing was applied yet."""
        self._cores[self._stage_of[topic]].start_at(topic, offset)

    def has_references(self) -> bool:
        """Whether reference changes wait for any stage."""
        return any(core.has_references() for core in self._cores.values())

    def apply(self, chunks: Sequence[Chunk]) -> Counts:
        """Apply chunks of any of the stages and commit. Raises `Gap` with what came before it committed."""
        by_stage: defaultdict[str, list[Chunk]] = defaultdict(list)
        for chunk in chunks:
            by_stage[self._stage_of[chunk.topic]].append(chunk)
        counts: Counts = {}
        gap: Gap | None = None
        for name, taken in by_stage.items():
            try:
                counts[name] = self._cores[name].apply(*taken)
            except Gap as error:
                gap = error
        self._log.flush()
        if gap is not None:
            raise gap
        return counts

    def fan_out(self) -> Counts:
        """One slice of re-evaluation for each stage that reference changes wait for, and commit."""
        waiting = [(name, core) for name, core in self._cores.items() if core.has_references()]
        counts: Counts = {name: core.fan_out() for name, core in waiting}
        self._log.flush()
        return counts

    def tick(self) -> Counts:
        """Let timers run, and commit."""
        counts: Counts = {name: core.tick() for name, core in self._cores.items() if name in self._ticking}
        self._log.flush()
        return counts

    def flush(self) -> None:
        """Make cursors durable that moved without any output or state change since."""
        for core in self._cores.values():
            core.flush()
        self._log.flush()

    def close(self) -> None:
        """Make everything durable, and close the stores as clean."""
        self.flush()
        for core in self._cores.values():
            core.close()
        self._log.release()

    def abandon(self) -> None:
        """Close without calling the stores clean: they will be dropped and restored. Again: nothing."""
        for core in self._cores.values():
            core.abandon()
        self._log.release()

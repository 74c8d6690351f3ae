"""A lane: all stages of a flow, on all partitions that a worker has of it, which share one transaction.

Records of several stages that gather while a transaction is committed go into the next one together. And
what a stage publishes to an input of another (or of its own) on a partition that the lane holds is handed
over: applied in the same transaction. A transaction costs what ten records cost, and a record's way
through the broker several times what a transaction costs, so that a lane answers sooner and does more.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from streams.lanes.core import Gap, LaneCore, add_counts
from streams.lanes.records import Chunk, Output, PlainRecord
from streams.serde.partitioning import murmur2_partition

# Counters by stage.
Counts = dict[str, dict[str, int]]
# A stage and a partition.
CoreKey = tuple[str, int]

# A transaction takes in further slices for this long at most, so that a backlog is not one transaction.
GATHER_SECONDS = 0.05


class LaneLog(Protocol):
    """What the stages' slices are gathered in until they are committed together."""

    def flush(self) -> None:
        """Commit what was gathered in one transaction; raises `Fenced` or a retriable error."""

    def withdraw(self, record: PlainRecord, header: tuple[str, bytes]) -> None:
        """Take the mark off a gathered output: it was not applied, and has to be when it is fetched."""

    def release(self) -> None:
        """Leave the brokers. What was gathered and not committed is dropped."""


class Lane:
    """The stages of a flow by stage and partition.

    ``ticking`` names the stages that have timers; ``partitions`` the number of partitions of every topic
    whose records are handed over. After any error but `Gap` the lane must be abandoned: stages may have
    moved beyond what was committed.
    """

    def __init__(
        self,
        cores: Mapping[CoreKey, LaneCore],
        log: LaneLog,
        ticking: Collection[str] = frozenset(),
        partitions: Mapping[str, int] | None = None,
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cores = dict(cores)
        self._log = log
        self._ticking = ticking
        self._elapsed = elapsed
        self._stage_of = {topic: key[0] for key, core in cores.items() for topic in core.stage.inputs}
        self._partitions = {t: n for t, n in (partitions or {}).items() if t in self._stage_of}
        self._behind = [
            (topic, key[1])
            for key, core in cores.items()
            for topic in core.stage.inputs
            if topic in self._partitions
        ]
        for core in self._cores.values():
            core.route = self._route
            core.on_refused = self._withdrawer(core)

    def _withdrawer(self, core: LaneCore) -> Callable[[PlainRecord], None]:
        return lambda record: self._log.withdraw(record, core.handed_header)

    def inputs(self) -> Iterator[tuple[str, int]]:
        """All input topics of all stages, with the partitions that the lane has of them."""
        return ((topic, key[1]) for key, core in self._cores.items() for topic in core.stage.inputs)

    def count(self) -> int:
        """Number of stages on partitions."""
        return len(self._cores)

    def position(self, topic: str, partition: int) -> int:
        """Next offset of an input to apply. Whoever opens a lane says where each input begins."""
        position = self._core(topic, partition).position(topic)
        assert position is not None, f"nobody said where {topic} begins"
        return position

    def _core(self, topic: str, partition: int) -> LaneCore:
        return self._cores[self._stage_of[topic], partition]

    def overtake(self, ends: Mapping[tuple[str, int], int]) -> None:
        """From these offsets on, records of the lane's own inputs may be handed over."""
        for (topic, partition), end in ends.items():
            self._core(topic, partition).overtaking.limit(topic, end)

    def behind(self) -> Sequence[tuple[str, int]]:
        """Inputs whose records may not be handed over yet. Any thread may ask."""
        if self._behind:
            self._behind = [
                (topic, partition)
                for topic, partition in self._behind
                if not self._core(topic, partition).accepts(topic)
            ]
        return self._behind

    def has_references(self) -> bool:
        """Whether reference changes wait for any stage."""
        return any(core.has_references() for core in self._cores.values())

    def apply(self, chunks: Sequence[Chunk], fan_out: int = 0) -> Counts:
        """Apply chunks of any of the stages, re-evaluate ``fan_out`` entries of each if any wait, and commit.

        Raises `Gap` with everything else committed.
        """
        by_core: defaultdict[CoreKey, list[Chunk]] = defaultdict(list)
        for chunk in chunks:
            by_core[self._stage_of[chunk.topic], chunk.partition].append(chunk)
        counts: Counts = {}
        gap: Gap | None = None
        for key, taken in by_core.items():
            try:
                _add(counts, key, self._cores[key].offer(*taken))
            except Gap as error:
                gap = error
        self._work_off([(key, self._cores[key]) for key in by_core], counts)
        if fan_out:
            self._fan_out(fan_out, counts)
        self._log.flush()
        if gap is not None:
            raise gap
        return counts

    def _work_off(self, busy: Iterable[tuple[CoreKey, LaneCore]], counts: Counts) -> None:
        """Slice by slice, each with all that follows from it; a backlog is not one transaction."""
        began = self._elapsed()
        while busy := [(key, core) for key, core in busy if core.busy()]:
            for key, core in busy:
                _add(counts, key, core.step())
                self._follow(counts)
                if self._elapsed() - began >= GATHER_SECONDS:
                    self._log.flush()
                    began = self._elapsed()

    def _follow(self, counts: Counts) -> None:
        """Apply what was handed over, and what follows from that: never commit before."""
        while waiting := [(key, core) for key, core in self._cores.items() if core.has_handed()]:
            for key, core in waiting:
                _add(counts, key, core.apply_handed())

    def _route(self, outputs: Sequence[Output]) -> Sequence[Output]:
        """Hand over what goes to an input of the lane, and mark it as handed over."""
        return [self._handed(output) if output.topic in self._partitions else output for output in outputs]

    def _handed(self, output: Output) -> Output:
        topic, key, value, partition, headers, _, decoded = output
        if partition is None:
            partition = murmur2_partition(key or b"", self._partitions[topic])
        core = self._cores.get((self._stage_of[topic], partition))
        if core is None:
            return output
        if not core.accepts(topic):
            return output._replace(on_delivery=core.overtaking.expect(topic))
        core.hand(PlainRecord(topic, partition, -1, 0, key, value, headers or (), decoded))
        return Output(topic, key, value, partition, [core.handed_header, *(headers or ())])

    def fan_out(self) -> Counts:
        """One slice of re-evaluation for each stage that reference changes wait for, and commit."""
        counts: Counts = {}
        self._fan_out(None, counts)
        self._log.flush()
        return counts

    def _fan_out(self, most: int | None, counts: Counts) -> None:
        for key, core in self._cores.items():
            if core.has_references():
                _add(counts, key, core.fan_out(most))
                self._follow(counts)

    def tick(self) -> Counts:
        """Let timers run, and commit."""
        counts: Counts = {}
        for key, core in self._cores.items():
            if key[0] in self._ticking:
                _add(counts, key, core.tick())
                self._follow(counts)
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


def _add(counts: Counts, key: CoreKey, part: Mapping[str, int]) -> None:
    add_counts(counts.setdefault(key[0], {}), part)

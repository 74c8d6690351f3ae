"""A stage small enough to reason about, and logs that fail on demand, for the tests of the lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from streams.errors import Fenced, InvalidValue, RecordError
from streams.lanes.core import LaneCore
from streams.lanes.cursor import CURSOR_KEY
from streams.lanes.records import Chunk, InputRecord, Output, PlainRecord, withdraw
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import MemoryStore, Overlay

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TOPIC = "in"
OTHER = "other"


class Crashed(Exception):
    """The process died here."""


class CountingStage:
    """State ``n<key>`` counts the records of a key; each is published with the count it made.

    ``bad`` values raise: ``b"poison"`` a `RecordError`, ``b"bug"`` something that is no `RecordError`.
    Re-evaluating a key publishes its count once more.
    """

    inputs: Sequence[str] = (TOPIC, OTHER)

    def __init__(self, rules: str = "1") -> None:
        self.rules = rules
        self.finished = 0

    def open(self, state: Overlay, now: datetime) -> None:
        """Nothing is cached."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Count one record."""
        if record.value == b"poison":
            raise InvalidValue("poison")
        if record.value == b"bug":
            raise KeyError("bug")
        if record.value == b"silent":
            return
        key = b"n" + (record.key or b"")
        count = int(context.state.get(key) or b"0") + 1
        context.state.put(key, str(count).encode())
        context.emit("out", record.key, f"{record.topic}@{record.offset}:{count}".encode())
        context.count("processed")

    def finish(self, context: SliceContext) -> None:
        """Count the slices."""
        self.finished += 1

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters."""
        context.emit("dead_letters", record.key, record.value)
        context.count("dead_letters")

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All keys."""
        return (key for key, _ in state.scan(b"n", after + b"\0"))

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All keys."""
        return self.affected((), state, after)

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Mark what was evaluated again: a value that repeating does not change."""
        for key in keys:
            context.state.put(b"r" + key[1:], context.state.get(key) or b"")
            context.count("again")

    def tick(self, context: SliceContext) -> None:
        """Publish that time passes."""
        context.emit("ticks", None, b"tick")


CAUSE = Cause(NOW, NOW, NOW, True)


class QueuedReferences:
    """Reference changes as a lane sees them."""

    def __init__(self, loaded: int = 0) -> None:
        self.loaded = loaded
        self.queued = 0
        self.resumed: list[dict[str, int]] = []

    def change(self) -> None:
        """One more row of the one reference topic."""
        self.loaded += 1
        self.queued += 1

    def positions(self) -> dict[str, int]:
        """Position of the table."""
        return {"rate/0": self.loaded}

    def resume(self, applied: Mapping[str, int]) -> None:
        """Queue what was missed."""
        self.resumed.append(dict(applied))
        self.queued = self.loaded - applied.get("rate/0", 0)

    def waiting(self) -> bool:
        """Whether anything is queued."""
        return self.queued > 0

    def pending(
        self, below: Mapping[str, int] | None = None
    ) -> tuple[list[Touch], dict[str, int], Cause | None]:
        """Take what is below a position, or all."""
        position = self.loaded if below is None else min(self.loaded, below["rate/0"])
        self.queued = self.loaded - position
        return ["touch"], {"rate/0": position}, CAUSE


class Delivered:
    """A delivery report."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        """Where the record is."""
        return self._offset


class ListLog:
    """What was committed: outputs and the state log. ``before`` and ``after`` may raise."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.state: list[tuple[bytes, bytes | None]] = []
        self.commits = 0
        self.closed = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """All or nothing."""
        self.before()
        for output in outputs:
            place = sum(other.topic == output.topic for other in self.outputs)
            self.outputs.append(output)
            if output.on_delivery is not None:
                output.on_delivery(None, Delivered(place))
        self.state.extend(changes.items())
        self.commits += 1
        self.after()

    def close(self) -> int | None:
        """The end of the state log."""
        self.closed += 1
        return len(self.state)

    def flush(self) -> None:
        """Everything was committed at once."""

    def withdraw(self, record: PlainRecord, header: tuple[str, bytes]) -> None:
        """Take the mark off an output that was not applied."""
        withdraw(self.outputs, record, header)

    def release(self) -> None:
        """Nothing is held."""

    def restored(self) -> MemoryStore:
        """A store as a restart finds it."""
        store = MemoryStore()
        store.load(self.state)
        return store

    def values(self, topic: str = "out") -> list[bytes | None]:
        """Values published to a topic."""
        return [output.value for output in self.outputs if output.topic == topic]

    def counts(self) -> dict[bytes, bytes]:
        """The state without the cursor."""
        return {key: value for key, value in self.restored().items.items() if key != CURSOR_KEY}


class SharedLog:
    """Gathers the slices of two stages, and commits them when told, as the transactional log does."""

    def __init__(self) -> None:
        self.first, self.second = _Part(self), _Part(self)
        self.transactions: list[int] = []
        self.gathered: list[tuple[_Part, list[Output], Mapping[bytes, bytes | None]]] = []
        self.fails = False

    def flush(self) -> None:
        """All or nothing."""
        if not self.gathered:
            return
        gathered, self.gathered = self.gathered, []
        if self.fails:
            raise Fenced("a new owner")
        for part, outputs, changes in gathered:
            ListLog.commit(part, outputs, changes)
        self.transactions.append(len(gathered))

    def withdraw(self, record: PlainRecord, header: tuple[str, bytes]) -> None:
        """Take the mark off an output that was not applied."""
        for _, outputs, _ in self.gathered:
            withdraw(outputs, record, header)

    def release(self) -> None:
        """What was gathered is gone."""
        self.gathered = []


class _Part(ListLog):
    """The part of one stage."""

    def __init__(self, shared: SharedLog) -> None:
        super().__init__()
        self._shared = shared

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """Let a slice wait for its transaction."""
        self._shared.gathered.append((self, list(outputs), dict(changes)))


def open_core(log: ListLog, stage: CountingStage | None = None, **options: object) -> LaneCore:
    """A lane as it is opened at a start: restored, its inputs begun at 0."""
    core = LaneCore(
        stage or CountingStage(),
        log.restored(),
        log,
        clock=lambda: NOW,
        **options,  # type: ignore[arg-type]
    )
    for topic in CountingStage.inputs:
        core.start_at(topic, 0)
    return core


def record(offset: int, key: bytes = b"k", value: bytes = b"v", topic: str = TOPIC) -> PlainRecord:
    """An input record."""
    return PlainRecord(topic, 0, offset, 1_000 * offset, key, value)


def chunk(records: Sequence[PlainRecord], base: int | None = None, end: int | None = None) -> Chunk:
    """Records as delivered together."""
    first = records[0].offset if base is None else base
    last = records[-1].offset + 1 if end is None else end
    return Chunk(records[0].topic if records else TOPIC, 0, first, last, 1, records)


def every_record() -> Callable[[], float]:
    """A clock that lets each slice hold as little as the lane's granularity allows."""
    now = 0.0

    def elapsed() -> float:
        nonlocal now
        now += 1.0
        return now

    return elapsed

"""What goes into a lane and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class InputRecord(Protocol):
    """A fetched record. aiokafka's ``ConsumerRecord`` is one as it is: nothing is copied on the way in.

    ``timestamp`` is in milliseconds since the epoch; ``value`` None is a tombstone.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """An `InputRecord` made by hand: by the test driver, and by replay."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition as fetched together.

    ``base`` is the position at which the previous delivered chunk of the partition ended (or the position
    seeked to), ``end`` the position after this one. Offsets inside may jump: compaction and transaction
    markers leave holes. ``generation`` counts the seeks of the partition.
    """

    topic: str
    partition: int
    base: int
    end: int
    generation: int
    records: Sequence[InputRecord]


class Output(NamedTuple):
    """A record to publish. ``partition`` None lets the producer hash the key (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers | None = None

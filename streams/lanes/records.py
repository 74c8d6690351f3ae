"""What goes into a lane and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]

# On a record that its own lane has applied already, in the transaction that published it: the identity of
# the state that it was applied to. It is always the first header.
HANDED_HEADER = "tallystream-handed"


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


class PlainRecord(NamedTuple):
    """An `InputRecord` made by hand: handed over within a lane, held back, or by the test driver.

    ``decoded`` is what ``value`` decodes to, where that is known.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    decoded: dict[str, Any] | None = None


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
    """A record to publish. ``partition`` None lets the producer hash the key (murmur2).

    ``on_delivery`` is called as librdkafka does: with an error or None, and the message. ``decoded`` is what
    ``value`` decodes to, for whoever it is handed over to.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers | None = None
    on_delivery: Callable[[Any, Any], None] | None = None
    decoded: dict[str, Any] | None = None


def decoded(record: InputRecord, decode: Callable[[bytes], dict[str, Any]], value: bytes) -> dict[str, Any]:
    """What a record's value decodes to; must not be changed: it may be another stage's."""
    known: dict[str, Any] | None = getattr(record, "decoded", None)
    return decode(value) if known is None else known


def withdraw(outputs: list[Output], record: PlainRecord, header: tuple[str, bytes]) -> None:
    """Take the mark ``header`` off the outputs that equal ``record``: it was handed over, but not applied."""
    wanted = (record.topic, record.key, record.value)
    for at, output in enumerate(outputs):
        headers = output.headers
        if headers and headers[0] == header and (output.topic, output.key, output.value) == wanted:
            outputs[at] = output._replace(headers=headers[1:])

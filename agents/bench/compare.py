"""Whether two programs came to the same segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agents.bench.topics import read_topic
from agents.billing.segments import Segment
from streams.serde import Decoder

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Live segments compared, how many of them differ, and the first few that do."""

    rows_compared: int
    rows_different: int
    examples: tuple[str, ...]


def read_segments(bootstrap: str, topic: str, decoder: Decoder) -> dict[bytes, Segment]:
    """The live segments of a ``billing.current`` topic: its business fields, ids and times left out."""
    segments: dict[bytes, Segment] = {}
    for key, value in read_topic(bootstrap, topic):
        record = None if value is None else decoder.decode(value)
        if record is None or record["deleted"]:
            segments.pop(key, None)
        else:
            segments[key] = Segment.from_record(record)
    return segments


def compare(
    ours: Mapping[bytes, Segment], theirs: Mapping[bytes, Segment], common: Callable[[Segment], bool]
) -> Comparison:
    """Compare the segments of ``common`` roots; a segment that only one side has differs."""
    left = {key: segment for key, segment in ours.items() if common(segment)}
    keys: Iterable[bytes] = left.keys() | theirs.keys()
    different = [key for key in keys if left.get(key) != theirs.get(key)]
    examples = tuple(f"{key!r}: ours {left.get(key)}, theirs {theirs.get(key)}" for key in different[:SHOWN])
    return Comparison(len(left.keys() | theirs.keys()), len(different), examples)

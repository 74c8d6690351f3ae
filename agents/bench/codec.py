"""The codec limit: all records that a run of our flow decoded and encoded, coded again and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agents.bench.topics import read_topic
from streams.contracts import Contracts, load_schema
from streams.lanes.statecodec import StateCodec
from streams.serde import Decoder, Encoder

# What one stage hands over to the next is not decoded: there is one worker, which has all partitions.
DECODED = ("canonical.time_entry",)
ENCODED = (
    "billing.rated",
    "billing.events",
    "billing.current",
    "utilization.contribution",
    "exceptions.raised",
)
# State topics with their schemas, and where in a state there are framed records that are decoded with it.
STATES = {"state.billing-rate": "rated_state", "state.billing-allocate": "allocation_state"}
# Keys of entries; the index of dependencies and the cursor have others, and no Avro.
ENTRY_KEYS = b"e\0"

Rows = list[Any]
Work = tuple[Callable[[Any], object], Rows]


def codec_seconds(
    bootstrap: str, contracts: Contracts, schema_ids: Mapping[str, int], decoder: Decoder
) -> float:
    """CPU seconds, of this thread, of the coding that a run left in its topics.

    A state is encoded when it is written, and decoded with the records in it when it is replaced. Reading
    the topics and making the rows that are encoded is not counted.
    """
    work: list[Work] = [(decoder.decode, _values(bootstrap, topic)) for topic in DECODED]
    for topic in ENCODED:
        schema = contracts.topics[topic].schema
        assert schema is not None
        encode = Encoder(load_schema(schema), schema_ids[topic]).encode
        work.append((encode, [decoder.decode(value) for value in _values(bootstrap, topic)]))
    for topic, name in STATES.items():
        work += _state_work(bootstrap, topic, StateCodec(name), decoder)
    began = time.thread_time()
    for code, rows in work:
        for row in rows:
            code(row)
    return time.thread_time() - began


def _state_work(bootstrap: str, topic: str, codec: StateCodec, decoder: Decoder) -> Iterable[Work]:
    written: Rows = []
    replaced: Rows = []
    inside: Rows = []
    last: dict[bytes, tuple[bytes, dict[str, Any]]] = {}
    for key, value in read_topic(bootstrap, topic):
        if value is None or not key.startswith(ENTRY_KEYS):
            continue
        if key in last:
            before, state = last[key]
            replaced.append(before)
            inside += [framed for framed in (state["rated"], *state.get("live", {}).values()) if framed]
        last[key] = (value, codec.decode(value))
        written.append(last[key][1])
    return [(codec.encode, written), (codec.decode, replaced), (decoder.decode, inside)]


def _values(bootstrap: str, topic: str) -> list[bytes]:
    return [value for _, value in read_topic(bootstrap, topic) if value is not None]

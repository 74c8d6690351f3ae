"""The other peer: the same billing as an ordinary Quix Streams application.

Run by the Python of Quix Streams' own virtual environment (`agents.bench.quix`), with this package on its
path. Two stateful dataframes, a message at a time, Quix Streams' own settings: at least once, state in
RocksDB with a changelog. What it computes, and what it leaves out, is in `agents.bench.peer`.
"""

# Not installed beside our own packages: it wants an older Kafka client.
# mypy: disable-error-code="import-not-found, misc"

from __future__ import annotations

from typing import Any

from quixstreams import Application
from quixstreams.models import Serializer

from agents.bench.inputs import PEER_ENTRIES
from agents.bench.peer import OUTPUTS, RATED, Made
from agents.bench.peerstart import load_billing, parse_options

APP = "quix-billing"


class Framed(Serializer):
    """What a step made is framed Avro already."""

    def __call__(self, made: Made, ctx: Any) -> bytes:
        """Its bytes."""
        return made.value


class StateTable:
    """The state of the message's key, as a table of bytes."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self._state.get_bytes(key.decode())
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._state.set_bytes(key.decode(), value)


def main() -> None:
    """Load the reference rows, then run until SIGTERM."""
    options = parse_options("python -m agents.bench.quix_peer")
    billing = load_billing(options)
    app = Application(
        options.bootstrap,
        consumer_group=APP,
        auto_offset_reset="earliest",
        state_dir=options.folder,
        loglevel="WARNING",
    )
    entries = app.topic(PEER_ENTRIES, value_deserializer="bytes")
    topics = {
        name: app.topic(options.prefix + name, value_deserializer="bytes", value_serializer=Framed())
        for name in OUTPUTS
    }

    started = False

    def rate(value: bytes, state: Any) -> list[Made]:
        nonlocal started
        if not started:
            options.started.touch()
            started = True
        return billing.rate(value, StateTable(state))

    def allocate(value: bytes, state: Any) -> list[Made]:
        return billing.allocate(value, StateTable(state))

    # State is by message key: entries by their ids; their results, on the way to roots, by root.
    rated = app.dataframe(entries).apply(rate, stateful=True, expand=True)
    rated.to_topic(topics[RATED], key=lambda made: made.root_id.encode())
    allocated = app.dataframe(topics[RATED]).apply(allocate, stateful=True, expand=True)
    allocated.to_topic(lambda made, *_: topics[made.topic], key=lambda made: made.key)
    app.run()


if __name__ == "__main__":
    main()

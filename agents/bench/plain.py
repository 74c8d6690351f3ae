"""One peer: the same billing as an ordinary Faust program, run as ``python -m agents.bench.plain``.

Two agents with tables, a message at a time, aiokafka's transport and Faust's own settings: at least
once. What it computes, and what it leaves out, is in `agents.bench.peer`.
"""

from __future__ import annotations

from typing import Any

import faust

from agents.bench.inputs import PEER_ENTRIES
from agents.bench.peer import OUTPUTS, RATED, PeerBilling
from agents.bench.peerstart import PeerOptions, load_billing, parse_options
from streams.serde.partitioning import partition_of

APP = "plain-billing"
# Bytes as they are, in tables and in topics: no codec of Faust's on the way.
BYTES: dict[str, Any] = {"key_type": bytes, "value_type": bytes}
RAW: dict[str, Any] = {**BYTES, "key_serializer": "raw", "value_serializer": "raw"}


def plain_app(options: PeerOptions, billing: PeerBilling) -> faust.App:
    """Build the program."""
    app = faust.App(
        APP,
        broker=f"kafka://{options.bootstrap}",
        store="rocksdb://",
        datadir=str(options.folder),
        topic_partitions=options.partitions,
        topic_allow_declare=False,  # made beforehand, like everybody's
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        origin=None,
    )
    entries = app.topic(PEER_ENTRIES, **RAW)
    topics = {name: app.topic(options.prefix + name, **RAW) for name in OUTPUTS}
    last_rated, books = app.Table("rated", **BYTES), app.Table("books", **BYTES)

    async def rate(stream: Any) -> None:
        started = False
        async for value in stream:
            if not started:
                options.started.touch()
                started = True
            await send(billing.rate(value, last_rated))

    async def allocate_roots(stream: Any) -> None:
        async for value in stream:
            await send(billing.allocate(value, books))

    async def send(outputs: Any) -> None:
        for made in outputs:
            partition = partition_of(made.root_id, options.partitions)
            await topics[made.topic].send(key=made.key, value=made.value, partition=partition)

    async def forget(*_: Any, **__: Any) -> None:
        billing.forget()

    app.agent(entries)(rate)
    app.agent(topics[RATED])(allocate_roots)
    app.on_partitions_revoked.connect(forget)
    return app


def main() -> None:
    """Load the reference rows, then run under Faust's own worker until SIGTERM."""
    options = parse_options("python -m agents.bench.plain")
    app = plain_app(options, load_billing(options))
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()

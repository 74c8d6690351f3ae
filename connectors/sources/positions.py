"""Reading a source's last published position back from the compacted topic ``source.positions``."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.sources.topics import ADMIN_TIMEOUT_S, POSITIONS
from streams.errors import DependencyUnavailable, PositionLost
from streams.logs import LIBRDKAFKA

# Another source's transaction may be open in the topic; it ends within its transaction time-out,
# a minute, unless the broker (the embedded one) never ends abandoned ones.
READ_TIMEOUT_S = 90.0
# Brokers tell of a topic's end when nothing has come for so long; the default is half a second.
END_WAIT_MS = 50

T = TypeVar("T")


def columns_key(name: str) -> str:
    """Under which the topic has what source ``name`` remembers of its tables' columns; no source's name."""
    return f"{name}/columns"


def read_position(bootstrap: str, name: str) -> bytes | None:
    """The latest committed value under ``name``, None when there is none; see `read_latest`."""
    return read_latest(bootstrap, name).get(name)


def read_latest(bootstrap: str, *names: str) -> dict[str, bytes]:
    """The latest committed value under each of ``names`` that has one.

    To be called after ``init_transactions``, so that an abandoned transaction of ours has ended. The
    end is the high watermark, taken first: records of aborted transactions and control records count
    as offsets but are never delivered, so the reader's own position tells when it is there.
    """
    latest: dict[str, bytes] = {}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"source-{names[0]}",  # required by the library; nothing is committed under it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": END_WAIT_MS,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        start, end = _bounds(bootstrap)
        if end <= start:
            return {}
        consumer.assign([TopicPartition(POSITIONS, 0, start)])
        deadline = time.monotonic() + READ_TIMEOUT_S
        reached = start
        while reached < end:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(
                        f"{POSITIONS} can be read up to offset {reached} of {end} only: another source has a "
                        "transaction open; restart that source, or wait until the broker ends it"
                    )
                continue
            error = message.error()
            if error is None:
                reached = message.offset() + 1
                name, value = (message.key() or b"").decode(errors="replace"), message.value()
                if name in names and value is not None:
                    latest[name] = value
            elif error.code() == KafkaError._PARTITION_EOF:
                reached = message.offset()
            else:
                raise KafkaException(error)
    except KafkaException as error:
        raise DependencyUnavailable(f"Kafka at {bootstrap}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    return latest


def _bounds(bootstrap: str) -> tuple[int, int]:
    """First offset and high watermark, open transactions included."""
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
    partition = TopicPartition(POSITIONS, 0)
    offsets = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
        future = admin.list_offsets({partition: spec}, request_timeout=ADMIN_TIMEOUT_S)[partition]
        offsets.append(int(future.result(ADMIN_TIMEOUT_S).offset))
    return offsets[0], offsets[1]


def parse_position(value: bytes, connector: str, make: Callable[[dict[str, Any]], T]) -> T:
    """What ``make`` makes of a position that says its ``connector``; `PositionLost` when it isn't such a one."""
    try:
        stored: dict[str, Any] = json.loads(value)
        if stored.get("connector") != connector:
            raise ValueError(f"of connector {stored.get('connector', 'postgresql')}")
        return make(stored)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PositionLost(
            f"the stored source position cannot be read ({error}); another source or version wrote it: "
            "give this source another name"
        ) from None

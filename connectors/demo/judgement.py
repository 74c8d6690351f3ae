"""Holds the warehouse and the topics against the oracle."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from sqlalchemy import Engine

from streams.contracts.locator import shipped
from streams.errors import DependencyUnavailable
from streams.serde import Decoder

# Without any change in the number of differences for this long, the pipeline is not going to get there.
PATIENCE_SECONDS = 30.0
READ_SECONDS = 30.0


def load_oracle() -> ModuleType:
    """The oracle package: shipped in the wheel, or in the checkout's tests."""
    if "tallystream_oracle" in sys.modules:
        return sys.modules["tallystream_oracle"]
    folder = shipped("_oracle", "tests/oracle")
    spec = importlib.util.spec_from_file_location(
        "tallystream_oracle", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tallystream_oracle"] = module
    spec.loader.exec_module(module)
    return module


def read_topic(bootstrap: str, topic: str, decoder: Decoder) -> Iterator[dict[str, Any]]:
    """Every committed record of a topic, decoded, up to the end it has now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tallystream-judgement",  # required by the client; nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        },
        logger=None,
    )
    try:
        partitions = consumer.list_topics(topic, timeout=READ_SECONDS).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        open_partitions = set(partitions)
        deadline = time.monotonic() + READ_SECONDS
        while open_partitions:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(f"{topic}: its end is not reached; a transaction may be open")
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif error is not None:
                raise DependencyUnavailable(f"{topic}: {error.str()}")
            elif message.value() is not None:
                yield decoder.decode(message.value())
    finally:
        consumer.close()


class Judge:
    """Compares what came out with what the oracle says must come out."""

    def __init__(self, engines: Mapping[str, Engine], warehouse: Engine) -> None:
        self._oracle = load_oracle()
        self.engines = engines
        self._warehouse = warehouse

    def expect(self) -> Any:
        """The oracle's result over the source databases, whose writers are at rest."""
        return self._oracle.compute(self.engines["erp"], self.engines["crm"], self.engines["time"])

    def compare_warehouse(self, expected: Any) -> Any:
        """The comparison with the warehouse."""
        return self._oracle.compare(expected, self._oracle.actual_from_warehouse(self._warehouse))

    def compare_topics(self, expected: Any, bootstrap: str, decoder: Decoder) -> Any:
        """The comparison with the published topics."""
        oracle = self._oracle
        read = {
            topic: list(read_topic(bootstrap, topic, decoder))
            for topic in ("billing.events", "billing.current", "utilization.daily", "utilization.windows")
        }
        actual = oracle.Actual(
            ledger=oracle.billing_from_records(read["billing.events"]),
            current=oracle.current_from_records(read["billing.current"]),
            daily=oracle.daily_from_records(read["utilization.daily"]),
            windows=oracle.windows_from_records(read["utilization.windows"]),
        )
        return oracle.compare(expected, actual)

    def wait(
        self,
        expected: Any,
        check: Callable[[], None],
        progress: Callable[[int], None] = lambda _: None,
        patience_s: float = PATIENCE_SECONDS,
    ) -> Any:
        """Compare until nothing differs, or until nothing has changed for a while; returns the last one.

        ``check`` raises if the pipeline is broken; ``progress`` gets the rows that still differ.
        """
        last, since = None, time.monotonic()
        while True:
            check()
            comparison = self.compare_warehouse(expected)
            progress(comparison.rows_different)
            if comparison.rows_different == 0:
                return comparison
            if comparison.rows_different != last:
                last, since = comparison.rows_different, time.monotonic()
            if time.monotonic() - since > patience_s:
                return comparison
            time.sleep(0.3)

"""What an explanation is read from: rows of the line's own engagement; connections are left on errors, too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from billing_builders import NOW, allocated, entry, posted, record, small_firm

from agents.billing import diff, rate_entry
from agents.explain.eventid import read_event_id
from agents.explain.reading import INVOICE_LINE, LEDGER, FactsReader
from streams.cli.main import main
from streams.contracts import load_contracts
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA
from streams.serde import Decoder
from streams.topicreader import TopicReader, TopicRecord

POSTED = "erp:E1:time:1:inv:erp:I1:1:CHARGE"
TIMES = dict.fromkeys(("occurred_at", "captured_at", "published_at", "rated_at", "allocated_at"), NOW)


class Topics:
    """Topics of one partition, and the decoder of their records, whose values are numbers of rows."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._records: dict[str, list[TopicRecord]] = {}

    def put(self, topic: str, key: str, row: dict[str, Any]) -> None:
        value = str(len(self._rows)).encode()
        self._rows.append(row)
        self._records.setdefault(topic, []).append(TopicRecord(topic, key.encode(), value))

    def partitions(self, topic: str) -> int:
        return 1

    def read(self, *topics: str) -> Iterator[TopicRecord]:
        return (one for topic in topics for one in self._records.get(topic, []))

    def read_partition(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        return self.read(topic)

    def decode(self, value: bytes) -> dict[str, Any]:
        return self._rows[int(value)]


def invoice_lines(*rows: tuple[str, str, str | None]) -> list[str]:
    """Ids of the lines that explain `POSTED`, of (id, engagement, charge that it credits) in order."""
    firm, topics = small_firm(), Topics()
    item = rate_entry(entry(1, "03-02", 5), firm.ref).item
    assert item is not None
    for line in diff({}, allocated(firm, [item], [posted("erp:I1", "time:1", 5, 500)])).lines:
        topics.put(LEDGER, line.event_id, line.fields() | TIMES)
    for line_id, engagement, credits_line in rows:
        row = record("invoice_line", line_id, engagement_id=engagement, credits_line_id=credits_line)
        topics.put(INVOICE_LINE, f"{engagement}:{line_id}", row)
    reader = FactsReader(
        cast(TopicReader, topics), cast(Decoder, topics), load_contracts(), lambda _topic: None
    )
    return [row["id"] for row in reader.read(read_event_id(POSTED)).invoice_lines]


def test_the_posted_line_and_its_credits_are_read() -> None:
    """Other lines, and a credit that names another one by now, are not."""
    charge = ("erp:I1", "erp:E1", None)
    assert invoice_lines(charge, ("erp:I2", "erp:E1", "erp:I1"), ("erp:I3", "erp:E1", None)) == [
        "erp:I1",
        "erp:I2",
    ]
    assert invoice_lines(charge, ("erp:I2", "erp:E1", "erp:I1"), ("erp:I2", "erp:E1", "erp:I9")) == ["erp:I1"]


def test_lines_of_another_engagement_are_not() -> None:
    """They may share the partition; one that went to another engagement is dropped."""
    charge = ("erp:I1", "erp:E1", None)
    assert invoice_lines(charge, ("erp:I2", "erp:E2", "erp:I1")) == ["erp:I1"]
    moved = [charge, ("erp:I2", "erp:E1", "erp:I1"), ("erp:I2", "erp:E2", "erp:I1")]
    assert invoice_lines(*moved) == ["erp:I1"]
    assert invoice_lines(*moved, moved[1]) == ["erp:I1", "erp:I2"]


def test_the_registry_is_left_on_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on success."""
    left: list[str] = []

    def away(*_: Any) -> None:
        raise DependencyUnavailable("no broker")

    def registry(_url: str) -> SimpleNamespace:
        return SimpleNamespace(close=lambda: left.append("registry"))

    monkeypatch.setattr("streams.serde.Registry", registry)
    monkeypatch.setattr("streams.topicreader.TopicReader", away)
    monkeypatch.setattr(sys, "argv", ["tallystream", "explain", POSTED])
    monkeypatch.setattr(logging.getLogger(LIBRDKAFKA), "level", logging.CRITICAL)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, left) == (3, ["registry"])
    assert capsys.readouterr().err == "error: no broker\n"

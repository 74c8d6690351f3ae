"""Latency a hop, from the times in a billing event to the record of a window."""

from __future__ import annotations

import io
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from fastavro import parse_schema, schemaless_writer

from agents.latency import HOPS, hop_samples, latency_windows, window_record
from streams.contracts import load_schema
from streams.windows import RELATIVE_ERROR

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)


def event(commit: datetime, *delays: int, snapshot: bool = False) -> dict[str, Any]:
    names = ("captured_at", "published_at", "rated_at", "allocated_at")
    record: dict[str, Any] = {"occurred_at": commit, "snapshot": snapshot}
    moment = commit
    for name, delay in zip(names, delays, strict=True):
        moment += timedelta(microseconds=delay)
        record[name] = moment
    return record


def test_hops_add_up() -> None:
    """The four hops are the injected delays, and together they are the whole way."""
    samples = {one.hop: one.micros for one in hop_samples(event(NOW, 10, 200, 3000, 40_000))}
    assert samples == {
        "commit_to_capture": 10,
        "capture_to_canonical": 200,
        "canonical_to_rated": 3000,
        "rated_to_billing": 40_000,
        "commit_to_billing": 43_210,
    }


def test_event_time_is_the_commit() -> None:
    """Samples belong to the window of the source's commit, however late they were processed."""
    assert {one.event_time for one in hop_samples(event(NOW, 1, 1, 1, 10**9))} == {NOW}


def test_snapshots_are_left_out() -> None:
    """Rows of an initial snapshot, and what reference changes caused, are measured on nothing."""
    assert hop_samples(event(NOW, 1, 2, 3, 4, snapshot=True)) == []


def test_clock_skew_shows() -> None:
    """A capture before its commit is a negative duration, not a zero."""
    assert hop_samples(event(NOW, -500, 600, 0, 0))[0].micros == -500


def test_windows_agree_with_injected_delays() -> None:
    """p50, p95, p99 and maximum of a window agree with the exact ones of the delays put in."""
    rng = random.Random(7)
    windows = latency_windows()
    injected = []
    for number in range(3000):
        delays = tuple(int(rng.lognormvariate(9, 1)) for _ in range(4))
        injected.append(delays)
        commit = NOW + timedelta(milliseconds=number * 10)
        for sample in hop_samples(event(commit, *delays)):
            assert windows.add(str(number % 4), sample.hop, sample.event_time, sample.micros, NOW)
    assert windows.close(NOW) == []
    for partition in "0123":
        windows.add(partition, "commit_to_capture", NOW + timedelta(seconds=71), 1, NOW)
    records = {one.name: window_record(one, NOW) for one in windows.close(NOW)}
    assert list(records) == sorted(hop for hop, _, _ in HOPS)
    schema = parse_schema(load_schema("events/latency_window"))
    for place, (hop, _, _) in enumerate(HOPS):
        values = sorted(sum(d) if hop == "commit_to_billing" else d[place] for d in injected)
        record = records[hop]
        assert record["samples"] == 3000
        assert record["max_us"] == values[-1]
        assert record["late"] == 0
        for field, q in (("p50_us", 0.5), ("p95_us", 0.95), ("p99_us", 0.99)):
            truth = values[math.floor(q * 2999)]
            assert abs(record[field] - truth) <= truth * RELATIVE_ERROR + 0.5
        schemaless_writer(io.BytesIO(), schema, record)

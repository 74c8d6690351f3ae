"""Counters of the worker, read from its ``/metrics``."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

LANE_EVENTS = "tallystream_lane_events"


def lane_counters(metrics: str | None) -> dict[tuple[str, str], int]:
    """(stage, kind) → count; empty where there are no metrics."""
    counters = {}
    for family in text_string_to_metric_families(metrics or ""):
        if family.name == LANE_EVENTS:
            for sample in family.samples:
                if sample.name == f"{LANE_EVENTS}_total":
                    counters[sample.labels["stage"], sample.labels["kind"]] = int(sample.value)
    return counters


def total(counters: dict[tuple[str, str], int], kind: str, stage: str | None = None) -> int:
    """Sum of a kind over all stages, or of one."""
    return sum(n for (s, k), n in counters.items() if k == kind and stage in (None, s))

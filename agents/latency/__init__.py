"""Latency of the pipeline a hop, in windows of the source's commit time."""

from agents.latency.hops import HOPS, HopSample, hop_samples
from agents.latency.windows import DISORDER, IDLE_AFTER, WINDOW, latency_windows, window_record

__all__ = [
    "DISORDER",
    "HOPS",
    "IDLE_AFTER",
    "WINDOW",
    "HopSample",
    "hop_samples",
    "latency_windows",
    "window_record",
]

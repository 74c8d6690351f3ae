"""What was measured, as JSON-ready values."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents.bench.measure import Measured
from agents.bench.quix import quix_version
from streams.stack.jars import kafka_version

PACKAGES = ("tallystream", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "rocksdict")


def figures_of(
    measured: Mapping[str, Measured], changes: int, peer_changes: int, workers: int
) -> dict[str, Any]:
    """Rates are changes a second, a core's (by CPU time) unless ``wall`` is in the name.

    What was not measured is null. ``ours_cpu_per_change_ratio`` is the CPU time that a change takes of
    several workers, as a multiple of what it takes of one.
    """
    ours = measured["ours"]
    rate = changes / ours.cpu_s
    found: dict[str, Any] = {
        "ours_events_per_s": round(rate),
        "ratio_vs_plain_faust": None,
        "ratio_vs_quix": None,
        "ratio_vs_codec_limit": round(measured["codec"].cpu_s / ours.cpu_s, 3),
        "codec_limit_events_per_s": round(changes / measured["codec"].cpu_s),
        "ours_wall_events_per_s": round(changes / ours.wall_s),
        "ours_cpu_s": round(ours.cpu_s, 2),
        "ours_wall_s": round(ours.wall_s, 2),
        "changes": changes,
        "plain_changes": peer_changes,
    }
    for name, label in (("plain", "plain_faust"), ("quix", "quix")):
        peer = measured.get(name)
        found[f"{label}_events_per_s"] = None if peer is None else round(peer_changes / peer.cpu_s)
        found[f"{name}_wall_events_per_s"] = None if peer is None else round(peer_changes / peer.wall_s)
        found[f"{name}_cpu_s"] = None if peer is None else round(peer.cpu_s, 2)
        found[f"{name}_wall_s"] = None if peer is None else round(peer.wall_s, 2)
        if peer is not None:
            found[f"ratio_vs_{label}"] = round(rate * peer.cpu_s / peer_changes, 2)
    together = measured.get("workers")
    if together is not None:
        found["workers"] = {
            "workers": workers,
            "events_per_s_of_cpu": round(changes / together.cpu_s),
            "wall_events_per_s": round(changes / together.wall_s),
            "cpu_s": round(together.cpu_s, 2),
            "wall_s": round(together.wall_s, 2),
            "cpu_per_change_ratio": round(together.cpu_s / ours.cpu_s, 3),
        }
    return found


def machine(broker: str, partitions: int) -> dict[str, Any]:
    """Where it was measured; ``load_at_start`` is of others: figures of a busy machine are no figures."""
    brokers = {"kafka": f"Apache Kafka {kafka_version()}", "embedded": f"noida-db {version('noida-db')}"}
    return {
        "partitions": partitions,
        "broker": brokers.get(broker, broker),
        "one_core_each": shutil.which("taskset") is not None,
        "cores": os.cpu_count(),
        "cpu_model": _cpu_model(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "quixstreams": quix_version(),
        },
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

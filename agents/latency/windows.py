"""The windows of ``latency.windows``: their size, their watermark, and their records."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from streams.windows import ClosedWindow, TumblingWindows, Watermark

# Short enough for an alert, long enough for a p99 of a hundred samples at a quiet firm's rate.
WINDOW: Final = timedelta(minutes=1)
# A partition silent for this long is left out of the watermark: half a window, so that a window is
# shown within about one and a half window lengths of its end.
IDLE_AFTER: Final = timedelta(seconds=30)
# Events of several sources meet in one partition, each source in its own commit order: so much may one
# be behind the other without its samples being late.
DISORDER: Final = timedelta(seconds=10)


def latency_windows(
    size: timedelta = WINDOW, idle_after: timedelta = IDLE_AFTER, disorder: timedelta = DISORDER
) -> TumblingWindows:
    """The windows of one consumer of the ledger."""
    return TumblingWindows(size, Watermark(idle_after, disorder))


def window_record(closed: ClosedWindow, now: datetime) -> dict[str, Any]:
    """A closed window as a record of ``latency.windows``."""
    sketch = closed.sketch
    return {
        "hop": closed.name,
        "window_start": closed.start,
        "window_end": closed.end,
        "samples": sketch.count,
        "p50_us": sketch.quantile(0.5),
        "p95_us": sketch.quantile(0.95),
        "p99_us": sketch.quantile(0.99),
        "max_us": sketch.maximum,
        "late": closed.late,
        "emitted_at": now,
    }

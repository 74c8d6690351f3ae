"""Event-time windows: watermarks over partitions, tumbling windows of quantile sketches."""

from streams.windows.sketch import RELATIVE_ERROR, LatencySketch
from streams.windows.tumbling import ClosedWindow, TumblingWindows
from streams.windows.watermarks import Watermark

__all__ = ["RELATIVE_ERROR", "ClosedWindow", "LatencySketch", "TumblingWindows", "Watermark"]

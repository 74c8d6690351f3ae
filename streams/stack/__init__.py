"""Local servers for development, demo and tests: real ones, on loopback, gone when we are.

with Stack(folder, broker="embedded") as stack:
    os.environ.update(stack.settings_environment())
"""

from __future__ import annotations

from streams.stack.health import ServiceStatus
from streams.stack.jars import kafka_available
from streams.stack.stack import SERVICES, Stack

__all__ = ["SERVICES", "ServiceStatus", "Stack", "kafka_available"]

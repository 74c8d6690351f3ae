"""Run a whole topology on lists of records: no broker, a virtual clock, crashes where you want them."""

from streams.testing.driver import Crash, TopologyDriver
from streams.testing.registry import MemoryRegistry

__all__ = ["Crash", "MemoryRegistry", "TopologyDriver"]

"""The warehouse sink: a star schema for BI tools, each record loaded exactly once."""

from connectors.sinks.warehouse.schema import ddl
from connectors.sinks.warehouse.store import WarehouseTarget
from connectors.sinks.warehouse.tables import warehouse

__all__ = ["WarehouseTarget", "ddl", "warehouse"]

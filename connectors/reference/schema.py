"""Create the reference systems' tables, with replica identity FULL."""

from __future__ import annotations

from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase

from connectors.reference.crm import Crm
from connectors.reference.erp import Erp
from connectors.reference.timesheets import Time

SYSTEMS: dict[str, type[DeclarativeBase]] = {"erp": Erp, "crm": Crm, "time": Time}


def create_tables(system: str, engine: Engine) -> None:
    """Create the tables of ``erp``, ``crm`` or ``time`` where they are missing."""
    metadata = SYSTEMS[system].metadata
    with engine.begin() as connection:
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            connection.execute(text(f'ALTER TABLE "{table.name}" REPLICA IDENTITY FULL'))

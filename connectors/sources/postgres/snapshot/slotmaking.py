"""Making slots for the snapshots that they export."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.sources.postgres.position import lsn_value
from connectors.sources.postgres.resume import PLUGIN
from connectors.sources.postgres.server.connection import Server, quoted


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A snapshot that other connections can adopt while the exporting one stays open."""

    name: str
    consistent_lsn: int


@contextmanager
def create_slot(server: Server, slot: str, temporary: bool) -> Iterator[ExportedSnapshot]:
    """Create ``slot`` and hold its exported snapshot open. A temporary one is gone at the end."""
    connection = server.replication()
    kind = "TEMPORARY " if temporary else ""
    try:
        row = server.command(
            connection, f"CREATE_REPLICATION_SLOT {quoted(slot)} {kind}LOGICAL {PLUGIN} EXPORT_SNAPSHOT"
        )
        assert row[1] is not None
        assert row[2] is not None
        yield ExportedSnapshot(row[2], lsn_value(row[1]))
    finally:
        connection.finish()


def passing_slot(slot: str) -> str:
    """A name for a temporary slot beside ``slot``, of at most the 63 characters that a slot's name has.

    Another one each time: the server may not yet have noticed that our predecessor is gone.
    """
    return f"{slot[:50]}_copy_{secrets.token_hex(3)}"

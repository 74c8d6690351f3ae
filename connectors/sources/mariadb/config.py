"""The configuration of a MariaDB source."""

from __future__ import annotations

import zlib
from pathlib import Path

from pydantic import Field

from connectors.sources.config import SourceConfig

# Ids that we choose are kept apart from the small ones that people give their servers.
_FIRST_ID = 1_000_000_000


class MariadbConfig(SourceConfig):
    """A source that reads the binary log as a replica does."""

    server_id: int | None = Field(
        None, ge=1, lt=2**32, description="ours among the replicas; made of the name if not given"
    )
    failover: bool = Field(
        False, description="go on at another server that holds our last transaction: a promoted replica"
    )

    snapshot_chunk_rows: int = Field(
        20_000,
        ge=1,
        description="rows of a snapshot that are published, and remembered as published, at once",
    )

    spill_dir: Path | None = Field(
        None, description="for large transactions; the temporary folder if not given"
    )
    spill_after: int = Field(
        16 << 20, ge=1024, description="bytes of a transaction's changes that are kept in memory, not on disk"
    )

    @property
    def replica_id(self) -> int:
        """What we call ourselves to the server: no other replica may have it."""
        return self.server_id or _FIRST_ID + zlib.crc32(self.name.encode()) % _FIRST_ID

    @property
    def probe_id(self) -> int:
        """What we call ourselves while we ask for our rights: a stream under `replica_id` would be ended by it."""
        return 2 * _FIRST_ID + zlib.crc32(self.name.encode()) % _FIRST_ID

"""The configuration of a PostgreSQL source."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import Field, model_validator

from connectors.sources.config import SourceConfig
from connectors.sources.postgres.rules import ColumnRules
from streams.errors import ConfigurationError


class PostgresConfig(SourceConfig):
    """A source that reads a replication slot."""

    slot: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,63}$", description="tallystream_<name> if not given"
    )
    publication: str | None = Field(
        None, min_length=1, max_length=63, description="tallystream_<name> if not given"
    )

    failover: bool = Field(False, description="standbys keep the slot too; PostgreSQL 17 and later")
    slot_bytes_limit: int | None = Field(
        None,
        ge=1,
        description="warns when the server keeps more log than this for the slot; nothing is dropped",
    )

    snapshot_threads: int = Field(2, ge=1, le=64, description="readers of a snapshot, each with a connection")
    snapshot_chunk_pages: int = Field(
        256, ge=1, description="of a table, to a chunk; fewer where rows are wide"
    )

    backfill: frozenset[str] = Field(
        frozenset(),
        description="schema.table with a key, whose rows in snapshots go to <its topic>.backfill; flows read "
        "that behind live changes where the table's mapping says backfill: true",
    )

    signal_table: str | None = Field(
        None,
        pattern=r"^[^.]+\.[^.]+$",
        description="schema.table that asks for snapshots: id text, type text, data text; messages in the "
        "log do too, from PostgreSQL 14 on",
    )
    incremental_chunk_rows: int = Field(10_000, ge=1, description="rows read at once by such a snapshot")

    spill_dir: Path | None = Field(
        None, description="for large transactions; the temporary folder if not given"
    )
    spill_after: int = Field(
        4 << 20, ge=1024, description="bytes of a transaction's messages that are kept in memory, not on disk"
    )
    transaction_metadata: bool = Field(
        False, description="transaction block in envelopes, BEGIN and END on cdc.<name>.transaction"
    )
    heartbeat_s: float = Field(
        10.0, ge=0, description="seconds between messages that an idle source writes to the log; 0 is never"
    )

    columns_exclude: frozenset[str] = Field(frozenset(), description="schema.table.column, left out")
    columns_include: frozenset[str] = Field(
        frozenset(),
        description="schema.table.column; of a table named here only these and its key are published",
    )
    mask: dict[str, str] = Field({}, description="schema.table.column = what is published instead of a value")
    mask_null: frozenset[str] = Field(frozenset(), description="schema.table.column, published as null")
    hash: frozenset[str] = Field(
        frozenset(), description="schema.table.column, published as HMAC-SHA-256 of its text; keys too"
    )
    hash_key_env: str | None = Field(None, description="environment variable that holds the key of hash")
    hash_key_file: Path | None = Field(None, description="path of a file that holds the key of hash")
    as_text: frozenset[str] = Field(
        frozenset(), description="schema.table.column, published as PostgreSQL's text whatever its type"
    )

    @model_validator(mode="after")
    def _check_columns(self) -> PostgresConfig:
        self.column_rules.check()
        return self

    @property
    def column_rules(self) -> ColumnRules:
        """Which columns are left out, masked, hashed, or published as text."""
        return ColumnRules(
            self.columns_exclude,
            self.columns_include,
            self.mask,
            self.mask_null,
            self.hash,
            self.as_text,
            self.hash_key_env,
            self.hash_key_file,
        )

    def check_backfill(self, captured: Collection[str]) -> None:
        """`ConfigurationError` where ``backfill`` names what is not captured."""
        if unknown := sorted(self.backfill.difference(captured)):
            raise ConfigurationError(
                f"backfill names {', '.join(unknown)}, which tables does not capture; it captures "
                f"{', '.join(sorted(captured))}"
            )

    def check_backfill_key(self, table: str, key: Sequence[str]) -> None:
        """`ConfigurationError` where a table's rows can't be told from later ones by a key."""
        if table in self.backfill and not key:
            raise ConfigurationError(
                f"backfill: {table} has no key, by which a row of a snapshot could be told from a later one of "
                "its changes; give it a primary key, or take it out of backfill"
            )

    @property
    def slot_name(self) -> str:
        """The replication slot."""
        return self.slot or default_slot(self.name)

    @property
    def publication_name(self) -> str:
        """The publication."""
        return self.publication or default_slot(self.name)

    @property
    def own_publication(self) -> str | None:
        """The publication where it is nobody else's; None for one that the configuration names."""
        return None if self.publication else self.publication_name


def default_slot(source: str) -> str:
    """``tallystream_<source>`` in the alphabet of slots; also the publication's name."""
    return "tallystream_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in source.lower())

"""The configuration of a PostgreSQL source."""

from __future__ import annotations

from pydantic import Field

from connectors.sources.config import SourceConfig


class PostgresConfig(SourceConfig):
    """A source that reads a replication slot."""

    slot: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,63}$", description="tallystream_<name> if not given"
    )
    publication: str | None = Field(
        None, min_length=1, max_length=63, description="tallystream_<name> if not given"
    )

    @property
    def slot_name(self) -> str:
        """The replication slot."""
        return self.slot or default_slot(self.name)

    @property
    def publication_name(self) -> str:
        """The publication."""
        return self.publication or default_slot(self.name)


def default_slot(source: str) -> str:
    """``tallystream_<source>`` in the alphabet of slots; also the publication's name."""
    return "tallystream_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in source.lower())

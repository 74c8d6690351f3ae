"""The configuration of a polling source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.sources.config import SourceConfig


class TableConfig(BaseModel):
    """What one table has of its own; what is not given is the source's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    updated_at: str | None = Field(None, description="column that grows with the time of each change")
    version: str | None = Field(None, description="column that grows with each change of any row")
    key: tuple[str, ...] | None = Field(None, min_length=1, description="primary key if not given")

    @model_validator(mode="after")
    def _check(self) -> TableConfig:
        if self.updated_at is not None and self.version is not None:
            raise ValueError("give updated_at or version, not both")
        return self


class PollingConfig(SourceConfig):
    """A source that asks for what changed. ``dsn`` is a SQLAlchemy URL."""

    updated_at: str | None = Field(None, description="of every table without its own")
    version: str | None = Field(None, description="of every table without its own")
    interval_s: float = Field(5.0, ge=0.05, description="between the starts of polls")
    overlap_s: float = Field(
        60.0, ge=0, description="how much later than its updated_at a row may be committed"
    )
    overlap_versions: int = Field(
        1000, ge=0, description="how many versions may be committed before an earlier one"
    )
    compare: Literal["keys", "rows"] = Field("keys", description="what a comparison reads")
    compare_every_s: float = Field(300.0, gt=0, description="between comparisons, which find deletes")
    state: Path | None = Field(None, description=".tallystream/source-<name>.rows if not given")
    table: dict[str, TableConfig] = Field(default_factory=dict, description="by schema.table")

    @model_validator(mode="after")
    def _check_columns(self) -> PollingConfig:
        if self.updated_at is not None and self.version is not None:
            raise ValueError("give updated_at or version, not both; a table may have its own")
        for name in self.table:
            if not any(entry in (name, f"{name.partition('.')[0]}.*") for entry in self.tables):
                raise ValueError(f"table {name!r} is not among tables")
        return self

    @property
    def state_file(self) -> Path:
        """Remembers what is published. It may be lost: the topics make it again."""
        return self.state or Path(".tallystream") / f"source-{self.name}.rows"

    def of_table(self, name: str) -> TableConfig:
        """The table's configuration with the source's in its gaps."""
        own = self.table.get(name, TableConfig())
        if own.updated_at is None and own.version is None:
            own = own.model_copy(update={"updated_at": self.updated_at, "version": self.version})
        return own

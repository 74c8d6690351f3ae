"""The configuration file of a source: TOML, strictly read."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from streams.errors import ConfigurationError


class SourceConfig(BaseModel):
    """What one source reads, and from where. Exactly one of the three ways to give the DSN is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="of the source; topics are cdc.<name>.<schema>.<table>")
    dsn: SecretStr | None = Field(None, description="postgresql:// URL or key=value DSN")
    dsn_file: Path | None = Field(None, description="path of a file that holds the DSN")
    dsn_env: str | None = Field(None, description="environment variable that holds the DSN")
    tables: tuple[str, ...] = Field(min_length=1, description="schema.table or schema.*")
    slot: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,63}$", description="tallystream_<name> if not given"
    )
    publication: str | None = Field(
        None, min_length=1, max_length=63, description="tallystream_<name> if not given"
    )
    partitions: int | None = Field(None, ge=1, description="of each topic that is made")
    http_port: int = Field(0, ge=0, le=65535, description="serves /metrics there; 0 is off")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,50}", name):
            raise ValueError("use letters, digits, _ and -, at most 51")
        return name

    @field_validator("tables")
    @classmethod
    def _check_tables(cls, tables: tuple[str, ...]) -> tuple[str, ...]:
        for table in tables:
            if not re.fullmatch(r"[^.*]+\.([^*]+|\*)", table):
                raise ValueError(f"{table!r} is neither schema.table nor schema.*")
        return tables

    @model_validator(mode="after")
    def _check_dsn(self) -> SourceConfig:
        if sum(given is not None for given in (self.dsn, self.dsn_file, self.dsn_env)) != 1:
            raise ValueError("give exactly one of dsn, dsn_file and dsn_env")
        return self

    @property
    def slot_name(self) -> str:
        """The replication slot."""
        return self.slot or default_slot(self.name)

    @property
    def publication_name(self) -> str:
        """The publication."""
        return self.publication or default_slot(self.name)

    def read_dsn(self) -> str:
        """The DSN, from wherever it is kept; `ConfigurationError` names where it is missing."""
        if self.dsn is not None:
            return self.dsn.get_secret_value()
        if self.dsn_file is not None:
            try:
                return self.dsn_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigurationError(f"dsn_file: cannot read {self.dsn_file}: {error.strerror}") from None
        variable = str(self.dsn_env)
        value = os.environ.get(variable)
        if not value:
            raise ConfigurationError(f"dsn_env: environment variable {variable} is not set")
        return value


def default_slot(source: str) -> str:
    """``tallystream_<source>`` in the alphabet of slots; also the publication's name."""
    return "tallystream_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in source.lower())


def load_source(path: Path) -> SourceConfig:
    """Read a configuration file; `ConfigurationError` names the key that is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    try:
        return SourceConfig(**document)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(SourceConfig.model_fields)
            raise ConfigurationError(f"{path}: unknown key {key}; known are {known}") from None
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"{path}: {key + ': ' if key else ''}{message}") from None

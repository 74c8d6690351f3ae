"""What the configuration files of all sources have in common: TOML, strictly read."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

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
    """What one source reads, and from where. Exactly one of the three ways to give the DSN is set.

    Each connector has a subclass with its own keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="of the source; topics are cdc.<name>.<schema>.<table>")
    connector: str = Field("postgresql", description="which kind of source: see connectors.sources.kinds")
    dsn: SecretStr | None = Field(None, description="URL or DSN of the database")
    dsn_file: Path | None = Field(None, description="path of a file that holds the DSN")
    dsn_env: str | None = Field(None, description="environment variable that holds the DSN")
    tables: tuple[str, ...] = Field(min_length=1, description="schema.table or schema.*")
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


def read_document(path: Path) -> dict[str, Any]:
    """The keys and values of a configuration file; `ConfigurationError` if there is none to read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def parse(path: Path, document: dict[str, Any], kind: type[SourceConfig]) -> SourceConfig:
    """A configuration of one kind; `ConfigurationError` names the key of ``path`` that is wrong."""
    try:
        return kind(**document)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise ConfigurationError(f"{path}: unknown key {key}; known are {known}") from None
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"{path}: {key + ': ' if key else ''}{message}") from None

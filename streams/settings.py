"""Settings: one typed object from the environment (``TALLYSTREAM_*``) and one TOML file.

A secret ``X`` may also be given as ``TALLYSTREAM_X_FILE``, the path of a file that holds it, as
Kubernetes mounts them. Unknown or invalid settings are refused at start, by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streams.errors import ConfigurationError

PREFIX = "TALLYSTREAM_"
CONFIG_VARIABLE = PREFIX + "CONFIG"


class Settings(BaseSettings):
    """What a process needs to know about its surroundings. No business rule is a setting."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    config: Path | None = Field(None, description="TOML file with any of the settings below")
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port[,host:port] of the brokers")
    registry_url: str = Field("http://127.0.0.1:8081", description="Confluent-compatible schema registry")
    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis for live views")
    erp_dsn: SecretStr | None = Field(None, description="postgresql:// DSN of the ERP database")
    crm_dsn: SecretStr | None = Field(None, description="postgresql:// DSN of the CRM database")
    time_dsn: SecretStr | None = Field(None, description="postgresql:// DSN of the time database")
    bi_dsn: SecretStr | None = Field(None, description="SQLAlchemy URL of the warehouse")
    data_dir: Path = Field(Path(".tallystream"), description="state of lanes, and of the local stack")
    worker_id: str = Field("worker-0", description="static member id; the pod name in Kubernetes")
    http_host: str = Field("127.0.0.1", description="address of /livez, /readyz and /metrics")
    http_port: int = Field(0, ge=0, le=65535, description="port of the same; 0 takes a free one")
    partitions: int | None = Field(None, ge=1, description="overrides every keyed topic's contract count")
    replication_factor: int = Field(1, ge=1, description="of the topics that we create")
    exception_grace_s: float = Field(
        60.0, ge=0, description="seconds before a parked entry is shown to people"
    )
    transaction_patience_s: float = Field(
        10.0,
        ge=0,
        description="seconds that changes wait for the end of their transaction, where Debezium announces it",
    )
    session_timeout_s: float = Field(
        10.0, ge=6, description="silence after which a worker counts as dead; brokers refuse less than 6"
    )
    # None by default: a copy costs its disk, its share of the brokers' traffic and up to a tenth of a core, and
    # saves what a restore takes, some seconds for a million records.
    standbys: int = Field(
        0, ge=0, description="other workers that keep a copy of each lane's state, for a quicker takeover"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="of the JSON logs")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        sources = (init_settings, env_settings)
        path = os.environ.get(CONFIG_VARIABLE)
        return (*sources, TomlConfigSettingsSource(settings_cls, Path(path))) if path else sources

    def masked(self) -> dict[str, Any]:
        """The settings as plain values with secrets masked, for ``config show`` and logs."""
        return {name: (value if value is None else str(value)) for name, value in self}


def load_settings(**overrides: Any) -> Settings:
    """Read the settings, or raise `ConfigurationError` naming the one that is wrong."""
    values = {**_secrets_from_files(), **overrides}
    _refuse_unknown_variables()
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        raise ConfigurationError(f"{CONFIG_VARIABLE} names {path}, which is not a file")
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"setting {PREFIX}{name.upper()} is invalid: {first['msg']}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _secrets_from_files() -> dict[str, str]:
    found = {}
    for variable, path in os.environ.items():
        if variable.startswith(PREFIX) and variable.endswith("_FILE"):
            name = variable.removeprefix(PREFIX).removesuffix("_FILE").lower()
            if name not in Settings.model_fields:
                raise ConfigurationError(f"unknown setting {variable}; see `tallystream config show`")
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigurationError(f"{variable}: cannot read {path}: {error.strerror}") from None
    return found


def _refuse_unknown_variables() -> None:
    for variable in os.environ:
        name = variable.removeprefix(PREFIX).lower()
        known = name in Settings.model_fields or name.removesuffix("_file") in Settings.model_fields
        if variable.startswith(PREFIX) and not known:
            raise ConfigurationError(f"unknown setting {variable}; see `tallystream config show`")

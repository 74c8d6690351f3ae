"""Settings: refused by name, secrets from files, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.errors import ConfigurationError
from streams.settings import PREFIX, load_settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)


def test_an_unknown_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting never goes unnoticed."""
    monkeypatch.setenv("TALLYSTREAM_KAFKA_BOTSTRAP", "x")
    with pytest.raises(ConfigurationError, match="unknown setting TALLYSTREAM_KAFKA_BOTSTRAP"):
        load_settings()


def test_an_unknown_secret_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the file variant."""
    monkeypatch.setenv("TALLYSTREAM_SESAME_FILE", "x")
    with pytest.raises(ConfigurationError, match="unknown setting TALLYSTREAM_SESAME_FILE"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARTITIONS", "0"),
        ("PARTITIONS", "two"),
        ("HTTP_PORT", "70000"),
        ("EXCEPTION_GRACE_S", "-1"),
        ("SESSION_TIMEOUT_S", "0"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_an_invalid_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """In one line."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigurationError, match=f"setting TALLYSTREAM_{name} is invalid") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Kubernetes mounts it, with a line's end."""
    (tmp_path / "dsn").write_text("postgresql://u:geheim@h/erp\n", encoding="utf-8")
    monkeypatch.setenv("TALLYSTREAM_ERP_DSN_FILE", str(tmp_path / "dsn"))
    settings = load_settings()
    assert settings.erp_dsn is not None
    assert settings.erp_dsn.get_secret_value() == "postgresql://u:geheim@h/erp"


def test_a_secret_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By variable and path."""
    monkeypatch.setenv("TALLYSTREAM_ERP_DSN_FILE", str(tmp_path / "dsn"))
    with pytest.raises(ConfigurationError, match="TALLYSTREAM_ERP_DSN_FILE: cannot read"):
        load_settings()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the shown settings nor their representation hold a secret."""
    monkeypatch.setenv("TALLYSTREAM_ERP_DSN", "postgresql://u:geheim@h/erp")
    settings = load_settings()
    assert "geheim" not in str(settings.masked())
    assert "geheim" not in repr(settings)
    assert settings.masked()["kafka_bootstrap"] == "127.0.0.1:9092"


def test_an_invalid_secret_is_not_shown_in_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting and not its value."""
    monkeypatch.setenv("TALLYSTREAM_PARTITIONS", "geheim")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "geheim" not in str(caught.value)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And arguments over both."""
    path = tmp_path / "tallystream.toml"
    path.write_text('worker_id = "file"\nlog_level = "DEBUG"\npartitions = 3\n', encoding="utf-8")
    monkeypatch.setenv("TALLYSTREAM_CONFIG", str(path))
    monkeypatch.setenv("TALLYSTREAM_WORKER_ID", "environment")
    settings = load_settings(partitions=5)
    assert (settings.worker_id, settings.log_level, settings.partitions) == ("environment", "DEBUG", 5)


@pytest.mark.parametrize("text", ["worker_it = 1", "a = [", "partitions = 'x'"])
def test_a_bad_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Unknown key, broken TOML, wrong type: one line."""
    path = tmp_path / "tallystream.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TALLYSTREAM_CONFIG", str(path))
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By variable and path."""
    monkeypatch.setenv("TALLYSTREAM_CONFIG", "/nowhere.toml")
    with pytest.raises(ConfigurationError, match=r"TALLYSTREAM_CONFIG names /nowhere\.toml"):
        load_settings()

"""The command line of the sources, without servers."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from connectors.sources.cli import app
from streams.errors import ConfigurationError


def test_help_shows_a_whole_configuration() -> None:
    """``--help`` carries an example and every key of the file."""
    result = CliRunner().invoke(app, ["run", "--help"])
    assert result.exit_code == 0
    for word in (
        "Example: tallystream source run",
        "dsn_env",
        "dsn_file",
        "tables",
        "slot",
        "publication",
        "--once",
    ):
        assert word in result.output


def test_an_unknown_key_is_a_usage_error(tmp_path: Path) -> None:
    """The key is named, before any server is looked for."""
    path = tmp_path / "erp.toml"
    path.write_text('name = "erp"\ndsn = "x"\ntables = ["a.b"]\nslto = "s"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(path)])
    assert isinstance(result.exception, ConfigurationError)
    assert "unknown key slto" in str(result.exception)

"""The configuration file of a source is strictly read."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources import load_source
from connectors.sources.subjects import changed_fields, must_be_optional, row_fields
from streams.errors import ConfigurationError

GOOD = 'name = "erp"\ndsn = "postgresql://u:secret@h/erp"\ntables = ["public.client", "billing.*"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "source.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults(tmp_path: Path) -> None:
    """Slot and publication are named after the source; the DSN is not shown."""
    config = load_source(write(tmp_path, GOOD))
    assert (config.slot_name, config.publication_name) == ("tallystream_erp", "tallystream_erp")
    assert config.read_dsn() == "postgresql://u:secret@h/erp"
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "sloot = 1\n", "unknown key sloot"),
        (GOOD + 'dsn_env = "X"\n', "exactly one of dsn, dsn_file and dsn_env"),
        ('name = "erp"\ntables = ["a.b"]\n', "exactly one"),
        ('name = "e/p"\ndsn = ""\ntables = ["a.b"]\n', "name: use letters"),
        ('name = "erp"\ndsn = ""\ntables = ["client"]\n', "'client' is neither"),
        ('name = "erp"\ndsn = ""\ntables = []\n', "tables"),
        ("name = ", "is not TOML"),
        (GOOD + "partitions = 0\n", "partitions"),
        (GOOD + 'connector = "paper"\n', "connector: no 'paper'; there are postgresql"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """One line that names the key, exit code 2, and never the DSN."""
    with pytest.raises(ConfigurationError) as raised:
        load_source(write(tmp_path, text))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_missing_file(tmp_path: Path) -> None:
    """Neither the file nor the DSN's file may be missing."""
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_source(tmp_path / "none.toml")
    config = load_source(write(tmp_path, 'name = "erp"\ndsn_file = "/nowhere"\ntables = ["a.b"]\n'))
    with pytest.raises(ConfigurationError, match="dsn_file"):
        config.read_dsn()


def test_dsn_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named when it is not set."""
    config = load_source(write(tmp_path, 'name = "erp"\ndsn_env = "ERP_DSN"\ntables = ["a.b"]\n'))
    monkeypatch.delenv("ERP_DSN", raising=False)
    with pytest.raises(ConfigurationError, match="ERP_DSN"):
        config.read_dsn()
    monkeypatch.setenv("ERP_DSN", "host=db")
    assert config.read_dsn() == "host=db"


def test_registered_versions_decide_nullability() -> None:
    """What was nullable stays so, what is new becomes so; a first version is as the catalog says."""
    registered = {"id": "int", "note": ["null", "string"]}
    assert not must_be_optional({}, "id")
    assert not must_be_optional(registered, "id")
    assert must_be_optional(registered, "note")
    assert must_be_optional(registered, "added")


def test_the_fields_that_changed_are_named() -> None:
    """Added, dropped and retyped fields of the row record."""
    row = {
        "type": "record",
        "name": "Value",
        "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}],
    }
    old = row_fields({"fields": [{"name": "before", "type": ["null", row]}]})
    assert changed_fields(old, {"a": "long", "c": "int"}) == ["a", "b", "c"]

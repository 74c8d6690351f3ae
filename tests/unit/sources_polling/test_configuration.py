"""The configuration files of the polling and SQLite sources are strictly read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sources.kinds import load_source
from connectors.sources.polling.config import PollingConfig
from streams.errors import ConfigurationError

GOOD = 'name = "crm"\nconnector = "polling"\ndsn = "sqlite:///x"\ntables = ["a.*", "b.c"]\n'
LOADED = """
import sys
from pathlib import Path
import connectors.sources.cli
from connectors.sources.kinds import load_source, make_source
from connectors.sources.running import Surroundings
make_source(load_source(Path(sys.argv[1])), Surroundings("127.0.0.1:1", "http://127.0.0.1:1"))
print(*sys.modules, sep="\\n")
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "source.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_may_have_its_own_column(tmp_path: Path) -> None:
    """The source's updated_at is every table's that names neither column."""
    text = GOOD + 'updated_at = "at"\n[table."a.x"]\nversion = "v"\n[table."b.c"]\nkey = ["k"]\n'
    config = load_source(write(tmp_path, text))
    assert isinstance(config, PollingConfig)
    assert (config.of_table("a.x").version, config.of_table("a.x").updated_at) == ("v", None)
    assert (config.of_table("b.c").updated_at, config.of_table("b.c").key) == ("at", ("k",))
    assert config.of_table("a.y").updated_at == "at"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + 'updated_at = "a"\nversion = "b"\n', "not both"),
        (GOOD + '[table."a.x"]\nupdated_at = "a"\nversion = "b"\n', "not both"),
        (GOOD + '[table."z.x"]\nversion = "b"\n', "'z.x' is not among tables"),
        (GOOD + '[table."a.x"]\nversoin = "b"\n', "versoin"),
        (GOOD + "interval_s = 0\n", "interval_s"),
        (GOOD + 'compare = "all"\n', "compare"),
        (GOOD.replace("polling", "sqlite") + "interval_s = 0\n", "interval_s"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """One line that names the key."""
    with pytest.raises(ConfigurationError, match=words) as raised:
        load_source(write(tmp_path, text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("connector", ["polling", "sqlite"])
def test_the_other_kinds_are_not_loaded(tmp_path: Path, connector: str) -> None:
    """A source runs where the drivers of the other kinds are missing."""
    database = tmp_path / "x"
    database.touch()
    text = f'name = "x"\nconnector = "{connector}"\ndsn = "sqlite:///{database}"\ntables = ["main.*"]\n'
    command = [sys.executable, "-c", LOADED, str(write(tmp_path, text))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert f"connectors.sources.{connector}.source" in loaded
    assert not {"connectors.sources.postgres", "connectors.sources.mariadb", "psycopg", "psycopg2"} & loaded

"""The Kafka Connect worker: its connectors, and what it says of one that can't run."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import DependencyUnavailable
from streams.stack import Stack, connect_jars
from streams.stack.connect import Connect, debezium_postgres
from streams.stack.connect_jars import connect_available

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not connect_available(), reason="needs Java and Maven"),
]


def test_both_of_debeziums_connectors_are_there(connect: Connect) -> None:
    """Of different versions, each with the libraries it was built with."""
    package = "io.debezium.connector"
    wanted = {f"{package}.postgresql.PostgresConnector", f"{package}.mariadb.MariaDbConnector"}
    assert wanted <= connect.plugins()


def test_a_connector_that_cannot_log_in_is_one_line(stack: Stack, connect: Connect) -> None:
    """The database's words, without the password."""
    config = debezium_postgres(stack.postgres, "erp", "cdc.no", "public.*", "no", stack.registry.url)
    config["database.password"] = "not-the-password"
    with pytest.raises(DependencyUnavailable, match="password authentication failed") as raised:
        connect.create("no", config)
    assert "\n" not in str(raised.value)
    assert "not-the-password" not in str(raised.value)


def test_without_maven_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and nothing is left in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("streams.stack.connect_jars.shutil.which", lambda name: None)
    with pytest.raises(DependencyUnavailable, match="openjdk-17-jre-headless maven"):
        connect_jars.connect_jars()
    assert not list(tmp_path.iterdir())


def test_what_maven_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of its errors; the folder does not appear half full."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "streams.stack.connect_jars._copy_dependencies",
        lambda maven, profile, target: connect_jars._run(
            ["/bin/sh", "-c", "echo '[ERROR] no such artifact'; echo '[ERROR] more'; exit 1"], "Maven"
        ),
    )
    with pytest.raises(DependencyUnavailable, match=r"Maven could not fetch.*no such artifact$"):
        connect_jars.connect_jars()
    assert not connect_jars.connect_folder().exists()
    assert [path.suffix for path in (tmp_path / "tallystream").iterdir()] == [".lock"]

"""What an idle source's own messages say: until when it has heard of every commit."""

from __future__ import annotations

from typing import Any, cast

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.log.heartbeat import COMMIT_RACE_US, PREFIX, Heartbeat
from connectors.sources.postgres.pgoutput.bounds import Message

AT = 1_775_239_200_000_000


class Connection:
    """Keeps what it is asked to execute."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def execute(self, statement: str, parameters: list[str]) -> None:
        """Keep it."""
        self.asked.append((statement, parameters))


class Server:
    """One connection."""

    def __init__(self) -> None:
        self.connection = Connection()

    def connect(self) -> Connection:
        """The same always."""
        return self.connection


def heartbeat(server: Server) -> Heartbeat:
    """One that is due at once."""
    config = PostgresConfig(name="erp", dsn_env="X", tables=["public.*"], heartbeat_s=1e-9)
    return Heartbeat(cast(Any, server), config)


def test_a_message_says_until_when_all_commits_precede_it() -> None:
    """Its time, less what a commit may take between its own time and its place in the log."""
    server = Server()
    beating = heartbeat(server)
    beating.beat_when_due()
    ((_, (prefix, mark)),) = server.connection.asked
    assert prefix == PREFIX
    told = Message(False, 7, PREFIX, f"{mark} {AT}".encode())
    assert beating.watermark(told) == AT - COMMIT_RACE_US


def test_messages_of_others_say_nothing() -> None:
    """Of an earlier session, of another source of the database, of somebody's own; transactional ones."""
    server = Server()
    beating = heartbeat(server)
    beating.beat_when_due()
    ((_, (_, mark)),) = server.connection.asked
    for message in (
        Message(False, 7, PREFIX, f"{'0' * 16} {AT}".encode()),
        Message(False, 7, PREFIX, b""),
        Message(False, 7, "other", f"{mark} {AT}".encode()),
        Message(True, 7, PREFIX, f"{mark} {AT}".encode()),
    ):
        assert beating.watermark(message) is None

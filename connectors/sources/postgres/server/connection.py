"""Connections to a PostgreSQL server, and what must be true of it before its log can be read.

Everything that the server or the role lacks is refused here, in one line that says what to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import psycopg
from psycopg import errors, pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq.abc import PGconn

from connectors.sources.postgres.position import lsn_value
from connectors.sources.postgres.types.mapping import SESSION_OPTIONS
from streams.errors import ConfigurationError, DependencyUnavailable, TallystreamError

CONNECT_TIMEOUT_S = 10  # a server that takes longer to let us in is as good as down
# The kernel gives up on a silent peer after 10 s and three tries of 5 s, well within the server's own minute.
# A session that exports a snapshot is idle in its transaction; a policy that would hide rows from us
# must be an error, not a smaller table.
_SETTINGS = "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0 -c row_security=off"
FAILOVER_SINCE = 170_000  # libpq's form of the version: slots that standbys keep came with 17
_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server and log this is: IDENTIFY_SYSTEM, plus the names used in messages."""

    system_identifier: str
    timeline: int
    flushed_lsn: int
    database: str
    ended: dict[int, int] = field(default_factory=dict)
    """Earlier timeline of this log → the LSN at which a promotion left it for the next one."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """A replication slot as the server has it. ``lost``: why it can't be read any more, if so."""

    name: str
    plugin: str | None
    database: str | None
    active_pid: int | None
    confirmed_flush_lsn: int | None
    lost: str | None
    restart_lsn: int | None = None
    """The oldest log that the server still keeps for it; None once that is gone."""
    wal_status: str | None = None
    """``reserved``, ``extended`` (beyond max_wal_size), ``unreserved`` (about to be removed), ``lost``."""
    failover: bool = False
    retained_bytes: int = 0
    """From ``restart_lsn`` to the end of the log: what the server can't remove because of the slot."""
    lag_bytes: int = 0
    """From ``confirmed_flush_lsn`` to the end of the log: what the source has yet to acknowledge."""


class Server:
    """One database of a server, by its DSN. Connections are short; only the log stream stays open."""

    def __init__(self, dsn: str, application: str) -> None:
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:  # its text quotes the DSN, and with it the password
            raise ConfigurationError(
                "the DSN can't be understood; write it as postgresql://user:password@host:port/database"
            ) from None
        self.user = str(given.get("user") or "the role")
        self.database = str(given.get("dbname") or "")
        self.address = f"{given.get('host') or 'localhost'}:{given.get('port') or 5432}"
        options = f"{given.get('options') or ''} {SESSION_OPTIONS} {_SETTINGS}".strip()
        settings = {"connect_timeout": CONNECT_TIMEOUT_S, **_KEEPALIVES, **given}
        self._conninfo = make_conninfo(
            "", **{**settings, "options": options, "application_name": application}
        )

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """An autocommit connection for a few statements; errors as in `refuse`."""
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            self.refuse(error)

    def replication(self) -> PGconn:
        """A blocking connection that speaks replication commands; the caller finishes it."""
        connection = pq.PGconn.connect(make_conninfo(self._conninfo, replication="database").encode())
        if connection.status != pq.ConnStatus.OK:
            message = connection.get_error_message()
            connection.finish()
            self.refuse(psycopg.OperationalError(message))
        return connection

    def command(self, connection: PGconn, statement: str) -> list[str | None]:
        """Run one replication command and return its first row."""
        result = connection.exec_(statement.encode())
        if result.status == pq.ExecStatus.TUPLES_OK:
            cells = (
                [result.get_value(0, column) for column in range(result.nfields)] if result.ntuples else []
            )
            return [None if cell is None else cell.decode() for cell in cells]
        if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_BOTH):
            return []
        self.refuse(errors.error_from_result(result))

    def identify(self) -> Identity:
        """The server's identity; refuses a role that may not replicate."""
        connection = self.replication()
        try:
            system, timeline, lsn, database = self.command(connection, "IDENTIFY_SYSTEM")
            assert system is not None
            assert timeline is not None
            assert lsn is not None
            ended = self._timelines(connection, int(timeline))
        finally:
            connection.finish()
        return Identity(system, int(timeline), lsn_value(lsn), database or self.database, ended)

    def _timelines(self, connection: PGconn, timeline: int) -> dict[int, int]:
        """Where the timelines before ``timeline`` ended; the first has no history."""
        if timeline == 1:
            return {}
        result = connection.exec_(f"TIMELINE_HISTORY {timeline}".encode())
        if result.status != pq.ExecStatus.TUPLES_OK:
            self.refuse(errors.error_from_result(result))
        return timeline_ends((result.get_value(0, 1) or b"").decode(errors="replace"))

    def require_logical(self) -> None:
        """Refuse a server whose log holds no rows."""
        with self.connect() as connection:
            (level,) = connection.execute("SHOW wal_level").fetchone() or ("unknown",)
        if level != "logical":
            raise DependencyUnavailable(
                f"PostgreSQL at {self.address} has wal_level={level}; "
                "run ALTER SYSTEM SET wal_level = 'logical' as a superuser and restart the server"
            )

    def mark_end(self) -> int:
        """Write a message to the log, which completes what is before it, and return its LSN."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT pg_logical_emit_message(true, 'tallystream.once', '') - '0/0'::pg_lsn"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def slot(self, name: str) -> SlotState | None:
        """The slot's state, None when there is none of that name."""
        with self.connect() as connection:
            # to_jsonb: the columns differ between versions, and all of them are wanted.
            row = connection.execute(
                "SELECT to_jsonb(s), (l.now - s.restart_lsn)::bigint, (l.now - s.confirmed_flush_lsn)::bigint "
                "FROM pg_replication_slots s, (SELECT CASE WHEN pg_is_in_recovery() "
                "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) l(now) WHERE slot_name = %s",
                [name],
            ).fetchone()
        if row is None:
            return None
        found = row[0]
        lost = found.get("invalidation_reason") or (
            "wal_removed" if found.get("wal_status") == "lost" else None
        )
        confirmed, restart = found.get("confirmed_flush_lsn"), found.get("restart_lsn")
        return SlotState(
            name,
            found["plugin"],
            found["database"],
            found["active_pid"],
            lsn_value(confirmed) if confirmed else None,
            lost,
            lsn_value(restart) if restart else None,
            found.get("wal_status"),
            bool(found.get("failover")),
            max(row[1] or 0, 0),
            max(row[2] or 0, 0),
        )

    def set_failover(self, name: str, wanted: bool) -> None:
        """Have standbys keep the inactive slot, or no longer; `ConfigurationError` before PostgreSQL 17."""
        connection = self.replication()
        try:
            if connection.server_version < FAILOVER_SINCE:
                raise ConfigurationError(
                    f"failover: PostgreSQL at {self.address} is of version {connection.server_version // 10_000}, "
                    "slots follow a failover from 17 on; remove failover = true"
                )
            state = "true" if wanted else "false"
            self.command(connection, f"ALTER_REPLICATION_SLOT {quoted(name)} (FAILOVER {state})")
        finally:
            connection.finish()

    def drop_slot(self, name: str) -> None:
        """Drop an inactive slot."""
        with self.connect() as connection:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [name])

    def refuse(self, error: psycopg.Error) -> NoReturn:
        """Raise our error for one of the server's, saying what to do about it."""
        raise self._translate(error) from None

    def _translate(self, error: psycopg.Error) -> TallystreamError:
        line = _line(error)
        state = error.sqlstate
        if state == "42501" or "permission denied" in line or "replication role" in line:
            if (
                "WAL sender" in line
                or "walsender" in line
                or "replication role" in line
                or "REPLICATION" in line
            ):
                return DependencyUnavailable(
                    f"role {self.user} may not replicate; "
                    f"run ALTER ROLE {self.user} REPLICATION as a superuser"
                )
            return DependencyUnavailable(f"role {self.user} lacks a permission: {line}")
        if isinstance(error, errors.ObjectInUse):
            return DependencyUnavailable(f"{line}; stop the other reader, or give this source its own slot")
        if isinstance(error, errors.ConfigurationLimitExceeded):
            return DependencyUnavailable(f"PostgreSQL at {self.address}: {line}; raise max_replication_slots")
        if state is None or state[:2] in ("08", "28", "53", "57", "3D"):
            return DependencyUnavailable(f"cannot reach PostgreSQL at {self.address}: {line}")
        return DependencyUnavailable(f"PostgreSQL at {self.address} answers: {line}")


def timeline_ends(history: str) -> dict[int, int]:
    """The lines of a timeline history file, ``<timeline> <lsn> <reason>``, as timeline → LSN of its end."""
    ended = {}
    for line in history.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].isdigit():
            ended[int(words[0])] = lsn_value(words[1])
    return ended


def quoted(*names: str) -> str:
    """An identifier, quoted, for replication commands and messages."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def identifier(*names: str) -> sql.Identifier:
    """An identifier for psycopg's composed statements."""
    return sql.Identifier(*names)


def raw(statement: str) -> sql.SQL:
    """A statement's text that is ours or the server's own (a publication's row filter), never a user's."""
    return sql.SQL(statement)


def _line(error: Exception) -> str:
    """The telling line of a server's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in lines:
        if "FATAL:" in line:
            return line.split("FATAL:", 1)[1].strip()
    return lines[0].removeprefix("ERROR:").strip()

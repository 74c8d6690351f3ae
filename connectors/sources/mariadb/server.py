"""The MariaDB server of a source: connections, what it is, and what it must be set to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from connectors.sources.mariadb.driver import Cursor, SSCursor, pymysql
from connectors.sources.mariadb.position import GtidState
from streams.errors import ConfigurationError, DependencyUnavailable, TallystreamError

CONNECT_TIMEOUT_S = 10
DEFAULT_PORT = 3306
_FORM = "write it as mysql://user:password@host:port"
_DENIED = {1044, 1045, 1142, 1143, 1227}
# What the texts of cells assume; a snapshot's reader may be kept waiting by a slow broker.
_SESSION_STATEMENTS = (
    "SET SESSION time_zone = '+00:00', sql_mode = '', max_statement_time = 0, net_write_timeout = 900, "
    "wait_timeout = 86400",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)
# Setting → (what it must be, what is wrong else).
_REQUIRED = {
    "binlog_format": ("ROW", "changes are not logged as rows"),
    "binlog_row_image": ("FULL", "logged rows lack columns"),
    "binlog_row_metadata": ("FULL", "logged rows lack their columns' names"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server this is. ``uid`` is its own name for itself, or its number where it has none."""

    uid: str
    server_id: int
    version: str
    gtid: GtidState
    checksum: bool


class Server:
    """One server, by its DSN. Connections are short; only the log stream stays open."""

    def __init__(self, dsn: str) -> None:
        try:
            parts = urlsplit(dsn)
            port = parts.port or DEFAULT_PORT
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("mysql", "mariadb") or not parts.hostname or not parts.username:
            raise ConfigurationError(f"the DSN can't be understood; {_FORM}")
        options = dict(parse_qsl(parts.query))
        unknown = options.keys() - {"ssl_ca"}
        if unknown:
            raise ConfigurationError(f"the DSN has an unknown option {min(unknown)}; known is ssl_ca")
        self.user = unquote(parts.username)
        self.address = f"{parts.hostname}:{port}"
        self._settings: dict[str, Any] = {
            "host": parts.hostname,
            "port": port,
            "user": self.user,
            "password": unquote(parts.password or ""),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "charset": "utf8mb4",
            "autocommit": True,
            **options,
        }

    def open(self, **settings: Any) -> pymysql.Connection[Any]:
        """A connection that the caller closes."""
        try:
            connection = pymysql.connect(**{**self._settings, **settings})
            with connection.cursor() as cursor:
                for statement in _SESSION_STATEMENTS:
                    cursor.execute(statement)
        except pymysql.Error as error:
            self.refuse(error)
        return connection

    @contextmanager
    def connect(self, **settings: Any) -> Iterator[pymysql.Connection[Any]]:
        """A connection for a few statements; errors as in `refuse`."""
        connection = self.open(**settings)
        try:
            yield connection
        except pymysql.Error as error:
            self.refuse(error)
        finally:
            connection.close()

    @contextmanager
    def raw(self) -> Iterator[pymysql.Connection[Any]]:
        """As `connect`, with results as bytes, row by row as they come."""
        with self.connect(use_unicode=False, conv={}, cursorclass=SSCursor) as connection:
            yield connection

    def identify(self) -> Identity:
        """Which server this is, and how far its log goes."""
        with self.connect() as connection, connection.cursor() as cursor:
            settings = _variables(cursor)
        return Identity(
            settings.get("server_uid") or f"server_id {settings['server_id']}",
            int(settings["server_id"]),
            settings["version"],
            GtidState(settings.get("gtid_binlog_pos", "")),
            settings.get("binlog_checksum", "NONE") != "NONE",
        )

    def require_settings(self) -> None:
        """`DependencyUnavailable` names the first setting or right that is missing, and what to type."""
        with self.connect() as connection, connection.cursor() as cursor:
            settings = _variables(cursor)
            where = f"MariaDB at {self.address}"
            if "mariadb" not in settings["version"].lower():
                raise DependencyUnavailable(
                    f"the server at {self.address} is {settings['version']}, not MariaDB: its log names "
                    "transactions in another way; set the DSN of a MariaDB server"
                )
            if settings.get("log_bin") != "ON":
                raise DependencyUnavailable(
                    f"{where} keeps no binary log; add log_bin and server_id=1 below [mariadbd] in its "
                    "configuration file, and restart it"
                )
            for name, (wanted, reason) in _REQUIRED.items():
                if settings.get(name, "").upper() != wanted:
                    raise DependencyUnavailable(
                        f"{where}: {name} is {settings.get(name, 'not known')}, {reason}; run SET GLOBAL {name} = "
                        f"'{wanted}', add {name}={wanted} below [mariadbd] in its configuration file, and reconnect "
                        "the applications"
                    )
            try:
                cursor.execute("SHOW MASTER STATUS")
            except pymysql.Error as error:
                if error.args[0] not in _DENIED:
                    raise
                raise self.lacks("BINLOG MONITOR") from None

    def lacks(self, right: str, on: str = "*.*") -> DependencyUnavailable:
        """The refusal for a right that our user does not have."""
        return DependencyUnavailable(
            f"MariaDB at {self.address}: user {self.user} lacks {right} on {on}; run GRANT {right} ON {on} TO "
            f"{self._account()}"
        )

    def gtid_at(self, file: str, position: int) -> GtidState | None:
        """What the log holds up to a place in its files; None when it has no such place any more."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", [file, position])
            (text,) = cursor.fetchone() or (None,)
        return None if text is None else GtidState(text)

    def files(self) -> list[str]:
        """The files of the log, oldest first."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW BINARY LOGS")
            return [row[0] for row in cursor.fetchall()]

    def refuse(self, error: Exception) -> NoReturn:
        """Raise what the user can act on: a refusal, or that nobody answers."""
        raise self.translated(error) from None

    def translated(self, error: Exception) -> TallystreamError:
        """The error to raise for one of the driver's."""
        code = error.args[0] if error.args else None
        reason = " ".join(str(error.args[-1] if error.args else type(error).__name__).split())
        if code == 1045:
            return DependencyUnavailable(
                f"MariaDB at {self.address} does not let {self.user} in ({reason}); correct user and password in the DSN"
            )
        return DependencyUnavailable(f"MariaDB at {self.address}: {reason}")

    def _account(self) -> str:
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT CURRENT_USER()")
                (account,) = cursor.fetchone() or (self.user,)
        except TallystreamError:
            return self.user
        user, _, host = str(account).rpartition("@")
        return f"{literal(user)}@{literal(host)}"


def _variables(cursor: Cursor) -> dict[str, str]:
    cursor.execute("SHOW GLOBAL VARIABLES")
    return dict(cursor.fetchall())


def literal(text: str) -> str:
    """A string as a statement has it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(*names: str) -> str:
    """A dotted name, each part quoted."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)

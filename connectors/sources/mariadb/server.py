"""The server of a source: connections, what it is, and what it must be set to.

What `connectors.sources.mysql.server` says otherwise is in methods and attributes that it replaces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from connectors.sources.mariadb.binlog import Decoder
from connectors.sources.mariadb.driver import Cursor, SSCursor, pymysql
from connectors.sources.mariadb.position import Gtids, GtidState
from streams.errors import ConfigurationError, DependencyUnavailable, TallystreamError

CONNECT_TIMEOUT_S = 10
DEFAULT_PORT = 3306
_FORM = "write it as mysql://user:password@host:port"
_DENIED = {1044, 1045, 1142, 1143, 1227}
HEARTBEAT_S = 5.0  # the server's sign of life when it has nothing to send
_BINLOG_DUMP = 0x12
_KNOWS_GTIDS = 4  # MARIA_SLAVE_CAPABILITY_GTID
_START = 4  # the first event's place in a file; the GTIDs say which file
# What the texts of cells assume; a snapshot's reader may be kept waiting by a slow broker.
_SESSION_STATEMENTS = (
    "SET SESSION time_zone = '+00:00', sql_mode = '', {} = 0, net_write_timeout = 900, wait_timeout = 86400",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
)
# Setting → (what it must be, what is wrong else).
REQUIRED = {
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
    gtid: Gtids
    checksum: bool


class Server:
    """One server, by its DSN. Connections are short; only the log stream stays open."""

    connector: ClassVar[str] = "mariadb"
    product: ClassVar[str] = "MariaDB"
    section: ClassVar[str] = "mariadbd"
    """Of its configuration file."""
    decoder: ClassVar[type[Decoder]] = Decoder
    required: ClassVar[Mapping[str, tuple[str, str]]] = REQUIRED
    locks_snapshots: ClassVar[bool] = False
    """Where a view of the tables stands in the log is known only if nothing is committed meanwhile."""
    geometry_is_text: ClassVar[bool] = True
    """In table maps: see `tablemap.describe`."""

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
            # Of the server that it is, which is not looked at yet.
            limit = "max_statement_time" if is_mariadb(connection) else "max_execution_time"
            with connection.cursor() as cursor:
                for statement in _SESSION_STATEMENTS:
                    cursor.execute(statement.format(limit))
        except pymysql.Error as error:
            self.refuse(error)
        except RuntimeError as error:  # the driver's, for a login that needs `cryptography`
            raise ConfigurationError(
                f"{self.where}: {error}; run pip install 'tallystream[mariadb]', or set ssl_ca in the DSN"
            ) from None
        return connection

    def gtids(self, text: str) -> Gtids:
        """Read the text of GTIDs; `ValueError` if it is none."""
        return GtidState(text)

    @property
    def where(self) -> str:
        """How errors call it."""
        return f"{self.product} at {self.address}"

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
            settings = variables(cursor)
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
            settings = variables(cursor)
            found = "mariadb" if "mariadb" in settings["version"].lower() else "mysql"
            if found != self.connector:
                raise DependencyUnavailable(
                    f"the server at {self.address} is {settings['version']}, not {self.product}: its log names "
                    f'transactions in another way; set connector = "{found}", or the DSN of a {self.product} server'
                )
            if settings.get("log_bin") != "ON":
                raise DependencyUnavailable(
                    f"{self.where} keeps no binary log; add log_bin and server_id=1 below [{self.section}] in its "
                    "configuration file, and restart it"
                )
            for name, (wanted, reason) in self.required.items():
                if settings.get(name, "").upper() != wanted:
                    raise DependencyUnavailable(
                        f"{self.where}: {name} is {settings.get(name, 'not known')}, {reason}; run "
                        f"{self.setting(name, wanted)}, add {name}={wanted} below [{self.section}] in its "
                        "configuration file, and reconnect the applications"
                    )
            self.require_rights(cursor)

    def setting(self, name: str, wanted: str) -> str:
        """What sets a variable."""
        return f"SET GLOBAL {name} = '{wanted}'"

    def require_rights(self, cursor: Cursor) -> None:
        """`DependencyUnavailable` names the first right that is missing, but for those on tables."""
        self.try_right(cursor, "SHOW MASTER STATUS", "BINLOG MONITOR")

    def try_right(self, cursor: Cursor, statement: str, right: str) -> None:
        """Run a statement that takes a right."""
        try:
            cursor.execute(statement)
        except pymysql.Error as error:
            if error.args[0] not in _DENIED:
                raise
            raise self.lacks(right) from None

    def lacks(self, right: str, on: str = "*.*") -> DependencyUnavailable:
        """The refusal for a right that our user does not have."""
        return DependencyUnavailable(
            f"{self.where}: user {self.user} lacks {right} on {on}; run GRANT {right} ON {on} TO "
            f"{self._account()}"
        )

    def gtid_at(self, file: str, position: int, ours: Gtids | None = None) -> Gtids | None:
        """What the log holds up to a place in its files; None when it has no such place any more.

        ``ours``: what it is thought to hold there.
        """
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", [file, position])
            (text,) = cursor.fetchone() or (None,)
        return None if text is None else self.gtids(text)

    def log_end(self) -> tuple[Gtids, str, int]:
        """The log's end: the transactions up to it, its file and its place in that."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW MASTER STATUS")
            file, position = (cursor.fetchone() or ("", 0))[:2]
        return self._known(str(file), int(position))

    def begin_snapshot(self, connection: pymysql.Connection[Any]) -> tuple[Gtids, str, int]:
        """Open a consistent view in a `raw` connection: which transactions are in it, and where in the log that is."""
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
            status = {name.decode().lower(): value.decode() for name, value in cursor.fetchall()}
        return self._known(status["binlog_snapshot_file"], int(status["binlog_snapshot_position"]))

    def _known(self, file: str, position: int) -> tuple[Gtids, str, int]:
        gtid = self.gtid_at(file, position)
        if gtid is None:
            raise DependencyUnavailable(
                f"{self.where} removed log file {file} while a snapshot began; start again"
            )
        return gtid, file, position

    def prepared(self) -> set[str]:
        """The XA transactions that are open now, as a statement names them."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("XA RECOVER FORMAT='SQL'")
            return {name if isinstance(name, str) else name.decode() for *_, name in cursor.fetchall()}

    def request_log(self, connection: pymysql.Connection[Any], replica_id: int, start: Gtids) -> None:
        """Ask for the log from after ``start``; what comes is for `LogStream` to read."""
        with connection.cursor() as cursor:
            for statement, value in (
                ("SET @mariadb_slave_capability = %s", _KNOWS_GTIDS),
                ("SET @master_binlog_checksum = @@global.binlog_checksum", None),
                ("SET @master_heartbeat_period = %s", int(HEARTBEAT_S * 1e9)),
                ("SET @slave_connect_state = %s", str(start)),
                ("SET @slave_gtid_strict_mode = %s", 1),
                ("SET @slave_gtid_ignore_duplicates = %s", 0),
            ):
                cursor.execute(statement, None if value is None else [value])
        # PyMySQL has no public way to send a command that is no query.
        connection._execute_command(_BINLOG_DUMP, struct.pack("<IHI", _START, 0, replica_id))

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
                f"{self.where} does not let {self.user} in ({reason}); correct user and password in the DSN"
            )
        return DependencyUnavailable(f"{self.where}: {reason}")

    def _account(self) -> str:
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT CURRENT_USER()")
                (account,) = cursor.fetchone() or (self.user,)
        except TallystreamError:
            return self.user
        user, _, host = str(account).rpartition("@")
        return f"{literal(user)}@{literal(host)}"


def is_mariadb(connection: pymysql.Connection[Any]) -> bool:
    """Whether the server is MariaDB, rather than MySQL."""
    return "mariadb" in connection.get_server_info().lower()


def variables(cursor: Cursor) -> dict[str, str]:
    """All global settings."""
    cursor.execute("SHOW GLOBAL VARIABLES")
    return dict(cursor.fetchall())


def literal(text: str) -> str:
    """A string as a statement has it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(*names: str) -> str:
    """A dotted name, each part quoted."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)

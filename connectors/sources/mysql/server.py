"""MySQL's server: what it has to be asked in other words than MariaDB's."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, ClassVar

from connectors.sources.mariadb.binlog import Decoder
from connectors.sources.mariadb.driver import Cursor, pymysql
from connectors.sources.mariadb.position import Gtids
from connectors.sources.mariadb.server import HEARTBEAT_S, REQUIRED, Identity, Server, variables
from connectors.sources.mysql.binlog import MysqlDecoder
from connectors.sources.mysql.gtids import GtidSet
from streams.errors import DependencyUnavailable

_DUMP_GTID = 0x1E
_THROUGH_GTID = 4
_START = 4  # the first event's place in a file; the GTIDs say which file
_NO_XA_RIGHT, _NO_FILE, _NO_PLACE, _PURGED = 1401, 1373, 1220, 1236
_GONE = frozenset({_NO_FILE, _NO_PLACE, _PURGED})
_RENAMED = (8, 2)  # MASTER STATUS became BINARY LOG STATUS


class MysqlServer(Server):
    """One server; see `Server`."""

    connector: ClassVar[str] = "mysql"
    product: ClassVar[str] = "MySQL"
    section: ClassVar[str] = "mysqld"
    decoder: ClassVar[type[Decoder]] = MysqlDecoder
    required: ClassVar[Mapping[str, tuple[str, str]]] = {
        **REQUIRED,
        "binlog_row_value_options": ("", "logged rows have parts of JSON columns only"),
        "gtid_mode": ("ON", "transactions have no names that another server knows"),
    }
    locks_snapshots: ClassVar[bool] = True
    geometry_is_text: ClassVar[bool] = False

    def gtids(self, text: str) -> Gtids:
        """Read the text of GTIDs; `ValueError` if it is none."""
        return GtidSet(text)

    def identify(self) -> Identity:
        """Which server this is, and how far its log goes."""
        with self.connect() as connection, connection.cursor() as cursor:
            settings = variables(cursor)
        executed = settings.get("gtid_executed", "")
        try:
            gtid = GtidSet(executed)
        except ValueError:
            raise DependencyUnavailable(
                f"{self.where} has committed transactions under GTIDs with a tag, which we can't read: "
                f"gtid_executed is {' '.join(executed.split())}"
            ) from None
        return Identity(
            settings["server_uuid"],
            int(settings["server_id"]),
            settings["version"],
            gtid,
            settings.get("binlog_checksum", "NONE") != "NONE",
        )

    def setting(self, name: str, wanted: str) -> str:
        """What sets a variable; GTIDs are switched on step by step."""
        if name != "gtid_mode":
            return super().setting(name, wanted)
        steps = ", ".join(
            f"SET GLOBAL gtid_mode = {step}" for step in ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
        )
        return f"SET GLOBAL enforce_gtid_consistency = ON, then from where it is in {steps}"

    def require_rights(self, cursor: Cursor) -> None:
        """As `Server.require_rights`: to see the log's end, to lock for a moment, and to see XA transactions."""
        self.try_right(cursor, _status(cursor.connection), "REPLICATION CLIENT")
        # Of no table: it takes the right that the lock of a snapshot takes, and does nothing.
        self.try_right(cursor, "FLUSH LOCAL TABLES tallystream_no_schema.no_table", "RELOAD")
        try:
            cursor.execute("XA RECOVER")
        except pymysql.Error as error:
            if error.args[0] != _NO_XA_RIGHT:
                raise
            raise self.lacks("XA_RECOVER_ADMIN") from None

    def gtid_at(self, file: str, position: int, ours: Gtids | None = None) -> Gtids | None:
        """What the log holds up to a place in its files; None when it has no such place any more.

        The server says what was logged before the file, and what follows the place. Where that fits to
        ``ours``, it is ``ours``; else, what was logged before the file.
        """
        with self.connect() as connection, connection.cursor() as cursor:
            try:
                cursor.execute("SHOW BINLOG EVENTS IN %s LIMIT 2", [file])
                head = cursor.fetchall()
                cursor.execute("SHOW BINLOG EVENTS IN %s FROM %s LIMIT 1", [file, position])
                following = cursor.fetchone()
            except pymysql.Error as error:
                if error.args[0] not in _GONE:
                    raise
                return None
        before = GtidSet(next((row[5] for row in head if row[2] == "Previous_gtids"), ""))
        if ours is None or not ours.reaches(before):
            return before
        if following is not None and following[2] == "Gtid":
            name = str(following[5]).partition("'")[2].partition("'")[0]
            if ours.reaches(GtidSet(name)):
                return before
        return ours

    def log_end(self) -> tuple[Gtids, str, int]:
        """The transactions up to the log's end. Its place is not told: it may be further on than these."""
        return self.identify().gtid, "", 0

    def begin_snapshot(self, connection: pymysql.Connection[Any]) -> tuple[Gtids, str, int]:
        """As `Server.begin_snapshot`; the caller sees to it that nothing is committed meanwhile."""
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        with self.connect() as asking, asking.cursor() as cursor:
            cursor.execute(_status(asking))
            file, position, _, _, executed = cursor.fetchone()
        return GtidSet(executed), str(file), int(position)

    def prepared(self) -> set[str]:
        """The XA transactions that are open now, as a statement names them."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("XA RECOVER CONVERT XID")
            return {_xid(*row) for row in cursor.fetchall()}

    def request_log(self, connection: pymysql.Connection[Any], replica_id: int, start: Gtids) -> None:
        """Ask for the log from after ``start``; what comes is for `LogStream` to read."""
        with connection.cursor() as cursor:
            for name in ("source", "master"):  # servers before 8.0.26 know the second only
                cursor.execute(f"SET @{name}_binlog_checksum = @@global.binlog_checksum")
                cursor.execute(f"SET @{name}_heartbeat_period = {int(HEARTBEAT_S * 1e9)}")
        assert isinstance(start, GtidSet)
        known = start.encoded()
        # PyMySQL has no public way to send a command that is no query.
        connection._execute_command(
            _DUMP_GTID, struct.pack("<HIIQI", _THROUGH_GTID, replica_id, 0, _START, len(known)) + known
        )


def _status(connection: pymysql.Connection[Any]) -> str:
    """The statement for the log's end."""
    return "SHOW BINARY LOG STATUS" if renamed_status(connection.get_server_info()) else "SHOW MASTER STATUS"


def renamed_status(version: str) -> bool:
    """Whether MASTER STATUS is BINARY LOG STATUS at a server that says it is of ``version``."""
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2]) >= _RENAMED


def _xid(form: int, global_size: int, branch_size: int, data: str) -> str:
    digits = str(data).removeprefix("0x")
    branch = digits[2 * global_size : 2 * (global_size + branch_size)]
    return f"X'{digits[: 2 * global_size]}',X'{branch}',{form}"

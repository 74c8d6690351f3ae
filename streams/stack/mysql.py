"""A real MySQL from Debian's archive, with a binary log that sources can read.

Not part of the default stack, and of no release of Debian: only its unstable suite has MySQL. It is
fetched by apt into a cache folder and run from there, beside whatever the machine has installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streams.stack import debs
from streams.stack.mariadb import SETTINGS, Mariadb

PACKAGE = "mysql-server-core"


def obtainable() -> bool:
    """Whether the server is in the cache, or apt may fetch it."""
    return debs.cache_folder(PACKAGE).is_dir() or debs.can_fetch()


class Mysql(Mariadb):
    """MySQL on loopback TCP: what is said of `Mariadb` holds. Raises `DependencyUnavailable` at its start
    when it can't be fetched."""

    defaults: Mapping[str, str] = {
        # The format is ROW, and its setting on the way out.
        **{name: value for name, value in SETTINGS.items() if name != "binlog-format"},
        "gtid-mode": "ON",
        "enforce-gtid-consistency": "ON",
        "mysqlx": "OFF",
        "secure-file-priv": "NULL",
    }

    def __init__(
        self,
        folder: Path,
        port: int,
        log: Path,
        settings: Mapping[str, str | None] | None = None,
        name: str = "mysql",
    ) -> None:
        super().__init__(folder, port, log, settings, name)

    def initializer(self) -> list[str]:
        """The server itself makes it."""
        return [*self.program(), "--initialize-insecure"]

    def program(self) -> list[str]:
        """The server with the loader, libraries and messages of its own packages."""
        root = debs.package_root(PACKAGE)
        return [
            *debs.loaded(root, "usr/sbin/mysqld", ["usr/lib/mysql/private"]),
            "--no-defaults",
            f"--basedir={root / 'usr'}",
            f"--lc-messages-dir={root / 'usr/share/mysql'}",
        ]

"""``python -m streams.registry --port 8081 --database registry.sqlite``: the registry as a process."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from aiohttp import web

from streams.errors import DependencyUnavailable
from streams.registry.server import make_app
from streams.registry.store import Store

HOST = "127.0.0.1"  # it knows no passwords, so it serves this machine only
SHUTDOWN_TIMEOUT_S = 1.0  # for requests that are being answered; each takes milliseconds


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="streams.registry", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on loopback")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, made if it is missing")
    arguments = parser.parse_args()
    try:
        store = Store(arguments.database)
        app = make_app(store)
        web.run_app(
            app,
            host=HOST,
            port=arguments.port,
            print=None,
            access_log=None,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
    except (OSError, sqlite3.Error) as error:
        print(
            f"error: registry on port {arguments.port}, file {arguments.database}: {error}", file=sys.stderr
        )
        sys.exit(DependencyUnavailable.exit_code)


if __name__ == "__main__":
    main()

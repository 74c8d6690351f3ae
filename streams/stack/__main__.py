"""``python -m streams.stack --data-dir D``: a stack as a process, for ``stack up --detach`` and tests."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streams.errors import TallystreamError, UsageError
from streams.stack.daemon import serve
from streams.stack.stack import EMBEDDED, SERVICES, Stack


def main() -> None:
    """Serve until a signal; print ``ready`` when all servers answer."""
    parser = argparse.ArgumentParser(prog="streams.stack", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--broker", default=EMBEDDED, help="embedded, kafka or HOST:PORT")
    parser.add_argument("--service", action="append", default=None, help=f"of {', '.join(SERVICES)}; repeat")
    parser.add_argument("--port", action="append", default=[], metavar="SERVICE=PORT", help="repeat")
    parser.add_argument("--kafka-nodes", type=int, default=1)
    arguments = parser.parse_args()
    try:
        stack = Stack(
            arguments.data_dir,
            arguments.broker,
            arguments.service or SERVICES,
            ports=parse_ports(arguments.port),
            kafka_nodes=arguments.kafka_nodes,
        )
        serve(stack, lambda: print("ready", flush=True))
    except TallystreamError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def parse_ports(pairs: list[str]) -> dict[str, int]:
    """``["postgres=5432"]`` as ``{"postgres": 5432}``."""
    ports = {}
    for pair in pairs:
        service, separator, port = pair.partition("=")
        if not separator or not port.isdigit():
            raise UsageError(f"{pair!r} is no SERVICE=PORT, such as postgres=5432")
        ports[service] = int(port)
    return ports


if __name__ == "__main__":
    main()

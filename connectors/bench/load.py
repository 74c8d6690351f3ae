"""The paced writer as a process of its own, so that it does not share an interpreter with the reader.

``python -m connectors.bench.load FIRST PER_SECOND SECONDS``, the DSN in an environment variable.
"""

from __future__ import annotations

import os
import sys

import psycopg

from connectors.bench.table import write_paced

DSN_VARIABLE = "BENCH_CDC_DSN"  # not TALLYSTREAM_…: those are settings, and unknown ones are refused


def main() -> None:
    """Write and end."""
    first, per_second, seconds = (int(argument) for argument in sys.argv[1:])
    try:
        with psycopg.connect(os.environ[DSN_VARIABLE], autocommit=True) as connection:
            write_paced(connection, first, per_second, seconds)
    except psycopg.Error as error:
        sys.exit(first_line(error))


def first_line(error: psycopg.Error) -> str:
    """What the database or its client says, without the lines of detail."""
    return next(iter(str(error).splitlines()), type(error).__name__)


if __name__ == "__main__":
    main()

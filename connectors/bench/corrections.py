"""The steady load of the latency benchmark, as a process of its own: corrections of approved entries.

``python -m connectors.bench.corrections PER_SECOND SECONDS SEED``, the time database's DSN in
``TALLYSTREAM_TIME_DSN``. Each correction is a transaction of one row that gives an entry other hours than
it had, so each moves money or hours. Prints how many were made and how late they began, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

import psycopg

from connectors.bench.load import first_line
from connectors.bench.measure import percentile

_CORRECT = "UPDATE time_entry SET hours = %s, version = version + 1, approved_at = %s WHERE id = %s"
_APPROVED = "SELECT id, (hours * 4)::int FROM time_entry WHERE status = 'approved' ORDER BY id"
QUARTER = Decimal("0.25")
# Up to eight hours.
QUARTERS = 32


def write_corrections(
    connection: psycopg.Connection, per_second: int, seconds: int, seed: int
) -> list[float]:
    """Write at an even pace; seconds between the moment each was due and its start."""
    return correct(connection, approved(connection), per_second, seconds, seed)


def approved(connection: psycopg.Connection) -> dict[int, int]:
    """Quarters of an hour by entry."""
    return dict(connection.execute(_APPROVED).fetchall())


def correct(
    connection: psycopg.Connection, quarters: dict[int, int], per_second: int, seconds: int, seed: int
) -> list[float]:
    """As `write_corrections`, of entries that were read before: among a million that takes seconds."""
    rng = random.Random(seed)  # noqa: S311 -- changes to repeat, not a secret
    ids = list(quarters)
    late = []
    began = time.monotonic()
    for number in range(per_second * seconds):
        due = began + number / per_second
        while (pause := due - time.monotonic()) > 0:
            time.sleep(pause)
        late.append(-pause)
        entry = rng.choice(ids)
        quarters[entry] = (quarters[entry] - 1 + rng.randrange(1, QUARTERS)) % QUARTERS + 1
        connection.execute(_CORRECT, (quarters[entry] * QUARTER, datetime.now(UTC), entry))
    return late


def main() -> None:
    """Write, report and end."""
    per_second, seconds, seed = (int(argument) for argument in sys.argv[1:])
    try:
        with psycopg.connect(os.environ["TALLYSTREAM_TIME_DSN"], autocommit=True) as connection:
            quarters = approved(connection)
            began = time.monotonic()
            late = sorted(correct(connection, quarters, per_second, seconds, seed))
    except psycopg.Error as error:
        sys.exit(first_line(error))
    took = time.monotonic() - began
    print(json.dumps({"changes": len(late), "took_s": took, "late_p99_ms": percentile(late, 99) * 1000}))


if __name__ == "__main__":
    main()

"""A new price of the firm's default rates: all entries that looked at one are rated again, beside what is live."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import psycopg

from streams.errors import DependencyUnavailable

# Of the rate stage, by its metric: entries that were looked at again, changed or not.
_METRIC = re.compile(
    r'^tallystream_lane_events_total\{kind="reevaluated",stage="billing-rate"\} (\S+)', re.MULTILINE
)
_RAISE = """
UPDATE rate SET price = price + 1
WHERE coalesce(task_id, project_id, contract_line_id, client_id, consultant_id) IS NULL"""
# Fan-outs begin within moments of their cause, and go on without a pause.
QUIET_S = 5.0
LOOK_S = 0.2


class Rerating:
    """How many entries were rated again since it was made, or since there were ``before``.

    ``metrics`` gives the worker's, or None.
    """

    def __init__(self, metrics: Callable[[], str | None], before: int | None = None) -> None:
        self._metrics = metrics
        self._before = self._count() if before is None else before
        self._began = time.monotonic()
        self._last = self._began, 0

    def look(self) -> int:
        """The number now; remembers when it grew."""
        done = self._count() - self._before
        if done != self._last[1]:
            self._last = time.monotonic(), done
        return done

    def wait(self, check: Callable[[], None]) -> tuple[int, float]:
        """When it has stopped growing: the number, and the seconds that it took."""
        while time.monotonic() - self._last[0] < QUIET_S:
            check()
            self.look()
            time.sleep(LOOK_S)
        at, done = self._last
        if done == 0:
            raise DependencyUnavailable("no entry was rated again for the new prices; does the worker run?")
        return done, at - self._began

    def _count(self) -> int:
        text = self._metrics()
        if text is None:
            raise DependencyUnavailable("the worker's metrics can't be read")
        found = _METRIC.search(text)
        return 0 if found is None else round(float(found.group(1)))


def raise_default_prices(dsn: str) -> None:
    """In one transaction, as a new price list is."""
    with psycopg.connect(dsn) as erp:
        if erp.execute(_RAISE).rowcount == 0:
            raise DependencyUnavailable("the firm has no default rates; another seed?")

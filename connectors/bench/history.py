"""Years of entries that a firm has before its pipeline starts: written in one statement, and how far flows are.

The time source publishes them on a topic of its own, which the billing flow reads behind what changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import psycopg
from confluent_kafka import Consumer, TopicPartition

from connectors.bench.watch import REQUEST_TIMEOUT_S
from streams.contracts.topics import backfill_topic
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

TABLE = "public.time_entry"
TOPIC = backfill_topic(f"cdc.time.{TABLE}")
GROUP = "tallystream-billing"
# Above all ids of the firm's own.
FIRST_ID = 10_000_000
# Without any progress for this long it hangs.
STALL_S = 120.0
LOOK_S = 0.5

# Projects whose time is billed by the hour, at the default rates and without any limit: what history adds moves no
# cap, and a new price list concerns all of it.
_PROJECTS = """
SELECT p.id FROM project p JOIN engagement e ON e.id = p.engagement_id
JOIN contract_line l ON l.id = p.contract_line_id AND l.billing_method = 'tm'
WHERE e.cap_money IS NULL AND e.cap_hours IS NULL
  AND NOT EXISTS (SELECT FROM rate r WHERE r.project_id = p.id OR r.contract_line_id = l.id
                  OR r.client_id = e.client_id)
  AND NOT EXISTS (SELECT FROM contract_line o WHERE o.engagement_id = p.engagement_id
                  AND (o.cap_money IS NOT NULL OR o.cap_hours IS NOT NULL OR o.day_minimum_hours IS NOT NULL
                       OR o.billing_method NOT IN ('tm', 'non_billable')))"""
_COPY = """
WITH known AS (SELECT t.*, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS places
               FROM time_entry t WHERE status = 'approved' AND project_code = ANY(%(projects)s))
INSERT INTO time_entry (id, consultant_code, project_code, task_code, work_date, hours, kind, status, version,
                        submitted_at, approved_at, approved_by)
SELECT %(first)s + g, consultant_code, project_code, task_code, work_date, (1 + g %% 32) * 0.25, kind, status, 1,
       submitted_at, approved_at, approved_by
FROM generate_series(0, %(entries)s - 1) g JOIN known ON place = g %% places"""


def write_history(dsns: Mapping[str, str], entries: int) -> int:
    """Add approved entries like those of the firm; ``dsns`` are of ``erp`` and ``time``. All rows there are now."""
    with psycopg.connect(dsns["erp"]) as erp:
        projects = [name for (name,) in erp.execute(_PROJECTS).fetchall()]
    with psycopg.connect(dsns["time"]) as times:
        values = {"projects": projects, "first": FIRST_ID, "entries": entries}
        written = times.execute(_COPY, values).rowcount
        row = times.execute("SELECT count(*) FROM time_entry").fetchone()
    if written != entries:
        raise DependencyUnavailable(f"history: {written} of {entries} entries were written; another seed?")
    return int(row[0]) if row else 0


class HistoryProgress:
    """How much of the history is published, and applied by the billing flow."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": GROUP,  # to ask for its offsets; it is not joined
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def published(self) -> int:
        """Offsets of the topic, marks of transactions included."""
        places = self._places()
        return sum(self._consumer.get_watermark_offsets(p, timeout=REQUEST_TIMEOUT_S)[1] for p in places)

    def applied(self) -> int:
        """Of these, what the flow says that it has applied; it says so once a second."""
        committed = self._consumer.committed(self._places(), timeout=REQUEST_TIMEOUT_S)
        return sum(max(place.offset, 0) for place in committed)

    def wait_published(self, rows: int, check: Callable[[], None]) -> None:
        """Return once the snapshot is over, or all but the rows that marks of transactions pass for."""
        self._wait(self.published, lambda now: now >= rows, check)

    def wait_applied(self, check: Callable[[], None]) -> None:
        """Return once nothing of it is left."""
        self._wait(self.applied, lambda _: not self._is_left(), check)

    def _is_left(self) -> bool:
        """Whether a record lies behind what is applied: marks of transactions may."""
        places = self._consumer.committed(self._places(), timeout=REQUEST_TIMEOUT_S)
        if any(place.offset < 0 for place in places):
            return True
        self._consumer.assign(places)
        try:
            for _ in places:
                message = self._consumer.poll(REQUEST_TIMEOUT_S)
                if message is None or message.error() is None:
                    return True
        finally:
            self._consumer.unassign()
        return False

    def _wait(
        self, reached: Callable[[], int], is_done: Callable[[int], bool], check: Callable[[], None]
    ) -> None:
        before, since = -1, time.monotonic()
        while not is_done(now := reached()):
            check()
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                raise DependencyUnavailable(f"the history stands still at {now}")
            time.sleep(LOOK_S)

    def _places(self) -> list[TopicPartition]:
        topics = self._consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        return [TopicPartition(TOPIC, p) for p in topics[TOPIC].partitions] if TOPIC in topics else []

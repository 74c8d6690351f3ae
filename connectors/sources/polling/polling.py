"""Polls and comparisons: what a database's tables say now, into topics, as far as asking can find out.

    initial     a table without a stored cursor is read whole, in pages by key
    poll        rows whose updated_at or version is at least the cursor less the overlap
    comparison  all keys, or all rows, in pages by key: finds deletes, and rows that polls missed

Whatever is read is compared by hash with what is published; only a difference is sent. So reading a
row again costs nothing downstream, and nothing depends on reading it once. The cursor is stored in
the Kafka transaction of the rows that it covers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.envelope import CREATE, READ, UPDATE
from connectors.sources.polling.config import PollingConfig
from connectors.sources.polling.database import Database, PolledTable, Row, lower
from connectors.sources.polling.envelope import EncodedTable, Stamp
from connectors.sources.polling.outbox import Outbox
from connectors.sources.polling.progress import Cursor, Progress, TableProgress
from connectors.sources.polling.published import Published
from connectors.sources.running import StopSignal

log = structlog.get_logger()

BATCH = 1000  # rows in memory, and keys of one look-up


class Polling:
    """One session's polls and comparisons."""

    def __init__(
        self,
        config: PollingConfig,
        database: Database,
        tables: Sequence[PolledTable],
        encoded: dict[str, EncodedTable],
        published: Published,
        outbox: Outbox,
        progress: Progress,
    ) -> None:
        self._config = config
        self._database = database
        self._tables = tables
        self._encoded = encoded
        self._published = published
        self._outbox = outbox
        self._progress = progress
        self._log = log.bind(source=config.name)

    def run(self, stop: StopSignal, *, once: bool) -> bool:
        """Whether the source is done; False where the tables have changed shape: begin again."""
        known = self._progress.tables
        fresh = [one for one in self._tables if one.full_name not in known]
        if not self._drain(self._initial(fresh), stop):
            return True
        reshaped = [one for one in self._tables if self._progress.tables[one.full_name].columns != one.names]
        if not self._drain(self._reread(reshaped), stop):
            return True
        if once:
            if self._poll(stop):
                self._drain(self._comparison(self._tables, self._config.compare == "rows"), stop)
            return True
        return self._loop(stop)

    def _loop(self, stop: StopSignal) -> bool:
        config = self._config
        next_poll = time.monotonic()
        next_comparison = next_poll + config.compare_every_s
        comparison: Iterator[None] | None = None
        while not stop.is_set():
            if time.monotonic() >= next_poll:
                self._poll(stop)
                next_poll = max(next_poll + config.interval_s, time.monotonic())
            if comparison is None and time.monotonic() >= next_comparison:
                if self._database.tables(config) != list(self._tables):
                    self._log.info("tables_changed", action="begins again")
                    return False
                comparison = self._comparison(self._tables, config.compare == "rows")
            if comparison is not None:
                if _step(comparison):
                    continue
                comparison = None
                next_comparison = time.monotonic() + config.compare_every_s
            stop.wait(max(next_poll - time.monotonic(), 0))
        return True

    def _drain(self, steps: Iterator[None], stop: StopSignal) -> bool:
        """Whether all steps were taken, none of them after a stop was asked for."""
        return all(not stop.is_set() for _ in steps)

    def _poll(self, stop: StopSignal) -> bool:
        """One poll of all tables, in one Kafka transaction or, of many rows, several; False if stopped.

        The cursors move at its end: a poll that is cut short is done again, and sends only the rest.
        """
        moved: dict[str, TableProgress] = {}
        with self._database.connect() as connection:
            for table in self._tables:
                name = table.full_name
                cursor = self._progress.tables[name].cursor
                # Before the rows: what is committed between the two reads is found again.
                high = self._database.high(connection, table)
                low = None
                if cursor is not None and _alike(cursor, high):
                    low = lower(table, cursor, self._config.overlap_s, self._config.overlap_versions)
                for rows in self._database.changed(connection, table, low, BATCH):
                    self._publish(table, rows, "poll")
                    if stop.is_set():
                        return False
                    if self._outbox.full:
                        self._commit()
                moved[name] = TableProgress(_later(cursor, high), table.names)
                connection.rollback()  # one table after the other: no long transaction
        tables = {**self._progress.tables, **moved}
        if tables != self._progress.tables:
            self._store(tables)
        else:
            self._commit()
        return True

    def _initial(self, tables: Sequence[PolledTable]) -> Iterator[None]:
        """Read tables whole for the first time. Cut short, it begins again and sends only the rest."""
        for table in tables:
            started = time.monotonic()
            with self._database.connect() as connection:
                high = self._database.high(connection, table)
            yield from self._comparison([table], True, "initial")
            self._store({**self._progress.tables, table.full_name: TableProgress(high, table.names)})
            rows = self._published.count(self._encoded[table.full_name].topic)
            metrics.SNAPSHOT_ROWS.labels(self._config.name, table.full_name).inc(rows)
            self._log.info(
                "table_read", table=table.full_name, rows=rows, seconds=round(time.monotonic() - started, 3)
            )

    def _reread(self, tables: Sequence[PolledTable]) -> Iterator[None]:
        """Compare the rows of tables whose columns have changed: a new column's values are in no poll."""
        for table in tables:
            yield from self._comparison([table], True)
            cursor = self._progress.tables[table.full_name].cursor
            self._store({**self._progress.tables, table.full_name: TableProgress(cursor, table.names)})

    def _comparison(
        self, tables: Sequence[PolledTable], whole_rows: bool, found_by: str = "comparison"
    ) -> Iterator[None]:
        """Compare tables with what is published of them, a page a step.

        A key that is published and was not met in the pages was deleted at the time of its page.
        """
        number = self._published.begin_pass()
        for table in tables:
            topic = self._encoded[table.full_name].topic
            after: Row | None = None
            while True:
                with self._database.connect() as connection:
                    names = table.names if whole_rows else table.key
                    page = self._database.page(connection, table, names, after, BATCH)
                    rows = [row for row, _ in page]
                    if not whole_rows:
                        missing = self._mark(table, page)
                        rows = self._database.by_key(connection, table, missing) if missing else []
                self._publish(table, rows, found_by)
                if self._outbox.full or not self._outbox.pending:
                    self._commit()
                yield
                if len(page) < BATCH:
                    break
                after = page[-1][1]
            last = b""
            while keys := self._published.unseen(topic, number, last, BATCH):
                self._publish_deletes(table, keys)
                last = keys[-1]
                if self._outbox.full:
                    self._commit()
                yield
        self._commit()

    def _mark(self, table: PolledTable, page: list[tuple[Row, Row]]) -> list[Row]:
        """Note the page's keys as met; those that are not published."""
        encoded = self._encoded[table.full_name]
        keys = {encoded.key_of(row): after for row, after in page}
        known = self._published.hashes(encoded.topic, list(keys))
        self._published.mark(encoded.topic, known)
        return [after for key, after in keys.items() if key not in known]

    def _publish(self, table: PolledTable, rows: Sequence[Row], found_by: str) -> None:
        encoded = self._encoded[table.full_name]
        keyed = {encoded.key_of(row): row for row in rows}
        known = self._published.hashes(encoded.topic, list(keyed))
        stamp = self._stamp(found_by)
        news: list[tuple[bytes, bytes]] = []
        same: list[bytes] = []
        for key, row in keyed.items():
            image = encoded.image(row)
            if known.get(key) == image.row_hash:
                same.append(key)
                continue
            op = UPDATE if key in known else READ if found_by == "initial" else CREATE
            self._outbox.send([encoded.upsert(op, row, image, None, stamp, self._outbox.headers())])
            metrics.CHANGES.labels(self._config.name, table.full_name, op).inc()
            news.append((key, image.row_hash))
        self._published.put(encoded.topic, news)
        if found_by != "poll":
            self._published.mark(encoded.topic, same)

    def _publish_deletes(self, table: PolledTable, keys: Sequence[bytes]) -> None:
        encoded = self._encoded[table.full_name]
        stamp = self._stamp("comparison")
        for key in keys:
            image = encoded.image_of_key(key)
            self._outbox.send(encoded.delete_encoded(key, image, stamp, self._outbox.headers(), whole=False))
        metrics.CHANGES.labels(self._config.name, table.full_name, "d").inc(len(keys))
        self._published.remove(encoded.topic, keys)

    def _stamp(self, found_by: str) -> Stamp:
        now = time.time_ns() // 1000
        snapshot = "true" if found_by == "initial" else "false"
        return Stamp(now, now, snapshot, found_by, self._outbox.number + 1)

    def _commit(self) -> None:
        if self._outbox.pending:
            metrics.TRANSACTIONS.labels(self._config.name).inc()
        self._outbox.commit(self._position)

    def _store(self, tables: dict[str, TableProgress]) -> None:
        self._progress = replace(self._progress, tables=tables)
        self._outbox.store(self._position)

    def _position(self, number: int) -> bytes:
        return replace(self._progress, number=number).to_json()


def _step(steps: Iterator[None]) -> bool:
    """Take the next step; whether there was one."""
    for _ in steps:
        return True
    return False


def _alike(one: Cursor, other: Cursor | None) -> bool:
    """Whether two cursors can be compared: a column that was retyped begins anew."""
    if other is None:
        return True
    try:
        _ = one <= other  # type: ignore[operator]
    except TypeError:
        return False
    return True


def _later(cursor: Cursor | None, high: Cursor | None) -> Cursor | None:
    if cursor is None or high is None or not _alike(cursor, high):
        return high if high is not None else cursor
    return max(cursor, high)

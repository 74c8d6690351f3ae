"""What a table has and its folded topic has not, or has otherwise: found row by row, and published.

``before`` of an update or a delete is what the topic had. Columns that are masked or hashed are null
in it, and named in the header of what is absent: the topic may have them in clear from before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO

import structlog
from fastavro import parse_schema, schemaless_writer

from connectors.sources import avro, metrics
from connectors.sources.envelope import ABSENT, LAST_FOR_KEY, POSITION, SPECIAL, Header, header_json
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.pgoutput.transactions import CREATE, DELETE, UPDATE
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.repair.foldedstate import Folded, Image
from connectors.sources.postgres.repair.spelling import Spelling, plain, special_json
from connectors.sources.postgres.repair.topicrows import Advance
from connectors.sources.postgres.rules import TableRules
from connectors.sources.postgres.snapshot.snapshot import ExportedSnapshot
from connectors.sources.postgres.tables.columns import KnownColumns
from connectors.sources.postgres.tables.envelope import NeedsOptional, Stamp, value_schema
from connectors.sources.postgres.tables.records import Encode
from connectors.sources.postgres.tables.table import Table
from connectors.sources.publisher import Publisher

log = structlog.get_logger()

BATCH_CHANGES = 10_000  # of one Kafka transaction
# The broker ends a transaction that stays open for a minute, and differences may be rare.
BATCH_S = 10.0
LOOK_ROWS = 500  # rows compared between two looks at the clock


class Differences:
    """Publishes what differs, in bounded Kafka transactions, each with the stored position."""

    def __init__(
        self, publisher: Publisher, progress: Progress, exported: ExportedSnapshot, config: PostgresConfig
    ) -> None:
        self._publisher = publisher
        self._progress = progress
        self._start = exported.consistent_lsn
        self._config = config
        self._source = config.name
        self._place = f"{progress.epoch}/{self._start - 1}/".encode()
        self._ordinal = 0
        self._sent = 0
        self._opened = 0.0

    def of_table(
        self,
        table: Table,
        spelling: Spelling,
        rows: Iterator[Row],
        folded: Folded,
        advance: Advance,
    ) -> dict[str, int]:
        """Publish the difference between ``rows`` and ``folded``; how many of each there were."""
        now_us = time.time_ns() // 1000
        stamp = Stamp(now_us, now_us, None, None, "incremental")
        writer = _Writer(self._config.column_rules.of(table.full_name), table, spelling, stamp, self._start)
        counts = {"rows": 0, CREATE: 0, UPDATE: 0, DELETE: 0}
        for row in rows:
            counts["rows"] += 1
            image = spelling.of_table(row)
            key = writer.key(row)
            known = folded.take(key or b"", image)
            if known is None:
                counts[CREATE] += 1
                self._send(table, key, writer.value(CREATE, None, row))
            elif known != image:
                counts[UPDATE] += 1
                self._send(table, key, writer.value(UPDATE, known, row), writer.hidden)
            if counts["rows"] % LOOK_ROWS == 0:
                advance(LOOK_ROWS)
                self._commit_if_due()
        advance(counts["rows"] % LOOK_ROWS)
        for gone in folded.rest():
            counts[DELETE] += 1
            self._send(table, gone.key, writer.value(DELETE, gone.image, None), writer.hidden)
            if counts[DELETE] % LOOK_ROWS == 0:
                self._commit_if_due()
        self._commit()
        for op in (CREATE, UPDATE, DELETE):
            metrics.REPAIRED.labels(self._source, table.full_name, op).inc(counts[op])
        return counts

    def end(self, tables: list[str], columns: KnownColumns) -> None:
        """Store that the source goes on from the slot's start, with all ``tables`` and their ``columns`` as of it."""
        self._progress = replace(
            self._progress,
            commit_lsn=self._start - 1,
            ordinal=max(self._ordinal - 1, 0),
            flushed_lsn=self._start,
            repairing=False,
            tables=dict.fromkeys(tables, self._start),
            former=sorted({*self._progress.former, *self._progress.tables} - set(tables)),
        )
        self._publisher.commit(self._progress.to_json(), columns.take_changed())
        log.info("repair_done", source=self._source, lsn=lsn_text(self._start), epoch=self._progress.epoch)

    def _send(
        self,
        table: Table,
        key: bytes | None,
        written: tuple[bytes, dict[str, str], bool],
        hidden: Sequence[str] = (),
    ) -> None:
        value, special, delete = written
        if not self._publisher.in_transaction:
            self._opened = time.monotonic()
        headers: list[Header] = [(POSITION, b"%b%d" % (self._place, self._ordinal)), (LAST_FOR_KEY, b"1")]
        if special:
            headers.append((SPECIAL, special_json(special)))
        if hidden:
            headers.append((ABSENT, header_json(hidden)))
        self._publisher.send(table.topic, key, value, headers)
        if delete and key is not None:
            self._publisher.send(table.topic, key, None, headers)
        self._ordinal += 1
        self._sent += 1
        if self._sent >= BATCH_CHANGES:
            self._commit()

    def _commit_if_due(self) -> None:
        if self._publisher.in_transaction and time.monotonic() - self._opened > BATCH_S:
            self._commit()

    def _commit(self) -> None:
        """What was sent becomes visible; the position still says that a repair is under way."""
        if self._publisher.in_transaction:
            self._publisher.commit(self._progress.to_json())
        self._sent = 0


class _Writer:
    """Keys and values of a table's differences; widens the table's schema where a value needs it."""

    def __init__(self, rules: TableRules, table: Table, spelling: Spelling, stamp: Stamp, lsn: int) -> None:
        self._rules = rules
        self._table = table
        self._spelling = spelling
        self._stamp = stamp
        self._lsn = lsn
        self._compile()

    def _compile(self) -> None:
        table = self._table
        self._encode: Encode = table.envelope.begin(self._stamp)
        envelope = plain(value_schema(table.topic, table.fields))
        row = next(branch for branch in envelope["fields"][0]["type"] if isinstance(branch, dict))
        self._row_schema = parse_schema({**row, "namespace": avro.namespace(table.topic)})
        self._required = [one for one in table.fields if not one.optional]
        # A column may have been published in clear before it was masked or hashed: what the topic has of
        # it is not said again.
        treated = self._rules.replaced.keys() | self._rules.nulled
        self._hidden = [one for one in table.fields if one.column in treated and one.column not in table.key]

    def _widen(self, column: str) -> None:
        self._table.widen(column)
        self._compile()

    @property
    def hidden(self) -> list[str]:
        """Fields that are null in ``before``, whatever the topic has."""
        return [one.name for one in self._hidden]

    def key(self, row: Row) -> bytes | None:
        """The framed key; None where the table has none."""
        encode = self._table.encode_key
        try:
            return None if encode is None else encode(row)
        except NeedsOptional as need:
            self._widen(need.column)  # refuses: a key can't be null
            raise

    def value(self, op: str, known: Image | None, row: Row | None) -> tuple[bytes, dict[str, str], bool]:
        """The framed envelope, the special texts of its header, and whether it is a delete.

        ``before`` is what the topic had, as far as that can be told.
        """
        special: dict[str, str] = {}
        before = None if known is None else self._before(known, special)
        after = None
        while row is not None:
            try:
                after, aside = self._table.rows.encode(row)
                special.update({f"after.{name}": text for name, text in (aside or {}).items()})
                break
            except NeedsOptional as need:
                self._widen(need.column)
                # Another schema spells ``before`` otherwise.
                before = None if known is None else self._before(known, special)
        return self._encode(op, before, after, self._lsn), special, op == DELETE

    def _before(self, known: Image, special: dict[str, str]) -> bytes | None:
        decoded = self._spelling.decode(known)
        if decoded is None:
            return None
        values, aside = decoded
        if any(not one.optional for one in self._hidden):
            return None
        for one in self._hidden:
            values[one.name] = None
            aside.pop(one.name, None)
        for one in self._required:
            if values[one.name] is None:
                self._widen(one.column)
        out = BytesIO()
        schemaless_writer(out, self._row_schema, values)
        special.update({f"before.{name}": text for name, text in aside.items()})
        return out.getvalue()

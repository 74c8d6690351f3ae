"""From rows of the change table, and from a snapshot, to Kafka records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from connectors.sources.envelope import (
    ABSENT,
    CREATE,
    LAST_FOR_KEY,
    NEW_KEY,
    OLD_KEY,
    POSITION,
    READ,
    UPDATE,
    Header,
    Record,
    header_json,
)
from connectors.sources.polling.envelope import EncodedTable, Stamp
from connectors.sources.polling.published import Published
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal
from connectors.sources.sqlite.changes import Change, Row

_DELETES_AT_ONCE = 1000


def touched(change: Change, tables: Mapping[str, EncodedTable]) -> list[tuple[str, bytes]]:
    """Table and key of the rows that a change is about: two for a change of key, the new one last."""
    table = tables.get(change.table)
    if table is None:
        return []
    images = [image for image in (change.before, change.after) if image is not None]
    keys = dict.fromkeys(table.key_of(image) for image in images)
    return [(change.table, key) for key in keys]


def change_records(change: Change, table: EncodedTable, stamp: Stamp, epoch: int, last: bool) -> list[Record]:
    """The records of one change. A change of key is a delete, its tombstone and a create."""

    def headers(ordinal: int, is_last: bool, *more: Header) -> list[Header]:
        position = f"{epoch}/{change.seq}/{ordinal}".encode()
        return [(POSITION, position), (LAST_FOR_KEY, b"1" if is_last else b"0"), *more]

    before, after = change.before, change.after
    if after is None:
        assert before is not None
        return table.delete(before, stamp, headers(0, last), whole=True)
    absent = _absent(table, after)
    if before is not None and table.key_of(before) != table.key_of(after):
        old, new = table.framed(table.key_of(before)), table.framed(table.key_of(after))
        return [
            *table.delete(before, stamp, headers(0, True, (NEW_KEY, new)), whole=True),
            table.upsert(
                CREATE, after, table.image(after), None, stamp, headers(1, last, (OLD_KEY, old), *absent)
            ),
        ]
    image = table.image(after)
    return [table.upsert(change.op, after, image, before, stamp, headers(0, last, *absent))]


def _absent(table: EncodedTable, row: Row) -> list[Header]:
    """Columns that were added after the change: null, and not because the row says so."""
    absent = [one.field for one in table.columns if one.column not in row]
    return [(ABSENT, header_json(absent))] if absent else []


class Differences:
    """Sends what a table holds and its topic does not, and deletes what only the topic has."""

    def __init__(
        self,
        publisher: Publisher,
        published: Published,
        table: EncodedTable,
        epoch: int,
        number: int,
        ordinal: int,
    ) -> None:
        self._publisher = publisher
        self._published = published
        self._table = table
        self._place = f"{epoch}/{number}/"
        now = time.time_ns() // 1000
        self._stamp = Stamp(now, now, "true", "initial", number)
        self.ordinal = ordinal
        """Of the next record."""

    def send(self, pages: Iterable[list[Row]], stop: StopSignal) -> None:
        """All of the table, some rows at a time; returns early when a stop is asked for."""
        table, published = self._table, self._published
        number = published.begin_pass()
        for rows in pages:
            keyed = {table.key_of(row): row for row in rows}
            known = published.hashes(table.topic, list(keyed))
            seen = []
            for key, row in keyed.items():
                image = table.image(row)
                seen.append((key, image.row_hash))
                if known.get(key) != image.row_hash:
                    op = UPDATE if key in known else READ
                    self._send([table.upsert(op, row, image, None, self._stamp, self._headers())])
            published.put(table.topic, seen)
            if stop.is_set():
                return
        last = b""
        while keys := published.unseen(table.topic, number, last, _DELETES_AT_ONCE):
            for key in keys:
                image = table.image_of_key(key)
                self._send(table.delete_encoded(key, image, self._stamp, self._headers(), whole=False))
            last = keys[-1]

    def _headers(self) -> list[Header]:
        position = f"{self._place}{self.ordinal}".encode()
        self.ordinal += 1
        return [(POSITION, position), (LAST_FOR_KEY, b"1")]

    def _send(self, records: list[Record]) -> None:
        for record in records:
            self._publisher.send(record.topic, record.key, record.value, record.headers)

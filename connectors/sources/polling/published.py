"""What is published: per table the keys with the hash of the row each last said, in a local file.

The topics are the truth and the file is a memory of them. It is committed after each Kafka
transaction, with the offsets before that transaction; opening it reads what the topics have from
there on. So a kill between the two commits, an old file, or no file at all end in the same state.
Memory is bounded by SQLite's cache, whatever the number of rows.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.sources.polling.envelope import ROW_HASH
from connectors.sources.positions import END_WAIT_MS, READ_TIMEOUT_S
from connectors.sources.topics import ADMIN_TIMEOUT_S
from streams.errors import ConfigurationError, DependencyUnavailable
from streams.logs import LIBRDKAFKA

log = structlog.get_logger()

LOCK_WAIT_S = 30.0  # a predecessor that was fenced may hold the file until its transaction fails
BATCH = 1000  # messages at a time from the broker
_PARAMETERS = 500  # of one statement; SQLite's oldest limit is 999
_CACHE_KIB = 16_384

_SCHEMA = """
CREATE TABLE IF NOT EXISTS row (
    topic TEXT NOT NULL, key BLOB NOT NULL, hash BLOB NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (topic, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pass (number INTEGER NOT NULL);
INSERT INTO pass SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM pass);
"""


class Published:
    """The memory of one source's topics. Not thread-safe; changes are seen at once, kept by `commit`."""

    def __init__(self, path: Path, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._pass = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open(path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                log.warning("state_file_unreadable", path=str(path), error=str(error), action="made again")
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                self._open(path)
        except (OSError, sqlite3.OperationalError) as error:
            raise ConfigurationError(f"state: cannot use {path}: {error}; name a writable file") from None

    def _open(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            # A power cut may lose the last commits, never the order: the topics give them back.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._db.executescript(_SCHEMA)
            self._pass = self._db.execute("SELECT number FROM pass").fetchone()[0]
        except sqlite3.Error:
            self._db.close()
            raise
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Forget what was not committed."""
        self._db.rollback()
        self._db.close()

    def commit(self, before: Mapping[tuple[str, int], int]) -> None:
        """Keep the changes; ``before``: the ends of the topics before the transaction they were sent in."""
        self._db.executemany(
            "INSERT OR REPLACE INTO reached VALUES (?, ?, ?)",
            [(topic, partition, upto) for (topic, partition), upto in before.items()],
        )
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def count(self, topic: str) -> int:
        """Rows that the topic says there are."""
        found: int = self._db.execute("SELECT count(*) FROM row WHERE topic = ?", [topic]).fetchone()[0]
        return found

    def hashes(self, topic: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The hashes of those of ``keys`` that are published."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _PARAMETERS):
            some = keys[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            found.update(
                self._db.execute(
                    f"SELECT key, hash FROM row WHERE topic = ? AND key IN ({marks})", [topic, *some]
                )
            )
        return found

    def put(self, topic: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """These keys now have these hashes."""
        self._db.executemany(
            "INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?)",
            [(topic, key, row_hash, self._pass) for key, row_hash in rows],
        )

    def remove(self, topic: str, keys: Iterable[bytes]) -> None:
        """These keys are deleted."""
        self._db.executemany("DELETE FROM row WHERE topic = ? AND key = ?", [(topic, key) for key in keys])

    def begin_pass(self) -> int:
        """A number for a comparison: what is put or marked from here on has been seen in it."""
        self._pass += 1
        self._db.execute("UPDATE pass SET number = ?", [self._pass])
        return self._pass

    def mark(self, topic: str, keys: Iterable[bytes]) -> None:
        """These keys are in the table."""
        self._db.executemany(
            "UPDATE row SET seen = ? WHERE topic = ? AND key = ?", [(self._pass, topic, key) for key in keys]
        )

    def unseen(self, topic: str, number: int, after: bytes, limit: int) -> list[bytes]:
        """Keys beyond ``after``, in their own order, that were last seen before comparison ``number``."""
        found = self._db.execute(
            "SELECT key FROM row WHERE topic = ? AND key > ? AND seen < ? ORDER BY key LIMIT ?",
            [topic, after, number, limit],
        )
        return [key for (key,) in found]

    def ends(self, topics: Mapping[str, int]) -> dict[tuple[str, int], int]:
        """The high watermarks of the topics, given with their partition counts."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
        wanted = {
            TopicPartition(topic, partition): OffsetSpec.latest()
            for topic, count in topics.items()
            for partition in range(count)
        }
        try:
            futures = admin.list_offsets(wanted, request_timeout=ADMIN_TIMEOUT_S)
            return {
                (at.topic, at.partition): int(future.result(ADMIN_TIMEOUT_S).offset)
                for at, future in futures.items()
            }
        except KafkaException as error:
            raise DependencyUnavailable(f"Kafka at {self._bootstrap}: {error.args[0].str()}") from None

    def catch_up(self, topics: Mapping[str, int]) -> int:
        """Read what the topics have beyond what is remembered; the number of records read.

        To be called after ``init_transactions``, so that an abandoned transaction of ours has ended.
        """
        ends = self.ends(topics)
        reached = {
            (topic, partition): upto
            for topic, partition, upto in self._db.execute("SELECT topic, partition, upto FROM reached")
        }
        for topic in topics:
            # Made again under its name: what is remembered is another topic's.
            if any(reached.get(at, 0) > end for at, end in ends.items() if at[0] == topic):
                self._db.execute("DELETE FROM row WHERE topic = ?", [topic])
                reached = {at: upto for at, upto in reached.items() if at[0] != topic}
        count = 0
        for message in self._read({at: reached.get(at, 0) for at in ends}, ends):
            topic, key = message.topic(), message.key()
            assert key is not None
            payload = key[5:]
            if message.value() is None:
                self.remove(topic, [payload])
            else:
                # A delete has no hash: its tombstone, which follows, takes the key out again.
                self.put(topic, [(payload, dict(message.headers() or ()).get(ROW_HASH, b""))])
            count += 1
        self.commit(ends)
        return count

    def _read(
        self, starts: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
    ) -> Iterator[Any]:
        open_ = {at for at, end in ends.items() if starts[at] < end}
        if not open_:
            return
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "source-state",  # required by the library; nothing is committed under it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": END_WAIT_MS,
                "auto.offset.reset": "earliest",
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        try:
            consumer.assign([TopicPartition(*at, starts[at]) for at in open_])
            deadline = time.monotonic() + READ_TIMEOUT_S
            while open_:
                messages = consumer.consume(BATCH, END_WAIT_MS / 1000)
                for message in messages:
                    at = (message.topic(), message.partition())
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    # Markers of transactions count as offsets but are never delivered.
                    if message.offset() + (error is None) >= ends[at]:
                        open_.discard(at)
                if messages:
                    deadline = time.monotonic() + READ_TIMEOUT_S
                elif time.monotonic() > deadline:
                    raise DependencyUnavailable(
                        f"topic {next(iter(open_))[0]} can't be read to its end: another producer has a "
                        "transaction open; wait until the broker ends it"
                    )
        except KafkaException as error:
            raise DependencyUnavailable(f"Kafka at {self._bootstrap}: {error.args[0].str()}") from None
        finally:
            consumer.close()

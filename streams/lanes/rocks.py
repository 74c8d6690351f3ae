"""Lane state in RocksDB. A local copy only: a store that was not closed cleanly is dropped and restored.

What RocksDB may take of memory, whatever the number of lanes:

    each table     2 write buffers of 8 MB at most
    all tables     64 MB of write buffers together, then the fullest are written out; a cache of 128 MB
                   for blocks, and for the indexes and filters of their files

Indexes and filters are in parts of 4 KB. Whole, that of a file of 64 MB has more than 1 MB; the cache is made
of 64 shards, so that a look-up in a big table found its index evicted, and read and unpacked it again.

Compaction is universal, as in Kafka Streams: entries are changed in any order, and by levels each change cost half
as much CPU again (45 microseconds for 30, measured with 500,000 changes among a million entries). The price is room
on the volume: RocksDB may let it take three times what the state does.

There is no log of writes on disk: after a crash the store is dropped anyway.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.errors import DependencyUnavailable

# What one table may hold before it is written out.
WRITE_BUFFER_BYTES = 8 << 20
WRITE_BUFFERS = 2
# What all tables of a process share: a worker has some tens of lanes.
SHARED_WRITE_BUFFER_BYTES = 64 << 20
SHARED_CACHE_BYTES = 128 << 20
# One in a hundred look-ups of an absent key reads a block for nothing.
FILTER_BITS = 10.0
INDEX_PART_BYTES = 4096
DEFAULT_FAMILY = "default"  # RocksDB's own name of it
BATCH_ITEMS = 10_000
CLEAN = "CLEAN.json"
# A topic forgets deletions a day after they were compacted (delete.retention.ms): a store that was closed
# for longer could keep what is deleted. A margin for clocks and for the restore itself is taken off.
CLEAN_FOR_SECONDS = 20 * 3600.0


class RocksStore:
    """State of one lane in ``folder``. ``offset`` is the state topic's position it was closed at, or 0."""

    def __init__(self, folder: Path, identity: str) -> None:
        """Open the store, or start an empty one where it is dirty or belongs to another ``identity``.

        ``identity`` names the cluster and state topic, so that a folder never serves another pipeline.
        """
        self._folder = folder
        self._identity = identity
        self.offset = self._clean_offset()
        if self.offset == 0:
            shutil.rmtree(folder, ignore_errors=True)
        with _on_volume(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # From here on the folder is dirty, until `close` says otherwise.
            (folder / CLEAN).unlink(missing_ok=True)
            options = _options()
            # Named for the column family, too: without it a folder that exists opens with the options it was
            # closed with, of which the cache and the bound of write buffers are no part.
            self._db = Rdict(
                str(folder / "db"),
                options=options,
                column_families={DEFAULT_FAMILY: options},
                access_type=AccessType.read_write(),
            )
        self._db.set_write_options(_unlogged())

    def _clean_offset(self) -> int:
        try:
            marker = json.loads((self._folder / CLEAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        if marker.get("identity") != self._identity:
            return 0
        age = time.time() - marker.get("closed_at", 0.0)
        return int(marker["offset"]) if 0 <= age <= CLEAN_FOR_SECONDS else 0

    @property
    def cache_bytes(self) -> int:
        """How much the cache that it reads through may hold, all stores of the process together."""
        return int(self._db.property_value("rocksdb.block-cache-capacity"))

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Items whose key begins with ``prefix``, in key order, from ``start`` on."""
        iterator = self._db.iter(ReadOptions())
        iterator.seek(max(prefix, start))
        while iterator.valid():
            key = iterator.key()
            if not key.startswith(prefix):
                return
            yield key, iterator.value()
            iterator.next()

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes in one batch; None deletes."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        with _on_volume(self._folder):
            self._db.write(batch)

    def load(self, items: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply restored items in order, in batches."""
        batch: dict[bytes, bytes | None] = {}
        for key, value in items:
            batch[key] = value
            if len(batch) >= BATCH_ITEMS:
                self.write(batch)
                batch = {}
        if batch:
            self.write(batch)

    def close(self, offset: int | None) -> None:
        """Flush and close; with an ``offset`` the folder is marked clean and can be reopened."""
        if offset is None:
            # It will be dropped: that it can't be written any more must not hide why.
            with contextlib.suppress(Exception):
                self._db.close()
            return
        with _on_volume(self._folder):
            self._db.flush()
            self._db.close()
            marker = {"identity": self._identity, "offset": offset, "closed_at": time.time()}
            (self._folder / CLEAN).write_text(json.dumps(marker), encoding="utf-8")


@contextlib.contextmanager
def _on_volume(folder: Path) -> Iterator[None]:
    """RocksDB's errors have no class of their own, and are those of the volume: full, broken, read-only."""
    try:
        yield
    except Exception as error:
        raise DependencyUnavailable(
            f"state in {folder}: {error}; make room on its volume, or see to it that it can be written"
        ) from None


@cache
def _shared() -> tuple[Cache, WriteBufferManager]:
    """The process's cache and its bound of all write buffers."""
    # Never stalling: a lane that waits for another's flush would wait inside its slice.
    return Cache(SHARED_CACHE_BYTES), WriteBufferManager(SHARED_WRITE_BUFFER_BYTES, allow_stall=False)


@cache
def _unlogged() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True
    return options


def _options() -> Options:
    blocks, buffers = _shared()
    table = BlockBasedOptions()
    table.set_block_cache(blocks)
    table.set_cache_index_and_filter_blocks(True)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(INDEX_PART_BYTES)
    table.set_pin_top_level_index_and_filter(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(FILTER_BITS, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS)
    options.set_write_buffer_manager(buffers)
    options.set_block_based_table_factory(table)
    options.increase_parallelism(1)
    return options

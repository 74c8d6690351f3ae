"""Lane state in RocksDB. A local copy only: a store that was not closed cleanly is dropped and restored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rocksdict import AccessType, Options, Rdict, ReadOptions, WriteBatch

# What one lane may take of memory: a worker has some tens of lanes.
WRITE_BUFFER_BYTES = 8 << 20
BATCH_ITEMS = 10_000
CLEAN = "CLEAN.json"


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
        folder.mkdir(parents=True, exist_ok=True)
        # From here on the folder is dirty, until `close` says otherwise.
        (folder / CLEAN).unlink(missing_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(2)
        options.increase_parallelism(1)
        self._db = Rdict(str(folder / "db"), options=options, access_type=AccessType.read_write())

    def _clean_offset(self) -> int:
        try:
            marker = json.loads((self._folder / CLEAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        return int(marker["offset"]) if marker.get("identity") == self._identity else 0

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
        self._db.flush()
        self._db.close()
        if offset is not None:
            marker = json.dumps({"identity": self._identity, "offset": offset})
            (self._folder / CLEAN).write_text(marker, encoding="utf-8")

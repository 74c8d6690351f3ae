"""Which parts of a snapshot are read, and the record of how far it has come. Pure.

A chunk is a range of heap pages of one table (of each leaf, where it is partitioned): ranges of
``ctid`` are found without an index, read in the order they lie on disk, and need no key.

What is done is kept as ranges of pages, merged where they touch. Chunks end roughly in the order
they were handed out, so that a leaf has about as many ranges as there are readers, however large it
is. The last chunk of a leaf has no upper bound: pages that were added since the leaf was measured
belong to it, and a leaf that is done is the one range [0, `PAGES_END`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PAGES_END = 1 << 32  # beyond the last page a table can have; pages are numbered by 32 bits
CHUNK_PAGES = 256  # 2 MB of heap, some 20,000 rows of 100 bytes: half a second of work at most
# A chunk waits in memory as a whole. Where rows have values outside the heap (TOAST) fewer pages make
# one, by the average of the table; the server compresses those values, say by a half.
CHUNK_BYTES = 4 << 20
PAGE_BYTES = 8192

Range = tuple[int, int]
"""Pages, from the first to before the last."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A table that holds rows: a captured table itself, or one of its partitions, as it is now.

    ``filenode`` changes when the table is rewritten (VACUUM FULL, CLUSTER, TRUNCATE): pages that were
    done are then other pages. ``total_bytes`` includes values kept outside the heap. ``rows`` is the
    planner's estimate. Where ``splittable`` is false (no heap, or a server before 14, which reads the
    whole table for each range) the leaf is one chunk. ``moving``: an update that leaves a value
    outside the heap unchanged does not have it in the log.
    """

    oid: int
    schema: str
    table: str
    filenode: int
    pages: int
    total_bytes: int
    rows: int
    splittable: bool
    moving: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a leaf of the captured table ``table`` (its full name).

    ``changed_since``: only rows that were written by this transaction id or a later one.
    """

    table: str
    leaf: Leaf
    pages: Range
    changed_since: int | None = None

    @property
    def whole(self) -> bool:
        """The chunk is all there is of its leaf."""
        return self.pages == (0, PAGES_END)

    @property
    def estimated_rows(self) -> int:
        """About how many rows it has, by the planner's estimate of the leaf."""
        if self.changed_since is not None:
            return 0
        first, end = self.pages[0], min(self.pages[1], self.leaf.pages)
        return self.leaf.rows * max(end - first, 0) // max(self.leaf.pages, 1)


@dataclass(frozen=True, slots=True)
class LeafDone:
    """What of a leaf is published: pages of the file it had then."""

    filenode: int
    pages: tuple[Range, ...] = ()

    def adding(self, pages: Range) -> LeafDone:
        """With ``pages`` done as well."""
        return replace(self, pages=merged((*self.pages, pages)))

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self.pages == ((0, PAGES_END),)


@dataclass(frozen=True, slots=True)
class SnapshotRun:
    """A snapshot that has begun: its point in the log, its tables, and what of them is published."""

    lsn: int
    """The consistent point of the first session's snapshot: the stream is published from here on."""
    oldest_xid: int
    """Each transaction with a smaller id had ended at ``lsn``, and is in the snapshot if it committed."""
    rows: int = 0
    """Published so far: the next row's ordinal."""
    tables: dict[str, dict[int, LeafDone]] = field(default_factory=dict)
    """Full name of the captured table → OID of a leaf → what of it is done."""
    later: dict[str, int] = field(default_factory=dict)
    """Tables that were begun again, and the point of the snapshot that they are read in since."""

    def with_done(self, chunk: Chunk, rows: int) -> SnapshotRun:
        """After ``chunk`` was published as ``rows`` rows."""
        tables = self.tables
        if chunk.changed_since is None:
            leaves = dict(tables[chunk.table])
            done = leaves.get(chunk.leaf.oid, LeafDone(chunk.leaf.filenode))
            leaves[chunk.leaf.oid] = done.adding(chunk.pages)
            tables = {**tables, chunk.table: leaves}
        return replace(self, rows=self.rows + rows, tables=tables)

    def without_rewritten(self, leaves: Mapping[str, Iterable[Leaf]]) -> SnapshotRun:
        """Without the pages of leaves whose file is another one now, and of leaves that are gone."""
        now = {leaf.oid: leaf.filenode for found in leaves.values() for leaf in found}
        tables = {
            table: {oid: done for oid, done in stored.items() if now.get(oid) == done.filenode}
            for table, stored in self.tables.items()
        }
        return replace(self, tables=tables)

    def unfinished(self, table: str, leaves: Iterable[Leaf]) -> bool:
        """Whether pages of a table are missing, whose leaves are ``leaves`` now."""
        done = self.tables[table]
        return not all(leaf.oid in done and done[leaf.oid].complete for leaf in leaves)

    def begun_again(self, tables: Iterable[str], lsn: int) -> SnapshotRun:
        """With nothing done of ``tables``, which are read in a snapshot at ``lsn`` from now on."""
        names = list(tables)
        nothing: dict[str, dict[int, LeafDone]] = {name: {} for name in names}
        return replace(
            self, tables={**self.tables, **nothing}, later={**self.later, **dict.fromkeys(names, lsn)}
        )

    def only(self, tables: Iterable[str]) -> SnapshotRun:
        """Limited to ``tables``."""
        kept = set(tables)
        return replace(
            self,
            tables={name: done for name, done in self.tables.items() if name in kept},
            later={name: lsn for name, lsn in self.later.items() if name in kept},
        )

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> SnapshotRun:
        """From what JSON makes of it; `TypeError`, `KeyError` or `ValueError` when it is something else."""
        tables = {
            table: {
                int(oid): LeafDone(int(done["filenode"]), tuple((int(a), int(b)) for a, b in done["pages"]))
                for oid, done in leaves.items()
            }
            for table, leaves in stored["tables"].items()
        }
        later = {table: int(lsn) for table, lsn in stored.get("later", {}).items()}
        return cls(int(stored["lsn"]), int(stored["oldest_xid"]), int(stored["rows"]), tables, later)


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same pages in as few ranges as can be, in order."""
    result: list[Range] = []
    for first, end in sorted(ranges):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((first, end))
    return tuple(result)


def missing(done: Iterable[Range]) -> list[Range]:
    """The pages of [0, `PAGES_END`) that ``done`` leaves out, in order."""
    result: list[Range] = []
    reached = 0
    for first, end in merged(done):
        if first > reached:
            result.append((reached, first))
        reached = end
    if reached < PAGES_END:
        result.append((reached, PAGES_END))
    return result


def chunk_pages(leaf: Leaf, most: int = CHUNK_PAGES) -> int:
    """How many pages of ``leaf`` make a chunk."""
    if not leaf.splittable:
        return PAGES_END
    a_page = max(leaf.total_bytes // max(leaf.pages, 1), PAGE_BYTES)
    # Up to two heaps' worth is the table's own indexes of TOAST, maps and the like.
    return max(1, most if a_page <= 2 * PAGE_BYTES else min(most, CHUNK_BYTES // a_page))


def cut(pages: Range, size: int, measured: int) -> Iterator[Range]:
    """``pages`` in ranges of ``size``; what lies beyond page ``measured`` belongs to the last one."""
    first, end = pages
    while end - first > size and first + size < measured:
        yield first, first + size
        first += size
    yield first, end


def plan(
    run: SnapshotRun, leaves: Mapping[str, Iterable[Leaf]], again: bool, most: int = CHUNK_PAGES
) -> Iterator[Chunk]:
    """The chunks that ``run`` lacks, in order, tables as they are in ``leaves``.

    ``again``: an earlier session has published some, from an earlier snapshot. Rows that have moved
    since from pages not done to pages done are then looked for in the latter, where the log may lack
    a part of them.
    """
    for table, found in leaves.items():
        for leaf in found:
            done = run.tables[table].get(leaf.oid, LeafDone(leaf.filenode)).pages
            size = chunk_pages(leaf, most)
            if again and leaf.moving:
                for pages in done:
                    if pages != (0, PAGES_END):
                        yield from (
                            Chunk(table, leaf, part, run.oldest_xid) for part in cut(pages, size, leaf.pages)
                        )
            for pages in missing(done):
                yield from (Chunk(table, leaf, part) for part in cut(pages, size, leaf.pages))

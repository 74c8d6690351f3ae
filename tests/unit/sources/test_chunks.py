"""Which chunks a snapshot reads, and the record of what is done. Pure."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.postgres.chunks import (
    CHUNK_BYTES,
    PAGES_END,
    Chunk,
    Leaf,
    LeafDone,
    SnapshotRun,
    chunk_pages,
    cut,
    merged,
    missing,
    plan,
)
from connectors.sources.postgres.position import Progress
from streams.errors import PositionLost

LEAF = Leaf(7, "public", "line", 70, 1000, 1000 * 8192, 90_000, splittable=True, moving=True)
TABLE = "public.line"
RUN = SnapshotRun(500, 33, tables={TABLE: {}})

PAGES = st.integers(0, 60)
RANGES = st.lists(st.tuples(PAGES, PAGES).filter(lambda pair: pair[0] < pair[1]))


def pages_of(ranges: object) -> set[int]:
    return {page for first, end in ranges for page in range(first, min(end, 100))}


@given(RANGES)
def test_merging_keeps_the_pages(ranges: list[tuple[int, int]]) -> None:
    """Merged ranges have the same pages, in order, and none touches the next."""
    result = merged(ranges)
    assert pages_of(result) == pages_of(ranges)
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(result))


@given(RANGES)
def test_missing_is_the_complement(ranges: list[tuple[int, int]]) -> None:
    """Done and missing together are all pages, and have none in common."""
    left = missing(ranges)
    assert pages_of(left) == set(range(100)) - pages_of(ranges)
    assert left[-1][1] == PAGES_END
    assert merged((*ranges, *left)) == ((0, PAGES_END),)


@given(st.integers(0, 50), st.integers(1, 20), st.integers(0, 80))
def test_cutting_loses_no_page(first: int, size: int, measured: int) -> None:
    """The parts follow each other from the first page to the last, and only the last is open."""
    parts = list(cut((first, PAGES_END), size, measured))
    assert parts[0][0] == first
    assert parts[-1][1] == PAGES_END
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(parts))
    assert all(end - start == size for start, end in parts[:-1])


@given(st.data())
def test_any_interruption_reads_each_page_once(data: st.DataObject) -> None:
    """Chunks done in any order, with stops in between: at the end every page was read exactly once."""
    leaf = replace(LEAF, pages=data.draw(st.integers(0, 40)), moving=False)
    run, read = RUN, []
    while chunks := list(plan(run, {TABLE: [leaf]}, again=bool(read), most=data.draw(st.integers(1, 9)))):
        done = data.draw(st.lists(st.sampled_from(chunks), min_size=1, unique=True))
        for chunk in done:
            run = run.with_done(chunk, 10)
            read.append(chunk.pages)
    assert run.tables[TABLE][leaf.oid].complete
    assert run.rows == 10 * len(read)
    assert sum(end - first for first, end in read) == PAGES_END


def test_rows_that_moved_are_looked_for_in_what_is_done() -> None:
    """After an interruption the done pages are read again, for rows written since; not at first."""
    run = RUN.with_done(Chunk(TABLE, LEAF, (0, 256)), 5)
    chunks = list(plan(run, {TABLE: [LEAF]}, again=True))
    assert chunks[0] == Chunk(TABLE, LEAF, (0, 256), changed_since=33)
    assert [chunk.pages for chunk in chunks[1:]] == [(256, 512), (512, 768), (768, PAGES_END)]
    assert run.with_done(chunks[0], 2) == replace(run, rows=7), "such a chunk adds nothing to what is done"
    assert not any(chunk.changed_since for chunk in plan(run, {TABLE: [replace(LEAF, moving=False)]}, True))
    assert not any(chunk.changed_since for chunk in plan(run, {TABLE: [LEAF]}, again=False))


def test_a_complete_leaf_is_left_alone() -> None:
    """Rows move within a leaf only; from one partition to another the log has them whole."""
    done = RUN.with_done(Chunk(TABLE, LEAF, (0, PAGES_END)), 5)
    assert list(plan(done, {TABLE: [LEAF]}, again=True)) == []


def test_a_rewritten_leaf_is_read_anew() -> None:
    """Its pages are other pages now; so is a leaf that is gone."""
    run = RUN.with_done(Chunk(TABLE, LEAF, (0, PAGES_END)), 5)
    rewritten = replace(LEAF, filenode=71)
    assert run.without_rewritten({TABLE: [LEAF]}) == run
    again = run.without_rewritten({TABLE: [rewritten]})
    assert again.tables == {TABLE: {}}
    assert again.rows == 5, "ordinals go on"
    assert [c.pages for c in plan(again, {TABLE: [rewritten]}, True)][-1][1] == PAGES_END


@pytest.mark.parametrize(
    ("leaf", "pages"),
    [
        (LEAF, 256),
        (replace(LEAF, splittable=False), PAGES_END),
        (replace(LEAF, pages=0, total_bytes=0), 256),
        (replace(LEAF, total_bytes=1000 * CHUNK_BYTES), 1),
        (replace(LEAF, total_bytes=1000 * CHUNK_BYTES // 8), 8),
    ],
)
def test_how_many_pages_make_a_chunk(leaf: Leaf, pages: int) -> None:
    """Fewer where values outside the heap make pages heavy; all where ranges cost a whole scan."""
    assert chunk_pages(leaf) == pages


def test_the_record_of_a_run_survives_the_wire() -> None:
    """Through JSON and back; something else is refused in one line."""
    run = RUN.with_done(Chunk(TABLE, LEAF, (256, 512)), 9)
    progress = Progress("1", 1, 1, "slot", run=run)
    assert Progress.from_json(progress.to_json()) == progress
    assert SnapshotRun.from_stored(json.loads(json.dumps(asdict(run)))) == run
    broken = json.loads(progress.to_json())
    del broken["run"]["tables"][TABLE]["7"]["filenode"]
    with pytest.raises(PositionLost):
        Progress.from_json(json.dumps(broken).encode())


def test_done_chunks_in_order_stay_one_range() -> None:
    """The record does not grow with the table."""
    done = LeafDone(70)
    for first in range(0, 100_000, 256):
        done = done.adding((first, first + 256))
    assert len(done.pages) == 1

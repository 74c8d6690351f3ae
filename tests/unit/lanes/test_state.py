"""Overlay and stores: a slice's view of its state equals a dict's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.lanes.rocks import (
    BATCH_ITEMS,
    SHARED_CACHE_BYTES,
    SHARED_WRITE_BUFFER_BYTES,
    RocksStore,
    _shared,
)
from streams.lanes.state import MemoryStore, Overlay

KEYS = st.binary(min_size=1, max_size=3).map(lambda data: bytes(byte % 3 + 97 for byte in data))
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=12)
MANY_CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=39)


def model(*layers: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    """The layers merged; None deletes."""
    merged: dict[bytes, bytes | None] = {}
    for layer in layers:
        merged |= layer
    return {key: value for key, value in merged.items() if value is not None}


def scanned(items: dict[bytes, bytes], prefix: bytes, start: bytes) -> list[tuple[bytes, bytes]]:
    """What a scan of a dict gives."""
    return sorted((k, v) for k, v in items.items() if k.startswith(prefix) and k >= start)


def write(overlay: Overlay, changes: dict[bytes, bytes | None]) -> None:
    """Put and delete as a stage does."""
    for key, value in changes.items():
        if value is None:
            overlay.delete(key)
        else:
            overlay.put(key, value)


@given(CHANGES, st.lists(MANY_CHANGES, max_size=3), st.binary(max_size=2), st.binary(max_size=2))
def test_a_scan_of_an_overlay_is_that_of_the_merged_items(
    stored: dict[bytes, bytes | None], rounds: list[dict[bytes, bytes | None]], prefix: bytes, start: bytes
) -> None:
    """New, replaced and deleted keys appear in order, each once, with the pending value, whatever was read before."""
    prefix, start = bytes(b % 3 + 97 for b in prefix), bytes(b % 3 + 97 for b in start)
    store = MemoryStore()
    store.write(stored)
    overlay = Overlay(store)
    layers = [stored]
    for pending in [{}, *rounds]:
        write(overlay, pending)
        layers.append(pending)
        expected = model(*layers)
        assert list(overlay.scan(prefix, start)) == scanned(expected, prefix, start)
        assert list(overlay.scan(b"")) == scanned(expected, b"", b"")
        for key in {key for layer in layers for key in layer}:
            assert overlay.get(key) == expected.get(key)
    assert store.items == model(stored), "the store was changed before the slice was committed"


def test_a_scan_beside_many_changes_costs_what_it_finds() -> None:
    """Scans of single keys among 20,000 pending ones: not a look at each of them."""
    overlay = Overlay(MemoryStore())
    keys = [b"%06d" % number for number in range(20_000)]
    started = time.process_time()
    for key in keys:
        overlay.put(key, b"")
        assert [found for found, _ in overlay.scan(key)] == [key]
    assert time.process_time() - started < 2  # some 8 s where each scan looks at all of them


@pytest.fixture(scope="module")
def rocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RocksStore]:
    """One open store for many examples."""
    store = RocksStore(tmp_path_factory.mktemp("rocks"), "id")
    yield store
    store.close(None)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=4), st.binary(max_size=2), st.binary(max_size=2))
def test_rocksdb_and_memory_agree(
    rocks: RocksStore, writes: list[dict[bytes, bytes | None]], prefix: bytes, start: bytes
) -> None:
    """Whatever is written, both stores answer alike, also where ``start`` lies outside of ``prefix``."""
    prefix, start = bytes(b % 3 + 97 for b in prefix), bytes(b % 3 + 97 for b in start)
    rocks.write({key: None for key, _ in rocks.scan(b"")})
    memory = MemoryStore()
    for write in writes:
        rocks.write(write)
        memory.write(write)
    assert list(rocks.scan(prefix, start)) == list(memory.scan(prefix, start))
    assert all(rocks.get(key) == memory.get(key) for write in writes for key in write)


def test_a_clean_store_reopens_at_its_offset(tmp_path: Path) -> None:
    """What was closed at an offset is there again, with the offset to restore from."""
    store = RocksStore(tmp_path / "lane", "cluster/state.x")
    assert store.offset == 0
    store.write({b"a": b"1", b"b": b"2"})
    store.write({b"b": None})
    store.close(42)
    again = RocksStore(tmp_path / "lane", "cluster/state.x")
    assert again.offset == 42
    assert list(again.scan(b"")) == [(b"a", b"1")]
    again.close(None)


def test_an_opened_folder_keeps_the_bounds_of_memory(tmp_path: Path) -> None:
    """RocksDB keeps most options in its folder; the shared cache must not be lost to its default of 8 MB."""
    for _ in range(2):
        store = RocksStore(tmp_path / "lane", "id")
        assert store.cache_bytes == SHARED_CACHE_BYTES
        store.close(7)


def test_a_store_that_was_not_closed_is_dropped(tmp_path: Path) -> None:
    """A kill leaves no clean mark, whatever the state before: nothing half-written is ever trusted."""
    RocksStore(tmp_path / "lane", "id").close(7)
    killed = RocksStore(tmp_path / "lane", "id")
    killed.write({b"half": b"done"})
    killed.close(None)
    again = RocksStore(tmp_path / "lane", "id")
    assert again.offset == 0
    assert list(again.scan(b"")) == []
    again.close(None)


@pytest.mark.parametrize("marker", ["", "{", '{"identity": "id"', '{"offset": 3}'])
def test_a_broken_mark_counts_as_dirty(tmp_path: Path, marker: str) -> None:
    """A mark cut short by a power failure does not stop the worker."""
    store = RocksStore(tmp_path / "lane", "id")
    store.write({b"a": b"1"})
    store.close(7)
    (tmp_path / "lane" / "CLEAN.json").write_text(marker, encoding="utf-8")
    again = RocksStore(tmp_path / "lane", "id")
    assert again.offset == 0
    assert again.get(b"a") is None
    again.close(None)


def test_a_store_of_another_pipeline_is_dropped(tmp_path: Path) -> None:
    """A folder that served another cluster or topic never serves this one."""
    store = RocksStore(tmp_path / "lane", "cluster-1/state.x")
    store.write({b"a": b"1"})
    store.close(7)
    other = RocksStore(tmp_path / "lane", "cluster-2/state.x")
    assert other.offset == 0
    assert other.get(b"a") is None
    other.close(None)


def test_loading_keeps_the_order_of_one_key_across_batches(tmp_path: Path) -> None:
    """A restore's last value wins, also when its batches are cut between two values of a key."""
    store = RocksStore(tmp_path / "lane", "id")
    filler = [(f"f{n}".encode(), b"") for n in range(BATCH_ITEMS - 1)]
    store.load([(b"k", b"old"), *filler, (b"k", b"new"), (b"gone", b"1"), (b"gone", None)])
    assert store.get(b"k") == b"new"
    assert store.get(b"gone") is None
    assert store.get(filler[-1][0]) == b""
    store.close(None)


def test_what_rocksdb_takes_of_memory_is_bounded_for_all_stores_together(tmp_path: Path) -> None:
    """A dozen lanes that write more than the bound: write buffers and cached blocks stay within it; and
    nothing is written twice, since a store that was not closed is dropped anyway."""
    cache, buffers = _shared()
    stores = [RocksStore(tmp_path / str(number), "id") for number in range(12)]
    value = bytes(range(256)) * 128  # 32 KiB
    for number in range(240):
        for store in stores:
            store.write({f"{number:04}".encode(): value})
        # The fullest are written out in the background, at the disk's pace; no writer waits for it.
        deadline = time.monotonic() + 20
        while buffers.get_usage() > SHARED_WRITE_BUFFER_BYTES * 1.25:
            assert time.monotonic() < deadline, "write buffers stay above the bound"
            time.sleep(0.01)
    assert 12 * 240 * len(value) > SHARED_WRITE_BUFFER_BYTES * 1.25
    assert sum(len(list(store.scan(b""))) for store in stores) == 12 * 240
    assert cache.get_usage() <= SHARED_CACHE_BYTES
    assert all(log.stat().st_size == 0 for log in tmp_path.rglob("*.log"))
    for store in stores:
        store.close(None)

"""State that can't be written: one line that says where, and nothing that hides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import DependencyUnavailable
from streams.lanes.rocks import RocksStore


def test_a_volume_that_cant_be_written_is_named(tmp_path: Path) -> None:
    """Opening says which folder, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(DependencyUnavailable, match=r"state in .*file/0: .*make room"):
        RocksStore(tmp_path / "file" / "0", "cluster/topic")


def test_a_store_that_is_given_up_is_closed_once_more(tmp_path: Path) -> None:
    """What goes wrong then must not hide why it was given up."""
    store = RocksStore(tmp_path, "cluster/topic")
    store.close(None)
    store.close(None)
    with pytest.raises(DependencyUnavailable):
        store.write({b"key": b"value"})

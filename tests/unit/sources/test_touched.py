"""Which rows a stream has touched: exact up to a bound, and beyond it known to be unknown."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.postgres.pgoutput.transactions import CREATE, TRUNCATE, Change, Transaction
from connectors.sources.postgres.snapshot import touched as module
from connectors.sources.postgres.snapshot.touched import Touched

TABLES = {name: SimpleNamespace(full_name=name, key_of=operator.itemgetter(0)) for name in ("a", "b", "c")}
WATCHED = {"a", "b"}
Changes = list[tuple[str, int | None]]  # table and key, None for a truncate


def transaction(lsn: int, changes: Changes) -> Transaction[Any]:
    found = [
        Change[Any](TABLES[table], TRUNCATE, None, None, lsn)
        if key is None
        else Change[Any](TABLES[table], CREATE, None, (b"%d" % key,), lsn)
        for table, key in changes
    ]
    return Transaction(1, lsn, lsn + 1, 0, found, [1] * len(found))


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(sorted(TABLES)), st.none() | st.integers(0, 9))), max_size=8),
    st.integers(1, 12),
    st.integers(1, 9),
)
def test_nothing_is_missed(transactions: list[Changes], most: int, since: int) -> None:
    """Whatever the bound: a row that was touched is told, or that it is unknown; no more keys are held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_KEYS", most)
        touched = Touched()
        touched.tables = set(WATCHED)
        for lsn, changes in enumerate(transactions, 1):
            touched.saw(transaction(lsn, changes))
            assert len(touched._keys) <= most
    touched.forget(since)
    exact = sum(len(changes) for changes in transactions) <= most
    for table in WATCHED:
        assert not (exact and touched.unknown(table, since))
        for key in range(10):
            was = any(
                name == table and at in (key, None)
                for lsn, changes in enumerate(transactions, 1)
                for name, at in changes
                if lsn >= since
            )
            told = touched.since(table, (b"%d" % key,)[0], since)
            assert told == was or touched.unknown(table, since)

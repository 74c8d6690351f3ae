"""Ids, versions, deletion and levels, on a database in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.registry.compatibility import Compatibility
from streams.registry.errors import RegistryError
from streams.registry.store import Store

S = "billing.events-value"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(":memory:")
    yield store
    store.close()


def schema(*extra: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, *extra]})


OPTIONAL = {"name": "o", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "r", "type": "string"}


WRONG_ORDER: dict[int, Callable[[Store], object]] = {
    40407: lambda store: store.delete_version(S, 1, permanent=True),
    40405: lambda store: store.delete_subject(S, permanent=True),
}


def code_of(error: pytest.ExceptionInfo[RegistryError]) -> int:
    return error.value.code


def test_the_same_schema_has_one_id_in_all_subjects(store: Store) -> None:
    """Registering again, or elsewhere, gives the id that is there."""
    first, again, elsewhere = (
        store.register(S, schema()),
        store.register(S, schema()),
        store.register("t", schema()),
    )
    assert first == again
    assert (elsewhere.schema_id, elsewhere.version) == (first.schema_id, 1)
    assert [version.subject for version in store.uses(first.schema_id, deleted=False)] == [S, "t"]


def test_versions_count_within_a_subject(store: Store) -> None:
    """A compatible change is version 2, with an id of its own."""
    one, two = store.register(S, schema()), store.register(S, schema(OPTIONAL))
    assert (one.version, two.version) == (1, 2)
    assert one.schema_id != two.schema_id
    assert store.version(S, None) == two


@pytest.mark.parametrize(
    "change",
    [
        schema(REQUIRED),
        json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}),
        json.dumps({"type": "record", "name": "S", "fields": [{"name": "a", "type": "int"}]}),
    ],
)
def test_full_transitive_refuses_and_registers_nothing(store: Store, change: str) -> None:
    """A refused schema gets 409, no version and no id."""
    store.set_level(S, Compatibility.FULL_TRANSITIVE)
    store.register(S, schema())
    with pytest.raises(RegistryError) as error:
        store.register(S, change)
    assert error.value.status == 409
    assert [version.version for version in store.versions(S)] == [1]


def test_full_transitive_counts_all_versions_and_full_only_the_latest(store: Store) -> None:
    """A field that comes back as another type is refused by one level and passed by the other."""
    store.set_level(None, Compatibility.FULL)
    number = {"name": "o", "type": ["null", "int"], "default": None}
    for text in (schema(OPTIONAL), schema()):
        store.register(S, text)
    assert store.test(S, schema(number), all_versions=True) == []
    store.set_level(S, Compatibility.FULL_TRANSITIVE)
    assert store.test(S, schema(number), all_versions=True)
    assert store.test(S, schema(number), all_versions=False) == []


def test_unknown_things_have_confluents_codes(store: Store) -> None:
    """40401 for a subject, 40402 for a version, 40403 for an id or schema, 42201 for no schema."""
    store.register(S, schema())
    calls: dict[int, Callable[[], object]] = {
        40401: lambda: store.versions("unknown"),
        40402: lambda: store.version(S, 7),
        40403: lambda: store.schema_text(99),
        42201: lambda: store.register(S, '{"type":"nothing"}'),
        40408: lambda: store.clear_level("unknown"),
    }
    for code, call in calls.items():
        with pytest.raises(RegistryError) as error:
            call()
        assert code_of(error) == code
    with pytest.raises(RegistryError) as error:
        store.lookup(S, schema(OPTIONAL), deleted=False)
    assert code_of(error) == 40403


def test_soft_delete_hides_and_the_id_still_answers(store: Store) -> None:
    """Old records stay readable; the next registration is a new version with the old id."""
    first = store.register(S, schema())
    assert store.delete_subject(S, permanent=False) == [1]
    assert store.subjects() == []
    assert store.subjects(deleted=True) == [S]
    assert store.schema_text(first.schema_id)
    again = store.register(S, schema())
    assert (again.version, again.schema_id) == (2, first.schema_id)


def test_permanent_delete_needs_a_soft_one_first(store: Store) -> None:
    """40405 and 40407 for the wrong order; 40404 and 40406 for deleting softly twice."""
    store.register(S, schema())
    store.register(S, schema(OPTIONAL))
    for code, step in WRONG_ORDER.items():
        with pytest.raises(RegistryError) as error:
            step(store)
        assert code_of(error) == code
    assert store.delete_version(S, 1, permanent=False) == 1
    with pytest.raises(RegistryError) as error:
        store.delete_version(S, 1, permanent=False)
    assert code_of(error) == 40406
    assert store.delete_version(S, 1, permanent=True) == 1
    assert store.delete_subject(S, permanent=False) == [2]
    with pytest.raises(RegistryError) as error:
        store.delete_subject(S, permanent=False)
    assert code_of(error) == 40404
    assert store.delete_subject(S, permanent=True) == [2]
    with pytest.raises(RegistryError) as error:
        store.delete_subject(S, permanent=True)
    assert code_of(error) == 40401


def test_levels_fall_back_to_the_global_one(store: Store) -> None:
    """A subject's own level wins; BACKWARD is where everything starts."""
    assert store.level(S) is Compatibility.BACKWARD
    store.set_level(None, Compatibility.FULL)
    assert store.level(S) is Compatibility.FULL
    store.set_level(S, Compatibility.NONE)
    assert (store.level(S), store.level("other")) == (Compatibility.NONE, Compatibility.FULL)
    assert store.clear_level(S) is Compatibility.NONE
    assert store.level(S) is Compatibility.FULL

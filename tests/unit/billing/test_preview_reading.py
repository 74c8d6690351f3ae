"""What a preview reads of topics in which some records are none, or that another registry describes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from agents.preview.reading import FactsReader
from streams.contracts import load_schema
from streams.errors import DependencyUnavailable, SchemaMismatch
from streams.serde import Decoder, Encoder
from streams.topicreader import TopicRecord

Row = dict[str, Any]
NOW = datetime(2026, 4, 30, tzinfo=UTC)


class Topics:
    """Topics of canned records, each a key and a value."""

    def __init__(self, records: dict[str, list[tuple[bytes, bytes | None]]]) -> None:
        self.records = records

    def read(self, topic: str) -> Iterator[TopicRecord]:
        """The records of a topic."""
        return (TopicRecord(topic, *record) for record in self.records.get(topic, ()))


class Tables(dict[str, list[Row]]):
    """Takes what a preview is given."""

    def reference_rows(self, entity: str, rows: Iterator[Row]) -> None:
        """All rows of an entity."""
        self[entity] = list(rows)


def encoded(entity: str, row_id: str, schema_id: int = 1, **fields: Any) -> bytes:
    """A record of an entity with nothing else in it."""
    names = [field["name"] for field in load_schema(f"canonical/{entity}")["fields"]]
    position = {"source_system": "erp", "source_epoch": 1, "source_lsn": 1, "source_ordinal": 0}
    times = dict.fromkeys(("occurred_at", "captured_at", "published_at"), NOW)
    fixed = {"id": row_id, "deleted": False, "snapshot": False, "mapping_version": "x/1"}
    record = {**dict.fromkeys(names), **position, **times, **fixed, **fields}
    return Encoder(load_schema(f"canonical/{entity}"), schema_id).encode(record)


def reader(records: dict[str, list[tuple[bytes, bytes | None]]]) -> FactsReader:
    """A reader of these, whose registry knows the schema of a task as 1 and of a client as 2."""
    schemas = {1: load_schema("canonical/task"), 2: load_schema("canonical/client")}

    class Known:
        def schema(self, schema_id: int) -> Any:
            """The schema of an id."""
            if schema_id not in schemas:
                raise SchemaMismatch("unknown")
            return schemas[schema_id]

    return FactsReader(cast(Any, Topics(records)), Decoder(cast(Any, Known())), lambda text: None)


def test_the_row_before_an_unreadable_record_counts() -> None:
    """As in a worker, and the number of those is known; what is the last of another key stays."""
    good = encoded("task", "erp:T", name="first")
    tables = Tables()
    of = reader(
        {
            "canonical.task": [
                (b"T", encoded("task", "erp:T")),
                (b"T", good),
                (b"T", b"junk"),
                (b"T", good[:-1]),
            ]
        }
    )
    of.read(cast(Any, tables))
    assert [row["name"] for row in tables["task"]] == ["first"]
    assert of.unreadable == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (encoded("task", "erp:T", 77), "schema id 77 is unknown"),
        (encoded("client", "erp:T", 2), "its schema has account_id, "),
        (b"junk", "none of its 1 records can be read"),
    ],
)
def test_records_of_another_registry_are_refused(value: bytes, words: str) -> None:
    """A preview of nothing would look like one in which nothing changes."""
    with pytest.raises(DependencyUnavailable, match=words) as caught:
        reader({"canonical.task": [(b"T", value)]}).read(cast(Any, Tables()))
    assert "TALLYSTREAM_REGISTRY_URL" in str(caught.value)
    assert caught.value.exit_code == 3

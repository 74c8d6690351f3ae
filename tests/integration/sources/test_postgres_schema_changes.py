"""Tables that change while they are streamed: labels, types, names, and what halts one table only."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
import structlog.testing
from integration.sources.harness import Capture, wait_until

from connectors.sources.kinds import load_source
from connectors.sources.postgres import PostgresConfig
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.connection import Server
from connectors.sources.postgres.tables.halting import HALTED
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ContractViolation


def value_type(capture: Capture, table: str, column: str = "v") -> Any:
    """The registered type of a column, within its optional."""
    capture._registry.clear_latest_caches()
    schema = json.loads(
        str(capture._registry.get_latest_version(f"{capture.topic(table)}-value").schema.schema_str)
    )
    row = schema["fields"][0]["type"][1]
    (found,) = (field["type"] for field in row["fields"] if field["name"] == column)
    return found[1] if isinstance(found, list) else found


def test_a_label_added_while_streaming(capture: Capture) -> None:
    """Gets a new version of the schema that lists it, in a column, an array and a key; nothing is lost."""
    capture.sql.execute("CREATE TYPE state AS ENUM ('a', 'b')")
    capture.sql.execute("CREATE TABLE e (st state PRIMARY KEY, v state NOT NULL, w state[])")
    with capture.running():
        wait_until(capture.streaming)
        capture.sql.execute("INSERT INTO e VALUES ('a', 'b', '{a}')")
        capture.sql.execute("ALTER TYPE state ADD VALUE 'between' BEFORE 'b'")
        capture.sql.execute("INSERT INTO e VALUES ('b', 'between', '{between,NULL}')")
        capture.sql.execute("ALTER TYPE state ADD VALUE 'later'")
        capture.sql.execute("INSERT INTO e VALUES ('later', 'a', '{later}')")
        wait_until(lambda: len(capture.messages("e")) == 3)
    rows = {m.key["st"]: m.value["after"] for m in capture.messages("e")}
    assert rows["b"] == {"st": "b", "v": "between", "w": ["between", None]}
    assert rows["later"] == {"st": "later", "v": "a", "w": ["later"]}
    assert value_type(capture, "e")["connect.parameters"] == {"allowed": "a,b,between"}
    # In the server's order from the next session's first change of the table on.
    capture.sql.execute("INSERT INTO e VALUES ('between', 'later', '{}')")
    capture.run_once()
    assert value_type(capture, "e")["connect.parameters"] == {"allowed": "a,between,b,later"}


def test_an_incompatible_change_halts_its_table_only(capture: Capture) -> None:
    """The rest flows; the log names the choices; undone, the table is read anew at the next start."""
    for table in ("line", "other"):
        capture.sql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    full_name = f"{capture.name}.line"
    with structlog.testing.capture_logs() as logs, capture.running():
        wait_until(capture.streaming)
        capture.sql.execute("INSERT INTO line VALUES (1, 1)")
        capture.sql.execute("ALTER TABLE line ALTER v TYPE text USING 'x' || v")
        with capture.sql.transaction():
            capture.sql.execute("INSERT INTO line VALUES (2, 'text')")
            capture.sql.execute("INSERT INTO other VALUES (1, 1)")
        capture.sql.execute("INSERT INTO line VALUES (3, 'text')")
        capture.sql.execute("INSERT INTO other VALUES (2, 2)")
        wait_until(lambda: len(capture.messages("other")) == 2)
    assert HALTED.labels(capture.name, full_name)._value.get() == 1
    (entry,) = [one for one in logs if one["event"] == "table_halted"]
    assert (entry["table"], entry["log_level"]) == (full_name, "error")
    assert f"{full_name}: column v changed" in entry["reason"]
    assert "columns_exclude" in entry["choices"]
    assert [m.key["id"] for m in capture.messages("line")] == [1]
    with pytest.raises(ContractViolation, match="column v changed"):  # not undone: said again
        capture.run_once()
    capture.sql.execute("ALTER TABLE line ALTER v TYPE int USING 7")
    capture.run_once()
    assert (
        capture.folded("line", "id", "v")
        == capture.rows("line", "id", "v")
        == {1: (1, 7), 2: (2, 7), 3: (3, 7)}
    )
    assert capture.folded("other", "id", "v") == capture.rows("other", "id", "v")


def test_a_snapshot_of_a_table_that_changed_meanwhile_is_refused(capture: Capture) -> None:
    """Nobody reads rows of a shape that can't be published; the publication stays as it is."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.run_once()
    around, full_name = capture.surroundings, f"{capture.name}.line"
    server = Server(capture.dsn, "test")
    with Subjects(around.registry_url) as subjects, server.connect() as connection:
        topics = Topics(around.kafka, 2, 1)
        config = load_source(capture.config_file())
        assert isinstance(config, PostgresConfig)
        tables = Tables(server, config, {full_name}, subjects, topics)
        (one,) = catalog.included_tables(connection, [full_name])
        table = tables.table(catalog.current_relation(connection, one.oid, None))
        assert table is not None
        assert tables.table(table.relation) is table  # the log's shape is the same
        connection.execute(f"ALTER TABLE {full_name} ALTER v TYPE text")
        with pytest.raises(ContractViolation, match="column v changed"):
            tables.table(catalog.current_relation(connection, one.oid, None))
        assert tables.table(table.relation) is table
        assert catalog.published_columns(connection, capture.slot(), one) == ["id", "v"]


def test_a_shared_publication_is_left_alone(capture: Capture) -> None:
    """One that the configuration names may be others' too: the source stops before the change instead."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.sql.execute(f"CREATE PUBLICATION {capture.slot()} FOR TABLE line")

    def run() -> None:
        with capture.running(publication=capture.slot()):
            wait_until(capture.streaming)
            capture.sql.execute("ALTER TABLE line ALTER v TYPE text")
            capture.sql.execute("INSERT INTO line VALUES (2, 'text')")
            wait_until(lambda: not capture.slot_active())

    with pytest.raises(ContractViolation, match="column v changed"):
        run()
    capture.sql.execute("ALTER TABLE line ALTER v TYPE int USING 7")
    found = capture.sql.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s", [capture.slot()]
    )
    assert found.fetchall() == [("line",)]


@pytest.mark.parametrize("back", [False, True])
def test_a_renamed_table_loses_nothing(capture: Capture, back: bool) -> None:
    """Changes under the new name are not those of the old topic: read anew at the next start, under
    whichever name it then has."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.sql.execute("CREATE TABLE other (id int PRIMARY KEY, v int)")
    with capture.running():
        wait_until(capture.streaming)
        capture.sql.execute("INSERT INTO line VALUES (1, 1)")
        capture.sql.execute("ALTER TABLE line RENAME TO row")
        capture.sql.execute('INSERT INTO "row" VALUES (2, 2)')
        if back:
            capture.sql.execute('ALTER TABLE "row" RENAME TO line')
            capture.sql.execute("INSERT INTO line VALUES (3, 3)")
        capture.sql.execute("INSERT INTO other VALUES (1, 1)")
        wait_until(lambda: len(capture.messages("other")) == 1)
    capture.run_once()
    name = "line" if back else "row"
    assert len(capture.folded(name, "id", "v")) == (3 if back else 2)
    assert capture.folded(name, "id", "v") == capture.rows(f'"{name}"', "id", "v")


def test_shapes_change_while_streaming(capture: Capture) -> None:
    """Dropped and added again with another type that readers can follow, retyped, generated, partitioned."""
    sql = capture.sql

    def latest() -> dict[int, int | None]:
        return {m.key["id"]: m.value["after"].get("v") for m in capture.messages("part")}

    sql.execute(
        "CREATE TABLE part (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED) "
        "PARTITION BY RANGE (id)"
    )
    sql.execute("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)")
    with capture.running():
        wait_until(capture.streaming)
        sql.execute("INSERT INTO part VALUES (1, 1)")
        sql.execute("ALTER TABLE part DROP v CASCADE")
        sql.execute("INSERT INTO part VALUES (2)")
        sql.execute("ALTER TABLE part ADD v int NOT NULL DEFAULT 5")
        sql.execute("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200)")
        sql.execute("INSERT INTO part VALUES (103)")
        sql.execute("ALTER TABLE part ALTER v TYPE bigint")
        sql.execute("INSERT INTO part VALUES (4, 9223372036854775807)")
        # Rows from before the new column get its default when they are read again.
        wait_until(lambda: latest() == {1: 5, 2: 5, 103: 5, 4: 9223372036854775807})
    inserted = {m.key["id"]: m.value["after"] for m in capture.messages("part") if m.value["op"] == "c"}
    assert inserted == {
        1: {"id": 1, "v": 1},
        2: {"id": 2},
        103: {"id": 103, "v": 5},
        4: {"id": 4, "v": 9223372036854775807},
    }


def test_a_column_made_nullable_stays_so(capture: Capture) -> None:
    """NaN made a NOT NULL column nullable; the versions after it keep that."""
    capture.sql.execute("CREATE TABLE cap (id int PRIMARY KEY, cost numeric(12,2) NOT NULL)")
    capture.sql.execute("ALTER TABLE cap REPLICA IDENTITY FULL")
    capture.run_once()
    with capture.running():
        wait_until(capture.streaming)
        capture.sql.execute("INSERT INTO cap VALUES (1, 1), (2, 'NaN')")
        capture.sql.execute("ALTER TABLE cap ADD note text")
        capture.sql.execute("INSERT INTO cap VALUES (3, 3, 'x')")
        wait_until(lambda: len(capture.messages("cap")) == 3)
    assert {m.key["id"]: m.value["after"].get("note") for m in capture.messages("cap")} == {
        1: None,
        2: None,
        3: "x",
    }


def test_generated_columns_that_are_published(capture: Capture) -> None:
    """PostgreSQL 18 publishes them where the publication says so: in the snapshot as in the stream."""
    capture.sql.execute("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    capture.sql.execute(
        f"CREATE PUBLICATION {capture.slot()} FOR TABLE g WITH (publish_generated_columns = stored)"
    )
    capture.sql.execute("INSERT INTO g VALUES (1)")
    capture.run_once()
    capture.sql.execute("INSERT INTO g VALUES (2)")
    capture.run_once()
    assert capture.folded("g", "id", "twice") == {1: (1, 2), 2: (2, 4)}

"""The polling source on a real PostgreSQL: initial reading, polls, comparisons, types and refusals."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import psycopg
import pytest
from integration.sources.running import assert_no_position_twice, wait_until
from integration.sources_polling.polled import Polled

from streams.errors import ConfigurationError, DependencyUnavailable, TallystreamError


def test_initial_then_only_what_changed(polled: Polled) -> None:
    """Rows are read once; later runs send an insert, an update and a delete, and nothing else."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'x' FROM generate_series(1, 2500) i")
    polled.run_once()
    first = polled.messages("line")
    assert {m.value["op"] for m in first} == {"r"}
    assert len(first) == 2500
    polled.run_once()
    assert len(polled.messages("line")) == 2500
    polled.sql.execute("INSERT INTO line VALUES (5000, 1.25, 'new')")
    polled.sql.execute("UPDATE line SET cost = 99.99, updated_at = clock_timestamp() WHERE id = 1000")
    polled.sql.execute("DELETE FROM line WHERE id = 7")
    polled.run_once()
    later = polled.messages("line")[2500:]
    assert sorted((m.value and m.value["op"], m.key["id"]) for m in later if m.value) == [
        ("c", 5000),
        ("d", 7),
        ("u", 1000),
    ]
    assert [m.key["id"] for m in later if m.value is None] == [7]
    assert polled.same()
    update = next(m.value for m in later if m.value and m.value["op"] == "u")
    assert update["before"] is None
    assert update["after"]["cost"] == Decimal("99.99")
    source = update["source"]
    assert (source["connector"], source["schema"], source["table"]) == ("polling", polled.name, "line")
    assert "intermediate states" in source["not_captured"]
    delete = next(m for m in later if m.value and m.value["op"] == "d")
    assert delete.value["before"] == {"id": 7, "cost": None, "note": None, "updated_at": None}
    assert delete.headers["tallystream.absent"] == b'["cost","note","updated_at"]'
    assert_no_position_twice(polled.messages("line"))


def test_a_row_committed_late_within_the_overlap(polled: Polled) -> None:
    """Its updated_at lies before the cursor when it becomes visible; a poll finds it, not a comparison."""
    polled.settings["compare_every_s"] = 1000
    polled.run_once()
    with (
        polled.running(),
        psycopg.connect(polled.dsn, options=f"-c search_path={polled.name}") as late,
    ):
        polled.sql.execute("INSERT INTO line VALUES (1, 1, 'early')")
        late.execute("INSERT INTO line VALUES (2, 2, 'late')")
        time.sleep(0.5)
        polled.sql.execute("INSERT INTO line VALUES (3, 3, 'after')")
        wait_until(lambda: len(polled.messages("line")) == 2)
        late.commit()
        wait_until(polled.same)
    assert [m.value["source"]["found_by"] for m in polled.messages("line")] == ["poll"] * 3


def test_a_row_committed_too_late_is_found_by_a_comparison(polled: Polled) -> None:
    """Without an overlap a poll misses the row: the comparison of keys does not."""
    polled.settings["overlap_s"] = 0
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x')")
    polled.run_once()
    polled.sql.execute("INSERT INTO line VALUES (2, 2, 'late', now() - interval '1 hour')")
    polled.run_once()
    assert [(m.key["id"], m.value["source"]["found_by"]) for m in polled.messages("line")] == [
        (1, "initial"),
        (2, "comparison"),
    ]


def test_a_row_dated_ahead_hides_no_later_ones(polled: Polled) -> None:
    """The cursor does not pass the database's clock."""
    polled.settings["compare_every_s"] = 1000
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'ahead', now() + interval '1 year')")
    with polled.running():
        wait_until(polled.same)
        polled.sql.execute("INSERT INTO line VALUES (2, 2, 'now')")
        wait_until(polled.same)
        polled.sql.execute("UPDATE line SET note = 'again' WHERE id = 1")
        wait_until(polled.same)


def test_comparisons_of_rows_find_what_kept_its_updated_at(polled: Polled) -> None:
    """An update by hand that forgets the column: comparisons of keys miss it, those of rows don't."""
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x', now() - interval '1 hour'), (2, 2, 'y', now())")
    polled.run_once()
    polled.sql.execute("UPDATE line SET note = 'silent' WHERE id = 1")
    polled.run_once()
    assert not polled.same()
    polled.settings["compare"] = "rows"
    polled.run_once()
    assert polled.same()


def test_types(polled: Polled) -> None:
    """Values as the log-reading source has them; what has no form is in a header, not altered."""
    polled.sql.execute("DROP TABLE line")
    polled.sql.execute(
        "CREATE TABLE typed (id uuid PRIMARY KEY, n numeric, m numeric(10,2), d date, t timestamp, z timestamptz, "
        "j jsonb, a int[], b bytea, f real, g double precision, h time, big bigint, version bigint)"
    )
    polled.sql.execute(
        "INSERT INTO typed VALUES ('00000000-0000-0000-0000-00000000000a', 1.23456789012345678901, 5, "
        "'2024-02-29', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00+02', '{\"a\": 1.10}', '{1,2}', "
        "'\\x00ff', 0.1, 0.1, '23:59:59.5', 9223372036854775807, 1), "
        "('00000000-0000-0000-0000-00000000000b', 'NaN', 'NaN', 'infinity', '-infinity', '0044-03-15 BC', "
        "NULL, NULL, NULL, 'NaN', 'Infinity', '24:00', -1, 2)"
    )
    del polled.settings["updated_at"]
    polled.settings["version"] = "version"
    polled.run_once()
    polled.run_once()
    first, second = polled.messages("typed")
    row = first.value["after"]
    assert row["n"] == {"scale": 20, "value": (123456789012345678901).to_bytes(9, "big")}
    assert row["m"] == Decimal("5.00")
    assert (row["d"], row["t"]) == (19782, 1709208000000001)
    assert row["z"] == "2024-02-29T10:00:00.000000Z"
    assert (row["j"], row["a"], row["b"]) == ('{"a": 1.10}', "{1,2}", b"\x00\xff")
    assert (row["g"], row["h"], row["big"]) == (0.1, 86399500000, 2**63 - 1)
    assert row["f"] == pytest.approx(0.1, rel=1e-7)
    special = json.loads(second.headers["tallystream.special"])
    assert special["after.n"] == special["after.m"] == "NaN"
    assert (special["after.d"], special["after.t"]) == ("infinity", "-infinity")
    assert special["after.z"] == "0044-03-15 00:00:00+00 BC"
    assert special["after.h"] == "24:00:00"


def refused(polled: Polled, kind: type[TallystreamError], exit_code: int, *words: str) -> None:
    with pytest.raises(kind) as raised:
        polled.run_once()
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert raised.value.exit_code == exit_code


def test_what_is_refused(polled: Polled) -> None:
    """Each mistake in one line that names it, without the password."""
    good, name = dict(polled.settings), polled.name
    polled.settings = {**good, "updated_at": "changed"}
    refused(polled, ConfigurationError, 2, f"{name}.line has no column changed")
    polled.settings = {**good, "tables": [f"{name}.none"]}
    refused(polled, ConfigurationError, 2, f"{name}.none: no such table")
    polled.settings = {**good, "tables": ["nowhere.*"]}
    refused(polled, ConfigurationError, 2, "no schema nowhere")
    polled.settings = {key: value for key, value in good.items() if key != "updated_at"}
    refused(polled, ConfigurationError, 2, "name its updated_at or its version column")
    polled.settings = {**good, "updated_at": "note"}
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'no time')")
    refused(polled, ConfigurationError, 2, "updated_at takes timestamps")
    polled.settings = {**good, "dsn": "postgresql://u:secret@127.0.0.1:1/erp"}
    refused(polled, DependencyUnavailable, 3, "127.0.0.1:1")
    polled.settings = {**good, "dsn": "paper://u:secret@h/erp"}
    refused(polled, ConfigurationError, 2, "no dialect 'paper'")
    polled.settings = {**good, "dsn": "mssql+pyodbc://u:secret@h/erp"}
    refused(polled, ConfigurationError, 2, "pyodbc is missing")
    polled.settings = good
    polled.sql.execute("CREATE TABLE keyless (v int, updated_at timestamptz)")
    refused(polled, ConfigurationError, 2, f"{name}.keyless has no primary key")
    polled.tables = {f"{name}.keyless": {"key": ["v"]}, "other.table": {}}
    refused(polled, ConfigurationError, 2, "'other.table' is not among tables")


def test_a_column_added_is_read_whole(polled: Polled) -> None:
    """Values of a new column are in no poll: the rows are compared once."""
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x', now() - interval '1 hour')")
    polled.run_once()
    polled.sql.execute("ALTER TABLE line ADD COLUMN more int DEFAULT 7")
    polled.run_once()
    polled.run_once()
    assert [m.value["op"] for m in polled.messages("line")] == ["r", "u"]
    assert polled.messages("line")[1].value["after"]["more"] == 7

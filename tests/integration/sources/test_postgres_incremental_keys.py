"""Incremental snapshots of tables by every kind of key: chunks end anywhere, no row twice, none left out."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    Message,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    wait_until,
)
from prometheus_client import REGISTRY

from connectors.sources.postgres.snapshot.signals import request_snapshot

TEXTS = r"""
    ARRAY['', ' ', '  ', 'a', 'A', 'ä', 'Ä', 'b', 'B', 'z', 'Z', 'é', 'e', 'E', 'ß', 'ss', 'O''Brien', '"x"', 'a b',
          'a-b', 'ab', '\N', '\', E'tab\there', E'two\nlines', E'cr\rlf', '%s', '{}', 'NULL', '日本', '😀', '10', '9']
"""
# name: (columns, its key, rows)
KINDS: dict[str, tuple[str, str, str]] = {
    "text": ("a text", "a", f"SELECT unnest({TEXTS})"),
    "citext": ("a public.citext", "a", "SELECT unnest(ARRAY['b', 'A', 'ä', 'Z', 'ab', 'Aa', ' ', 'B c'])"),
    "bytewise": ('a text COLLATE "C"', "a", f"SELECT unnest({TEXTS})"),
    "char": ("a char(6)", "a", "SELECT unnest(ARRAY['a', 'ab', 'B', ' b', 'ä', 'zzzzzz', '\\', ''])"),
    "uuid": ("a uuid", "a", "SELECT gen_random_uuid() FROM generate_series(1, 25)"),
    "timestamptz": (
        "a timestamptz",
        "a",
        "SELECT unnest(ARRAY['-infinity', 'infinity', '0044-03-15 12:00 BC', '1883-11-18 12:00:01.000001',"
        "'2024-10-27 00:30Z', '2024-10-27 01:30Z', '2024-10-27 01:30:00.000001Z', '294276-12-31'])::timestamptz",
    ),
    "timestamp": (
        "a timestamp(3)",
        "a",
        "SELECT timestamp '2024-01-01' + i * interval '1.001 s' FROM generate_series(1, 20) i",
    ),
    "numeric": (
        "a numeric",
        "a",
        "SELECT unnest(ARRAY['NaN', '-Infinity', 'Infinity', '-0.5', '0', '1e-30', '1e30', '2'])::numeric",
    ),
    "double": (
        "a float8",
        "a",
        "SELECT unnest(ARRAY['NaN', '-Infinity', 'Infinity', '0.1', '0.30000000000000004', '0.3', '5e-324', '1e308'])"
        "::float8",
    ),
    "bytea": (
        "a bytea",
        "a",
        "SELECT unnest(ARRAY['', '\\x00', '\\xff', '\\x5c', '\\x0a', '\\x00ff'])::bytea",
    ),
    "enum": ("a mood", "a", "SELECT unnest(enum_range(NULL::mood))"),
    "compound": (
        'a public.citext, b timestamptz, "C d" uuid',
        'a, b, "C d"',
        "SELECT t, now() - i * interval '1 s', gen_random_uuid() FROM unnest(ARRAY['ä', 'a', 'Z']) t, "
        "generate_series(1, 3) i, generate_series(1, 3)",
    ),
    "turned": (
        "a int, b text",
        "b, a",
        "SELECT i, t FROM generate_series(1, 4) i, unnest(ARRAY['x', '', 'Y']) t",
    ),
}


@pytest.fixture
def typed(capture: Capture) -> Capture:
    capture.sql.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'a', 'happy')")
    capture.sql.execute("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public")
    return capture


def read_again(capture: Capture, *tables: str) -> None:
    """Ask for the tables, and publish until they are read."""
    names = [f"{capture.name}.{table}" for table in tables]
    request_snapshot(capture.source()._config, names)
    capture.run_once()
    assert not capture.progress().incremental


def rows_of(messages: list[Message], *, incremental: bool) -> Counter[str]:
    """Rows that were read, as their records have them."""
    return Counter(
        f"{m.key} {m.value['after']} {m.headers.get('tallystream.special')!r}"
        for m in messages
        if m.value
        and m.value["op"] == "r"
        and (m.value["source"]["snapshot"] == "incremental") is incremental
    )


@pytest.mark.parametrize("size", [1, 3])
def test_every_kind_of_key(typed: Capture, size: int) -> None:
    """In chunks of one row and of three: what the first snapshot read is read again, row by row."""
    typed.settings["incremental_chunk_rows"] = size
    # NaN and infinities as keys are published as text, or refused.
    typed.settings["as_text"] = [f"{typed.name}.{one}.a" for one in ("numeric", "timestamptz")]
    for name, (columns, key, rows) in KINDS.items():
        typed.sql.execute(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))")
        typed.sql.execute(f"INSERT INTO {name} {rows}")
    typed.run_once()
    read_again(typed, *KINDS)
    for name in KINDS:
        messages = typed.messages(name)
        (count,) = typed.sql.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
        first, again = (rows_of(messages, incremental=one) for one in (False, True))
        assert again == first, name
        assert len(again) == again.total() == count > 3, name


def test_a_key_in_the_order_of_a_language(capture: Capture) -> None:
    """Where the server has a collation that is not bytewise: its order is the chunks' order."""
    found = capture.sql.execute(
        "SELECT quote_ident(collname) FROM pg_collation WHERE collprovider IN ('c', 'i') AND "
        "collname ~ '^(en|de)[_-].*(utf-?8|icu)$' AND collencoding IN (-1, 6) LIMIT 1"
    ).fetchone()
    if found is None:
        pytest.skip("the server has bytewise collations only: no locale of the system, and no ICU")
    capture.settings["incremental_chunk_rows"] = 2
    capture.sql.execute(f"CREATE TABLE word (a text COLLATE {found[0]} PRIMARY KEY)")
    capture.sql.execute(f"INSERT INTO word SELECT unnest({TEXTS})")
    assert capture.sql.execute(f"SELECT 'a' < 'B' COLLATE {found[0]}").fetchone() == (True,)
    capture.run_once()
    read_again(capture, "word")
    first, again = (rows_of(capture.messages("word"), incremental=one) for one in (False, True))
    assert first == again


def test_a_partitioned_table_under_a_writer(capture: Capture) -> None:
    """Partitions and their partitions are one table: rows that move between them while it is read are
    neither lost nor doubled."""
    capture.settings |= {"incremental_chunk_rows": 100, "tables": [f"{capture.name}.line"]}
    capture.sql.execute(
        "CREATE TABLE line (id int, day int, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"
    )
    capture.sql.execute("CREATE TABLE line_1 PARTITION OF line FOR VALUES FROM (0) TO (10)")
    capture.sql.execute(
        "CREATE TABLE line_2 PARTITION OF line FOR VALUES FROM (10) TO (20) PARTITION BY HASH (id)"
    )
    for part in range(2):
        capture.sql.execute(
            f"CREATE TABLE line_2_{part} PARTITION OF line_2 FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
        )
    capture.sql.execute("INSERT INTO line SELECT i, i % 20, 'row ' || i FROM generate_series(1, 3000) i")
    capture.run_once()
    stop = threading.Event()

    def write() -> None:
        chance = random.Random(3)
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            while not stop.wait(0.002):
                some = chance.randrange(1, 1000) * 3  # the others stay as they are
                sql.execute("UPDATE line SET day = (day + 7) %% 20 WHERE id = %s", [some])
                sql.execute("DELETE FROM line WHERE id = %s", [chance.randrange(1, 1000) * 3])
                sql.execute(
                    "INSERT INTO line SELECT %s, 5, 'new' WHERE NOT EXISTS (SELECT FROM line WHERE id = %s)",
                    [some, some],
                )

    writer = threading.Thread(target=write)
    with capture.running():
        writer.start()
        try:
            request_snapshot(capture.source()._config, [f"{capture.name}.line"])
            wait_until(lambda: bool(capture.progress().incremental))
            wait_until(lambda: not capture.progress().incremental)
        finally:
            stop.set()
            writer.join()
    capture.run_once()
    messages = capture.messages("line")
    again = Counter(
        m.key["id"] for m in messages if m.value and m.value["source"]["snapshot"] == "incremental"
    )
    assert {one: count for one, count in again.items() if one % 3} == {i: 1 for i in range(1, 3001) if i % 3}
    found = {(row["id"], row["day"]): row["note"] for row in folded(messages)}
    table = capture.sql.execute("SELECT id, day, note FROM line").fetchall()
    assert found == {(one, day): note for one, day, note in table}
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


def folded(messages: list[Message]) -> list[dict[str, Any]]:
    """The rows that the records make, by their whole key."""
    state: dict[str, dict[str, Any]] = {}
    for message in messages:
        if message.value is None:
            continue
        if message.value["after"] is None:
            state.pop(str(message.key), None)
        else:
            state[str(message.key)] = message.value["after"]
    return list(state.values())


def test_its_rows_are_counted(capture: Capture) -> None:
    """The metric of a snapshot's rows grows by those that it published."""
    capture.settings |= {"tables": [f"{capture.name}.line"], "incremental_chunk_rows": 30}
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY)")
    capture.sql.execute("INSERT INTO line SELECT generate_series(1, 100)")
    labels = {"source": capture.name, "table": f"{capture.name}.line"}

    def counted() -> float | None:
        return REGISTRY.get_sample_value("tallystream_source_snapshot_rows_total", labels)

    capture.run_once()
    assert counted() == 100
    read_again(capture, "line")
    assert counted() == 200
    assert fold(capture.messages("line"), "id") == capture.rows("line", "id")

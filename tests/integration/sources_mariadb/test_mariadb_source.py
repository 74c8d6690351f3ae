"""The MariaDB source on real servers: snapshot, stream, restart, and every kind of change."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from integration.sources.harness import assert_no_position_twice, assert_positions_grow, wait_until
from integration.sources_mariadb.harness import Capture, connect

from connectors.sources.mariadb import publishing
from connectors.sources.publisher import Publisher
from streams.errors import ContractViolation, DependencyUnavailable

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


def test_snapshot_and_stream_meet_without_a_gap(capture: Capture) -> None:
    """Rows written before, during and after the snapshot by several writers are all there, once."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'before' FROM seq_1_to_2000")
    stop = threading.Event()

    def write(first: int) -> None:
        sql = connect(capture.server, database=capture.name)
        number = first
        with sql.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                cursor.execute(
                    "UPDATE line SET cost = cost + 1 WHERE id IN (%s, %s)", [number, number % 2000 + 1]
                )
                if number % 5 == 0:
                    cursor.execute("DELETE FROM line WHERE id = %s", [number - 1])
                number += 1
                time.sleep(0.002)
        sql.close()

    writers = [threading.Thread(target=write, args=(base,)) for base in (1_000_000, 2_000_000, 3_000_000)]
    for writer in writers:
        writer.start()
    try:
        with capture.running():
            wait_until(lambda: len(capture.messages("line")) > 4000)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    capture.run_once()
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    snapshot = [m.value["source"]["snapshot"] for m in messages if m.value and m.value["op"] == "r"]
    assert snapshot.count("last") == 1
    assert set(snapshot) == {"true", "last"}
    assert {m.value["source"]["snapshot"] for m in messages if m.value and m.value["op"] != "r"} == {"false"}
    assert len(capture.schema_ids("line")) == 1


def test_a_restart_loses_and_doubles_nothing(capture: Capture) -> None:
    """Rows of one event (multi-row inserts) before, between and after clean restarts."""
    capture.execute(LINE)
    for round_ in range(4):
        capture.execute("INSERT INTO line SELECT %s * 100 + seq, seq, 'x' FROM seq_1_to_50", round_)
        capture.run_once()
    messages = capture.messages("line")
    assert len(messages) == 200
    assert_no_position_twice(messages)
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)


def test_only_the_last_state_of_a_transaction_is_marked(capture: Capture) -> None:
    """A line inserted with cost 0 and updated in the same transaction; the source block says where."""
    capture.execute(LINE)
    capture.run_once()
    capture.sql.begin()
    capture.execute("INSERT INTO line VALUES (1, 0, 'new')")
    capture.execute("INSERT INTO line VALUES (2, 9, 'other')")
    capture.execute("UPDATE line SET cost = 5 WHERE id = 1")
    capture.sql.commit()
    capture.run_once()
    changes = capture.changes("line")
    assert [(m.value["op"], m.key["id"], m.last) for m in changes] == [
        ("c", 1, False),
        ("c", 2, True),
        ("u", 1, True),
    ]
    assert [m.position[2] for m in changes] == [0, 1, 2]
    assert changes[2].value["before"]["cost"] == Decimal("0.00")
    assert changes[2].value["after"]["cost"] == Decimal("5.00")
    source = changes[0].value["source"]
    assert source["connector"] == "mariadb"
    assert source["db"] == capture.name
    assert source["table"] == "line"
    assert source["server_id"] == 1
    assert source["gtid"] == capture.execute("SELECT @@gtid_binlog_pos")[0][0]
    assert source["file"] == capture.progress().file
    assert abs(source["ts_ms"] / 1e3 - time.time()) < 60
    assert changes[0].value["ts_us"] >= source["ts_us"]


def test_a_rollback_is_not_published(capture: Capture) -> None:
    """Neither a whole transaction nor what was undone to a savepoint."""
    capture.execute(LINE)
    capture.run_once()
    capture.sql.begin()
    capture.execute("INSERT INTO line VALUES (1, 0, 'never')")
    capture.sql.rollback()
    capture.sql.begin()
    capture.execute("INSERT INTO line VALUES (2, 0, 'kept')")
    capture.execute("SAVEPOINT s")
    capture.execute("INSERT INTO line VALUES (3, 0, 'undone')")
    capture.execute("ROLLBACK TO SAVEPOINT s")
    capture.sql.commit()
    capture.run_once()
    assert [m.key["id"] for m in capture.messages("line")] == [2]


def test_a_change_of_key_is_delete_tombstone_create(capture: Capture) -> None:
    """Under the old key the delete and its tombstone, under the new key the create, linked by headers."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once()
    capture.execute("UPDATE line SET id = 2 WHERE id = 1")
    capture.run_once()
    changes = [m for m in capture.messages("line") if m.value is None or m.value["op"] != "r"]
    under_old = [m for m in changes if m.key == {"id": 1}]
    under_new = [m for m in changes if m.key == {"id": 2}]
    assert [m.value and m.value["op"] for m in under_old] == ["d", None]
    assert [m.value["op"] for m in under_new] == ["c"]
    assert "__debezium.newkey" in under_old[0].headers
    assert "__debezium.oldkey" in under_new[0].headers


def test_tables_without_a_key(capture: Capture) -> None:
    """Null keys, nothing lost."""
    capture.execute("CREATE TABLE log (line text)")
    capture.execute("INSERT INTO log VALUES ('a'), ('a')")
    capture.run_once()
    capture.execute("INSERT INTO log VALUES ('a')")
    capture.run_once()
    log = capture.messages("log")
    assert [m.key for m in log] == [None, None, None]
    assert sorted(m.value["op"] for m in log) == ["c", "r", "r"]


def test_truncate_empties_every_partition(capture: Capture) -> None:
    """An op=t record in each partition, so that each consumer's fold is empty; later rows follow."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'x' FROM seq_1_to_20")
    capture.run_once()
    capture.execute("TRUNCATE line")
    capture.execute("INSERT INTO line VALUES (7, 7, 'after')")
    capture.run_once()
    assert sorted(m.partition for m in capture.messages("line") if m.value["op"] == "t") == [0, 1]
    assert capture.folded("line", *COLUMNS) == {7: (7, Decimal("7.00"), "after")}


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE line", LINE, "INSERT INTO line VALUES (5, 5, 'again')"],
        ["CREATE OR REPLACE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)"],
        [LINE.replace("CREATE", "CREATE OR REPLACE") + " SELECT 7 id, 1.5 cost, 's' note"],
        [
            "CREATE TABLE other LIKE line",
            "INSERT INTO other VALUES (9, 9, 'other')",
            "RENAME TABLE line TO gone, other TO line",
        ],
        [
            "ALTER TABLE line PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS "
            "THAN MAXVALUE)",
            "ALTER TABLE line DROP PARTITION a",
        ],
    ],
    ids=["dropped", "replaced", "selected", "renamed", "partition"],
)
def test_a_table_whose_rows_ddl_changed_is_read_again(capture: Capture, statements: list[str]) -> None:
    """Rows that vanish or appear without being logged: the topic is emptied, then holds what is there."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'x' FROM seq_1_to_20")
    capture.run_once()
    for statement in statements:
        capture.execute(statement)
    capture.run_once()
    capture.execute("INSERT INTO line VALUES (100, 1, 'streamed')")
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(capture.messages("line"))


def test_columns_added_dropped_and_renamed_while_streaming(capture: Capture) -> None:
    """Each shape gets its schema version; what was added NOT NULL is nullable, for old readers' sake.

    Rows that were there are read again where they got a value, or a column of another name."""
    capture.execute(LINE)
    capture.run_once()

    def after() -> dict[int, dict[str, Any]]:
        rows = {m.key["id"]: m.value["after"] for m in capture.messages("line")}
        return dict(sorted(rows.items()))

    with capture.running():
        capture.execute("INSERT INTO line VALUES (1, 1, 'a')")
        capture.execute("ALTER TABLE line ADD tax decimal(4,1) NOT NULL DEFAULT 7.7 AFTER id")
        capture.execute("INSERT INTO line (id, cost, note) VALUES (2, 2, 'b')")
        wait_until(lambda: [row.get("tax") for row in after().values()] == [Decimal("7.7")] * 2)
        capture.execute("ALTER TABLE line RENAME COLUMN note TO remark")
        capture.execute("INSERT INTO line (id, cost, remark) VALUES (3, 3, 'c')")
        wait_until(lambda: [row.get("remark") for row in after().values()] == ["a", "b", "c"])
        capture.execute("ALTER TABLE line DROP remark")
        capture.execute("INSERT INTO line (id, cost) VALUES (4, 4)")
        wait_until(lambda: 4 in after())
    assert after()[3] == {"id": 3, "cost": Decimal("3.00"), "remark": "c", "tax": Decimal("7.7")}
    assert after()[4] == {"id": 4, "cost": Decimal("4.00"), "tax": Decimal("7.7")}
    assert len(capture.schema_ids("line")) == 4
    assert_no_position_twice(capture.messages("line"))


ALTERED = ("id", "cost", "tax", "note")
REPLACED = (
    LINE.replace("CREATE", "CREATE OR REPLACE").replace("note text", "note text, tax int DEFAULT 8")
    + " SELECT 7 id, 1 cost"
)


def alter_while_it_changes(capture: Capture, key: str) -> None:
    """Rows are changed and deleted between an ALTER and the reading that it asks for, and later."""
    capture.execute(f"CREATE TABLE line (id int {key}, cost decimal(12,2) NOT NULL)")
    capture.execute("INSERT INTO line SELECT seq, seq FROM seq_1_to_50")
    capture.run_once()
    capture.execute("ALTER TABLE line ADD tax int NOT NULL DEFAULT 7, ADD note varchar(9)")
    capture.execute("DELETE FROM line WHERE id <= 10")
    capture.execute("UPDATE line SET tax = 8, cost = cost + 1 WHERE id <= 20")
    capture.execute("INSERT INTO line VALUES (99, 9, 9, 'new')")
    capture.run_once()
    capture.execute("UPDATE line SET cost = 0 WHERE id > 40")
    capture.run_once()
    assert_no_position_twice(capture.messages("line"))


def test_an_altered_table_is_read_again(capture: Capture) -> None:
    """Over what is published of it, which is not emptied."""
    alter_while_it_changes(capture, "PRIMARY KEY")
    assert capture.folded("line", *ALTERED) == capture.rows("line", *ALTERED)
    assert "t" not in [m.value["op"] for m in capture.changes("line")]


def test_an_altered_table_without_a_key_is_read_again(capture: Capture) -> None:
    """Its rows can't go over those that are published: it is emptied before."""
    alter_while_it_changes(capture, "NOT NULL")
    emptied = {m.partition: m.offset for m in capture.messages("line") if m.value["op"] == "t"}
    rows: Counter[tuple[Any, ...]] = Counter()
    for message in capture.messages("line"):
        before, after = message.value["before"], message.value["after"]
        if message.offset <= emptied[message.partition]:
            continue
        rows.subtract([tuple(before.get(column) for column in ALTERED)] if before else [])
        rows.update([tuple(after.get(column) for column in ALTERED)] if after else [])
    assert +rows == Counter(capture.rows("line", *ALTERED).values())
    assert min(rows.values()) == 0


def test_a_table_with_another_type_of_key_is_emptied_and_read_again(capture: Capture) -> None:
    """Its rows' records have other keys, which replace nothing of before."""
    capture.execute("CREATE TABLE line (id int PRIMARY KEY, code int NOT NULL)")
    capture.execute("INSERT INTO line SELECT seq, seq + 100 FROM seq_1_to_20")
    capture.run_once()
    capture.execute("ALTER TABLE line MODIFY id bigint")
    capture.execute("UPDATE line SET code = 0 WHERE id = 3")
    capture.execute("DELETE FROM line WHERE id = 4")
    capture.run_once()
    emptied = {m.partition: m.offset for m in capture.messages("line") if m.value and m.value["op"] == "t"}
    rows: dict[tuple[int, str], tuple[int, int]] = {}
    for message in capture.messages("line"):
        if message.value is None or message.offset <= emptied[message.partition]:
            continue
        after, place = message.value["after"], (message.partition, str(message.key))
        if after is None:
            rows.pop(place, None)
        else:
            rows[place] = after["id"], after["code"]
    assert sorted(rows.values()) == sorted(capture.rows("line", "id", "code").values())


@pytest.mark.parametrize(
    ("made", "altered"),
    [
        ("id int NOT NULL, code int NOT NULL", "ADD n int AUTO_INCREMENT PRIMARY KEY FIRST"),
        ("id int PRIMARY KEY, code int NOT NULL", "DROP PRIMARY KEY, ADD PRIMARY KEY (code)"),
    ],
    ids=["a first one", "another"],
)
def test_a_table_with_another_key_halts_by_name(capture: Capture, made: str, altered: str) -> None:
    """Readers of the topic can't follow it."""
    capture.execute(f"CREATE TABLE line ({made})")
    capture.execute("INSERT INTO line SELECT seq, seq + 100 FROM seq_1_to_20")
    capture.run_once()
    capture.execute(f"ALTER TABLE line {altered}")
    for _ in range(2):
        with pytest.raises(ContractViolation, match=rf"{capture.name}\.line: column .* move the table"):
            capture.run_once()


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("statement", ["ALTER TABLE line ADD tax int NOT NULL DEFAULT 7", REPLACED])
def test_what_a_statement_asks_for_is_stored_with_it(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, statement: str, at: int
) -> None:
    """A session that ends at any commit behind it reads the table again all the same."""
    monkeypatch.setattr(publishing, "BATCH_S", 0.0)
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, seq, 'x' FROM seq_1_to_20")
    capture.run_once()
    capture.execute("INSERT INTO line VALUES (100, 1, 'before')")
    capture.execute(statement)
    commit, commits = Publisher.commit, 0

    def failing(self: Publisher, position: bytes) -> None:
        nonlocal commits
        commits += 1
        if commits == at:
            raise DependencyUnavailable("cut here")
        commit(self, position)

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "commit", failing)
        with contextlib.suppress(DependencyUnavailable):
            capture.run_once()
    capture.run_once()
    columns = ("id", "cost", "tax")
    assert capture.folded("line", *columns) == capture.rows("line", *columns)


def test_a_table_that_is_dropped_soon_after_it_was_altered(capture: Capture) -> None:
    """When it is to be read again it is gone; its rows go, too."""
    capture.execute(LINE)
    capture.execute("CREATE TABLE other (id int PRIMARY KEY)")
    capture.execute("INSERT INTO line SELECT seq, seq, 'x' FROM seq_1_to_20")
    capture.run_once()
    capture.execute("ALTER TABLE line ADD tax int NOT NULL DEFAULT 7")
    capture.execute("DROP TABLE line")
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == {}


def test_a_log_written_before_a_change_of_columns_is_read_as_it_was(capture: Capture) -> None:
    """Rows logged while the source was down, before and after a column moved and another was dropped."""
    capture.execute("CREATE TABLE line (id int PRIMARY KEY, a int, b varchar(9))")
    capture.run_once()
    capture.execute("INSERT INTO line VALUES (1, 11, 'one')")
    capture.execute("ALTER TABLE line DROP a, ADD c varchar(9) FIRST")
    capture.execute("INSERT INTO line VALUES ('see', 2, 'two')")
    capture.run_once()
    after = {m.key["id"]: m.value["after"] for m in capture.messages("line")}
    assert after == {1: {"id": 1, "a": 11, "b": "one"}, 2: {"c": "see", "id": 2, "b": "two"}}


def test_a_refused_schema_halts_by_name(capture: Capture) -> None:
    """A column retyped in a way that readers can't follow stops the source, naming table and column."""
    capture.execute(LINE)
    capture.run_once()
    capture.execute("ALTER TABLE line MODIFY note int")
    capture.execute("INSERT INTO line VALUES (1, 1, 5)")
    with pytest.raises(ContractViolation) as raised:
        capture.run_once()
    assert f"{capture.name}.line: column note " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_added_later_gets_its_snapshot(capture: Capture) -> None:
    """A new table is snapshotted at the next start, and streamed from there on."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once()
    capture.execute("CREATE TABLE later (id int PRIMARY KEY)")
    capture.execute("INSERT INTO later VALUES (1), (2)")
    capture.execute("INSERT INTO line VALUES (2, 2, 'b')")
    capture.run_once()
    capture.execute("INSERT INTO later VALUES (3)")
    capture.run_once()
    messages = capture.messages("later")
    assert sorted((m.value["op"], m.key["id"]) for m in messages) == [("c", 3), ("r", 1), ("r", 2)]
    assert_positions_grow(messages)
    assert [m.value["op"] for m in capture.changes("line")] == ["r", "c"]


def test_zero_dates_are_kept_and_stop_nothing(capture: Capture) -> None:
    """In the snapshot and in the stream, nullable or not: null with a header that has the text."""
    capture.execute("SET sql_mode = ''")
    capture.execute("CREATE TABLE day (id int PRIMARY KEY, d date NOT NULL, t datetime(2), s timestamp NULL)")
    zero = "INSERT INTO day VALUES (%s, '0000-00-00', '2024-00-31 01:02:03.5', '0000-00-00')"
    capture.execute(zero, 1)
    capture.run_once()
    capture.execute(zero, 2)
    capture.execute("INSERT INTO day VALUES (3, '2024-02-29', '2024-02-29', '2024-02-29')")
    capture.run_once()
    by_id = {m.key["id"]: m for m in capture.messages("day")}
    for number in (1, 2):
        assert json.loads(by_id[number].headers["tallystream.special"]) == {
            "after.d": "0000-00-00",
            "after.t": "2024-00-31 01:02:03.50",
            "after.s": "0000-00-00 00:00:00",
        }
        assert by_id[number].value["after"] == {"id": number, "d": None, "t": None, "s": None}
    assert "tallystream.special" not in by_id[3].headers


def test_a_change_logged_as_text_halts(capture: Capture) -> None:
    """A session with binlog_format=STATEMENT leaves no rows: said, not skipped."""
    capture.execute(LINE)
    capture.run_once()
    capture.execute("SET SESSION binlog_format = 'STATEMENT'")
    capture.execute("INSERT INTO line VALUES (1, 1, 'text')")
    with pytest.raises(ContractViolation, match="logged as text"):
        capture.run_once()


def test_rows_logged_without_all_columns_halt(capture: Capture) -> None:
    """A session with binlog_row_image=MINIMAL: said, not filled with nulls."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once()
    capture.execute("SET SESSION binlog_row_image = 'MINIMAL'")
    capture.execute("UPDATE line SET cost = 2")
    with pytest.raises(ContractViolation, match="without all of their columns"):
        capture.run_once()


def test_compressed_events_are_read(capture: Capture) -> None:
    """log_bin_compress: rows and statements that the server has compressed."""
    capture.execute(LINE)
    capture.run_once()
    capture.execute("SET GLOBAL log_bin_compress = ON, GLOBAL log_bin_compress_min_len = 10")
    try:
        capture.execute("INSERT INTO line VALUES (1, 1, repeat('x', 5000)), (2, 2, repeat('y', 5000))")
        capture.execute("UPDATE line SET note = repeat('z', 9000) WHERE id = 2")
        capture.execute("DELETE FROM line WHERE id = 1")
    finally:
        capture.execute("SET GLOBAL log_bin_compress = OFF")
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert [m.value["op"] for m in capture.changes("line")] == ["c", "c", "u", "d"]


def test_an_event_larger_than_a_packet(capture: Capture) -> None:
    """A row of 20 MB comes in several packets; the broker's limit is not its business here."""
    capture.execute("CREATE TABLE big (id int PRIMARY KEY, a longtext, b longtext)")
    capture.execute("CREATE TABLE small (id int PRIMARY KEY)")
    only = [f"{capture.name}.small"]
    capture.run_once(tables=only)
    capture.execute("SET GLOBAL max_allowed_packet = 67108864")
    sql = connect(capture.server, database=capture.name)
    with sql.cursor() as cursor:
        cursor.execute("INSERT INTO big VALUES (1, repeat('x', 9000000), repeat('y', 9000000))")
        cursor.execute("INSERT INTO small VALUES (1)")
    sql.close()
    capture.run_once(tables=only)
    assert [m.key["id"] for m in capture.messages("small")] == [1]

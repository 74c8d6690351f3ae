"""The MySQL source on real servers: what holds for MariaDB's holds here, and what is MySQL's own."""

from __future__ import annotations

import time
from decimal import Decimal

from integration.sources_mariadb.test_mariadb_source import (  # noqa: F401  they run here on MySQL
    test_a_change_of_key_is_delete_tombstone_create,
    test_a_log_written_before_a_change_of_columns_is_read_as_it_was,
    test_a_refused_schema_halts_by_name,
    test_a_restart_loses_and_doubles_nothing,
    test_a_rollback_is_not_published,
    test_a_table_added_later_gets_its_snapshot,
    test_an_event_larger_than_a_packet,
    test_columns_added_dropped_and_renamed_while_streaming,
    test_rows_logged_without_all_columns_halt,
    test_snapshot_and_stream_meet_without_a_gap,
    test_tables_without_a_key,
    test_truncate_empties_every_partition,
    test_zero_dates_are_kept_and_stop_nothing,
)
from integration.sources_mysql.harness import Capture

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


def test_a_transaction_and_where_it_is(capture: Capture) -> None:
    """The last state of each key is marked; the source block is Debezium's for MySQL."""
    capture.execute(LINE)
    capture.run_once()
    capture.sql.begin()
    capture.execute("INSERT INTO line VALUES (1, 0, 'new')")
    capture.execute("UPDATE line SET cost = 5 WHERE id = 1")
    capture.sql.commit()
    capture.run_once()
    created, updated = capture.changes("line")
    assert [(m.value["op"], m.last) for m in (created, updated)] == [("c", False), ("u", True)]
    assert updated.value["before"]["cost"] == Decimal("0.00")
    assert updated.value["after"]["cost"] == Decimal("5.00")
    source = created.value["source"]
    uid, executed = capture.execute("SELECT @@server_uuid, @@gtid_executed")[0]
    assert source["gtid"] == f"{uid}:{executed.rpartition('-')[2]}"
    assert (source["connector"], source["db"], source["table"]) == ("mysql", capture.name, "line")
    assert (source["server_id"], source["file"]) == (1, capture.progress().file)
    assert abs(source["ts_ms"] / 1e3 - time.time()) < 60

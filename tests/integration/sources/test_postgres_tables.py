"""Which tables are published, and tables that come, change, are made again, or are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from integration.sources.harness import (
    Capture,
    Message,
    assert_positions_grow,
    wait_until,
)

from streams.errors import ContractViolation

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


def make_line(capture: Capture, identity: str = "FULL") -> None:
    capture.sql.execute(LINE)
    capture.sql.execute(f"ALTER TABLE line REPLICA IDENTITY {identity}")


def test_columns_added_dropped_and_renamed_while_streaming(capture: Capture) -> None:
    """Each shape gets its schema version; what was added NOT NULL is nullable, for old readers' sake."""
    make_line(capture)
    capture.run_once()

    def inserted() -> list[Message]:
        """Without what is read again because of the default."""
        return [m for m in capture.messages("line") if m.value["op"] == "c"]

    with capture.running():
        capture.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
        capture.sql.execute("ALTER TABLE line ADD tax numeric(4,1) NOT NULL DEFAULT 7.7")
        capture.sql.execute("INSERT INTO line VALUES (2, 2, 'b')")
        capture.sql.execute("ALTER TABLE line RENAME note TO remark")
        capture.sql.execute("INSERT INTO line VALUES (3, 3, 'c')")
        capture.sql.execute("ALTER TABLE line DROP remark")
        capture.sql.execute("INSERT INTO line VALUES (4, 4)")
        wait_until(lambda: len(inserted()) == 4)
    after = {m.key["id"]: m.value["after"] for m in inserted()}
    assert after[1] == {"id": 1, "cost": Decimal("1.00"), "note": "a"}
    assert after[2] == {"id": 2, "cost": Decimal("2.00"), "note": "b", "tax": Decimal("7.7")}
    assert after[3] == {"id": 3, "cost": Decimal("3.00"), "remark": "c", "tax": Decimal("7.7")}
    assert after[4] == {"id": 4, "cost": Decimal("4.00"), "tax": Decimal("7.7")}


def test_a_refused_schema_halts_by_name(capture: Capture) -> None:
    """A column retyped in a way that readers can't follow stops the source, naming table and column."""
    make_line(capture)
    capture.run_once()
    capture.sql.execute("ALTER TABLE line ALTER note TYPE int USING 1")
    capture.sql.execute("INSERT INTO line VALUES (1, 1, 5)")
    with pytest.raises(ContractViolation) as raised:
        capture.run_once()
    assert f"{capture.name}.line: column note " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_added_later_gets_its_snapshot(capture: Capture) -> None:
    """A new table of an included schema is snapshotted at the next start, and streamed from there on."""
    make_line(capture)
    capture.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once()
    capture.sql.execute("CREATE TABLE later (id int PRIMARY KEY)")
    capture.sql.execute("INSERT INTO later VALUES (1), (2)")
    capture.sql.execute("INSERT INTO line VALUES (2, 2, 'b')")
    capture.run_once()
    capture.sql.execute("INSERT INTO later VALUES (3)")
    capture.run_once()
    messages = capture.messages("later")
    assert sorted((m.value["op"], m.key["id"]) for m in messages) == [("c", 3), ("r", 1), ("r", 2)]
    assert_positions_grow(messages)
    assert [m.value["op"] for m in sorted(capture.messages("line"), key=lambda m: m.position)] == ["r", "c"]


def test_a_table_made_again_is_snapshotted_again(capture: Capture) -> None:
    """Dropped and made again it left the publication: what it got meanwhile is read at the next start."""
    make_line(capture)
    capture.sql.execute("CREATE TABLE other (id int PRIMARY KEY)")
    capture.run_once()
    capture.sql.execute("DROP TABLE line")
    make_line(capture)
    capture.sql.execute("INSERT INTO line VALUES (5, 5, 'again')")
    capture.run_once()
    capture.sql.execute("INSERT INTO line VALUES (6, 6, 'streamed')")
    capture.run_once()
    assert [
        (m.value["op"], m.key["id"]) for m in sorted(capture.messages("line"), key=lambda m: m.position)
    ] == [
        ("r", 5),
        ("c", 6),
    ]


def test_only_included_tables_are_published(capture: Capture) -> None:
    """A publication may carry more than the include list."""
    make_line(capture)
    capture.sql.execute("CREATE TABLE secret (id int PRIMARY KEY)")
    capture.sql.execute(f"CREATE PUBLICATION {capture.slot()} FOR TABLE line, secret")
    only = [f"{capture.name}.line"]
    capture.run_once(tables=only)
    capture.sql.execute("INSERT INTO secret VALUES (1)")
    capture.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once(tables=only)
    assert len(capture.messages("line")) == 1
    assert capture.messages("secret") == []

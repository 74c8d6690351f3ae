"""Findings, the folded state and the comparison of a repair, without servers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from connectors.sources import check as checking
from connectors.sources.check import (
    FAIL,
    OK,
    UNREACHABLE,
    WARN,
    Finding,
    Report,
    check_source,
    partition_findings,
)
from connectors.sources.config import SourceConfig
from connectors.sources.postgres.checks.checkserver import size
from connectors.sources.postgres.position import Position, Progress
from connectors.sources.postgres.repair.foldedstate import (
    CountedState,
    Database,
    Image,
    KeyedState,
    place,
    temporary_database,
)
from connectors.sources.postgres.repair.spelling import meaning, plain
from connectors.sources.postgres.resume import check_resume
from connectors.sources.postgres.server.connection import Identity, SlotState, timeline_ends
from connectors.sources.progress import Steps
from connectors.sources.running import Surroundings
from streams.errors import DependencyUnavailable, PositionLost


@pytest.fixture
def database() -> Iterator[Database]:
    with temporary_database() as made:
        yield made


def image(text: str) -> Image:
    return Image(text.encode(), b"")


def key(text: str, schema: int = 1) -> bytes:
    return b"\0" + schema.to_bytes(4, "big") + text.encode()


# --- the report ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "code"),
    [((OK, WARN), 0), ((OK, FAIL), 1), ((FAIL, UNREACHABLE), 3), ((), 0)],
)
def test_the_worst_finding_decides_the_exit_code(statuses: tuple[str, ...], code: int) -> None:
    """Warnings pass, failures are 1, something that can't be reached is 3."""
    report = Report("erp", tuple(Finding(one, "x", "y") for one in statuses))
    assert report.exit_code == code
    assert json.loads(report.as_json())["exit_code"] == code


def test_the_table_shows_brackets_as_they_are() -> None:
    """What a server says is never taken for markup; remedies and the counts are there."""
    out = io.StringIO()
    report = Report(
        "erp", (Finding(FAIL, "a.b", "column [red]x[/red]", "type [this]"), Finding(OK, "c", "fine"))
    )
    report.show(Console(file=out, width=80))
    shown = out.getvalue()
    assert "column [red]x[/red]" in shown
    assert "→ type [this]" in shown
    assert shown.splitlines()[-1].strip() == "1 ok, 1 fail"


def test_other_kinds_bring_their_own_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source's ``check`` and ``describe`` are asked where it has them."""

    class Other:
        def check(self) -> list[Finding]:
            return [Finding(WARN, "binlog", "short")]

        def describe(self) -> list[str]:
            return ["deletes are found by comparison", ""]

    monkeypatch.setattr(checking, "make_source", lambda *_: Other())
    monkeypatch.setattr(checking, "broker_findings", lambda _: [])
    monkeypatch.setattr(checking, "registry_findings", lambda _: [])
    config = SourceConfig(name="crm", dsn="x", tables=("a.b",), connector="other")
    report = check_source(config, Surroundings("127.0.0.1:1", "http://127.0.0.1:1"))
    assert [(one.status, one.text) for one in report.findings] == [
        (WARN, "short"),
        (OK, "deletes are found by comparison"),
    ]


def test_only_topics_that_differ_are_found() -> None:
    """Missing topics are made as asked; without a wish any count is right."""
    counts = {"a": 2, "b": 3}
    assert [one.subject for one in partition_findings(3, counts, ["a", "b", "c"])] == ["a"]
    assert partition_findings(None, counts, ["a", "b"]) == []


def test_sizes_for_people() -> None:
    """Powers of 1024."""
    assert [size(n) for n in (0, 1023, 1536, 5 << 30, 3 << 50)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 kB",
        "5.0 GB",
        "3072.0 TB",
    ]


# --- timelines -------------------------------------------------------------------------------

PROGRESS = Progress("7000", 2, 1, "tallystream_erp", 900, 3, 1000, True, tables={"a.b": 1})
SLOT = SlotState("tallystream_erp", "pgoutput", "erp", None, 1000, None, 900, "reserved")


def test_a_promotion_that_left_after_us_goes_on() -> None:
    """The new primary has all that was published."""
    identity = Identity("7000", 3, 2000, "erp", {1: 500, 2: 1000})
    check_resume("erp", PROGRESS, "tallystream_erp", SLOT, identity)


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (Identity("7000", 3, 2000, "erp", {1: 500, 2: 999}), "promoted at 0/3E7"),
        (Identity("7000", 3, 2000, "erp", {1: 500}), "timeline 3, which does not come from it"),
        (Identity("7000", 1, 2000, "erp"), "timeline 1, which does not come from it"),
    ],
)
def test_a_promotion_that_left_before_us_halts(identity: Identity, words: str) -> None:
    """It has another history than the topics; so has a timeline that ours is no part of."""
    with pytest.raises(PositionLost) as raised:
        check_resume("erp", PROGRESS, "tallystream_erp", SLOT, identity)
    assert words in str(raised.value)
    assert "tallystream source repair" in str(raised.value)


def test_an_unfinished_repair_and_a_slot_that_restarts_later_halt() -> None:
    """Both though the confirmed position alone would let the source go on."""
    identity = Identity("7000", 2, 2000, "erp", {1: 500})
    with pytest.raises(PositionLost, match="did not end"):
        check_resume("erp", replace(PROGRESS, repairing=True), "tallystream_erp", SLOT, identity)
    with pytest.raises(PositionLost, match="0/3E9"):
        check_resume("erp", PROGRESS, "tallystream_erp", replace(SLOT, restart_lsn=1001), identity)


def test_the_history_file_of_a_timeline() -> None:
    """Tabs, reasons and comments as the server writes them."""
    text = "1\t0/3000060\tno recovery target specified\n\n2\t16/B374D848\tbefore 2026-01-01\n# note\n"
    assert timeline_ends(text) == {1: 0x3000060, 2: 0x16B374D848}


# --- the folded state ------------------------------------------------------------------------

CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.one_of(st.none(), st.sampled_from("xyz"))),
    max_size=40,
    unique_by=lambda change: change[1],
)


@given(CHANGES, st.randoms())
def test_the_later_position_wins_in_any_order(
    changes: list[tuple[str, int, str | None]], chance: object
) -> None:
    """Folding by position gives the same state whatever the order of arrival, deletes included."""
    expected: dict[str, str] = {}
    for name, _, value in sorted(changes, key=lambda change: change[1]):
        if value is None:
            expected.pop(name, None)
        else:
            expected[name] = value
    chance.shuffle(changes)  # type: ignore[attr-defined]
    with temporary_database() as database:
        state = KeyedState(database)
        for name, lsn, value in changes:
            state.put(0, place(1, lsn, 0), key(name), None if value is None else image(value))
        found = {gone.key: gone.image for gone in state.rest()}
    assert found == {key(name): image(value) for name, value in expected.items()}


def test_places_order_as_positions_do() -> None:
    """Epoch, then LSN, then ordinal; numbers, not texts."""
    positions = [
        Position(1, 9, 300),
        Position(1, 10, 2),
        Position(1, 10, 10),
        Position(2, 1, 0),
        Position(10, 0, 0),
    ]
    places = [place(one.epoch, one.lsn, one.ordinal) for one in positions]
    assert places == sorted(places)


def test_a_truncate_takes_its_partition_only(database: Database) -> None:
    """And what arrives late from before it stays gone."""
    state = KeyedState(database)
    state.put(0, place(1, 1, 0), key("a"), image("x"))
    state.put(1, place(1, 1, 1), key("b"), image("y"))
    state.truncate(0, place(1, 5, 0))
    state.put(0, place(1, 2, 0), key("c"), image("late"))
    state.put(0, place(1, 6, 0), key("d"), image("new"))
    assert [gone.key for gone in state.rest()] == [key("b"), key("d")]


def test_keys_are_the_same_under_another_schema_id(database: Database) -> None:
    """The row of a table is found, and a delete goes out under the key as the topic has it."""
    state = KeyedState(database)
    state.put(0, place(1, 1, 0), key("a", 1), image("x"))
    state.put(0, place(1, 1, 1), key("b", 1), image("y"))
    assert state.take(key("a", 2), image("x")) == image("x")
    assert [gone.key for gone in state.rest()] == [key("b", 1)]


def test_more_rows_than_are_taken_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest comes whole, an empty key too."""
    monkeypatch.setattr("connectors.sources.postgres.repair.foldedstate.READ_ROWS", 2)
    state = KeyedState(database)
    names = ["", "a", "b", "c", "d"]
    for name in names:
        state.put(0, place(1, 1, 0), key(name), image("x"))
    assert [gone.key for gone in state.rest()] == [key(name) for name in names]


@given(st.lists(st.sampled_from("ab"), max_size=8), st.lists(st.sampled_from("ab"), max_size=8))
def test_rows_without_a_key_are_counted(topic: list[str], table: list[str]) -> None:
    """As many are missing and left over as the two bags differ."""
    with temporary_database() as database:
        state = CountedState(database)
        for number, text in enumerate(topic):
            state.count(number % 2, place(1, number, 0), image(text), 1)
        missing = [text for text in table if state.take(b"", image(text)) is None]
        over = [gone.image.row.decode() for gone in state.rest()]
    for text in "ab":
        assert missing.count(text) == max(table.count(text) - topic.count(text), 0)
        assert over.count(text) == max(topic.count(text) - table.count(text), 0)


def test_a_full_disk_is_one_line() -> None:
    """With what to do about it."""

    def fill() -> None:
        with temporary_database() as small:
            small.connection.execute("PRAGMA max_page_count = 20")
            state = KeyedState(small)
            for number in range(1000):
                state.put(0, place(1, number, 0), key(str(number)), image("x" * 1000))

    with pytest.raises(DependencyUnavailable, match="full; make room, or set SQLITE_TMPDIR"):
        fill()


# --- schemas ---------------------------------------------------------------------------------


def decimal(precision: int, scale: int) -> dict[str, object]:
    return {
        "type": "bytes",
        "scale": scale,
        "precision": precision,
        "connect.parameters": {"scale": str(scale)},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }


def test_another_scale_means_something_else() -> None:
    """Equal bytes would be another amount; precision, nullability and widths don't matter."""
    assert meaning(decimal(12, 2)) != meaning(decimal(12, 4))
    assert meaning(decimal(12, 2)) == meaning(["null", decimal(14, 2)])
    assert meaning("int") == meaning({"type": "int", "connect.type": "int16"}) == meaning(["null", "long"])
    assert meaning("string") != meaning("long")
    days = {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"}
    assert meaning(days) != meaning("int")


def test_named_types_mean_their_name() -> None:
    """Spelled out or referred to."""
    record = {"type": "record", "name": "Point", "namespace": "io.debezium.data.geometry", "fields": []}
    assert meaning(["null", record]) == meaning("io.debezium.data.geometry.Point")
    arrays = [{"type": "array", "items": ["null", one]} for one in ("int", "long", "string")]
    assert meaning(arrays[0]) == meaning(arrays[1]) != meaning(arrays[2])


def test_logical_types_are_taken_out_everywhere() -> None:
    """So that a value is the bytes on the wire."""
    schema = {"type": "record", "fields": [{"name": "a", "type": ["null", decimal(4, 2)]}]}
    assert "logicalType" not in json.dumps(plain(schema))


def test_progress_is_a_bar_on_a_terminal_only() -> None:
    """Nothing is drawn into a file."""
    drawn, plain_ = io.StringIO(), io.StringIO()
    for out, terminal in ((drawn, True), (plain_, False)):
        with Steps(Console(file=out, force_terminal=terminal, width=80)).step("rows", 10) as advance:
            advance(4)
    assert "rows" in drawn.getvalue()
    assert plain_.getvalue() == ""

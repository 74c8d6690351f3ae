"""Decisions on changes: order, duplicates, transactions, ownership, quarantine and release, moves."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from canonical_builders import NOW, change, headers, mapping_of, row_of
from hypothesis import given
from hypothesis import strategies as st

from agents.canonical import (
    Action,
    Decision,
    Position,
    RowState,
    SystemMapping,
    TableMapping,
    decide,
    identify,
)
from streams.errors import PoisonRecord, RecordError


class Lane:
    """The smallest lane: decides, remembers, and folds what it publishes."""

    def __init__(self, mapping: SystemMapping) -> None:
        self.mapping = mapping
        self.states: dict[tuple[str, str], bytes] = {}
        self.live: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.raised: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, list[int]] = {}

    def take(self, envelope: dict[str, Any] | None, notes: dict[str, bytes]) -> Decision:
        identity = identify(self.mapping, envelope)
        data = self.states.get(identity) if identity else None
        decision = decide(envelope, notes, RowState.from_bytes(data) if data else None, self.mapping, NOW)
        if decision.state is not None:
            assert identity is not None
            self.states[identity] = decision.state.to_bytes()
        for record in decision.records:
            key = (decision.entity, record["id"], record.get("engagement_id"))
            if record["deleted"]:
                self.live.pop(key, None)
            else:
                self.live[key] = record
        for report in decision.reports:
            self.revisions.setdefault(report["subject"], []).append(report["revision"])
            if report["op"] == "RAISE":
                self.raised[report["subject"]] = report
            else:
                self.raised.pop(report["subject"], None)
        return decision


def entry(
    lane: Lane, lsn: int, op: str = "u", *, ordinal: int = 0, last: bool = True, **columns: Any
) -> Decision:
    row = row_of("time", "time_entry", **columns)
    envelope = change("time", "time_entry", op, None if op == "d" else row, row if op == "d" else None)
    return lane.take(envelope, headers(lsn, ordinal, last))


def test_lineage() -> None:
    """A record says where it comes from: system, position, times, mapping, and whether from a snapshot."""
    (record,) = entry(Lane(mapping_of("time")), 500, "c", ordinal=3).records
    assert {
        "deleted": False,
        "source_system": "time",
        "source_epoch": 1,
        "source_lsn": 500,
        "source_ordinal": 3,
        "occurred_at": datetime(2024, 5, 6, 10, tzinfo=UTC),
        "captured_at": datetime(2024, 5, 6, 10, 0, 0, 40_000, tzinfo=UTC),
        "published_at": NOW,
        "snapshot": False,
        "mapping_version": "reference-time/2",
    }.items() <= record.items()


def test_snapshot_rows_are_marked() -> None:
    """No latency may be measured on rows of a snapshot."""
    envelope = change("time", "time_entry", "r", row_of("time", "time_entry"), snapshot="last")
    (record,) = Lane(mapping_of("time")).take(envelope, headers()).records
    assert record["snapshot"] is True


def test_older_envelopes_have_milliseconds_only() -> None:
    """Debezium before 2.6 has no microseconds; a block without any time is poison."""
    envelope = change("time", "time_entry", "c", row_of("time", "time_entry"), ts_us=None)
    envelope["ts_us"] = None
    (record,) = Lane(mapping_of("time")).take(envelope, {}).records
    assert record["captured_at"] - record["occurred_at"] == (NOW - NOW.replace(microsecond=0)) + (
        datetime(2024, 1, 1, 0, 0, 0, 40_000, tzinfo=UTC) - datetime(2024, 1, 1, tzinfo=UTC)
    )
    envelope["source"]["ts_ms"] = None
    with pytest.raises(PoisonRecord, match="commit time"):
        Lane(mapping_of("time")).take(envelope, {})


def test_duplicates_are_dropped() -> None:
    """Delivered three times, published once; an older position after a newer one is dropped too."""
    lane = Lane(mapping_of("time"))
    assert entry(lane, 500).action is Action.PUBLISH
    assert [entry(lane, 500).action, entry(lane, 500).action] == [Action.SKIP_DUPLICATE] * 2
    assert entry(lane, 499, status="draft").action is Action.SKIP_DUPLICATE
    assert [record["status"] for record in lane.live.values()] == ["approved"]


def test_only_the_last_state_of_a_transaction() -> None:
    """A row that is half done inside its transaction is never published."""
    lane = Lane(mapping_of("time"))
    half = entry(lane, 500, "c", ordinal=0, last=False, hours=Decimal(99))
    assert (half.action, half.records, half.reports, half.state) == (Action.SKIP_SUPERSEDED, (), (), None)
    assert entry(lane, 500, "u", ordinal=1).action is Action.PUBLISH
    assert lane.raised == {}


def test_rows_without_headers_are_last() -> None:
    """Debezium's own records carry no headers: each is taken, in the order of its LSNs."""
    lane = Lane(mapping_of("time"))
    for lsn, status in ((10, "submitted"), (20, "approved"), (20, "draft")):
        lane.take(change("time", "time_entry", "u", row_of("time", "time_entry", status=status), lsn=lsn), {})
    assert [record["status"] for record in lane.live.values()] == ["approved"]


def test_delete_and_tombstone() -> None:
    """A delete publishes a deleted record; the tombstone behind it is nothing of its own."""
    lane = Lane(mapping_of("time"))
    entry(lane, 500)
    decision = entry(lane, 600, "d")
    assert decision.action is Action.DELETE
    (record,) = decision.records
    assert (record["id"], record["deleted"], "hours" in record) == ("time:7", True, False)
    assert lane.take(None, headers(600)).action is Action.SKIP_TOMBSTONE
    assert lane.live == {}


def test_reinsert_after_delete() -> None:
    """A key that is used again lives again; a late duplicate of its first life does not kill it."""
    lane = Lane(mapping_of("time"))
    entry(lane, 500)
    entry(lane, 600, "d")
    entry(lane, 700, "c", status="submitted")
    assert entry(lane, 600, "d").action is Action.SKIP_DUPLICATE
    assert [record["status"] for record in lane.live.values()] == ["submitted"]


def test_quarantine_and_release() -> None:
    """A bad row withdraws what was published and raises once; its correction publishes and clears."""
    lane = Lane(mapping_of("time"))
    entry(lane, 500)
    bad = entry(lane, 600, hours=Decimal(25))
    assert bad.action is Action.QUARANTINE
    assert [record["deleted"] for record in bad.records] == [True]
    assert lane.live == {}
    report = lane.raised["time:7"]
    assert (report["flow"], report["exception_class"], report["revision"]) == (
        "canonical",
        "INVALID_VALUE",
        1,
    )
    assert "25" in report["message"]
    assert report["rated_at"] == report["published_at"] == NOW
    good = entry(lane, 700, hours=Decimal(5))
    assert [(report["op"], report["revision"]) for report in good.reports] == [("CLEAR", 2)]
    assert lane.raised == {}
    assert len(lane.live) == 1
    assert entry(lane, 800).reports == ()


def test_deleting_a_bad_row_clears_it() -> None:
    """Nobody is asked to correct a row that is gone."""
    lane = Lane(mapping_of("time"))
    entry(lane, 500, "c", hours=Decimal(25))
    assert [report["op"] for report in entry(lane, 600, "d").reports] == ["CLEAR"]


def test_replay_after_a_mapping_fix() -> None:
    """The same change counts again under a newer mapping, and only then."""
    lane = Lane(mapping_of("time"))
    entry(lane, 500, "c", kind="on-call")
    assert entry(lane, 500, "c", kind="on-call").action is Action.SKIP_DUPLICATE
    tables = {
        name: dataclasses.replace(table, version=3, label="reference-time/3")
        if isinstance(table, TableMapping)
        else table
        for name, table in lane.mapping.tables.items()
    }
    lane.mapping = dataclasses.replace(lane.mapping, version=2, tables=tables)
    assert entry(lane, 500, "c").action is Action.PUBLISH
    assert lane.raised == {}
    assert [record["mapping_version"] for record in lane.live.values()] == ["reference-time/3"]
    lane.mapping = mapping_of("time")
    assert entry(lane, 500, "c").action is Action.SKIP_DUPLICATE


def test_ownership_violation() -> None:
    """A copy that the ERP changes is reported to the owner's queue and never merged; deletion clears it."""
    lane = Lane(mapping_of("erp"))
    old, new = row_of("erp", "client"), row_of("erp", "client", name="Acme & Sons")
    assert lane.take(change("erp", "client", "c", old), headers(500)).reports == ()
    decision = lane.take(change("erp", "client", "u", new, old), headers(600))
    assert decision.action is Action.PUBLISH
    assert "name" not in decision.records[0]
    report = lane.raised["erp:CL-1#name"]
    assert report["exception_class"] == "OWNERSHIP"
    assert report["message"] == "client.name belongs to crm; the change in erp is not used"
    assert lane.take(change("erp", "client", "u", new, new), headers(700)).reports == ()
    lane.take(change("erp", "client", "d", None, new), headers(800))
    assert lane.raised == {}
    assert lane.revisions["erp:CL-1#name"] == [1, 2]


def test_ownership_inside_a_transaction() -> None:
    """A violation by an early statement is seen although only the last state is published, and only once."""
    lane = Lane(mapping_of("erp"))
    old, new = row_of("erp", "client"), row_of("erp", "client", name="Acme & Sons")
    final = {**new, "currency": "USD"}
    first = lane.take(change("erp", "client", "u", new, old), headers(600, 0, last=False))
    assert (first.action, first.records, len(first.reports)) == (Action.SKIP_SUPERSEDED, (), 1)
    last = lane.take(change("erp", "client", "u", final, new), headers(600, 1))
    assert (last.action, last.reports) == (Action.PUBLISH, ())
    assert lane.take(change("erp", "client", "u", new, old), headers(600, 0, last=False)).reports == ()
    assert list(lane.raised) == ["erp:CL-1#name"]


def test_unknown_before_is_no_violation() -> None:
    """Where the log does not hold the former value, nothing is claimed about it."""
    new = row_of("erp", "client")
    old = {**new, "name": None}
    notes = headers(600, absent=b'["name","currency"]')
    assert Lane(mapping_of("erp")).take(change("erp", "client", "u", new, old), notes).reports == ()


def test_unmapped_table() -> None:
    """A table that nobody mapped is an exception on the table, not silence."""
    decision = Lane(mapping_of("erp")).take(change("erp", "audit", "c", {"id": 1}), headers())
    assert decision.action is Action.REFUSE
    (report,) = decision.reports
    assert (report["subject"], report["exception_class"]) == ("erp.public.audit", "UNMAPPED")
    assert "reference-erp.yaml" in report["message"]
    other_schema = change("erp", "client", "c", row_of("erp", "client"), schema="old")
    assert Lane(mapping_of("erp")).take(other_schema, headers()).reports[0]["subject"] == "erp.old.client"


def test_ignored_table_and_messages() -> None:
    """Tables ignored on purpose and logical messages leave nothing behind."""
    lane = Lane(mapping_of("erp"))
    assert lane.take(change("erp", "invoice", "c", {"id": 1}), {}) == Decision(Action.SKIP_IGNORED)
    assert lane.take(change("erp", "client", "m"), {}) == Decision(Action.SKIP_MESSAGE)


def test_truncate() -> None:
    """A truncate withdraws nothing on a guess; it asks for a snapshot, once however often it is delivered."""
    lane = Lane(mapping_of("erp"))
    lane.take(change("erp", "task", "c", row_of("erp", "task")), headers(500))
    reports = [lane.take(change("erp", "task", "t"), headers(600)).reports[0] for _ in range(2)]
    assert reports[0] == reports[1]
    assert (reports[0]["subject"], reports[0]["exception_class"]) == ("erp.public.task", "UNMAPPED")
    assert "snapshot" in reports[0]["message"]
    assert len(lane.live) == 1


def test_row_without_key() -> None:
    """A row that can't be named is reported on its table."""
    decision = Lane(mapping_of("erp")).take(change("erp", "task", "c", {"id": None}), headers())
    assert (decision.action, decision.records, decision.state) == (Action.REFUSE, (), None)
    assert decision.reports[0]["subject"] == "erp.public.task"


def line(lane: Lane, lsn: int, op: str = "u", **columns: Any) -> Decision:
    row = row_of("erp", "invoice_line", **columns)
    envelope = change("erp", "invoice_line", op, None if op == "d" else row, row if op == "d" else None)
    return lane.take(envelope, headers(lsn))


def test_move_to_another_root() -> None:
    """A line that moves to another engagement is withdrawn where it was, then published where it is."""
    lane = Lane(mapping_of("erp"))
    line(lane, 500)
    decision = line(lane, 600, engagement_id="E-2")
    assert [(r["engagement_id"], r["deleted"]) for r in decision.records] == [
        ("erp:E-1", True),
        ("erp:E-2", False),
    ]
    line(lane, 700, engagement_id="E-1")
    assert list(lane.live) == [("invoice_line", "erp:IL-1", "erp:E-1")]
    line(lane, 800, "d")
    assert lane.live == {}


def test_move_and_break_at_once() -> None:
    """A line that becomes invalid is withdrawn where it was published, whatever its new root says."""
    lane = Lane(mapping_of("erp"))
    line(lane, 500)
    for columns in ({"engagement_id": "E-2", "kind": "debit"}, {"engagement_id": None}):
        bad = Lane(mapping_of("erp"))
        bad.states, bad.live = dict(lane.states), dict(lane.live)
        assert line(bad, 600, **columns).action is Action.QUARANTINE
        assert bad.live == {}


def test_invalid_from_the_start() -> None:
    """A line that never was valid is published as deleted where it belongs; nowhere, if that is unknown."""
    assert [r["engagement_id"] for r in line(Lane(mapping_of("erp")), 500, kind="x").records] == ["erp:E-1"]
    unknown = line(Lane(mapping_of("erp")), 500, engagement_id=None)
    assert (unknown.records, len(unknown.reports)) == ((), 1)


def test_headers_that_are_no_json() -> None:
    """A header that can't be read is poison: what it would have said is not guessed."""
    envelope = change("erp", "task", "c", row_of("erp", "task"))
    with pytest.raises(PoisonRecord, match="not JSON"):
        Lane(mapping_of("erp")).take(envelope, headers(special=b"{"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["E-1", "E-2", None]),
        st.sampled_from(["charge", "credit", "bad"]),
        st.sampled_from(["u", "u", "u", "d"]),
    ),
    min_size=1,
    max_size=8,
)


@given(STEPS, st.data())
def test_last_state_wins_under_redelivery(
    steps: list[tuple[str | None, str, str]], data: st.DataObject
) -> None:
    """Redelivering any prefix at any time leaves exactly the last state live, at exactly one root."""
    lane = Lane(mapping_of("erp"))
    for number, (root, kind, op) in enumerate(steps, 1):
        line(lane, number * 10, op, engagement_id=root, kind=kind)
        again = data.draw(st.integers(1, number))
        for repeat, (old_root, old_kind, old_op) in enumerate(steps[:again], 1):
            outcome = line(lane, repeat * 10, old_op, engagement_id=old_root, kind=old_kind)
            assert outcome.action is Action.SKIP_DUPLICATE
    root, kind, op = steps[-1]
    valid = op == "u" and root is not None and kind != "bad"
    assert list(lane.live) == ([("invoice_line", "erp:IL-1", f"erp:{root}")] if valid else [])
    assert bool(lane.raised) is (op == "u" and not valid)
    for revisions in lane.revisions.values():
        assert revisions == sorted(set(revisions))


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_identify_needs_no_decision(deletes: list[bool]) -> None:
    """The state's key is read from the row alone, and is what the published record is called."""
    lane = Lane(mapping_of("time"))
    for number, delete in enumerate(deletes):
        decision = entry(lane, number + 1, "d" if delete else "u")
        assert {record["id"] for record in decision.records} == {"time:7"}
    assert list(lane.states) == [("time_entry", "time:7")]
    assert identify(lane.mapping, None) is None
    assert identify(lane.mapping, change("time", "time_entry", "c", {"id": 1.5})) is None
    assert identify(lane.mapping, change("erp", "invoice", "c", {"id": 1})) is None
    assert identify(lane.mapping, change("time", "absence", "t")) is None


def test_errors_are_record_errors() -> None:
    """What `decide` raises for a malformed change never leaves the lane."""
    with pytest.raises(RecordError):
        decide(change("erp", "task", "c", lsn=None), {}, None, mapping_of("erp"), NOW)


def test_superseded_first_sight_keeps_no_position() -> None:
    """A violation seen in an intermediate state must not make the transaction's last state a duplicate."""
    lane = Lane(mapping_of("erp"))
    old, new = row_of("erp", "client"), row_of("erp", "client", name="B")
    decision = lane.take(change("erp", "client", "u", new, old), headers(600, 0, last=False))
    assert decision.state is not None
    assert decision.state.position == Position(-1, 0, 0)
    assert not decision.state.live

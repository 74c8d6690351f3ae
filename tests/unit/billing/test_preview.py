"""Previews: what they say is exactly what the ledger comes to once the change is made; and files with mistakes."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from source_databases import HOUR, D, Sources, day
from two_judges import SYSTEM_OF, Agents, canonical_records

from agents.billing.reference import REFERENCE_ENTITIES
from agents.preview.changefile import read_changes
from agents.preview.show import show
from agents.preview.totals import Preview, TotalKey, as_document, summed
from agents.preview.whatif import WhatIf
from streams.errors import UsageError

Row = dict[str, Any]


def previewed(sources: Sources, tmp_path: Path, text: str) -> Preview:
    """The preview of a change file over the rows of the databases."""
    path = tmp_path / "changes.yaml"
    path.write_text(text, encoding="utf-8")
    rows: dict[str, list[Row]] = defaultdict(list)
    for table in SYSTEM_OF:
        for entity, record in canonical_records(sources, table):
            rows[entity].append(record)
    what_if = WhatIf(read_changes(path))
    for entity in REFERENCE_ENTITIES:
        what_if.reference_rows(entity, rows[entity])
    return summed(what_if.difference(lambda entity: rows[entity]))


def firm() -> Sources:
    """Two entries under a cap of 1,500, 150 an hour; one on a project that nobody knows; one posted."""
    sources = Sources().put("rate", "R", price=D(150)).put("engagement", "E", cap_money=D(1500))
    sources.work(1, "03-05", 8).work(2, "03-06", 8).work(3, "04-02", 4, project_code="P-OLD")
    return sources.work(4, "03-04", 1).charge("I4", 4, 1, 150)


CASES: list[tuple[str, Callable[[Sources], object]]] = [
    (
        "{entity: rate, id: 'erp:R', set: {price: 160.00}}",
        lambda s: s.put("rate", "R", price=D(160)),
    ),
    (
        "{entity: rate, id: 'erp:R', set: {price: 160.00, applies_to_invoiced: true}}",
        lambda s: s.put("rate", "R", price=D(160), applies_to_invoiced=True),
    ),
    (
        "{entity: engagement, id: 'erp:E', set: {cap_money: null}}",
        lambda s: s.put("engagement", "E", cap_money=None),
    ),
    (
        "{entity: time_entry, where: {project_id: 'erp:P-OLD'}, set: {project_id: 'erp:P'}}",
        lambda s: s.work(3, "04-02", 4, project_code="P"),
    ),
    ("{entity: time_entry, id: 'time:1', delete: true}", lambda s: s.drop("time_entry", 1)),
    ("{entity: rate, id: 'erp:R', delete: true}", lambda s: s.drop("rate", "R")),
    (
        "{entity: bill_adjustment, id: 'erp:B',"
        " set: {kind: discount, entry_id: 'time:1', engagement_id: 'erp:E', amount: 200}}",
        lambda s: s.put("bill_adjustment", "B", kind="discount", entry_id="time:1", amount=D(200)),
    ),
    (
        "{entity: invoice_line, id: 'erp:I4', set: {seconds: 1800, amount: 75.00}}",
        lambda s: s.put("invoice_line", "I4", seconds=1800, amount=D(75)),
    ),
    (
        "{entity: project, id: 'erp:P-OLD', set: {engagement_id: 'erp:E', contract_line_id: 'erp:L'}}",
        lambda s: s.put("project", "P-OLD", engagement_id="E", contract_line_id="L"),
    ),
]


@pytest.mark.parametrize(("change", "make"), CASES, ids=[change[:60] for change, _ in CASES])
def test_the_preview_is_what_the_change_then_does(
    tmp_path: Path, change: str, make: Callable[[Sources], object]
) -> None:
    """Segment by segment, to the second and the cent; entries that it does not name stay as they are."""
    sources = firm()
    preview = previewed(sources, tmp_path, f"changes:\n- {change}\n")
    assert preview.changes
    agents = Agents()
    before = agents(sources).figures
    make(sources)
    after = agents(sources).figures
    moved = {key: (before.get(key), after.get(key)) for key in before.keys() | after.keys()}
    assert {key: pair for key, pair in moved.items() if pair[0] != pair[1]} == {
        one.key: tuple(
            None if segment is None else (segment.bucket, segment.seconds, segment.amount)
            for segment in (one.before, one.after)
        )
        for one in preview.changes
        if figures(one.before) != figures(one.after)
    }


def figures(segment: Any) -> object:
    """Bucket, time and money."""
    return None if segment is None else (segment.bucket, segment.seconds, segment.amount)


def test_totals_by_client_and_period(tmp_path: Path) -> None:
    """The unknown project is mapped: 4 h leave what is parked, 600 are over the cap of the client in April."""
    change = "changes: [{entity: time_entry, where: {project_id: 'erp:P-OLD'}, set: {project_id: 'erp:P'}}]"
    preview = previewed(firm(), tmp_path, change)
    shown = {key: (t.seconds, t.amount, t.unpriced) for key, t in preview.totals.items()}
    assert shown == {
        TotalKey(None, "2026-04", "parked", None): (-4 * HOUR, 0, -1),
        TotalKey("erp:A", "2026-04", "over_cap", "EUR"): (4 * HOUR, 600, 0),
    }
    assert preview.entries == 1
    document = json.loads(json.dumps(as_document(preview)))
    assert document["totals"][1] == {
        "client_id": "erp:A",
        "month": "2026-04",
        "bucket": "over_cap",
        "currency": "EUR",
        "seconds": 4 * HOUR,
        "amount": "600.00",
        "unpriced_segments": 0,
    }
    assert {(one["entry_id"], one["segment"]) for one in document["segments"]} == {
        ("time:3", "base"),
        ("time:3", "over-engagement"),
    }


def test_changes_build_on_each_other(tmp_path: Path) -> None:
    """A new rate for the project, then another price of it: the last word counts."""
    rate = {"project_id": "erp:P", "role": "dev", "currency": "EUR", "price": "200"}
    text = "changes:\n" + "\n".join(
        f"- {{entity: rate, id: 'erp:NEW', set: {json.dumps(fields)}}}" for fields in (rate, {"price": "210"})
    )
    sources = firm().put("consultant", "C", role="dev").put("engagement", "E", cap_money=None)
    preview = previewed(sources, tmp_path, text)
    after = {one.key: one.after.amount for one in preview.changes if one.after is not None}
    assert after["time:1", "base"] == Decimal(1680)


def test_what_changes_nothing_says_so(tmp_path: Path) -> None:
    """The price that it has anyway."""
    preview = previewed(firm(), tmp_path, "changes: [{entity: rate, id: 'erp:R', set: {price: 150}}]")
    assert (preview.changes, preview.totals, preview.entries) == ([], {}, 0)
    assert "Nothing in billing would change." in printed(preview)


def test_a_terminal_shows_the_sum_first(tmp_path: Path) -> None:
    """Entries, the difference by client and period, then segments."""
    text = printed(previewed(firm(), tmp_path, "changes: [{entity: rate, id: 'erp:R', delete: true}]"))
    lines = text.splitlines()
    assert lines[0] == "2 entries would change, 3 segments."
    assert any("erp:A" in line and "unbilled" in line and "-1,350.00 EUR" in line for line in lines), text
    assert "of unknown worth" in text


def printed(preview: Preview) -> str:
    """What a wide terminal shows."""
    console = Console(width=160, file=io.StringIO())
    show(console, preview)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "give a list of changes"),
        ("changes: []", "give a list of changes"),
        ("changes: [", "is no YAML"),
        ("changes: [x]\nmore: 1", "give a list of changes"),
        ("changes: [x]", "change 1: give entity"),
        ("changes: [{entity: rates, id: a, delete: true}]", "entity 'rates' is none of consultant"),
        ("changes: [{entity: rate, id: a, erase: true}]", "unknown key erase"),
        ("changes: [{entity: rate, id: a, delete: maybe}]", "delete is true or false"),
        ("changes: [{entity: rate, delete: true}]", "by either id or where"),
        ("changes: [{entity: rate, id: a, where: {role: b}, delete: true}]", "by either id or where"),
        ("changes: [{entity: rate, id: a}]", "by either set or delete"),
        ("changes: [{entity: rate, id: a, set: {price: 1}, delete: true}]", "by either set or delete"),
        ("changes: [{entity: rate, id: a, set: [price]}]", "set takes fields"),
        ("changes: [{entity: rate, id: a, set: {cost: 1}}]", "rate has no field cost; it has task_id"),
        ("changes: [{entity: rate, id: a, set: {deleted: true}}]", "rate has no field deleted"),
        ("changes: [{entity: rate, id: a, set: {price: 12 EUR}}]", "price: '12 EUR' is no decimal"),
        ("changes: [{entity: rate, id: a, set: {price: 1.00001}}]", "price: '1.00001' is no decimal"),
        ("changes: [{entity: rate, id: a, set: {price: NaN}}]", "price: 'NaN' is no decimal"),
        ("changes: [{entity: rate, id: a, set: {effective_from: 1.4.2026}}]", "is no date"),
        ("changes: [{entity: rate, id: a, set: {applies_to_invoiced: yes}}]", "is no boolean"),
        ("changes: [{entity: time_entry, id: a, set: {seconds: 7.5}}]", "is no long"),
        ("changes: [{entity: time_entry, id: a, set: {approved_at: 2026-04-01T10:00}}]", "is no timestamp"),
        (
            "changes: [{entity: rate, id: 'erp:GONE', delete: true}]",
            "change 1 concerns no rate that there is",
        ),
        ("changes: [{entity: task, where: {name: x}, delete: true}]", "change 1 concerns no task"),
        (
            "changes: [{entity: time_entry, id: 'time:1', set: {work_date: null}}]",
            "time_entry time:1 would be invalid: time:1 has no work_date",
        ),
        (
            "changes: [{entity: time_entry, id: 'time:9', set: {status: approved}}]",
            "time_entry time:9 would be invalid",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    """One line that says which change of which file, and what to give instead."""
    with pytest.raises(UsageError) as caught:
        previewed(firm(), tmp_path, text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Also one that is no text."""
    with pytest.raises(UsageError, match="can't be read"):
        read_changes(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't be read"):
        read_changes(tmp_path / "bytes.yaml")


def test_days_are_days(tmp_path: Path) -> None:
    """A date is a day of the contract's type: what begins in April does not touch March."""
    sources = firm().work(5, "04-03", 2)
    preview = previewed(
        sources, tmp_path, "changes: [{entity: rate, id: 'erp:R', set: {effective_from: 2026-04-03}}]"
    )
    assert {one.key[0] for one in preview.changes} >= {"time:1", "time:2"}
    assert all(one.after is not None for one in preview.changes if one.key == ("time:5", "base"))
    assert day("04-03") in {one.after.work_date for one in preview.changes if one.after is not None}

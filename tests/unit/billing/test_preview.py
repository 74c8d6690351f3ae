"""Previews: what they say is exactly what the ledger comes to once the change is made; and files with mistakes."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from closing import closing
from rich.console import Console
from source_databases import HOUR, SYSTEM_OF, D, Sources, at, canonical_records, day
from two_judges import Agents

from agents.billing.reference import REFERENCE_ENTITIES
from agents.canonical import load_mappings
from agents.preview.changefile import read_changes
from agents.preview.rules import MappingRules
from agents.preview.show import hours, money, show
from agents.preview.totals import Preview, Total, TotalKey, as_document, summed
from agents.preview.whatif import WhatIf
from streams.errors import UsageError

Row = dict[str, Any]


RULES = MappingRules(load_mappings())


def previewed(
    sources: Sources, tmp_path: Path, text: str, deleted: Sequence[tuple[str, Row]] = ()
) -> Preview:
    """The preview of a change file over the rows of the databases, and rows that were deleted."""
    path = tmp_path / "changes.yaml"
    path.write_text(text, encoding="utf-8")
    rows: dict[str, list[Row]] = defaultdict(list)
    for table in SYSTEM_OF:
        for entity, record in canonical_records(sources, table):
            rows[entity].append(record)
    for entity, record in deleted:
        rows[entity].append(record)
    what_if = WhatIf(read_changes(path), RULES.problem)
    for entity in REFERENCE_ENTITIES:
        what_if.reference_rows(entity, rows[entity])
    return summed(what_if.difference(lambda entity: rows[entity]), what_if.effects)


def firm() -> Sources:
    """Two entries under a cap of 1,500, 150 an hour, and an expense; one on a project that nobody knows; one posted."""
    sources = Sources().put("rate", "R", price=D(150)).put("engagement", "E", cap_money=D(1500))
    sources.work(1, "03-05", 8).work(2, "03-06", 8).work(3, "04-02", 4, project_code="P-OLD")
    return sources.work(4, "03-04", 1).charge("I4", 4, 1, 150).spend("X", "03-07", 100, cap_scope="none")


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
        " set: {kind: discount, entry_id: 'time:1', engagement_id: 'erp:E', amount: 200, reason: agreed,"
        " approver_id: 'erp:B', decided_at: 2026-03-31T00:00:00Z}}",
        lambda s: s.put("bill_adjustment", "B", kind="discount", entry_id="time:1", amount=D(200)),
    ),
    (
        "{entity: invoice_line, id: 'erp:I4', set: {seconds: 1800, amount: 75.00}}",
        lambda s: s.put("invoice_line", "I4", seconds=1800, amount=D(75)),
    ),
    (
        "{entity: invoice_line, id: 'erp:I4', set: {status: draft, posted_at: null}}",
        lambda s: s.put("invoice_line", "I4", status="draft", posted_at=None),
    ),
    (
        "{entity: project, id: 'erp:P-OLD', set: {engagement_id: 'erp:E', contract_line_id: 'erp:L', name: x,"
        " service_line: build, delivery_model: onsite, status: active}}",
        lambda s: s.put("project", "P-OLD", engagement_id="E", contract_line_id="L"),
    ),
    # The source gives a corrected entry the next version: what was posted of the first one is due as a credit.
    (
        "{entity: time_entry, id: 'time:4', set: {seconds: 7200}}",
        lambda s: s.work(4, "03-04", 2, version=2),
    ),
    (
        "{entity: time_entry, where: {work_date: 2026-03-04}, set: {task_id: null, kind: overtime}}",
        lambda s: s.work(4, "03-04", 1, kind="overtime", version=2),
    ),
    (
        "{entity: expense, id: 'erp:X', set: {amount: 300.00}}",
        lambda s: s.spend("X", "03-07", 300, version=2),
    ),
    (
        "{entity: expense, id: 'erp:X', set: {status: rejected}}",
        lambda s: s.put("expense", "X", status="rejected"),
    ),
    (
        "{entity: contract_line, id: 'erp:L', set: {expense_markup: 12.50}}",
        lambda s: s.put("contract_line", "L", expense_markup=D("12.5")),
    ),
    (
        "{entity: contract_line, id: 'erp:L', set: {expenses_billed: false}}",
        lambda s: s.put("contract_line", "L", expenses_billed=False),
    ),
    (
        "{entity: time_entry, id: 'time:4', set: {seconds: 7200, version: 1}}",
        lambda s: s.work(4, "03-04", 2),
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
    rate = {
        "project_id": "erp:P",
        "role": "dev",
        "currency": "EUR",
        "price": "200",
        "overtime_multiplier": "1.5",
    }
    rate |= {"weekend_multiplier": "2", "applies_to_invoiced": "false", "effective_from": "2020-01-01"}
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


def printed(preview: Preview, width: int = 160) -> str:
    """What a wide terminal shows."""
    console = Console(width=width, file=io.StringIO())
    show(console, preview)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def of_rate(fields: str) -> str:
    """A file that sets fields of the rate."""
    return f"changes: [{{entity: rate, id: 'erp:R', set: {{{fields}}}}}]"


def of_entry(fields: str) -> str:
    """Of an entry."""
    return f"changes: [{{entity: time_entry, id: 'time:1', set: {{{fields}}}}}]"


def line_with(fields: str) -> str:
    """Of the contract line."""
    return f"changes: [{{entity: contract_line, id: 'erp:L', set: {{{fields}}}}}]"


def adjusting(fields: str) -> str:
    """A new adjustment of an entry."""
    known = "entry_id: 'time:1', engagement_id: 'erp:E', reason: agreed, approver_id: 'erp:B'"
    decided = "decided_at: 2026-03-31T00:00:00Z"
    return f"changes: [{{entity: bill_adjustment, id: 'erp:B', set: {{{known}, {decided}, {fields}}}}}]"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "give a list of changes"),
        ("changes: []", "give a list of changes"),
        ("changes: [", "is no YAML"),
        ("changes: [x]\nmore: 1", "give a list of changes"),
        ("changes: [x]", "change 1: give entity"),
        ("changes: [{entity: rates, id: a, delete: true}]", "entity 'rates' is none of consultant"),
        ("changes: [{entity: rate, id: a, erase: true}]", "unknown key 'erase'"),
        ("changes: [{entity: rate, id: a, delete: maybe}]", "delete is true or false"),
        ("changes: [{entity: rate, delete: true}]", "by either id or where"),
        ("changes: [{entity: rate, id: a, where: {role: b}, delete: true}]", "by either id or where"),
        ("changes: [{entity: rate, id: a}]", "by either set or delete"),
        ("changes: [{entity: rate, id: a, set: {price: 1}, delete: true}]", "by either set or delete"),
        ("changes: [{entity: rate, id: a, set: [price]}]", "set takes fields"),
        ("changes: [{entity: rate, id: a, set: {cost: 1}}]", "rate has no field 'cost'; it has task_id"),
        ("changes: [{entity: rate, id: a, set: {deleted: true}}]", "rate has no field 'deleted'"),
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
            "change 1: time_entry 'time:1': work_date: reference-time.yaml:",
        ),
        (
            "changes: [{entity: time_entry, id: 'time:9', set: {status: approved}}]",
            "change 1: time_entry 'time:9': consultant_id: reference-time.yaml:",
        ),
        ("changes: [{entity: rate, id: [a], delete: true}]", "id takes one value, not a list"),
        ("changes: [{entity: rate, id: {a: b}, delete: true}]", "id takes one value, not a mapping"),
        ("changes: [{entity: rate, id: '', delete: true}]", "id is empty"),
        ("changes: [{entity: rate, id: null, delete: true}]", "id is empty"),
        ('changes: [{entity: rate, id: "\\uD800", delete: true}]', "is no text"),
        ("changes: [{entity: [rate], id: a, delete: true}]", "entity takes one value, not a list"),
        ("changes: [{entity: rate, id: a, set: {role: [x]}}]", "role takes one value, not a list"),
        ('changes: [{entity: rate, id: a, "x\\ny": 1}]', "unknown key 'x\\ny'"),
        ('changes: [{entity: rate, id: a, set: {"x\\ny": 1}}]', "rate has no field 'x\\ny'"),
        ("changes: [{entity: rate, id: a, set: {price: 1, price: 2}}]", "the key 'price' is there twice"),
        ("changes: [{entity: rate, id: a, delete: true}]\nchanges: []", "the key 'changes' is there twice"),
        ("changes: " + "[" * 3000, "is nested too deeply"),
        ('changes: ["\\UFFFFFFFF"]', "is no YAML"),
        (of_rate("price: 1E+70"), "price: '1E+70' is no decimal"),
        (of_rate("price: 1E+999999"), "price: '1E+999999' is no decimal"),
        (of_rate("price: 1E+99999999999999999999"), "is no decimal"),
        (of_entry("seconds: " + "9" * 200), "is no long"),
        (of_entry("seconds: " + "9" * 5000), "is no long"),
        (of_entry("approved_at: 0001-01-01T00:00:00+14:00"), "is no timestamp"),
        (of_rate("price: 0"), "price: reference-erp.yaml:"),
        (of_rate("price: 0"), "0 must be more than 0"),
        (of_rate("price: -5"), "-5 must be more than 0"),
        (of_rate("price: null"), "(column price): null, but required"),
        (of_rate("effective_to: 2019-01-01"), "2020-01-01 must be before effective_to 2019-01-01"),
        (of_rate("client_id: A"), "can't be 'A'; would be 'erp:A'"),
        (of_entry("seconds: 90000"), "(column hours): 25 must be at most 24"),
        (line_with("billing_method: fixed"), "'fixed' is none of milestone"),
        (line_with("rounding: up"), "'up' is none of half_even, half_up"),
        (line_with("quantity_increment_seconds: -900"), "-900 must be more than 0"),
        (line_with("over_cap_action: holdd"), "'holdd' is none of bill, hold, write_off"),
        ("changes: [{entity: rate, id: 'erp:NEW', set: {price: 1}}]", "currency: reference-erp.yaml:"),
        ("changes: [{entity: rate, id: 'crm:R', set: {price: 1}}]", "id: ids begin with erp:"),
        (
            "changes: [{entity: fx_rate, id: 'erp:F', set: {rate: 1}}]",
            "'erp:F': from_currency: reference-erp",
        ),
        ("changes: [{entity: period, id: 'erp:M', set: {starts_on: null}}]", "'erp:M': legal_entity_id: "),
        (
            "changes: [{entity: invoice_line, id: 'erp:I4', set: {engagement_id: null}}]",
            "engagement_id: reference-erp.yaml:",
        ),
        (adjusting("kind: write-off, seconds: 60"), "'write-off' is none of discount, hold, write_off"),
        (adjusting("kind: write_off"), "seconds: reference-erp.yaml:"),
        (adjusting("kind: discount"), "null, but required where kind is discount"),
        (
            "changes:\n- {entity: rate, id: 'erp:R', set: {price: 0}}\n"
            "- {entity: rate, id: 'erp:R', set: {role: dev}}",
            "change 1: rate 'erp:R': price",
        ),
        (
            "changes: [{entity: fx_rate, id: 'erp:F', set: {from_currency: EUR, to_currency: USD,"
            " day: 9999-12-31, rate: 1}}]",
            "change 1: fx_rate 'erp:F': day: ",
        ),
        (
            "changes: [{entity: rate, where: {role: none}, set: {price: 0}}]",
            "change 1 concerns no rate that there is",
        ),
        (
            "changes: [{entity: time_entry, id: 'time:1', delete: true},"
            " {entity: time_entry, where: {consultant_id: 'erp:C', work_date: 2026-03-05}, set: {kind: weekend}}]",
            "change 2 concerns no time_entry",
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


NEW_ENTRY = (
    "set: {consultant_id: 'erp:C', project_id: 'erp:P', work_date: 2026-03-09, seconds: 3600, kind: standard,"
    " status: approved, version: 1, approved_at: 2026-03-09T12:00:00Z}"
)


def after(preview: Preview) -> dict[tuple[str, str], int | None]:
    """Seconds of the segments that move, as they would be."""
    return {one.key: None if one.after is None else one.after.seconds for one in preview.changes}


def effects(preview: Preview) -> list[str]:
    """What each change comes to."""
    return [effect.words for effect in preview.effects]


def uncapped() -> Sources:
    """The firm, where whatever is worked is billed."""
    return firm().put("engagement", "E", cap_money=None)


def test_a_deleted_entry_is_concerned_by_nothing(tmp_path: Path) -> None:
    """Neither one that the file deletes, nor one that was deleted before."""
    ((_, gone),) = canonical_records(Sources().work(7, "03-05", 8), "time_entry")
    text = (
        "changes: [{entity: time_entry, id: 'time:1', delete: true},"
        " {entity: time_entry, where: {project_id: 'erp:P'}, set: {kind: overtime}}]"
    )
    preview = previewed(uncapped(), tmp_path, text, [("time_entry", {**gone, "deleted": True})])
    assert after(preview)["time:1", "base"] is None
    assert effects(preview) == ["concerns 1 row", "concerns 2 rows"]
    assert "time:7" not in {entry_id for entry_id, _ in after(preview)}


def test_a_deleted_entry_may_be_made_anew(tmp_path: Path) -> None:
    """In the file, or after it was deleted in its source: what it was is gone, its version too."""
    ((_, gone),) = canonical_records(Sources().work(7, "03-05", 8), "time_entry")
    text = (
        "changes:\n- {entity: time_entry, id: 'time:1', delete: true}\n"
        f"- {{entity: time_entry, id: 'time:1', {NEW_ENTRY}}}\n- {{entity: time_entry, id: 'time:7', {NEW_ENTRY}}}"
    )
    preview = previewed(uncapped(), tmp_path, text, [("time_entry", {**gone, "deleted": True})])
    assert effects(preview) == ["concerns 1 row", "makes a new row", "makes a new row"]
    assert after(preview)["time:1", "base"] == after(preview)["time:7", "base"] == HOUR
    with pytest.raises(UsageError, match=r"change 2: .*version: .*null, but required"):
        previewed(uncapped(), tmp_path, text.replace("version: 1, ", ""))


def test_a_change_before_a_row_is_made_does_not_see_it(tmp_path: Path) -> None:
    """One behind it does, and may delete it; then it never was."""
    new = f"{{entity: time_entry, id: 'time:9', {NEW_ENTRY}}}"
    double = "{entity: time_entry, where: {work_date: 2026-03-09}, set: {seconds: 7200}}"
    preview = previewed(uncapped(), tmp_path, f"changes:\n- {new}\n- {double}")
    assert after(preview) == {("time:9", "base"): 2 * HOUR}
    assert effects(preview) == ["makes a new row", "concerns 1 row"]
    with pytest.raises(UsageError, match="change 1 concerns no time_entry"):
        previewed(uncapped(), tmp_path, f"changes:\n- {double}\n- {new}")
    gone = "{entity: time_entry, id: 'time:9', delete: true}"
    preview = previewed(uncapped(), tmp_path, f"changes:\n- {new}\n- {gone}")
    assert (after(preview), effects(preview)) == ({}, ["makes a new row", "concerns 1 row"])
    with pytest.raises(UsageError, match="change 1 concerns no time_entry"):
        previewed(uncapped(), tmp_path, f"changes:\n- {gone}\n- {new}")


def test_a_mistyped_id_is_told(tmp_path: Path) -> None:
    """In both forms, before anything else of the kind: it makes a row."""
    text = f"changes:\n- {{entity: rate, id: 'erp:R', delete: true}}\n- {{entity: time_entry, id: 'time:11', {NEW_ENTRY}}}"
    preview = previewed(uncapped(), tmp_path, text)
    assert printed(preview).splitlines()[1:3] == [
        "change 2, time_entry 'time:11': makes a new row",
        "change 1, rate 'erp:R': concerns 1 row",
    ]
    assert as_document(preview)["changes"] == [
        {"entity": "rate", "id": "erp:R", "concerns_rows": 1, "makes_new_row": False},
        {"entity": "time_entry", "id": "time:11", "concerns_rows": 0, "makes_new_row": True},
    ]


def test_what_moves_is_told_where_hours_and_money_stay(tmp_path: Path) -> None:
    """Another month, another rate: the two sides differ in words."""
    text = of_entry("work_date: 2026-02-05")
    line = next(
        line
        for line in printed(previewed(uncapped(), tmp_path, text), 300).splitlines()
        if "│ time:1" in line
    )
    shown = [cell.strip() for cell in line.split("│")]
    assert "accounting date 2026-03-05" in shown[3]
    assert "accounting date 2026-02-05" in shown[4]


def test_amounts_are_shown_as_their_currency_counts() -> None:
    """With the places of its minor unit, and more where the amount has more; no seconds are hidden."""
    assert money(Decimal("1234.5000"), "EUR") == "1,234.50 EUR"
    assert money(Decimal("-1.2340"), "KWD", "+") == "-1.234 KWD"
    assert money(Decimal(900), "JPY", "+") == "+900 JPY"
    assert money(Decimal("0.005"), None) == "0.005"
    assert money(Decimal(0), "EUR", "+") == "+0.00 EUR"
    assert (hours(7200), hours(7201), hours(-36, "+")) == ("2.00", "2.0003", "-0.01")
    preview = Preview([], {TotalKey(None, None, "unbilled", "EUR"): Total(1, Decimal("1E+3"))}, 0, [], 0)
    assert as_document(preview)["totals"][0]["amount"] == "1000"


AFTER_THE_CLOSE: list[tuple[str, Callable[[Sources], object]]] = [
    (
        "{entity: bill_adjustment, id: 'erp:W', set: {kind: write_off, entry_id: 'time:1', engagement_id: 'erp:E',"
        " seconds: 7200, reason: agreed, approver_id: 'erp:B', decided_at: 2026-04-10T09:00:00Z}}",
        lambda s: s.put("bill_adjustment", "W", entry_id="time:1", hours=D(2), decided_at=at("04-10 09:00")),
    ),
    (
        "{entity: time_entry, id: 'time:1', set: {seconds: 21600, approved_at: 2026-04-05T10:00:00Z}}",
        lambda s: s.correct(1, "04-05 10:00", hours=D(6), approved_at=at("04-05 10:00")),
    ),
    (
        "{entity: expense, id: 'erp:X', set: {amount: 80.00, approved_at: 2026-04-05T10:00:00Z}}",
        lambda s: s.respend("X", "04-05 10:00", amount=D(80), approved_at=at("04-05 10:00")),
    ),
    (
        "{entity: rate_version, id: 'erp:V1', set: {rate_id: 'erp:R', currency: EUR, price: 150.00,"
        " effective_from: 2026-01-01, unit: hour, overtime_multiplier: 1.5, weekend_multiplier: 2,"
        " applies_to_invoiced: false, ended_at: 2026-04-10T09:00:00Z}}\n"
        "- {entity: rate, id: 'erp:R', set: {price: 160.00, decided_at: 2026-04-10T09:00:00Z}}",
        lambda s: s.decide("rate", "R", "04-10 09:00", price=D(160)),
    ),
    (
        "{entity: engagement_version, id: 'erp:V1', set: {engagement_id: 'erp:E', cap_money: 1000.00,"
        " over_cap_action: hold, ended_at: 2026-04-10T09:00:00Z}}\n"
        "- {entity: engagement, id: 'erp:E', set: {cap_money: 1300.00}}",
        lambda s: s.put("engagement", "E", cap_money=D(1300)).put(
            "engagement_version", "V1", cap_money=D(1000), ended_at=at("04-10 09:00")
        ),
    ),
    (
        "{entity: period, id: 'erp:2026-04', set: {status: closed, closed_at: 2026-05-04T18:00:00Z}}",
        lambda s: s.put("accounting_period", "2026-04", status="closed", closed_at=at("05-04 18:00")),
    ),
]


@pytest.mark.parametrize("cap", [None, D(1000)])
@pytest.mark.parametrize(
    ("change", "make"), AFTER_THE_CLOSE, ids=[change[9:50] for change, _ in AFTER_THE_CLOSE]
)
def test_what_is_decided_after_a_close_is_booked_in_the_open_month(
    tmp_path: Path, change: str, make: Callable[[Sources], object], cap: Decimal | None
) -> None:
    """March is closed: by month and bucket the preview says what the ledger's lines then come to."""
    sources = closing().put("engagement", "E", cap_money=cap).spend("X", "03-30", 100)
    sources.put("accounting_period", "2026-04", status="open", closed_at=None)
    sources.work(2, "04-02", 4, approved_at=at("05-06 09:00"))
    said = previewed(sources, tmp_path, f"changes:\n- {change}\n")
    ledger = Agents()
    before = ledger(sources).booked
    make(sources)
    after = ledger(sources).booked
    wanted: dict[tuple[str | None, str], tuple[int, Decimal]] = {}
    for sign, booked in ((-1, before), (1, after)):
        for (_, _, bucket, month), (seconds, amount) in booked.items():
            total, worth = wanted.get((month, bucket), (0, D(0)))
            wanted[month, bucket] = total + sign * seconds, worth + sign * (amount or D(0))
    found = {(key.month, key.bucket): (total.seconds, total.amount) for key, total in said.totals.items()}
    assert found == {key: of for key, of in wanted.items() if of[0] or of[1]}
    assert found or (change.startswith("{entity: engagement") and cap is None)

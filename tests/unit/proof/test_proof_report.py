"""The report of a proof: figures to the cent on both sides, without a float."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from oracle import compare
from rich.console import Console
from unit.proof.doctored import a_firm, actual, expected, key_of

from connectors.proof import lineage
from connectors.proof.differences import Difference, Place, find
from connectors.proof.lineage import LedgerLine, Lineage, Position
from connectors.proof.looks import Verdict
from connectors.proof.report import figures, print_report
from connectors.proof.run import Proof, Side

EVENT = "erp:E:time:2:base:1:CHARGE"


def proof() -> Proof:
    """The topics are right; the warehouse has 1.00 EUR and an hour too little of time:2."""
    of = expected()
    right, wrong = actual(of), actual(of)
    assert wrong.ledger is not None
    key = key_of(of, "time:2", "unbilled")
    wrong.ledger.folds[key] = replace(of.billing[key], seconds=7200, amount=Decimal(299))
    sides = {name: Side(a, compare(of, a)) for name, a in (("topics", right), ("warehouse", wrong))}
    differences = sorted(find("warehouse", of, wrong), key=lambda difference: difference.order)
    line = LedgerLine(
        EVENT, "CHARGE", "unbilled", 7200, Decimal("299.0000"), "EUR", Position("time", 1, 160, 3)
    )
    first = Lineage(
        differences[0],
        "time:2",
        lineage.sources_of(differences[0], a_firm()),
        lineage.segments_of("time:2", of.billing),
        lineage.segments_of("time:2", wrong.ledger.folds),
        (line,),
        (EVENT,),
        {"time:2": lineage.Captured(Position("time", 1, 160, 3), ())},
        "do this",
    )
    moving = Difference(Place("topics", "ledger", ("moving",)), None, None)
    return Proof(Verdict.DIFFERENT, 3, 12.34, of, sides, differences, [moving], first)


def floats_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [found for part in value.values() for found in floats_in(part)]
    if isinstance(value, list):
        return [found for part in value for found in floats_in(part)]
    return [value] if isinstance(value, float) else []


def test_the_figures_hold_sums_conservation_and_the_first_difference() -> None:
    """Both sides beside the oracle's; money is text."""
    told = figures(proof())
    assert json.loads(json.dumps(told)) == told
    assert floats_in(told) == []
    assert told["equal"] is False
    assert told["rows_different"] == 2  # the fold, and conservation of its entry
    assert (told["differences_staying"], told["differences_in_flight"]) == (2, 1)
    topics, warehouse = told["sides"]["topics"], told["sides"]["warehouse"]
    assert told["oracle"]["money"] == topics["money"] == {"EUR": "1200.00"}
    assert warehouse["money"] == {"EUR": "1199.00"}
    assert topics["buckets"] == told["oracle"]["buckets"]
    assert topics["current"]["buckets"] == told["oracle"]["buckets"]
    assert topics["conservation"]["entries_with_gap"] == 0
    assert warehouse["conservation"] == {
        "approved_seconds": 13 * 3600,
        "booked_seconds": 12 * 3600,
        "gap_seconds": 3600,
        "gap_money": {"EUR": "1.00"},
        "entries_with_gap": 1,
        "first_entry_with_gap": "time:2",
    }
    first = told["first_difference"]
    assert (first["side"], first["check"], first["entry"]) == ("warehouse", "ledger", "time:2")
    assert first["sources"][0]["id"] == "2"
    assert first["sources"][0]["captured"]["position"]["lsn"] == 160
    assert [(s["bucket"], s["seconds"], s["amount"]) for s in first["expected"]] == [
        ("unbilled", 10800, "300.00"),
        ("over_cap", 10800, "300.00"),
    ]
    assert first["found"][0]["amount"] == "299.00"
    assert [event["event_id"] for event in first["events"]] == first["events_unlike_topic"] == [EVENT]
    assert first["advice"] == "do this"


def test_the_text_says_the_same() -> None:
    """Sums, gap, the first difference with its row, position, event and advice."""
    console = Console(file=io.StringIO(), width=200)
    print_report(console, proof())
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for words in (
        "1,199.00",
        "conservation, topics: 46,800 s approved, 46,800 s booked, gap 0 s and 0.00",
        "conservation, warehouse: 46,800 s approved, 43,200 s booked, gap 3,600 s and 1.00 EUR",
        "first difference: warehouse: ledger erp:E time:2 base unbilled",
        "source    time.time_entry 2: consultant_id erp:C",
        "captured  at time epoch 1 lsn 0/A0 ordinal 3",
        "expected  unbilled base: 10800 s, 300.00 EUR",
        "found     unbilled base: 7200 s, 299.00 EUR",
        f"event     {EVENT}: unbilled, 7200 s, 299.00 EUR",
        f"unlike    {EVENT}",
        "advice    do this",
        "3 looks",
        "2 differences stayed, 1 more may be in flight",
    ):
        assert words in text, (words, text)


def test_a_proof_says_so() -> None:
    """Equal, or equal with changes in flight; a row that never agreed is none."""
    of = expected()
    sides = {"topics": Side(actual(of), compare(of, actual(of)))}
    for verdict, words in (
        (Verdict.EQUAL, "The system says what the oracle says"),
        (Verdict.IN_FLIGHT, "came after that one and are in flight"),
        (Verdict.UNSETTLED, "never agreed"),
    ):
        console = Console(file=io.StringIO(), width=200)
        print_report(console, Proof(verdict, 1, 1.0, of, sides, [], [], None))
        assert isinstance(console.file, io.StringIO)
        assert words in console.file.getvalue()


def test_json_lists_what_stayed_or_else_what_is_in_flight() -> None:
    """A proof with changes in flight says which they were at the last look."""
    different = proof()
    staying = [str(difference) for difference in different.staying]
    assert figures(different)["differences"] == staying
    proven = replace(
        different, verdict=Verdict.IN_FLIGHT, staying=[], in_flight=different.staying, first=None
    )
    told = figures(proven)
    assert (told["equal"], told["differences_staying"], told["differences_in_flight"]) == (True, 0, 2)
    assert told["differences"] == staying

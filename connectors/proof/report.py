"""A proof as JSON-ready values, and as tables. Money and hours are Decimals, in JSON as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from connectors.proof.conservation import Conservation
from connectors.proof.differences import conservation_of
from connectors.proof.lineage import Lineage, Segment
from connectors.proof.looks import Verdict
from connectors.proof.run import LISTED, Proof, Side
from connectors.proof.words import money_text

# Lines of the ledger and source rows that the text shows; JSON has all that were looked up.
SHOWN = 8


def figures(proof: Proof) -> dict[str, Any]:
    """All figures of a proof. Differences are those that stayed, or if none did, those of the last look."""
    expected = conservation_of(proof.expected, proof.expected.billing)
    return {
        "verdict": proof.verdict.value,
        "equal": proof.verdict.proven,
        "looks": proof.looks,
        "took_seconds": f"{proof.seconds:.1f}",
        "rows_compared": sum(side.comparison.rows_compared for side in proof.sides.values()),
        "rows_different": sum(side.comparison.rows_different for side in proof.sides.values()),
        "differences_staying": len(proof.staying),
        "differences_in_flight": len(proof.in_flight),
        "oracle": _sums(expected) | {"utilization": _utilization(proof.expected.daily)},
        "sides": {name: _side(side, proof.expected) for name, side in proof.sides.items()},
        "first_difference": None if proof.first is None else trace(proof.first),
        "differences": [str(difference) for difference in (proof.staying or proof.in_flight)[:LISTED]],
    }


def trace(lineage: Lineage) -> dict[str, Any]:
    """A difference and where it comes from."""
    side, check, key = lineage.difference.place
    captured = lineage.captured
    sources = [
        {
            "system": source.system,
            "table": source.table,
            "id": source.id,
            "row": {name: _plain(value) for name, value in source.facts.items()},
            "captured": _plain(captured[source.canonical_id]) if source.canonical_id in captured else None,
        }
        for source in lineage.sources
    ]
    return {
        "side": side,
        "check": check,
        "key": [_plain(part) for part in key],
        "entry": lineage.entry,
        "difference": str(lineage.difference),
        "sources": sources,
        "expected": [_plain(segment) for segment in lineage.expected],
        "found": [_plain(segment) for segment in lineage.found],
        "events": [_plain(line) for line in lineage.lines],
        "events_unlike_topic": list(lineage.unlike),
        "advice": lineage.advice,
    }


def print_report(console: Console, proof: Proof) -> None:
    """Print sums, conservation, and the first difference."""
    told = figures(proof)
    console.print(_sums_table(told))
    console.print(_buckets_table(told))
    for name, side in told["sides"].items():
        gap = side["conservation"]
        money = ", ".join(f"{amount} {currency}" for currency, amount in gap["gap_money"].items()) or "0.00"
        console.print(
            f"conservation, {name}: {gap['approved_seconds']:,} s approved, {gap['booked_seconds']:,} s booked, "
            f"gap {gap['gap_seconds']:,} s and {money}; entries that do not add up: {gap['entries_with_gap']:,}",
            highlight=False,
        )
    if proof.first is not None:
        _print_first(console, proof.first)
    console.print(
        f"\n{told['rows_compared']:,} rows compared, {told['rows_different']:,} different, at the last of "
        f"{_count(proof.looks, 'look')} in {told['took_seconds']} s. {_sentence(proof)}",
        style="green" if proof.verdict.proven else "red",
        markup=False,
        highlight=False,
    )


def _sentence(proof: Proof) -> str:
    match proof.verdict:
        case Verdict.EQUAL:
            return "The system says what the oracle says."
        case Verdict.IN_FLIGHT:
            return (
                "Every row different at one look agreed with the oracle later; those different at the last look "
                "came after that one and are in flight."
            )
        case Verdict.UNSETTLED:
            return "Rows changed before each look and never agreed: run it again when less is going on."
    return (
        f"{_count(len(proof.staying), 'difference')} stayed, {len(proof.in_flight):,} more may be in flight."
    )


def _side(side: Side, expected: Any) -> dict[str, Any]:
    comparison = side.comparison
    ledger = conservation_of(expected, side.actual.ledger.folds)
    return {
        "rows_compared": comparison.rows_compared,
        "rows_different": comparison.rows_different,
        "money_difference": f"{comparison.money_difference:.2f}",
        "checks": {
            check: {"compared": compared, "different": different}
            for check, (compared, different) in comparison.by_check.items()
        },
        **_sums(ledger),
        "current": _sums(conservation_of(expected, side.actual.current.folds)),
        "utilization": _utilization(side.actual.daily),
        "conservation": {
            "approved_seconds": ledger.approved_seconds,
            "booked_seconds": ledger.booked_seconds,
            "gap_seconds": ledger.gap_seconds,
            "gap_money": {currency: money_text(amount) for currency, amount in ledger.gap_money.items()},
            "entries_with_gap": len(ledger.gaps),
            "first_entry_with_gap": next(iter(ledger.gaps), None),
        },
    }


def _sums(of: Conservation) -> dict[str, Any]:
    """Of the ledger, or of what the oracle expects of it."""
    buckets: dict[str, dict[str, Any]] = {
        bucket: {"seconds": seconds, "money": {}} for bucket, seconds in sorted(of.seconds.items())
    }
    for (bucket, currency), amount in sorted(of.money.items()):
        buckets[bucket]["money"][currency] = money_text(amount)
    return {
        "seconds": of.booked_seconds,
        "hours": f"{Decimal(of.booked_seconds) / 3600:.4f}",
        "unpriced_seconds": of.unpriced_seconds,
        "money": {currency: money_text(amount) for currency, amount in of.booked_money.items()},
        "buckets": buckets,
    }


def _utilization(daily: Mapping[Any, Any]) -> dict[str, int]:
    return {
        "worked_seconds": sum(row.worked for row in daily.values()),
        "billable_seconds": sum(row.billable for row in daily.values()),
        "capacity_seconds": sum(row.capacity or 0 for row in daily.values()),
    }


def _sums_table(told: Mapping[str, Any]) -> Table:
    table = _table("Sums", told)
    everyone = [told["oracle"], *told["sides"].values()]
    table.add_row("hours in the ledger", *(_hours(one["seconds"]) for one in everyone))
    for name in ("worked", "billable", "capacity"):
        table.add_row(f"hours {name}", *(_hours(one["utilization"][f"{name}_seconds"]) for one in everyone))
    for currency in sorted({currency for one in everyone for currency in one["money"]}):
        table.add_row(currency, *(f"{Decimal(one['money'].get(currency, '0.00')):,}" for one in everyone))
    return table


def _buckets_table(told: Mapping[str, Any]) -> Table:
    table = _table("Hours by bucket", told)
    everyone = [told["oracle"], *told["sides"].values()]
    for bucket in sorted({bucket for one in everyone for bucket in one["buckets"]}):
        table.add_row(bucket, *(_hours(one["buckets"].get(bucket, {}).get("seconds", 0)) for one in everyone))
    return table


def _table(title: str, told: Mapping[str, Any]) -> Table:
    table = Table("", title=title, title_justify="left")
    for name in ("oracle", *told["sides"]):
        table.add_column(name, justify="right")
    return table


def _print_first(console: Console, lineage: Lineage) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"\nfirst difference: {lineage.difference}")
    for source in lineage.sources[:SHOWN]:
        facts = ", ".join(
            f"{name} {_plain(value)}" for name, value in source.facts.items() if value is not None
        )
        say(f"  source    {source.system}.{source.table} {source.id}: {facts or 'no such valid row'}")
        seen = lineage.captured.get(source.canonical_id)
        if seen is not None:
            say(f"  captured  at {seen.position}")
    for name, segments in (("expected", lineage.expected), ("found", lineage.found)):
        for segment in segments:
            say(f"  {name:9} {_segment(segment)}")
    for line in lineage.lines[-SHOWN:]:
        worth = "" if line.amount is None else f", {money_text(line.amount)} {line.currency or ''}".rstrip()
        say(f"  event     {line.event_id}: {line.bucket}, {line.seconds} s{worth}, from {line.position}")
    for event in lineage.unlike:
        say(f"  unlike    {event} is not in the warehouse as it is in the topic")
    say(f"  advice    {lineage.advice}")


def _segment(segment: Segment) -> str:
    worth = (
        "of unknown worth"
        if segment.amount is None
        else f"{money_text(segment.amount)} {segment.currency or ''}"
    )
    where = f"root {segment.root}, line {segment.line or '-'}, {segment.month or 'no period'}"
    return f"{segment.bucket} {segment.segment}: {segment.seconds} s, {worth.rstrip()} ({where})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _hours(seconds: int) -> str:
    return f"{Decimal(seconds) / 3600:,.2f}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates and Decimals as text, records as objects."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(part) for name, part in asdict(value).items()}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, Decimal):
        return money_text(value)
    return value.isoformat() if isinstance(value, date) else value

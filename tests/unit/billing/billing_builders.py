"""Decoded records and a small firm for the billing tests.

Records are made from the Avro schemas themselves, so that a field that the contract doesn't have fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from agents.billing import (
    Adjustment,
    BillingReference,
    DraftLine,
    Entry,
    Item,
    LedgerLine,
    PostedLine,
    RatedResult,
    Segment,
    allocate,
    rate_entry,
)

AVRO = Path(__file__).parents[3] / "avro"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROOT = "erp:E1"
HOUR = 3600


@cache
def field_names(schema: str) -> tuple[str, ...]:
    """The fields of a schema, ``canonical/rate`` or ``events/rated``."""
    return tuple(field["name"] for field in json.loads((AVRO / f"{schema}.avsc").read_text())["fields"])


def record(entity: str, row_id: str, **fields: Any) -> dict[str, Any]:
    """A decoded ``canonical.<entity>`` record; what isn't given is null."""
    names = field_names(f"canonical/{entity}")
    unknown = set(fields) - set(names)
    assert not unknown, f"{entity} has no {unknown}"
    return {**dict.fromkeys(names), "id": row_id, "deleted": False, **fields}


def day(text: str) -> date:
    """A day of 2026: ``day("03-05")``."""
    return date.fromisoformat(f"2026-{text}")


def money(text: str | int) -> Decimal:
    """An amount as it comes out of Avro, with four places."""
    return Decimal(text).quantize(Decimal("0.0001"))


class Firm:
    """Reference tables under construction: one call a row, `put` again to change it."""

    def __init__(self) -> None:
        self.ref = BillingReference()
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}

    def put(self, entity: str, row_id: str, **fields: Any) -> Firm:
        """Put a row, or change the fields given of one that is there."""
        old = self.rows.get((entity, row_id), {})
        self.rows[entity, row_id] = record(entity, row_id, **{**old, **fields, "id": row_id})
        self.ref.apply(entity, row_id, self.rows[entity, row_id])
        return self

    def drop(self, entity: str, row_id: str) -> Firm:
        """Delete a row."""
        del self.rows[entity, row_id]
        self.ref.apply(entity, row_id, None)
        return self


def small_firm(**line: Any) -> Firm:
    """Consultant C1 (dev, senior, eu) on project P1 of line L1 of engagement E1, T&M, EUR 100 an hour."""
    firm = Firm()
    firm.put("legal_entity", "erp:LE1", currency="EUR")
    firm.put("client", "erp:CL1", currency="EUR")
    firm.put("consultant", "erp:C1", role="dev", grade="senior", region="eu")
    firm.put(
        "engagement",
        ROOT,
        client_id="erp:CL1",
        legal_entity_id="erp:LE1",
        currency="EUR",
        starts_on=day("01-01"),
        over_cap_action="hold",
    )
    firm.put(
        "contract_line",
        "erp:L1",
        **{
            "engagement_id": ROOT,
            "billing_method": "tm",
            "rounding": "half_up",
            "over_cap_action": "hold",
            **line,
        },
    )
    firm.put("project", "erp:P1", engagement_id=ROOT, contract_line_id="erp:L1")
    firm.put("task", "erp:T1", project_id="erp:P1", billing_class="billable")
    return put_rate(firm, "erp:R-default", 100)


def put_rate(firm: Firm, rate_id: str, price: str | int, **scope: Any) -> Firm:
    """A EUR rate, overtime 1.5 and weekend 2, effective from 1 January 2026 on unless given otherwise."""
    fields = {
        "currency": "EUR",
        "price": money(price),
        "overtime_multiplier": Decimal("1.5000"),
        "weekend_multiplier": Decimal("2.0000"),
        "effective_from": day("01-01"),
        "applies_to_invoiced": False,
        **scope,
    }
    return firm.put("rate", rate_id, **fields)


def entry(number: int, on: str, hours: str | int, **fields: Any) -> Entry:
    """An approved entry ``time:<number>`` of C1 on P1, approved on the day of the work at noon UTC."""
    work_date = day(on)
    made = Entry.from_record(
        record(
            "time_entry",
            f"time:{number}",
            **{
                "consultant_id": "erp:C1",
                "project_id": "erp:P1",
                "work_date": work_date,
                "seconds": int(Decimal(hours) * HOUR),
                "kind": "standard",
                "status": "approved",
                "version": 1,
                "approved_at": datetime(work_date.year, work_date.month, work_date.day, 12, tzinfo=UTC),
                **fields,
            },
        )
    )
    assert made is not None
    return made


def rated(firm: Firm, made: Entry) -> RatedResult:
    """The rating of an entry."""
    return rate_entry(made, firm.ref)


def item(firm: Firm, *args: Any, **fields: Any) -> Item:
    """The item of an entry (see `entry`), as it comes over the wire."""
    made = rated(firm, entry(*args, **fields)).item
    assert made is not None
    return Item.from_record(made.fields())


def posted(line_id: str, entry_id: str, hours: str | int, amount: str | int, **fields: Any) -> PostedLine:
    """A posted charge line on L1, version 1, posted on 31 March."""
    made = PostedLine.from_record(
        record(
            "invoice_line",
            line_id,
            **{
                "engagement_id": ROOT,
                "contract_line_id": "erp:L1",
                "kind": "charge",
                "entry_id": entry_id,
                "entry_version": 1,
                "seconds": int(Decimal(hours) * HOUR),
                "amount": money(amount),
                "status": "posted",
                "posted_at": datetime(2026, 3, 31, 23, 30, tzinfo=UTC),
                **fields,
            },
        )
    )
    assert made is not None
    return made


def credit(line_id: str, of: PostedLine, hours: str | int, amount: str | int) -> PostedLine:
    """A posted credit line that takes back a part of a charge line."""
    return posted(line_id, of.entry_id, hours, amount, kind="credit", credits_line_id=of.id)


def write_off(adjustment_id: str, entry_id: str, hours: str | int) -> Adjustment:
    """A decision to write off hours of an entry."""
    made = Adjustment.from_record(
        record(
            "bill_adjustment",
            adjustment_id,
            engagement_id=ROOT,
            entry_id=entry_id,
            kind="write_off",
            seconds=int(Decimal(hours) * HOUR),
        )
    )
    assert made is not None
    return made


def an_adjustment(adjustment_id: str, entry_id: str) -> st.SearchStrategy[Adjustment]:
    """A decision of any kind about an entry of the root."""
    seconds, money = st.integers(0, 20_000), st.decimals(0, 3000, places=2)
    return st.one_of(
        seconds.map(lambda s: Adjustment(adjustment_id, ROOT, entry_id, "write_off", s)),
        st.tuples(money, st.integers(28, 31)).map(
            lambda of: Adjustment(
                adjustment_id, ROOT, entry_id, "discount", None, of[0], datetime(2026, 3, of[1], tzinfo=UTC)
            )
        ),
        st.one_of(st.none(), seconds).map(lambda s: Adjustment(adjustment_id, ROOT, entry_id, "hold", s)),
    )


def allocated(
    firm: Firm,
    items: Iterable[Item],
    lines: Iterable[PostedLine] = (),
    adjustments: Iterable[Adjustment] = (),
    drafts: Iterable[DraftLine] = (),
) -> dict[tuple[str, str], Segment]:
    """The segments of the root of the small firm."""
    return allocate(items, lines, adjustments, firm.ref.terms(ROOT), drafts)


Shown = dict[tuple[str, str], tuple[str, Any, Any]]  # bucket, hours, amount


def shown(segments: Mapping[tuple[str, str], Segment]) -> Shown:
    """Segments as (bucket, hours to four places, amount as text), for comparison by eye."""
    return {
        key: (
            segment.bucket,
            round(Decimal(segment.seconds) / HOUR, 4),
            None if segment.amount is None else f"{segment.amount:.2f}",
        )
        for key, segment in segments.items()
    }


FoldKey = tuple[str, str, str, str, str | None, str | None, str]


def fold_key(segment: Segment) -> FoldKey:
    """What ledger and live segments are summed by: down to bucket, line, currency and month."""
    return (
        segment.root_id,
        segment.entry_id,
        segment.segment,
        segment.bucket,
        segment.contract_line_id,
        segment.currency,
        str(segment.accounting_date)[:7],
    )


def fold(segments: Iterable[Segment]) -> dict[FoldKey, tuple[int, Decimal]]:
    """Seconds and money by `fold_key`, without the sums that are zero."""
    sums: dict[FoldKey, tuple[int, Decimal]] = {}
    for segment in segments:
        seconds, amount = sums.get(fold_key(segment), (0, Decimal(0)))
        sums[fold_key(segment)] = (seconds + segment.seconds, amount + (segment.amount or 0))
    return {key: value for key, value in sums.items() if any(value)}


def fold_ledger(lines: Iterable[LedgerLine]) -> dict[FoldKey, tuple[int, Decimal]]:
    """The same sums over ledger lines."""
    return fold(line.segment for line in lines)

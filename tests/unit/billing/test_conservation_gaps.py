"""The live conservation gap: 0 for whatever allocation makes, and the size of what is missing where it is not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from billing_builders import ROOT, allocated, item, posted, put_rate, small_firm, write_off
from prometheus_client import REGISTRY

from agents.billing.book import EntryBook
from agents.billing.conservation import Gaps, gap_of
from agents.billing.ledger import LiveSegment


def book(*, billed: bool = False, gone: bool = False) -> EntryBook:
    """8.1 h at 133.33 by quarters of an hour, 2 h written off, perhaps posted in part, perhaps withdrawn since."""
    firm = put_rate(small_firm(quantity_increment_seconds=900), "erp:R-default", "133.33")
    made = item(firm, 1, "03-02", "8.1")
    lines = [posted("erp:I1", "time:1", 3, 400)] if billed else []
    segments = allocated(firm, [] if gone else [made], lines, [write_off("erp:A1", "time:1", 2)])
    live = {key[1]: LiveSegment(segment, 1, "") for key, segment in segments.items()}
    return EntryBook({}, 1, None if gone else made, {line.id: line for line in lines}, {}, live)


@pytest.mark.parametrize("billed", [False, True])
@pytest.mark.parametrize("gone", [False, True])
def test_what_is_allocated_has_no_gap(billed: bool, gone: bool) -> None:
    """With rounding, a write-off, a posted line at another price, a withdrawal."""
    assert gap_of(book(billed=billed, gone=gone)) == (0, 0)


def test_a_lost_segment_is_the_gap() -> None:
    """Its seconds and its money; a doubled one is a gap the other way."""
    kept = book()
    lost = kept.live.pop("adj:erp:A1").segment
    assert lost is not None
    assert gap_of(kept) == (7200, Decimal("266.66"))
    kept.live["once"] = kept.live["again"] = LiveSegment(lost, 1, "")
    assert gap_of(kept) == (-7200, Decimal("-266.66"))


def test_what_is_gone_must_be_in_no_segment() -> None:
    """The withdrawn entry's time is still somewhere: a gap of time; what it was worth is not known any more."""
    left = book()
    left.item = None
    assert gap_of(left) == (-29160, 0)


def exported() -> tuple[float | None, float | None]:
    """The metrics of the partition."""
    labels = {"partition": "77"}
    return (
        REGISTRY.get_sample_value("tallystream_conservation_gap_seconds", labels),
        REGISTRY.get_sample_value("tallystream_conservation_gap_money", labels),
    )


def test_the_metric_is_what_is_open() -> None:
    """It comes with the gap, keeps it, and goes with it."""
    gaps = Gaps(77)
    assert exported() == (0, 0)
    whole, broken = book(), book()
    del broken.live["adj:erp:A1"]
    for state, shown in (
        (whole, (0, 0)),
        (broken, (7200, 266.66)),
        (broken, (7200, 266.66)),
        (whole, (0, 0)),
    ):
        gaps.look(ROOT, "time:1", state)
        gaps.export()
        assert exported() == shown

"""What the id of a ledger line says, and texts that are none."""

from __future__ import annotations

import pytest

from agents.explain.eventid import read_event_id
from streams.errors import UsageError


@pytest.mark.parametrize(
    ("text", "root", "entry", "segment"),
    [
        ("erp:E1:time:5:base:1:CHARGE", "erp:E1", "time:5", "base"),
        ("erp:E1:time:5:over-line:12:REVERSAL", "erp:E1", "time:5", "over-line"),
        ("erp:E1:time:5:inv:erp:I1:1:CHARGE", "erp:E1", "time:5", "inv:erp:I1"),
        ("erp:E1:erp:M1:base:1:CHARGE", "erp:E1", "erp:M1", "base"),
        ("entry:time:5:time:5:base:1:CHARGE", "entry:time:5", "time:5", "base"),
        ("entry:time:a:b:time:a:b:base:1:CHARGE", "entry:time:a:b", "time:a:b", "base"),
        (
            "erp:E1:day:erp:C1:erp:L1:2026-03-05:uplift:1:UPLIFT",
            "erp:E1",
            "day:erp:C1:erp:L1:2026-03-05",
            "uplift",
        ),
        ("erp:E1:time:5:base:9876543210:CHARGE", "erp:E1", "time:5", "base"),
        ("erp:E1:time:5:breakage:1:BREAKAGE", "erp:E1", "time:5", "breakage"),
        (" erp:E1:time:5:base:1:CHARGE\n", "erp:E1", "time:5", "base"),
    ],
)
def test_ids_are_read(text: str, root: str, entry: str, segment: str) -> None:
    """Root, entry and segment, of which each may hold colons."""
    (read,) = read_event_id(text)
    assert (read.root_id, read.entry_id, read.segment) == (root, entry, segment)
    assert read.text == text.strip()


def test_an_ambiguous_id_has_several_readings() -> None:
    """A native id with a colon: the root of fewest parts is tried first."""
    readings = read_event_id("erp:E:1:time:5:base:1:CHARGE")
    assert [read.root_id for read in readings] == ["erp:E", "erp:E:1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "erp:E1:time:5:base:1",
        "erp:E1:time:5:base:0:CHARGE",
        "erp:E1:time:5:base:12345678901:CHARGE",
        f"erp:E1:time:5:base:{'9' * 4301}:CHARGE",
        "erp:E1:time:5:base:x:CHARGE",
        "erp:E1:time:5:base:1:charge",
        "erp:E1:base:1:CHARGE",
        "erp::time:5:base:1:CHARGE",
        "entry:time:5:time:6:base:1:CHARGE",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """With the form that is expected."""
    with pytest.raises(UsageError, match="is no event id; give <root>:<entry>:<segment>"):
        read_event_id(text)

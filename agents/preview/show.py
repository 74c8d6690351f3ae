"""A preview on a terminal."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.billing.segments import Segment
from agents.preview.totals import Preview

# All of them are in the JSON form.
SEGMENTS_SHOWN = 20


def show(console: Console, preview: Preview) -> None:
    """Print what it comes to, then the first of the segments that move."""
    if not preview.changes:
        console.print("Nothing in billing would change.")
        return
    noun = "entry" if preview.entries == 1 else "entries"
    console.print(f"{preview.entries:,} {noun} would change, {len(preview.changes):,} segments.")
    table = Table("client", "month", "bucket", "hours", "money", "", title="Difference by client and period")
    for column in (3, 4):
        table.columns[column].justify = "right"
    for key, total in preview.totals.items():
        unknown = f"{total.unpriced:+d} of unknown worth" if total.unpriced else ""
        table.add_row(
            escape(key.client_id or ""),
            key.month or "",
            key.bucket,
            f"{Decimal(total.seconds) / 3600:+,.2f}",
            f"{total.amount:+,.2f} {key.currency or ''}".rstrip(),
            unknown,
        )
    console.print(table if preview.totals else "Money and hours stay where they are.")
    moved = Table("entry", "segment", "is", "would be", title="Segments")
    for (entry_id, segment), before, after in preview.changes[:SEGMENTS_SHOWN]:
        moved.add_row(escape(entry_id), escape(segment), _words(before), _words(after))
    console.print(moved)
    if len(preview.changes) > SEGMENTS_SHOWN:
        console.print(f"… and {len(preview.changes) - SEGMENTS_SHOWN:,} more; --json has all.")


def _words(segment: Segment | None) -> str:
    if segment is None:
        return "-"
    money = (
        "unknown" if segment.amount is None else f"{segment.amount:,.2f} {segment.currency or ''}".rstrip()
    )
    return escape(f"{segment.bucket} {Decimal(segment.seconds) / 3600:,.2f} h, {money}, {segment.root_id}")

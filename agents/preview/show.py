"""A preview on a terminal."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.billing.segments import Segment
from agents.preview.totals import Preview, plain
from streams.money import SECONDS_PER_HOUR, ZERO, minor_unit

# All of them are in the JSON form.
SEGMENTS_SHOWN = 20
EFFECTS_SHOWN = 20
# What is said of every segment; the rest only where it moves.
_SAID = frozenset(("bucket", "seconds", "amount", "currency", "root_id"))


def show(console: Console, preview: Preview) -> None:
    """Print what it comes to, then which rows it is about, then the first of the segments that move."""
    if not preview.changes:
        console.print("Nothing in billing would change.")
        _show_effects(console, preview)
        return
    noun = "entry" if preview.entries == 1 else "entries"
    console.print(f"{preview.entries:,} {noun} would change, {len(preview.changes):,} segments.")
    _show_effects(console, preview)
    table = Table("client", "month", "bucket", "hours", "money", "", title="Difference by client and period")
    for column in (3, 4):
        table.columns[column].justify = "right"
    for key, total in preview.totals.items():
        unknown = f"{total.unpriced:+d} of unknown worth" if total.unpriced else ""
        table.add_row(
            escape(key.client_id or ""),
            key.month or "",
            key.bucket,
            hours(total.seconds, "+"),
            escape(money(total.amount, key.currency, "+")),
            unknown,
        )
    console.print(table if preview.totals else "Money and hours stay where they are.")
    moved = Table("entry", "segment", "is", "would be", title="Segments")
    for (entry_id, segment), before, after, _ in preview.changes[:SEGMENTS_SHOWN]:
        moved.add_row(escape(entry_id), escape(segment), _words(before, after), _words(after, before))
    console.print(moved)
    if len(preview.changes) > SEGMENTS_SHOWN:
        console.print(f"… and {len(preview.changes) - SEGMENTS_SHOWN:,} more; --json has all.")


def _show_effects(console: Console, preview: Preview) -> None:
    """A line a change; those that make a row come first, since an id may be a slip."""
    numbered = sorted(enumerate(preview.effects, 1), key=lambda one: not one[1].makes_new)
    for number, effect in numbered[:EFFECTS_SHOWN]:
        change = effect.change
        which = change.entity if change.id is None else f"{change.entity} {change.id!r}"
        console.print(escape(f"change {number}, {which}: {effect.words}"), highlight=False)
    if len(numbered) > EFFECTS_SHOWN:
        console.print(f"… and {len(numbered) - EFFECTS_SHOWN:,} more changes; --json has all.")


def hours(seconds: int, sign: str = "") -> str:
    """Hours to two places, or to four where two would hide seconds."""
    places = 2 if seconds % 36 == 0 else 4
    return f"{Decimal(seconds) / SECONDS_PER_HOUR:{sign},.{places}f}"


def money(amount: Decimal, currency: str | None, sign: str = "") -> str:
    """To the currency's minor unit, or to as many places as the amount has."""
    digits = (minor_unit(currency or ""), (amount or ZERO).normalize())
    places = max(0, *(-int(number.as_tuple().exponent) for number in digits))
    return f"{amount:{sign},.{places}f} {currency or ''}".rstrip()


def _words(segment: Segment | None, other: Segment | None) -> str:
    """A segment, with what makes it another one than the other."""
    if segment is None:
        return "-"
    worth = "unknown" if segment.amount is None else money(segment.amount, segment.currency)
    words = [f"{segment.bucket} {hours(segment.seconds)} h", worth, segment.root_id]
    if other is not None:
        theirs = other.fields()
        for name, value in segment.fields().items():
            if name not in _SAID and value != theirs[name]:
                words.append(f"{name.removesuffix('_id').replace('_', ' ')} {_value(value)}")
    return escape(", ".join(words))


def _value(value: object) -> str:
    if isinstance(value, list):
        return " and ".join(value)
    return "-" if value is None else plain(value)

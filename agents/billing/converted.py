"""Which entries have money that gets into the books by an exchange rate: those that a new rate may concern.

Keys: ``f\\0<from>:<to>\\0<work date>\\0<root>\\0<entry>``, without values; an entry whose work date moved stays, and costs
a visit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from agents.billing.functional import rule_of
from agents.billing.index import ANY
from agents.billing.segments import Segment
from agents.billing.terms import Terms
from agents.billing.touches import Touch
from streams.lanes.state import Overlay

CONVERTED: Final = b"f\0"
FX: Final = "fx:"


def note(state: Overlay, terms: Terms, segments: Iterable[Segment]) -> None:
    """Index segments of a contract whose money is converted."""
    for segment in segments:
        currency = segment.functional_currency
        if currency is None or segment.currency is None or currency == segment.currency:
            continue
        if segment.work_date is None:
            continue
        pair = rule_of(terms).dependency(segment.currency, currency).removeprefix(FX)
        entry = f"{segment.root_id}\0{segment.entry_id}"
        key = CONVERTED + f"{pair}\0{segment.work_date.isoformat()}\0{entry}".encode()
        if state.get(key) is None:
            state.put(key, b"")


def affected(touches: Iterable[Touch], state: Overlay) -> Iterator[bytes]:
    """``<root>\\0<entry>`` of those whose work is of days that a changed exchange rate serves."""
    for touch in touches:
        if not touch.dependency.startswith(FX):
            continue
        pair = touch.dependency.removeprefix(FX)
        prefix = CONVERTED if pair.endswith(ANY) else CONVERTED + f"{pair}\0".encode()
        first = "" if touch.first_day is None or prefix is CONVERTED else touch.first_day.isoformat()
        for key, _ in state.scan(prefix, prefix + first.encode()):
            _, _, day, root_id, entry_id = key.split(b"\0")
            if touch.last_day is not None and day.decode() > touch.last_day.isoformat():
                if prefix is CONVERTED:
                    continue
                break
            yield root_id + b"\0" + entry_id

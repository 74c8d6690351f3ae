"""Conservation, live: what is approved of an entry is in its segments, to the second and the cent.

The law holds by construction, so its gap is 0; it is looked at with every change all the same, since what it
would find is money. Seconds: the live segments of an entry sum to its approved seconds, to 0 once it is
gone. Money: those of a priced entry of which nothing is posted as it is now sum to what it is worth, with what the
rounding of its quantity is worth. (What is posted has the ERP's amount, which need not be today's price.)

Example: 8 h/1,200 approved, 6 h/900 unbilled, 2 h/300 written off: no gap. Without the write-off, 7,200 s and 300.
"""

from __future__ import annotations

from decimal import Decimal

from agents.billing.book import EntryBook
from agents.billing.items import PRICED
from agents.billing.posted import net_lines
from streams import metrics
from streams.money import ZERO


def gap_of(book: EntryBook) -> tuple[int, Decimal]:
    """Seconds and money that are approved and not in a segment; negative: in segments and not approved."""
    item = book.item
    live = [state.segment for state in book.live.values() if state.segment is not None]
    seconds = (0 if item is None else item.seconds) - sum(segment.seconds for segment in live)
    if item is None or item.disposition != PRICED or item.amount is None:
        return seconds, ZERO
    if any(net.line.entry_version == item.version for net in net_lines(book.lines.values())):
        return seconds, ZERO
    worth = item.amount + (item.rounding_amount or ZERO)
    return seconds, worth - sum((segment.amount or ZERO for segment in live), ZERO)


class Gaps:
    """The gaps of a partition's entries that were looked at since the stage was opened; there should be none."""

    def __init__(self, partition: int) -> None:
        self._open: dict[tuple[str, str], tuple[int, Decimal]] = {}
        self._seconds = metrics.CONSERVATION_GAP_SECONDS.labels(str(partition))
        self._money = metrics.CONSERVATION_GAP_MONEY.labels(str(partition))
        self.export()

    def look(self, root_id: str, entry_id: str, book: EntryBook) -> None:
        """At an entry on a root that was just allocated."""
        gap = gap_of(book)
        if gap != (0, ZERO):
            self._open[root_id, entry_id] = gap
        elif self._open:
            self._open.pop((root_id, entry_id), None)

    def export(self) -> None:
        """Sums of the gaps' sizes, whatever their currencies: alerts ask whether they are 0."""
        self._seconds.set(sum(abs(seconds) for seconds, _ in self._open.values()))
        # A metric has floats only; nothing is computed with this one.
        self._money.set(float(sum((abs(money) for _, money in self._open.values()), ZERO)))  # float: a metric

"""When the last was decided about an entry, for closes that arrive later than what was decided after them.

A close parts what was decided before it from what came later: it can only move entries of which something was
decided since, and something before. A close that arrives in time finds hardly any.

Keys: ``t\\0<legal entity>\\0<decision>\\0<root>\\0<entry>``, without values; a decision that was the last once stays,
and costs a visit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Final

from agents.billing.closes import Facts
from agents.billing.index import ANY
from agents.billing.touches import Touch
from streams.lanes.state import Overlay

DECIDED: Final = b"t\0"
PERIOD: Final = "period:"


class Decided:
    """One lane's index of entries by their last decision. The state it is given is the slice's."""

    def note(self, state: Overlay, root_id: str, entity: str | None, facts: Facts) -> None:
        """Index an entry, unless rating will say if a close moves it."""
        if entity is None or facts.is_dated_by_rating:
            return
        decisions = facts.decisions()
        last = max(decisions).astimezone(UTC).isoformat(timespec="microseconds")
        key = DECIDED + f"{entity}\0{last}\0{root_id}\0{facts.entry_id}".encode()
        if state.get(key) is None:
            state.put(key, b"")

    def affected(self, touches: Iterable[Touch], state: Overlay) -> Iterator[bytes]:
        """``<root>\\0<entry>`` of those decided since the closes of the touches, as often as they were."""
        for touch in touches:
            if not touch.dependency.startswith(PERIOD):
                continue
            since = touch.decided_from
            start = "" if since is None else since.astimezone(UTC).isoformat(timespec="microseconds")
            entity = touch.dependency.removeprefix(PERIOD)
            # Of a period that changed unseen it is not known whose it was.
            prefix = DECIDED if entity == ANY else DECIDED + f"{entity}\0".encode()
            for key, _ in state.scan(prefix, DECIDED if entity == ANY else prefix + start.encode()):
                yield key.split(b"\0", 3)[3]

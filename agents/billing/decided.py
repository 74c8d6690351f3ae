"""When the last was decided about an entry, for closes that arrive later than what was decided after them.

A close parts what was decided before it from what came later: it can only move entries of which something was
decided since, and something before. A close that arrives in time finds hardly any.

Of a root whose entries share something, what is decided about one may move all of them: there it is the root that is
indexed, by the hour of its last decision, so that it has few keys.

Keys: ``t\\0<legal entity>\\0<decision>\\0<root>\\0<entry>``, or ``t\\0<legal entity>\\0<hour>\\0<root>``, without values; a
decision that was the last once stays, and costs a visit. Rating has such an index too, of entries with prices decided
since their approval, by its own keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from agents.billing.closes import Facts
from agents.billing.index import ANY
from agents.billing.terms import Terms
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
        self.put(state, entity, max(facts.decisions()), f"{root_id}\0{facts.entry_id}".encode())

    def put(self, state: Overlay, entity: str, last: datetime, entry: bytes) -> None:
        """Index an entry, by whatever names it, under the last decision about it."""
        _note(state, f"{entity}\0{_text(last)}\0".encode() + entry)

    def note_root(self, state: Overlay, root_id: str, terms: Terms, last: datetime) -> None:
        """Index a root whose entries share something."""
        if terms.legal_entity_id is not None:
            _note(state, f"{terms.legal_entity_id}\0{_text(_hour(last))}\0{root_id}".encode())

    def affected(self, touches: Iterable[Touch], state: Overlay) -> Iterator[bytes]:
        """What names the entries of which something was decided since the closes of the touches, as often as it was:
        ``<root>\\0<entry>``, or ``<root>`` of all that is on it."""
        for touch in touches:
            if not touch.dependency.startswith(PERIOD):
                continue
            since = touch.decided_from
            start, hour = ("", "") if since is None else (_text(since), _text(_hour(since)))
            entity = touch.dependency.removeprefix(PERIOD)
            # Of a period that changed unseen it is not known whose it was.
            prefix = DECIDED if entity == ANY else DECIDED + f"{entity}\0".encode()
            for key, _ in state.scan(prefix, DECIDED if entity == ANY else prefix + hour.encode()):
                _, _, decided, reached = key.split(b"\0", 3)
                if entity == ANY or b"\0" not in reached or decided >= start.encode():
                    yield reached


def _note(state: Overlay, key: bytes) -> None:
    if state.get(DECIDED + key) is None:
        state.put(DECIDED + key, b"")


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")

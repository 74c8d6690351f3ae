"""Which grace periods end when: a heap beside the lane's state, rebuilt from it at start."""

from __future__ import annotations

import heapq
from datetime import datetime

from agents.exceptions.incident import Incident
from agents.exceptions.state_machine import State


class GraceTimers:
    """Ends of grace periods, earliest first.

    An incident that was cleared meanwhile may still come up; `due` leaves it as it is.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str]] = []

    def __len__(self) -> int:
        """Grace periods that have not been taken yet."""
        return len(self._heap)

    def watch(self, incident: Incident) -> None:
        """Note when an incident's grace period ends; nothing for one that is not waiting."""
        if incident.state == State.WAITING:
            heapq.heappush(self._heap, (incident.visible_at, incident.exception_id))

    def take_due(self, now: datetime) -> list[str]:
        """The exception ids whose grace period has ended by ``now``, each once."""
        ids: dict[str, None] = {}
        while self._heap and self._heap[0][0] <= now:
            ids[heapq.heappop(self._heap)[1]] = None
        return list(ids)

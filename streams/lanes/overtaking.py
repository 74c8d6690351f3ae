"""From where on records of an input may be handed over instead of going through the broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Overtaking:
    """The limits of a core's inputs. Before them there may be earlier records of the same keys.

    A limit is an offset that the cursor must have reached. It moves on with each record that the lane sends
    through the broker itself, and is unknown until that is delivered.
    """

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}
        self._on_their_way: dict[str, int] = {}

    def limit(self, topic: str, end: int) -> None:
        """Nothing before offset ``end`` may be overtaken."""
        self._limits[topic] = end

    def allows(self, topic: str, position: int) -> bool:
        """Whether records may be handed over once everything before ``position`` is applied."""
        limit = self._limits.get(topic)
        return limit is not None and position >= limit and not self._on_their_way.get(topic)

    def expect(self, topic: str) -> Callable[[Any, Any], None]:
        """A record goes through the broker: none may overtake it. Returns what is to hear of its delivery."""
        self._on_their_way[topic] = self._on_their_way.get(topic, 0) + 1

        def delivered(error: object, message: Any) -> None:
            if error is None:  # else its transaction is aborted, and the lane opened anew
                self._on_their_way[topic] -= 1
                self._limits[topic] = max(self._limits.get(topic, 0), message.offset() + 1)

        return delivered

"""How far a SQLite source has come: its record in ``source.positions``, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from connectors.sources.positions import parse_position

FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Stored in the Kafka transaction of the changes it covers.

    ``identity``: of the change table; ``number``: of the last change that is published. ``tables``:
    the number at which each table's snapshot was taken; its changes up to there are in the snapshot.
    """

    epoch: int = FIRST_EPOCH
    identity: str = ""
    number: int = 0
    tables: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The value on the wire."""
        stored = {"connector": "sqlite", **asdict(self)}
        return json.dumps(stored, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, value: bytes) -> Progress:
        """Read the wire form, or `PositionLost` when it isn't one of ours."""

        def make(stored: dict[str, Any]) -> Progress:
            return cls(stored["epoch"], stored["identity"], stored["number"], dict(stored["tables"]))

        return parse_position(value, "sqlite", make)

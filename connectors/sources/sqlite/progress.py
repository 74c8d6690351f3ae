"""How far a SQLite source has come: its record in ``source.positions``, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from streams.errors import PositionLost

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
        try:
            stored: dict[str, Any] = json.loads(value)
            if stored.get("connector") != "sqlite":
                raise ValueError(f"of connector {stored.get('connector', 'postgresql')}")
            return cls(stored["epoch"], stored["identity"], stored["number"], dict(stored["tables"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PositionLost(
                f"the stored source position cannot be read ({error}); another source or version wrote it: "
                "give this source another name"
            ) from None

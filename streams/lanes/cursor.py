"""A lane's cursor: what of its inputs is applied. It is written in each slice's transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from streams.errors import ContractViolation

CURSOR_KEY = b"\x00cursor"
FORMAT = 1


@dataclass(slots=True)
class Cursor:
    """Next offset to apply of each input topic, and of each reference topic partition.

    ``references`` holds what has been fanned out to the lane's own entries; the reference tables
    themselves may be ahead. ``rules`` is the version of the rules that wrote the state last.
    """

    inputs: dict[str, int] = field(default_factory=dict)
    references: dict[str, int] = field(default_factory=dict)
    rules: str = ""

    def to_bytes(self) -> bytes:
        """The stored form: compact JSON."""
        return json.dumps(
            {"format": FORMAT, "inputs": self.inputs, "references": self.references, "rules": self.rules},
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Cursor:
        """Read the stored form; `ContractViolation` for one that a newer version wrote."""
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ContractViolation(
                f"the lane's cursor has format {document['format']}, this version reads {FORMAT}; "
                "run the version that wrote it"
            )
        return cls(document["inputs"], document["references"], document["rules"])


def reference_key(topic: str, partition: int) -> str:
    """Name of a reference topic partition in `Cursor.references`."""
    return f"{topic}/{partition}"

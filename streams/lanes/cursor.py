"""A lane's cursor: what of its inputs is applied. It is written in each slice's transaction."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.errors import ContractViolation
from streams.packing import packed

CURSOR_KEY = b"\x00cursor"
FORMAT = 1


class UnderWay(NamedTuple):
    """A fan-out that has not ended: what it is for, and ``after``, the last key that it did.

    It is for reference changes up to ``positions``; or, where there are none, for the ``rules``.
    """

    rules: str
    positions: dict[str, int]
    after: bytes

    def fields(self) -> dict[str, Any]:
        """As it is stored."""
        return {"rules": self.rules, "positions": self.positions, "after": self.after.hex()}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> UnderWay:
        """As `fields` gave it."""
        return cls(fields["rules"], fields["positions"], bytes.fromhex(fields["after"]))


@dataclass(slots=True)
class Cursor:
    """Next offset to apply of each input topic, and of each reference topic partition.

    ``references`` holds what has been fanned out to the lane's own entries; the reference tables
    themselves may be ahead. ``rules`` is the version of the rules that wrote the state last, ``evaluated``
    that with which all of it has been evaluated: while they differ, an upgrade is under way. ``identity``
    is the state's own: a state that is built anew gets another. ``topics`` holds the ids of the input topics
    that the offsets are of, "" where the broker has none. ``under_way`` is a fan-out to go on with.
    """

    inputs: dict[str, int] = field(default_factory=dict)
    references: dict[str, int] = field(default_factory=dict)
    rules: str = ""
    evaluated: str = ""
    identity: str = field(default_factory=lambda: secrets.token_hex(8))
    topics: dict[str, str] = field(default_factory=dict)
    under_way: UnderWay | None = None

    def to_bytes(self) -> bytes:
        """The stored form: compact JSON."""
        document = {
            "format": FORMAT,
            "inputs": self.inputs,
            "references": self.references,
            "rules": self.rules,
            "evaluated": self.evaluated,
            "identity": self.identity,
            "topics": self.topics,
            "under_way": self.under_way and self.under_way.fields(),
        }
        return packed(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> Cursor:
        """Read the stored form; `ContractViolation` for one that a newer version wrote."""
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ContractViolation(
                f"the lane's cursor has format {document['format']}, this version reads {FORMAT}; "
                "run the version that wrote it"
            )
        rules = document["rules"]
        cursor = cls(document["inputs"], document["references"], rules, document.get("evaluated", rules))
        cursor.identity = document.get("identity", cursor.identity)
        cursor.topics = document.get("topics", {})
        under_way = document.get("under_way")
        cursor.under_way = UnderWay.from_fields(under_way) if under_way else None
        return cursor


def reference_key(topic: str, partition: int) -> str:
    """Name of a reference topic partition in `Cursor.references`."""
    return f"{topic}/{partition}"

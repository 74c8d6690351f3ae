"""What the canonical lane remembers of one source row: where it stands, and what it has published."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from agents.canonical.positions import Position
from streams.errors import ContractViolation

_FORM: Final = struct.Struct("<BiqiiqB")
_FORMAT_VERSION: Final = 1
_LIVE, _RAISED, _OWNERSHIP, _ROUTED = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class RowState:
    """State of a row, kept after its deletion too: a late duplicate must still be recognised.

    ``mapping_version``: the mapping that decided; a newer one decides the same position again.
    ``reports``: how many exception reports this row has made, the revision of the next less one.
    ``live``: the last canonical record was not a deletion. ``raised``: its quarantine is reported and not
    cleared. ``ownership``: the same of a violation of ownership. ``route``: see the mapping.
    """

    position: Position
    mapping_version: int
    reports: int = 0
    live: bool = False
    raised: bool = False
    ownership: bool = False
    route: str | None = None

    def supersedes(self, position: Position, mapping_version: int) -> bool:
        """Whether a change at ``position`` is old news.

        The same position counts again under a newer mapping, so that replaying rows after a mapping was
        fixed has an effect.
        """
        if position != self.position:
            return position < self.position
        return mapping_version <= self.mapping_version

    def to_bytes(self) -> bytes:
        """30 bytes, and the route."""
        flags = self.live * _LIVE | self.raised * _RAISED | self.ownership * _OWNERSHIP
        flags |= (self.route is not None) * _ROUTED
        fixed = _FORM.pack(_FORMAT_VERSION, *self.position, self.mapping_version, self.reports, flags)
        return fixed + (self.route or "").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> RowState:
        """The inverse of `to_bytes`."""
        if data[0] != _FORMAT_VERSION:
            raise ContractViolation(
                f"row state has format {data[0]}, this version reads {_FORMAT_VERSION}; upgrade the worker"
            )
        _, epoch, lsn, ordinal, version, reports, flags = _FORM.unpack_from(data)
        route = data[_FORM.size :].decode() if flags & _ROUTED else None
        return cls(
            Position(epoch, lsn, ordinal),
            version,
            reports,
            bool(flags & _LIVE),
            bool(flags & _RAISED),
            bool(flags & _OWNERSHIP),
            route,
        )

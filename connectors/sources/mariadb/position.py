"""How far a source has come in the binary log, and the record of what it has published.

The log's own names for transactions (GTIDs) survive a change of server, file names and offsets do not.
GTIDs of several domains have no common order; so changes are ordered by (epoch, number of the
transaction among the published ones, ordinal in it), which is stored with what it numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

from connectors.sources.mariadb.binlog import Gtid
from connectors.sources.mariadb.snapshotrun import SnapshotRun
from streams.errors import PositionLost

FIRST_EPOCH = 1


class Gtids(Protocol):
    """The transactions up to a place in a log, and its text. Each kind of server has its own names."""

    def add(self, gtid: Any) -> None:
        """The transaction is behind us."""

    def covers(self, gtid: Any) -> bool:
        """Whether the transaction is one of them."""

    def reaches(self, other: Any) -> bool:
        """Whether all of ``other`` is covered."""


class GtidState:
    """MariaDB's: the last transaction of each domain; what a replica asks a server to go on from."""

    def __init__(self, text: str = "") -> None:
        self._last: dict[int, Gtid] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            numbers = [int(number) for number in part.split("-")]
            gtid = Gtid(*numbers)
            self._last[gtid.domain] = gtid

    def add(self, gtid: Gtid) -> None:
        """The transaction is behind us."""
        self._last[gtid.domain] = gtid

    def covers(self, gtid: Gtid) -> bool:
        """Whether the transaction is at or before the last one of its domain."""
        last = self._last.get(gtid.domain)
        return last is not None and gtid.number <= last.number

    def reaches(self, other: GtidState) -> bool:
        """Whether all of ``other`` is covered."""
        return all(self.covers(gtid) for gtid in other._last.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidState) and self._last == other._last

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """``0-1-100,1-2-5``, in the order of the domains; empty when there is no transaction."""
        return ",".join(str(self._last[domain]) for domain in sorted(self._last))


@dataclass(frozen=True, slots=True)
class Progress:
    """What a source has published: the value of its record in ``source.positions``, as JSON.

    Written in the same Kafka transaction as the changes it covers.
    """

    server_uid: str
    """The server's, where it has one; its number else. Another one means another server."""
    epoch: int
    transactions: int = 0
    """Published in this epoch; the snapshot counts as one."""
    gtid: str = ""
    """The log up to these is published or concerns us not."""
    file: str = ""
    position: int = 0
    """Where that is in the server's own files: proof, at the next start, that its log is still the same."""
    snapshot_done: bool = False
    partial: tuple[int, int, int] | None = None
    """How far the transaction that follows is published: see `parts.Reached`."""
    prepared: str | None = None
    """The log up to these has to be read no more, where that is less than up to ``gtid``: before the oldest
    XA transaction that is prepared and neither committed nor rolled back."""
    snapshot: str = ""
    """GTIDs of the first snapshot: what was committed up to there of XA transactions that were prepared
    before the log that the stream has read is in it."""
    run: SnapshotRun | None = None
    """The snapshot that has begun and not ended: the first one, or one of tables that were added."""
    tables: dict[str, str] = field(default_factory=dict)
    """Table → GTIDs of its snapshot: those transactions are in it, and are skipped in the stream."""
    altered: tuple[str, ...] = ()
    """Tables that are to be read again, and whose published rows stay: they are missing in ``tables``."""

    def to_json(self) -> bytes:
        """The value on the wire."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, value: bytes, gtids: Callable[[str], Gtids] = GtidState) -> Progress:
        """Read the wire form, or `PositionLost` when it isn't one of ours, with ``gtids`` of our kind."""
        try:
            stored: dict[str, Any] = json.loads(value)
            known = {one.name for one in fields(cls)}
            found = {name: value for name, value in stored.items() if name in known}
            found["altered"] = tuple(map(str, found.get("altered", ())))
            if found.get("run") is not None:
                found["run"] = SnapshotRun.from_stored(found["run"])
            progress = cls(**found)
            gtids(progress.gtid)
            if progress.partial is not None:
                position, row, ordinal = progress.partial
                progress = replace(progress, partial=(position, row, ordinal))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PositionLost(
                f"the stored source position cannot be read ({error}); it was written by another connector or "
                "version: restore that, or give this source another name"
            ) from None
        return progress

"""Where in a PostgreSQL log a change stands, and the record of how far a source has published.

Order within one source is (epoch, commit LSN, ordinal in the transaction). Rows that share an LSN
(COPY, multi-row INSERT) differ by ordinal, so a restart neither repeats nor skips within them.
Positions of different databases are never compared.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from connectors.sources.postgres.chunks import SnapshotRun
from streams.errors import PositionLost

FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """One change's place. ``epoch`` grows when the log's numbers start over: another cluster, or a
    new snapshot after a lost slot; ``ordinal`` counts from 0 within the transaction or the snapshot."""

    epoch: int
    lsn: int
    ordinal: int

    def __str__(self) -> str:
        """``<epoch>/<commit lsn>/<ordinal>``, all decimal: the header ``tallystream.position``."""
        return f"{self.epoch}/{self.lsn}/{self.ordinal}"

    @classmethod
    def parse(cls, text: str | bytes) -> Position:
        """The inverse of `__str__`; `ValueError` when it is something else."""
        decoded = text.decode() if isinstance(text, bytes) else text
        parts = decoded.split("/")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"{decoded!r} is no position: expected <epoch>/<lsn>/<ordinal>")
        return cls(*(int(part) for part in parts))


def lsn_text(lsn: int) -> str:
    """PostgreSQL's own spelling of an LSN, such as ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_value(text: str) -> int:
    """The number of an LSN in PostgreSQL's spelling."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


@dataclass(frozen=True, slots=True)
class PendingTable:
    """A table (its full name) of which an incremental snapshot has published the rows up to the key
    ``after``: the key's cells as text, None before the first."""

    table: str
    after: tuple[str, ...] | None = None

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> PendingTable:
        """From what JSON makes of it."""
        after = stored["after"]
        return cls(stored["table"], None if after is None else tuple(after))


@dataclass(frozen=True, slots=True)
class Progress:
    """What a source has published: the value of its record in ``source.positions``, as JSON.

    Written in the same Kafka transaction as the changes it covers, so it is never ahead of them nor
    behind. Before the snapshot it is written once with ``snapshot_done`` false: the proof that a
    slot of that name, found at the next start, is ours to drop.
    """

    system_identifier: str
    """The cluster's, from IDENTIFY_SYSTEM: another one means another database."""
    timeline: int
    """Of the server when this was written; grows with each promotion of a standby."""
    epoch: int
    slot: str
    commit_lsn: int = 0
    """Of the last published transaction (or the snapshot); the start of its commit record."""
    ordinal: int = 0
    """Of the last published change in it."""
    flushed_lsn: int = 0
    """Everything the log holds before this is published or concerns us not; the slot is never
    acknowledged beyond it."""
    snapshot_done: bool = False
    partial: list[str] | None = None
    """While the transaction at ``commit_lsn`` is published up to ``ordinal`` only, and not beyond
    ``flushed_lsn``: the tables whose changes its ordinals count."""
    repairing: bool = False
    """A repair has begun and not ended: only another repair, or a new snapshot, may follow."""
    tables: dict[str, int] = field(default_factory=dict)
    """Table → LSN of its snapshot: its changes of transactions that committed earlier are in the
    snapshot, and are skipped in the stream."""

    former: list[str] = field(default_factory=list)
    """Tables that were published and then, for a while, not captured: to be read anew as a whole."""

    run: SnapshotRun | None = None
    """The snapshot that has begun and not ended: the first one, or one of tables that were added."""

    incremental: tuple[PendingTable, ...] = ()
    """Tables that are being read while their changes are streamed, in their order."""
    incremental_rows: int = 0
    """Published by all such snapshots: their next row's ordinal."""

    commit_end_lsn: int = 0
    """Where the commit of the last published transaction that had changes ends; 0 before the first."""

    watermark_us: int = 0
    """Microseconds since 1970, by the server's clock: all that was committed until then is published. 0 while
    that can't be said of any time, as while tables are being read."""

    @property
    def known(self) -> set[str]:
        """Tables whose changes are streamed, or will be after the snapshot under way."""
        return {*self.tables, *(() if self.run is None else self.run.tables)}

    @property
    def begun(self) -> set[str]:
        """Tables of which something may be published that counts: not `former` ones."""
        reading = () if self.run is None else (name for name, done in self.run.tables.items() if done)
        return {*self.tables, *reading}

    @property
    def is_complete(self) -> bool:
        """No rows of a table that is captured are still to be read."""
        return self.snapshot_done and self.run is None and not (self.incremental or self.repairing)

    def heard_up_to(self, watermark_us: int | None) -> Progress:
        """With a watermark that the log told, unless it told none, or an earlier one."""
        if watermark_us is None or not self.is_complete or watermark_us <= self.watermark_us:
            return self
        return replace(self, watermark_us=watermark_us)

    def without(self, gone: Collection[str]) -> Progress:
        """With the tables ``gone`` to be read anew as a whole, when they are captured next."""
        run = self.run
        if run is not None:
            run = run.only(name for name in run.tables if name not in gone)
        return replace(
            self,
            tables={name: lsn for name, lsn in self.tables.items() if name not in gone},
            run=run,
            former=sorted({*self.former, *(self.begun & set(gone))}),
        )

    def to_json(self) -> bytes:
        """The value on the wire."""
        stored = asdict(self)
        if not self.is_complete:
            stored["watermark_us"] = 0
        return json.dumps(stored, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, value: bytes) -> Progress:
        """Read the wire form, or `PositionLost` when it isn't one of ours."""
        try:
            stored: dict[str, Any] = json.loads(value)
            known = {one.name for one in fields(cls)}  # a newer version's additions are no reason to stop
            found = {name: value for name, value in stored.items() if name in known}
            if found.get("run") is not None:
                found["run"] = SnapshotRun.from_stored(found["run"])
            pending = found.get("incremental", ())
            found["incremental"] = tuple(PendingTable.from_stored(one) for one in pending)
            return cls(**found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PositionLost(
                f"the stored source position cannot be read ({error}); it was written by another version"
            ) from None

"""From the messages of a replication stream to whole source transactions, whatever their size.

A transaction comes either whole, after its commit, or in blocks while it is in progress, with those
of others in between. The first is decoded as it comes; when its messages exceed the spill area's
limit, it is kept as it came, on disk. The second is always kept as it came: its sub-transactions
may be rolled back later, and then only their changes fall. What was kept is decoded at the commit:
`connectors.sources.postgres.log.spilled`.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from connectors.sources.postgres.log.spill import Spool
from connectors.sources.postgres.log.spilled import Shapes, SpilledTransaction
from connectors.sources.postgres.pgoutput.bounds import (
    Begin,
    BeginPrepare,
    Commit,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)
from connectors.sources.postgres.pgoutput.messages import LogMessage, Relation, Type, decode, split_streamed
from connectors.sources.postgres.pgoutput.transactions import KeyedTable, Transaction, TransactionBuffer
from connectors.sources.spill import SpillArea
from streams.errors import ConfigurationError, PoisonRecord

T = TypeVar("T", bound=KeyedTable)
_MESSAGE_OVERHEAD = 16  # counted for each message, as in a spool


class Assembler(Generic[T]):
    """Takes the messages of one replication stream. Not thread-safe; to be closed."""

    def __init__(self, shapes: Shapes[T], area: SpillArea, prefix: str | None = None) -> None:
        """``prefix``: of the transactional messages that are handed on."""
        self._shapes = shapes
        self._prefix = prefix
        self._area = area
        self._tables: dict[int, T | None] = {}  # replaced, never changed: transactions keep theirs
        self._tables_at_begin = self._tables
        self._buffer: TransactionBuffer[T] = TransactionBuffer(prefix)
        self._raw: list[tuple[int, bytes]] = []  # of the transaction in the buffer
        self._raw_bytes = 0
        self._begin: Begin | None = None  # of the transaction in the spool
        self._spool: Spool | None = None
        self._streamed: dict[int, Spool] = {}
        self._block: Spool | None = None

    @property
    def open(self) -> bool:
        """Within a transaction or a block. Streamed transactions between their blocks don't count: the
        server sends them again unless it knows their commit to be published."""
        return self._buffer.open or self._spool is not None or self._block is not None

    def feed(self, payload: bytes, lsn: int) -> Transaction[T] | SpilledTransaction[T] | None:
        """Take the next message; the whole transaction when it was its commit."""
        kind = payload[:1]
        if self._block is not None and kind != b"E":
            xid, inner = split_streamed(payload)
            self._block.append(lsn, xid, inner)
            return None
        if self._spool is not None and kind != b"C":
            self._spool.append(lsn, 0, payload)
            if kind in (b"R", b"Y"):  # for the transactions after this one
                self._define(decode(payload))
            return None
        message = decode(payload)
        if isinstance(message, StreamStart | StreamStop | StreamAbort | StreamCommit):
            return self._feed_streamed(message)
        if isinstance(message, BeginPrepare | RollbackPrepared):
            raise ConfigurationError(
                f"the slot delivers prepared transaction {message.gid} before it is committed (two_phase); "
                "make a slot without two_phase: transactions then come when they are committed"
            )
        if self._spool is not None:
            assert isinstance(message, Commit)
            return self._end_spilled(message)
        done = None
        if isinstance(message, Relation | Type):
            self._define(message)
        else:
            if isinstance(message, Begin):
                self._tables_at_begin = self._tables
                self._raw, self._raw_bytes = [], 0
            self._buffer.tables = self._tables
            done = self._buffer.feed(message, lsn)
        if self._buffer.open:
            self._raw.append((lsn, payload))
            self._raw_bytes += len(payload) + _MESSAGE_OVERHEAD
            if self._raw_bytes > self._area.limit:
                self._spill()
        return done

    def _define(self, message: LogMessage) -> None:
        if isinstance(message, Type):
            self._shapes.announce(message)
        else:
            assert isinstance(message, Relation)
            self._tables = {**self._tables, message.oid: self._shapes.table(message)}

    def _spill(self) -> None:
        """From the buffer to a spool."""
        self._begin = self._buffer.clear()
        spool = self._spool = Spool(self._area)
        for lsn, payload in self._raw[1:]:  # without the begin
            spool.append(lsn, 0, payload)
        self._raw = []

    def _end_spilled(self, commit: Commit) -> SpilledTransaction[T]:
        begin, spool = self._begin, self._spool
        assert begin is not None
        assert spool is not None
        if begin.commit_lsn != commit.commit_lsn:
            raise PoisonRecord(f"pgoutput: commit at {commit.commit_lsn} of a transaction that did not begin")
        self._begin = self._spool = None
        return self._spilled(begin, commit.end_lsn, spool, self._tables_at_begin)

    def _feed_streamed(
        self, message: StreamStart | StreamStop | StreamAbort | StreamCommit
    ) -> Transaction[T] | SpilledTransaction[T] | None:
        if self._buffer.open or self._spool is not None:
            raise PoisonRecord(f"pgoutput: {type(message).__name__} within another transaction")
        if isinstance(message, StreamStop):
            if self._block is None:
                raise PoisonRecord("pgoutput: the end of a block that did not start")
            self._block = None
            return None
        if isinstance(message, StreamStart):
            if message.first:
                self._drop(message.xid)
                self._streamed[message.xid] = Spool(self._area)
            self._block = self._known(message.xid)
            return None
        if isinstance(message, StreamAbort):
            if message.xid == message.subxid:
                self._drop(message.xid)
            elif message.xid in self._streamed:
                self._streamed[message.xid].aborted.add(message.subxid)
            return None
        return self._end_streamed(message, self._known(message.xid))

    def _known(self, xid: int) -> Spool:
        try:
            return self._streamed[xid]
        except KeyError:
            raise PoisonRecord(f"pgoutput: a block of transaction {xid} without its first") from None

    def _drop(self, xid: int) -> None:
        spool = self._streamed.pop(xid, None)
        if spool is not None:
            spool.close()

    def _end_streamed(self, commit: StreamCommit, spool: Spool) -> SpilledTransaction[T]:
        del self._streamed[commit.xid]
        begin = Begin(commit.commit_lsn, commit.commit_us, commit.xid)
        done = self._spilled(begin, commit.end_lsn, spool, self._tables)
        # The server takes the relations that it sent in a committed transaction for known.
        for shape in spool.shapes:
            self._define(decode(shape))
        return done

    def _spilled(
        self, begin: Begin, end_lsn: int, spool: Spool, tables: dict[int, T | None]
    ) -> SpilledTransaction[T]:
        return SpilledTransaction(begin, end_lsn, spool, tables, self._shapes, self._prefix)

    def close(self) -> None:
        """Give all space back."""
        for xid in list(self._streamed):
            self._drop(xid)
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._block = None

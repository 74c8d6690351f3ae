"""Makes pgoutput messages, as the PostgreSQL manual lays them out: the decoder's other half, for tests."""

from __future__ import annotations

import struct

from connectors.sources.postgres.pgoutput.bounds import (
    POSTGRES_EPOCH_US,
    Begin,
    BeginPrepare,
    Commit,
    CommitPrepared,
    Message,
    Origin,
    Prepare,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    StreamPrepare,
    StreamStart,
    StreamStop,
)
from connectors.sources.postgres.pgoutput.messages import (
    UNCHANGED,
    Delete,
    Insert,
    LogMessage,
    Relation,
    Row,
    Truncate,
    Type,
    Update,
)

_PREPARED = {Prepare: b"P", CommitPrepared: b"K", StreamPrepare: b"p"}


def streamed(xid: int, message: LogMessage) -> bytes:
    """The bytes of a message within a streamed block."""
    encoded = encode(message)
    return encoded[:1] + struct.pack(">I", xid) + encoded[1:]


def text(value: str) -> bytes:
    """A zero-terminated string."""
    return value.encode() + b"\0"


def row(cells: Row) -> bytes:
    """TupleData."""
    parts = [struct.pack(">H", len(cells))]
    for cell in cells:
        if cell is None:
            parts.append(b"n")
        elif cell is UNCHANGED:
            parts.append(b"u")
        else:
            assert isinstance(cell, bytes)
            parts.append(b"t" + struct.pack(">I", len(cell)) + cell)
    return b"".join(parts)


def encode(message: LogMessage) -> bytes:
    """The bytes of a message outside of streamed blocks."""
    match message:
        case StreamStart(xid, first):
            return b"S" + struct.pack(">IB", xid, first)
        case StreamStop():
            return b"E"
        case StreamCommit(xid, lsn, end, us):
            return b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, us - POSTGRES_EPOCH_US)
        case StreamAbort(xid, subxid, None, None):
            return b"A" + struct.pack(">II", xid, subxid)
        case StreamAbort(xid, subxid, at, us):
            assert at is not None
            assert us is not None
            return b"A" + struct.pack(">IIQq", xid, subxid, at, us - POSTGRES_EPOCH_US)
        case RollbackPrepared(prepared, end, prepare_us, us, xid, gid):
            times = prepare_us - POSTGRES_EPOCH_US, us - POSTGRES_EPOCH_US
            return b"r" + struct.pack(">BQQqqI", 0, prepared, end, *times, xid) + text(gid)
        case BeginPrepare(lsn, end, us, xid, gid):
            body = struct.pack(">QQqI", lsn, end, us - POSTGRES_EPOCH_US, xid) + text(gid)
            return b"b" + body if type(message) is BeginPrepare else _PREPARED[type(message)] + b"\0" + body
        case Begin(lsn, commit_us, xid):
            return b"B" + struct.pack(">QqI", lsn, commit_us - POSTGRES_EPOCH_US, xid)
        case Commit(lsn, end, commit_us):
            return b"C" + struct.pack(">BQQq", 0, lsn, end, commit_us - POSTGRES_EPOCH_US)
        case Origin(lsn, name):
            return b"O" + struct.pack(">Q", lsn) + text(name)
        case Message(transactional, lsn, prefix, content):
            head = b"M" + struct.pack(">BQ", transactional, lsn)
            return head + text(prefix) + struct.pack(">I", len(content)) + content
        case Type(oid, schema, name):
            return b"Y" + struct.pack(">I", oid) + text(schema) + text(name)
        case Truncate(relations, cascade, restart):
            options = cascade | restart << 1
            return b"T" + struct.pack(f">IB{len(relations)}I", len(relations), options, *relations)
        case Relation(oid, schema, table, identity, columns):
            head = b"R" + struct.pack(">I", oid) + text(schema) + text(table) + identity.encode()
            described = (
                struct.pack(">B", c.identity) + text(c.name) + struct.pack(">Ii", c.type_oid, c.typmod)
                for c in columns
            )
            return head + struct.pack(">H", len(columns)) + b"".join(described)
        case Insert(relation, new):
            return b"I" + struct.pack(">I", relation) + b"N" + row(new)
        case Update(relation, old, old_is_key, new):
            before = b"" if old is None else (b"K" if old_is_key else b"O") + row(old)
            return b"U" + struct.pack(">I", relation) + before + b"N" + row(new)
        case Delete(relation, old, old_is_key):
            return b"D" + struct.pack(">I", relation) + (b"K" if old_is_key else b"O") + row(old)
    raise AssertionError(message)

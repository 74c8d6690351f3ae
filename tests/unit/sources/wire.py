"""Makes pgoutput messages, as the PostgreSQL manual lays them out: the decoder's other half, for tests."""

from __future__ import annotations

import struct

from connectors.sources.postgres.pgoutput import (
    POSTGRES_EPOCH_US,
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogMessage,
    Message,
    Origin,
    Relation,
    Row,
    Truncate,
    Type,
    Update,
)


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
    """The bytes of a message in protocol version 1."""
    match message:
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

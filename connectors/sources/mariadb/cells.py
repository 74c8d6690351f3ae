"""Cells of logged rows as the text that SELECT gives for them. Pure.

Snapshot and stream thus meet in one form before anything is encoded: what one of them reads, the
other reads alike. `reader` compiles a column to a function (data, place) → (cell, next place).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from connectors.sources.mariadb import clocks, numbers, strings, tablemap
from connectors.sources.mariadb.clocks import Read
from connectors.sources.mariadb.documents import document
from connectors.sources.mariadb.tablemap import LogColumn
from streams.errors import ContractViolation, PoisonRecord

Cell: TypeAlias = bytes | None
Row: TypeAlias = tuple[Cell, ...]
ReadRow: TypeAlias = Callable[[bytes, int], tuple[Row, int]]


def reader(column: LogColumn, kind: str, charsets: Mapping[int, str], where: str) -> Read:
    """How to read a column's cells. ``kind`` is its type as in `connectors.sources.mariadb.types`.

    `ContractViolation` names a column that can't be read, and says what to do.
    """
    if column.type in _INTEGERS:
        return numbers.integer(_INTEGERS[column.type], not column.unsigned)
    if column.type in _FIXED:
        return _FIXED[column.type]
    if column.type in (tablemap.STRING, tablemap.VAR_STRING):
        return strings.padded(column, kind, charsets, where)
    if column.type == tablemap.VARCHAR:
        return strings.sized(1 if column.meta < 256 else 2, strings.to_utf8(column, charsets, where))
    if column.type == tablemap.VARCHAR_COMPRESSED:
        return strings.compressed(1 if column.meta < 256 else 2, strings.to_utf8(column, charsets, where))
    if column.type == tablemap.BLOB:
        return strings.sized(column.meta, strings.to_utf8(column, charsets, where))
    if column.type == tablemap.BLOB_COMPRESSED:
        return strings.compressed(column.meta, strings.to_utf8(column, charsets, where))
    if column.type in (tablemap.GEOMETRY, tablemap.VECTOR):
        return strings.sized(column.meta, None)
    if column.type == tablemap.JSON:
        return strings.sized(column.meta, document)
    if column.type == tablemap.NEWDECIMAL:
        return numbers.decimal(column.meta >> 8, column.meta & 0xFF)
    if column.type == tablemap.BIT:
        return numbers.raw((column.meta + 7) // 8)
    if column.type in (tablemap.ENUM, tablemap.SET):
        return strings.labelled(column, charsets, where)
    if column.type in _CLOCKS:
        return _CLOCKS[column.type](column.meta)
    raise ContractViolation(
        f"{where}: column {column.name} is stored in a form (type {column.type}) that can't be read from the "
        "log; temporal columns of old servers are rewritten by SET GLOBAL mysql56_temporal_format = ON and "
        "ALTER TABLE ... FORCE"
    )


def row_reader(reads: list[Read]) -> ReadRow:
    """A function that reads one row image of these columns: (data, place) → (row, next place)."""
    null_bytes = (len(reads) + 7) // 8
    indexed = list(enumerate(reads))

    def read(data: bytes, at: int) -> tuple[Row, int]:
        nulls = int.from_bytes(data[at : at + null_bytes], "little")
        at += null_bytes
        cells: list[Cell] = []
        if not nulls:
            for read_cell in reads:
                cell, at = read_cell(data, at)
                cells.append(cell)
            return tuple(cells), at
        for index, read_cell in indexed:
            if nulls >> index & 1:
                cells.append(None)
            else:
                cell, at = read_cell(data, at)
                cells.append(cell)
        return tuple(cells), at

    return read


def read_rows(read: ReadRow, data: bytes, at: int) -> list[Row]:
    """All row images of an event; `PoisonRecord` when they do not end where the event does."""
    rows = []
    end = len(data)
    try:
        while at < end:
            row, at = read(data, at)
            rows.append(row)
    except (IndexError, struct.error, zlib.error, ValueError) as error:
        raise PoisonRecord(f"binary log: a row can't be read ({error})") from None
    if at != end:
        raise PoisonRecord("binary log: a row is longer than its event")
    return rows


_INTEGERS = {tablemap.TINY: 1, tablemap.SHORT: 2, tablemap.INT24: 3, tablemap.LONG: 4, tablemap.LONGLONG: 8}
_FIXED: dict[int, Read] = {
    tablemap.FLOAT: numbers.float_,
    tablemap.DOUBLE: numbers.double,
    tablemap.DATE: clocks.date,
    tablemap.YEAR: clocks.year,
}
_CLOCKS: dict[int, Callable[[int], Read]] = {
    tablemap.DATETIME2: clocks.datetime,
    tablemap.TIMESTAMP2: clocks.timestamp,
    tablemap.TIME2: clocks.time,
}

"""Strings of logged rows, read as SELECT gives them: text in UTF-8, bytes as they are. Pure."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping

from connectors.sources.mariadb import tablemap
from connectors.sources.mariadb.clocks import Read
from connectors.sources.mariadb.tablemap import LogColumn
from streams.errors import ContractViolation, PoisonRecord

BINARY = "binary"
_AS_UTF8 = frozenset({"utf8mb3", "utf8mb4", "utf8", "ascii"})
# MariaDB's name → Python's, where the two agree on every character that the server can hold.
_CODECS = {
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "koi8r": "koi8-r",
}
_MEMO = 4096  # of the combinations of a set's labels


def to_utf8(column: LogColumn, charsets: Mapping[int, str], where: str) -> Callable[[bytes], bytes] | None:
    """The conversion of a column's text, None when its bytes are right as they are."""
    charset = BINARY if column.collation is None else charsets.get(column.collation, str(column.collation))
    if charset == BINARY or charset in _AS_UTF8:
        return None
    if charset == "latin1":
        return _latin1
    codec = _CODECS.get(charset)
    if codec is None:
        raise ContractViolation(
            f"{where}: column {column.name} is in character set {charset}, which can't be read from the log; run "
            "ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4, or leave the table out"
        )

    def convert(raw: bytes) -> bytes:
        try:
            return raw.decode(codec).encode()
        except UnicodeError:
            raise ContractViolation(
                f"{where}: column {column.name} holds bytes that are no {charset} text: {raw[:40].hex()}; correct "
                "the row, and take a new snapshot with `tallystream source resnapshot`"
            ) from None

    return convert


# MariaDB's latin1 is Windows-1252 with the five holes filled by the control characters of Latin-1.
_LATIN1 = [bytes((n,)).decode("cp1252", "replace") for n in range(256)]
_LATIN1 = [chr(n) if c == "\ufffd" else c for n, c in enumerate(_LATIN1)]
_LATIN1_TABLE = {n: c for n, c in enumerate(_LATIN1) if ord(c) != n}


def _latin1(raw: bytes) -> bytes:
    if raw.isascii():
        return raw
    return raw.decode("latin-1").translate(_LATIN1_TABLE).encode()


def sized(digits: int, convert: Callable[[bytes], bytes] | None) -> Read:
    """A length of ``digits`` bytes, then the value."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        start = at + digits
        end = start + int.from_bytes(data[at:start], "little")
        return data[start:end], end

    def read_one(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + 1 + data[at]
        return data[at + 1 : end], end

    plain = read_one if digits == 1 else read
    if convert is None:
        return plain
    return _converted(plain, convert)


def _converted(plain: Read, convert: Callable[[bytes], bytes]) -> Read:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        raw, end = plain(data, at)
        return convert(raw), end

    return read


def compressed(digits: int, convert: Callable[[bytes], bytes] | None) -> Read:
    """Columns declared COMPRESSED: empty, or a byte that says how, the length, and the data."""

    def uncompress(raw: bytes) -> bytes:
        if not raw:
            return raw
        method, header = raw[0] >> 4, raw[0] & 7
        if method == 0:
            data = raw[1:]
        elif method == 8:
            data = zlib.decompress(raw[1 + header :], wbits=-15 if raw[0] & 8 else 15)
            if len(data) != int.from_bytes(raw[1 : 1 + header], "big"):
                raise PoisonRecord("binary log: a compressed column is not as long as it says")
        else:
            raise PoisonRecord(f"binary log: a column compressed by method {method}, which we can't read")
        return data if convert is None else convert(data)

    return _converted(sized(digits, None), uncompress)


def padded(column: LogColumn, kind: str, charsets: Mapping[int, str], where: str) -> Read:
    """CHAR and BINARY, which are logged without what they are padded with at their end."""
    digits = 1 if column.meta < 256 else 2
    convert = to_utf8(column, charsets, where)
    binary = column.collation is None or charsets.get(column.collation) == BINARY
    if not binary:
        return sized(digits, convert)
    size = column.meta
    order = _memory_order if kind == "uuid" else None

    def pad(raw: bytes) -> bytes:
        raw = raw.ljust(size, b"\0")
        return raw if order is None else order(raw)

    return _converted(sized(digits, None), pad)


def _memory_order(raw: bytes) -> bytes:
    """A UUID as written from one as stored: versions 1 to 5 are stored with their groups turned round, so
    that time-based ones are in the order of time."""
    if raw[6] & 0x80 and 0 < raw[8] < 0x60:
        return raw[12:16] + raw[10:12] + raw[8:10] + raw[6:8] + raw[0:6]
    return raw


def label_text(column: LogColumn, charsets: Mapping[int, str], where: str) -> tuple[str, ...]:
    """The labels of an enum or set as text; errors as in `reader`."""
    convert = to_utf8(column, charsets, where) if column.labels else None
    return tuple((label if convert is None else convert(label)).decode() for label in column.labels)


def labelled(column: LogColumn, charsets: Mapping[int, str], where: str) -> Read:
    """ENUM and SET: a number, which their labels make a text of."""
    labels = [label.encode() for label in label_text(column, charsets, where)]
    size = column.meta
    if column.type == tablemap.ENUM:
        values = [b"", *labels]  # 0 stands for what was refused, and reads as ''

        def read_enum(data: bytes, at: int) -> tuple[bytes, int]:
            end = at + size
            return values[int.from_bytes(data[at:end], "little")], end

        return read_enum

    @functools.lru_cache(_MEMO)
    def joined(bits: int) -> bytes:
        return b",".join(label for place, label in enumerate(labels) if bits >> place & 1)

    def read_set(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return joined(int.from_bytes(data[at:end], "little")), end

    return read_set

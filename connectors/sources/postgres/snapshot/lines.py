"""Lines of COPY's text format as rows. Pure."""

from __future__ import annotations

import re

from connectors.sources.postgres.pgoutput.messages import Row

_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def parse_line(line: bytes) -> Row:
    """The cells of one line of COPY's text format."""
    cells = line.rstrip(b"\n").split(b"\t")
    if b"\\" not in line:
        return tuple(cells)
    return tuple(None if cell == b"\\N" else _unescape(cell) for cell in cells)


def _unescape(cell: bytes) -> bytes:
    if b"\\" not in cell:
        return cell
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match.group(1), match.group(1)), cell)

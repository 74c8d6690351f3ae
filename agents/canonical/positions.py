"""Where in its source's log a change stands: what makes a repeated delivery recognisable.

Order within one row is (epoch, commit LSN, ordinal). Positions are compared only between changes of
the same row, so never between databases.

Our sources send the header ``tallystream.position``. Debezium's records have none; their position is
made from the source block:

- PostgreSQL: ``source.lsn``, the row's own place in the log. Rows of transactions that overlap are
  delivered in commit order, not in the order of their LSNs, but two changes of one row can't overlap:
  the first holds the row's lock until its commit. A snapshot row gets ordinal 0, a streamed row 1, for
  the first change after a snapshot may carry the snapshot's own LSN.
- MySQL and MariaDB: the number in the binlog's file name, the offset in the file, the row in the event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.errors import PoisonRecord, SchemaMismatch

POSITION_HEADER: Final = "tallystream.position"
_FORM: Final = re.compile(rb"(\d{1,9})/(\d{1,19})/(\d{1,10})")
_FILE_NUMBER: Final = re.compile(r"\.(\d+)$")
_NOT_SNAPSHOT: Final = (None, "false", False)


class Position(NamedTuple):
    """A change's place; tuples compare as positions do."""

    epoch: int
    lsn: int
    ordinal: int


def parse_position(header: bytes) -> Position:
    """The position in a header's value ``<epoch>/<lsn>/<ordinal>``; `PoisonRecord` for anything else."""
    match = _FORM.fullmatch(header)
    if match is None:
        raise PoisonRecord(f"header {POSITION_HEADER} is {header[:40]!r}; expected <epoch>/<lsn>/<ordinal>")
    epoch, lsn, ordinal = match.groups()
    return Position(int(epoch), int(lsn), int(ordinal))


def is_snapshot(source: Mapping[str, Any]) -> bool:
    """Whether a source block marks its row as part of an initial or incremental snapshot."""
    return source.get("snapshot") not in _NOT_SNAPSHOT


def position_of(source: Mapping[str, Any], header: bytes | None) -> Position:
    """The position of a change by its header, else by its source block.

    Example: ``{"lsn": 500, "snapshot": "false"}`` without a header is ``(0, 500, 1)``.
    """
    if header is not None:
        return parse_position(header)
    lsn = source.get("lsn")
    if lsn is None and isinstance(source.get("sequence"), str):
        lsn = _last_of_sequence(source["sequence"])
    if lsn is not None:
        return Position(0, int(lsn), 0 if is_snapshot(source) else 1)
    file, offset = source.get("file"), source.get("pos")
    if isinstance(file, str) and offset is not None and (number := _FILE_NUMBER.search(file)):
        return Position(int(number.group(1)), int(offset), int(source.get("row") or 0))
    raise SchemaMismatch(
        f"the change has neither a header {POSITION_HEADER} nor a log position in its source block"
    )


def _last_of_sequence(sequence: str) -> int | None:
    """The LSN in PostgreSQL's ``["<last commit LSN>","<LSN>"]``."""
    try:
        parts = json.loads(sequence)
        return int(parts[-1]) if parts and parts[-1] is not None else None
    except (ValueError, TypeError):
        return None

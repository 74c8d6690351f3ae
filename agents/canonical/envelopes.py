"""What a change says beside its row: times, and the headers that our sources add to Debezium's envelope.

    tallystream.position      ``<epoch>/<lsn>/<ordinal>``
    tallystream.last_for_key  ``0`` where a later change of the same key follows in its transaction
    tallystream.special       JSON object, place to text: values that the wire type can't hold
    tallystream.unchanged     JSON array: columns null in ``after`` because the log left them out
    tallystream.absent        JSON array: columns null in ``before`` because the log left them out

Debezium's own records have none of them, and are then taken as complete and as last of their key.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from agents.canonical.conversions import instant
from agents.canonical.mapping import Record
from agents.canonical.positions import is_snapshot
from streams.errors import PoisonRecord

SPECIAL_HEADER: Final = "tallystream.special"
LAST_FOR_KEY_HEADER: Final = "tallystream.last_for_key"
UNCHANGED_HEADER: Final = "tallystream.unchanged"
ABSENT_HEADER: Final = "tallystream.absent"
_FALSE: Final = (b"0", b"false")

Headers = Mapping[str, bytes]


def is_last_for_key(headers: Headers) -> bool:
    """Whether no later change of the same key follows in the source transaction."""
    return headers.get(LAST_FOR_KEY_HEADER) not in _FALSE


def times_of(change: Mapping[str, Any], now: datetime) -> Record:
    """``occurred_at``, ``captured_at``, ``published_at`` (``now``) and ``snapshot`` of a change."""
    source = change["source"]
    occurred = _micros(source)
    captured = _micros(change)
    if occurred is None:
        raise PoisonRecord("the change's source block has no commit time (ts_us or ts_ms)")
    return {
        "occurred_at": instant(occurred),
        "captured_at": instant(captured if captured is not None else occurred),
        "published_at": now,
        "snapshot": is_snapshot(source),
    }


def _micros(block: Mapping[str, Any]) -> int | None:
    """A block's time: microseconds where it has them, else (Debezium before 2.6) milliseconds."""
    micros = block.get("ts_us")
    if micros is not None:
        return int(micros)
    millis = block.get("ts_ms")
    return None if millis is None else int(millis) * 1000


_NO_NOTES: Final[tuple[None, tuple[()], tuple[()]]] = (None, (), ())


def notes(headers: Headers) -> tuple[Mapping[str, str] | None, Collection[str], Collection[str]]:
    """Special values, columns unknown in ``after``, columns unknown in ``before``; most records have none."""
    special = headers.get(SPECIAL_HEADER)
    unchanged = headers.get(UNCHANGED_HEADER)
    absent = headers.get(ABSENT_HEADER)
    if special is None and unchanged is None and absent is None:
        return _NO_NOTES
    try:
        return (
            json.loads(special) if special is not None else None,
            json.loads(unchanged) if unchanged is not None else (),
            json.loads(absent) if absent is not None else (),
        )
    except ValueError as error:
        raise PoisonRecord(f"a header of the change is not JSON: {error}") from None

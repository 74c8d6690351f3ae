"""A batch's effect on the views as commands: reads what is held, folds, and queues the writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from connectors.sinks.messages import Batch, Message
from connectors.sinks.redis import keys
from connectors.sinks.redis.views import Record, check, event_time, fold_exception, fold_windows
from connectors.sinks.target import Applied
from streams.errors import InvalidValue

WINDOWS, EXCEPTIONS = "utilization.windows", "exceptions"

Change = Callable[[Any], None]  # queues commands on a redis-py pipeline


@dataclass(slots=True)
class Sorted:
    """A batch's records by what they change. ``newest`` is the latest event time of each topic in it."""

    windows: dict[str, list[Record]] = field(default_factory=dict)  # by consultant
    exceptions: dict[str, list[Record]] = field(default_factory=dict)  # by exception id
    refused: list[Message] = field(default_factory=list)
    newest: dict[str, datetime] = field(default_factory=dict)


def sort(batch: Batch) -> Sorted:
    """Take a batch apart; records that a view can't be made of are refused."""
    result = Sorted()
    for message in batch.messages:
        record = message.record
        if record is None:
            result.refused.append(message)
            continue
        try:
            if message.topic == WINDOWS:
                check(record, windows=True)
                result.windows.setdefault(record["consultant_id"], []).append(record)
            elif message.topic == EXCEPTIONS:
                check(record, windows=False)
                result.exceptions.setdefault(record["exception_id"], []).append(record)
        except InvalidValue as error:
            result.refused.append(message.refused(error))
            continue
        happened_at = event_time(record)
        if happened_at is not None:
            result.newest[message.topic] = max(happened_at, result.newest.get(message.topic, happened_at))
    return result


def changes(client: Any, found: Sorted, today: date, applied: Applied) -> list[Change]:
    """The writes that ``found`` comes to; counts them in ``applied``. Reads through ``client``."""
    with client.pipeline(transaction=False) as reads:
        for consultant in found.windows:
            reads.hgetall(keys.utilization(consultant))
        for exception_id in found.exceptions:
            reads.hget(keys.exception(exception_id), "revision")
        held = iter(reads.execute())
    writes: list[Change] = [_dead_letter(message, applied) for message in found.refused]
    for consultant, records in found.windows.items():
        writes.append(_windows(consultant, next(held), records, today, applied))
    for exception_id, records in found.exceptions.items():
        writes.append(_exception(exception_id, next(held), records, applied))
    return writes


def _windows(
    consultant: str, held: dict[str, str], records: list[Record], today: date, applied: Applied
) -> Change:
    change = fold_windows(held, records, today)
    applied.count("utilization", written=len(records) - change.stale, stale=change.stale)
    key = keys.utilization(consultant)

    def write(pipe: Any) -> None:
        if change.delete:
            pipe.hdel(key, *change.delete)
        if change.set:
            pipe.hset(key, mapping=change.set)
        if change.expires_at is not None:
            pipe.expireat(key, change.expires_at)

    return write


def _exception(exception_id: str, held: str | None, records: list[Record], applied: Applied) -> Change:
    change, stale = fold_exception(int(held) if held else None, records)
    applied.count("exceptions", written=len(records) - stale, stale=stale)
    key = keys.exception(exception_id)

    def write(pipe: Any) -> None:
        if change is None:
            return
        pipe.hset(key, mapping=change.fields)
        if change.open_since_ms is None:
            pipe.zrem(keys.EXCEPTIONS_OPEN, exception_id)
        else:
            pipe.zadd(keys.EXCEPTIONS_OPEN, {exception_id: change.open_since_ms})
        if change.resolved:
            pipe.expire(key, keys.KEEP_RESOLVED)
        else:
            pipe.persist(key)

    return write


def _dead_letter(message: Message, applied: Applied) -> Change:
    assert message.error is not None
    applied.count_dead_letter(message.topic, message.error)
    fields = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "exception_class": message.error.exception_class,
        "message": str(message.error),
        "raw_key": message.key or b"",
        "raw_value": message.value or b"",
    }

    def write(pipe: Any) -> None:
        pipe.xadd(keys.DEAD_LETTERS, fields, maxlen=keys.MAX_DEAD_LETTERS, approximate=True)

    return write

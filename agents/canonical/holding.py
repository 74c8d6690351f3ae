"""Changes that wait until their source transaction is complete: those of Debezium's topics.

An ERP inserts a line at cost 0 and updates it in the same transaction: the first state must not be
published. Our sources say of each change whether another of its row follows. Debezium does not; with
``provide.transaction.metadata`` its changes name their transaction, and a topic announces its end. Then
only the last change of a row is decided on as such, and it waits until one of these is known:

- A change of another transaction came on the same topic and partition. Transactions are written one
  after the other, so nothing of the earlier one follows there.
- The transaction's END was announced, and for `SETTLE` no change of it came. The announcement reaches
  one lane, which tells all others on ``transactions.ended``; a change written before it is fetched within
  that time, unless the lane lags behind, and then there are changes of other transactions to go by.
- Neither, for as long as ``transaction_patience_s`` says: then nobody announces ends, or the
  announcement was heard before a crash.

What waits is in the lane's state, so that no crash loses it. Without metadata nothing waits.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from streams.lanes.records import InputRecord, PlainRecord
from streams.lanes.stage import SliceContext
from streams.lanes.state import Overlay
from streams.lanes.statecodec import StateCodec

ENDED: Final = "transactions.ended"
SETTLE: Final = timedelta(milliseconds=500)
REMEMBERED_ENDS: Final = 10_000  # of transactions whose changes may still be on their way here
_PREFIX: Final = b"h\0"
_XID_AND_LSN: Final = re.compile(r"(\d+):\d+")


def transaction_of(change: Mapping[str, Any]) -> str | None:
    """The transaction that a change names, None where Debezium was not asked to."""
    block = change.get("transaction")
    identifier = block.get("id") if isinstance(block, Mapping) else None
    return transaction_name(str(identifier)) if identifier is not None else None


def transaction_name(identifier: str) -> str:
    """What all changes of a transaction and its END have in common.

    Of PostgreSQL the id is ``<xid>:<LSN of the change>``, another one for each change: the xid is taken.
    MySQL's and MariaDB's GTIDs, and its ``file=…,pos=…``, are the same throughout.
    """
    match = _XID_AND_LSN.fullmatch(identifier)
    return match[1] if match else identifier


@dataclass
class _Open:
    """What waits of one topic: all of one transaction. ``rows`` are state keys in their order."""

    transaction: str
    since: datetime
    rows: dict[bytes, None] = field(default_factory=dict)
    ended: bool = False


class HeldChanges:
    """What waits in one lane. Time is the lane's clock."""

    def __init__(self, patience_s: float) -> None:  # float: a wait
        self._patience = timedelta(seconds=patience_s)
        self._codec = StateCodec("held_change")
        self._open: dict[str, _Open] = {}
        self._ends: OrderedDict[tuple[str, str], None] = OrderedDict()

    def open(self, state: Overlay, now: datetime) -> None:
        """Find what waited when the lane was closed."""
        for key, value in state.scan(_PREFIX):
            held = self._codec.decode(value)
            waiting = self._open.setdefault(held["topic"], _Open(held["transaction_id"], now))
            waiting.rows[key] = None

    def hold(
        self, record: InputRecord, system: str, transaction: str, row: bytes, context: SliceContext
    ) -> PlainRecord | None:
        """Let a change wait, with nothing of another transaction on its topic (see `release_others`).

        Returns the earlier change of the same row that it follows.
        """
        waiting = self._open.get(record.topic)
        if waiting is None:
            waiting = self._open[record.topic] = _Open(transaction, context.now)
            waiting.ended = (system, transaction) in self._ends
        waiting.since = context.now
        key = _PREFIX + record.topic.encode() + b"\0" + row
        earlier = self._take(key, context) if key in waiting.rows else None
        waiting.rows[key] = None
        context.state.put(
            key,
            self._codec.encode(
                {
                    "transaction_id": transaction,
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                    "timestamp": record.timestamp,
                    "key": record.key,
                    "value": record.value,
                    "headers": dict(record.headers),
                }
            ),
        )
        return earlier

    def release_others(
        self, topic: str, transaction: str | None, context: SliceContext
    ) -> Iterator[PlainRecord]:
        """What waits on a topic of another transaction than ``transaction``: it is complete there."""
        waiting = self._open.get(topic)
        if waiting is not None and waiting.transaction != transaction:
            yield from self._release(topic, context)

    def end(self, system: str, transaction: str, now: datetime) -> None:
        """A transaction's end was announced."""
        self._ends[system, transaction] = None
        if len(self._ends) > REMEMBERED_ENDS:
            self._ends.popitem(last=False)
        for topic, waiting in self._open.items():
            if waiting.transaction == transaction and topic.startswith(f"cdc.{system}."):
                waiting.ended, waiting.since = True, max(waiting.since, now)

    def release_due(self, context: SliceContext) -> Iterator[PlainRecord]:
        """What has waited long enough."""
        for topic, waiting in list(self._open.items()):
            waited = context.now - waiting.since
            if waiting.ended and waited >= SETTLE:
                yield from self._release(topic, context)
            elif waited >= self._patience:
                context.count("transaction_end_missed", len(waiting.rows))
                yield from self._release(topic, context)

    def _release(self, topic: str, context: SliceContext) -> Iterator[PlainRecord]:
        for key in self._open.pop(topic).rows:
            held = self._take(key, context)
            if held is not None:
                yield held

    def _take(self, key: bytes, context: SliceContext) -> PlainRecord | None:
        stored = context.state.get(key)
        if stored is None:
            return None
        context.state.delete(key)
        held = self._codec.decode(stored)
        return PlainRecord(
            held["topic"],
            held["partition"],
            held["offset"],
            held["timestamp"],
            held["key"],
            held["value"],
            tuple(held["headers"].items()),
        )

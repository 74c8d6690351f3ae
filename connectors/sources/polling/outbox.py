"""What a source has to send, in Kafka transactions of bounded size, each with the position it leads to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from connectors.sources.envelope import LAST_FOR_KEY, POSITION, Header, Record
from connectors.sources.polling.published import Published
from connectors.sources.publisher import Publisher

# A transaction is committed at either: what others wait for, and what a kill makes us do again.
MAX_RECORDS = 20_000
MAX_SECONDS = 10.0


class Outbox:
    """Sends records, and commits them with the memory of them. Nothing is kept of what is not committed.

    ``topics``: with their partition counts. ``epoch`` and ``number``: of the last transaction.
    """

    def __init__(
        self, publisher: Publisher, published: Published, topics: Mapping[str, int], epoch: int, number: int
    ) -> None:
        self._publisher = publisher
        self._published = published
        self._topics = topics
        self._epoch = epoch
        self._number = number
        self._before: dict[tuple[str, int], int] = {}
        self._records = 0
        self._ordinal = 0
        self._since = 0.0

    @property
    def number(self) -> int:
        """Of the last transaction that was committed."""
        return self._number

    @property
    def pending(self) -> bool:
        """Something was sent that is not committed."""
        return self._records > 0

    @property
    def full(self) -> bool:
        """It is time for a commit."""
        return self._records >= MAX_RECORDS or (
            self._records > 0 and time.monotonic() - self._since > MAX_SECONDS
        )

    def headers(self) -> list[Header]:
        """Those of the next change: its position, and that it is the last of its key."""
        position = f"{self._epoch}/{self._number + 1}/{self._ordinal}".encode()
        self._ordinal += 1
        return [(POSITION, position), (LAST_FOR_KEY, b"1")]

    def send(self, records: Iterable[Record]) -> None:
        """Add to the transaction, opening one when none is."""
        for record in records:
            if not self._records:
                # Looked at before the first record: everything earlier is remembered.
                self._before = self._published.ends(self._topics)
                self._since = time.monotonic()
            self._publisher.send(record.topic, record.key, record.value, record.headers)
            self._records += 1

    def commit(self, position: Callable[[int], bytes]) -> None:
        """Commit what was sent, if anything was, with the position as of this transaction."""
        if not self._records:
            self._published.commit({})
            return
        self._publisher.commit(position(self._number + 1))
        self._number += 1
        self._records = self._ordinal = 0
        self._published.commit(self._before)

    def store(self, position: Callable[[int], bytes]) -> None:
        """As `commit`, though nothing may have been sent: the position has moved."""
        if self._records:
            self.commit(position)
            return
        self._publisher.commit(position(self._number + 1))
        self._number += 1
        self._published.commit({})

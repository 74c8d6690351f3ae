"""What else may be published while a stream is: incremental snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connectors.sources.postgres.pgoutput.transactions import Transaction
from connectors.sources.postgres.position import Progress
from connectors.sources.postgres.tables.table import Table

SIGNALS = "tallystream.signal"  # prefix of the transactional messages that are signals


class Between(Protocol):
    """What is published between source transactions, in Kafka transactions of its own."""

    @property
    def active(self) -> bool:
        """Something is awaited: a silent stream looks for it often."""

    def saw(self, transaction: Transaction[Table]) -> None:
        """A transaction was published."""

    def heard(self, signals: tuple[bytes, ...], progress: Progress) -> Progress:
        """A transaction with these signals is about to be committed; the position to commit with it."""

    def read_again(self, tables: Sequence[str], progress: Progress) -> Progress:
        """Tables (full names) are to be read again; the position that is to be committed with it."""

    def step(self, progress: Progress) -> Progress:
        """Send what is ready; the position to commit with it, or ``progress`` itself for nothing."""

    def committed(self) -> None:
        """The position of the last step is durable."""

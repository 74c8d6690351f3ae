"""The ticket ledger: which input offsets may be committed.

Every chunk handed to a lane has a ticket. The committable offset of a partition is the end of its longest
prefix of finished tickets. A seek starts a new generation, and what is finished for an older one is
ignored, so an acknowledgement that comes late can't commit over records that were delivered anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Partition = tuple[str, int]


@dataclass(slots=True)
class Ticket:
    """Receipt for offsets ``[base, end)`` of a partition, in one generation."""

    partition: Partition
    generation: int
    base: int
    end: int
    done: bool = False


@dataclass(slots=True)
class _Line:
    generation: int
    delivered: int
    finished: int
    open: deque[Ticket] = field(default_factory=deque)


class TicketLedger:
    """Tickets of all partitions of one consumer. Pure; the caller serialises access."""

    def __init__(self) -> None:
        self._lines: dict[Partition, _Line] = {}

    def seek(self, partition: Partition, position: int) -> int:
        """Start a new generation at ``position`` and return its number; open tickets are void."""
        old = self._lines.get(partition)
        generation = old.generation + 1 if old else 1
        self._lines[partition] = _Line(generation, position, position)
        return generation

    def drop(self, partition: Partition) -> None:
        """Forget a revoked partition; the generation number lives on so that late tickets stay void."""
        line = self._lines.get(partition)
        if line is not None:
            self._lines[partition] = _Line(line.generation + 1, -1, -1)

    def is_placed(self, partition: Partition) -> bool:
        """Whether the partition was seeked since it was assigned."""
        line = self._lines.get(partition)
        return line is not None and line.delivered >= 0

    def waiting(self, partition: Partition) -> int:
        """How many tickets of a partition are not finished."""
        line = self._lines.get(partition)
        return 0 if line is None else len(line.open)

    def position(self, partition: Partition) -> tuple[int, int]:
        """(generation, offset after the last delivered record) of a partition that was seeked."""
        line = self._lines[partition]
        return line.generation, line.delivered

    def issue(self, partition: Partition, end: int) -> Ticket:
        """A ticket for the records from the last delivered position up to ``end`` (exclusive)."""
        line = self._lines[partition]
        if end < line.delivered:
            raise ValueError(f"{partition}: {end} lies before the delivered position {line.delivered}")
        ticket = Ticket(partition, line.generation, line.delivered, end)
        line.delivered = end
        line.open.append(ticket)
        return ticket

    def finish(self, ticket: Ticket) -> bool:
        """Mark a ticket's records as applied; False if its generation is over."""
        line = self._lines.get(ticket.partition)
        if line is None or line.generation != ticket.generation:
            return False
        ticket.done = True
        while line.open and line.open[0].done:
            line.finished = line.open.popleft().end
        return True

    def committable(self) -> dict[Partition, int]:
        """The offset to commit of each live partition: everything before it is applied."""
        return {partition: line.finished for partition, line in self._lines.items() if line.finished >= 0}

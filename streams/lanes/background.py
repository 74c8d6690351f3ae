"""Chunks that wait behind all others: applied piece by piece, so that nobody waits for a whole one.

A backfill brings years of records at once. What comes live meanwhile must not stand behind them; nor must the
backfill stand still for as long as anything is live, which is always. So each transaction takes in a piece.
"""

from __future__ import annotations

from collections import deque

from streams.lanes.records import Chunk
from streams.lanes.tickets import Ticket

# Records in a transaction: beside live ones, which wait for as long as these take, and alone.
BESIDE_LIVE = 60
ALONE = 300


class Background:
    """Chunks in the order of their arrival, each with its ticket. Not thread-safe."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[Chunk, Ticket]] = deque()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, chunk: Chunk, ticket: Ticket) -> None:
        """Behind those that are there."""
        self._chunks.append((chunk, ticket))

    def clear(self) -> None:
        """Drop them: they will be delivered again."""
        self._chunks.clear()

    def take(self, most: int) -> list[tuple[Chunk, Ticket | None]]:
        """``most`` records of the first chunk, or none; with its ticket when nothing of it is left."""
        if not self._chunks:
            return []
        chunk, ticket = self._chunks.popleft()
        if len(chunk.records) <= most:
            return [(chunk, ticket)]
        records = chunk.records
        cut = records[most].offset
        piece = Chunk(chunk.topic, chunk.partition, chunk.base, cut, chunk.generation, records[:most])
        rest = Chunk(chunk.topic, chunk.partition, cut, chunk.end, chunk.generation, records[most:])
        self._chunks.appendleft((rest, ticket))
        return [(piece, None)]

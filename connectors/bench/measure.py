"""One contender from its snapshot to its last change: rates, latency, memory, and whether it is right."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import environ
from typing import Any

import psycopg

from connectors.bench.contenders import DATABASE, Contender
from connectors.bench.load import DSN_VARIABLE
from connectors.bench.process import cpu_seconds, held_still, peak_rss_mb
from connectors.bench.slots import SlotWatch, drop_slot
from connectors.bench.table import COLUMNS, INSERTS, make_table, table_rows, write_backlog
from connectors.bench.watch import Decoder, EndWatch, Reader, Seen
from streams.errors import DependencyUnavailable
from streams.stack import Stack

POLL_S = 0.01
CHECK_S = 2.0  # between two looks at whether the contender lives
START_TIMEOUT_S = 180.0  # a JVM on a busy machine
STALL_S = 90.0  # without a record for this long it hangs
SETTLE_S = 1.0  # nothing comes any more: Debezium's default poll interval is half of it
DRAIN_S = 15.0  # for the last changes of the latency phase

Row = tuple[Any, ...]
Show = Callable[[str, int, int], None]  # phase, how far, of how much


@dataclass(frozen=True, slots=True)
class Size:
    """Of a run: rows of the snapshot and changes of the backlog; the paced phase."""

    rows: int
    per_second: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one contender. Latencies are milliseconds, memory MiB.

    ``different`` counts the rows that the topic, folded by key, has otherwise than the table; missing
    and superfluous ones too. ``surplus`` counts changes beyond those that were made: repeats.
    """

    snapshot_rows_per_s: float
    streaming_rows_per_s: float
    streaming_cpu_us_per_row: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_changes: int
    paced_per_s: float
    peak_rss_mb: float
    changes: int
    rows: int
    different: int
    surplus: int

    def as_json(self) -> dict[str, Any]:
        """Rounded to what the measurement can tell."""
        return {
            "snapshot_rows_per_s": round(self.snapshot_rows_per_s),
            "streaming_rows_per_s": round(self.streaming_rows_per_s),
            # Unlike rates by the clock, hardly touched by what else the machine does.
            "streaming_cpu_us_per_row": round(self.streaming_cpu_us_per_row, 1),
            "latency_ms": {
                "p50": round(self.latency_p50_ms, 1),
                "p99": round(self.latency_p99_ms, 1),
                "changes": self.latency_changes,
                "written_per_s": round(self.paced_per_s, 1),
            },
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "changes": self.changes,
            "rows_compared": self.rows,
            "rows_different": self.different,
            "changes_surplus": self.surplus,
        }


class Measurement:
    """Measures one contender on a table that is made anew for it."""

    def __init__(self, stack: Stack, contender: Contender, size: Size, show: Show) -> None:
        self._bootstrap = stack.broker.bootstrap
        self._dsn = stack.postgres.dsn(DATABASE)
        self._sql = psycopg.connect(self._dsn, autocommit=True)
        self._decoder = Decoder(stack.registry.url)
        self._contender = contender
        self._size = size
        self._show = show
        self._changes = 0
        self._latest: dict[bytes, bytes] = {}

    def run(self) -> Figures:
        """All phases; the contender is stopped at the end, and its slot is dropped."""
        contender, size = self._contender, self._size
        make_table(self._sql, size.rows)
        try:
            with EndWatch(self._bootstrap, contender.topic) as watch:
                snapshot = self._snapshot(watch)
                streaming, cpu, written = self._stream(watch)
                end = watch.end
            latencies, paced = self._pace(end)
            memory = peak_rss_mb(contender.pid)
            changes = size.rows + written + size.per_second * size.seconds
            rows, different = self._compare()
            return Figures(
                snapshot_rows_per_s=snapshot,
                streaming_rows_per_s=streaming,
                streaming_cpu_us_per_row=cpu,
                latency_p50_ms=percentile(latencies, 50),
                latency_p99_ms=percentile(latencies, 99),
                latency_changes=len(latencies),
                paced_per_s=paced,
                peak_rss_mb=memory,
                changes=changes,
                rows=rows,
                different=different,
                surplus=self._changes - changes,
            )
        finally:
            contender.stop()
            drop_slot(self._sql, contender.slot)
            self._sql.close()
            self._decoder.close()

    def _snapshot(self, watch: EndWatch) -> float:
        """Rows per second from the slot's creation, with which both begin, until the last is readable."""
        contender = self._contender
        with SlotWatch(self._dsn, contender.slot) as slot:
            contender.start()
            deadline = time.monotonic() + START_TIMEOUT_S
            while slot.created is None:
                contender.check()
                slot.check()
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(f"{contender.name} made no slot in {START_TIMEOUT_S:.0f} s")
                time.sleep(POLL_S)
        last = self._await("snapshot", watch, 0, self._size.rows)
        return self._size.rows / (watch.readable_since(last) - slot.created)

    def _stream(self, watch: EndWatch) -> tuple[float, float, int]:
        """Changes per second of a backlog, from when the process runs until the last is readable; the
        process's CPU time per change, in microseconds; and how many they were."""
        start = watch.end
        with held_still(self._contender.pid):
            written = write_backlog(self._sql, self._size.rows, self._size.rows)
        began, used = time.time(), cpu_seconds(self._contender.pid)
        last = self._await("stream", watch, start, written)
        # Up to the moment of quiet that ends the wait, in which little is done.
        used = cpu_seconds(self._contender.pid) - used
        return written / (watch.readable_since(last) - began), used * 1e6 / written, written

    def _await(self, phase: str, watch: EndWatch, start: int, changes: int) -> int:
        """The offset of the last of ``changes`` changes from offset ``start`` on; a tombstone is none."""
        name = f"{self._contender.name}: {phase}"
        goal = self._changes + changes
        offset, last = start, start
        moved, looked, reached = time.monotonic(), 0.0, watch.end
        while self._changes < goal:
            end, now = watch.end, time.monotonic()
            if end != reached:
                moved, reached = now, end
            self._show(name, min(end - start, changes), changes)
            if now - looked > CHECK_S:
                self._contender.check()
                looked = now
            if now - moved > STALL_S:
                raise DependencyUnavailable(f"{name}: no record for {STALL_S:.0f} s, {changes} are awaited")
            # Reading costs CPU that the contender needs: only when all may be there, and all is quiet.
            if end - start >= changes and end > offset and now - moved > SETTLE_S:
                with Reader(self._bootstrap, self._contender.topic, offset) as reader:
                    for seen in reader.to_end():
                        if self._take(seen):
                            last = seen.offset
                offset = end
            time.sleep(POLL_S)
        return last

    def _pace(self, start: int) -> tuple[list[float], float]:
        """Milliseconds from each change's commit until it was read, sorted; and the writer's true rate."""
        size = self._size
        expected = size.per_second * size.seconds
        first = 2 * size.rows * (INSERTS + 1) + 1  # far beyond the ids of the backlog
        arguments = [str(first), str(size.per_second), str(size.seconds)]
        name = f"{self._contender.name}: latency"
        found: list[Seen] = []
        with Reader(self._bootstrap, self._contender.topic, start) as reader:
            reader.next(SETTLE_S)  # connect first: it is not what is measured
            command = [sys.executable, "-m", "connectors.bench.load", *arguments]
            environment = {**environ, DSN_VARIABLE: self._dsn}
            with subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            ) as writer:
                drained: float | None = None
                while len(found) < expected and (drained is None or time.monotonic() < drained):
                    seen = reader.next(0.1)
                    if seen is not None and seen.value is not None:
                        found.append(seen)
                        if len(found) % size.per_second == 0:
                            self._show(name, len(found), expected)
                    elif seen is None and drained is None and writer.poll() is not None:
                        drained = time.monotonic() + DRAIN_S
                _, said = writer.communicate()
            if writer.returncode:
                reason = next(reversed(said.splitlines()), f"exit code {writer.returncode}")
                raise DependencyUnavailable(f"the paced writer has failed: {reason}")
        if len(found) < expected:
            raise DependencyUnavailable(f"{name}: {len(found)} of {expected} changes came")
        commits = []
        for seen in found:
            self._take(seen)
            assert seen.value is not None
            commits.append(self._decoder.decode(seen.value)["source"]["ts_us"] / 1e6)
        latencies = sorted((seen.at - at) * 1000 for seen, at in zip(found, commits, strict=True))
        return latencies, (len(commits) - 1) / (max(commits) - min(commits))

    def _take(self, seen: Seen) -> bool:
        """Fold a record; whether it is a change, not a tombstone."""
        assert seen.key is not None
        if seen.value is None:
            self._latest.pop(seen.key, None)
            return False
        self._latest[seen.key] = seen.value
        self._changes += 1
        return True

    def _compare(self) -> tuple[int, int]:
        """Rows of the table, and how many of them or beyond them the folded topic has otherwise."""
        folded = {}
        for value in self._latest.values():
            after = self._decoder.decode(value)["after"]
            if after is not None:
                folded[after["id"]] = tuple(after[column] for column in COLUMNS)
        table = {row[0]: row for row in table_rows(self._sql)}
        return len(table), different_rows(folded, table)


def different_rows(folded: Mapping[int, Row], table: Mapping[int, Row]) -> int:
    """Rows by id that only one of both has, or that are not the same."""
    return sum(folded.get(key) != table.get(key) for key in folded.keys() | table.keys())


def percentile(ordered: list[float], percent: int) -> float:
    """The smallest value that ``percent`` of the sorted values do not exceed."""
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]

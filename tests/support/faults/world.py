"""One test's source with its load, its faults and its judge."""

from __future__ import annotations

import contextlib
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from integration.sources.harness import Capture

from streams.stack import Stack
from support.faults.judge import Verdict, compare
from support.faults.load import DDL, TABLES, Load
from support.faults.report import Line, Report
from support.faults.supervisor import Commands, Supervised, toml
from support.faults.tail import Tail

RECOVERY_S = 90.0  # a fault is mended within this time after its end, or the test fails


class World:
    """A schema with the four tables, a source's configuration, and the figures of the faults."""

    def __init__(self, stack: Stack, folder: Path, seed: int, report: Report) -> None:
        self.stack = stack
        self.chance = random.Random(seed)
        self.capture = Capture(stack, folder)
        self.capture.sql.execute(DDL)
        self.dsn = self.capture.dsn
        self.times = 0
        self.recoveries: list[float] = []
        self._seed = seed
        self._folder = folder
        self._report = report

    def commands(
        self, *, postgres_port: int | None = None, kafka: str | None = None, **settings: Any
    ) -> Commands:
        """The source's command lines; by way of other ports where those are given."""
        dsn = self.dsn if postgres_port is None else re.sub(r":\d+/", f":{postgres_port}/", self.dsn)
        config = self._folder / "source.toml"
        given = {"name": self.capture.name, "dsn": dsn, **self.capture.settings, **settings}
        config.write_text(toml(given), encoding="utf-8")
        broker = kafka or self.stack.broker.bootstrap
        return Commands(config, broker, self.stack.registry.url, self._folder / "source.log")

    def load(self, **settings: Any) -> Load:
        """A writer of the world's tables."""
        return Load(self.dsn, self.capture.name, self.chance.randrange(1 << 20), **settings)

    @contextlib.contextmanager
    def streaming(self, commands: Commands) -> Iterator[tuple[Supervised, Tail]]:
        """Load, a source that streams it, and a reader that has seen it do so."""
        began = time.monotonic()
        with self.load() as load, Tail(self.capture) as tail, Supervised(commands) as source:
            tail.behind(self.lsn(), RECOVERY_S)
            self.pause()
            yield source, tail
        print(f"{load.transactions} transactions in {time.monotonic() - began:.1f} s")

    def pause(self, most: float = 1.5) -> None:
        """Wait for a random moment."""
        time.sleep(self.chance.random() * most)

    def lsn(self) -> int:
        """Where the log is durable up to."""
        with psycopg.connect(self.dsn) as sql:
            row = sql.execute("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
        assert row is not None
        return int(row[0])

    def fault(
        self, tail: Tail, inject: Callable[[], object], mend: Callable[[], object] | None = None
    ) -> None:
        """Inject a fault and wait until a change that was committed behind it has arrived.

        The time is from the end of the fault: from ``mend``, or from ``inject`` where it mends itself.
        """
        before = self.lsn()
        inject()
        if mend is not None:
            mend()
        ended = time.monotonic()
        # What is committed before the fault is over may be published in it: the mark is set at its end.
        tail.behind(max(before, self.lsn()), RECOVERY_S)
        self.recovered(time.monotonic() - ended)

    def recovered(self, seconds: float) -> None:
        """Count a fault that was mended."""
        self.times += 1
        self.recoveries.append(seconds)
        print(f"recovered in {seconds:.2f} s")

    def judge(self, fault: str, commands: Commands, tables: tuple[str, ...] = TABLES) -> Verdict:
        """Publish the rest, compare, report, and demand that all is exact."""
        ended = commands.run("run", "--once")
        assert ended.code == 0, ended.lines
        verdict = compare(self.capture, tables)
        line = Line(
            fault,
            self.times,
            f"{statistics.median(self.recoveries):.1f}",
            f"{max(self.recoveries):.1f}",
            verdict.rows,
            verdict.records,
            verdict.different,
            verdict.repeats,
        )
        self._report.add(line)
        print(f"seed {self._seed}: {line}")
        verdict.assert_exact()
        commands.assert_no_traceback()
        return verdict

    def close(self) -> None:
        """Leave nothing behind in the shared servers."""
        capture = self.capture
        capture.sql.close()  # it may be of a server that was restarted since
        capture.sql = psycopg.connect(self.dsn, autocommit=True)
        capture.close()

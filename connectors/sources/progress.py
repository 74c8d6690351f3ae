"""Progress of long work: a bar on a terminal, a log line now and then otherwise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

log = structlog.get_logger()

LOG_S = 10.0  # between two lines of one step


class Steps:
    """Steps that follow each other. Bars go to standard error.

    Each is a block under `step`, or, in a ``with`` of this object, what `show` is called for.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._shown = contextlib.ExitStack()
        self._what: str | None = None
        self._done = 0

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def show(self, what: str, done: int, total: int) -> None:
        """How far a step is; another one's name begins that."""
        if what != self._what:
            self._shown.close()
            self._advance = self._shown.enter_context(self.step(what, total))
            self._what, self._done = what, 0
        self._advance(done - self._done)
        self._done = done

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """One step, of ``total`` things if that is known; the function tells how many more are done."""
        if not self._console.is_terminal:
            yield from self._logged(what, total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda more: bar.advance(task, more)

    def _logged(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        done = 0
        started = said = time.monotonic()

        def advance(more: int) -> None:
            nonlocal done, said
            done += more
            if time.monotonic() - said > LOG_S:
                said = time.monotonic()
                log.info("progress", step=what, done=done, estimate=total)

        yield advance
        log.info("step_done", step=what, done=done, seconds=round(time.monotonic() - started, 3))

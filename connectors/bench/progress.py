"""Progress on standard error: bars on a terminal, a line a phase elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID


class ProgressView:
    """A context manager; `show` is called with the phase, how far it is, and of how much."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, phase: str, done: int, total: int) -> None:
        """Move a phase's bar; the first call of a phase announces it."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
            if not self._console.is_terminal:
                self._console.print(f"{phase}, {total:,} changes")
        self._progress.update(self._tasks[phase], completed=done)

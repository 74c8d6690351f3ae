"""The live view of a running demo; plain lines where the output is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from connectors.demo.counters import total
from connectors.demo.run import Snapshot


class LiveView:
    """Shows snapshots of a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._phase = ""

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run is."""
        if self._console.is_terminal:
            self._live.update(_table(snapshot))
        elif snapshot.phase != self._phase:
            self._phase = snapshot.phase
            self._console.print(f"{snapshot.phase} …")


def _table(snapshot: Snapshot) -> Table:
    counters = snapshot.counters
    table = Table(title=snapshot.phase, title_justify="left", show_header=False, min_width=50)
    table.add_column()
    table.add_column(justify="right")
    done = snapshot.written / max(snapshot.to_write, 1)
    bar = "█" * int(done * 24) + "░" * (24 - int(done * 24))
    table.add_row(f"{bar} {snapshot.simulated}", f"{snapshot.written:,} / {snapshot.to_write:,}")
    table.add_row("changes captured", f"{total(counters, 'cdc'):,}")
    table.add_row("entries rated", f"{total(counters, 'rated'):,}")
    table.add_row("ledger lines", f"{total(counters, 'billing_events'):,}")
    table.add_row("parked / released", f"{total(counters, 'parked'):,} / {total(counters, 'released'):,}")
    table.add_row("utilization facts", f"{total(counters, 'utilization_daily'):,}")
    if snapshot.different is not None:
        table.add_row("rows that differ from the oracle", f"{snapshot.different:,}")
    return table

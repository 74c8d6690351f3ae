"""The table of all faults in ``tests/faults/README.md``: one line a fault, renewed by each full run."""

from __future__ import annotations

import platform
import sys
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

HEAD = (
    "fault",
    "injected",
    "recovery s, median",
    "longest",
    "rows compared",
    "records",
    "different",
    "repeats",
)


@dataclass(frozen=True)
class Line:
    """What one scenario found. Recovery is from the end of the fault to the first change behind it."""

    fault: str
    injected: int
    median: str
    longest: str
    rows: int
    records: int
    different: int
    repeats: int


class Report:
    """Gathers lines; `write` replaces those of the same faults in the file's table of that name, and
    keeps the others."""

    def __init__(self, table: str = "table") -> None:
        self.lines: list[Line] = []
        self._marks = f"<!-- {table}: written by `make faults` -->", f"<!-- end of the {table} -->"

    def add(self, line: Line) -> None:
        """Gather one."""
        self.lines.append(line)

    def write(self, path: Path, versions: str) -> None:
        """Renew the part of ``path`` between its marks."""
        text = path.read_text(encoding="utf-8")
        begin, end = self._marks
        head, rest = text.split(begin)
        table, tail = rest.split(end)
        kept = {
            line.split("|")[1].strip(): line
            for line in table.splitlines()
            if line.startswith("| ") and "---" not in line
        }
        kept.pop(HEAD[0], None)
        day = datetime.now(UTC).date().isoformat()
        for line in self.lines:
            cells = [f"{one:,}" if isinstance(one, int) else one for one in astuple(line)]
            kept[line.fault] = f"| {' | '.join([*cells, day])} |"
        columns = [*HEAD, "measured"]
        rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *kept.values()]
        said = f"Versions of the last run: {versions}, Python {platform.python_version()} on {sys.platform}."
        body = "\n".join(["", *rows, "", said, ""])
        path.write_text(head + begin + body + end + tail, encoding="utf-8")

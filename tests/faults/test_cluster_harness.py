"""What the tests on three brokers rely on, without any."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faults.cluster import java_hash
from support.faults.report import Line, Report

LINE = Line("a fault", 3, "1.0", "2.0", 1_000, 20, 0, 0)
TABLES = """
<!-- table: written by `make faults` -->
old
<!-- end of the table -->
between
<!-- second: written by `make faults` -->
<!-- end of the second -->
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [("", 0), ("hello", 99_162_322), ("billing-1", 1_828_025_695), ("tallystream-billing", 122_009_190)],
)
def test_names_fall_upon_partitions_as_in_java(text: str, found: int) -> None:
    """The absolute value of ``String.hashCode``."""
    assert java_hash(text) == found


def test_a_table_is_renewed_and_the_other_kept(tmp_path: Path) -> None:
    """Each report has its own marks."""
    path = tmp_path / "README.md"
    path.write_text(TABLES, encoding="utf-8")
    report = Report("second")
    report.add(LINE)
    report.write(path, "some version")
    first, second = path.read_text(encoding="utf-8").split("between")
    assert first == TABLES.split("between")[0]
    assert "| a fault | 3 | 1.0 | 2.0 | 1,000 | 20 | 0 | 0 | 20" in second
    assert "some version" in second

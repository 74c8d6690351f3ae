"""Progress of steps that are shown one after the other."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from connectors.sources.progress import Steps


def shown(terminal: bool) -> tuple[str, list[Any]]:
    out = io.StringIO()
    with capture_logs() as logged, Steps(Console(file=out, force_terminal=terminal, width=80)) as steps:
        for what in ("snapshot", "stream"):
            for done in (0, 4, 10):
                steps.show(what, done, 10)
    return out.getvalue(), logged


def test_each_step_is_a_bar_on_a_terminal() -> None:
    """Each ends full, and nothing is logged beside it."""
    drawn, logged = shown(terminal=True)
    assert drawn.index("snapshot") < drawn.index("stream")
    assert drawn.count("10/10") >= 2
    assert logged == []


def test_each_step_is_a_line_elsewhere() -> None:
    """With how much was done."""
    drawn, logged = shown(terminal=False)
    assert drawn == ""
    assert [(one["event"], one["step"], one["done"]) for one in logged] == [
        ("step_done", "snapshot", 10),
        ("step_done", "stream", 10),
    ]


def fail() -> None:
    with Steps(Console(file=io.StringIO(), force_terminal=False)) as steps:
        steps.show("snapshot", 4, 10)
        raise ValueError("broken")


def test_a_step_that_fails_is_not_said_to_be_done() -> None:
    """The error goes on to the caller."""
    with capture_logs() as logged, pytest.raises(ValueError, match="broken"):
        fail()
    assert logged == []

"""``tallystream stack``: up, status, env and down, from separate terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from streams.cli.stack import app
from streams.errors import DependencyUnavailable, UsageError
from streams.stack.state import read_state, record_process, write_state

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    run("down", tmp_path)


def run(command: str, folder: Path, *arguments: str) -> Result:
    return runner.invoke(app, [command, "--data-dir", str(folder), *arguments])


def up(folder: Path, *arguments: str) -> Result:
    return run("up", folder, "--detach", "--service", "redis", "--service", "registry", *arguments)


def test_up_status_env_down(folder: Path) -> None:
    """A detached stack is seen from elsewhere, used, and stopped; nothing of it runs afterwards."""
    started = up(folder)
    assert started.exit_code == 0, started.output
    assert "redis" in started.output
    status = run("status", folder, "--json")
    report = json.loads(status.output)
    assert (status.exit_code, report["running"], report["broker"]) == (0, True, "embedded")
    assert [(s["name"], s["healthy"]) for s in report["services"]] == [("redis", True), ("registry", True)]
    environment = json.loads(run("env", folder, "--json").output)
    assert set(environment) == {"TALLYSTREAM_REDIS_URL", "TALLYSTREAM_REGISTRY_URL"}
    assert f"export TALLYSTREAM_REDIS_URL={environment['TALLYSTREAM_REDIS_URL']}" in run("env", folder).output
    processes = [psutil.Process(pid) for service in report["services"] for pid in service["pids"]]

    assert isinstance(up(folder).exception, DependencyUnavailable)

    stopped = run("down", folder)
    assert (stopped.exit_code, "stopped the stack" in stopped.output) == (0, True)
    assert psutil.wait_procs(processes, 2)[1] == []
    assert run("status", folder).exit_code == 1


def test_nothing_runs(folder: Path) -> None:
    """Down is content, status is not, env says what to do."""
    assert run("down", folder).exit_code == 0
    status = run("status", folder, "--json")
    assert (status.exit_code, json.loads(status.output)["running"]) == (1, False)
    error = run("env", folder).exception
    assert isinstance(error, DependencyUnavailable)
    assert "tallystream stack up" in str(error)


def test_a_crash_leaves_a_stale_state_that_down_clears(folder: Path) -> None:
    """A server that outlived kill -9 of the stack is ended by its recorded pid.

    The kernel ends the servers of this stack; what the record names instead is a process that it does not.
    """
    up(folder)
    stack_folder = folder / "stack"
    state = read_state(stack_folder)
    assert state is not None
    servers = [psutil.Process(p.pid) for service in state.services for p in service.processes]
    os.kill(state.owner.pid, signal.SIGKILL)
    assert psutil.wait_procs([psutil.Process(state.owner.pid), *servers], 10)[1] == []
    with subprocess.Popen(["/bin/sleep", "300"]) as survivor:
        first, *others = state.services
        outlived = replace(first, processes=(record_process(survivor.pid),))
        write_state(stack_folder, replace(state, services=(outlived, *others)))
        status = run("status", folder, "--json")
        assert (status.exit_code, json.loads(status.output)["running"]) == (1, False)
        assert f"left running in {stack_folder}: {first.name}" in run("down", folder).output
        assert survivor.wait(2) == -signal.SIGTERM
    assert read_state(stack_folder) is None


def test_a_stack_that_cannot_start_says_why(folder: Path) -> None:
    """The line of the detached process becomes ours."""
    error = run("up", folder, "--detach", "--broker", "127.0.0.1:1").exception
    assert isinstance(error, DependencyUnavailable)
    assert str(error).startswith("no Kafka broker answers at 127.0.0.1:1")
    assert isinstance(run("up", folder, "--broker", "nonsense").exception, UsageError)
    assert isinstance(run("up", folder, "--port", "redis").exception, UsageError)


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_help_has_an_example(command: str) -> None:
    """Every command shows how it is used."""
    assert "Example: " in runner.invoke(app, [command, "--help"]).output

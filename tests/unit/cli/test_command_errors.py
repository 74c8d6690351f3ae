"""The command line as people meet it: exit codes, and errors in one line on standard error."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Nothing listens there: the port is bound by nobody and privileged.
NOWHERE = "127.0.0.1:1"
SECONDS = 60


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m streams …`` with nothing of ours in the environment but what is given."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**bare, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def assert_error(done: subprocess.CompletedProcess[str], code: int, words: Sequence[str]) -> None:
    """The exit code, and one line of error that says what to do; log lines are JSON and do not count."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("sing",), "sing"),
        (("worker", "--loud"), "--loud"),
        (("contracts", "sing"), "sing"),
        (("contracts", "list", "--xml"), "--xml"),
        (("worker", "--flows"), "--flows"),
    ],
)
def test_an_unknown_command_or_option_is_a_usage_error(arguments: tuple[str, ...], word: str) -> None:
    """Exit code 2, and the word that is not understood."""
    assert_error(run(*arguments), 2, [word])


def test_an_invalid_setting_is_a_usage_error() -> None:
    """Exit code 2, by the setting's name, before anything is connected to."""
    assert_error(run("worker", TALLYSTREAM_PARTITIONS="many"), 2, ["TALLYSTREAM_PARTITIONS"])
    assert_error(run("config", "show", TALLYSTREAM_PARTITION="1"), 2, ["unknown", "TALLYSTREAM_PARTITION"])


@pytest.mark.parametrize("flows", ["billing,singing", "", " , "])
def test_an_unknown_flow_is_a_usage_error(flows: str) -> None:
    """Exit code 2, with the flows there are."""
    assert_error(run("worker", "--flows", flows), 2, ["flow", "billing, utilization"])


def test_a_broker_that_is_down_is_an_unreachable_dependency() -> None:
    """Exit code 3, with the address and the setting that says where it is."""
    with ThreadPoolExecutor() as pool:  # each waits for the broker as long as it ought to
        commands = [("worker",), ("contracts", "create")]
        for done in pool.map(lambda words: run(*words, TALLYSTREAM_KAFKA_BOOTSTRAP=NOWHERE), commands):
            assert_error(done, 3, [NOWHERE, "TALLYSTREAM_KAFKA_BOOTSTRAP"])


def test_a_command_that_reads_topics_says_once_that_no_broker_answers() -> None:
    """Not what the client says of each attempt."""
    done = run("periods", "list", TALLYSTREAM_KAFKA_BOOTSTRAP=NOWHERE)
    assert_error(done, 3, [NOWHERE, "TALLYSTREAM_KAFKA_BOOTSTRAP"])


def test_payroll_needs_a_warehouse() -> None:
    """Exit code 2 without its address, 3 where nobody answers; no password in the message."""
    assert_error(run("payroll", "extract"), 2, ["TALLYSTREAM_BI_DSN"])
    away = run("payroll", "list", TALLYSTREAM_BI_DSN=f"postgresql://user:geheim@{NOWHERE}/bi")
    assert_error(away, 3, [NOWHERE])
    assert "geheim" not in away.stderr


def test_help_shows_an_example() -> None:
    """Each command's help, on standard output."""
    done = run("worker", "--help")
    assert done.returncode == 0
    assert "Example:" in done.stdout


def test_no_command_shows_the_commands() -> None:
    """Exit code 2, as shells expect."""
    done = run()
    assert done.returncode == 2
    assert "worker" in done.stdout + done.stderr


def test_secrets_are_not_shown() -> None:
    """``config show`` masks them in both forms."""
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        done = run(*arguments, TALLYSTREAM_ERP_DSN="postgresql://u:geheim@h/erp")
        assert done.returncode == 0
        assert "geheim" not in done.stdout
        assert "kafka_bootstrap" in done.stdout.lower()


def test_contracts_check_finds_nothing_in_what_we_ship() -> None:
    """Exit code 0."""
    done = run("contracts", "check", "--json")
    assert done.returncode == 0, done.stdout
    assert '"problems": []' in done.stdout


def test_a_closed_pipe_is_no_traceback() -> None:
    """``tallystream contracts list | head`` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "streams", "contracts", "list", "--json"],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert "Traceback" not in done.stderr


def test_nothing_listens_where_the_tests_say() -> None:
    """What the tests above rest on."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 1)) != 0

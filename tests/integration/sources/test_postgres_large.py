"""Transactions that do not fit in memory, or are in progress for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    wait_until,
)
from integration.sources.large_transactions import (
    COLUMNS,
    FEW,
    LINE,
    check,
    large,
    last_once,
    metadata,
    streamed,
)

import connectors
from connectors.sources.postgres.log import parts, streaming
from streams.errors import ConfigurationError, DependencyUnavailable

# With smaller parts than usual, so that a kill finds many places.
COMMAND = (
    "from connectors.sources.postgres.log import parts; parts.PART_CHANGES = 500; "
    "from connectors.sources.cli import app; app()"
)
PARTIAL = "tallystream.partial"


@pytest.fixture
def line(capture: Capture) -> Capture:
    capture.sql.execute(LINE)
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.run_once()
    return capture


@pytest.mark.parametrize("in_progress", [False, True])
def test_a_spilled_transaction_is_the_same(line: Capture, in_progress: bool) -> None:
    """On disk, delivered whole or in progress: the table, one last state a key, ordinals without a gap."""
    dsn = streamed(line) if in_progress else line.dsn
    large(line)
    line.sql.execute("INSERT INTO line VALUES (1000000, 1, 'after')")
    line.run_once(dsn=dsn, **FEW)
    messages = check(line)
    last_once(messages)
    ordinals = {m.position[2] for m in messages if m.position[1] == messages[0].position[1]}
    assert len(ordinals) == max(ordinals) + 1 > 6000
    assert not any(PARTIAL in m.headers for m in messages)


def test_rolled_back_parts_of_a_transaction_in_progress(line: Capture) -> None:
    """Savepoints that were streamed and rolled back drop their changes only; a rolled back whole leaves none."""
    with line.running(dsn=streamed(line), **FEW):
        with line.sql.transaction():
            line.sql.execute("INSERT INTO line SELECT i, 1, 'kept' FROM generate_series(1, 3000) i")
            with line.sql.transaction(force_rollback=True):
                line.sql.execute("INSERT INTO line SELECT i, 2, 'dropped' FROM generate_series(4001, 7000) i")
            with line.sql.transaction():
                line.sql.execute("INSERT INTO line SELECT i, 3, 'nested' FROM generate_series(8001, 11000) i")
                with line.sql.transaction(force_rollback=True):
                    line.sql.execute("UPDATE line SET note = 'dropped'")
        with line.sql.transaction(force_rollback=True):
            line.sql.execute("INSERT INTO line SELECT i, 4, 'dropped' FROM generate_series(12001, 15000) i")
        line.sql.execute("INSERT INTO line VALUES (-1, 5, 'end')")
        wait_until(lambda: any(m.key == {"id": -1} for m in line.messages("line")))
    messages = check(line)
    assert len(messages) == 6001
    assert not any("dropped" in str(m.value) for m in messages)


def test_transactions_in_progress_at_once(line: Capture) -> None:
    """Two that are streamed in turns, small ones between: each comes whole, in commit order."""
    options = f"-c search_path={line.name}"
    with (
        psycopg.connect(line.dsn, options=options) as first,
        psycopg.connect(line.dsn, options=options) as second,
        line.running(dsn=streamed(line), **FEW),
    ):
        for turn in range(4):
            for base, sql in ((1_000_000, first), (2_000_000, second)):
                sql.execute(
                    "INSERT INTO line SELECT %s::int + i, 0, 'x' FROM generate_series(1, 1500) i",
                    [base + turn * 2000],
                )
            line.sql.execute("INSERT INTO line VALUES (%s, 1, 'small')", [turn])
        wait_until(lambda: len(line.messages("line")) == 4)  # nothing of the others is seen
        second.commit()
        wait_until(lambda: len(line.messages("line")) == 6004)
        assert all(m.key["id"] < 4 or m.key["id"] > 2_000_000 for m in line.messages("line"))
        first.commit()
        wait_until(lambda: len(line.messages("line")) == 12004)
    check(line)


def test_a_column_added_within_a_spilled_transaction(line: Capture) -> None:
    """Rows before and after it in the same transaction have their own shapes; those that follow too."""
    with line.sql.transaction():
        line.sql.execute("INSERT INTO line SELECT i, 1, 'old' FROM generate_series(1, 2000) i")
        line.sql.execute("ALTER TABLE line ADD more int")
        line.sql.execute("INSERT INTO line SELECT i, 2, 'new', i FROM generate_series(2001, 4000) i")
    line.sql.execute("INSERT INTO line VALUES (5000, 3, 'next', 5)")
    line.run_once(dsn=streamed(line), **FEW)
    after = {m.key["id"]: m.value["after"] for m in check(line)}
    assert "more" not in after[2000]
    assert after[2001]["more"] == 2001
    assert after[5000]["more"] == 5


def test_truncate_within_a_spilled_transaction(line: Capture) -> None:
    """What it emptied is no last state, what followed is."""
    with line.sql.transaction():
        line.sql.execute("INSERT INTO line SELECT i, 1, 'gone' FROM generate_series(1, 2000) i")
        line.sql.execute("TRUNCATE line")
        line.sql.execute("INSERT INTO line SELECT i, 2, 'there' FROM generate_series(1, 1000) i")
    line.run_once(**FEW)
    messages = line.messages("line")
    assert line.folded("line", *COLUMNS) == line.rows("line", *COLUMNS)
    assert sum(m.last for m in messages if m.value["op"] == "c") == 1000
    assert not any(m.last for m in messages if m.value["op"] == "c" and m.value["after"]["note"] == "gone")


def test_a_huge_transaction_spans_several_and_goes_on_where_it_was(
    line: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session breaks after each part: no change is lost, none comes twice, and the parts are marked."""
    monkeypatch.setattr(parts, "PART_CHANGES", 1000)
    large(line)
    line.sql.execute("INSERT INTO line VALUES (1000000, 1, 'after')")
    commit = streaming.Streaming._commit

    def broken(self: streaming.Streaming) -> None:
        commit(self)
        if self._progress.partial is not None:
            raise DependencyUnavailable("cut here")

    monkeypatch.setattr(streaming.Streaming, "_commit", broken)
    for sessions in range(1, 7):
        with pytest.raises(DependencyUnavailable, match="cut here"):
            line.run_once(transaction_metadata=True, **FEW)
        assert line.progress().flushed_lsn <= line.progress().commit_lsn
        assert line.progress().ordinal == sessions * 1000 - 1
    line.run_once(transaction_metadata=True, **FEW)
    assert line.progress().partial is None
    messages = check(line)
    last_once(messages)
    marked = {}
    for m in messages:
        if m.value is not None and PARTIAL in m.headers:
            marked[m.position[2]] = m.headers[PARTIAL]
            assert m.value["transaction"]["total_order"] == m.position[2] + 1
    assert [marked[ordinal] for ordinal in sorted(marked)] == [b"1"] * 6000 + [b"0"] * (len(marked) - 6000)
    records = metadata(line)
    assert sorted(one["status"] for one in records) == ["BEGIN", "BEGIN", "END", "END"]
    assert sorted(one["event_count"] for one in records if one["status"] == "END") == [1, len(marked)]


def test_a_table_taken_out_while_half_is_published(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest's ordinals would be others: refused in one line, and right once the table is back."""
    monkeypatch.setattr(parts, "PART_CHANGES", 1000)
    line.sql.execute("CREATE TABLE other (id int PRIMARY KEY)")
    line.run_once()
    with line.sql.transaction():
        line.sql.execute("INSERT INTO other SELECT i FROM generate_series(1, 500) i")
        line.sql.execute("INSERT INTO line SELECT i, 1, 'a' FROM generate_series(1, 2000) i")
    commit = streaming.Streaming._commit

    def broken(self: streaming.Streaming) -> None:
        commit(self)
        if self._progress.partial is not None:
            raise DependencyUnavailable("cut here")

    with monkeypatch.context() as patch:
        patch.setattr(streaming.Streaming, "_commit", broken)
        with pytest.raises(DependencyUnavailable, match="cut here"):
            line.run_once(**FEW)
    with pytest.raises(ConfigurationError, match=r"\.other, which it changed, is not captured") as raised:
        line.run_once(tables=[f"{line.name}.line"], **FEW)
    assert "\n" not in str(raised.value)
    line.run_once(**FEW)
    assert len(check(line)) == 2000
    assert len(line.messages("other")) == 500


def start(capture: Capture) -> subprocess.Popen[bytes]:
    """The source as its own process."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", COMMAND, "run", str(capture.config_file())),
            *("--kafka", capture.stack.broker.bootstrap, "--registry", capture.stack.registry.url),
        ],
        cwd=Path(connectors.__file__).parents[1],
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_kills_within_a_huge_transaction(line: Capture) -> None:
    """SIGKILL of the process between parts and in them: the next one repeats nothing and loses nothing."""
    line.settings.update(FEW)
    large(line, 20_000)
    kills, deadline = 0, time.monotonic() + 120
    # Not read between a kill and the next start: what was open hides what is behind it.
    seen = line.progress()
    while True:
        source = start(line)
        try:
            wait_until(lambda was=seen: line.progress() != was, 60)  # type: ignore[misc]
            seen = line.progress()
            if seen.partial is None or time.monotonic() > deadline:
                break
            time.sleep(0.1)
            kills += 1
        finally:
            source.send_signal(signal.SIGKILL if seen.partial is not None else signal.SIGTERM)
            source.wait(30)
    assert kills >= 1, "the transaction was never seen half published"
    line.run_once()
    last_once(check(line))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with half a megabyte of room."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["/bin/mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)],
            check=False,
            capture_output=True,
        ).returncode
    )
    if not mounted:
        pytest.skip("needs to mount a small file system")
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("in_progress", [False, True])
def test_a_full_spill_disk(line: Capture, small_disk: Path, in_progress: bool) -> None:
    """One line that names the folder; nothing is lost, and with room it goes on."""
    settings = {"dsn": streamed(line) if in_progress else line.dsn, "spill_dir": small_disk, **FEW}
    large(line, 20_000)
    with pytest.raises(DependencyUnavailable, match="spill_dir") as raised:
        line.run_once(**settings)
    assert str(small_disk) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert line.messages("line") == []
    subprocess.run(["/bin/mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    line.run_once(**settings)
    check(line)

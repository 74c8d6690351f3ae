"""A rolling upgrade of rules with real workers of two versions on Apache Kafka."""

from __future__ import annotations

from collections import Counter

import pytest
from worker_harness import Site, Worker, wait_for

OLD, NEW = "exceptions/9", "exceptions/10"
RELEASE = """
import sys
from agents.exceptions.stage import ExceptionsStage
from streams.cli.main import main
ExceptionsStage.rules = {rules!r}
sys.argv[0] = "tallystream"
main()
"""


def start(site: Site, name: str, rules: str) -> Worker:
    """A worker of the release that has these rules."""
    return site.worker(name, program=("-c", RELEASE.format(rules=rules)))


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_a_rolling_upgrade_with_workers_of_both_versions(kafka_site: Site) -> None:
    """One of two workers is upgraded and then dies: the older one does not touch what the newer had.

    It ends with one line that says so; upgraded itself, it takes over everything, and each report is
    counted once.
    """
    site, names = kafka_site, [f"upgrade-{n}" for n in range(40)]
    expected: Counter[str] = Counter()

    def report() -> None:
        site.report(names)
        expected.update(names)

    older, upgraded = start(site, "up-a", OLD), start(site, "up-b", OLD)
    for worker in (older, upgraded):
        worker.wait_ready()
    report()
    site.wait_seen("upgrade", dict(expected))
    assert upgraded.terminate()[0] == 0
    upgraded = start(site, "up-b", NEW).wait_ready()
    report()
    site.wait_seen("upgrade", dict(expected))
    assert older.process.poll() is None, "side by side, each with its own partitions"

    upgraded.kill()
    wait_for(lambda: older.process.poll() is not None, 60, older.output)
    assert older.process.returncode == 1
    line = older.error_line()
    assert f"written by rules {NEW}, this worker has {OLD}; upgrade it" in line
    assert not older.printed_traceback()
    report()

    start(site, "up-a", NEW).wait_ready()
    site.wait_seen("upgrade", dict(expected))

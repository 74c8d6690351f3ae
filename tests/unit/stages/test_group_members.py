"""Members of groups: sums are right in whatever order the people who move between groups arrive."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stage_builders import Firm, entry_row, firm

from agents.flows import all_flows
from agents.utilization.group_stage import GroupStage
from agents.utilization.view import UtilizationView
from streams.lanes.records import PlainRecord
from streams.settings import Settings
from streams.testing import TopologyDriver

MEMBERS = "utilization.member"
PRACTICES = ("data", "cloud", "strategy")
ENTRY = 900_300
MOVE = "MOVE"
# Practice (its place above) of the first person, and the hours of their entry; 0 is none.
moves = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=6)


def sent(steps: Sequence[tuple[int, int]]) -> tuple[Firm, list[PlainRecord]]:
    """The members of a firm in which somebody changes practice and hours, one step after the other."""
    source = Firm(seed=0)
    for transaction in firm().seed:
        source.commit(transaction)
    row = entry_row(ENTRY)
    source.insert("time_entry", **row)
    # In the middle of the week of the entry: both groups have days of it.
    since = row["work_date"] - timedelta(days=row["work_date"].weekday() - 2)
    source.insert("consultant_position", id=MOVE, consultant_id=row["consultant_code"], effective_from=since)
    source.run()
    for version, (practice, hours) in enumerate(steps, start=2):
        source.update("consultant_position", MOVE, practice=PRACTICES[practice])
        status = "approved" if hours else "draft"
        source.update("time_entry", ENTRY, hours=Decimal(hours or 1), status=status, version=version)
        source.run()
    logs = source.driver.logs
    return source, [record for log in logs.partitions(MEMBERS) for record in log]


def received(
    messages: Sequence[PlainRecord], source: Firm, crash: float, rng: random.Random
) -> TopologyDriver:
    """The group stage alone, given members in this order, and the people of the source at any time."""
    flows = [all_flows()["utilization"]]
    driver = TopologyDriver(flows, settings=Settings(partitions=2), crash=lambda place: rng.random() < crash)
    references = [
        record
        for entity in UtilizationView.entities
        for log in source.driver.logs.partitions(f"canonical.{entity}")
        for record in log
    ]
    at = rng.randrange(len(messages))
    for record in (*messages[:at], *references, *messages[at:]):
        driver.produce(record.topic, record.key, record.value, partition=record.partition)
    driver.run(rng, chunk=50)
    return driver


def groups(driver: TopologyDriver) -> dict[Any, Any]:
    """Business content of the groups that are there."""
    latest = {
        tuple(r[name] for name in ("dimension", "value", "window", "starts_on")): r
        for r in driver.records("utilization.groups")
    }
    figures = (
        "consultants",
        "idle_consultants",
        "days",
        "worked_seconds",
        "billable_seconds",
        "capacity_seconds",
        "utilization",
    )
    return {key: tuple(r[name] for name in figures) for key, r in latest.items() if not r["deleted"]}


# Without shrinking: an example runs the whole topology, and its steps are few enough to read.
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(moves, st.integers(0, 2**16))
def test_any_order_of_arrival_ends_as_the_order_of_sending(steps: list[tuple[int, int]], seed: int) -> None:
    """Shuffled, doubled and with crashes."""
    rng = random.Random(seed)
    source, messages = sent(steps)
    shuffled = [m for m in messages for _ in range(2 if rng.random() < 0.3 else 1)]
    rng.shuffle(shuffled)
    assert groups(received(shuffled, source, 0.05, rng)) == groups(source.driver)


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_there_and_back_again_counts_once(order: str) -> None:
    """A → B → A, also with the newest first: the person is in A, and the groups are the oracle's."""
    source, messages = sent([(0, 2), (1, 2), (0, 2)])
    driver = received(messages if order == "forwards" else messages[::-1], source, 0.0, random.Random(0))
    found = groups(driver)
    assert found == groups(source.driver)
    busy = {key: content[0] - content[1] for key, content in found.items()}
    whole = {key: people for key, people in busy.items() if key[0] == "firm"}
    for (_, _, window, starts_on), people in whole.items():
        parts = [n for key, n in busy.items() if key[0] == "practice" and key[2:] == (window, starts_on)]
        assert sum(parts) == people


def test_a_change_costs_what_it_changes() -> None:
    """One more entry of one person: as many members as that person has groups, in a firm of any size."""
    source, messages = sent([(0, 2)])
    published = len(source.driver.records("utilization.groups"))
    source.update("time_entry", ENTRY, hours=Decimal(3), version=9)
    source.run()
    sent_now = sum(map(len, source.driver.logs.partitions(MEMBERS))) - len(messages)
    assert sent_now == 4 * 3
    assert len(source.driver.records("utilization.groups")) - published == 4 * 3


def test_groups_that_were_there_before_have_their_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """State of an earlier definition, which counted members only, is brought up to date once."""

    def lived(before: bool) -> dict[Any, Any]:
        source = Firm(seed=0)
        with monkeypatch.context() as earlier:
            if before:
                earlier.setattr(GroupStage, "rules", "utilization/1")
                for name in ("_settle_all", "_settle_idle"):
                    earlier.setattr(GroupStage, name, lambda *_: None)
            for transaction in (*firm().seed, *firm().transactions[:60]):
                source.commit(transaction)
            source.run()
        source.driver.crash_all()
        source.run()
        return groups(source.driver)

    assert lived(before=True) == (now := lived(before=False))
    assert any(figures[1] for figures in now.values())

"""A → B → A: receivers of a re-keyed stream end right in whatever order its messages arrive.

The real sender makes the messages, of entries that wander between projects and people; they are then
given to the real receivers in any order that keeps one partition's order of one sender's lane apart.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stage_builders import Firm, entry_row, firm

from agents.flows import all_flows
from streams.lanes.records import PlainRecord
from streams.settings import Settings
from streams.testing import TopologyDriver

REKEYED = ("billing.rated", "utilization.contribution")
REFERENCES = TopologyDriver([]).contracts.reference_topics()
ENTRIES = (900_200, 900_201, 900_202)


def choices() -> tuple[list[str], list[str]]:
    """Projects of different engagements, and consultants, that the firm has."""
    tables = firm().tables()
    projects: dict[str, str] = {}
    for row in tables["project"].values():
        projects.setdefault(row["engagement_id"], row["id"])
    return sorted(projects.values())[:3], sorted(row["id"] for row in tables["consultant"].values())[:3]


moves = st.lists(
    st.tuples(st.sampled_from(ENTRIES), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)),
    min_size=2,
    max_size=12,
)


def sent(steps: Sequence[tuple[int, int, int, int]]) -> tuple[Firm, list[PlainRecord]]:
    """The sender's messages for entries that wander; each step is applied before the next is made."""
    projects, people = choices()
    wanderers = Firm(seed=0)
    for transaction in firm().seed:
        wanderers.commit(transaction)
    wanderers.run()
    known: set[int] = set()
    for version, (entry_id, project, person, hours) in enumerate(steps, start=1):
        values: dict[str, Any] = {
            "project_code": projects[project],
            "consultant_code": people[person],
            "task_code": None,
            "hours": Decimal(hours),
            "version": version,
            "status": "approved" if hours else "draft",
        }
        if entry_id in known:
            wanderers.update("time_entry", entry_id, **values)
        else:
            wanderers.insert("time_entry", **{**entry_row(entry_id), **values})
            known.add(entry_id)
        wanderers.run()
    logs = wanderers.driver.logs
    return wanderers, [record for topic in REKEYED for log in logs.partitions(topic) for record in log]


def received(source: Firm, messages: Sequence[PlainRecord], crash: float, rng: random.Random) -> Any:
    """What the receivers make of messages in this order, as folds of their outputs."""
    flows = [all_flows()["billing"], all_flows()["utilization"]]
    driver = TopologyDriver(flows, settings=Settings(partitions=2), crash=lambda place: rng.random() < crash)
    for topic in REFERENCES:
        for record in source.driver.logs.partitions(topic)[0]:
            driver.produce(topic, record.key, record.value)
    driver.feed_references()
    for record in messages:
        driver.produce(record.topic, record.key, record.value, partition=record.partition)
    driver.run(rng, chunk=7)
    return folded(driver)


def folded(driver: TopologyDriver) -> Any:
    """Live segments, the ledger's balance per segment, and utilization: business content only."""
    live: dict[Any, Any] = {}
    for record in driver.records("billing.current"):
        live[record["root_id"], record["entry_id"], record["segment"]] = record
    balance: dict[Any, int] = defaultdict(int)
    for line in driver.records("billing.events"):
        balance[line["root_id"], line["entry_id"], line["segment"]] += line["seconds"]
    daily: dict[Any, Any] = {}
    for record in driver.records("utilization.daily"):
        daily[record["consultant_id"], record["day"]] = record
    return (
        {key: (r["bucket"], r["seconds"], r["amount"]) for key, r in live.items() if not r["deleted"]},
        {key: seconds for key, seconds in balance.items() if seconds},
        {key: (r["worked_seconds"], r["billable_seconds"]) for key, r in daily.items() if not r["deleted"]},
    )


# Without shrinking: an example runs the whole topology, and its steps are few enough to read.
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(moves, st.integers(0, 2**16), st.booleans())
def test_any_order_of_arrival_ends_as_the_order_of_sending(
    steps: list[tuple[int, int, int, int]], seed: int, duplicates: bool
) -> None:
    """Shuffled, doubled and with crashes: segments, ledger balances and days are as sent in order."""
    rng = random.Random(seed)
    source, messages = sent(steps)
    in_order = folded(source.driver)
    shuffled = [m for m in messages for _ in range(2 if duplicates and rng.random() < 0.3 else 1)]
    rng.shuffle(shuffled)
    assert received(source, shuffled, 0.05, rng) == in_order


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_there_and_back_again_leaves_one_place(order: str) -> None:
    """A → B → A, also with the newest message first: the entry counts at A, and nothing at B."""
    source, messages = sent([(ENTRIES[0], 0, 0, 2), (ENTRIES[0], 1, 1, 2), (ENTRIES[0], 0, 0, 2)])
    given_order = messages if order == "forwards" else messages[::-1]
    segments, balances, days = received(source, given_order, 0.0, random.Random(0))
    assert (segments, balances, days) == folded(source.driver)
    mine = [key for key in segments if key[1] == f"time:{ENTRIES[0]}"]
    assert len({root_id for root_id, _, _ in mine}) == 1
    assert sum(segments[key][1] for key in mine) == 7_200
    assert sum(seconds for key, seconds in balances.items() if key[1] == f"time:{ENTRIES[0]}") == 7_200
    assert days

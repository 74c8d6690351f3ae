"""The resource plan through the whole topology: projects that come late, lines that change, people that swap."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from stage_builders import Firm, firm, some

MONDAY = date(2026, 6, 1)  # after everything that happens to the firm
KEY = "AS-TEST"


class Planned:
    """The firm's reference rows, and one assignment of the first consultant in June."""

    def __init__(self, crash: float = 0.0) -> None:
        self.source = Firm(seed=1, crash=crash)
        for transaction in firm().seed:
            self.source.commit(transaction)
        tables = firm().tables()
        self.people = sorted(row["id"] for row in tables["consultant"].values() if row["fte"] == 1)[:2]
        self.project = next(p for p in tables["project"].values() if p["contract_line_id"] is not None)
        self.assign(self.project["id"])

    def assign(self, project: str) -> None:
        """Plan 6 h a day of the week."""
        self.source.insert(
            "assignment",
            id=KEY,
            consultant_id=self.people[0],
            project_id=project,
            starts_on=MONDAY,
            ends_on=date(2026, 6, 6),
            hours_per_day=Decimal(6),
            status="planned",
        )

    def weeks(self) -> dict[str, tuple[Any, ...]]:
        """What the week has, by native id of the consultant."""
        self.source.run()
        found = {
            r["consultant_id"]: r
            for r in self.source.driver.records("utilization.windows")
            if (r["window"], r["starts_on"]) == ("week", MONDAY)
        }
        names = ("planned_seconds", "planned_billable_seconds", "planned_unclassified_seconds")
        return {
            who.removeprefix("erp:"): tuple(r[name] for name in names)
            for who, r in found.items()
            if not r["deleted"]
        }


def test_a_project_that_comes_late_is_classified_then() -> None:
    """Planned on a project that nobody knows: unclassified until its row is there, and again without it."""
    plan = Planned()
    first = plan.people[0]
    seconds = plan.weeks()[first][0]
    assert plan.weeks()[first] == (seconds, seconds, 0)
    plan.source.update("assignment", KEY, project_id="P-LATE")
    assert plan.weeks()[first] == (seconds, 0, seconds)
    plan.source.insert("project", **{**plan.project, "id": "P-LATE"})
    assert plan.weeks()[first] == (seconds, seconds, 0)
    plan.source.delete("project", "P-LATE")
    assert plan.weeks()[first] == (seconds, 0, seconds)


def test_a_line_that_is_not_billed_any_more() -> None:
    """What is planned on its projects is not forecast to be billable; back again, it is."""
    plan = Planned()
    first = plan.people[0]
    line = plan.project["contract_line_id"]
    method = firm().tables()["contract_line"][line]["billing_method"]
    seconds = plan.weeks()[first][0]
    plan.source.update("contract_line", line, billing_method="non_billable")
    assert plan.weeks()[first] == (seconds, 0, 0)
    plan.source.update("contract_line", line, billing_method=method)
    assert plan.weeks()[first] == (seconds, seconds, 0)


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_there_and_back_again(crash: float) -> None:
    """An assignment handed on and handed back, step by step and all at once: one person has it."""
    plan = Planned(crash)
    first, second = plan.people
    before = plan.weeks()
    plan.source.update("assignment", KEY, consultant_id=second)
    assert set(plan.weeks()) == {second}
    plan.source.update("assignment", KEY, consultant_id=first)
    assert plan.weeks() == before
    for _ in range(3):
        for who in (second, first):
            plan.source.update("assignment", KEY, consultant_id=who)
    assert plan.weeks() == before
    plan.source.delete("assignment", KEY)
    assert plan.weeks() == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_old_rows_changes_nothing(seed: int) -> None:
    """All records of the plan again, in any order of partitions, after the latest: nothing is published."""
    plan = Planned()
    plan.source.update("assignment", KEY, consultant_id=plan.people[1])
    plan.source.update("assignment", KEY, hours_per_day=Decimal(4))
    before = plan.weeks()
    driver, rng = plan.source.driver, random.Random(seed)
    records = [record for log in driver.logs.partitions("canonical.assignment") for record in log]
    sizes = {topic: len(driver.records(topic)) for topic in ("utilization.windows", "utilization.plan")}
    rng.shuffle(records)
    for record in records:
        driver.produce(record.topic, record.key, record.value, partition=record.partition)
    assert plan.weeks() == before
    assert {topic: len(driver.records(topic)) for topic in sizes} == sizes


def test_an_assignment_like_another_adds_to_it() -> None:
    """Two on one project in one week are 12 h a day, and one row."""
    plan = Planned()
    alone = plan.weeks()[plan.people[0]][0]
    plan.source.insert("assignment", **{**some("assignment"), **_row(plan), "id": "AS-TEST-2"})
    assert plan.weeks()[plan.people[0]][0] == 2 * alone
    rows = [r for r in plan.source.driver.records("utilization.plan") if r["starts_on"] == MONDAY]
    assert {r["project_id"] for r in rows} == {f"erp:{plan.project['id']}"}


def _row(plan: Planned) -> dict[str, Any]:
    return {
        "consultant_id": plan.people[0],
        "project_id": plan.project["id"],
        "starts_on": MONDAY,
        "ends_on": date(2026, 6, 6),
        "hours_per_day": Decimal(6),
        "status": "confirmed",
    }

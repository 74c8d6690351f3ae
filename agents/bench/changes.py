"""The entry changes of the benchmark: drafts, approvals, corrections, moves and deletions, by a seed.

Each entry is a draft first and approved some changes later; many are corrected after that. Changes of
entries that are worked on at the same time interleave, as they do in a firm.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate, count
from typing import Any, Final

from agents.bench.firm import FIRST_DAY, WEEKS, Cohort, Firm, Row, Work, stamped

SYSTEM: Final = "time"
# Of the approved entries: hours corrected, moved to other work (mostly another root), deleted.
CORRECTED, MOVED, DELETED = 0.30, 0.05, 0.02
# Changes of an entry, on average: draft, approval, and the shares above.
CHANGES_PER_ENTRY: Final = 2 + CORRECTED + MOVED + DELETED
# How many changes of other entries lie between two of one entry, at most.
SPREAD: Final = 2_000
# A person works on a few things at a time, and now and then helps out elsewhere.
STAFFED_ON: Final = 4
HELPS_OUT: Final = 0.05
WEEKEND_SHARE: Final = 0.03
QUARTER: Final = 900
WORK_DAYS: Final = WEEKS * 5


def entries_for(changes: int) -> int:
    """About how many entries make so many changes."""
    return round(changes / CHANGES_PER_ENTRY)


def entry_changes(firm: Firm, seed: int, counts: dict[str, int]) -> Iterator[Row]:
    """Canonical records of time entries, ``counts[name]`` of each cohort, one cohort after the other.

    The last changes of a cohort may be missing: an entry then stays a draft, or as first approved.
    """
    lsn = count(1_000_000)
    for cohort in firm.cohorts:
        rng = random.Random(f"{seed}/{cohort.name}")  # noqa: S311 -- changes to repeat, not a secret
        for number, row in enumerate(_cohort_changes(firm, cohort, counts[cohort.name], rng)):
            if number == counts[cohort.name]:
                break
            yield stamped(row, SYSTEM, next(lsn))


def _cohort_changes(firm: Firm, cohort: Cohort, changes: int, rng: random.Random) -> Iterator[Row]:
    """Entries begin one after the other; their later changes wait in a heap for their turn."""
    total = max(1, entries_for(changes))
    spread = min(SPREAD, max(10, total // 10))
    waiting: list[tuple[int, int, list[Row]]] = []
    staffing = Staffing(firm, cohort, rng)
    for number in count():
        while waiting and waiting[0][0] <= number:
            _, _, rest = heapq.heappop(waiting)
            yield rest.pop(0)
            if rest:
                heapq.heappush(waiting, (number + rng.randint(1, spread), rng.getrandbits(60), rest))
        first, *rest = entry_states(staffing, number, min(number / total, 1.0), rng)
        yield first
        heapq.heappush(waiting, (number + rng.randint(1, spread), rng.getrandbits(60), rest))


class Staffing:
    """Who works on what in a cohort."""

    def __init__(self, firm: Firm, cohort: Cohort, rng: random.Random) -> None:
        self.cohort = cohort
        self._rng = rng
        self._cumulative = list(accumulate(cohort.weights))
        self._work = {person: self._choose(STAFFED_ON) for person in firm.consultants}
        self._people = firm.consultants

    def person(self) -> str:
        """Somebody."""
        return self._rng.choice(self._people)

    def place(self, person: str) -> Row:
        """Project and task of a person's next hours."""
        helps_out = self._rng.random() < HELPS_OUT
        work = self._choose(1)[0] if helps_out else self._rng.choice(self._work[person])
        return {"project_id": work.project_id, "task_id": self._rng.choice(work.task_ids)}

    def _choose(self, count: int) -> list[Work]:
        return self._rng.choices(self.cohort.work, cum_weights=self._cumulative, k=count)


def entry_states(staffing: Staffing, number: int, progress: float, rng: random.Random) -> list[Row]:
    """All states of one entry, the draft first."""
    day = _work_day(progress, rng)
    hours = rng.randint(1, 32) * QUARTER
    version = count(1)
    person = staffing.person()
    row: dict[str, Any] = {
        "id": f"time:{staffing.cohort.name}{number:07}",
        "consultant_id": person,
        **staffing.place(person),
        "work_date": day,
        "seconds": hours + rng.choice((0, 0, 0, 300)),
        "kind": "weekend" if day.weekday() >= 5 else rng.choice(("standard",) * 9 + ("overtime",)),
        "status": "draft",
        "version": next(version),
    }
    approved_at = datetime.combine(day, time(17), UTC) + timedelta(days=rng.randint(0, 6))
    approved = {"status": "approved", "approved_at": approved_at, "approved_by": "erp:APPROVER"}
    states = [row, {**row, **approved}]
    if rng.random() < CORRECTED:
        seconds = max(QUARTER, row["seconds"] + rng.randint(-4, 4) * QUARTER)
        states.append({**states[-1], "seconds": seconds, "version": next(version)})
    if rng.random() < MOVED:
        states.append({**states[-1], **staffing.place(person), "version": next(version)})
    if rng.random() < DELETED:
        states.append({**states[-1], "deleted": True})
    return states


def _work_day(progress: float, rng: random.Random) -> date:
    """Days go on with the entries; some time is written down late."""
    number = max(0, min(WORK_DAYS - 1, round(progress * WORK_DAYS) - rng.choice((0, 0, 0, 1, 1, 2, 5))))
    week, weekday = divmod(number, 5)
    if rng.random() < WEEKEND_SHARE:
        weekday = rng.choice((5, 6))
    return FIRST_DAY + timedelta(weeks=week, days=weekday)

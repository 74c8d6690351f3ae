"""Planted trouble in approved and billed time: impossible hours, self-approval, changes after posting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.days import days_between
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.invoicing import INVOICE_DAYS, Invoicing
from connectors.reference.firm.people import People
from connectors.reference.firm.second_thoughts import SecondThoughts
from connectors.reference.firm.world import World, utc

_TOO_MANY: Final = Decimal(25)
_PERSON_DAYS_PER_COPY: Final = 2400  # one of each kind for a firm of 40 in 60 days
_A_LITTLE: Final = Decimal("0.25")
_AGAIN: Final = timedelta(days=1)


class EntryTrouble:
    """Acts on single entries, retried every day until there is one to act on."""

    def __init__(
        self,
        world: World,
        people: People,
        contracts: Contracts,
        entries: Entries,
        later: SecondThoughts,
        invoicing: Invoicing,
    ) -> None:
        self._world = world
        self._contracts = contracts
        self._people = {person.id: person for person in people.staff}
        self._entries = entries
        self._later = later
        self._invoicing = invoicing
        self._rng = world.rng("entry trouble")
        self._draft_rng = world.rng("draft trouble")
        settings = world.settings
        self._copies = max(1, settings.consultants * settings.days // _PERSON_DAYS_PER_COPY)

    def schedule(self) -> None:
        """Put all copies on the agenda, spread over the run; changes of billed time follow the invoices."""
        settings = self._world.settings
        for copy in range(self._copies):
            shift = 30 * copy // self._copies
            for percent, act in (
                (35 + shift, self._too_many_hours_fixed),
                (58 + shift, self._too_many_hours_never),
                (45 + shift, self._self_approval),
                (25 + shift, self._zero_hours),
            ):
                self._world.at(utc(settings.day_at(percent), 21, copy % 60), act)
        for day in days_between(settings.start, settings.horizon.date()):
            if day.day in INVOICE_DAYS:
                after = utc(day + timedelta(days=2), 8)
                self._world.at(after, self._correct_billed)
                self._world.at(after + timedelta(minutes=30), self._withdraw_billed)
                self._world.at(after + timedelta(minutes=45), self._delete_billed)
                self._world.at(after + timedelta(minutes=50), self._correct_drafted)

    def _approved(self) -> list[dict[str, Any]]:
        """Approved ordinary entries of the last two weeks, none of them billed or on trouble projects."""
        ordinary = {
            project.id
            for tag in ("by_project", "personal", "standard")
            for project in self._contracts.find(tag).projects
        }
        since = self._world.now.date() - timedelta(days=14)
        return [
            row
            for row in self._entries.recent(since)
            if row["status"] == "approved"
            and row["project_code"] in ordinary
            and Decimal(1) <= row["hours"] <= Decimal(10)
        ]

    def _pick(self, retry: Callable[[], None]) -> dict[str, Any] | None:
        candidates = self._approved()
        if not candidates:
            self._world.at(self._world.now + _AGAIN, retry)
            return None
        return self._rng.choice(candidates)

    def _too_many_hours_fixed(self) -> None:
        row = self._pick(self._too_many_hours_fixed)
        if row is None:
            return
        hours = row["hours"]
        self._overwrite(row["id"], "too_many_hours_fixed", _TOO_MANY)
        self._world.at(
            self._world.now + timedelta(days=3), self._overwrite, row["id"], "too_many_hours_released", hours
        )

    def _too_many_hours_never(self) -> None:
        row = self._pick(self._too_many_hours_never)
        if row is not None:
            self._overwrite(row["id"], "too_many_hours_never", _TOO_MANY)

    def _zero_hours(self) -> None:
        row = self._pick(self._zero_hours)
        if row is not None:
            self._overwrite(row["id"], "zero_hours", Decimal(0))

    def _overwrite(self, entry: int, kind: str, hours: Decimal) -> None:
        if not self._entries.in_status([entry], "approved"):
            return
        with self._world.transaction("time", f"trouble:{kind}") as tx:
            self._entries.overwrite(tx, entry, hours)
        self._world.trouble[kind] += 1

    def _self_approval(self) -> None:
        """Somebody corrects an entry and approves it themselves."""
        row = self._pick(self._self_approval)
        if row is None:
            return
        entry, person = row["id"], row["consultant_code"]
        with self._world.transaction("time", "trouble:self_approval") as tx:
            self._entries.correct(tx, entry, person, hours=self._later.changed_hours(row["hours"]))
            self._entries.approve(tx, [entry], person)
        self._world.trouble["self_approval"] += 1

    def _billed(self) -> list[int]:
        """Approved entries that are billed as they are, most recently posted last."""
        return self._as_they_are(self._invoicing.posted()[-200:])

    def _as_they_are(self, charges: list[dict[str, Any]]) -> list[int]:
        billed = []
        for charge in charges:
            entry = int(charge["entry_id"].removeprefix("time:"))
            row = self._entries.row(entry)
            if row and row["status"] == "approved" and row["version"] == charge["entry_version"]:
                billed.append(entry)
        return billed

    def _each_billed(self, act: Callable[[int], None]) -> None:
        candidates = self._billed()
        for entry in self._rng.sample(candidates, min(len(candidates), self._copies)):
            act(entry)

    def _correct_billed(self) -> None:
        self._each_billed(self._correct_one)

    def _correct_drafted(self) -> None:
        """What is on a draft changes before it is posted, if it ever is."""
        candidates = self._as_they_are(self._invoicing.drafted())
        for entry in self._draft_rng.sample(candidates, min(len(candidates), self._copies)):
            hours = self._world.rows["time_entry"][entry]["hours"]
            self._change(entry, "draft_corrected", hours + _A_LITTLE)

    def _correct_one(self, entry: int) -> None:
        row = self._world.rows["time_entry"][entry]
        self._change(entry, "billed_corrected", self._later.changed_hours(row["hours"]))

    def _change(self, entry: int, kind: str, hours: Decimal) -> None:
        row = self._world.rows["time_entry"][entry]
        person = self._people[row["consultant_code"]]
        with self._world.transaction("time", f"trouble:{kind}") as tx:
            self._entries.correct(tx, entry, person.id, hours=hours)
        self._world.at(self._world.now + timedelta(hours=20), self._later.approve_again, person, entry)
        self._world.trouble[kind] += 1

    def _withdraw_billed(self) -> None:
        self._each_billed(self._withdraw_one)

    def _withdraw_one(self, entry: int) -> None:
        actor = self._world.rows["time_entry"][entry]["consultant_code"]
        with self._world.transaction("time", "trouble:billed_withdrawn") as tx:
            self._entries.withdraw(tx, entry, actor)
        self._world.trouble["billed_withdrawn"] += 1

    def _delete_billed(self) -> None:
        self._each_billed(self._delete_one)

    def _delete_one(self, entry: int) -> None:
        actor = self._world.rows["time_entry"][entry]["consultant_code"]
        with self._world.transaction("time", "trouble:billed_deleted") as tx:
            self._entries.delete(tx, entry, actor)
        self._world.trouble["billed_deleted"] += 1

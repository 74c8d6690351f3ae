"""Changes to contracts while they run: milestones, caps, extensions, clients, write-offs, renames, closed projects."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.clients import Clients
from connectors.reference.firm.contracts import Contracts, Engagement
from connectors.reference.firm.days import next_month
from connectors.reference.firm.entities import first_close
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.invoicing import Invoicing
from connectors.reference.firm.people import People
from connectors.reference.firm.signatures import Signatures
from connectors.reference.firm.termversions import keep_version
from connectors.reference.firm.world import World, utc
from streams.money import hours_to_seconds, seconds_to_hours

# Percent of the run at which each act happens. A cut comes after half of the cap was billed.
_CUT, _RAISE, _RAISE_ENGAGEMENT, _CUT_HOURS, _NEW_ACTION, _MORE_INCLUDED = 62, 78, 80, 60, 66, 50
_PERSON_DAYS_PER_WRITE_OFF: Final = 160
_OVER_WRITTEN_HOURS: Final = 30  # an adjustment of more hours than any entry has


class Amendments:
    """Ordinary acts on contracts, each at its place in the run."""

    def __init__(
        self,
        world: World,
        clients: Clients,
        contracts: Contracts,
        people: People,
        invoicing: Invoicing,
        entries: Entries,
    ) -> None:
        self._world = world
        self._clients = clients
        self._contracts = contracts
        self._signatures = Signatures(world, people)
        self._invoicing = invoicing
        self._entries = entries
        self._rng = world.rng("amendments")

    def schedule(self) -> None:
        """Put all acts on the agenda."""
        settings = self._world.settings
        find = self._contracts.find
        line, engagement = find("line_money_hold").lines[0].id, find("engagement_money_hold").id
        for percent, act in (
            (_CUT, ("contract_line", line, "cap_money", Decimal("0.30"), "cap_cut")),
            (_RAISE, ("contract_line", line, "cap_money", Decimal("4.5"), "cap_raised")),
            (_RAISE_ENGAGEMENT, ("engagement", engagement, "cap_money", Decimal("1.25"), "cap_raised")),
            (
                _CUT_HOURS,
                (
                    "contract_line",
                    find("line_hours_write_off").lines[0].id,
                    "cap_hours",
                    Decimal("0.8"),
                    "cap_cut",
                ),
            ),
            (
                _MORE_INCLUDED,
                (
                    "contract_line",
                    find("retainer").lines[0].id,
                    "included_hours",
                    Decimal("1.2"),
                    "retainer_raised",
                ),
            ),
        ):
            self._world.at(utc(settings.day_at(percent), 9, 40), self._multiply, *act)
        self._world.at(utc(settings.day_at(_NEW_ACTION), 9, 45), self._hold, find("engagement_money_bill"))
        self._world.at(utc(settings.day_at(53), 9, 50), self._extend, find("expires"))
        self._world.at(utc(settings.day_at(33), 12), self._rename)
        self._world.at(utc(settings.day_at(72), 12), self._close_project)
        self._world.at(utc(settings.day_at(57), 12), self._reassign, find("standard", 2))
        count = max(4, settings.consultants * settings.days // _PERSON_DAYS_PER_WRITE_OFF)
        for number in range(count):
            day = settings.day_at(20 + 75 * number // count)
            self._world.at(utc(day, 14, number % 60), self._write_off, number)
        for number, row in enumerate(list(self._world.rows["milestone"].values())):
            self._schedule_milestone(number % 5, row)

    def _multiply(self, table: str, key: str, column: str, factor: Decimal, label: str) -> None:
        value = (self._world.rows[table][key][column] * factor).quantize(Decimal("0.01"))
        with self._world.transaction("erp", label) as tx:
            keep_version(self._world, tx, table, key)
            tx.update(table, key, **{column: value})
        self._world.features[label] += 1

    def _hold(self, engagement: Engagement) -> None:
        with self._world.transaction("erp", "over_cap_action_change") as tx:
            keep_version(self._world, tx, "engagement", engagement.id)
            tx.update("engagement", engagement.id, over_cap_action="hold")
        self._world.features["over_cap_action_change"] += 1

    def _extend(self, engagement: Engagement) -> None:
        with self._world.transaction("erp", "extension") as tx:
            tx.update("engagement", engagement.id, ends_on=None, po_number="PO-EXT-1")
        self._world.trouble["expired_then_extended"] += 1

    def _rename(self) -> None:
        """The CRM renames an account; the ERP copies the name an hour later."""
        client, name = self._clients.all[5], f"{self._clients.all[5].name} Group"
        with self._world.transaction("crm", "account_renamed") as tx:
            tx.update("account", client.account, name=name)
        self._world.at(self._world.now + timedelta(hours=1), self._copy_name, client.id, name)

    def _copy_name(self, client: str, name: str) -> None:
        with self._world.transaction("erp", "client_name_copied") as tx:
            tx.update("client", client, name=name)
        self._world.features["account_renamed"] += 1

    def _close_project(self) -> None:
        """A project closes; nobody is staffed on it any more, what was logged stays."""
        project = self._contracts.find("standard", 3).projects[0]
        project.is_open = False
        with self._world.transaction("erp", "project_closed") as tx:
            tx.update("project", project.id, status="closed")
        self._world.features["project_closed"] += 1

    def _reassign(self, engagement: Engagement) -> None:
        """The contract was another client's all along: what is billed stays with whom it was billed to."""
        before = engagement.client
        engagement.client = next(
            one for one in self._clients.all if one is not before and one.currency == before.currency
        )
        with self._world.transaction("erp", "client_reassigned") as tx:
            tx.update("engagement", engagement.id, client_id=engagement.client.id)
        self._world.features["client_reassigned"] += 1

    def _schedule_milestone(self, place: int, row: dict[str, Any]) -> None:
        """Of five milestones: plain; amount changed first; accepted late on paper; revoked; cancelled."""
        key, due = row["id"], row["due_on"]
        when = utc(due, 11) + timedelta(hours=self._rng.randrange(0, 40))
        if place == 4:
            self._world.at(when, self._cancel, key)
            return
        if place == 1:
            self._world.at(when - timedelta(days=1), self._change_amount, key)
        if place == 2:  # signed on the last day of the last closed month, entered after the close
            closed = next_month(self._world.settings.history_start)
            while first_close(closed) + timedelta(hours=20) < when:
                closed = next_month(closed)
            month_end = closed - timedelta(days=1)
            late = max(when, first_close(month_end) + timedelta(hours=20))
            self._world.at(late, self._accept, key, month_end, "milestone_accepted_after_close")
            return
        self._world.at(when, self._accept, key, None, "milestone_accepted")
        if place == 3:
            self._world.at(when + timedelta(days=3), self._revoke, key)

    def _accept(self, key: str, day: date | None, feature: str) -> None:
        now = self._world.now
        with self._world.transaction("erp", "milestone_accepted") as tx:
            tx.update("milestone", key, status="accepted", accepted_on=day or now.date(), accepted_at=now)
        self._world.features[feature] += 1

    def _revoke(self, key: str) -> None:
        with self._world.transaction("erp", "milestone_revoked") as tx:
            tx.update("milestone", key, status="planned", accepted_on=None, accepted_at=None)
        self._world.features["milestone_revoked"] += 1

    def _cancel(self, key: str) -> None:
        with self._world.transaction("erp", "milestone_cancelled") as tx:
            tx.update("milestone", key, status="cancelled")
        self._world.features["milestone_cancelled"] += 1

    def _change_amount(self, key: str) -> None:
        amount = self._world.rows["milestone"][key]["amount"]
        with self._world.transaction("erp", "milestone_amount_change") as tx:
            tx.update("milestone", key, amount=amount + Decimal("500.01"))
        self._world.features["milestone_amount_change"] += 1

    def _write_off(self, number: int) -> None:
        """A manager decides to bill less of an entry not billed yet; now and then takes it back."""
        lines = {
            project.id: engagement
            for engagement in self._contracts.engagements
            if engagement.tag in ("standard", "by_project", "usd_rates", "line_money_hold")
            for project in engagement.projects
        }
        since = self._world.now.date() - timedelta(days=14)
        choices = [
            row
            for row in self._entries.recent(since)
            if row["status"] == "approved"
            and row["project_code"] in lines
            and not self._invoicing.is_billed(row["id"])
        ]
        if not choices:
            return
        row = self._rng.choice(choices)
        seconds = hours_to_seconds(row["hours"])
        part = seconds if number % 4 == 0 else max(900, seconds // 2 // 900 * 900)
        hours = Decimal(_OVER_WRITTEN_HOURS) if number % 10 == 3 else seconds_to_hours(part)
        key = f"BA-{self._world.number('bill_adjustment'):04}"
        with self._world.transaction("erp", "write_off") as tx:
            tx.insert(
                "bill_adjustment",
                id=key,
                engagement_id=lines[row["project_code"]].id,
                entry_id=f"time:{row['id']}",
                kind="write_off",
                hours=hours,
                amount=None,
                reason="goodwill",
                **self._signatures.of(number),
                decided_at=self._world.now,
                released_at=None,
            )
        self._world.features["write_off"] += 1
        self._signatures.look_again(key, number)
        if number % 5 == 2:
            self._world.at(self._world.now + timedelta(days=2), self._take_back_write_off, key)

    def _take_back_write_off(self, key: str) -> None:
        with self._world.transaction("erp", "write_off_deleted") as tx:
            tx.delete("bill_adjustment", key)
        self._world.trouble["write_off_deleted"] += 1

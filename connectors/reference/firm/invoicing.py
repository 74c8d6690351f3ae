"""Invoices and credit notes as the ERP writes them.

Twice a month each legal entity bills approved time of its invoiced lines: T&M with one known price by
(contract line, role) in the contract's currency, no increments, no day minimum, standard hours only, so
that the amount is certain. The one capped line among them is billed to half of its cap. Some drafts are never
posted, and what is on them is not billed again. Where a contract has several payers, each gets an invoice of its own.
Credit notes have positive lines of kind ``credit``, and a
negative amount in their header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.contracts import Contracts, Line
from connectors.reference.firm.days import days_between
from connectors.reference.firm.entities import ENTITIES
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.payers import Figures, Payers, by_payer
from connectors.reference.firm.people import People
from connectors.reference.firm.rates import Rates
from connectors.reference.firm.world import Draft, World, utc
from streams.money import ZERO, hours_to_seconds, price_seconds

INVOICE_DAYS: Final = (4, 18)  # of the month
_AS_DRAFT: Final = 0.3  # invoices that wait a day as drafts before they are posted
_LEFT_EVERY: Final = 4  # drafts, the first among them, that nobody posts
_CREDITED: Final = 0.04  # posted charge lines credited some days later
_SETTLED: Final = 0.5  # stale lines that a run credits and bills anew; the others stay due
_ZERO_FIRST_EVERY: Final = 20  # lines inserted with amount 0 and priced by an update
_BILLABLE_FOR: Final = timedelta(weeks=9)  # older time is settled: approvals and corrections take three
CREDIT_DELAY: Final = timedelta(days=4, hours=2)


@dataclass(frozen=True, slots=True)
class Item:
    """A line to write: seconds and amount are positive; ``payer`` None is the contract's client."""

    line: str
    entry: str
    version: int
    seconds: int
    amount: Decimal
    credits: str | None = None
    payer: str | None = None


class Invoicing:
    """Bills, credits, and knows what is billed."""

    def __init__(
        self,
        world: World,
        contracts: Contracts,
        people: People,
        rates: Rates,
        entries: Entries,
        payers: Payers,
    ) -> None:
        self._world = world
        self._contracts = contracts
        self._staff = {person.id: person for person in people.staff}
        self._rates = rates
        self._entries = entries
        self._payers = payers
        self._rng = world.rng("invoicing")
        self._charges: dict[str, list[str]] = {}  # canonical entry id -> charge lines
        self._credited: dict[str, tuple[int, Decimal]] = {}  # charge line -> seconds and amount taken back
        self._billed: dict[str, Decimal] = {}  # contract line -> amount
        self._adjusted: set[str] = set()  # entries that somebody billed less of
        self._drafts = 0

    def schedule(self) -> None:
        """Put the runs of all entities on the agenda."""
        settings = self._world.settings
        for day in days_between(settings.start, settings.horizon.date()):
            if day.day in INVOICE_DAYS:
                for hour, entity in enumerate(ENTITIES, start=9):
                    self._world.at(utc(day, hour), self._run, entity.id, day)

    def net(self, charge: str) -> tuple[int, Decimal]:
        """What is left of a charge line after its credits."""
        row = self._world.rows["invoice_line"][charge]
        seconds, amount = self._credited.get(charge, (0, ZERO))
        return row["seconds"] - seconds, row["amount"] - amount

    def is_billed(self, entry: int) -> bool:
        """Whether a charge line of a time entry was ever written."""
        return f"time:{entry}" in self._charges

    def posted(self) -> list[dict[str, Any]]:
        """Posted charge lines of time with nothing credited yet, oldest first."""
        return [
            row
            for row in self._world.rows["invoice_line"].values()
            if row["kind"] == "charge"
            and row["status"] == "posted"
            and row["entry_id"].startswith("time:")
            and row["id"] not in self._credited
        ]

    def drafted(self) -> list[dict[str, Any]]:
        """Charge lines of time on drafts, oldest first."""
        return [
            row
            for row in self._world.rows["invoice_line"].values()
            if row["kind"] == "charge" and row["status"] == "draft" and row["entry_id"].startswith("time:")
        ]

    def _run(self, entity: str, day: date) -> None:
        self._adjusted = {row["entry_id"] for row in self._world.rows["bill_adjustment"].values()}
        by_project: dict[str, list[dict[str, Any]]] = {}
        for row in self._entries.recent(day - _BILLABLE_FOR):
            if row["work_date"] < day:
                by_project.setdefault(row["project_code"], []).append(row)
        for engagement in self._contracts.engagements:
            if self._world.rows["engagement"][engagement.id]["legal_entity_id"] != entity:
                continue
            items: list[Item] = []
            credits: list[Item] = []
            for line in engagement.lines:
                if line.spec.invoiced:
                    for project in engagement.projects:
                        for row in by_project.get(project.id, ()):
                            items += self._items(line, row, credits)
                elif line.spec.milestones:
                    items += self._accepted(line)
            if credits:
                self.credit(engagement.id, credits)
            of_payers: dict[str | None, list[Item]] = {}
            for item in items:
                for part in self._by_payer(engagement.id, engagement.currency, item):
                    of_payers.setdefault(part.payer, []).append(part)
            for parts in of_payers.values():
                self._invoice(engagement.id, engagement.currency, parts)

    def _by_payer(self, engagement: str, currency: str, item: Item) -> Iterator[Item]:
        """An item as those who share the contract on its work date are billed it."""
        work_date = self._printed(engagement, item)["work_date"]

        def billed(client: str | None) -> Figures:
            seconds, amount = 0, ZERO
            for charge in self._charges.get(item.entry, ()):
                row = self._world.rows["invoice_line"][charge]
                if row["entry_version"] == item.version and client in (None, row["client_id"]):
                    seconds, amount = seconds + self.net(charge)[0], amount + self.net(charge)[1]
            return seconds, amount

        return by_payer(item, self._payers.shares(engagement, work_date), billed, currency)

    def _items(self, line: Line, row: dict[str, Any], credits: list[Item]) -> list[Item]:
        """What is still to bill of an entry; billed versions that are no longer true go to ``credits``."""
        entry = f"time:{row['id']}"
        approved = row["status"] == "approved"
        seconds_billed, amount_billed = 0, ZERO
        for charge in self._charges.get(entry, ()):
            seconds, amount = self.net(charge)
            billed = self._world.rows["invoice_line"][charge]
            if not seconds and not amount:
                continue
            if billed["contract_line_id"] != line.id:
                return []  # the entry came from another contract line: left due there
            if approved and billed["entry_version"] == row["version"]:
                seconds_billed, amount_billed = seconds_billed + seconds, amount_billed + amount
            elif billed["status"] == "draft" or self._rng.random() > _SETTLED:
                return []  # whoever bills waits until the old line is settled
            else:
                version = billed["entry_version"]
                credits.append(Item(line.id, entry, version, seconds, amount, charge))
        if not approved or row["kind"] != "standard" or not self._plain(row):
            return []
        role = self._staff[row["consultant_code"]].role_on(row["work_date"])
        rate = self._rates.of_line_role(line.id, role, row["work_date"])
        seconds = hours_to_seconds(row["hours"]) - seconds_billed
        if rate is None or seconds <= 0:
            return []
        price = self._world.rows["rate"][rate]["price"]
        currency = line.engagement.currency
        amount = price_seconds(hours_to_seconds(row["hours"]), price, currency) - amount_billed
        if amount <= 0 or not self._within_cap(line, amount):
            return []
        return [Item(line.id, entry, row["version"], seconds, amount)]

    def _plain(self, row: dict[str, Any]) -> bool:
        """Billable by the project's own line, without adjustments, by somebody the ERP knows."""
        task = row["task_code"]
        known = self._world.rows["task"]
        plain_task = task is None or (
            task in known
            and known[task]["project_id"] == row["project_code"]
            and known[task]["billing_class"] == "billable"
            and known[task]["contract_line_id"] is None
        )
        return (
            plain_task
            and f"time:{row['id']}" not in self._adjusted
            and row["hours"] <= 24
            and row["consultant_code"] in self._world.rows["consultant"]
        )

    def _within_cap(self, line: Line, amount: Decimal) -> bool:
        cap = self._world.rows["contract_line"][line.id]["cap_money"]
        billed = self._billed.get(line.id, ZERO) + amount
        if cap is not None and not billed * 2 <= cap:
            return False
        self._billed[line.id] = billed
        return True

    def _accepted(self, line: Line) -> list[Item]:
        return [
            Item(line.id, f"erp:{row['id']}", 1, 0, row["amount"])
            for row in self._world.rows["milestone"].values()
            if row["contract_line_id"] == line.id
            and row["status"] == "accepted"
            and f"erp:{row['id']}" not in self._charges
        ]

    def _invoice(self, engagement: str, currency: str, items: Sequence[Item]) -> None:
        draft = self._rng.random() < _AS_DRAFT or not self._drafts
        with self._world.transaction("erp", "invoice_draft" if draft else "invoice") as tx:
            invoice = self._insert_header(tx, engagement, currency, "INV", "draft" if draft else "posted")
            lines = [self._insert_line(tx, invoice, engagement, item, not draft) for item in items]
            tx.update("invoice", invoice, amount=sum((item.amount for item in items), ZERO))
        self._world.trouble["zero_invoice_updated_in_transaction"] += 1
        for item, line in zip(items, lines, strict=True):
            self._charges.setdefault(item.entry, []).append(line)
        if draft:
            if self._drafts % _LEFT_EVERY:
                self._world.at(self._world.now + timedelta(hours=26), self._post, invoice, lines)
            else:
                self._world.features["draft_left"] += 1
            self._drafts += 1
            return
        self._after_posting(engagement, lines)

    def _post(self, invoice: str, lines: list[str]) -> None:
        with self._world.transaction("erp", "invoice_posted") as tx:
            for line in lines:
                tx.update("invoice_line", line, status="posted", posted_at=self._world.now)
            tx.update("invoice", invoice, status="posted", posted_at=self._world.now)
        self._after_posting(self._world.rows["invoice"][invoice]["engagement_id"], lines)

    def _after_posting(self, engagement: str, lines: list[str]) -> None:
        self._world.features["invoice_posted"] += 1
        self._world.features["line_posted"] += len(lines)
        wrong = [line for line in lines if self._rng.random() < _CREDITED]
        if wrong:
            self._world.at(self._world.now + CREDIT_DELAY, self._credit_wrong, engagement, wrong)

    def _credit_wrong(self, engagement: str, charges: list[str]) -> None:
        """A client disputes lines: most are credited in full, some by half."""
        items = []
        for charge in charges:
            seconds, amount = self.net(charge)
            row = self._world.rows["invoice_line"][charge]
            if amount <= 0:
                continue
            if seconds and self._rng.random() < 0.4:
                half = seconds // 2
                amount = (amount * half / Decimal(seconds)).quantize(Decimal("0.01"))
                seconds = half
                self._world.features["credited_in_part"] += 1
            items.append(
                Item(row["contract_line_id"], row["entry_id"], row["entry_version"], seconds, amount, charge)
            )
        if items:
            self.credit(engagement, items)

    def credit(self, engagement: str, items: Sequence[Item]) -> None:
        """Post a credit note."""
        currency = self._world.rows["engagement"][engagement]["currency"]
        with self._world.transaction("erp", "credit_note") as tx:
            note = self._insert_header(tx, engagement, currency, "CN", "posted")
            for item in items:
                self._insert_line(tx, note, engagement, item, True)
                charge = str(item.credits)
                seconds, amount = self._credited.get(charge, (0, ZERO))
                self._credited[charge] = (seconds + item.seconds, amount + item.amount)
            tx.update("invoice", note, amount=-sum((item.amount for item in items), ZERO))
        self._world.features["credit_note"] += 1
        self._world.features["line_credited"] += len(items)

    def _insert_header(self, tx: Draft, engagement: str, currency: str, series: str, status: str) -> str:
        number = self._world.number("invoice")
        key = f"I-{number:05}"
        tx.insert(
            "invoice",
            id=key,
            engagement_id=engagement,
            number=f"{series}-{self._world.now.year}-{self._world.number(series):05}",
            currency=currency,
            amount=ZERO,
            status=status,
            posted_at=self._world.now if status == "posted" else None,
        )
        return key

    def _insert_line(self, tx: Draft, invoice: str, engagement: str, item: Item, posted: bool) -> str:
        number = self._world.number("invoice_line")
        key = f"IL-{number:06}"
        zero_first = number % _ZERO_FIRST_EVERY == 1
        tx.insert(
            "invoice_line",
            id=key,
            invoice_id=invoice,
            engagement_id=engagement,
            contract_line_id=item.line,
            kind="charge" if item.credits is None else "credit",
            credits_line_id=item.credits,
            entry_id=item.entry,
            entry_version=item.version,
            **self._printed(engagement, item),
            seconds=item.seconds,
            amount=ZERO if zero_first else item.amount,
            status="posted" if posted else "draft",
            posted_at=self._world.now if posted else None,
        )
        if zero_first:
            tx.update("invoice_line", key, amount=item.amount)
            self._world.trouble["zero_line_updated_in_transaction"] += 1
        return key

    def _printed(self, engagement: str, item: Item) -> dict[str, Any]:
        """Who was billed for whose work on what and when; a credit says what its charge said."""
        names = ("client_id", "project_id", "task_id", "consultant_id", "work_date")
        rows = self._world.rows
        if item.credits is not None:
            charge = rows["invoice_line"][item.credits]
            return {name: charge[name] for name in names}
        client = item.payer or rows["engagement"][engagement]["client_id"]
        system, _, native = item.entry.partition(":")
        if system != "time":
            return dict(
                zip(names, (client, None, None, None, rows["milestone"][native]["accepted_on"]), strict=True)
            )
        entry = rows["time_entry"][int(native)]
        codes = (entry[name] for name in ("project_code", "task_code", "consultant_code", "work_date"))
        return dict(zip(names, (client, *codes), strict=True))

"""What people pay on their way to clients: claimed, approved, corrected, invoiced, now and then credited.

On contracts with and without caps, whose lines have a markup or not, in the contract's currency or another, with and
without tax in them; a few are late, rejected, withdrawn, self-approved, or in a currency that nobody publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.contracts import Contracts, Engagement
from connectors.reference.firm.days import days_between, month_of
from connectors.reference.firm.entities import first_close
from connectors.reference.firm.model import Row
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.signatures import Signatures
from connectors.reference.firm.world import Draft, World, utc
from streams.money import EXACT, ZERO, round_money

_PERSON_DAYS_PER_CLAIM: Final = 30
_FEWEST: Final = 36  # enough that the smallest firm has each kind
_TAGS: Final = (
    *("standard", "line_money_hold", "engagement_money_hold", "milestones", "line_money_bill"),
    *(
        "fixed_price",
        "standard",
        "goodwill",
        "half_even",
        "retainer",
        "usd_rates",
        "quarter_hour",
        "per_diem",
    ),
)
_INVOICED: Final = ("standard", "line_money_hold", "half_even", "milestones")
_INVOICE_DAYS: Final = (7, 21)  # of the month
_CREDITED_AFTER: Final = timedelta(days=3)
_WHAT: Final = ("Train", "Flight", "Hotel", "Taxi")
_UNPUBLISHED: Final = "JPY"
_KEPT: Final = (
    *("project_id", "consultant_id", "incurred_on", "amount", "currency", "tax_basis", "tax_amount"),
    *("markup", "cap_scope", "version", "approved_at", "approved_by"),
)


class Expenses:
    """All claims of a run, by their number."""

    def __init__(self, world: World, contracts: Contracts, people: People) -> None:
        self._world = world
        self._contracts = contracts
        self._people = people
        self._signatures = Signatures(world, people)
        self._rng = world.rng("expenses")
        self._charges: dict[str, str] = {}  # expense -> the charge line that stands
        self._adjusted: set[str] = set()

    def schedule(self) -> None:
        """Put claims and invoice runs on the agenda."""
        settings = self._world.settings
        count = max(_FEWEST, settings.consultants * settings.days // _PERSON_DAYS_PER_CLAIM)
        for number in range(count):
            day = settings.day_at(2 + 80 * number // count)
            self._world.at(utc(day, 16, number % 60), self._claim, number)
        for day in days_between(settings.start, settings.horizon.date()):
            if day.day in _INVOICE_DAYS:
                self._world.at(utc(day, 13), self._invoice_all)

    def _claim(self, number: int) -> None:
        engagement = self._contracts.find(_TAGS[number % len(_TAGS)])
        person = self._traveller(number)
        amount = Decimal(self._rng.randrange(1_500, 40_000)).scaleb(-2)
        gross, is_late = number % 2 == 1, number % 10 == 6
        currency = (
            ("USD" if engagement.currency == "EUR" else "EUR") if number % 5 == 3 else engagement.currency
        )
        key = f"X-{self._world.number('expense'):04}"
        with self._world.transaction("erp", "expense") as tx:
            tx.insert(
                "expense",
                id=key,
                project_id=engagement.projects[0].id,
                consultant_id=person.id,
                incurred_on=self._late_day()
                if is_late
                else self._world.now.date() - timedelta(days=number % 4),
                description=_WHAT[number % len(_WHAT)],
                amount=amount,
                currency=_UNPUBLISHED if number % 25 == 12 else currency,
                tax_basis="gross" if gross else "net",
                tax_amount=(amount * 19 / Decimal(119)).quantize(Decimal("0.01")) if gross else None,
                markup=(None, Decimal(10), None, Decimal("12.5"))[number // 2 % 4],
                cap_scope=("line", "engagement", "line", "none")[number // 3 % 4],
                status="submitted",
                version=1,
            )
        self._world.features["expense_late" if is_late else "expense"] += 1
        self._later(1 + number % 3, self._decide, key, number)

    def _traveller(self, number: int) -> Person:
        """Somebody whom the ERP knows and who works here."""
        today, known = self._world.now.date(), self._world.rows["consultant"]
        staff = [one for one in self._people.staff if one.id in known and one.employed(today)]
        return staff[number * 7 % len(staff)]

    def _late_day(self) -> date:
        """The last day of the last month that is closed."""
        first = month_of(self._world.now.date())
        while first_close(first - timedelta(days=1)) > self._world.now:
            first = month_of(first - timedelta(days=1))
        return first - timedelta(days=1)

    def _later(self, days: int, act: Any, *arguments: Any) -> None:
        self._world.at(self._world.now + timedelta(days=days), act, *arguments)

    def _decide(self, key: str, number: int) -> None:
        if number % 9 == 4:
            with self._world.transaction("erp", "expense_rejected") as tx:
                tx.update("expense", key, status="rejected")
            self._world.features["expense_rejected"] += 1
            return
        self._approve(key, number)
        if number % 5 == 2:
            self._later(2, self._correct, key, number)
        elif number % 13 == 6:
            self._later(4, self._withdraw, key)
        elif number % 6 == 1:
            self._later(1, self._write_off, key, number)

    def _approve(self, key: str, number: int) -> None:
        row = self._world.rows["expense"][key]
        managers = [one.id for one in self._people.managers if one.id != row["consultant_id"]]
        approver = row["consultant_id"] if number % 17 == 8 else managers[number % len(managers)]
        with self._world.transaction("erp", "expense_approved") as tx:
            tx.update("expense", key, status="approved", approved_at=self._world.now, approved_by=approver)
        self._world.features["expense_approved"] += 1

    def _correct(self, key: str, number: int) -> None:
        """The receipt says less; it is handed in and approved again."""
        row = self._world.rows["expense"][key]
        less = (row["amount"] * 9 / Decimal(10)).quantize(Decimal("0.01"))
        tax = (
            None
            if row["tax_amount"] is None
            else (row["tax_amount"] * 9 / Decimal(10)).quantize(Decimal("0.01"))
        )
        with self._world.transaction("erp", "expense_corrected") as tx:
            self._keep(tx, row)
            again: Row = {"status": "submitted", "version": row["version"] + 1}
            tx.update(
                "expense", key, amount=less, tax_amount=tax, approved_at=None, approved_by=None, **again
            )
        self._world.features["expense_corrected"] += 1
        self._later(1, self._approve, key, number)

    def _withdraw(self, key: str) -> None:
        """Paid by the client, it turns out."""
        with self._world.transaction("erp", "expense_deleted") as tx:
            self._keep(tx, self._world.rows["expense"][key])
            tx.delete("expense", key)
        self._world.features["expense_deleted"] += 1

    def _keep(self, tx: Draft, row: Row) -> None:
        kept = {name: row[name] for name in _KEPT}
        number = f"XV-{self._world.number('expense_version'):04}"
        tx.insert("expense_version", id=number, expense_id=row["id"], ended_at=self._world.now, **kept)

    def _write_off(self, key: str, number: int) -> None:
        """Part of it, or more than there is."""
        row = self._world.rows["expense"][key]
        engagement = self._engagement_of(row)
        adjustment = f"BX-{self._world.number('expense_adjustment'):04}"
        self._adjusted.add(key)
        with self._world.transaction("erp", "expense_written_off") as tx:
            tx.insert(
                "bill_adjustment",
                id=adjustment,
                engagement_id=engagement.id,
                entry_id=f"erp:{key}",
                kind="write_off",
                hours=Decimal(0),
                amount=Decimal("900.00") if number % 12 == 7 else Decimal("12.50"),
                reason="goodwill",
                **self._signatures.of(number),
                decided_at=self._world.now,
                released_at=None,
            )
        self._world.features["expense_written_off"] += 1
        self._signatures.look_again(adjustment, number)

    def _engagement_of(self, row: Row) -> Engagement:
        return next(
            one
            for one in self._contracts.engagements
            if any(project.id == row["project_id"] for project in one.projects)
        )

    def _invoice_all(self) -> None:
        """A line for each approved expense in the contract's currency; what was corrected since is credited first."""
        for engagement in self._contracts.engagements:
            if engagement.tag not in _INVOICED:
                continue
            projects = {project.id for project in engagement.projects}
            rows = [
                row
                for row in self._world.rows["expense"].values()
                if row["project_id"] in projects
                and row["currency"] == engagement.currency
                and row["status"] == "approved"
                and row["approved_by"] != row["consultant_id"]
                and row["id"] not in self._adjusted
            ]
            stale = [row for row in rows if self._is_stale(row)]
            if stale:
                self._credit(engagement, [self._charges.pop(row["id"]) for row in stale])
            fresh = [row for row in rows if row["id"] not in self._charges]
            if fresh:
                self._invoice(engagement, fresh)

    def _is_stale(self, row: Row) -> bool:
        charge = self._world.rows["invoice_line"].get(self._charges.get(row["id"], ""))
        return (
            charge is not None and charge["status"] == "posted" and charge["entry_version"] != row["version"]
        )

    def _invoice(self, engagement: Engagement, rows: Sequence[Row]) -> None:
        number = self._world.number("expense_invoice")
        is_draft = number % 4 == 2
        at = None if is_draft else self._world.now
        state: Row = {"status": "draft" if is_draft else "posted", "posted_at": at}
        amounts = [self._worth(engagement, row) for row in rows]
        header = f"IX-{number:04}"
        with self._world.transaction("erp", "expense_invoice") as tx:
            self._header(tx, header, engagement, sum(amounts, ZERO), state)
            for row, amount in zip(rows, amounts, strict=True):
                line = f"ILX-{self._world.number('expense_invoice_line'):05}"
                tx.insert(
                    "invoice_line",
                    id=line,
                    invoice_id=header,
                    engagement_id=engagement.id,
                    contract_line_id=engagement.lines[0].id,
                    kind="charge",
                    entry_id=f"erp:{row['id']}",
                    entry_version=row["version"],
                    client_id=engagement.client.id,
                    project_id=row["project_id"],
                    consultant_id=row["consultant_id"],
                    work_date=row["incurred_on"],
                    seconds=0,
                    amount=amount,
                    **state,
                )
                self._charges[row["id"]] = line
        self._world.features["expense_drafted" if is_draft else "expense_posted"] += len(rows)
        if number % 3 == 0:
            self._world.at(self._world.now + _CREDITED_AFTER, self._dispute, engagement, rows[0]["id"])

    def _dispute(self, engagement: Engagement, key: str) -> None:
        """A client does not pay: it is credited, and billed again by the next run."""
        charge = self._charges.get(key)
        if charge is not None and self._world.rows["invoice_line"][charge]["status"] == "posted":
            self._credit(engagement, [self._charges.pop(key)])

    def _credit(self, engagement: Engagement, charges: Sequence[str]) -> None:
        rows = [self._world.rows["invoice_line"][charge] for charge in charges]
        note = f"CX-{self._world.number('expense_credit'):04}"
        state: Row = {"status": "posted", "posted_at": self._world.now}
        with self._world.transaction("erp", "expense_credited") as tx:
            self._header(tx, note, engagement, -sum((row["amount"] for row in rows), ZERO), state)
            for row in rows:
                line = f"ILX-{self._world.number('expense_invoice_line'):05}"
                back = {"id": line, "invoice_id": note, "kind": "credit", "credits_line_id": row["id"]}
                tx.insert("invoice_line", **{**row, **back, **state})
        self._world.features["expense_credited"] += len(rows)

    def _header(self, tx: Draft, key: str, engagement: Engagement, amount: Decimal, state: Row) -> None:
        number = f"{key[:2]}-{self._world.now.year}-{key[3:]}"
        currency = engagement.currency
        tx.insert(
            "invoice",
            id=key,
            engagement_id=engagement.id,
            number=number,
            currency=currency,
            amount=amount,
            **state,
        )

    def _worth(self, engagement: Engagement, row: Row) -> Decimal:
        """Net cost with the markup, as the contract line rounds."""
        line = self._world.rows["contract_line"][engagement.lines[0].id]
        net = row["amount"] - (row["tax_amount"] or ZERO) if row["tax_basis"] == "gross" else row["amount"]
        markup = row["markup"] if row["markup"] is not None else line["expense_markup"] or ZERO
        exact = EXACT.multiply(net, 1 + EXACT.divide(markup, Decimal(100)))
        return round_money(exact, engagement.currency, line["rounding"])

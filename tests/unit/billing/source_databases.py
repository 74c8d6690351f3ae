"""The three source databases in memory: rows with the columns of the reference systems' own tables.

What isn't given is a default or null. The firm: consultant ``C`` (role dev, 8 h Monday to Friday, FTE 1) on
project ``P`` of line ``L`` (T&M) of engagement ``E`` in EUR, and a default rate ``R`` of EUR 100 an hour.
Ids are native here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from agents.canonical import SystemMapping, TableMapping, load_mappings, map_change
from connectors.reference.schema import SYSTEMS

HOUR = 3600
D = Decimal
EPOCH = date(1970, 1, 1)
SYSTEM_OF = {table: system for system, base in SYSTEMS.items() for table in base.metadata.tables}

_NAMED = {"name": "x", "currency": "EUR", "status": "active"}
_PLACED = {"time_zone": "UTC", "region": "eu", "legal_entity_id": "LE"}
_ON_LINE = {"engagement_id": "E", "contract_line_id": "L"}
_WORKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
_PERSON = {"role": "dev", "grade": "senior", "practice": "data", "calendar_id": "K", "fte": D(1)}
_DATES = {"starts_on": date(2026, 1, 1), "hired_on": date(2020, 1, 1), "effective_from": date(2020, 1, 1)}
_COMMON: dict[str, Any] = {**_NAMED, **_PLACED, **_PERSON, **_DATES, **_ON_LINE}
_COMMON |= {"over_cap_action": "hold", "rounding": "half_up", "client_id": "A", "tax_region": "EU"}
_COMMON |= {"service_line": "build", "delivery_model": "onsite", "reason": "agreed", "approver_id": "B"}
_COMMON |= {"decided_at": datetime(2026, 3, 31, tzinfo=UTC), "consultant_code": "C", "project_code": "P"}
_RATE: dict[str, Any] = {
    **dict.fromkeys(("project_id", "contract_line_id", "client_id", "role", "grade", "region", "decided_at")),
    "price": D(100),
    "overtime_multiplier": D("1.5"),
    "weekend_multiplier": D(2),
    "applies_to_invoiced": False,
}
_OWN: dict[str, dict[str, Any]] = {
    "contract_line": {"billing_method": "tm", "starts_on": None},
    "rate": _RATE,
    "rate_version": {**_RATE, "rate_id": "R"},
    "fx_rate": {"decided_at": None},
    "fx_rate_version": {"decided_at": None},
    "consultant_position": {
        "consultant_id": "C",
        **dict.fromkeys(("role", "grade", "practice", "region", "legal_entity_id", "calendar_id", "fte")),
    },
    "calendar": {**dict.fromkeys(_WORKDAYS, D(8)), "saturday": D(0), "sunday": D(0)},
    "accounting_period": {"status": "open"},
    "invoice_line": {
        "invoice_id": "INV",
        "client_id": None,
        "kind": "charge",
        "status": "posted",
        "entry_version": 1,
    },
    "bill_adjustment": {"kind": "write_off"},
    "expense": {
        "tax_basis": "net",
        "description": "train",
        "cap_scope": "line",
        "version": 1,
        "status": "approved",
        "consultant_id": "C",
        "project_id": "P",
    },
    "expense_version": {
        "tax_basis": "net",
        "cap_scope": "line",
        "version": 1,
        "consultant_id": "C",
        "project_id": "P",
    },
    "time_entry": {"kind": "standard", "status": "approved", "version": 1},
    "time_entry_version": {"kind": "standard", "version": 1},
    "absence": {"kind": "vacation"},
    "payer_split": {"valid_from": date(2026, 1, 1)},
    "assignment": {"consultant_id": "C", "project_id": "P", "status": "planned"},
}


_VERSIONED = frozenset(SYSTEMS["time"].metadata.tables["time_entry_version"].columns.keys()) - {"id"}

_EXPENSE_VERSIONED = frozenset(SYSTEMS["erp"].metadata.tables["expense_version"].columns.keys()) - {"id"}


def day(text: str) -> date:
    """A day of 2026: ``day("03-05")``."""
    return date.fromisoformat(f"2026-{text}")


def at(text: str) -> datetime:
    """An instant of 2026 in UTC: ``at("04-03 18:00")``."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


class Sources:
    """Rows of the ERP, the CRM and the time tracker; `put` again to update some columns of a row."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, dict[str, Any]]] = {table: {} for table in SYSTEM_OF}
        for table, native in (("legal_entity", "LE"), ("client", "A"), ("engagement", "E")):
            self.put(table, native)
        self.put("contract_line", "L").put("project", "P").put("consultant", "C")
        self.put("calendar", "K").put("rate", "R")

    def put(self, table: str, native: str | int, **columns: Any) -> Sources:
        """Insert a row, or update columns of one that is there."""
        known = SYSTEMS[SYSTEM_OF[table]].metadata.tables[table].columns.keys()
        defaults = {**_COMMON, **_OWN.get(table, {})}
        fresh = {name: defaults.get(name) for name in known}
        row = self.tables[table].get(native, fresh) | columns | {"id": native}
        assert row.keys() == set(known), f"{table} has no {row.keys() - set(known)}"
        self.tables[table][native] = row
        return self

    def drop(self, table: str, native: str | int) -> Sources:
        """Delete a row."""
        del self.tables[table][native]
        return self

    def work(self, number: int, on: str, hours: str | int, **columns: Any) -> Sources:
        """An approved entry, approved at noon UTC of its day."""
        defaults = {} if number in self.tables["time_entry"] else {"approved_at": at(f"{on} 12:00")}
        given = {"work_date": day(on), "hours": D(hours), **defaults, **columns}
        return self.put("time_entry", number, **given)

    def spend(self, native: str, on: str, amount: str | int, **columns: Any) -> Sources:
        """An approved expense, approved by another at noon UTC of its day."""
        defaults: dict[str, Any] = {}
        if native not in self.tables["expense"]:
            defaults = {"approved_at": at(f"{on} 12:00"), "approved_by": "B"}
        given = {"incurred_on": day(on), "amount": D(amount), **defaults, **columns}
        return self.put("expense", native, **given)

    def respend(self, native: str, ended: str, **columns: Any) -> Sources:
        """End the approved version of an expense; its row then has ``columns``, in the next version."""
        before = self.tables["expense"][native]
        kept = {name: before[name] for name in before if name in _EXPENSE_VERSIONED}
        number = f"V{len(self.tables['expense_version']) + 1}"
        self.put("expense_version", number, **{**kept, "expense_id": native, "ended_at": at(ended)})
        return self.put("expense", native, **{"version": before["version"] + 1, **columns})

    def correct(self, number: int, ended: str, **columns: Any) -> Sources:
        """End the approved version of an entry; its row then has ``columns``, in the next version."""
        before = self.tables["time_entry"][number]
        kept = {name: before[name] for name in before if name in _VERSIONED}
        self.put(
            "time_entry_version",
            len(self.tables["time_entry_version"]) + 1,
            **{**kept, "entry_id": number, "ended_at": at(ended)},
        )
        return self.put("time_entry", number, **{"version": before["version"] + 1, **columns})

    def decide(self, table: str, native: str, decided: str, **columns: Any) -> Sources:
        """Change a rate or an exchange rate at a moment: what it was is kept as a version."""
        before = self.tables[table][native]
        self.end(table, native, decided)
        return self.put(table, native, **{**before, **columns, "decided_at": at(decided)})

    def end(self, table: str, native: str, ended: str) -> Sources:
        """Keep what a rate or an exchange rate was until a moment, and drop it."""
        kept = {**self.tables[table].pop(native), f"{table}_id": native, "ended_at": at(ended)}
        return self.put(
            f"{table}_version", f"V{len(self.tables[f'{table}_version']) + 1}", **{**kept, "id": None}
        )

    def charge(self, native: str, number: int, hours: int, amount: str | int, **columns: Any) -> Sources:
        """A posted charge for an entry."""
        given = {"entry_id": f"time:{number}", "seconds": hours * HOUR, "amount": D(amount)}
        return self.put("invoice_line", native, **{"posted_at": at("03-31 10:00"), **given, **columns})

    def credit(self, native: str, of: str) -> Sources:
        """A posted credit of all of a charge."""
        charged = self.tables["invoice_line"][of]
        return self.put("invoice_line", native, **{**charged, "kind": "credit", "credits_line_id": of})

    def of(self, system: str) -> dict[str, list[dict[str, Any]]]:
        """The tables of one database."""
        return {
            table: list(self.tables[table].values()) for table, name in SYSTEM_OF.items() if name == system
        }


@cache
def _mappings() -> dict[str, SystemMapping]:
    return load_mappings()


def _on_the_wire(value: Any) -> Any:
    """Dates and instants as change topics carry them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return (value - EPOCH).days if isinstance(value, date) else value


def canonical_records(sources: Sources, table: str) -> list[tuple[str, dict[str, Any]]]:
    """The canonical records of a table's valid rows, each with its entity."""
    mapping = _mappings()[SYSTEM_OF[table]].tables[table]
    if not isinstance(mapping, TableMapping):
        return []
    made = []
    for row in sources.tables[table].values():
        after = {column: _on_the_wire(value) for column, value in row.items()}
        record = map_change(mapping, {"op": "r", "before": None, "after": after}).record
        if record is not None:
            made.append((mapping.entity, {**record, "deleted": False}))
    return made


def all_records(sources: Sources) -> list[tuple[str, dict[str, Any]]]:
    """Those of all tables."""
    return [record for table in SYSTEM_OF for record in canonical_records(sources, table)]

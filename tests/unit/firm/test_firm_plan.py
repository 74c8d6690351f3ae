"""The plan: deterministic, ordered, valid against the reference schemas, and of the promised size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Numeric, Text

from connectors.reference.firm import Delete, FirmSettings, Insert, Plan, Update, plan
from connectors.reference.firm.model import SYSTEM_OF, TABLES, fold
from streams.errors import ConfigurationError

SMALL = FirmSettings(seed=3, consultants=10, days=14)
PYTHON_TYPES = {
    Text: str,
    BigInteger: int,
    Boolean: bool,
    Numeric: Decimal,
    DateTime: datetime,
    Date: date,
}
ENUMERATIONS = {
    ("client", "status"): {"active", "inactive"},
    ("engagement", "over_cap_action"): {"hold", "write_off", "bill"},
    ("engagement", "status"): {"active", "closed"},
    ("contract_line", "billing_method"): {
        *("tm", "milestone", "retainer", "prepaid", "per_diem", "non_billable")
    },
    ("contract_line", "over_cap_action"): {"hold", "write_off", "bill"},
    ("contract_line", "rounding"): {"half_up", "half_even"},
    ("contract_line", "unused_hours"): {"expire", "roll_over"},
    ("contract_line", "quantity_rounding"): {"nearest", "up"},
    ("contract_line", "status"): {"active", "closed"},
    ("project", "status"): {"active", "closed"},
    ("task", "billing_class"): {"billable", "non_billable"},
    ("task", "status"): {"active", "closed"},
    ("accounting_period", "status"): {"open", "soft_closed", "closed"},
    ("milestone", "status"): {"planned", "accepted", "cancelled"},
    ("expense", "tax_basis"): {"net", "gross"},
    ("expense", "cap_scope"): {"none", "line", "engagement"},
    ("expense", "status"): {"submitted", "approved", "rejected"},
    ("expense_version", "tax_basis"): {"net", "gross"},
    ("expense_version", "cap_scope"): {"none", "line", "engagement"},
    ("invoice", "status"): {"draft", "posted"},
    ("invoice_line", "status"): {"draft", "posted"},
    ("invoice_line", "kind"): {"charge", "credit"},
    ("bill_adjustment", "kind"): {"write_off", "discount", "hold"},
    ("approval_limit", "kind"): {"write_off", "discount", "hold"},
    ("account", "status"): {"active", "inactive"},
    ("opportunity", "stage"): {"prospect", "proposal", "won", "lost"},
    ("time_entry", "kind"): {"standard", "overtime", "weekend"},
    ("time_entry", "status"): {"draft", "submitted", "approved", "rejected", "withdrawn"},
    ("time_entry_event", "action"): {
        *("drafted", "submitted", "approved", "rejected", "corrected", "withdrawn", "deleted")
    },
    ("absence", "kind"): {"vacation", "sick"},
    ("assignment", "status"): {"planned", "confirmed", "cancelled"},
    ("utilization_target", "scope"): {"consultant", "grade", "practice"},
}


def test_equal_settings_give_equal_plans_and_another_seed_another() -> None:
    """The digest is a function of the settings alone."""
    assert plan(SMALL).digest() == plan(SMALL).digest()
    assert plan(SMALL).digest() != plan(FirmSettings(seed=4, consultants=10, days=14)).digest()


def test_the_pace_is_no_content() -> None:
    """How fast a plan is to be written does not change what is written."""
    paced = FirmSettings(seed=3, consultants=10, days=14, changes_per_second=5.0)
    assert plan(paced).digest() == plan(SMALL).digest()


def test_the_plan_does_not_depend_on_the_process() -> None:
    """Another interpreter, with another hash seed and time zone, plans the same."""
    program = (
        "from connectors.reference.firm import FirmSettings, plan;"
        "print(plan(FirmSettings(seed=3, consultants=10, days=14)).digest())"
    )
    for hash_seed, zone in (("1", "Pacific/Auckland"), ("2", "America/New_York")):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone}
        output = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert output.stdout.strip() == plan(SMALL).digest()


def test_the_default_firm_has_ten_thousand_changes_of_time_entries(firm_plan: Plan) -> None:
    """Forty people in sixty days."""
    assert firm_plan.changes("time_entry") >= 10_000
    assert len(firm_plan.tables()["consultant"]) == 40


@pytest.mark.slow
def test_a_firm_five_times_as_large_in_four_times_as_many_days_is_planned(firm_plan: Plan) -> None:
    """200 people in 250 days: some twenty times the changes, planned in time that grows with them."""
    started = time.process_time()
    large = plan(FirmSettings(consultants=200, days=250))
    assert time.process_time() - started < 60
    assert large.changes("time_entry") > 15 * firm_plan.changes("time_entry")


@pytest.mark.parametrize("start", [date(2026, 3, 4), date(2025, 12, 20), date(2028, 2, 29)])
def test_any_day_may_be_the_first(start: date) -> None:
    """Weekends, month ends, turns of the year and leap days included."""
    made = plan(FirmSettings(consultants=10, days=20, start=start))
    worked = [row["work_date"] for row in made.tables()["time_entry"].values()]
    assert min(worked) < start < max(worked) < start + timedelta(days=20)


@pytest.mark.parametrize("wrong", [{"consultants": 9}, {"days": 13}, {"changes_per_second": 0.0}])
def test_settings_that_hold_no_firm_are_refused(wrong: dict[str, int]) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        FirmSettings(**wrong)  # type: ignore[arg-type]


def test_transactions_are_in_order_after_the_opening(firm_plan: Plan) -> None:
    """Live transactions never go back in time, and none is empty."""
    instants = [transaction.simulated_at for transaction in firm_plan.transactions]
    assert instants == sorted(instants)
    assert instants[0] >= firm_plan.settings.opening
    assert instants[-1] < firm_plan.settings.horizon
    assert all(transaction.statements for transaction in firm_plan.transactions)


def test_the_seed_is_inserts_only_one_transaction_a_system(firm_plan: Plan) -> None:
    """The snapshot finds rows, time entries of the history among them."""
    assert [transaction.system for transaction in firm_plan.seed] == ["erp", "crm", "time"]
    rows = fold(firm_plan.seed)
    assert sum(map(len, rows.values())) == sum(len(done.statements) for done in firm_plan.seed)
    assert {row["status"] for row in rows["time_entry"].values()} >= {"approved", "submitted"}


@pytest.mark.parametrize("size", [(10, 14), (40, 60)])
def test_every_change_fits_its_table(size: tuple[int, int]) -> None:
    """Columns, nulls, types, scales, enumerations, and one system a transaction."""
    made = plan(FirmSettings(seed=11, consultants=size[0], days=size[1]))
    for transaction in (*made.seed, *made.transactions):
        for statement in transaction.statements:
            assert SYSTEM_OF[statement.table] == transaction.system
            if isinstance(statement, Delete):
                continue
            columns = TABLES[statement.table].columns
            if isinstance(statement, Insert):
                assert tuple(statement.values) == tuple(column.name for column in columns)
            for name, value in statement.values.items():
                _check_value(statement, name, value)


def _check_value(statement: Insert | Update, name: str, value: object) -> None:
    column = TABLES[statement.table].columns[name]
    where = f"{statement.table}.{name} = {value!r}"
    if value is None:
        assert column.nullable, where
        return
    assert type(value) is PYTHON_TYPES[type(column.type)], where
    if isinstance(value, Decimal) and value.is_finite():
        assert isinstance(column.type, Numeric)
        assert -value.as_tuple().exponent <= column.type.scale, where  # type: ignore[operator]
        assert abs(value) < Decimal(10) ** (column.type.precision - column.type.scale), where  # type: ignore[operator]
    if isinstance(value, datetime):
        assert value.utcoffset() == timedelta(0), where
    assert value in ENUMERATIONS.get((statement.table, name), {value}), where


def test_fold_refuses_what_a_database_would(firm_plan: Plan) -> None:
    """A second insert of a row, and a change of a row that is not there."""
    with pytest.raises(ValueError, match="inserted twice"):
        fold((*firm_plan.seed, *firm_plan.seed))
    with pytest.raises(KeyError):
        fold(firm_plan.transactions)

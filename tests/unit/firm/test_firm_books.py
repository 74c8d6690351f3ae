"""The firm is sane: its figures look like a consulting firm's, and its invoices are right."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal

from oracle import Expected, canonical_rows, compute_from_rows

from connectors.reference.firm import FirmSettings, Insert, Plan, Update, plan
from streams.money import ZERO

WORTH_IN_EUR = {"EUR": Decimal(1), "USD": Decimal("0.92"), "GBP": Decimal("1.17")}


def test_most_money_is_billed_or_unbilled_and_a_few_percent_of_time_parked() -> None:
    """For several seeds; over-cap, written-off and covered money exist but do not rule."""
    for seed in range(3):
        made = plan(FirmSettings(seed=seed))
        tables = {name: list(rows.values()) for name, rows in made.tables().items()}
        totals = compute_from_rows(canonical_rows(tables, tables, tables)).totals
        money: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for (bucket, currency), amount in totals.money_by_bucket.items():
            money[bucket] += amount * WORTH_IN_EUR[currency]
        whole = sum(money.values(), ZERO)
        assert (money["billed"] + money["unbilled"]) / whole > Decimal("0.75")
        assert money["billed"] / whole > Decimal("0.2")
        for bucket in ("over_cap", "written_off", "covered"):
            assert Decimal(0) < money[bucket] / whole < Decimal("0.10"), (seed, bucket)
        parked = totals.seconds_by_bucket["parked"] / totals.approved_seconds
        assert 0.005 < parked < 0.05, seed


def test_every_practice_is_utilized_between_60_and_90_percent(firm_plan: Plan, firm_books: Expected) -> None:
    """Billable seconds by capacity, over the days that were worked."""
    practice = {f"erp:{row['id']}": row["practice"] for row in firm_plan.tables()["consultant"].values()}
    billable: Counter[str] = Counter()
    capacity: Counter[str] = Counter()
    for (consultant, _), day in firm_books.daily.items():
        billable[practice[consultant]] += day.billable
        capacity[practice[consultant]] += day.capacity or 0
    assert len(capacity) == 3
    for name in capacity:
        assert 0.6 < billable[name] / capacity[name] < 0.9, name


def test_all_segments_and_buckets_occur(firm_books: Expected) -> None:
    """One firm shows every outcome that allocation knows."""
    segments = {key.segment.split(":")[0] for key in firm_books.billing}
    assert segments == {
        *("base", "covered", "over-line", "over-engagement", "rounding", "uplift", "per-diem"),
        *("inv", "due", "adj", "draft", "lot"),
    }
    buckets = {key.bucket for key in firm_books.billing}
    assert buckets == {
        *("billed", "unbilled", "covered", "fixed_fee", "over_cap", "non_chargeable", "written_off"),
        *("on_draft", "on_hold", "parked", "refused", "rounding"),
    }


def test_every_way_of_billing_is_sold(firm_plan: Plan) -> None:
    """Methods, caps by money and hours on both levels with each action, and the small print."""
    tables = firm_plan.tables()
    lines, engagements = tables["contract_line"].values(), tables["engagement"].values()
    assert {row["billing_method"] for row in lines} == {
        *("tm", "milestone", "retainer", "prepaid", "per_diem", "non_billable")
    }
    for rows in (lines, engagements):
        assert any(row["cap_money"] for row in rows)
        assert any(row["cap_hours"] for row in rows)
    actions = {
        row["over_cap_action"] for row in (*lines, *engagements) if row["cap_money"] or row["cap_hours"]
    }
    assert actions == {"hold", "write_off", "bill"}
    assert {row["quantity_increment_seconds"] for row in lines} == {None, 36, 900}
    assert {row["quantity_rounding"] for row in lines} == {None, "nearest", "up"}
    assert any(row["minimum_quantity_hours"] for row in lines)
    half_even = [row for row in lines if row["rounding"] == "half_even"]
    assert len(half_even) < len(lines)
    assert any(row["cap_hours"] for row in half_even)
    assert any(row["day_minimum_hours"] for row in half_even)
    assert any(row["day_minimum_hours"] for row in lines)
    assert any(row["engagement_id"] is None for row in tables["project"].values())
    assert any(row["contract_line_id"] for row in tables["task"].values())
    assert {row["currency"] for row in engagements} == {"EUR", "USD", "GBP"}


def test_rates_are_planted_in_every_scope(firm_plan: Plan) -> None:
    """From task and consultant down to the default card, in a foreign currency too."""
    columns = (
        "task_id",
        "project_id",
        "contract_line_id",
        "client_id",
        "consultant_id",
        "role",
        "grade",
        "region",
    )
    scopes = {
        tuple(name for name in columns if row[name] is not None)
        for row in firm_plan.tables()["rate"].values()
    }
    assert scopes >= {
        ("task_id", "consultant_id"),
        ("project_id", "consultant_id"),
        ("project_id", "role"),
        ("contract_line_id", "role"),
        ("client_id", "role"),
        ("client_id", "role", "grade"),
        ("client_id", "role", "region"),
        ("client_id", "role", "grade", "region"),
        ("role",),
        ("role", "region"),
    }
    assert {row["currency"] for row in firm_plan.tables()["rate"].values()} == {"EUR", "USD", "GBP", "CHF"}


def test_people_differ(firm_plan: Plan) -> None:
    """Calendars, part time, three practices, a far time zone, hires and leavers."""
    people = list(firm_plan.tables()["consultant"].values())
    assert {row["calendar_id"] for row in people} == {"CAL-40", "CAL-375", "CAL-PAC"}
    assert {row["fte"] for row in people} == {Decimal(1), Decimal("0.8"), Decimal("0.5")}
    assert "Pacific/Tongatapu" in {row["time_zone"] for row in people}
    assert any(row["left_on"] for row in people)
    assert any(row["hired_on"] > firm_plan.settings.start for row in people)


def test_headers_are_the_sum_of_their_lines(firm_plan: Plan) -> None:
    """Positive for invoices, negative for credit notes; never left at 0."""
    tables = firm_plan.tables()
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for line in tables["invoice_line"].values():
        sums[line["invoice_id"]] += line["amount"] if line["kind"] == "charge" else -line["amount"]
    assert {key: row["amount"] for key, row in tables["invoice"].items()} == sums
    assert all(sums.values())


def test_no_line_is_credited_beyond_its_amount(firm_plan: Plan) -> None:
    """Credits of a charge line add up to at most the line, in seconds and in money."""
    lines = firm_plan.tables()["invoice_line"]
    seconds: Counter[str] = Counter()
    amounts: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for line in lines.values():
        if line["kind"] == "credit":
            seconds[line["credits_line_id"]] += line["seconds"]
            amounts[line["credits_line_id"]] += line["amount"]
    assert amounts
    for charge, amount in amounts.items():
        assert seconds[charge] <= lines[charge]["seconds"]
        assert amount <= lines[charge]["amount"]
        assert lines[charge]["kind"] == "charge"


def test_prices_of_closed_months_are_changed(firm_plan: Plan) -> None:
    """A rate and an exchange rate of days whose month was closed by then; the row says when it became what it is."""
    tables = firm_plan.tables()
    closed = [row for row in tables["accounting_period"].values() if row["closed_at"]]

    def was_closed(since: date, day: date, when: datetime) -> bool:
        return any(
            since < row["ends_on"] and row["starts_on"] <= day and row["closed_at"] <= when for row in closed
        )

    fx = tables["fx_rate_version"].values()
    assert any(was_closed(row["day"], row["day"], row["ended_at"]) for row in fx)
    changed = [
        row
        for row in tables["rate_version"].values()
        if row["rate_id"] in tables["rate"] and row["price"] != tables["rate"][row["rate_id"]]["price"]
    ]
    assert any(was_closed(row["effective_from"], row["ended_at"].date(), row["ended_at"]) for row in changed)
    assert all(tables["rate"][row["rate_id"]]["decided_at"] >= row["ended_at"] for row in changed)
    taken_away = [row for row in tables["rate_version"].values() if row["rate_id"] not in tables["rate"]]
    assert len(taken_away) == firm_plan.trouble["rate_deleted"]


def test_invoices_bill_what_rating_says(firm_plan: Plan, firm_books: Expected) -> None:
    """Of fully billed entries nothing is left over, except where a price was corrected for the past, or where
    somebody decided to bill less."""
    corrected = {
        firm_plan.tables()["rate"][statement.key]["contract_line_id"]
        for transaction in firm_plan.transactions
        if transaction.label == "trouble:rate_corrected"
        for statement in transaction.statements
        if statement.table == "rate"
    }
    tables = firm_plan.tables()
    billed_once = Counter(line["entry_id"] for line in tables["invoice_line"].values())
    versions = {f"time:{row['id']}": row["version"] for row in tables["time_entry"].values()}
    certain = {
        line["entry_id"]
        for line in tables["invoice_line"].values()
        if line["status"] == "posted"
        and billed_once[line["entry_id"]] == 1
        and versions.get(line["entry_id"]) == line["entry_version"]
        and line["contract_line_id"] not in corrected
    } - {row["entry_id"] for row in tables["bill_adjustment"].values()}
    segments: dict[str, set[str]] = defaultdict(set)
    for key in firm_books.billing:
        if key.entry in certain:
            segments[key.entry].add(key.segment.split(":")[0])
    approved = [entry for entry in certain if entry in firm_books.approved]
    assert len(approved) > 500
    assert {entry: found for entry, found in segments.items() if found != {"inv"} and entry in approved} == {}


def test_a_zero_amount_is_repaired_in_its_own_transaction(firm_plan: Plan) -> None:
    """Invoice headers, invoice lines and cost rates that are inserted as 0 are not 0 when committed."""
    seen: Counter[str] = Counter()
    for transaction in firm_plan.transactions:
        last: dict[tuple[str, object], Decimal] = {}
        for statement in transaction.statements:
            for column in ("amount", "cost"):
                value = getattr(statement, "values", {}).get(column)
                if statement.table in ("invoice", "invoice_line", "cost_rate") and value is not None:
                    if isinstance(statement, Insert) and value == 0:
                        seen[statement.table] += 1
                    last[statement.table, statement.key] = value
        assert all(last.values())
    assert seen.keys() == {"invoice", "invoice_line", "cost_rate"}


def test_history_tells_the_state_of_every_entry(firm_plan: Plan) -> None:
    """The last event, its version and its instant agree with the row; deleted entries keep their events."""
    tables = firm_plan.tables()
    status = {
        "drafted": "draft", "submitted": "submitted", "approved": "approved",
        "rejected": "rejected", "withdrawn": "withdrawn",
    }  # fmt: skip
    last: dict[int, tuple[str, int, datetime]] = {}
    for event in tables["time_entry_event"].values():
        imported = event["action"] == "corrected" and event["actor"] == "import"
        action = "approved" if imported else event["action"]
        last[event["entry_id"]] = (action, event["version"], event["at"])
    for entry, (action, version, at) in last.items():
        row = tables["time_entry"].get(entry)
        if action == "deleted":
            assert row is None
            continue
        assert row is not None
        assert (row["status"], row["version"]) == (status[action], version)
        assert row["approved_at"] == (at if action == "approved" else None)
    assert last.keys() >= tables["time_entry"].keys()


def test_what_is_credited_is_billed_again(firm_plan: Plan) -> None:
    """A whole charge is credited, and its entry posted anew on a later invoice; and two months at least are closed."""
    tables = firm_plan.tables()
    lines = [line for line in tables["invoice_line"].values() if line["status"] == "posted"]
    credited: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for line in lines:
        if line["kind"] == "credit":
            credited[line["credits_line_id"]] += line["amount"]
    back = [line for line in lines if line["kind"] == "charge" and credited[line["id"]] == line["amount"]]
    again = [
        line
        for line in lines
        for first in back
        if line["kind"] == "charge"
        and line["entry_id"] == first["entry_id"]
        and line["posted_at"] > first["posted_at"]
    ]
    assert again
    closed = {row["starts_on"] for row in tables["accounting_period"].values() if row["closed_at"]}
    assert len(closed) >= 2


def test_a_reassigned_contract_keeps_what_it_has_billed(firm_plan: Plan, firm_books: Expected) -> None:
    """Posted lines are of the client who was billed; what is not is of the one who has the contract now."""
    labels = [transaction.label for transaction in firm_plan.transactions]
    act = firm_plan.transactions[labels.index("client_reassigned")].statements[0]
    assert isinstance(act, Update)
    engagement = firm_plan.tables()["engagement"][act.key]
    root, now = f"erp:{engagement['id']}", f"erp:{engagement['client_id']}"
    of_root = [key for key in firm_books.billing if key.root == root]
    assert {key.client for key in of_root if key.bucket == "unbilled"} == {now}
    assert len({key.client for key in of_root if key.bucket == "billed"}) == 2

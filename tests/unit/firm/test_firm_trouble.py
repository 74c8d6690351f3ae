"""Everything that is meant to go wrong is planted, and has the effect it is meant to have."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from oracle import Expected, canonical_rows, compute_from_rows

from connectors.reference.firm import FirmSettings, Plan, Update, plan
from connectors.reference.firm.model import fold

PLANTED = {
    *("late_rate", "late_rate_released", "never_rate", "late_task", "late_task_released", "never_task"),
    *("foreign_task", "late_project", "late_project_released", "late_consultant", "rate_corrected"),
    *("project_moved", "duplicate_account", "duplicate_client", "zero_cost_updated_in_transaction"),
    *("zero_invoice_updated_in_transaction", "zero_line_updated_in_transaction", "rate_deleted"),
    *("too_many_hours_fixed", "too_many_hours_released", "too_many_hours_never", "zero_hours"),
    *("negative_cap_fixed", "negative_cap_released", "negative_cap_never", "negative_cap_never_booked"),
    *("nan_cap", "nan_cap_released", "client_name_overwritten", "client_name_restored"),
    *("ambiguous_rate", "ambiguous_rate_fixed", "fx_gap_filled", "fx_gap_never", "opportunity_unwon"),
    *("opportunity_deleted", "expired_contract", "expired_then_extended", "self_approval"),
    *("billed_corrected", "billed_withdrawn", "billed_deleted", "draft_corrected"),
    *("target_in_percent", "target_in_percent_fixed"),
    *("assignment_of_a_week", "assignment_of_a_week_fixed", "cost_rate_ended"),
    *("payer_share_mistyped", "payer_share_mended", "payer_unknown"),
}
# Left to chance: certain in a firm of the default size, not in the smallest.
PLANTED_BY_CHANCE = {
    "absence_deleted",
    "approved_deleted",
    "draft_deleted",
    "write_off_deleted",
    "assignment_deleted",
}
FEATURES = {
    *("account_renamed", "approval_deferred", "approved_after_close", "cap_cut", "cap_raised", "corrected"),
    *(
        "cost_rate_change",
        "credit_note",
        "credited_in_part",
        "draft_edited",
        "draft_left",
        "engagement_signed",
    ),
    *("expense", "expense_approved", "expense_corrected", "expense_credited", "expense_deleted"),
    *("expense_drafted", "expense_late", "expense_posted", "expense_rejected", "expense_written_off"),
    *("fx_correction", "hire", "invoice_posted", "kind_overtime", "kind_standard", "kind_weekend"),
    *("leave", "line_credited", "line_posted", "milestone_accepted", "milestone_accepted_after_close"),
    *("milestone_amount_change", "milestone_cancelled", "milestone_revoked", "opportunity_lost"),
    *("opportunity_proposal", "opportunity_won", "over_cap_action_change", "period_closed"),
    *("practice_move", "half_time", "half_time_ended"),
    *("period_right_granted", "period_right_revoked", "period_soft_closed"),
    *("payer_split_changed", "client_reassigned"),
    *("approval_limit_raised", "adjustment_signed_again", "lot_bought", "lot_extended"),
    *("discount", "discount_after_posting", "hold", "hold_released"),
    *("target_change", "own_target", "own_target_deleted", "assignment"),
    *("assignment_extended", "assignment_cancelled", "assignment_handed_on", "assignment_handed_back"),
    *("planned_more", "fee_raised", "extended", "planned_after_close"),
    *("project_closed", "promotion", "rate_change", "rejected", "retainer_raised", "withdrawn", "write_off"),
}


@pytest.mark.parametrize("seed", range(6))
def test_the_smallest_firm_has_every_planted_kind(seed: int) -> None:
    """Ten people and two weeks are enough, whatever the seed."""
    trouble = plan(FirmSettings(seed=seed, consultants=10, days=14)).trouble
    assert {kind for kind in PLANTED if not trouble.get(kind)} == set()


@pytest.mark.parametrize("seed", range(4))
def test_the_default_firm_has_every_kind_and_feature(seed: int) -> None:
    """Nothing is planted beyond the list either, so that a new kind is added here."""
    made = plan(FirmSettings(seed=seed))
    assert set(made.trouble) == PLANTED | PLANTED_BY_CHANCE
    assert set(made.features) == FEATURES
    assert all(made.trouble.values())


def _books(made: Plan, transactions: int) -> Expected:
    rows = fold((*made.seed, *made.transactions[:transactions]))
    tables = {name: list(found.values()) for name, found in rows.items()}
    return compute_from_rows(canonical_rows(tables, tables, tables))


def _position(made: Plan, label: str) -> int:
    """The place of the first transaction with a label."""
    return next(n for n, transaction in enumerate(made.transactions) if transaction.label == label)


@pytest.mark.parametrize(
    ("label", "exception_class", "key"),
    [
        ("trouble:late_rate", "MISSING_RATE", "rate:erp:L-037"),
        ("trouble:late_task", "MISSING_REFERENCE", "task:erp:T-LATE"),
        ("trouble:late_project", "MISSING_REFERENCE", "project:erp:P-LATE"),
        ("trouble:late_consultant", "MISSING_REFERENCE", "consultant:erp:K-040"),
        ("trouble:fx_gap_filled", "MISSING_FX", "fx:CHF:EUR"),
        ("trouble:ambiguous_rate_fixed", "AMBIGUOUS_RATE", "rate:erp:R"),
        ("trouble:negative_cap_released", "MISSING_REFERENCE", "line:erp:L-040-1"),
        ("trouble:nan_cap_released", "MISSING_REFERENCE", "engagement:erp:E-041"),
        ("extension", "INACTIVE_CONTRACT", "engagement:erp:E-045"),
    ],
)
def test_what_comes_late_parks_entries_first_and_releases_them_then(
    firm_plan: Plan, label: str, exception_class: str, key: str
) -> None:
    """Before the cure entries are parked for exactly this reason, right after it none is."""
    cure = _position(firm_plan, label)

    def parked(transactions: int) -> int:
        return sum(
            1
            for item in _books(firm_plan, transactions).parked.values()
            if item.exception_class == exception_class and any(k.startswith(key) for k in item.missing_keys)
        )

    assert parked(cure) > 0
    assert parked(cure + 1) == 0


def test_what_never_comes_stays_parked(firm_books: Expected) -> None:
    """The last word: unknown task, another project's task, no rate, no FX, no contract, a negative cap, one's own
    approval, or one that came after the close by somebody without the right."""
    classes = Counter(item.exception_class for item in firm_books.parked.values())
    assert classes.keys() == {
        *("MISSING_REFERENCE", "MISSING_RATE", "MISSING_FX", "INACTIVE_CONTRACT", "SELF_APPROVAL"),
        "CLOSED_PERIOD",
    }
    references = {
        key
        for item in firm_books.parked.values()
        if item.exception_class == "MISSING_REFERENCE"
        for key in item.missing_keys
    }
    assert {key.partition(":")[0] for key in references} == {"task", "engagement"}
    assert "task:erp:T-NEVER" in references
    assert "task:erp:T-LATE" not in references


def test_rows_that_break_a_rule_are_there_at_the_end(firm_plan: Plan, firm_books: Expected) -> None:
    """One entry of 25 hours and one negative cap were never repaired; of the others, versions of 25 hours are kept."""
    broken = Counter(found.entity for found in firm_books.quarantined)
    assert broken == {
        "engagement": 1,
        "time_entry": firm_plan.trouble["too_many_hours_never"],
        "time_entry_version": firm_plan.trouble["too_many_hours_released"],
    }


def test_not_a_number_is_written_once_and_repaired(firm_plan: Plan) -> None:
    """A cap of NaN hours appears in an update, and in no row at the end."""
    written = [
        statement
        for transaction in firm_plan.transactions
        for statement in transaction.statements
        if isinstance(statement, Update)
        and any(isinstance(value, Decimal) and value.is_nan() for value in statement.values.values())
    ]
    assert [(update.table, set(update.values)) for update in written] == [("engagement", {"cap_hours"})]
    for rows in firm_plan.tables().values():
        for row in rows.values():
            assert not any(isinstance(value, Decimal) and value.is_nan() for value in row.values())


def test_the_moved_project_belongs_to_another_client(firm_plan: Plan) -> None:
    """The move changes line, engagement and client together."""
    move = firm_plan.transactions[_position(firm_plan, "trouble:project_moved")].statements[0]
    assert isinstance(move, Update)
    before, after = fold(firm_plan.seed), firm_plan.tables()
    old = before["project"][move.key]["engagement_id"]
    new = after["project"][move.key]["engagement_id"]
    assert after["engagement"][old]["client_id"] != after["engagement"][new]["client_id"]
    assert after["contract_line"][after["project"][move.key]["contract_line_id"]]["engagement_id"] == new


def test_duplicates_share_a_domain(firm_plan: Plan) -> None:
    """Two accounts a domain, and a client on either."""
    tables = firm_plan.tables()
    domains = Counter(row["domain"] for row in tables["account"].values() if row["domain"])
    doubled = {domain for domain, count in domains.items() if count == 2}
    assert len(doubled) == firm_plan.trouble["duplicate_account"]
    accounts = {row["crm_account_id"] for row in tables["client"].values()}
    assert all(row["id"] in accounts for row in tables["account"].values() if row["domain"] in doubled)


def test_drafts_are_left_and_some_are_stale(firm_books: Expected) -> None:
    """Most are as they are; of time that was corrected since, they have nothing."""
    stale = Counter(draft.is_stale for draft in firm_books.drafts.values())
    assert stale[False] > stale[True] > 0
    money = [fold.amount for key, fold in firm_books.billing.items() if key.bucket == "on_draft"]
    assert len(money) == len(firm_books.drafts)
    assert 0 in money


def test_billed_time_that_changed_is_due_for_credit(firm_books: Expected) -> None:
    """Corrections and withdrawals after posting leave negative unbilled segments."""
    due = [fold for key, fold in firm_books.billing.items() if key.segment.startswith("due:")]
    assert due
    assert all(part.amount is not None and part.amount < 0 for part in due)

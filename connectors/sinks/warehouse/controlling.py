"""Views of how well a firm bills: billing accuracy, approval quality, billable capture, and what it gives away.

Amounts of different currencies are never added, ratios are ratios of sums to six places, null where there is nothing to
divide by, and each view says which version of its definition it has.

**Billing accuracy** is of the month in which the ERP posted the charge (UTC): what was credited of it since, whenever,
over what was billed. A credit that names no posted charge of its contract is of its own month, and in no ratio. It rests
on the ERP's posted lines. Example: 1,200 posted in March and 200 of it credited in April is 0.166667 in March.

**Approval quality** is of the practice of the person on the day of the work. Approved is each version of an entry in the
month of its approval (UTC), `corrected` those of them that a later version has replaced since, `taken_back` those that
were withdrawn or deleted: this rests on the entry and the versions that the time tracker keeps of approved ones. Rejected is
each time that an entry was sent back, in the month of it: this rests on the time tracker's history, `time_entry_event`.
An entry of which nothing is left is of no practice. The rejected rate is of all decisions (approved and rejected),
the corrected rate of what was approved. Example: of 10 decisions 8 approved, one of which is corrected: 0.2 and 0.125.

**Billable capture** is of the month of the work: of the hours worked that are billed by the hour, those that are billed.
What a fee pays for (`fee_seconds`: fixed price, retainer, prepaid) is not among them, nor what is not chargeable, and
expenses are no hours. Parked, held, written off and over a cap is worked, and not billed. An entry is billed for its own
hours at most: what is due back to the client captures nothing. Example: 8 h billed of an entry that is corrected to 6 h, and
2 h unbilled of another: 6 of 8 h, 0.75.

**Write-offs** are what the ledger wrote off or held in its accounting month, less what it took back: by the decision's kind,
reason and approver. What passes a cap whose action is to write off is of kind `over_cap`, and nobody's decision; a decision
that is no longer there has no kind. A hold that ends in a later month is less than 0 there.
"""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.exact import ratio
from connectors.sinks.warehouse.positions import person_on

ACCURACY = "billing-accuracy-1"
QUALITY = "approval-quality-1"
CAPTURE = "billable-capture-1"
WRITE_OFFS = "write-offs-1"


def _month(instant: str) -> str:
    return f"date_trunc('month', {instant} AT TIME ZONE 'UTC')::date"


CONTROLLING = MappingProxyType(
    {
        # `billed` and `credited` are of the charges posted in the month; `unlinked_credits` of credits of nothing.
        "v_billing_accuracy_month": f"""
WITH posted AS (
    SELECT line.id, line.kind, line.credits_line_id, line.engagement_id, line.amount, {_month("line.posted_at")} AS month,
           engagement.legal_entity_id, engagement.currency, coalesce(line.client_id, engagement.client_id) AS client_id
    FROM dim_invoice_line AS line
    LEFT JOIN dim_engagement AS engagement
           ON engagement.id = line.engagement_id AND engagement.is_current AND NOT engagement.deleted
    WHERE line.is_current AND NOT line.deleted AND line.status = 'posted' AND line.kind IN ('charge', 'credit')
),
parts AS (
    SELECT legal_entity_id, client_id, month, currency, amount AS billed, 0 AS credited, 0 AS unlinked
    FROM posted
    WHERE kind = 'charge'
    UNION ALL
    SELECT coalesce(charge.legal_entity_id, credit.legal_entity_id),
           CASE WHEN charge.id IS NULL THEN credit.client_id ELSE charge.client_id END,
           coalesce(charge.month, credit.month), coalesce(charge.currency, credit.currency), 0,
           CASE WHEN charge.id IS NULL THEN 0 ELSE credit.amount END,
           CASE WHEN charge.id IS NULL THEN credit.amount ELSE 0 END
    FROM posted AS credit
    LEFT JOIN posted AS charge ON charge.id = credit.credits_line_id AND charge.kind = 'charge'
          AND charge.engagement_id = credit.engagement_id
    WHERE credit.kind = 'credit'
)
SELECT sums.legal_entity_id, entity.name AS legal_entity_name, sums.client_id, client.client_name, sums.month,
       sums.currency, sums.billed, sums.credited, sums.unlinked_credits,
       {ratio("sums.credited", "sums.billed", 6)} AS credited_ratio, '{ACCURACY}' AS definition
FROM (
    SELECT legal_entity_id, client_id, month, currency, sum(billed) AS billed, sum(credited) AS credited,
           sum(unlinked) AS unlinked_credits
    FROM parts
    GROUP BY 1, 2, 3, 4
) AS sums
LEFT JOIN dim_legal_entity AS entity
       ON entity.id = sums.legal_entity_id AND entity.is_current AND NOT entity.deleted
LEFT JOIN v_client AS client ON client.client_id = sums.client_id""",
        # Each approval and each rejection. `outcome` is of an approval: stands, corrected or taken_back.
        "v_approval_decision": f"""
WITH versions AS (
    SELECT id AS entry_id, version, consultant_id, work_date, approved_at, true AS is_standing
    FROM dim_time_entry
    WHERE is_current AND NOT deleted AND status = 'approved'
    UNION ALL
    SELECT entry_id, version, consultant_id, work_date, approved_at, false
    FROM dim_time_entry_version
    WHERE is_current AND NOT deleted
),
whose AS (
    SELECT DISTINCT ON (entry_id) entry_id, consultant_id, work_date
    FROM (
        SELECT id AS entry_id, consultant_id, work_date, version
        FROM dim_time_entry
        WHERE is_current AND NOT deleted
        UNION ALL
        SELECT entry_id, consultant_id, work_date, version FROM versions
    ) AS known
    ORDER BY entry_id, version DESC
)
SELECT one.entry_id, one.version, one.consultant_id, one.work_date, 'approved' AS decision,
       {_month("one.approved_at")} AS month, CASE
           WHEN one.is_standing THEN 'stands'
           WHEN EXISTS (SELECT 1 FROM dim_time_entry AS later
                        WHERE later.id = one.entry_id AND later.is_current AND NOT later.deleted
                          AND later.version > one.version)
             OR EXISTS (SELECT 1 FROM versions AS later
                        WHERE later.entry_id = one.entry_id AND later.version > one.version) THEN 'corrected'
           ELSE 'taken_back' END AS outcome
FROM versions AS one
UNION ALL
SELECT event.entry_id, event.version, whose.consultant_id, whose.work_date, 'rejected', {_month("event.at")}, NULL
FROM dim_time_entry_event AS event
LEFT JOIN whose ON whose.entry_id = event.entry_id
WHERE event.is_current AND NOT event.deleted AND event.action = 'rejected'""",
        "v_approval_quality_month": f"""
SELECT sums.*,
       {ratio("sums.rejected::numeric", "(sums.approved + sums.rejected)", 6)} AS rejected_rate,
       {ratio("sums.corrected::numeric", "sums.approved", 6)} AS corrected_rate,
       '{QUALITY}' AS definition
FROM (
    SELECT person.practice, decided.month,
           count(*) FILTER (WHERE decision = 'approved') AS approved,
           count(*) FILTER (WHERE decision = 'rejected') AS rejected,
           count(*) FILTER (WHERE outcome = 'corrected') AS corrected,
           count(*) FILTER (WHERE outcome = 'taken_back') AS taken_back
    FROM v_approval_decision AS decided
    {person_on("decided.consultant_id", "decided.work_date")}
    GROUP BY 1, 2
) AS sums""",
        "v_billable_capture_month": f"""
SELECT sums.client_id, client.client_name, sums.practice, sums.month,
       sums.billable_seconds, round(sums.billable_seconds / 3600.0, 4) AS billable_hours,
       sums.captured_seconds, round(sums.captured_seconds / 3600.0, 4) AS captured_hours,
       sums.fee_seconds, round(sums.fee_seconds / 3600.0, 4) AS fee_hours,
       {ratio("sums.captured_seconds::numeric", "sums.billable_seconds", 6)} AS capture, '{CAPTURE}' AS definition
FROM (
    SELECT client_id, practice, month, sum(billable)::bigint AS billable_seconds,
           sum(greatest(0, least(billed, billable)))::bigint AS captured_seconds, sum(by_fee)::bigint AS fee_seconds
    FROM (
        SELECT root_id, entry_id, client_id, consultant_id, practice, work_date, work_month AS month,
               coalesce(sum(seconds) FILTER (
                   WHERE bucket NOT IN ('non_chargeable', 'covered', 'fixed_fee')), 0) AS billable,
               coalesce(sum(seconds) FILTER (WHERE bucket = 'billed'), 0) AS billed,
               coalesce(sum(seconds) FILTER (WHERE bucket IN ('covered', 'fixed_fee')), 0) AS by_fee
        FROM v_work
        WHERE consultant_id IS NOT NULL AND work_date IS NOT NULL AND NOT is_expense
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    ) AS entries
    GROUP BY 1, 2, 3
) AS sums
LEFT JOIN v_client AS client ON client.client_id = sums.client_id""",
        "v_write_offs_month": f"""
SELECT line.legal_entity_id, entity.name AS legal_entity_name, line.client_id, client.client_name,
       date_trunc('month', line.accounting_date::timestamp)::date AS month, line.currency,
       CASE WHEN starts_with(line.segment, 'adj:') THEN decision.kind ELSE 'over_cap' END AS kind,
       decision.reason, decision.preparer_id, decision.approver_id,
       sum(line.seconds)::bigint AS seconds, round(sum(line.seconds) / 3600.0, 4) AS hours,
       sum(line.amount) AS amount, '{WRITE_OFFS}' AS definition
FROM fact_billing_event AS line
LEFT JOIN dim_bill_adjustment AS decision
       ON line.segment = 'adj:' || decision.id AND decision.is_current AND NOT decision.deleted
LEFT JOIN dim_legal_entity AS entity
       ON entity.id = line.legal_entity_id AND entity.is_current AND NOT entity.deleted
LEFT JOIN v_client AS client ON client.client_id = line.client_id
WHERE line.bucket IN ('written_off', 'on_hold')
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
HAVING sum(line.seconds) <> 0 OR sum(line.amount) <> 0""",
    }
)

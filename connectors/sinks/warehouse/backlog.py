"""What is contracted and not delivered yet, of each contract line and of each contract with a cap.

Of a fee (fixed price, retainer, prepaid hours with their lots) and of milestones the contracted money is the transaction
price by the plan in force, and what was earned of it is what revenue has recognised, breakage included; the expenses of
the line are in both. Of work by the hour it is the cap, if there is one, and what was delivered is what counts against it:
what is billed, and what is on drafts, unbilled or held of entries and of expenses that count. Without any of these,
or while the terms that revenue needs are missing, it is null, and so is the backlog; backlog below 0 is more than was
contracted.

Hours are those planned (percent of completion), bought (prepaid), included in all calendar months of the line's own dates
(retainer) or capped; milestones have none. Rows without a contract line are of the caps of whole contracts: they hold
what their lines hold, too, so that they are not to be added to them. `basis` says what the contracted value is.

Example: a cap of 10,000 and 3,000 billed, 1,200 unbilled is a backlog of 5,800; a fixed price of 20,000 of which 12,000
are earned is one of 8,000.
"""

from __future__ import annotations

from types import MappingProxyType

DEFINITION = "backlog-1"

_FEE = "('percent_complete', 'straight_line', 'as_consumed', 'milestone')"
_LAST_DAY = "(line.ends_on - 1)"
_MONTHS = (
    f"(12 * (extract(year FROM {_LAST_DAY}) - extract(year FROM (line.starts_on)))"
    f" + extract(month FROM {_LAST_DAY}) - extract(month FROM (line.starts_on)) + 1)"
)

BACKLOG = MappingProxyType(
    {
        # What counts against caps: `scope` is which, that of the engagement or (line) both.
        "v_against_caps": """
SELECT work.root_id, work.contract_line_id, work.seconds, work.amount, coalesce(expense.cap_scope, 'line') AS scope
FROM v_work AS work
LEFT JOIN dim_expense AS expense
       ON expense.id = work.entry_id AND expense.is_current AND NOT expense.deleted
WHERE coalesce(expense.cap_scope, 'line') <> 'none'
  AND (work.bucket = 'billed'
       OR (work.bucket IN ('on_draft', 'unbilled', 'on_hold') AND work.consultant_id IS NOT NULL
           AND NOT starts_with(work.entry_id, 'day:')))""",
        "v_backlog": f"""
WITH earned AS (
    SELECT DISTINCT ON (root_id, contract_line_id) root_id, contract_line_id, revenue_method, transaction_price,
           recognised_to_date, progress_seconds, planned_seconds
    FROM revenue_current
    WHERE NOT deleted
    ORDER BY root_id, contract_line_id, period_start DESC
),
by_fee AS (
    SELECT root_id, contract_line_id, sum(seconds)::bigint AS seconds
    FROM v_work
    WHERE bucket IN ('covered', 'fixed_fee')
    GROUP BY 1, 2
),
used AS (
    SELECT root_id, contract_line_id, sum(seconds)::bigint AS seconds, sum(amount) AS amount
    FROM v_against_caps
    WHERE scope = 'line'
    GROUP BY 1, 2
),
used_of_all AS (
    SELECT root_id, sum(seconds)::bigint AS seconds, sum(amount) AS amount FROM v_against_caps GROUP BY 1
),
parts AS (
    SELECT line.engagement_id, line.id AS contract_line_id, line.billing_method,
           coalesce(earned.revenue_method, CASE WHEN line.cap_money IS NOT NULL OR line.cap_seconds IS NOT NULL
                                                THEN 'as_delivered' END) AS method,
           line.cap_money, line.cap_seconds, earned.transaction_price, earned.recognised_to_date,
           earned.progress_seconds, earned.planned_seconds,
           CASE WHEN line.starts_on < line.ends_on THEN (line.included_seconds * {_MONTHS})::bigint END AS included,
           coalesce(by_fee.seconds, 0) AS fee_seconds,
           coalesce(used.seconds, 0) AS used_seconds, coalesce(used.amount, 0) AS used_amount
    FROM dim_contract_line AS line
    LEFT JOIN earned ON earned.root_id = line.engagement_id AND earned.contract_line_id = line.id
    LEFT JOIN by_fee ON by_fee.root_id = line.engagement_id AND by_fee.contract_line_id = line.id
    LEFT JOIN used ON used.root_id = line.engagement_id AND used.contract_line_id = line.id
    WHERE line.is_current AND NOT line.deleted
    UNION ALL
    SELECT engagement.id, NULL, NULL, 'as_delivered', engagement.cap_money, engagement.cap_seconds, NULL, NULL, NULL,
           NULL, NULL, 0, coalesce(used.seconds, 0), coalesce(used.amount, 0)
    FROM dim_engagement AS engagement
    LEFT JOIN used_of_all AS used ON used.root_id = engagement.id
    WHERE engagement.is_current AND NOT engagement.deleted
      AND (engagement.cap_money IS NOT NULL OR engagement.cap_seconds IS NOT NULL)
),
figures AS (
    SELECT engagement_id, contract_line_id, billing_method,
           CASE WHEN method IN {_FEE} THEN CASE WHEN transaction_price IS NOT NULL THEN method END
                WHEN cap_money IS NOT NULL OR cap_seconds IS NOT NULL THEN 'cap' END AS basis,
           CASE WHEN method IN {_FEE} THEN transaction_price ELSE cap_money END AS contracted,
           CASE WHEN method IN {_FEE} THEN recognised_to_date ELSE used_amount END AS delivered,
           CASE WHEN method IN ('percent_complete', 'as_consumed') THEN planned_seconds
                WHEN method = 'straight_line' THEN included
                WHEN method IS DISTINCT FROM 'milestone' THEN cap_seconds END AS contracted_seconds,
           CASE WHEN method IN ('percent_complete', 'as_consumed') THEN progress_seconds
                WHEN method IN ('straight_line', 'milestone') THEN fee_seconds
                ELSE used_seconds END AS delivered_seconds
    FROM parts
)
SELECT figures.engagement_id, engagement.name AS engagement_name, figures.contract_line_id, figures.billing_method,
       engagement.legal_entity_id, engagement.client_id, client.client_name, engagement.currency, figures.basis,
       figures.contracted, figures.delivered, figures.contracted - figures.delivered AS backlog,
       figures.contracted_seconds, figures.delivered_seconds,
       figures.contracted_seconds - figures.delivered_seconds AS backlog_seconds,
       round((figures.contracted_seconds - figures.delivered_seconds) / 3600.0, 4) AS backlog_hours,
       '{DEFINITION}' AS definition
FROM figures
LEFT JOIN dim_engagement AS engagement
       ON engagement.id = figures.engagement_id AND engagement.is_current AND NOT engagement.deleted
LEFT JOIN v_client AS client ON client.client_id = engagement.client_id""",
    }
)

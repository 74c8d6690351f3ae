"""Views of management: by client, practice and month, what is sold, delivered, billed, earned, and what it cost.

A practice is that of the person who did the work, on the day of the work. Money of a contract line that is nobody's work
(a fee, a milestone) is spread over the line's practices by their hours of the month; without any in it, by their
hours before it; without those its practice is null. Parts are in minor units and add up to the whole. A deal's
practice is the one that `practice_of_service_line` names for its service line; finance fills that table.

What is recognised and billed of a person's expenses is their practice's too; of a fixed price (`percent_complete`) they
are recognised with its fee. They cost their net amount, whatever they are billed for.

Costs of people are confidential: see `permissions`. No view here that others may read shows one.
"""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.exact import last_spot, rounded
from connectors.sinks.warehouse.positions import person_on

DEFINITION = "executive-2"

_OF_LINE = person_on("line.consultant_id", "line.work_date")
_OF_EXPENSE = person_on("expense.consultant_id", "expense.incurred_on")

_EXPENSE_COST = rounded("(paid.net * paid.fx[1])", "paid.fx[2]", "paid.currency")
_DUE = rounded("amount * upto", "whole", "currency")
_DUE_BEFORE = rounded("amount * (upto - seconds)", "whole", "currency")
_COST = rounded("(work.seconds * rate.cost * rate.fx[1])", "(3600 * rate.fx[2])", "rate.currency")

_EARNED = "('billed', 'on_draft', 'unbilled', 'on_hold')"
# The first day of the first period that was open at the approval, where that of the work was closed.
_APPROVED_IN = """(
    SELECT min(later.starts_on)
    FROM (
        SELECT id, approved_at FROM dim_time_entry WHERE is_current
        UNION ALL
        SELECT id, approved_at FROM dim_expense WHERE is_current
    ) AS entry
    JOIN dim_period AS own ON own.legal_entity_id = lines.legal_entity_id AND own.is_current AND NOT own.deleted
        AND own.starts_on <= lines.work_date AND lines.work_date < own.ends_on AND own.closed_at <= entry.approved_at
    JOIN dim_period AS later ON later.legal_entity_id = own.legal_entity_id AND later.is_current AND NOT later.deleted
        AND later.starts_on > own.starts_on
        AND (later.closed_at IS NULL OR later.closed_at > entry.approved_at)
    WHERE entry.id = lines.entry_id)"""

EXECUTIVE = MappingProxyType(
    {
        # Each segment of billing, of the practice whose work or expense it is.
        "v_work": f"""
SELECT line.root_id, line.entry_id, line.segment, line.bucket, line.contract_line_id, line.client_id,
       line.consultant_id, person.practice, line.work_date,
       date_trunc('month', line.work_date::timestamp)::date AS work_month,
       date_trunc('month', line.accounting_date::timestamp)::date AS accounting_month,
       line.currency, line.seconds, line.amount, expense.id IS NOT NULL AS is_expense
FROM billing_current AS line
{_OF_LINE}
LEFT JOIN (
    SELECT id FROM dim_expense WHERE is_current AND NOT deleted
    UNION
    SELECT expense_id FROM dim_expense_version WHERE is_current AND NOT deleted
) AS expense ON expense.id = line.entry_id
WHERE NOT line.deleted""",
        # Each line of the ledger that bills or takes it back: what a closed month billed does not change any more.
        "v_billed": f"""
SELECT line.root_id, line.contract_line_id, line.client_id, line.consultant_id, person.practice,
       date_trunc('month', line.accounting_date::timestamp)::date AS accounting_month,
       line.currency, line.seconds, line.amount
FROM fact_billing_event AS line
{_OF_LINE}
WHERE line.bucket = 'billed'""",
        # What people's work is worth, in the month in which revenue has it. Billing tells the months of an entry that
        # is in the books of several; of another it is the month of its approval: what is not posted is dated by it,
        # for what is posted the periods tell it.
        "v_earned_work": f"""
WITH lines AS (
    SELECT line.root_id, line.entry_id, line.contract_line_id, line.consultant_id, line.legal_entity_id,
           line.work_date, line.bucket, line.amount, line.deleted, line.earned,
           bool_or(line.earned IS NOT NULL) OVER entry AS is_told,
           max(line.accounting_date) FILTER (
               WHERE NOT line.deleted AND line.bucket <> 'billed' AND NOT line.seconds < 0
           ) OVER entry AS dated
    FROM billing_current AS line
    WINDOW entry AS (PARTITION BY line.root_id, line.entry_id)
),
parts AS (
    SELECT root_id, split_part(told, ' ', 6) AS contract_line_id, consultant_id, work_date,
           (split_part(told, ' ', 1) || '-01')::date AS month, split_part(told, ' ', 4)::numeric AS amount
    FROM lines, unnest(earned) AS told
    WHERE is_told AND split_part(told, ' ', 5) IN {_EARNED}
    UNION ALL
    SELECT root_id, contract_line_id, consultant_id, work_date,
           date_trunc('month', coalesce(dated, {_APPROVED_IN}, work_date)::timestamp)::date, amount
    FROM lines
    WHERE NOT is_told AND NOT deleted AND bucket IN {_EARNED} AND amount IS NOT NULL AND work_date IS NOT NULL
)
SELECT parts.root_id, parts.contract_line_id, person.practice, parts.month, parts.amount
FROM parts
{person_on("parts.consultant_id", "parts.work_date")}
WHERE parts.consultant_id IS NOT NULL AND parts.contract_line_id IS NOT NULL""",
        # Won deals. The client is that of the contracts it became, else that of its account, if it is one client.
        "v_booking": """
SELECT deal.id AS opportunity_id,
       CASE WHEN signed.clients > 0 THEN signed.client_id ELSE known.client_id END AS client_id,
       sold.practice, date_trunc('month', deal.closed_on::timestamp)::date AS month, deal.currency, deal.amount
FROM dim_opportunity AS deal
LEFT JOIN practice_of_service_line AS sold ON sold.service_line = deal.service_line
LEFT JOIN LATERAL (
    SELECT count(DISTINCT contract.client_id) AS clients,
           CASE WHEN count(DISTINCT contract.client_id) = 1 THEN min(contract.client_id) END AS client_id
    FROM dim_engagement AS contract
    WHERE contract.opportunity_id = deal.id AND contract.is_current AND NOT contract.deleted
) AS signed ON true
LEFT JOIN LATERAL (
    SELECT CASE WHEN count(*) = 1 THEN min(client.id) END AS client_id
    FROM dim_client AS client
    WHERE client.account_id = deal.account_id AND client.is_current AND NOT client.deleted
) AS known ON true
WHERE deal.is_current AND NOT deal.deleted AND deal.stage = 'won'""",
        # Recognised revenue and billed money by practice: first what is a person's work, then what is spread.
        # An amount that can't be told is null; so is that of earned work whose line has no revenue loaded yet.
        "v_money_by_practice": f"""
WITH hours AS (
    SELECT root_id, contract_line_id, work_month AS month, practice, sum(seconds) AS seconds
    FROM v_work
    WHERE consultant_id IS NOT NULL AND contract_line_id IS NOT NULL AND work_month IS NOT NULL
    GROUP BY 1, 2, 3, 4
    HAVING sum(seconds) > 0
),
terms AS (
    SELECT root_id, contract_line_id, max(client_id) AS client_id, max(currency) AS currency,
           bool_or(revenue_method = 'percent_complete') AS by_progress
    FROM revenue_current
    WHERE NOT deleted
    GROUP BY 1, 2
),
own AS (
    SELECT work.root_id, work.contract_line_id, work.month, work.practice, sum(work.amount) AS amount
    FROM v_earned_work AS work
    JOIN terms ON terms.root_id = work.root_id AND terms.contract_line_id = work.contract_line_id
    WHERE terms.by_progress IS NOT TRUE
    GROUP BY 1, 2, 3, 4
),
rest AS (
    SELECT root_id, contract_line_id, month, CASE WHEN bool_and(known) THEN sum(amount) END AS amount
    FROM (
        SELECT root_id, contract_line_id, period_start AS month, recognised + breakage AS amount,
               recognised + breakage IS NOT NULL AS known
        FROM revenue_current WHERE NOT deleted
        UNION ALL
        SELECT root_id, contract_line_id, month, -amount, true FROM own
    ) AS parts
    GROUP BY 1, 2, 3
),
pots AS (
    SELECT 'recognised' AS measure, rest.root_id, rest.contract_line_id, terms.client_id, rest.month,
           terms.currency, rest.amount
    FROM rest
    JOIN terms ON terms.root_id = rest.root_id AND terms.contract_line_id = rest.contract_line_id
    UNION ALL
    SELECT 'billed', root_id, contract_line_id, client_id, accounting_month, currency, sum(amount)
    FROM v_billed
    WHERE consultant_id IS NULL
    GROUP BY 1, 2, 3, 4, 5, 6
    HAVING sum(amount) <> 0
),
weights AS (
    SELECT pot.measure, pot.root_id, pot.contract_line_id, pot.client_id, pot.month, pot.currency, pot.amount,
           hours.practice, sum(hours.seconds) AS seconds
    FROM pots AS pot
    JOIN hours ON hours.root_id = pot.root_id AND hours.contract_line_id = pot.contract_line_id
    WHERE hours.month = pot.month
       OR (hours.month < pot.month AND NOT EXISTS (
               SELECT 1 FROM hours AS same
               WHERE same.root_id = pot.root_id AND same.contract_line_id = pot.contract_line_id
                 AND same.month = pot.month))
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
),
shares AS (
    SELECT measure, root_id, contract_line_id, client_id, practice, month, currency, amount, seconds,
           sum(seconds) OVER (pot ORDER BY practice COLLATE "C" NULLS LAST) AS upto, sum(seconds) OVER pot AS whole
    FROM weights
    WINDOW pot AS (PARTITION BY measure, root_id, contract_line_id, client_id, month, currency)
)
SELECT measure, root_id, contract_line_id, client_id, practice, month, currency,
       CASE WHEN upto = whole THEN amount ELSE {_DUE} END - {_DUE_BEFORE} AS amount
FROM shares
UNION ALL
SELECT measure, root_id, contract_line_id, client_id, NULL, month, currency, amount
FROM pots AS pot
WHERE NOT EXISTS (
    SELECT 1 FROM hours
    WHERE hours.root_id = pot.root_id AND hours.contract_line_id = pot.contract_line_id
      AND hours.month <= pot.month)
UNION ALL
SELECT 'recognised', own.root_id, own.contract_line_id, terms.client_id, own.practice, own.month, terms.currency,
       own.amount
FROM own
JOIN terms ON terms.root_id = own.root_id AND terms.contract_line_id = own.contract_line_id
UNION ALL
SELECT 'recognised', work.root_id, work.contract_line_id, work.client_id, work.practice,
       coalesce(work.work_month, work.accounting_month), work.currency, NULL
FROM v_work AS work
WHERE work.bucket IN {_EARNED} AND work.amount <> 0
  AND work.contract_line_id IS NOT NULL
  AND NOT EXISTS (
      SELECT 1 FROM terms
      WHERE terms.root_id = work.root_id AND terms.contract_line_id = work.contract_line_id)
GROUP BY 1, 2, 3, 4, 5, 6, 7
UNION ALL
SELECT 'billed', root_id, contract_line_id, client_id, practice, accounting_month, currency, amount
FROM v_billed
WHERE consultant_id IS NOT NULL""",
        # One row for each client, practice, month and currency. Effort is of the work date, billing of the ledger's
        # accounting date, revenue of its accounting month, a deal of its closing day. `recognised` is null while a part
        # can't be told (`unknown_revenue` parts).
        "v_executive_month": f"""
SELECT figures.client_id, client.client_name, figures.practice, figures.month, figures.currency,
       figures.booked, figures.delivered_seconds, round(figures.delivered_seconds / 3600.0, 4) AS delivered_hours,
       figures.billed_seconds, round(figures.billed_seconds / 3600.0, 4) AS billed_hours, figures.billed,
       CASE WHEN figures.unknown_revenue = 0 THEN figures.recognised END AS recognised, figures.unknown_revenue,
       '{DEFINITION}' AS definition
FROM (
    SELECT client_id, practice, month, currency, sum(booked) AS booked,
           sum(delivered)::bigint AS delivered_seconds, sum(billed_seconds)::bigint AS billed_seconds,
           sum(billed) AS billed, coalesce(sum(recognised), 0) AS recognised,
           count(*) FILTER (WHERE recognised IS NULL) AS unknown_revenue
    FROM (
        SELECT client_id, practice, month, currency, amount AS booked, 0 AS delivered, 0 AS billed_seconds,
               0 AS billed, 0 AS recognised
        FROM v_booking
        UNION ALL
        SELECT client_id, practice, work_month, currency, 0, seconds, 0, 0, 0 FROM v_work
        UNION ALL
        SELECT client_id, practice, accounting_month, currency, 0, 0, seconds, 0, 0 FROM v_billed
        UNION ALL
        SELECT client_id, practice, month, currency, 0, 0, 0,
               CASE WHEN measure = 'billed' THEN amount ELSE 0 END,
               CASE WHEN measure = 'recognised' THEN amount ELSE 0 END
        FROM v_money_by_practice
    ) AS parts
    GROUP BY 1, 2, 3, 4
) AS figures
LEFT JOIN v_client AS client ON client.client_id = figures.client_id""",
        # What each entry cost: at the one cost rate of its work date, in the contract's currency at the spot rate;
        # internal work in the rate's. What it can't be told for says why, and costs null. Confidential.
        "v_cost_of_work": f"""
SELECT work.entry_id, work.client_id, work.consultant_id, work.practice, work.work_date,
       date_trunc('month', work.work_date::timestamp)::date AS month,
       coalesce(work.currency, rate.own_currency) AS currency, work.seconds::bigint AS seconds,
       CASE WHEN rate.fx IS NOT NULL THEN {_COST} END AS cost,
       CASE WHEN rate.own_currency IS NULL THEN 'MISSING_COST_RATE' WHEN rate.fx IS NULL THEN 'MISSING_FX'
       END AS exception_class
FROM (
    SELECT entry_id, client_id, consultant_id, practice, work_date, currency, sum(seconds) AS seconds
    FROM v_work
    WHERE consultant_id IS NOT NULL AND work_date IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6
    HAVING sum(seconds) <> 0
) AS work
LEFT JOIN LATERAL (
    SELECT found.own_currency, found.cost, coalesce(work.currency, found.own_currency) AS currency,
           {last_spot("found.own_currency", "coalesce(work.currency, found.own_currency)", "work.work_date")} AS fx
    FROM (
        SELECT min(one.currency) AS own_currency, min(one.cost) AS cost
        FROM dim_cost_rate AS one
        WHERE one.consultant_id = work.consultant_id AND one.is_current AND NOT one.deleted
          AND one.effective_from <= work.work_date
          AND (one.effective_to IS NULL OR work.work_date < one.effective_to)
        HAVING count(*) = 1
    ) AS found
) AS rate ON true""",
        # What each approved expense cost: its net amount, in the currency of its contract at the spot rate of its day, or
        # its own where there is no contract.
        "v_cost_of_expenses": f"""
SELECT paid.entry_id, paid.client_id, paid.consultant_id, paid.practice, paid.work_date,
       date_trunc('month', paid.work_date::timestamp)::date AS month, paid.currency,
       CASE WHEN paid.fx IS NOT NULL THEN {_EXPENSE_COST} END AS cost,
       CASE WHEN paid.fx IS NULL THEN 'MISSING_FX' END AS exception_class
FROM (
    SELECT found.*, {last_spot("found.own_currency", "found.currency", "found.work_date")} AS fx
    FROM (
        SELECT expense.id AS entry_id, contract.client_id, expense.consultant_id, person.practice,
               expense.incurred_on AS work_date, expense.currency AS own_currency,
               coalesce(contract.currency, expense.currency) AS currency,
               expense.amount - CASE WHEN expense.tax_basis = 'gross' THEN coalesce(expense.tax_amount, 0) ELSE 0 END
                   AS net
        FROM dim_expense AS expense
        LEFT JOIN dim_project AS project
               ON project.id = expense.project_id AND project.is_current AND NOT project.deleted
              AND project.engagement_id IS NOT NULL
        LEFT JOIN dim_contract_line AS line
               ON line.id = project.contract_line_id AND line.is_current AND NOT line.deleted
        LEFT JOIN dim_engagement AS contract
               ON contract.id = line.engagement_id AND contract.is_current AND NOT contract.deleted
        {_OF_EXPENSE}
        WHERE expense.is_current AND NOT expense.deleted AND expense.status = 'approved'
    ) AS found
) AS paid""",
        # Whose hours have no cost, from when to when, and why: none or several cost rates on the day, or no
        # exchange rate. It shows no cost.
        "v_uncosted_work": """
SELECT consultant_id, exception_class, min(work_date) AS first_day, max(work_date) AS last_day,
       count(*) AS entries, sum(seconds)::bigint AS seconds
FROM v_cost_of_work
WHERE exception_class IS NOT NULL
GROUP BY 1, 2""",
        # Recognised revenue less what the work and the expenses of the month cost. Hours whose cost is not known are
        # `uncosted`: then cost and margin are null, as for an expense without an exchange rate, and nothing else is.
        # Confidential.
        "v_margin_month": f"""
SELECT figures.client_id, client.client_name, figures.practice, figures.month, figures.currency,
       CASE WHEN unknown_revenue = 0 THEN recognised END AS recognised,
       CASE WHEN uncosted_entries = 0 THEN cost END AS cost,
       CASE WHEN unknown_revenue = 0 AND uncosted_entries = 0 THEN recognised - cost END AS margin,
       costed_seconds, uncosted_seconds, round(uncosted_seconds / 3600.0, 4) AS uncosted_hours,
       '{DEFINITION}' AS definition
FROM (
    SELECT client_id, practice, month, currency, coalesce(sum(recognised), 0) AS recognised,
           count(*) FILTER (WHERE recognised IS NULL) AS unknown_revenue, coalesce(sum(cost), 0) AS cost,
           count(*) FILTER (WHERE cost IS NULL) AS uncosted_entries,
           coalesce(sum(seconds) FILTER (WHERE cost IS NOT NULL), 0)::bigint AS costed_seconds,
           coalesce(sum(seconds) FILTER (WHERE cost IS NULL), 0)::bigint AS uncosted_seconds
    FROM (
        SELECT client_id, practice, month, currency, amount AS recognised, 0 AS cost, 0 AS seconds
        FROM v_money_by_practice WHERE measure = 'recognised'
        UNION ALL
        SELECT client_id, practice, month, currency, 0, cost, seconds FROM v_cost_of_work
        UNION ALL
        SELECT client_id, practice, month, currency, 0, cost, 0 FROM v_cost_of_expenses
    ) AS parts
    GROUP BY 1, 2, 3, 4
) AS figures
LEFT JOIN v_client AS client ON client.client_id = figures.client_id""",
    }
)

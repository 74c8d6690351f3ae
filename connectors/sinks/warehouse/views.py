"""Views for finance and resourcing, on top of the tables. `hours` are seconds for display, to four places."""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.backlog import BACKLOG
from connectors.sinks.warehouse.close import CLOSE
from connectors.sinks.warehouse.controlling import CONTROLLING
from connectors.sinks.warehouse.executive import EXECUTIVE
from connectors.sinks.warehouse.ledger import LEDGER
from connectors.sinks.warehouse.payers import PAYERS
from connectors.sinks.warehouse.payroll import PAYROLL
from connectors.sinks.warehouse.positions import POSITIONS
from connectors.sinks.warehouse.realization import REALIZATION

# Names come from current dimension states: a renamed client is reported under its new name.
VIEWS = MappingProxyType(
    {
        "v_client": """
SELECT client.id AS client_id, account.name AS client_name, client.parent_id, client.account_id,
       client.tax_region, client.currency, client.status
FROM dim_client AS client
LEFT JOIN dim_account AS account
       ON account.id = client.account_id AND account.is_current AND NOT account.deleted
WHERE client.is_current AND NOT client.deleted""",
        # One row for each accounting month, entity, client, contract line, bucket and currency.
        # `amount` sums what is priced; `unpriced_segments` says how many are not, so that no unknown
        # amount passes for zero.
        "v_billing_by_bucket": """
SELECT date_trunc('month', billing.accounting_date::timestamp)::date AS accounting_month,
       billing.legal_entity_id, entity.name AS legal_entity_name,
       billing.client_id, client.client_name,
       billing.contract_line_id, line.name AS contract_line_name, line.billing_method,
       billing.bucket, billing.currency,
       sum(billing.seconds)::bigint AS seconds,
       round(sum(billing.seconds) / 3600.0, 4) AS hours,
       sum(billing.amount) AS amount,
       count(*) AS segments,
       count(*) FILTER (WHERE billing.amount IS NULL) AS unpriced_segments
FROM billing_current AS billing
LEFT JOIN dim_legal_entity AS entity ON entity.id = billing.legal_entity_id AND entity.is_current
LEFT JOIN v_client AS client ON client.client_id = billing.client_id
LEFT JOIN dim_contract_line AS line ON line.id = billing.contract_line_id AND line.is_current
WHERE NOT billing.deleted
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10""",
        # The books: one row for each accounting month in which the ledger has lines, entity, contract line, bucket and
        # currency. What a closed month says here does not change any more; the months add up to what is current.
        "v_books_by_month": """
SELECT date_trunc('month', line.accounting_date::timestamp)::date AS accounting_month,
       line.legal_entity_id, line.contract_line_id, line.bucket, line.currency,
       sum(line.seconds)::bigint AS seconds,
       round(sum(line.seconds) / 3600.0, 4) AS hours,
       sum(line.amount) AS amount,
       line.functional_currency,
       CASE WHEN count(*) FILTER (WHERE line.amount IS NOT NULL AND line.functional_amount IS NULL) = 0
            THEN sum(line.functional_amount) END AS functional_amount
FROM fact_billing_event AS line
GROUP BY 1, 2, 3, 4, 5, line.functional_currency
HAVING sum(line.seconds) <> 0 OR sum(line.amount) <> 0 OR sum(line.functional_amount) <> 0""",
        # Where the ledger and the current state disagree, all months together; empty once both topics are loaded to
        # the end.
        "v_billing_tie_out": """
SELECT entry_id, root_id, segment, bucket, contract_line_id, currency,
       sum(ledger_seconds)::bigint AS ledger_seconds, sum(current_seconds)::bigint AS current_seconds,
       sum(ledger_amount) AS ledger_amount, sum(current_amount) AS current_amount
FROM (
    SELECT entry_id, root_id, segment, bucket, contract_line_id, currency,
           seconds AS ledger_seconds, 0 AS current_seconds,
           coalesce(amount, 0) AS ledger_amount, 0 AS current_amount
    FROM fact_billing_event
    UNION ALL
    SELECT entry_id, root_id, segment, bucket, contract_line_id, currency,
           0, seconds, 0, coalesce(amount, 0)
    FROM billing_current WHERE NOT deleted
) AS lines
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(ledger_seconds) <> sum(current_seconds) OR sum(ledger_amount) <> sum(current_amount)""",
        # The roll-forward: one row for each accounting month, entity, method and currency. `net_position` is what
        # is recognised less what is billed to the month's end: contract assets less deferred revenue. A sum of
        # which a part can't be told (`unknown_months` of lines, up to that month) is null, not the rest of it.
        "v_revenue_by_month": """
SELECT accounting_month, legal_entity_id, revenue_method, currency,
       CASE WHEN unknown = 0 THEN recognised END AS recognised,
       CASE WHEN unknown = 0 THEN breakage END AS breakage,
       billed,
       CASE WHEN unknown = 0 THEN net_change END AS net_change,
       CASE WHEN sum(unknown) OVER months = 0 THEN sum(net_change) OVER months END AS net_position,
       CASE WHEN unknown = 0 THEN scheduled END AS scheduled,
       (sum(unknown) OVER months)::bigint AS unknown_months,
       parked_items, parked_seconds
FROM (
    SELECT period_start AS accounting_month, legal_entity_id, revenue_method, currency,
           sum(recognised) AS recognised, sum(breakage) AS breakage, sum(billed) AS billed,
           sum(net_change) AS net_change, sum(scheduled) AS scheduled,
           count(*) FILTER (WHERE recognised IS NULL) AS unknown,
           sum(parked_items)::bigint AS parked_items, sum(parked_seconds)::bigint AS parked_seconds
    FROM revenue_current
    WHERE NOT deleted
    GROUP BY 1, 2, 3, 4
) AS sums
WINDOW months AS (PARTITION BY legal_entity_id, revenue_method, currency ORDER BY accounting_month)""",
        # One row for each week, month or quarter and practice, people on the bench included. The ratio is a ratio
        # of sums, over the people whose capacity is known; null where that is zero.
        "v_utilization_by_practice": """
SELECT window_kind, starts_on, ends_on, value AS practice,
       consultants, idle_consultants, consultants_without_capacity,
       worked_seconds, billable_seconds, unclassified_seconds, capacity_seconds,
       worked_hours, billable_hours, capacity_hours, utilization
FROM utilization_group
WHERE NOT deleted AND dimension = 'practice'""",
    }
    | POSITIONS
    | EXECUTIVE
    | REALIZATION
    | PAYROLL
    | PAYERS
    | CLOSE
    | LEDGER
    | CONTROLLING
    | BACKLOG
)

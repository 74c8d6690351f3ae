"""The close cockpit: what is not done, and what ties, of each accounting period of each legal entity.

`v_close_cockpit` has one row for a period, `v_close_money` one for each of its currencies: amounts of different
currencies are never added. Balances (unbilled, over cap, credits due, drafts, held) are those of the ledger at the
period's end, so that a closed month keeps them; what is written off is that of the period. Unbilled work is as old on
the period's last day as its work date says; an entry that is due back to the client is no unbilled work, but a credit.
Unapproved entries, what is parked and which drafts are stale are told as of now.

The roll-forward is that of the contract lines' months in the period: contract asset and deferred revenue before it,
what was recognised (breakage included) and billed in it, and after it. The gap is what the balances moved otherwise,
line by line and regardless of the sign: 0. Of lines whose terms are missing nothing of this is known; while there are
any, the sums are null, and not the rest of it.

The tie-out holds the ledger's billed lines against the posted lines of the ERP, each charge with the credits that name
it. In total each has to be the same; what differs counts in the period of the charge. ``dated_otherwise`` is what is in
the books of another period than that of its day of posting: a credit is booked where its charge is until that
period is closed. So always

    billed = erp_posted + dated_otherwise + tie_out_difference

Example: a charge of 1,200 posted on 20 March, and a credit of 200 of it on 2 April, March being open: in March billed is
1,000, erp_posted 1,200, dated_otherwise -200; in April 0, -200 and 200. The difference is 0 in both.
"""

from __future__ import annotations

from types import MappingProxyType

DEFINITION = "close-1"

# Which bucket's balance, or movement, is which column.
_BALANCES = {"on_draft": "on_draft", "over_cap": "over_cap", "on_hold": "on_hold"}
_AGES = {
    "unbilled_0_30": "age <= 30",
    "unbilled_31_60": "age BETWEEN 31 AND 60",
    "unbilled_61_90": "age BETWEEN 61 AND 90",
    "unbilled_over_90": "age > 90",
}
# Null while the terms of a line are missing.
_KNOWN = ("asset_opening", "deferred_opening", "recognised", "asset_closing", "deferred_closing")
_POSTED = (
    "line.is_current AND NOT line.deleted AND line.status = 'posted' AND line.kind IN ('charge', 'credit')"
)


def _sum(measure: str) -> str:
    return f"coalesce(sum(amount) FILTER (WHERE measure = '{measure}'), 0)"


def _known(measure: str) -> str:
    return (
        f"CASE WHEN coalesce(sum(items) FILTER (WHERE measure = 'unknown'), 0) = 0 THEN {_sum(measure)} END"
    )


def _count(measure: str) -> str:
    return f"coalesce(sum(items) FILTER (WHERE measure = '{measure}'), 0)::bigint"


_MONEY = ",\n       ".join(
    [
        *(f"{_sum(name)} AS {name}" for name in _AGES),
        f"{' + '.join(_sum(name) for name in _AGES)} AS unbilled",
        *(
            f"{_sum(name)} AS {name}"
            for name in ("credit_due", *_BALANCES.values(), "stale_draft", "written_off")
        ),
        *(f"{_known(name)} AS {name}" for name in _KNOWN),
        f"{_sum('billed_on_contracts')} AS billed_on_contracts",
        f"{_known('roll_forward_gap')} AS roll_forward_gap",
        f"{_count('unknown')} AS unknown_lines",
        f"{_sum('billed')} AS billed",
        f"{_sum('erp_posted')} AS erp_posted",
        f"{_sum('billed')} - {_sum('erp_posted')} - {_sum('tie_out_difference')} AS dated_otherwise",
        f"{_sum('tie_out_difference')} AS tie_out_difference",
        f"{_count('tie_out_difference')} AS untied_lines",
    ]
)
_AGED = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in _AGES.items())
_BALANCE = " ".join(f"WHEN '{bucket}' THEN '{name}'" for bucket, name in _BALANCES.items())

CLOSE = MappingProxyType(
    {
        "v_close_period": """
SELECT period.legal_entity_id, period.id AS period_id, period.starts_on, period.ends_on,
       period.soft_closed_at, period.closed_at
FROM dim_period AS period
WHERE period.is_current AND NOT period.deleted AND period.legal_entity_id IS NOT NULL""",
        # Each segment as the ledger has it at the end of a period; `items` is 1 while it is live.
        "v_close_segment": """
SELECT period.legal_entity_id, period.period_id, period.starts_on, period.ends_on,
       line.root_id, line.entry_id, line.segment, line.bucket, line.currency, line.work_date,
       period.ends_on - 1 - coalesce(line.work_date, min(line.accounting_date)) AS age,
       sum(line.seconds)::bigint AS seconds, sum(line.amount) AS amount,
       sum(CASE WHEN line.kind = 'REVERSAL' THEN -1 ELSE 1 END)::bigint AS items
FROM v_close_period AS period
JOIN fact_billing_event AS line
  ON line.legal_entity_id = period.legal_entity_id AND line.accounting_date < period.ends_on
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
HAVING sum(line.seconds) <> 0 OR sum(line.amount) <> 0
    OR sum(CASE WHEN line.kind = 'REVERSAL' THEN -1 ELSE 1 END) <> 0""",
        # Time that is entered and not approved: of which contract's entity, if that can be told. Internal work is not
        # among it.
        "v_unapproved_time": """
SELECT entry.id AS entry_id, entry.status, entry.consultant_id, entry.project_id, entry.work_date, entry.seconds,
       engagement.legal_entity_id
FROM dim_time_entry AS entry
LEFT JOIN dim_project AS project
       ON project.id = entry.project_id AND project.is_current AND NOT project.deleted
LEFT JOIN dim_task AS task
       ON task.id = entry.task_id AND task.project_id = entry.project_id AND task.is_current AND NOT task.deleted
LEFT JOIN dim_contract_line AS line
       ON line.id = coalesce(task.contract_line_id, project.contract_line_id) AND line.is_current AND NOT line.deleted
LEFT JOIN dim_engagement AS engagement
       ON engagement.id = line.engagement_id AND engagement.is_current AND NOT engagement.deleted
WHERE entry.is_current AND NOT entry.deleted AND entry.status IN ('draft', 'submitted', 'rejected')
  AND (project.id IS NULL OR project.engagement_id IS NOT NULL)""",
        # What billing and the ERP say of each charge that was posted, day by day.
        "v_close_posting": f"""
SELECT engagement.legal_entity_id, engagement.currency, coalesce(charge.id, line.id) AS invoice_line_id,
       (line.posted_at AT TIME ZONE 'UTC')::date AS day,
       (coalesce(charge.posted_at, line.posted_at) AT TIME ZONE 'UTC')::date AS charged_on,
       CASE line.kind WHEN 'credit' THEN -line.seconds ELSE line.seconds END AS erp_seconds,
       CASE line.kind WHEN 'credit' THEN -line.amount ELSE line.amount END AS erp_posted,
       0 AS billed_seconds, 0 AS billed
FROM dim_invoice_line AS line
LEFT JOIN dim_engagement AS engagement
       ON engagement.id = line.engagement_id AND engagement.is_current AND NOT engagement.deleted
LEFT JOIN dim_invoice_line AS charge
       ON line.kind = 'credit' AND charge.id = line.credits_line_id AND charge.engagement_id = line.engagement_id
      AND charge.kind = 'charge' AND charge.is_current AND NOT charge.deleted AND charge.status = 'posted'
WHERE {_POSTED}
UNION ALL
SELECT legal_entity_id, currency, invoice_line_id, accounting_date, NULL, 0, 0, seconds, amount
FROM fact_billing_event
WHERE bucket = 'billed'""",
        # The charges of which billing and the ERP say different things; empty once all topics are loaded to the end.
        "v_untied_posting": """
SELECT legal_entity_id, currency, invoice_line_id, coalesce(min(charged_on), min(day)) AS charged_on,
       sum(billed_seconds - erp_seconds)::bigint AS seconds, sum(billed - erp_posted) AS amount
FROM v_close_posting
GROUP BY 1, 2, 3
HAVING sum(billed_seconds) <> sum(erp_seconds) OR sum(billed) <> sum(erp_posted)""",
        # The roll-forward of each contract line; `is_unknown` where its terms are missing.
        "v_close_roll_forward": """
SELECT *, abs(asset_closing - deferred_closing - (asset_opening - deferred_opening)
              - recognised + billed_on_contracts) AS roll_forward_gap
FROM (
    SELECT period.legal_entity_id, period.period_id, period.starts_on, period.ends_on,
           month.root_id, month.contract_line_id, max(month.currency) AS currency,
           bool_or(month.contract_asset IS NULL) AS is_unknown,
           coalesce((array_agg(month.contract_asset ORDER BY month.period_start DESC)
               FILTER (WHERE month.period_start < period.starts_on))[1], 0) AS asset_opening,
           coalesce((array_agg(month.deferred_revenue ORDER BY month.period_start DESC)
               FILTER (WHERE month.period_start < period.starts_on))[1], 0) AS deferred_opening,
           coalesce(sum(month.recognised + month.breakage)
               FILTER (WHERE month.period_start >= period.starts_on), 0) AS recognised,
           coalesce(sum(month.billed)
               FILTER (WHERE month.period_start >= period.starts_on), 0) AS billed_on_contracts,
           (array_agg(month.contract_asset ORDER BY month.period_start DESC))[1] AS asset_closing,
           (array_agg(month.deferred_revenue ORDER BY month.period_start DESC))[1] AS deferred_closing
    FROM v_close_period AS period
    JOIN revenue_current AS month
      ON month.legal_entity_id = period.legal_entity_id AND month.period_start < period.ends_on
    WHERE NOT month.deleted
    GROUP BY 1, 2, 3, 4, 5, 6
) AS lines""",
        # One row for each period and currency in which there is anything.
        "v_close_money": f"""
WITH figures AS (
    SELECT legal_entity_id, period_id, currency, amount, items,
           CASE bucket WHEN 'unbilled' THEN CASE
               WHEN amount < 0 OR (amount = 0 AND seconds < 0) THEN 'credit_due' {_AGED} END
           {_BALANCE} END AS measure
    FROM v_close_segment
    UNION ALL
    SELECT period.legal_entity_id, period.period_id, line.currency, line.amount, 1, 'written_off'
    FROM v_close_period AS period
    JOIN fact_billing_event AS line
      ON line.legal_entity_id = period.legal_entity_id AND line.bucket = 'written_off'
     AND line.accounting_date >= period.starts_on AND line.accounting_date < period.ends_on
    UNION ALL
    SELECT period.legal_entity_id, period.period_id, line.currency, line.amount, 1, 'stale_draft'
    FROM v_close_period AS period
    JOIN billing_current AS line
      ON line.legal_entity_id = period.legal_entity_id AND line.accounting_date < period.ends_on
     AND line.exception_class = 'STALE_DRAFT' AND NOT line.deleted
    UNION ALL
    SELECT line.legal_entity_id, line.period_id, line.currency, told.amount, told.items, told.measure
    FROM v_close_roll_forward AS line,
         LATERAL (VALUES ('asset_opening', line.asset_opening, 1), ('deferred_opening', line.deferred_opening, 1),
                         ('recognised', line.recognised, 1), ('billed_on_contracts', line.billed_on_contracts, 1),
                         ('asset_closing', line.asset_closing, 1), ('deferred_closing', line.deferred_closing, 1),
                         ('roll_forward_gap', line.roll_forward_gap, 1), ('unknown', 0, line.is_unknown::integer)
         ) AS told(measure, amount, items)
    UNION ALL
    SELECT period.legal_entity_id, period.period_id, line.currency, told.amount, 1, told.measure
    FROM v_close_period AS period
    JOIN v_close_posting AS line ON line.legal_entity_id = period.legal_entity_id
     AND line.day >= period.starts_on AND line.day < period.ends_on,
         LATERAL (VALUES ('erp_posted', line.erp_posted), ('billed', line.billed)) AS told(measure, amount)
    UNION ALL
    SELECT period.legal_entity_id, period.period_id, line.currency, line.amount, 1, 'tie_out_difference'
    FROM v_close_period AS period
    JOIN v_untied_posting AS line ON line.legal_entity_id = period.legal_entity_id
     AND line.charged_on >= period.starts_on AND line.charged_on < period.ends_on
)
SELECT legal_entity_id, period_id, currency,
       {_MONEY},
       '{DEFINITION}' AS definition
FROM figures
WHERE measure IS NOT NULL
GROUP BY 1, 2, 3""",
        # One row for each period. `close_state` is what `tallystream periods` says of the close, null where it has not
        # heard of it. What is of no entity that could be told, being unapproved, parked or posted in the
        # days of the period, is `unassigned_items` of all entities alike.
        "v_close_cockpit": f"""
SELECT period.legal_entity_id, entity.name AS legal_entity_name, period.period_id, period.starts_on, period.ends_on,
       period.soft_closed_at, period.closed_at, told.state AS close_state, told.waits_for, told.final_at,
       coalesce(cardinality(told.late), 0) AS late_facts,
       unapproved.items AS unapproved_entries, unapproved.seconds AS unapproved_seconds,
       round(unapproved.seconds / 3600.0, 4) AS unapproved_hours,
       parked.items AS parked_items, parked.seconds AS parked_seconds,
       round(parked.seconds / 3600.0, 4) AS parked_hours,
       unassigned.items AS unassigned_items,
       segments.over_cap_seconds, round(segments.over_cap_seconds / 3600.0, 4) AS over_cap_hours,
       segments.on_hold_seconds, round(segments.on_hold_seconds / 3600.0, 4) AS on_hold_hours,
       segments.drafts, drafts.stale AS stale_drafts,
       money.unknown_lines, money.roll_forward_ties, money.untied_lines,
       '{DEFINITION}' AS definition
FROM v_close_period AS period
LEFT JOIN dim_legal_entity AS entity
       ON entity.id = period.legal_entity_id AND entity.is_current AND NOT entity.deleted
LEFT JOIN period_state AS told
       ON told.legal_entity_id = period.legal_entity_id AND told.period_id = period.period_id
      AND coalesce(told.closed_at, 'infinity') = coalesce(period.closed_at, 'infinity')
CROSS JOIN LATERAL (
    SELECT count(*) AS items, coalesce(sum(entry.seconds), 0)::bigint AS seconds
    FROM v_unapproved_time AS entry
    WHERE entry.legal_entity_id = period.legal_entity_id
      AND entry.work_date >= period.starts_on AND entry.work_date < period.ends_on
) AS unapproved
CROSS JOIN LATERAL (
    SELECT count(*) AS items, coalesce(sum(line.seconds), 0)::bigint AS seconds
    FROM billing_current AS line
    WHERE line.bucket = 'parked' AND NOT line.deleted AND line.legal_entity_id = period.legal_entity_id
      AND line.accounting_date < period.ends_on
) AS parked
CROSS JOIN LATERAL (
    SELECT (SELECT count(*) FROM v_unapproved_time AS entry
            WHERE entry.legal_entity_id IS NULL
              AND entry.work_date >= period.starts_on AND entry.work_date < period.ends_on)
         + (SELECT count(*) FROM billing_current AS line
            WHERE line.bucket = 'parked' AND NOT line.deleted AND line.legal_entity_id IS NULL
              AND line.accounting_date >= period.starts_on AND line.accounting_date < period.ends_on)
         + (SELECT count(*) FROM v_close_posting AS line
            WHERE line.legal_entity_id IS NULL AND line.day >= period.starts_on AND line.day < period.ends_on)
           AS items
) AS unassigned
CROSS JOIN LATERAL (
    SELECT coalesce(sum(seconds) FILTER (WHERE bucket = 'over_cap'), 0)::bigint AS over_cap_seconds,
           coalesce(sum(seconds) FILTER (WHERE bucket = 'on_hold'), 0)::bigint AS on_hold_seconds,
           coalesce(sum(items) FILTER (WHERE bucket = 'on_draft'), 0)::bigint AS drafts
    FROM v_close_segment AS line
    WHERE line.legal_entity_id = period.legal_entity_id AND line.period_id = period.period_id
) AS segments
CROSS JOIN LATERAL (
    SELECT count(*) AS stale
    FROM billing_current AS line
    WHERE line.exception_class = 'STALE_DRAFT' AND NOT line.deleted
      AND line.legal_entity_id = period.legal_entity_id AND line.accounting_date < period.ends_on
) AS drafts
CROSS JOIN LATERAL (
    SELECT coalesce(sum(unknown_lines), 0)::bigint AS unknown_lines,
           coalesce(sum(untied_lines), 0)::bigint AS untied_lines,
           coalesce(bool_and(roll_forward_gap = 0), true) AS roll_forward_ties
    FROM v_close_money AS line
    WHERE line.legal_entity_id = period.legal_entity_id AND line.period_id = period.period_id
) AS money""",
    }
)

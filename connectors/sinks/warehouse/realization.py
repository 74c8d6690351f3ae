"""Views of what work brings: realization and effective rate by client, practice and month of the work; leakage.

Realization is what was billed of work over what the work is worth at list rate: the one price of the default card
that fits the person best on the work date, at spot, whatever the contract says, without overtime. The ratio is a
ratio of sums over the hours that have a list rate; `unlisted_seconds` are the others. Money that is nobody's work (a
milestone, the fee of a retainer or of prepaid hours) is spread over the fixed-price and covered hours of its line, of
all months, and counts for the client whose hours they are, whoever pays. What is not billed yet counts as nothing
billed; covered hours of a line of which no fee is posted are in no ratio, but among `unlisted_seconds`.

Expenses are no work: they are in no realization, and in leakage from their first approval, as entries.

Leakage is what is chargeable and unbilled so many days after it could first be billed: an entry from its first
approval (the UTC date, of all its states and of the versions that the time tracker kept: a correction does not make it
younger), a line of a day from the first approval of its entries, a milestone from its acceptance. Of an entry only what
all its unbilled segments come to counts: what is due back to the client is no leakage. What is on a draft, held, over a
cap or parked is not unbilled; once it is, it is as old as its approval.
"""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.exact import last_spot, ratio, rounded
from connectors.sinks.warehouse.positions import person_on

DEFINITION = "realization-2"
LEAKAGE = "leakage-2"

_VALUE = rounded(
    "(CASE WHEN list.unit = 'fixed' THEN 1 ELSE work.seconds END * list.price * list.fx[1])",
    "(CASE list.unit WHEN 'fixed' THEN 1 WHEN 'day' THEN list.day_seconds ELSE 3600 END * list.fx[2])",
    "work.currency",
)
_DUE = rounded("amount * upto", "whole", "currency")
_DUE_BEFORE = rounded("amount * (upto - seconds)", "whole", "currency")

REALIZATION = MappingProxyType(
    {
        # Each entry's chargeable time at list rate; null where the card has no one price for it. A fee pays for
        # `fee_seconds`; `feeless_seconds` are covered by one that is not posted, and not in `seconds`.
        "v_value_at_list": f"""
SELECT work.root_id, work.contract_line_id, work.entry_id, work.client_id, work.consultant_id, work.practice,
       work.work_date, work.month, work.currency, work.seconds, work.fee_seconds, work.feeless_seconds,
       work.billed_seconds, work.billed,
       CASE WHEN work.seconds = 0 THEN 0 WHEN list.fx IS NOT NULL THEN {_VALUE} END AS list_value
FROM (
    SELECT work.root_id, work.contract_line_id, work.entry_id, work.client_id, work.consultant_id, work.practice,
           work.work_date, work.work_month AS month, work.currency,
           coalesce(sum(work.seconds) FILTER (
               WHERE work.bucket <> 'non_chargeable' AND (work.bucket <> 'covered' OR fee.root_id IS NOT NULL)
           ), 0)::bigint AS seconds,
           coalesce(sum(work.seconds) FILTER (WHERE work.bucket IN ('fixed_fee', 'covered')), 0)::bigint
               AS fee_seconds,
           coalesce(sum(work.seconds) FILTER (WHERE work.bucket = 'covered' AND fee.root_id IS NULL), 0)::bigint
               AS feeless_seconds,
           coalesce(sum(work.seconds) FILTER (WHERE work.bucket = 'billed'), 0)::bigint AS billed_seconds,
           coalesce(sum(work.amount) FILTER (WHERE work.bucket = 'billed'), 0) AS billed
    FROM v_work AS work
    LEFT JOIN (
        SELECT DISTINCT root_id, contract_line_id
        FROM v_work
        WHERE bucket = 'billed' AND amount <> 0 AND (consultant_id IS NULL OR work_date IS NULL) AND NOT is_expense
    ) AS fee ON fee.root_id = work.root_id AND fee.contract_line_id = work.contract_line_id
    WHERE work.consultant_id IS NOT NULL AND work.work_date IS NOT NULL AND NOT work.is_expense
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
) AS work
{person_on("work.consultant_id", "work.work_date")}
LEFT JOIN LATERAL (
    SELECT one.unit, one.price, one.day_seconds, {last_spot("one.currency", "work.currency", "work.work_date")} AS fx
    FROM (
        SELECT min(unit) AS unit, min(price) AS price, min(day_seconds) AS day_seconds, min(currency) AS currency
        FROM (
            SELECT card.unit, card.price, card.day_seconds, card.currency,
                   rank() OVER (ORDER BY num_nonnulls(card.role, card.grade, card.region) DESC) AS level
            FROM dim_rate AS card
            WHERE card.is_current AND NOT card.deleted
              AND num_nonnulls(card.task_id, card.project_id, card.contract_line_id, card.client_id,
                               card.consultant_id) = 0  -- as the index on the default card has it
              AND (card.role IS NULL OR card.role = person.role)
              AND (card.grade IS NULL OR card.grade = person.grade)
              AND (card.region IS NULL OR card.region = person.region)
              AND card.effective_from <= work.work_date
              AND (card.effective_to IS NULL OR work.work_date < card.effective_to)
        ) AS fitting
        WHERE level = 1
        HAVING count(*) = 1
    ) AS one
) AS list ON true""",
        "v_realization_month": f"""
WITH cells AS (
    SELECT root_id, contract_line_id, client_id, month, practice, list_value IS NOT NULL AS is_listed,
           sum(fee_seconds) AS seconds
    FROM v_value_at_list
    WHERE fee_seconds > 0
    GROUP BY 1, 2, 3, 4, 5, 6
),
pots AS (
    SELECT root_id, contract_line_id, client_id, accounting_month, currency, sum(amount) AS amount
    FROM v_work
    WHERE bucket = 'billed' AND amount <> 0 AND (consultant_id IS NULL OR work_date IS NULL) AND NOT is_expense
    GROUP BY 1, 2, 3, 4, 5
),
shares AS (
    SELECT pot.amount, pot.currency, cells.client_id, cells.month, cells.practice, cells.is_listed, cells.seconds,
           sum(cells.seconds) OVER (
               pot ORDER BY cells.month, cells.client_id COLLATE "C" NULLS LAST,
                            cells.practice COLLATE "C" NULLS LAST, cells.is_listed) AS upto,
           sum(cells.seconds) OVER pot AS whole
    FROM (
        SELECT root_id, contract_line_id, accounting_month, currency, sum(amount) AS amount
        FROM pots
        GROUP BY 1, 2, 3, 4
    ) AS pot
    JOIN cells ON cells.root_id = pot.root_id AND cells.contract_line_id = pot.contract_line_id
    WINDOW pot AS (PARTITION BY pot.root_id, pot.contract_line_id, pot.accounting_month, pot.currency)
),
parts AS (
    SELECT client_id, practice, month, currency, list_value IS NOT NULL AS is_listed,
           coalesce(list_value, 0) AS list_value, seconds, billed, billed_seconds
    FROM v_value_at_list
    UNION ALL
    SELECT client_id, practice, month, currency, false, 0, feeless_seconds, 0, 0
    FROM v_value_at_list
    UNION ALL
    SELECT client_id, practice, month, currency, is_listed, 0, 0,
           CASE WHEN upto = whole THEN amount ELSE {_DUE} END - {_DUE_BEFORE}, 0
    FROM shares
    UNION ALL
    SELECT cells.client_id, cells.practice, cells.month, pot.currency, false, 0, 0, 0, cells.seconds
    FROM (SELECT DISTINCT root_id, contract_line_id, currency FROM pots) AS pot
    JOIN (
        SELECT root_id, contract_line_id, client_id, month, practice, sum(seconds)::bigint AS seconds
        FROM cells
        GROUP BY 1, 2, 3, 4, 5
    ) AS cells ON cells.root_id = pot.root_id AND cells.contract_line_id = pot.contract_line_id
    UNION ALL
    SELECT client_id, NULL, accounting_month, currency, true, 0, 0, amount, 0
    FROM pots AS pot
    WHERE NOT EXISTS (
        SELECT 1 FROM cells
        WHERE cells.root_id = pot.root_id AND cells.contract_line_id = pot.contract_line_id)
),
sums AS (
    SELECT client_id, practice, month, currency, sum(list_value) AS list_value,
           coalesce(sum(billed) FILTER (WHERE is_listed), 0) AS billed_listed,
           coalesce(sum(seconds) FILTER (WHERE NOT is_listed), 0)::bigint AS unlisted_seconds,
           sum(billed) AS billed, sum(billed_seconds)::bigint AS billed_seconds
    FROM parts
    GROUP BY 1, 2, 3, 4
)
SELECT sums.client_id, client.client_name, sums.practice, sums.month, sums.currency,
       sums.list_value, sums.billed_listed, sums.unlisted_seconds,
       {ratio("sums.billed_listed", "sums.list_value", 6)} AS realization,
       sums.billed, sums.billed_seconds, round(sums.billed_seconds / 3600.0, 4) AS billed_hours,
       {ratio("(sums.billed * 3600)", "sums.billed_seconds", 4)} AS effective_rate,
       '{DEFINITION}' AS definition
FROM sums
LEFT JOIN v_client AS client ON client.client_id = sums.client_id""",
        # What can be billed and is not, by segment, and since when; all segments of the entries that come to something.
        # The function `leakage` tells what is old.
        "v_unbilled_age": f"""
WITH approvals AS (
    SELECT id, min((approved_at AT TIME ZONE 'UTC')::date) AS first_approved
    FROM (
        SELECT id, approved_at FROM dim_time_entry
        UNION ALL
        SELECT entry_id, approved_at FROM dim_time_entry_version WHERE is_current AND NOT deleted
        UNION ALL
        SELECT id, approved_at FROM dim_expense
        UNION ALL
        SELECT expense_id, approved_at FROM dim_expense_version WHERE is_current AND NOT deleted
    ) AS states
    WHERE approved_at IS NOT NULL
    GROUP BY 1
)
SELECT work.client_id, client.client_name, work.practice, work.root_id, work.entry_id, work.segment,
       work.contract_line_id, work.consultant_id, work.work_date, work.currency, work.seconds, work.amount,
       coalesce(entry.first_approved, day.first_approved, work.work_date) AS could_bill_on,
       '{LEAKAGE}' AS definition
FROM (
    SELECT *, sum(amount) OVER entry AS entry_amount, sum(seconds) OVER entry AS entry_seconds
    FROM v_work
    WHERE bucket = 'unbilled'
    WINDOW entry AS (PARTITION BY root_id, entry_id)
) AS work
LEFT JOIN v_client AS client ON client.client_id = work.client_id
LEFT JOIN approvals AS entry ON entry.id = work.entry_id
LEFT JOIN (
    SELECT work.root_id, work.contract_line_id, work.consultant_id, work.work_date,
           min(entry.first_approved) AS first_approved
    FROM v_work AS work
    JOIN approvals AS entry ON entry.id = work.entry_id
    WHERE NOT work.is_expense
    GROUP BY 1, 2, 3, 4
) AS day ON day.root_id = work.root_id AND day.contract_line_id = work.contract_line_id
        AND day.consultant_id = work.consultant_id AND day.work_date = work.work_date
WHERE (coalesce(work.entry_amount, 0), work.entry_seconds) > (0, 0)""",
    }
)

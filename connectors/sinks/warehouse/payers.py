"""Views of who pays what of what is to be invoiced, and the lines of each invoice proposal.

They divide what is in the warehouse by the rule of the proposals: of an entry, all that is billable on a work date is
shared by the percents of that date, cumulated in the order of the payers' ids; a payer's share less what it was billed
and what is on drafts to it is its part. A posted line that is due back is no part of that. Sums of lines are those of the
proposals, to the second and the cent, once the tables are loaded to the end of their topics.
"""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.exact import rounded

_BILLABLE = "('unbilled', 'on_draft', 'billed')"
_MONTH = "coalesce(to_char(line.accounting_date, 'YYYY-MM'), '')"
_OF_DAY = (
    "share.root_id = {0}.root_id AND {0}.day >= share.valid_from"
    " AND (share.valid_to IS NULL OR {0}.day < share.valid_to)"
)


def _seconds(percent: str) -> str:
    return f"round(whole.seconds * {percent} * 0.01)"


def _amount(percent: str) -> str:
    """All of it is all of it: what an invoice left may have fractions of a minor unit."""
    part = rounded(f"(whole.amount * {percent})", "100", "whole.currency")
    return f"CASE WHEN {percent} = 100 THEN whole.amount ELSE {part} END"


PAYERS = MappingProxyType(
    {
        # Who pays which percent of a contract's work dates: only of days that can be divided. ``upto`` is the percent
        # of all payers up to this one, ``since`` of those before.
        "v_payer_share": """
WITH split AS (
    SELECT engagement_id AS root_id, client_id, share, effective_from, effective_to
    FROM dim_payer_split
    WHERE is_current AND NOT deleted
),
turn AS (
    SELECT root_id, day, lead(day) OVER (PARTITION BY root_id ORDER BY day) AS until
    FROM (
        SELECT root_id, effective_from AS day FROM split
        UNION
        SELECT root_id, effective_to FROM split WHERE effective_to IS NOT NULL
    ) AS days
),
percent AS (
    SELECT turn.root_id, turn.day AS valid_from, turn.until AS valid_to, split.client_id, sum(split.share) AS share,
           EXISTS (
               SELECT FROM dim_client AS client
               WHERE client.id = split.client_id AND client.is_current AND NOT client.deleted
           ) AS is_known
    FROM turn
    JOIN split ON split.root_id = turn.root_id AND split.effective_from <= turn.day
     AND (split.effective_to IS NULL OR turn.day < split.effective_to)
    GROUP BY 1, 2, 3, 4
)
SELECT root_id, valid_from, valid_to, client_id, share, upto - share AS since, upto
FROM (
    SELECT percent.*,
           sum(share) OVER (PARTITION BY root_id, valid_from ORDER BY client_id COLLATE "C") AS upto,
           sum(share) OVER (PARTITION BY root_id, valid_from) AS whole,
           bool_and(is_known) OVER (PARTITION BY root_id, valid_from) AS are_known
    FROM percent
) AS cumulated
WHERE whole = 100 AND are_known""",
        # The segments that are divided, with the work date that they are divided by.
        "v_shared_segment": f"""
SELECT *
FROM (
    SELECT line.root_id, line.entry_id, line.segment, line.bucket, coalesce(line.client_id, '') AS client_id,
           coalesce(line.currency, '') AS currency, {_MONTH} AS month,
           coalesce(line.work_date, max(line.work_date) OVER (
               PARTITION BY line.root_id, line.entry_id, coalesce(line.currency, ''))) AS day,
           line.contract_line_id, line.project_id, line.task_id, line.consultant_id,
           line.seconds, coalesce(line.amount, 0) AS amount
    FROM billing_current AS line
    WHERE NOT line.deleted AND line.bucket IN {_BILLABLE}
      AND line.root_id IN (SELECT root_id FROM v_payer_share)
      AND left(line.segment, 4) <> 'due:'
      AND NOT (left(line.segment, 4) = 'inv:' AND EXISTS (
          SELECT FROM billing_current AS due
          WHERE due.root_id = line.root_id AND due.entry_id = line.entry_id
            AND due.segment = 'due:' || substr(line.segment, 5) AND NOT due.deleted))
) AS dated
WHERE EXISTS (SELECT FROM v_payer_share AS share WHERE {_OF_DAY.format("dated")})""",
        # What each payer is to be billed, or to be given back, of an entry's work date.
        "v_payer_part": f"""
WITH whole AS (
    SELECT root_id, entry_id, currency, day, sum(seconds) AS seconds, sum(amount) AS amount,
           coalesce(max(month) FILTER (WHERE bucket = 'unbilled'), max(month)) AS month,
           string_agg(segment, '+' ORDER BY segment) FILTER (WHERE bucket = 'unbilled') AS segment,
           min(contract_line_id) AS contract_line_id, min(project_id) AS project_id, min(task_id) AS task_id,
           min(consultant_id) AS consultant_id
    FROM v_shared_segment
    GROUP BY 1, 2, 3, 4
),
claim AS (
    SELECT whole.root_id, whole.entry_id, whole.currency, whole.day, share.client_id,
           {_seconds("share.upto")} - {_seconds("share.since")} AS seconds,
           {_amount("share.upto")} - {_amount("share.since")} AS amount
    FROM whole
    JOIN v_payer_share AS share ON {_OF_DAY.format("whole")}
    UNION ALL
    SELECT root_id, entry_id, currency, day, client_id, -seconds, -amount
    FROM v_shared_segment
    WHERE bucket <> 'unbilled'
),
part AS (
    SELECT root_id, entry_id, currency, day, client_id, sum(seconds)::bigint AS seconds, sum(amount) AS amount
    FROM claim
    GROUP BY 1, 2, 3, 4, 5
    HAVING sum(seconds) <> 0 OR sum(amount) <> 0
)
SELECT part.root_id, part.entry_id, part.currency, part.day, part.client_id, whole.month, whole.segment,
       CASE WHEN part.amount < 0 OR (part.amount = 0 AND part.seconds < 0) THEN 'credit' ELSE 'unbilled' END AS kind,
       whole.contract_line_id, whole.project_id, whole.task_id, whole.consultant_id, part.seconds,
       part.amount::numeric(20, 4) AS amount
FROM part
JOIN whole ON whole.root_id = part.root_id AND whole.entry_id = part.entry_id AND whole.currency = part.currency
          AND whole.day = part.day""",
        # The lines of each invoice proposal: what is to be billed, on drafts, to be credited, and posted. Of contracts
        # with several payers, each payer's part of what is unbilled of an entry; ``segment`` names what it is a part
        # of, and is null where all of the entry is billed or on drafts.
        "v_invoice_proposal_line": f"""
SELECT proposal.root_id, proposal.month, proposal.payer_id, proposal.currency, proposal.state,
       proposal.po_number, proposal.tax_region, line.kind,
       line.entry_id, line.segment, line.contract_line_id, line.project_id, line.task_id, line.consultant_id,
       line.work_date, line.seconds, round(line.seconds / 3600.0, 4) AS hours, line.amount, line.invoice_line_id,
       line.is_stale, line.draft_seconds, line.draft_amount
FROM invoice_proposal AS proposal
JOIN (
    SELECT line.root_id, coalesce(line.client_id, '') AS payer_id, coalesce(line.currency, '') AS currency,
           {_MONTH} AS month,
           CASE WHEN line.bucket = 'unbilled' AND (line.amount < 0 OR (line.amount = 0 AND line.seconds < 0))
                THEN 'credit' ELSE line.bucket END AS kind,
           line.entry_id, line.segment, line.contract_line_id, line.project_id, line.task_id, line.consultant_id,
           line.work_date, line.seconds, line.amount, line.invoice_line_id,
           coalesce(line.exception_class = 'STALE_DRAFT', false)
           OR (line.bucket = 'on_draft' AND coalesce(part.kind = 'credit', false)) AS is_stale,
           line.draft_seconds, line.draft_amount
    FROM billing_current AS line
    LEFT JOIN v_shared_segment AS shared
           ON shared.root_id = line.root_id AND shared.entry_id = line.entry_id AND shared.segment = line.segment
    LEFT JOIN v_payer_part AS part
           ON part.root_id = shared.root_id AND part.entry_id = shared.entry_id AND part.currency = shared.currency
          AND part.day = shared.day AND part.client_id = shared.client_id
    WHERE NOT line.deleted AND line.bucket IN {_BILLABLE}
      AND NOT (line.bucket = 'unbilled' AND shared.segment IS NOT NULL)
    UNION ALL
    SELECT root_id, client_id, currency, month, kind, entry_id, segment, contract_line_id, project_id, task_id,
           consultant_id, day, seconds, amount, NULL, false, NULL, NULL
    FROM v_payer_part
) AS line
  ON line.root_id = proposal.root_id AND line.payer_id = proposal.payer_id
 AND line.currency = proposal.currency AND line.month = proposal.month
WHERE NOT proposal.deleted""",
    }
)

"""Views of the ledger's lines, linked both ways: what a reversal takes back, and what has taken a line back.

A line is taken back once at most, and a reversal never is: who wants a segment back charges it anew. The table refuses
a second reversal of a line (a unique index) and the reversal of a reversal (a check); the sink sets such a record
aside in `sink_dead_letter`. A reversal has the segment, the bucket and the currency of its line and the opposite
quantity and amount; only its accounting date may be later. `v_ledger_violations` has the lines that are otherwise, and
is empty once the topic is loaded to the end.

Example: 8 h/1,200 charged in line 1, corrected to 6 h/900: line 2 has `reverses` 1, line 1 has `reversed_by` 2, and line
3, the new charge, has neither.
"""

from __future__ import annotations

from types import MappingProxyType

from sqlalchemy import CheckConstraint, Index, Table

LEDGER = MappingProxyType(
    {
        "v_ledger_line": """
SELECT line.event_id, line.kind, line.reverses, reversal.event_id AS reversed_by,
       line.root_id, line.entry_id, line.segment, line.revision, line.bucket,
       line.legal_entity_id, line.client_id, line.contract_line_id, line.project_id, line.consultant_id,
       line.work_date, line.accounting_date, reversal.accounting_date AS reversed_on,
       line.seconds, line.hours, line.amount, line.currency, line.functional_amount, line.functional_currency,
       line.invoice_line_id, line.occurred_at
FROM fact_billing_event AS line
LEFT JOIN fact_billing_event AS reversal ON reversal.reverses = line.event_id""",
        "v_ledger_violations": """
SELECT line.event_id, line.reverses, CASE
           WHEN line.kind <> 'REVERSAL' THEN 'reverses a line and is no reversal'
           WHEN line.reverses IS NULL THEN 'names no line'
           WHEN taken_back.event_id IS NULL THEN 'takes back a line that is not there'
           WHEN taken_back.kind = 'REVERSAL' THEN 'takes back a reversal'
           WHEN line.place > 1 THEN 'takes back a line that was taken back'
           ELSE 'is not the opposite of its line' END AS violation
FROM (
    SELECT *, row_number() OVER (PARTITION BY reverses ORDER BY occurred_at, event_id COLLATE "C") AS place
    FROM fact_billing_event
    WHERE kind = 'REVERSAL' OR reverses IS NOT NULL
) AS line
LEFT JOIN fact_billing_event AS taken_back ON taken_back.event_id = line.reverses
WHERE line.kind <> 'REVERSAL' OR taken_back.event_id IS NULL OR taken_back.kind = 'REVERSAL' OR line.place > 1
   OR (line.root_id, line.entry_id, line.segment, line.revision, line.bucket, -line.seconds, -line.amount, line.currency)
      IS DISTINCT FROM (taken_back.root_id, taken_back.entry_id, taken_back.segment, taken_back.revision,
                        taken_back.bucket, taken_back.seconds, taken_back.amount, taken_back.currency)""",
    }
)


def take_back_once(ledger: Table) -> None:
    """Have the table refuse a second reversal of a line, and one of a reversal, whose id ends with its kind."""
    reverses = ledger.c.reverses
    index = "ix_fact_billing_event_reverses"
    Index(index, reverses, unique=True, postgresql_where=reverses.is_not(None))
    ledger.append_constraint(
        CheckConstraint("right(reverses, 8) <> 'REVERSAL'", name="ck_fact_billing_event_reverses")
    )

"""What the ERP has posted: invoice lines, net of the credits that name them.

A posted line is frozen: the ERP's own quantity and amount count, not what we would compute today.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from agents.billing.entities import Record
from agents.billing.items import Item
from agents.billing.segments import BILLED, CREDIT_DUE, DUE_SEGMENT, POSTED_SEGMENT, UNBILLED, Segment
from agents.billing.terms import Terms
from streams.errors import InvalidValue
from streams.money import ZERO

CHARGE_LINE: Final = "charge"
CREDIT_LINE: Final = "credit"
POSTED: Final = "posted"


class Printed(NamedTuple):
    """What an invoice line says of the work: who was billed for it, on what, by whom, of which day."""

    client_id: str | None
    project_id: str | None
    task_id: str | None
    consultant_id: str | None
    work_date: date | None


NOT_PRINTED: Final = Printed(None, None, None, None, None)


def printed_on(record: Record) -> Printed:
    """What a decoded ``canonical.invoice_line`` says of the work."""
    return Printed(*(record[name] for name in Printed._fields))


@dataclass(frozen=True, slots=True)
class PostedLine:
    """A posted charge or credit line; a credit has positive figures and names the charge it takes back.

    ``entry_version`` is the version of the entry that was billed (1 for milestones and day lines).
    """

    id: str
    root_id: str
    contract_line_id: str | None
    kind: str
    credits_line_id: str | None
    entry_id: str
    entry_version: int
    seconds: int
    amount: Decimal
    posted_at: datetime
    printed: Printed = NOT_PRINTED

    @classmethod
    def from_record(cls, record: Record) -> PostedLine | None:
        """The line of a decoded ``canonical.invoice_line``; None where it is a draft or deleted.

        Raises InvalidValue for a posted line without the time of its posting.
        """
        if record["deleted"] or record["status"] != POSTED:
            return None
        if record["posted_at"] is None:
            raise InvalidValue(f"{record['id']} is posted but has no posted_at")
        return cls(
            record["id"],
            record["engagement_id"],
            record["contract_line_id"],
            record["kind"],
            record["credits_line_id"],
            record["entry_id"],
            record["entry_version"] or 1,
            record["seconds"] or 0,
            record["amount"] or ZERO,
            record["posted_at"],
            printed_on(record),
        )

    @property
    def posted_on(self) -> date:
        """The UTC date of the posting."""
        return self.posted_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class NetLine:
    """A posted charge line and what is left of it after its credits."""

    line: PostedLine
    seconds: int
    amount: Decimal


def net_lines(lines: Iterable[PostedLine]) -> list[NetLine]:
    """The charge lines that are not wholly credited, by id, each less the credits that name it.

    Example: a charge of 5 h/500 and a credit of 2 h/200 that names it leave 3 h/300. A credit of a line
    that is not posted takes back nothing.
    """
    charges = []
    credited: dict[str, tuple[int, Decimal]] = {}
    for line in lines:
        if line.kind == CHARGE_LINE:
            charges.append(line)
        elif line.kind == CREDIT_LINE and line.credits_line_id is not None:
            seconds, amount = credited.get(line.credits_line_id, (0, ZERO))
            credited[line.credits_line_id] = (seconds + line.seconds, amount + line.amount)
    charges.sort(key=_id)
    nets = []
    for line in charges:
        seconds, amount = credited.get(line.id, (0, ZERO))
        net = NetLine(line, line.seconds - seconds, line.amount - amount)
        if net.seconds or net.amount:
            nets.append(net)
    return nets


def _id(line: PostedLine) -> str:
    return line.id


def billed_segment(net: NetLine, item: Item | None, terms: Terms) -> Segment:
    """The billed segment of a posted line: the ERP's figures, dated by its posting; see `_segment`."""
    return _segment(POSTED_SEGMENT + net.line.id, BILLED, net, item, terms)


def credit_due_segment(net: NetLine, item: Item | None, terms: Terms) -> Segment:
    """The negative unbilled segment of a posted line whose entry was corrected, withdrawn or moved.

    Example: posted 8 h/1,200 of version 1, corrected to 6 h: billed stays 8 h/1,200, -8 h/-1,200 are due as
    a credit, and version 2 is unbilled with 6 h/900.
    """
    back = NetLine(net.line, -net.seconds, -net.amount)
    return _segment(DUE_SEGMENT + net.line.id, UNBILLED, back, item, terms, CREDIT_DUE)


def _segment(
    segment: str, bucket: str, net: NetLine, item: Item | None, terms: Terms, exception: str | None = None
) -> Segment:
    """A segment about a posted line.

    What is posted does not move: its work is what the line says (see `line_segment`), and a correction that
    changes the consultant leaves what was billed as it was.
    """
    return line_segment(net.line, item, terms)._replace(
        segment=segment,
        bucket=bucket,
        accounting_date=net.line.posted_on,
        seconds=net.seconds,
        amount=net.amount,
        exception_class=exception,
    )


class Line(Protocol):
    """An invoice line, posted or not."""

    @property
    def id(self) -> str: ...
    @property
    def contract_line_id(self) -> str | None: ...
    @property
    def entry_id(self) -> str: ...
    @property
    def printed(self) -> Printed: ...


def line_segment(line: Line, item: Item | None, terms: Terms) -> Segment:
    """An empty segment about an invoice line, without an id, a bucket and an accounting date.

    Client, project, task, person and work date are those that the line says. Of a line that says none of them they
    are those of ``item``, which is the entry as it is today, or of nobody once it is gone: whatever came first, the
    outcome is the same.
    """
    printed = line.printed
    if printed == NOT_PRINTED and item is not None:
        printed = Printed(None, item.project_id, item.task_id, item.consultant_id, item.work_date)
    return Segment(
        root_id=terms.root_id,
        entry_id=line.entry_id,
        segment="",
        bucket="",
        contract_line_id=line.contract_line_id,
        client_id=printed.client_id or terms.client_id,
        project_id=printed.project_id,
        task_id=printed.task_id,
        consultant_id=printed.consultant_id,
        legal_entity_id=terms.legal_entity_id,
        work_date=printed.work_date,
        accounting_date=None,
        seconds=0,
        amount=ZERO,
        currency=terms.currency,
        invoice_line_id=line.id,
    )

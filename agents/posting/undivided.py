"""What of a contract can't be divided among its payers, reported as an exception with the money at stake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.posting.proposals import Part, Sum
from streams.packing import packed

PAYER_SPLIT_CLASS: Final = "PAYER_SPLIT"
NOTHING: Final = Sum()


class Said(NamedTuple):
    """The content of a report: seconds, money as a text of four places, and what is wrong."""

    seconds: int
    amount: str
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Undivided:
    """The segments of a contract and currency that are to be billed and not divided, and what was last said of them.

    ``wrong`` names what keeps them from being divided. ``said`` is None while nothing is at stake.
    """

    sum: Sum = NOTHING
    revision: int = 0
    said: Said | None = None

    def add(self, part: Part, sign: int) -> None:
        """Add a part, or with sign -1 take it out."""
        self.sum = self.sum.plus(sign, part)

    def report(self, root_id: str, currency: str, wrong: Sequence[str]) -> dict[str, Any] | None:
        """The business fields of an ``exceptions.raised`` record; None if that is what was said last."""
        said = Said(self.sum.seconds, f"{self.sum.amount:.4f}", tuple(wrong)) if self.sum.lines else None
        if said == self.said:
            return None
        self.said = said
        self.revision += 1
        report: dict[str, Any] = {
            "op": "CLEAR" if said is None else "RAISE",
            "revision": self.revision,
            "subject": f"{root_id}|payers|{currency}",
        }
        if said is not None:
            report |= {
                "exception_class": PAYER_SPLIT_CLASS,
                "message": f"{root_id} can't be divided among its payers, and stays with its client: "
                + (", ".join(said.wrong) or "no work date is known"),
                "blocks": "billing",
                "missing_keys": list(said.wrong),
                "seconds": said.seconds,
                "amount": Decimal(said.amount),
                "currency": currency or None,
            }
        return report

    def to_bytes(self) -> bytes:
        """As it is stored."""
        lines, seconds, amount = self.sum
        return packed([[lines, seconds, str(amount)], self.revision, self.said])

    @classmethod
    def from_bytes(cls, data: bytes) -> Undivided:
        """The inverse of `to_bytes`."""
        (lines, seconds, amount), revision, said = json.loads(data)
        shown = None if said is None else Said(said[0], said[1], tuple(said[2]))
        return cls(Sum(lines, seconds, Decimal(amount)), revision, shown)

"""Who pays what of what is to be billed, where a contract has several payers.

The shares of a contract on a work date divide what is billable of an entry of that day: what is unbilled, on drafts and
billed of it. What a payer's share comes to, less what it was billed and what is on drafts to it, is that payer's. A
posted line that is due back stays with whom it was billed to, on both sides. Seconds and money are shared in the order
of the payers' ids: the shares of the first, of the first two, of the first three, each half up, and the differences.

A day that nobody shares is the client's, as in contracts without payers. On a day whose shares are not 100 % together,
or are somebody's who is not there, all of it stays with the client, too, and is told as not divided; so it is where no
work date is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .exact import ZERO, round_money, whole
from .rows import PayerSplit, Rows
from .segments import Segment

WHOLE = Decimal(100)


class Undivided(NamedTuple):
    """What of a contract is to be billed on days that can't be divided: segments, seconds, money, and what is wrong."""

    lines: int
    seconds: int
    amount: Decimal
    wrong: tuple[str, ...]


def payers_of(root: str, rows: Rows) -> set[str]:
    """Everybody who pays for some day of a contract."""
    return {one.client_id for one in rows.payer_splits.values() if one.engagement_id == root}


def divide(segments: Iterable[Segment], rows: Rows) -> tuple[list[Segment], dict[tuple[str, str], Undivided]]:
    """Segments by payer, and what is not divided by contract and currency.

    Unbilled segments of a divided day give way to one of each payer's. Others stay as they are, but for drafts to
    somebody who is to pay less than what is on them: these are stale.
    """
    shared = {one.engagement_id for one in rows.payer_splits.values()}
    entries: dict[tuple[str, str, str], list[Segment]] = defaultdict(list)
    out: list[Segment] = []
    kept: list[Segment] = []
    for segment in segments:
        if segment.root in shared and segment.bucket in ("unbilled", "on_draft", "billed"):
            entries[segment.root, segment.entry_id, segment.currency or ""].append(segment)
        else:
            out.append(segment)
    for (root, _, _), of_entry in entries.items():
        for day, of_day in _by_day(of_entry, out).items():
            shares = _shares(root, day, rows)
            if shares and sum(shares.values()) == WHOLE and shares.keys() <= rows.clients.keys():
                out += _divided(of_day, shares)
            else:
                out += of_day
                is_shared = bool(shares) or day is None
                kept += [segment for segment in of_day if is_shared and segment.bucket == "unbilled"]
    return out, _undivided(kept, rows)


def _by_day(of_entry: list[Segment], out: list[Segment]) -> dict[date | None, list[Segment]]:
    """What is to be divided by work date; what is due back goes to ``out``.

    What says no work date is of the last that the entry is known to have.
    """
    due = {s.segment.removeprefix("due:") for s in of_entry if s.segment.startswith("due:")}
    returned = {f"{kind}:{line}" for line in due for kind in ("due", "inv")}
    out += [segment for segment in of_entry if segment.segment in returned]
    rest = [segment for segment in of_entry if segment.segment not in returned]
    last = max((segment.work.day for segment in rest if segment.work.day is not None), default=None)
    days: dict[date | None, list[Segment]] = defaultdict(list)
    for segment in rest:
        days[segment.work.day or last].append(segment)
    return days


def _holds(one: PayerSplit, day: date) -> bool:
    return one.valid_from <= day and (one.valid_to is None or day < one.valid_to)


def _shares(root: str, day: date | None, rows: Rows) -> dict[str, Decimal]:
    """Percent by payer, in the order of their ids."""
    shares: dict[str, Decimal] = {}
    for one in sorted(rows.payer_splits.values(), key=lambda one: (one.client_id, one.id)):
        if one.engagement_id == root and day is not None and _holds(one, day):
            shares[one.client_id] = shares.get(one.client_id, ZERO) + one.share
    return shares


def _divided(of_day: Sequence[Segment], shares: dict[str, Decimal]) -> list[Segment]:
    """The segments of a day of an entry by payer."""
    seconds = sum(segment.seconds for segment in of_day)
    money = sum((segment.amount or ZERO for segment in of_day), ZERO)
    currency = of_day[0].currency or ""
    unbilled = [segment for segment in of_day if segment.bucket == "unbilled"]
    out = [segment for segment in of_day if segment.bucket != "unbilled"]
    like = max(unbilled or of_day, key=lambda segment: segment.accounting_date or date.min)
    left: dict[str, tuple[int, Decimal]] = {}
    before, cumulated = (0, ZERO), ZERO
    for payer, share in shares.items():
        cumulated += share
        now = _part(seconds, money, cumulated, currency)
        left[payer] = (now[0] - before[0], now[1] - before[1])
        before = now
    for segment in out:
        payer = segment.work.client or ""
        of_seconds, of_money = left.get(payer, (0, ZERO))
        left[payer] = (of_seconds - segment.seconds, of_money - (segment.amount or ZERO))
    too_much = {payer for payer, (s, m) in left.items() if m < 0 or (m == 0 and s < 0)}
    for at, segment in enumerate(out):
        if segment.draft is not None and (segment.work.client or "") in too_much:
            out[at] = segment._replace(draft=segment.draft._replace(is_stale=True))
    for payer, (of_seconds, of_money) in left.items():
        if of_seconds or of_money:
            work = like.work._replace(client=payer)
            out.append(
                like._replace(
                    segment="payer",
                    bucket="unbilled",
                    seconds=of_seconds,
                    amount=of_money,
                    work=work,
                    draft=None,
                )
            )
    return out


def _part(seconds: int, money: Decimal, percent: Decimal, currency: str) -> tuple[int, Decimal]:
    """So much of seconds and money, each half up; all of it is all of it."""
    if percent == WHOLE:
        return seconds, money
    part = Fraction(percent) / 100
    return whole(seconds * part), round_money(Fraction(money) * part, currency)


def _undivided(kept: Iterable[Segment], rows: Rows) -> dict[tuple[str, str], Undivided]:
    of_contract: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in kept:
        of_contract[segment.root, segment.currency or ""].append(segment)
    return {
        (root, currency): Undivided(
            len(found),
            sum(segment.seconds for segment in found),
            sum((segment.amount or ZERO for segment in found), ZERO),
            _wrong(root, rows),
        )
        for (root, currency), found in of_contract.items()
    }


def _wrong(root: str, rows: Rows) -> tuple[str, ...]:
    """The payers of a contract who are not there, and the days since which its shares are not 100 % together."""
    own = [one for one in rows.payer_splits.values() if one.engagement_id == root]
    turns = {one.valid_from for one in own} | {one.valid_to for one in own if one.valid_to is not None}
    wrong = {f"client:{one.client_id}" for one in own if one.client_id not in rows.clients}
    for day in turns:
        shares = _shares(root, day, rows)
        if shares and sum(shares.values()) != WHOLE:
            wrong.add(f"payer_split:{root}/{day}")
    return tuple(sorted(wrong))

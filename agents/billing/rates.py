"""Which rate holds: the most specific scope that has one on the work date.

Scopes, most specific first; a rate's scope is exactly the set of scope columns it has set, and a
rate of any other shape never matches:

    1  task + consultant             4  contract line + role
    2  project + consultant          5  client, and any of role, grade, region (most of them wins)
    3  project + role                6  only any of role, grade, region: the default card (likewise)

Two rates that are equally specific are a tie, never a choice. Example: a consultant of role ``dev``
on project P with a rate for (P, dev) at 120 and a client card for (client, dev, senior) at 150 is
rated at 120; when two rates for (P, dev) hold on the day, neither wins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from agents.billing.entities import Consultant, Rate
from agents.billing.known import Difference, Ended, KnownRows
from agents.billing.touches import Touch, half_open

Attributes = tuple[str | None, str | None, str | None]  # role, grade, region
Pair = tuple[str, str, str]  # scope, its first and its second id

DEFAULT_CARD: Final = "rate@default"
SCOPE_NAMES: Final = {
    "tc": "task and consultant",
    "pc": "project and consultant",
    "pr": "project and role",
    "lr": "contract line and role",
    "cl": "client card",
    "default": "default card",
}
# The scopes of two columns, by which columns are set:
# (task, project, contract line, client, consultant, role, grade, region).
_PAIR_SCOPES: Final = {
    (True, False, False, False, True, False, False, False): "tc",
    (False, True, False, False, True, False, False, False): "pc",
    (False, True, False, False, False, True, False, False): "pr",
    (False, False, True, False, False, True, False, False): "lr",
}


class RateSubject(NamedTuple):
    """Who works on what: all that decides which rates can match. The consultant is as of the work date."""

    consultant: Consultant
    project_id: str
    task_id: str | None
    contract_line_id: str
    client_id: str


class RateFinding(NamedTuple):
    """``rates`` of the winning level: one is the rate, more are a tie, none is a miss.

    ``examined`` names the coordinates looked at, from the most specific to the winning one, misses
    included: a new rate at any of them could win.
    """

    rates: tuple[Rate, ...]
    scope: str | None
    examined: tuple[str, ...]


class RateTable:
    """Rates by id and by scope coordinate; and what they were before they were changed."""

    def __init__(self) -> None:
        self.known: KnownRows[Rate] = KnownRows()
        self._now = _ByScope()
        self._ended = _ByScope()

    @property
    def by_id(self) -> dict[str, Rate]:
        """The rates as they are now."""
        return self.known.by_id

    def replace(self, rate_id: str, new: Rate | None) -> list[Touch]:
        """Put, change or (None) take away a rate; the touches of what it could match before or now."""
        self._now.swap(self.known.by_id.get(rate_id), new)
        return _touches(self.known.replace(rate_id, new))

    def replace_version(self, version_id: str, new: Ended[Rate] | None) -> list[Touch]:
        """Put, change or (None) take away what a rate was; the touches of what a close may know otherwise by it."""
        old = self.known.version(version_id)
        self._ended.swap(None if old is None else old.row, None if new is None else new.row)
        return _touches(self.known.replace_version(version_id, new))

    def pair_rates(self, pair: Pair) -> list[Rate]:
        """All rates of a two-column scope, whenever effective."""
        return self._now.pairs.get(pair, [])

    def pair_rates_at(self, pair: Pair, close: datetime) -> list[Rate]:
        """Those that a close knows."""
        return self.known.standing((*self.pair_rates(pair), *self._ended.pairs.get(pair, ())), close)

    def card_rates(self, card: str) -> Iterator[Rate]:
        """All rates of a card, whatever they ask for and whenever effective."""
        for rates in self._now.cards.get(card, {}).values():
            yield from rates

    def card_winners(
        self, card: str, consultant: Consultant, day: date, known_at: datetime | None = None
    ) -> tuple[Rate, ...]:
        """The effective rates of a card that ask for the most of the consultant's attributes.

        Of those that a close knows, if one is given.
        """
        by_attributes = self._now.cards.get(card, {})
        ended = {} if known_at is None else self._ended.cards.get(card, {})
        if not by_attributes and not ended:
            return ()
        found: list[Rate] = []
        for group in _attribute_groups(consultant.role, consultant.grade, consultant.region):
            for attributes in group:
                rates: Sequence[Rate] = by_attributes.get(attributes, ())
                if known_at is not None:
                    rates = self.known.standing((*rates, *ended.get(attributes, ())), known_at)
                if rates:
                    found.extend(rate for rate in rates if rate.is_effective_on(day))
            if found:
                return tuple(found)
        return ()

    def moments(
        self, subject: RateSubject, day: date, examined: Collection[str], since: datetime
    ) -> set[datetime]:
        """When rates at the examined coordinates that can match on the day were decided or ended, from a moment on."""
        if self.known.newest < since:
            return set()
        rates: list[Rate] = []
        for scopes in (self._now, self._ended):
            for pair in subject_pairs(subject):
                if _pair_name(pair) in examined:
                    rates += scopes.pairs.get(pair, ())
            asked = (subject.consultant.role, subject.consultant.grade, subject.consultant.region)
            for card in (_client_card(subject.client_id), DEFAULT_CARD):
                if card in examined and card in scopes.cards:
                    groups = _attribute_groups(*asked)
                    rates += (
                        rate
                        for group in groups
                        for wanted in group
                        for rate in scopes.cards[card].get(wanted, ())
                    )
        own = {rate.id for rate in rates if rate.is_effective_on(day)}
        return {moment for rate_id in own for moment in self.known.moments(rate_id) if moment >= since}


class _ByScope:
    """Rates by scope coordinate."""

    def __init__(self) -> None:
        self.pairs: dict[Pair, list[Rate]] = {}
        # By coordinate (``rate@cl:<client>`` or ``rate@default``), then by the attributes asked for.
        self.cards: dict[str, dict[Attributes, list[Rate]]] = {}

    def swap(self, old: Rate | None, new: Rate | None) -> None:
        if old is not None and (bucket := self._bucket(old)) is not None:
            bucket.remove(old)
        if new is not None and (bucket := self._bucket(new)) is not None:
            bucket.append(new)

    def _bucket(self, rate: Rate) -> list[Rate] | None:
        pair = _pair(rate)
        if pair is not None:
            return self.pairs.setdefault(pair, [])
        card = _card(rate)
        if card is not None:
            attributes = (rate.role, rate.grade, rate.region)
            return self.cards.setdefault(card, {}).setdefault(attributes, [])
        return None


def find_rate(
    table: RateTable, subject: RateSubject, day: date, known_at: datetime | None = None
) -> RateFinding:
    """The rate, the tie or the miss for the subject on a work date, with the coordinates examined.

    By the rates as they are now, or as a close knew them.
    """
    examined: list[str] = []
    for pair in subject_pairs(subject):
        examined.append(_pair_name(pair))
        rates = table.pair_rates(pair) if known_at is None else table.pair_rates_at(pair, known_at)
        if rates:
            effective = tuple([rate for rate in rates if rate.is_effective_on(day)])
            if effective:
                return RateFinding(effective, pair[0], tuple(examined))
    for scope, card in (("cl", _client_card(subject.client_id)), ("default", DEFAULT_CARD)):
        examined.append(card)
        found = table.card_winners(card, subject.consultant, day, known_at)
        if found:
            return RateFinding(found, scope, tuple(examined))
    return RateFinding((), None, tuple(examined))


def subject_pairs(subject: RateSubject) -> list[Pair]:
    """The two-column coordinates that can match the subject, most specific first."""
    consultant = subject.consultant
    pairs: list[Pair] = []
    if subject.task_id is not None:
        pairs.append(("tc", subject.task_id, consultant.id))
    pairs.append(("pc", subject.project_id, consultant.id))
    if consultant.role is not None:
        pairs.append(("pr", subject.project_id, consultant.role))
        pairs.append(("lr", subject.contract_line_id, consultant.role))
    return pairs


def _pair(rate: Rate) -> Pair | None:
    shape = (
        rate.task_id is not None,
        rate.project_id is not None,
        rate.contract_line_id is not None,
        rate.client_id is not None,
        rate.consultant_id is not None,
        rate.role is not None,
        rate.grade is not None,
        rate.region is not None,
    )
    scope = _PAIR_SCOPES.get(shape)
    if scope is None:
        return None
    first = rate.task_id or rate.project_id or rate.contract_line_id or ""
    return (scope, first, rate.consultant_id or rate.role or "")


def _card(rate: Rate) -> str | None:
    columns = (rate.task_id, rate.project_id, rate.contract_line_id, rate.consultant_id)
    if any(column is not None for column in columns):
        return None
    return DEFAULT_CARD if rate.client_id is None else _client_card(rate.client_id)


def _pair_name(pair: Pair) -> str:
    return f"rate@{pair[0]}:{pair[1]}/{pair[2]}"


def _client_card(client_id: str) -> str:
    return f"rate@cl:{client_id}"


def coordinate(rate: Rate) -> str | None:
    """The dependency that entries report when they examine this rate's scope; None: it never matches."""
    pair = _pair(rate)
    return _card(rate) if pair is None else _pair_name(pair)


@lru_cache(maxsize=4096)  # roles x grades x regions of a firm; anew for each entry it costs a microsecond
def _attribute_groups(
    role: str | None, grade: str | None, region: str | None
) -> tuple[tuple[Attributes, ...], ...]:
    """What a card may ask for and the consultant has, most attributes first.

    Each shape is listed once, also where the consultant lacks an attribute: a rate must not tie with itself.
    """
    shapes = {(r, g, x) for r in {role, None} for g in {grade, None} for x in {region, None}}
    groups: list[list[Attributes]] = [[], [], [], []]
    for shape in shapes:
        groups[shape.count(None)].append(shape)
    return tuple(tuple(group) for group in groups)


def _touches(differences: Iterable[Difference[Rate]]) -> list[Touch]:
    return list(dict.fromkeys(touch for of in differences for touch in _touched(of.old, of.new)))


def _touched(old: Rate | None, new: Rate | None) -> list[Touch]:
    if old is not None and new is not None and _same_but_range(old, new):
        return _range_difference(old, new)
    touches: dict[Touch, None] = {}
    for rate in (old, new):
        if rate is not None and (name := coordinate(rate)) is not None:
            touches[half_open(name, rate.effective_from, rate.effective_to)] = None
    return list(touches)


def _same_but_range(old: Rate, new: Rate) -> bool:
    return (
        coordinate(old) == coordinate(new)
        and (old.role, old.grade, old.region) == (new.role, new.grade, new.region)
        and (old.currency, old.price, old.unit_seconds, old.overtime_multiplier, old.weekend_multiplier)
        == (new.currency, new.price, new.unit_seconds, new.overtime_multiplier, new.weekend_multiplier)
        and old.applies_to_invoiced == new.applies_to_invoiced
    )


def _range_difference(old: Rate, new: Rate) -> list[Touch]:
    """Only the days the range gained or lost: closing a rate on 1 July must not visit its whole past."""
    name = coordinate(new)
    if name is None:
        return []
    touches = []
    if old.effective_from != new.effective_from:
        starts = (old.effective_from, new.effective_from)
        known = [day for day in starts if day is not None]
        touches.append(half_open(name, min(known) if len(known) == 2 else None, max(known)))
    if old.effective_to != new.effective_to:
        ends = (old.effective_to, new.effective_to)
        known = [day for day in ends if day is not None]
        touches.append(half_open(name, min(known), max(known) if len(known) == 2 else None))
    return touches

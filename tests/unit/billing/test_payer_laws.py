"""Laws of contracts with several payers, over random shares, postings, credits, drafts and corrections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from test_payers import ties_by_money
from two_judges import Agents, Oracle

from agents.posting import Part, divide
from agents.posting.proposals import KINDS, kind_of

one_of = st.sampled_from
Change = Callable[[Sources], Any]

CLIENTS = ("A", "B", "C", "Z")  # of Z nobody is ever told to pay
DAYS = ("03-04", "03-05", "03-31", "04-01")
SPLITS = (
    {"A": D(60), "B": D(40)},
    {"A": D("33.3333"), "B": D("33.3333"), "C": D("33.3334")},
    {"B": D(100)},
    {"A": D("12.5"), "C": D("87.5")},
    {"A": D(60), "B": D(30)},  # 90 %
)
SPANS = ((date(2026, 1, 1), None), (date(2026, 1, 1), day("03-05")), (day("03-31"), None))


def share_contract(number: int) -> Change:
    """The contract has these payers, and no others, in a span."""

    def change(sources: Sources) -> None:
        for key in list(sources.tables["payer_split"]):
            sources.drop("payer_split", key)
        since, until = SPANS[number % len(SPANS)]
        for client, share in SPLITS[number % len(SPLITS)].items():
            row = {"client_id": client, "share": share, "valid_from": since, "valid_to": until}
            sources.put("payer_split", f"S{client}", **row)

    return change


def no_payers(sources: Sources) -> None:
    """The contract is its client's again."""
    for key in list(sources.tables["payer_split"]):
        sources.drop("payer_split", key)


def work(number: int, on: str, quarters: int) -> Change:
    """An entry, or its next version."""

    def change(sources: Sources) -> None:
        known = sources.tables["time_entry"].get(number)
        version = 1 if known is None else known["version"] + 1
        sources.work(number, on, str(D(quarters) / 4), version=version, approved_at=at(f"{on} 12:00"))

    return change


def withdraw(number: int) -> Change:
    """The entry is approved no more."""
    return lambda sources: (
        sources.put("time_entry", number, status="withdrawn") if number in sources.tables["time_entry"] else 0
    )


def line(native: int, number: int, client: str | None, seconds: int, cents: int, status: str) -> Change:
    """A charge of the entry as it is now, posted or on a draft."""

    def change(sources: Sources) -> None:
        known = sources.tables["time_entry"].get(number)
        dated = known is not None and native % 2
        sources.charge(
            f"I{native}",
            number,
            0,
            str(D(cents) / 100),
            seconds=seconds,
            client_id=client,
            status=status,
            posted_at=at("03-31 10:00") if status == "posted" else None,
            entry_version=1 if known is None else known["version"],
            work_date=known["work_date"] if dated and known is not None else None,
        )

    return change


def credit(native: int) -> Change:
    """All of a charge is credited."""
    return lambda sources: (
        sources.credit(f"C{native}", of=f"I{native}") if f"I{native}" in sources.tables["invoice_line"] else 0
    )


def discount(number: int, amount: int) -> Change:
    """A discount on an entry."""
    return lambda sources: sources.put(
        "bill_adjustment", f"D{number}", kind="discount", entry_id=f"time:{number}", amount=D(amount)
    )


def cap(amount: int | None) -> Change:
    """The contract's cap."""
    return lambda sources: sources.put("engagement", "E", cap_money=None if amount is None else D(amount))


def client_of_contract(client: str) -> Change:
    """The contract goes to another client."""
    return lambda sources: sources.put("engagement", "E", client_id=client)


def client_goes_or_comes(client: str) -> Change:
    """Somebody is deleted, or is there again."""
    return lambda sources: (
        sources.drop("client", client)
        if client in sources.tables["client"]
        else sources.put("client", client)
    )


numbers = st.integers(1, 2)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(share_contract, st.integers(0, 14)),
    st.builds(share_contract, st.integers(0, 14)),
    st.just(no_payers),
    st.builds(work, numbers, one_of(DAYS), st.integers(1, 40)),
    st.builds(work, numbers, one_of(DAYS), st.integers(1, 40)),
    st.builds(withdraw, numbers),
    st.builds(
        line,
        st.integers(1, 4),
        numbers,
        one_of([*CLIENTS, None]),
        st.integers(0, 8 * HOUR),
        st.integers(1, 100_000),
        one_of(["posted", "posted", "draft"]),
    ),
    st.builds(credit, st.integers(1, 4)),
    st.builds(discount, numbers, st.integers(1, 400)),
    st.builds(cap, one_of([None, 100, 700])),
    st.builds(client_of_contract, one_of(CLIENTS[:2])),
    st.builds(client_goes_or_comes, one_of(CLIENTS[1:])),
)


@given(st.lists(changes, min_size=1, max_size=14), st.sets(st.integers(0, 13)))
@settings(max_examples=250, deadline=None)
def test_whatever_comes_in_whatever_order_is_shared_to_the_cent(
    history: list[Change], looks: set[int]
) -> None:
    """Both judges agree, however often the agents looked before; payers together have what there is."""
    sources = Sources().put("rate", "R", price=D("133.33"))
    for client in CLIENTS[1:]:
        sources.put("client", client)
    agents, oracle = Agents(), Oracle()
    for number, change in enumerate(history):
        change(sources)
        if number in looks:
            agents(sources)
    found, wanted = agents(sources), oracle(sources)
    assert found.proposals == wanted.proposals
    assert found.undivided == wanted.undivided
    assert (found.drafts, found.figures) == (wanted.drafts, wanted.figures)
    ties_by_money(found)


amounts = st.integers(-(10**9), 10**9).map(lambda units: Decimal(units).scaleb(-4))
segments = st.dictionaries(
    one_of(["base", "over-line", "inv:1", "inv:2", "due:2", "draft:3", "draft:4"]),
    st.tuples(one_of(CLIENTS), st.integers(-HOUR, 100 * HOUR), amounts),
    min_size=1,
)
percents = st.lists(st.integers(1, 10**6), min_size=1, max_size=4, unique=True).map(
    lambda cuts: [b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 10**6], strict=True) if b > a]
)


@given(segments, percents, one_of(["EUR", "JPY", "KWD"]))
@settings(max_examples=400, deadline=None)
def test_parts_add_up(
    of_segments: dict[str, tuple[str, int, Decimal]], shares: list[int], currency: str
) -> None:
    """Whatever the shares, the signs and fractions of minor units: parts are the whole, and billed stays billed."""
    kinds = {"inv": "billed", "draft": "draft"}
    parts = {
        name: Part(
            "2026-03",
            currency,
            client,
            kinds.get(name.split(":")[0]) or kind_of(seconds, amount),
            seconds,
            amount,
            None,
            "2026-03-05",
        )
        for name, (client, seconds, amount) in of_segments.items()
    }
    split = tuple(zip("ABCDE", (Decimal(share).scaleb(-4) for share in shares), strict=False))
    assert sum(share for _, share in split) == 100
    out = divide(parts, lambda _: split)
    assert out.undivided == ()
    for kinds_of in (("unbilled", "credit"), ("draft",), ("billed",)):
        before = [part for part in parts.values() if part.kind in kinds_of]
        after = [part for part in out.parts if part.kind in kinds_of]
        assert sum(part.seconds for part in before) == sum(part.seconds for part in after)
        assert sum(part.amount for part in before) == sum(part.amount for part in after)
    assert {part.kind for part in out.parts} <= set(KINDS)


@given(
    st.integers(600, 24 * HOUR),
    st.integers(100, 60_000),
    st.lists(st.integers(1, 99), max_size=4, unique=True),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_drafts_of_all_parts_are_as_they_should_be(
    seconds: int, cents: int, cuts: list[int], order: Any
) -> None:
    """Each payer's part on a draft of its own, whichever comes first: none is stale, and nothing is left to bill."""
    shares = [b - a for a, b in pairwise([0, *sorted(cuts), 100])]
    sources = Sources().put("rate", "R", price=D(cents) / 100)
    for client, share in zip("ABCDE", shares, strict=False):
        sources.put("client", client).put("payer_split", f"S{client}", client_id=client, share=D(share))
    sources.work(1, "03-05", str((D(seconds) / HOUR).quantize(D("0.0001"))))
    agents, oracle = Agents(), Oracle()
    lines = [(key[2].removeprefix("erp:"), shown) for key, shown in agents(sources).proposals.items()]
    order.shuffle(lines)
    for number, (client, shown) in enumerate(lines):
        _, of_seconds, amount = shown.unbilled
        given_ = {"client_id": client, "status": "draft", "posted_at": None}
        sources.charge(f"I{number}", 1, 0, str(amount), seconds=of_seconds, **given_)
    found = agents(sources)
    assert found.proposals == oracle(sources).proposals
    assert [draft for draft in found.drafts.values() if draft[2]] == []
    assert {shown.state for shown in found.proposals.values()} == {"drafted"}

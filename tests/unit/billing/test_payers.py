"""Contracts with several payers, each judged by the agents and by the oracle. 8 h at 125 are 1,000.00."""

from __future__ import annotations

from decimal import Decimal

import pytest
from source_databases import HOUR, D, Sources, at, day
from test_drafts import draft
from test_proposals import APRIL, MARCH, NONE, ties
from two_judges import Judge, Judgement

THIRD, REST = D("33.3333"), D("33.3334")


def shared(**shares: int | str | Decimal) -> Sources:
    """The firm with an hour at 125, where clients pay so many percent of the contract."""
    sources = Sources().put("rate", "R", price=D(125))
    for client, share in shares.items():
        sources.put("client", client).put("payer_split", f"S-{client}", client_id=client, share=D(share))
    return sources


def of_payer(judgement: Judgement, payer: str, month: str = MARCH) -> tuple[tuple[int, Decimal], ...]:
    """Hours and money of a payer's month: unbilled, on drafts, to be credited, and billed."""
    ties_by_money(judgement)
    shown = judgement.proposals.get(("erp:E", month, f"erp:{payer}", "EUR"))
    if shown is None:
        return ()
    return tuple(sums[1:] for sums in (shown.unbilled, shown.draft, shown.credit, shown.billed))


def ties_by_money(judgement: Judgement) -> None:
    """All payers together have what is unbilled, on drafts and billed: to the second and the cent."""
    wanted = {"unbilled": (0, D(0)), "on_draft": (0, D(0)), "billed": (0, D(0))}
    for bucket, seconds, amount in judgement.figures.values():
        if bucket in wanted:
            wanted[bucket] = (wanted[bucket][0] + seconds, wanted[bucket][1] + (amount or D(0)))
    shown = judgement.proposals.values()
    open_ = [sums for one in shown for sums in (one.unbilled, one.credit)]
    found = {"unbilled": open_, "on_draft": [s.draft for s in shown], "billed": [s.billed for s in shown]}
    assert {
        kind: (sum(s[1] for s in sums), sum((s[2] for s in sums), D(0))) for kind, sums in found.items()
    } == wanted


def unbilled(seconds: int, amount: str | int) -> tuple[tuple[int, Decimal], ...]:
    """Nothing but that."""
    return ((seconds, D(amount)), NONE[1:], NONE[1:], NONE[1:])


def test_sixty_forty(judge: Judge) -> None:
    """8 h/1,000.00: A 4.8 h/600.00, B 3.2 h/400.00, each with its own tax region; nothing is undivided."""
    sources = shared(A=60, B=40).work(1, "03-05", 8).put("client", "B", tax_region="UK")
    judgement = judge(sources)
    assert of_payer(judgement, "A") == unbilled(17_280, 600)
    assert of_payer(judgement, "B") == unbilled(11_520, 400)
    assert judgement.proposals["erp:E", MARCH, "erp:B", "EUR"].tax_region == "UK"
    assert judgement.undivided == {}


def test_thirds_of_a_hundred(judge: Judge) -> None:
    """100.00 among A, B and C: 33.33, then 66.67 less 33.33 is 33.34, then the rest, 33.33."""
    sources = shared(A=THIRD, B=THIRD, C=REST).put("rate", "R", price=D(100)).work(1, "03-05", 1)
    judgement = judge(sources)
    assert of_payer(judgement, "A") == unbilled(1200, "33.33")
    assert of_payer(judgement, "B") == unbilled(1200, "33.34")
    assert of_payer(judgement, "C") == unbilled(1200, "33.33")


def test_who_was_billed_has_paid(judge: Judge) -> None:
    """600.00 posted to A: nothing is left for A, 400.00 for B; then posted, too: nothing at all."""
    sources = shared(A=60, B=40).work(1, "03-05", 8)
    sources.charge("I1", 1, 0, 600, seconds=17_280, client_id="A", work_date=day("03-05"))
    judgement = judge(sources)
    assert of_payer(judgement, "A") == (NONE[1:], NONE[1:], NONE[1:], (17_280, D(600)))
    assert of_payer(judgement, "B") == unbilled(11_520, 400)
    sources.charge("I2", 1, 0, 400, seconds=11_520, client_id="B")  # which prints no day: it is the entry's
    judgement = judge(sources)
    assert of_payer(judgement, "B") == (NONE[1:], NONE[1:], NONE[1:], (11_520, D(400)))
    assert {shown.state for shown in judgement.proposals.values()} == {"posted"}


def test_corrected_after_posting_to_one(judge: Judge) -> None:
    """Corrected to 6 h/750.00: 600.00 go back to A beside its 450.00, 150.00 less in all; B pays 300.00."""
    sources = shared(A=60, B=40).work(1, "03-05", 8)
    sources.charge("I1", 1, 0, 600, seconds=17_280, client_id="A", work_date=day("03-05"))
    judgement = judge(sources.work(1, "03-05", 6, version=2))
    assert of_payer(judgement, "A") == (
        (12_960, D(450)),
        NONE[1:],
        (-17_280, D(-600)),
        (17_280, D(600)),
    )
    assert of_payer(judgement, "B") == unbilled(8640, 300)


def test_a_discount_after_posting_is_everybodys(judge: Judge) -> None:
    """Both were billed; a discount of 200.00 is a credit of 120.00 for A and of 80.00 for B."""
    sources = shared(A=60, B=40).work(1, "03-05", 8)
    sources.charge("I1", 1, 0, 600, seconds=17_280, client_id="A", work_date=day("03-05"))
    sources.charge("I2", 1, 0, 400, seconds=11_520, client_id="B", work_date=day("03-05"))
    sources.put("bill_adjustment", "D", kind="discount", entry_id="time:1", amount=D(200))
    judgement = judge(sources)
    assert of_payer(judgement, "A")[2] == (0, D(-120))
    assert of_payer(judgement, "B")[2] == (0, D(-80))


def test_posted_to_the_wrong_one(judge: Judge) -> None:
    """All of it was posted to B: A is to pay 600.00, and 600.00 go back to B; none of it is lost."""
    sources = shared(A=60, B=40).work(1, "03-05", 8)
    judgement = judge(sources.charge("I1", 1, 8, 1000, client_id="B", work_date=day("03-05")))
    assert of_payer(judgement, "A") == unbilled(17_280, 600)
    assert of_payer(judgement, "B") == (NONE[1:], NONE[1:], (-17_280, D(-600)), (8 * HOUR, D(1000)))


def test_a_draft_to_each_payer(judge: Judge) -> None:
    """B's draft of 3.2 h/400.00 is as it should be, though the contract's client is A."""
    sources = draft(shared(A=60, B=40).work(1, "03-05", 8), "D1", 1, 0, 400, seconds=11_520, client_id="B")
    judgement = judge(sources)
    assert judgement.drafts == {("time:1", "erp:D1"): (11_520, D(400), False)}
    assert of_payer(judgement, "A") == unbilled(17_280, 600)
    assert of_payer(judgement, "B") == (NONE[1:], (11_520, D(400)), NONE[1:], NONE[1:])
    assert judgement.proposals["erp:E", MARCH, "erp:B", "EUR"].state == "drafted"


def test_a_draft_of_more_than_a_payers_share(judge: Judge) -> None:
    """All 8 h/1,000.00 on a draft to A: it is stale, for A is to pay 600.00; B's 400.00 are proposed."""
    sources = draft(shared(A=60, B=40).work(1, "03-05", 8), "D1", 1, 8, 1000, client_id="A")
    judgement = judge(sources)
    assert of_payer(judgement, "A") == (NONE[1:], (8 * HOUR, D(1000)), (-11_520, D(-400)), NONE[1:])
    assert of_payer(judgement, "B") == unbilled(11_520, 400)
    of_a = judgement.proposals["erp:E", MARCH, "erp:A", "EUR"]
    assert (of_a.state, of_a.stale) == ("stale", ("erp:D1",))


def test_the_second_of_three_is_drafted_alone(judge: Judge) -> None:
    """1,200 s/33.34 to B are its share, though 1,200 s of 1 h/100.00 are worth 33.33: the draft is as it should be."""
    sources = shared(A=THIRD, B=THIRD, C=REST).put("rate", "R", price=D(100)).work(1, "03-05", 1)
    judgement = judge(draft(sources, "D1", 1, 0, "33.34", seconds=1200, client_id="B"))
    assert judgement.drafts == {("time:1", "erp:D1"): (1200, D("33.34"), False)}
    assert of_payer(judgement, "A") == of_payer(judgement, "C") == unbilled(1200, "33.33")
    assert of_payer(judgement, "B") == (NONE[1:], (1200, D("33.34")), NONE[1:], NONE[1:])


def test_a_draft_of_cents_more_than_rounding_is_stale(judge: Judge) -> None:
    """0.01 and what a second is worth, 0.0278: 0.03 is rounding, 0.04 is not; without payers nothing is."""
    sources = shared(A=60, B=40).put("rate", "R", price=D(100)).work(1, "03-05", 1)

    def is_stale(amount: str) -> bool:
        judgement = judge(draft(sources, "D1", 1, 0, amount, seconds=2160, client_id="A"))
        return judgement.drafts["time:1", "erp:D1"][2]

    assert [is_stale(amount) for amount in ("59.96", "60.03", "60.04")] == [True, False, True]
    sources.drop("payer_split", "S-A").drop("payer_split", "S-B")
    assert [is_stale(amount) for amount in ("59.99", "60.00", "60.01")] == [True, False, True]


def test_the_split_of_the_work_date(judge: Judge) -> None:
    """60/40 in March, halves from April on: each entry by its own day, and before there is one, the client's."""
    sources = shared(A=60, B=40).put("rate", "R", price=D(100))
    for client in ("A", "B"):
        sources.put("payer_split", f"S-{client}", valid_from=day("03-01"), valid_to=day("04-01"))
        sources.put("payer_split", f"T-{client}", client_id=client, share=D(50), valid_from=day("04-01"))
    judgement = judge(sources.work(1, "02-27", 1).work(2, "03-31", 1).work(3, "04-01", 1))
    assert of_payer(judgement, "A", "2026-02") == unbilled(HOUR, 100)
    assert of_payer(judgement, "B", "2026-02") == ()
    assert (of_payer(judgement, "A"), of_payer(judgement, "B")) == (unbilled(2160, 60), unbilled(1440, 40))
    assert of_payer(judgement, "A", APRIL) == of_payer(judgement, "B", APRIL) == unbilled(1800, 50)
    assert judgement.undivided == {}


def test_shares_that_are_not_the_whole(judge: Judge) -> None:
    """60 and 30 %: all stays with the client, with 1,000.00 at stake, until the shares are right."""
    sources = shared(A=60, B=30).work(1, "03-05", 8)
    judgement = judge(sources)
    assert of_payer(judgement, "A") == unbilled(8 * HOUR, 1000)
    assert of_payer(judgement, "B") == ()
    wrong = ("payer_split:erp:E/2026-01-01",)
    assert judgement.undivided == {("erp:E", "EUR"): (8 * HOUR, D(1000), wrong)}
    judgement = judge(sources.put("payer_split", "S-B", share=D(40)))
    assert of_payer(judgement, "B") == unbilled(11_520, 400)
    assert judgement.undivided == {}


def test_a_payer_who_is_not_there(judge: Judge) -> None:
    """Nobody knows B: all stays with A, and it is said who is missing; once B is there, it pays."""
    sources = shared(A=60, B=40).work(1, "03-05", 8).drop("client", "B")
    judgement = judge(sources)
    assert of_payer(judgement, "A") == unbilled(8 * HOUR, 1000)
    assert judgement.undivided == {("erp:E", "EUR"): (8 * HOUR, D(1000), ("client:erp:B",))}
    assert of_payer(judge(sources.put("client", "B")), "B") == unbilled(11_520, 400)


def test_the_whole_for_the_client_is_no_split(judge: Judge) -> None:
    """100 % for A, after a posting that was corrected: what there is without any split, to the line."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 3, 300, client_id="A")
    sources.work(1, "03-05", 6, version=2).work(2, "03-06", 2)
    plain = judge(sources).proposals
    divided = judge(sources.put("payer_split", "S", share=D(100)))
    assert divided.proposals == plain
    ties(divided)


def test_a_split_that_is_taken_away(judge: Judge) -> None:
    """All is the client's again."""
    sources = shared(A=60, B=40).work(1, "03-05", 8)
    assert of_payer(judge(sources), "B") == unbilled(11_520, 400)
    judgement = judge(sources.drop("payer_split", "S-A").drop("payer_split", "S-B"))
    assert of_payer(judgement, "A") == unbilled(8 * HOUR, 1000)
    assert of_payer(judgement, "B") == ()


def test_over_a_cap_is_nobodys(judge: Judge) -> None:
    """Of 1,000.00 a cap lets 500.00 pass: 300.00 and 200.00."""
    sources = shared(A=60, B=40).put("engagement", "E", cap_money=D(500)).work(1, "03-05", 8)
    judgement = judge(sources)
    assert of_payer(judgement, "A") == unbilled(8640, 300)
    assert of_payer(judgement, "B") == unbilled(5760, 200)


@pytest.mark.parametrize("payer", ["A", "B"])
def test_a_milestone_has_money_only(judge: Judge, payer: str) -> None:
    """500.01 accepted on 10 March: 300.01 and 200.00."""
    sources = shared(A=60, B=40).put("contract_line", "L", billing_method="milestone")
    accepted = {"accepted_on": day("03-10"), "accepted_at": at("03-10 10:00"), "status": "accepted"}
    sources.put("milestone", "M", amount=D("500.01"), due_on=day("03-10"), **accepted)
    assert of_payer(judge(sources), payer) == unbilled(0, {"A": "300.01", "B": "200.00"}[payer])

"""Invoice proposals, each judged by the agents and by the oracle. 8 h at 100 unless stated."""

from __future__ import annotations

from decimal import Decimal

from proposing import Shown
from source_databases import HOUR, D, Sources, at, day
from test_drafts import draft
from two_judges import Judge, Judgement

MARCH, APRIL = "2026-03", "2026-04"
NONE = (0, 0, D(0))


def proposed(judgement: Judgement, month: str = MARCH, payer: str = "erp:A") -> Shown:
    """The proposal of a month, which ties with the segments like all of them."""
    ties(judgement)
    return judgement.proposals["erp:E", month, payer, "EUR"]


def ties(judgement: Judgement) -> None:
    """The sums of all proposals are those of the segments that are unbilled, on draft and billed."""
    segments = [figures for figures in judgement.figures.values() if figures[0] in ("unbilled", "on_draft")]
    billed = [figures for figures in judgement.figures.values() if figures[0] == "billed"]
    of_proposals = [p for s in judgement.proposals.values() for p in (s.unbilled, s.draft, s.credit)]
    assert _sums(of_proposals) == _sums([(1, seconds, amount or D(0)) for _, seconds, amount in segments])
    posted = [shown.billed for shown in judgement.proposals.values()]
    assert _sums(posted) == _sums([(1, seconds, amount or D(0)) for _, seconds, amount in billed])


def _sums(parts: list[tuple[int, int, Decimal]]) -> tuple[int, int, Decimal]:
    return (sum(p[0] for p in parts), sum(p[1] for p in parts), sum((p[2] for p in parts), D(0)))


def test_a_month_of_a_contract_is_proposed(judge: Judge) -> None:
    """Two entries of March are one proposal, with the contract's PO and the payer's tax region; April is another."""
    sources = Sources().put("engagement", "E", po_number="PO-1").put("client", "A", tax_region="DE")
    sources.work(1, "03-05", 8).work(2, "03-06", 2).work(3, "04-01", 1)
    judgement = judge(sources)
    assert proposed(judgement) == Shown(
        "proposed", "PO-1", "DE", (2, 10 * HOUR, D(1000)), NONE, NONE, NONE, ()
    )
    assert proposed(judgement, APRIL).unbilled == (1, HOUR, D(100))


def test_a_proposal_from_draft_to_posting(judge: Judge) -> None:
    """Proposed while something is on no draft, then drafted, then posted, in the month of the posting."""
    sources = draft(Sources().work(1, "03-05", 8).work(2, "03-06", 2), "D1", 1, 8, 800)
    judgement = judge(sources)
    assert proposed(judgement).state == "proposed"
    assert proposed(judgement).draft == (1, 8 * HOUR, D(800))
    assert proposed(judge(draft(sources, "D2", 2, 2, 200))).state == "drafted"
    for line in ("D1", "D2"):
        sources.put("invoice_line", line, status="posted", posted_at=at("04-02 10:00"))
    judgement = judge(sources)
    assert list(judgement.proposals) == [("erp:E", APRIL, "erp:A", "EUR")]
    assert proposed(judgement, APRIL)[3:] == (NONE, NONE, NONE, (2, 10 * HOUR, D(1000)), ())
    assert proposed(judgement, APRIL).state == "posted"


def test_a_stale_draft_is_named(judge: Judge) -> None:
    """A correction leaves nothing for the draft: it is named where the new version is proposed."""
    sources = draft(Sources().work(1, "03-05", 8), "D1", 1, 8, 800).work(1, "03-05", 6, version=2)
    judgement = judge(sources)
    assert proposed(judgement)[3:] == (
        (1, 6 * HOUR, D(600)),
        (1, 0, D(0)),
        NONE,
        NONE,
        ("erp:D1",),
    )
    assert proposed(judgement).state == "stale"


def test_a_late_entry_makes_the_draft_stale(judge: Judge) -> None:
    """It takes the cap that the draft was made for: 200 are proposed, 800 on a draft that says 1,000."""
    sources = Sources().put("engagement", "E", cap_money=D(1000)).work(1, "03-05", 10)
    judgement = judge(draft(sources, "D1", 1, 10, 1000).work(2, "03-04", 2))
    assert proposed(judgement).state == "stale"
    assert proposed(judgement).unbilled == (1, 2 * HOUR, D(200))
    assert proposed(judgement).draft == (1, 8 * HOUR, D(800))


def test_credits_are_not_netted(judge: Judge) -> None:
    """E9: 8 h/1,200 posted, corrected to 6: a credit of 1,200 in the month of the posting, and 900 to bill."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    sources.charge("I1", 1, 8, 1200, client_id="A", posted_at=at("04-02 10:00")).work(
        1, "03-05", 6, version=2
    )
    judgement = judge(sources)
    assert proposed(judgement).unbilled == (1, 6 * HOUR, D(900))
    assert proposed(judgement).credit == NONE
    april = proposed(judgement, APRIL)
    assert (april.state, april.unbilled) == ("credit_due", NONE)
    assert april.credit == (1, -8 * HOUR, D(-1200))
    assert april.billed == (1, 8 * HOUR, D(1200))


def test_a_credit_and_new_work_of_one_month(judge: Judge) -> None:
    """A discount of 200 after the posting of 800 is a credit beside the 300 of other work, not 100 to bill."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800, client_id="A").work(2, "03-06", 3)
    sources.put("bill_adjustment", "B", kind="discount", entry_id="time:1", amount=D(200))
    march = proposed(judge(sources))
    assert (march.unbilled, march.credit) == ((1, 3 * HOUR, D(300)), (1, 0, D(-200)))
    assert march.state == "proposed"


def test_billed_again_after_a_credit(judge: Judge) -> None:
    """A credited invoice leaves its time to be proposed again: nothing is left unseen."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800, client_id="A")
    assert proposed(judge(sources)).state == "posted"
    assert proposed(judge(sources.credit("C1", of="I1"))) == Shown(
        "proposed", None, "EU", (1, 8 * HOUR, D(800)), NONE, NONE, NONE, ()
    )
    assert proposed(judge(draft(sources, "D2", 1, 8, 800))).state == "drafted"


def test_a_part_that_was_credited(judge: Judge) -> None:
    """3 of 8 h posted are credited: 5 h/500 stay billed, 3 h/300 are proposed; none of it twice."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800, client_id="A")
    sources.charge("C1", 1, 3, 300, kind="credit", credits_line_id="I1")
    march = proposed(judge(sources))
    assert (march.unbilled, march.billed) == ((1, 3 * HOUR, D(300)), (1, 5 * HOUR, D(500)))


def test_what_can_not_be_billed_is_not_proposed(judge: Judge) -> None:
    """Over the cap, on hold, parked, not chargeable: there is no proposal of it."""
    sources = Sources().put("engagement", "E", cap_money=D(0)).work(1, "03-05", 8)
    assert judge(sources).proposals == {}
    sources.put("engagement", "E", cap_money=None)
    sources.put("bill_adjustment", "B", kind="hold", entry_id="time:1").work(2, "03-05", 1, project_code="X")
    assert judge(sources).proposals == {}


def test_who_was_billed_stays_so(judge: Judge) -> None:
    """The contract goes to another client: what was posted stays with the first, the rest goes to the second."""
    sources = (
        Sources()
        .work(1, "03-05", 8)
        .charge("I1", 1, 3, 300, client_id="A")
        .put("client", "B", tax_region="UK")
    )
    judgement = judge(sources.put("engagement", "E", client_id="B"))
    assert proposed(judgement, payer="erp:A").state == "posted"
    assert proposed(judgement, payer="erp:B").unbilled == (1, 5 * HOUR, D(500))
    assert proposed(judgement, payer="erp:B").tax_region == "UK"


def test_a_closed_period_proposes_in_the_next(judge: Judge) -> None:
    """E11: approved after March's close, work of 30 March is proposed in April."""
    sources = Sources().put(
        "accounting_period", "M", starts_on=day("03-01"), ends_on=day("04-01"), closed_at=at("04-03 18:00")
    )
    sources.put("accounting_period", "N", starts_on=day("04-01"), ends_on=day("05-01"))
    judgement = judge(sources.work(1, "03-30", 8, approved_at=at("04-04 10:00")))
    assert list(judgement.proposals) == [("erp:E", APRIL, "erp:A", "EUR")]

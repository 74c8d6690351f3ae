"""A price that is changed after a close doesn't change the closed month: the difference is booked when it was decided."""

from __future__ import annotations

import random

from closing import APRIL, MARCH, MAY, closing
from hypothesis import given, settings
from hypothesis import strategies as st
from pricing import priced
from source_databases import HOUR, D, Sources, all_records, at, day
from two_judges import Agents, Booked, Judge, Oracle

from agents.billing import REFERENCE_ENTITIES, BillingReference, Entry, rate_entry
from agents.billing.atclose import AtCloses, at_closes

BASE = "base"


def of(booked: Booked, bucket: str = "unbilled") -> dict[str | None, tuple[int, object]]:
    """Hours and money of entry 1 by month, in a bucket."""
    return {
        month: (seconds // HOUR, amount)
        for (entry, segment, of_bucket, month), (seconds, amount) in booked.items()
        if (entry, segment, of_bucket) == ("time:1", BASE, bucket)
    }


def versions(sources: Sources) -> AtCloses:
    """How entry 1 was priced at closes."""
    reference = BillingReference()
    for entity, record in all_records(sources):
        if entity in REFERENCE_ENTITIES:
            reference.apply(entity, record["id"], record)
    [row] = [record for entity, record in all_records(sources) if entity == "time_entry"]
    entry = Entry.from_record(row)
    return at_closes(row["id"], entry, rate_entry(entry, reference), reference)


def test_a_rate_changed_after_the_close(judge: Judge) -> None:
    """8 h at 150 of March; on 10 April it is 160 from 1 March on: March stays, April has -8 h/-1,200 and 8 h/1,280."""
    sources = closing()
    assert of(judge(sources).booked) == {MARCH: (8, D(1200))}
    sources.decide("rate", "R", "04-10 09:00", price=D(160), effective_from=day("03-01"))
    judgement = judge(sources)
    assert of(judgement.booked) == {MARCH: (8, D(1200)), APRIL: (0, D(80))}
    assert judgement.figures["time:1", BASE] == ("unbilled", 8 * HOUR, D(1280))


def test_the_ledger_shows_both_sides() -> None:
    """-8 h/-1,200 and 8 h/1,280, both of April."""
    agents, sources = Agents(), closing()
    agents(sources)
    agents(sources.decide("rate", "R", "04-10 09:00", price=D(160)))
    lines = [
        (line.kind, line.segment.accounting_date, line.segment.seconds, line.segment.amount)
        for line in agents.lines
    ]
    assert lines == [
        ("REVERSAL", day("04-01"), -8 * HOUR, D(-1200)),
        ("CHARGE", day("04-01"), 8 * HOUR, D(1280)),
    ]


def test_a_rate_changed_before_the_close_moves_the_month(judge: Judge) -> None:
    """Decided on 2 April, it is March's whenever it arrives; decided at the close, it is April's."""
    sources = closing().decide("rate", "R", "04-02 09:00", price=D(160))
    assert of(judge(sources).booked) == {MARCH: (8, D(1280))}
    sources = closing().decide("rate", "R", "04-03 18:00", price=D(160))
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (0, D(80))}


def test_a_rate_that_is_changed_at_every_close(judge: Judge) -> None:
    """150, 160 since 10 April, 155 since 10 May: each month has its own difference."""
    sources = closing().decide("rate", "R", "04-10 09:00", price=D(160))
    sources.decide("rate", "R", "05-10 09:00", price=D(155))
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (0, D(80)), MAY: (0, D(-40))}


def test_a_rate_first_made_after_the_close(judge: Judge) -> None:
    """At the close there was no price: March keeps 8 h parked, April has them back, and all the money."""
    sources = closing().put("rate", "R", decided_at=at("04-10 09:00"))
    booked = judge(sources).booked
    assert of(booked, "parked") == {MARCH: (8, None), APRIL: (-8, None)}
    assert of(booked) == {APRIL: (8, D(1200))}


def test_a_rate_taken_away_after_the_close(judge: Judge) -> None:
    """March keeps its money; in April it is not known any more."""
    booked = judge(closing().end("rate", "R", "04-10 09:00")).booked
    assert of(booked) == {MARCH: (8, D(1200)), APRIL: (-8, D(-1200))}
    assert of(booked, "parked") == {APRIL: (8, None)}


def test_a_rate_that_ends_later_moves_nothing(judge: Judge) -> None:
    """Its last day is decided after the close, and lies behind the work: nothing was known otherwise."""
    sources = closing().decide("rate", "R", "04-10 09:00", effective_to=day("07-01"))
    sources.put("rate", "R2", price=D(170), effective_from=day("07-01"), decided_at=at("04-10 09:00"))
    assert of(judge(sources).booked) == {MARCH: (8, D(1200))}
    assert versions(sources).versions == ()


def test_a_more_specific_rate_made_after_the_close(judge: Judge) -> None:
    """The default of 150 priced March; a price of the project and role, made on 10 April, prices it now."""
    sources = closing().put(
        "rate", "R2", project_id="P", role="dev", price=D(140), decided_at=at("04-10 09:00")
    )
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (0, D(-80))}


def test_a_rate_of_another_scope_before_the_close(judge: Judge) -> None:
    """A rate of the project was made one of another on 10 April: at the close it was this one's."""
    sources = closing().put("rate", "R2", project_id="P", role="dev", price=D(140))
    sources.decide("rate", "R2", "04-10 09:00", project_id="P2")
    assert of(judge(sources).booked) == {MARCH: (8, D(1120)), APRIL: (0, D(80))}


def dollars() -> Sources:
    """At USD 150 an hour, and 0.90 EUR to the dollar."""
    sources = closing().put("rate", "R", currency="USD")
    return sources.put(
        "fx_rate", "F", from_currency="USD", to_currency="EUR", day=day("03-30"), rate=D("0.90")
    )


def test_an_exchange_rate_corrected_after_the_close(judge: Judge) -> None:
    """8 h at USD 150 at 0.90 are 1,080.00; at 0.92, as was corrected on 10 April, 1,104.00."""
    assert of(judge(dollars()).booked) == {MARCH: (8, D(1080))}
    sources = dollars().decide("fx_rate", "F", "04-10 09:00", rate=D("0.92"))
    assert of(judge(sources).booked) == {MARCH: (8, D(1080)), APRIL: (0, D(24))}


def test_an_exchange_rate_published_late(judge: Judge) -> None:
    """A later day's rate that was published after the close: Friday's served until then."""
    sources = dollars().put("fx_rate", "F", day=day("03-27"))
    late = {"day": day("03-30"), "rate": D("0.92"), "decided_at": at("04-10 09:00")}
    sources.put("fx_rate", "F2", from_currency="USD", to_currency="EUR", **late)
    assert of(judge(sources).booked) == {MARCH: (8, D(1080)), APRIL: (0, D(24))}
    sources.drop("fx_rate", "F")
    booked = judge(sources).booked
    assert of(booked, "parked") == {MARCH: (8, None), APRIL: (-8, None)}
    assert of(booked) == {APRIL: (8, D(1104))}


def test_a_correction_and_a_new_price(judge: Judge) -> None:
    """Corrected to 6 h on 5 April, and 160 since 10 May: at the close of April it was 6 h at 150."""
    sources = closing().correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    sources.decide("rate", "R", "05-10 09:00", price=D(160))
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (-2, D(-300)), MAY: (0, D(60))}


def test_corrected_at_the_close(judge: Judge) -> None:
    """A version that ends at the close stood until then, at the price that the close knew."""
    sources = closing().correct(1, "04-03 18:00", hours=D(6), approved_at=at("04-03 18:00"))
    sources.decide("rate", "R", "04-10 09:00", price=D(160))
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (-2, D(-240))}


def test_a_posted_line_keeps_its_price(judge: Judge) -> None:
    """5 h/750 posted in March: the new price is for the other 3 h, unless it applies to invoiced time."""
    change = {"price": D(160)}
    sources = closing().charge("I", 1, 5, 750, posted_at=at("03-31 09:00"))
    assert of(judge(sources).booked) == {MARCH: (3, D(450))}
    assert of(judge(sources.decide("rate", "R", "04-10 09:00", **change)).booked) == {
        MARCH: (3, D(450)),
        APRIL: (0, D(30)),
    }
    sources = closing().charge("I", 1, 5, 750, posted_at=at("03-31 09:00"))
    sources.decide("rate", "R", "04-10 09:00", **change, applies_to_invoiced=True)
    assert of(judge(sources).booked) == {MARCH: (3, D(450)), APRIL: (0, D(80))}


def test_a_contract_that_shares(judge: Judge) -> None:
    """Under a cap, with a day minimum: the closed month stays as it does without."""
    for table, terms in (
        ("engagement", {"cap_money": D(9000)}),
        ("contract_line", {"day_minimum_hours": D(4)}),
    ):
        sources = closing().put(table, "E" if table == "engagement" else "L", **terms)
        sources.decide("rate", "R", "04-10 09:00", price=D(160))
        assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (0, D(80))}


def test_a_milestone_has_no_price_to_know(judge: Judge) -> None:
    """5,000 accepted on 30 March, whatever becomes of the rates."""
    accepted = {"status": "accepted", "accepted_on": day("03-30"), "accepted_at": at("03-30 12:00")}
    sources = closing().put("milestone", "M", amount=D(5000), due_on=day("03-30"), **accepted)
    sources.decide("rate", "R", "04-10 09:00", price=D(160))
    booked = {key: of for key, of in judge(sources).booked.items() if key[0] == "erp:M"}
    assert booked == {("erp:M", BASE, "unbilled", MARCH): (0, D(5000))}


def test_no_close_and_no_history_cost_nothing() -> None:
    """Without anything decided about prices since the approval no close is looked at; without closes only noted."""
    assert versions(closing()) == AtCloses((), (), None)
    assert versions(closing().put("rate", "R", decided_at=at("04-01 08:59"))) == AtCloses((), (), None)
    sources = closing().decide("rate", "R", "04-02 09:00", price=D(160))
    assert versions(sources).versions == ()
    assert versions(sources).last == at("04-02 09:00")


def test_closes_that_knew_the_same_are_one_version() -> None:
    """150 at the closes of March and April, changed in May: one version, until the later close."""
    found = versions(closing().decide("rate", "R", "05-10 09:00", price=D(160)))
    [version] = found.versions
    assert (version.id, version.item.amount) == ("close:2026-05-04T18:00:00+00:00:time:1", D(1200))
    assert version.ended_at == at("05-04 18:00")


@settings(max_examples=150, deadline=None)
@given(priced(), st.integers(0, 2**32))
def test_both_judges_agree_in_any_order(
    rows: list[tuple[str, str | int, dict[str, object]]], seed: int
) -> None:
    """Whatever arrives first: the books, the present, and the ledger's laws."""
    agents, rng, sources = Agents(), random.Random(seed), Sources()
    for table in sources.tables.values():
        table.clear()
    for table_name, native, row in rows:
        sources.tables[table_name][native] = row
        if rng.random() < 0.15:
            agents(sources)
    said, expected = agents(sources), Oracle()(sources)
    assert (said.booked, said.figures) == (expected.booked, expected.figures)
    agents(sources)
    assert agents.lines == ()


def test_an_expense_at_an_exchange_rate_corrected_after_the_close(judge: Judge) -> None:
    """USD 100 of 30 March at 0.90: March keeps 90; the 0.92 of 10 April is 2 more in April, under a cap, too."""
    for cap in (None, D(5000)):
        sources = dollars().put("engagement", "E", cap_money=cap).drop("time_entry", 1)
        sources.spend("X", "03-30", 100, currency="USD", approved_at=at("04-01 09:00"))
        sources.decide("fx_rate", "F", "04-10 09:00", rate=D("0.92"))
        judged = judge(sources)
        assert judged.figures == {("erp:X", BASE): ("unbilled", 0, D("92.00"))}
        assert {month: money for (_, _, _, month), (_, money) in judged.booked.items()} == {
            MARCH: D("90.00"),
            APRIL: D("2.00"),
        }


def test_another_rate_of_the_same_price(judge: Judge) -> None:
    """At the close it was the price of one rate, now it is that of another: taken back and booked in April, as much;
    a draft takes of what stands there."""
    sources = closing(version=2).put("rate", "R2", role="dev", price=D(150), decided_at=at("04-10 09:00"))
    sources.charge("I", 1, 3, 450, entry_version=2, status="draft", posted_at=None)
    assert of(judge(sources).booked) == {MARCH: (8, D(1200)), APRIL: (-3, D(-450))}
    assert judge(sources).booked["time:1", "draft:erp:I", "on_draft", APRIL] == (3 * HOUR, D(450))

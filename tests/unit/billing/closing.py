"""Source databases of a firm that closes its months, and random histories of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from source_databases import D, Sources, at, day

MARCH, APRIL, MAY = "2026-03", "2026-04", "2026-05"


def closing(**columns: object) -> Sources:
    """March closed on 3 April 18:00, April on 4 May 18:00; 150 an hour."""
    sources = Sources().put("rate", "R", price=D(150))
    for month, starts, ends, closed in (
        (MARCH, "03-01", "04-01", "04-03 18:00"),
        (APRIL, "04-01", "05-01", "05-04 18:00"),
        (MAY, "05-01", "06-01", None),
    ):
        closes = {"status": "closed", "closed_at": at(closed)} if closed else {}
        sources.put("accounting_period", month, starts_on=day(starts), ends_on=day(ends), **closes)
    return sources.work(1, "03-30", 8, approved_at=at("04-01 09:00"), **columns)


moments = st.integers(0, 60).map(lambda days: datetime(2026, 3, 25, 12, tzinfo=UTC) + timedelta(days=days))


@st.composite
def contracts(draw: st.DrawFn) -> Sources:
    """March and April closed, of a contract whose entries share something."""
    sources, one_of = closing(), st.sampled_from
    cap = {"cap_money": draw(one_of([None, D(700), D(1300)])), "cap_hours": draw(one_of([None, D(9)]))}
    sources.put("engagement", "E", **cap, over_cap_action=draw(one_of(["hold", "write_off", "bill"])))
    method = draw(one_of(["tm", "tm", "per_diem", "retainer", "prepaid"]))
    terms: dict[str, object] = {"billing_method": method}
    if method == "tm":
        minimum = draw(one_of([None, D(8), D(14)]))
        terms |= {"day_minimum_hours": minimum, "cap_money": draw(one_of([None, D(900)]))}
    if method == "per_diem":
        terms |= {"per_diem_amount": D(800)}
    if method in ("retainer", "prepaid"):
        terms |= {"included_hours": draw(one_of([None, D(0), D(5)])), "fee": D(1000)}
    if method == "retainer":
        terms |= {"unused_hours": "roll_over", "starts_on": day("03-01")}
    if method == "prepaid" and draw(st.booleans()):
        ends = draw(one_of([None, day("03-31")]))
        sources.put("prepaid_lot", "B", contract_line_id="L", hours=D(6), fee=D(900), expires_on=ends)
    sources.put("contract_line", "L", **terms)
    for number in range(draw(st.integers(0, 2))):
        was = {"cap_money": draw(one_of([None, D(400), D(1000)])), "ended_at": draw(moments)}
        sources.put("engagement_version", f"V{number}", engagement_id="E", **was)
    for number in range(draw(st.integers(0, 2))):
        was = {"cap_money": draw(one_of([None, D(500)])), "ended_at": draw(moments)}
        was |= {"included_hours": draw(one_of([None, D(7)])), "per_diem_amount": draw(one_of([None, D(700)]))}
        was |= {
            "day_minimum_hours": draw(one_of([None, D(10)])),
            "expires_on": draw(one_of([None, day("03-31")])),
        }
        sources.put("contract_line_version", f"V{number}", contract_line_id="L", **was, starts_on=None)
    return sources


@st.composite
def histories(
    draw: st.DrawFn, of: st.SearchStrategy[Sources] | None = None, entries: int = 2
) -> list[tuple[str, str | int, dict[str, object]]]:
    """Rows of entries with their versions, of postings, credits and adjustments, in any order."""
    sources = closing() if of is None else draw(of)
    for month in (MARCH, APRIL):
        closed = draw(st.none() | moments)
        sources.put("accounting_period", month, closed_at=closed, status="closed" if closed else "open")
    for number in range(1, entries + 1):
        sources.work(number, draw(st.sampled_from(["03-30", "04-02"])), draw(st.integers(1, 9)))
        sources.put("time_entry", number, approved_at=draw(st.none() | moments))
        for _ in range(draw(st.integers(0, 2))):
            ended = draw(moments)
            changed = {
                "hours": D(draw(st.integers(0, 9))),
                "approved_at": ended + draw(st.sampled_from([timedelta(0), timedelta(days=3)])),
            }
            status = draw(st.sampled_from(["approved", "approved", "submitted", "withdrawn"]))
            sources.correct(number, f"{ended:%m-%d %H:%M}", status=status, **changed)
            if status != "approved":
                break
        if draw(st.booleans()):
            version = sources.tables["time_entry"][number]["version"]
            given = {"posted_at": draw(moments), "entry_version": draw(st.integers(1, version))}
            status = draw(st.sampled_from(["posted", "posted", "draft"]))
            sources.charge(f"I{number}", number, draw(st.integers(1, 9)), 600, status=status, **given)
            if status == "posted" and draw(st.booleans()):
                sources.credit(f"C{number}", f"I{number}").put(
                    "invoice_line", f"C{number}", posted_at=draw(moments)
                )
        if draw(st.booleans()):
            kind = draw(st.sampled_from(["write_off", "hold", "discount"]))
            given = {"hours": D(draw(st.integers(1, 9))), "amount": D(100), "decided_at": draw(moments)}
            released = draw(st.none() | moments)
            sources.put(
                "bill_adjustment",
                f"A{number}",
                entry_id=f"time:{number}",
                kind=kind,
                released_at=released,
                **given,
            )
    if sources.tables["contract_line"]["L"]["billing_method"] == "per_diem" and draw(st.booleans()):
        of_day = {"entry_id": "day:erp:C:erp:L:2026-03-30", "posted_at": draw(moments)}
        sources.charge("ID", 0, 0, 800, **of_day)
    rows = [(t, native, row) for t, of_table in sources.tables.items() for native, row in of_table.items()]
    return draw(st.permutations(rows))

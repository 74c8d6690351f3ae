"""Random histories of work at prices that are made, changed and taken away around closes."""

from __future__ import annotations

from closing import histories, moments
from hypothesis import strategies as st
from source_databases import D, Sources, day

prices = st.integers(1, 4).map(lambda tens: D(100 + 10 * tens))
since = st.none() | moments


@st.composite
def priced(draw: st.DrawFn) -> list[tuple[str, str | int, dict[str, object]]]:
    """`histories` of work at prices that are made, changed, moved to another scope, doubled and taken away."""
    sources = Sources()
    for table in sources.tables.values():
        table.clear()
    for table_name, native, row in draw(histories()):
        sources.tables[table_name][native] = row
    scopes = st.sampled_from([{}, {"role": "dev"}, {"project_id": "P", "role": "dev"}, {"client_id": "A"}])
    none = dict.fromkeys(("project_id", "client_id", "role"))
    spans = st.sampled_from([("01-01", None), ("03-01", "04-01"), ("04-01", None)])

    def content() -> dict[str, object]:
        start, end = draw(spans)
        until = None if end is None else day(end)
        currency = draw(st.sampled_from(["EUR", "EUR", "USD"]))
        invoiced = draw(st.booleans())
        price = {"price": draw(prices), "currency": currency, "applies_to_invoiced": invoiced}
        return {**none, **draw(scopes), **price, "effective_from": day(start), "effective_to": until}

    def chain(table: str, native: str, make: object) -> None:
        decided = draw(since)
        sources.put(table, native, **make(), decided_at=decided)  # type: ignore[operator]
        for _ in range(draw(st.integers(0, 2))):
            when = draw(moments)
            sources.decide(table, native, f"{when:%m-%d %H:%M}", **make())  # type: ignore[operator]
        if draw(st.integers(0, 4)) == 0:
            sources.end(table, native, f"{draw(moments):%m-%d %H:%M}")

    for native in ("R", "R2")[: draw(st.integers(1, 2))]:
        chain("rate", native, content)

    def published() -> dict[str, object]:
        on = draw(st.sampled_from(["03-26", "03-30", "04-01"]))
        rate = draw(st.sampled_from([D("0.90"), D("0.92"), D("0.94")]))
        return {"from_currency": "USD", "to_currency": "EUR", "day": day(on), "rate": rate}

    for native in ("F", "F2")[: draw(st.integers(0, 2))]:
        chain("fx_rate", native, published)
    rows = [(t, native, row) for t, of_table in sources.tables.items() for native, row in of_table.items()]
    return draw(st.permutations(rows))

"""What people cost does not get out by the errors of its rows."""

from __future__ import annotations

from stage_builders import NAN, Firm, firm

from streams.contracts.confidential import withheld

RATES = "cdc.erp.public.cost_rate"


def test_exceptions_of_cost_rates_show_no_cost() -> None:
    """A cost that is no number, a range that is none, bytes that are no record: where, without bytes and values."""
    source = Firm(seed=0)
    for transaction in firm().seed:
        source.commit(transaction)
    row = next(iter(firm().tables()["cost_rate"].values()))
    source.insert("cost_rate", **{**row, "id": "CR-X1", "cost": NAN})
    change = source.insert("cost_rate", **{**row, "id": "CR-X2", "effective_to": row["effective_from"]})
    source.driver.produce(RATES, change.key, b"62.12")
    source.run()
    found = [one for one in source.exceptions().values() if one["raw_topic"] == RATES]
    assert [(one["raw_key"], one["raw_value"]) for one in found] == [(None, None)] * 3
    secret = "what it says is confidential; see the source"
    assert {one["message"].split(" ", 1)[1] for one in found} == {
        f"cost_rate.cost (column cost): {secret}",
        f"cost_rate.effective_from (column effective_from): {secret}",
        f"record: {secret}",
    }
    assert source.dead_letters() == [b"62.12"]  # of the topic, whose data class is confidential, too


def test_a_message_keeps_its_place_alone() -> None:
    """The mapping's line, field and column stay; what follows may be a value."""
    said = "reference-erp.yaml:147 cost_rate.cost (column cost): 62.12345 has more than 4 decimals"
    place = "reference-erp.yaml:147 cost_rate.cost (column cost)"
    assert withheld(said) == f"{place}: what it says is confidential; see the source"
    assert withheld("62.12") == "the record: what it says is confidential; see the source"

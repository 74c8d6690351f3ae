"""A record that is handed over with what it decodes to is, to the last digit, the record that is fetched."""

from __future__ import annotations

from collections import Counter

import pytest
from stage_builders import Firm

from streams.lanes.core import LaneCore
from streams.lanes.records import PlainRecord


@pytest.mark.parametrize("debezium", [False, True])
def test_what_is_handed_over_is_what_is_fetched(monkeypatch: pytest.MonkeyPatch, debezium: bool) -> None:
    """All fields in their order, of the same types, with as many digits: a stage may make text of any of them."""
    it = Firm(7, debezium=debezium)
    handed: Counter[str] = Counter()
    hand = LaneCore.hand

    def compare(core: LaneCore, record: PlainRecord) -> None:
        assert record.value is not None
        if record.decoded is not None:
            assert repr(record.decoded) == repr(it.driver.decoder.decode(record.value))
            handed[record.topic] += 1
        hand(core, record)

    monkeypatch.setattr(LaneCore, "hand", compare)
    it.live_through()
    it.run()
    it.driver.tick(1)
    it.run()
    it.assert_oracle()
    assert handed["canonical.time_entry"] > 100
    assert handed["billing.rated"] > 100
    assert handed.keys() >= {"canonical.milestone", "canonical.invoice_line", "canonical.bill_adjustment"}

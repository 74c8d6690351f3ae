"""What records do to the live views."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from connectors.sinks.redis import keys
from connectors.sinks.redis.changes import sort
from connectors.sinks.redis.views import event_time, fold_exception, fold_windows
from tests.unit.sinks.sink_builders import DAY, T0, batch, exception, ledger_line, message, record_of, window

TODAY = date(2026, 3, 4)


def test_a_window_is_found_by_its_date() -> None:
    """A reader names the field from the Monday of today, and finds exact numbers."""
    change = fold_windows({}, [window()], TODAY)
    found = json.loads(change.set["week:2026-03-02"])
    assert (found["billable_seconds"], found["capacity_seconds"], found["utilization"]) == (
        108_000,
        144_000,
        "0.750000",
    )
    assert found["deleted"] is False
    assert change.expires_at is not None
    assert change.expires_at.date() == DAY + timedelta(days=7) + keys.KEEP_WINDOWS


def test_an_older_revision_changes_nothing() -> None:
    """A record read again after a later one is stale, within a batch and across batches."""
    held = fold_windows({}, [window(revision=2)], TODAY).set
    change = fold_windows(held, [window(revision=1)], TODAY)
    assert (change.set, change.stale) == ({}, 1)
    change = fold_windows({}, [window(revision=2, worked_seconds=5), window(revision=1)], TODAY)
    assert json.loads(change.set["week:2026-03-02"])["worked_seconds"] == 5
    assert change.stale == 1


def test_the_same_revision_again_is_applied() -> None:
    """Of one revision the last record in the topic counts, as in the fold of the topic."""
    held = fold_windows({}, [window(revision=2)], TODAY).set
    change = fold_windows(held, [window(revision=2, deleted=True)], TODAY)
    assert json.loads(change.set["week:2026-03-02"])["deleted"] is True


def test_windows_of_long_ago_are_dropped() -> None:
    """A window goes 35 days after its end, and one that arrives later than that is not kept at all."""
    held = fold_windows({}, [window()], TODAY).set
    change = fold_windows(held, [window(starts_on=DAY + timedelta(days=49))], DAY + timedelta(days=49))
    assert change.delete == ["week:2026-03-02"]
    assert list(change.set) == ["week:2026-04-20"]
    change = fold_windows({}, [window()], DAY + timedelta(days=100))
    assert (change.set, change.expires_at) == ({}, None)


@pytest.mark.parametrize(
    ("state", "shown", "resolved"),
    [("waiting", False, False), ("open", True, False), ("resolved", False, True)],
)
def test_only_open_exceptions_are_shown(state: str, shown: bool, resolved: bool) -> None:
    """An exception in its grace period is not for people yet, a resolved one no longer."""
    change, stale = fold_exception(None, [exception(state=state)])
    assert change is not None
    assert (change.open_since_ms is not None, change.resolved, stale) == (shown, resolved, 0)
    assert change.fields["missing_keys"] == '["rate:erp:3/erp:1"]'
    assert change.fields["amount"] == ""
    assert not any(name.startswith("raw_") for name in change.fields)


def test_a_resolved_exception_is_not_reopened_by_an_old_record() -> None:
    """Lower revisions than the one held are stale."""
    assert fold_exception(3, [exception(revision=2)]) == (None, 1)
    change, stale = fold_exception(3, [exception(revision=2), exception(revision=3, state="resolved")])
    assert change is not None
    assert (change.fields["state"], stale) == ("resolved", 1)


def test_records_without_what_a_view_needs_are_set_aside() -> None:
    """A record whose writer had another type for a key is refused; freshness counts the good ones only."""
    bad = window(starts_on=DAY)
    bad["starts_on"] = "2026-03-02"
    good = ledger_line(1, occurred_at=T0 + timedelta(seconds=9))
    found = sort(
        batch(
            message("utilization.windows", 0, bad),
            message("billing.events", 0, good),
            message("billing.events", 1, ledger_line(2)),
        )
    )
    assert [m.offset for m in found.refused] == [0]
    assert found.newest == {"billing.events": T0 + timedelta(seconds=9)}


def test_every_topic_of_the_sink_has_an_event_time() -> None:
    """Freshness can be told for each topic that the sink reads."""
    from connectors.sinks.redis import RedisTarget

    assert all(event_time(record_of(topic)) == T0 for topic in RedisTarget.topics)

"""The life of an exception: every transition, the grace period, revisions, repetitions, timers, bytes."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from agents.exceptions import TRANSITIONS, Event, GraceTimers, Incident, State, apply, due, load_catalogue
from streams.contracts import load_schema
from streams.errors import ContractViolation

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
GRACE = timedelta(seconds=60)
CATALOGUE = load_catalogue(GRACE)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def raised(revision: int = 1, kind: str = "MISSING_RATE", **more: Any) -> dict[str, Any]:
    report = {
        "op": "RAISE",
        "revision": revision,
        "flow": "billing",
        "subject": "time:7",
        "exception_class": kind,
    }
    return {**report, "message": "no rate", "missing_keys": ["rate:erp:L-1/erp:C-1"], "seconds": 3600, **more}


def cleared(revision: int = 2) -> dict[str, Any]:
    return {"op": "CLEAR", "revision": revision, "flow": "billing", "subject": "time:7"}


def waiting() -> Incident:
    incident = apply(None, raised(), NOW, CATALOGUE)
    assert incident is not None
    return incident


def opened() -> Incident:
    return due(waiting(), at(60))


def resolved() -> Incident:
    incident = apply(opened(), cleared(), at(100), CATALOGUE)
    assert incident is not None
    return incident


def test_new_incident_waits() -> None:
    """A report begins the grace period and is given its class's queue, severity and what it blocks."""
    incident = waiting()
    assert (incident.exception_id, incident.revision, incident.state) == ("billing|time:7", 1, "waiting")
    assert (incident.queue, incident.severity, incident.blocks) == ("finance-systems", "high", "billing")
    assert (incident.first_seen_at, incident.last_seen_at, incident.visible_at) == (NOW, NOW, at(60))
    assert (incident.times_seen, incident.resolved_at) == (1, None)


def test_opens_after_the_grace_period() -> None:
    """Its owner sees it from the end of the grace period on, once."""
    incident = waiting()
    assert due(incident, at(59.9)) is incident
    shown = due(incident, at(60))
    assert (shown.state, shown.revision, shown.visible_at) == ("open", 2, at(60))
    assert due(shown, at(999)) is shown


def test_clears_inside_the_grace_period() -> None:
    """What clears by itself in time never was open."""
    incident = apply(waiting(), cleared(), at(30), CATALOGUE)
    assert incident is not None
    assert (incident.state, incident.resolved_at, incident.revision) == ("resolved", at(30), 2)
    assert due(incident, at(999)) is incident


def test_clears_when_open() -> None:
    """An open one is resolved when its flow says so."""
    incident = resolved()
    assert (incident.state, incident.resolved_at, incident.revision) == ("resolved", at(100), 3)


def test_seen_again() -> None:
    """A repeated sighting counts and dates, without a new revision and without a longer grace period."""
    again = apply(waiting(), raised(2), at(30), CATALOGUE)
    assert again is not None
    assert (again.times_seen, again.first_seen_at, again.last_seen_at) == (2, NOW, at(30))
    assert (again.revision, again.visible_at, again.state) == (1, at(60), "waiting")
    other = apply(again, raised(3, missing_keys=["rate:x"]), at(40), CATALOGUE)
    assert other is not None
    assert (other.revision, other.missing_keys) == (2, ("rate:x",))


def test_seen_again_when_open() -> None:
    """An open one stays open, whatever is reported of it."""
    again = apply(opened(), raised(2, seconds=7200), at(200), CATALOGUE)
    assert again is not None
    assert (again.state, again.revision, again.seconds, again.visible_at) == ("open", 3, 7200, at(60))


def test_raised_again_after_resolution() -> None:
    """What comes back is a new incident with its own grace period; the sightings go on counting."""
    again = apply(resolved(), raised(3), at(500), CATALOGUE)
    assert again is not None
    assert (again.state, again.first_seen_at, again.visible_at) == ("waiting", at(500), at(560))
    assert (again.times_seen, again.resolved_at, again.revision) == (2, None, 4)


def test_clear_of_nothing() -> None:
    """A clear of what was never raised leaves nothing behind; a second clear changes no revision."""
    assert apply(None, cleared(), NOW, CATALOGUE) is None
    before = resolved()
    after = apply(before, cleared(5), at(300), CATALOGUE)
    assert after == replace(before, report=5)
    assert apply(after, raised(4), at(301), CATALOGUE) is after


def test_old_and_repeated_reports() -> None:
    """A report older than the last, and the last one delivered again, change nothing at all."""
    incident = apply(waiting(), raised(5, seconds=1), at(1), CATALOGUE)
    assert incident is not None
    assert apply(incident, raised(4), at(2), CATALOGUE) is incident
    assert apply(incident, cleared(4), at(2), CATALOGUE) is incident
    assert apply(incident, raised(5, seconds=1), at(2), CATALOGUE) is incident
    different = apply(incident, raised(5, seconds=2), at(2), CATALOGUE)
    assert different is not None
    assert (different.seconds, different.revision) == (2, incident.revision + 1)
    done = resolved()
    assert apply(done, cleared(2), at(999), CATALOGUE) is done


def test_no_grace() -> None:
    """Where nothing that arrives later could clear it, people see it at once."""
    incident = apply(None, raised(kind="POISON"), NOW, CATALOGUE)
    assert incident is not None
    assert (incident.state, incident.visible_at, incident.revision) == ("open", NOW, 1)


def test_class_changes_while_waiting() -> None:
    """Another class brings its queue, and can only shorten the wait."""
    sooner = apply(waiting(), raised(2, "POISON"), at(10), CATALOGUE)
    assert sooner is not None
    assert (sooner.state, sooner.visible_at, sooner.queue) == ("open", at(10), "reliability")
    same = apply(waiting(), raised(2, "MISSING_FX"), at(10), CATALOGUE)
    assert same is not None
    assert (same.state, same.visible_at, same.exception_class) == ("waiting", at(60), "MISSING_FX")


def test_report_says_what_it_blocks() -> None:
    """A flow's own word on what is blocked goes before the class's."""
    incident = apply(None, raised(blocks="utilization"), NOW, CATALOGUE)
    assert incident is not None
    assert incident.blocks == "utilization"


def test_class_of_a_newer_version() -> None:
    """A class that this version does not know is kept under its name, with the engineers."""
    incident = apply(None, raised(kind="NEW_KIND"), NOW, CATALOGUE)
    assert incident is not None
    assert (incident.exception_class, incident.queue) == ("NEW_KIND", "billing-engineering")


def test_table_is_complete() -> None:
    """Every state knows every event; only the timer has no meaning where there is no incident."""
    states = [None, *State]
    assert set(TRANSITIONS) == {(s, e) for s in states for e in Event} - {(None, Event.DUE)}
    for state in State:
        assert TRANSITIONS[state, Event.CLEAR] is State.RESOLVED


MAKERS = {State.WAITING: waiting, State.OPEN: opened, State.RESOLVED: resolved}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_table_is_what_happens(state: State, event: Event) -> None:
    """The functions do what the table says, in every cell."""
    incident = MAKERS[state]()
    moment = at(1000)
    if event is Event.DUE:
        after: Incident | None = due(incident, moment)
    else:
        report = raised(9) if event is Event.RAISE else cleared(9)
        # While its grace period lasts, for one that is waiting.
        moment = at(10) if state is State.WAITING else moment
        after = apply(incident, report, moment, CATALOGUE)
    assert after is not None
    assert after.state == TRANSITIONS[state, event]


def test_record_fits_its_schema() -> None:
    """The record has exactly the fields of its schema, raw bytes and money included."""
    raw: dict[str, Any] = {
        "raw_topic": "cdc.time",
        "raw_partition": 1,
        "raw_offset": 9,
        "raw_key": b"k",
        "raw_value": b"\x00\xff",
    }
    incident = apply(None, raised(amount=Decimal("12.50"), currency="EUR", **raw), NOW, CATALOGUE)
    assert incident is not None
    schema = load_schema("events/exception_state")
    assert incident.to_record().keys() == {field["name"] for field in schema["fields"]}
    schemaless_writer(io.BytesIO(), parse_schema(schema), incident.to_record())
    assert Incident.from_bytes(incident.to_bytes()) == incident


def test_state_of_another_version() -> None:
    """Stored state with other fields is refused, not misread."""
    with pytest.raises(ContractViolation, match="other fields"):
        Incident.from_bytes(b'{"revision":1}')


def test_timers() -> None:
    """Grace periods come up once, in order, and only for incidents that wait."""
    timers = GraceTimers()
    for number, seconds in ((1, 5), (2, 3), (3, 9)):
        incident = replace(waiting(), exception_id=f"x|{number}", visible_at=at(seconds))
        timers.watch(incident)
        timers.watch(incident)
    timers.watch(opened())
    assert len(timers) == 6
    assert timers.take_due(at(2)) == []
    assert timers.take_due(at(5)) == ["x|2", "x|1"]
    assert timers.take_due(at(100)) == ["x|3"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["RAISE", "CLEAR", "DUE"]),
        st.integers(0, 90),
        st.sampled_from(["MISSING_RATE", "MISSING_FX", "POISON"]),
        st.integers(0, 2),
    ),
    max_size=25,
)


@given(STEPS, st.integers(1, 3))
def test_laws(steps: list[tuple[str, int, str, int]], deliveries: int) -> None:
    """Through any history: a revision is one more exactly when the content changed, repeated delivery
    changes nothing, waiting ends in time, and bytes restore it all."""
    incident: Incident | None = None
    clock = NOW
    for number, (op, pause, kind, seconds) in enumerate(steps, 1):
        clock += timedelta(seconds=pause)
        before = incident
        if op == "DUE":
            incident = due(incident, clock) if incident is not None else None
        else:
            report = raised(number, kind, seconds=seconds) if op == "RAISE" else cleared(number)
            for _ in range(deliveries):
                incident = apply(incident, report, clock, CATALOGUE)
        if incident is None:
            assert before is None
            continue
        assert Incident.from_bytes(incident.to_bytes()) == incident
        assert incident.first_seen_at <= incident.last_seen_at <= clock
        assert (incident.resolved_at is not None) is (incident.state == State.RESOLVED)
        assert incident.visible_at - incident.first_seen_at <= GRACE
        if before is None:
            assert incident.revision == 1
            continue
        ignored: dict[str, Any] = {"revision": 0, "report": 0, "last_seen_at": NOW, "times_seen": 0}
        changed = replace(before, **ignored) != replace(incident, **ignored)
        assert incident.revision == before.revision + changed
        assert incident.times_seen == before.times_seen + (op == "RAISE")

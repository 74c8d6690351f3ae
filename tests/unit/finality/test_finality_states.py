"""When a period is final: never before every system is past its close in every stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agents.finality.states import Late, Period, PeriodState, Progress, judge, with_late
from streams.money import ZERO

CLOSE = datetime(2026, 4, 3, 18, tzinfo=UTC)
NOW = CLOSE + timedelta(minutes=5)
MARCH = Period("erp:2026-03", "erp:LE", date(2026, 3, 1), date(2026, 4, 1), None, CLOSE)
SYSTEMS = ("erp", "crm", "time")
ENDS = {("billing.events", 0): 7}
PAST = dict.fromkeys(SYSTEMS, CLOSE + timedelta(seconds=1))


def state_of(
    period: Period = MARCH, before: PeriodState | None = None, progress: Progress | None = None
) -> PeriodState:
    """The state; by default all is applied."""
    return judge(period, before, progress or Progress(PAST, PAST), SYSTEMS, ENDS, NOW)


def test_a_period_is_final_once_every_system_is_past_its_close() -> None:
    """With the watermarks and the ends that it became so by."""
    state = state_of()
    assert (state.state, state.waits_for, state.final_at) == ("final", (), NOW)
    assert (state.watermarks, state.ends) == (PAST, ENDS)


def test_a_source_that_is_down_is_named() -> None:
    """Time is read up to five minutes before the close; of the crm nothing was heard."""
    captured = {"erp": CLOSE + timedelta(minutes=1), "time": CLOSE - timedelta(minutes=5)}
    state = state_of(progress=Progress(captured, captured))
    assert (state.state, state.waits_for) == ("closing", ("source crm", "source time"))


def test_a_commit_in_the_very_moment_of_the_close_is_waited_for() -> None:
    """A watermark at the close does not say that nothing else came in that microsecond."""
    at = PAST | {"time": CLOSE}
    assert state_of(progress=Progress(at, at)).waits_for == ("source time",)


def test_a_stage_that_is_behind_is_named() -> None:
    """All is captured, and rating has not applied it."""
    before = dict.fromkeys(SYSTEMS, CLOSE - timedelta(hours=1))
    state = state_of(progress=Progress(PAST, before, ["billing-rate-2: canonical.time_entry"]))
    assert (state.state, state.waits_for) == ("closing", ("stage billing-rate-2: canonical.time_entry",))


def test_open_periods_wait_for_nothing() -> None:
    """Softly closed or not."""
    assert state_of(MARCH._replace(closed_at=None)).state == "open"
    assert state_of(MARCH._replace(closed_at=None, soft_closed_at=CLOSE)).state == "soft_closed"


def test_what_is_final_stays_so_while_its_close_does() -> None:
    """A source that goes back to a snapshot takes nothing back; nothing new is published either."""
    final = state_of()
    assert state_of(before=final, progress=Progress({}, {})) is final


def test_a_close_that_is_taken_back_is_reopened_and_closed_again() -> None:
    """The second close is waited for anew, later ends and all; what was late is late no more."""
    late = with_late(state_of(), (Late("time:1", "EUR", 7200, ZERO + 300),))
    reopened = state_of(MARCH._replace(closed_at=None), late)
    assert (reopened.state, reopened.late, reopened.ends) == ("reopened", (), None)
    assert state_of(MARCH._replace(closed_at=None), reopened) is reopened
    again = MARCH._replace(closed_at=CLOSE + timedelta(days=1))
    closing = state_of(again, reopened)
    assert (closing.state, closing.waits_for) == ("closing", ("source crm", "source erp", "source time"))
    assert (reopened.revision, closing.revision) == (late.revision + 1, late.revision + 2)


def test_another_time_of_the_close_is_another_close() -> None:
    """An ERP that corrects it: final only once that is passed."""
    assert state_of(MARCH._replace(closed_at=NOW), state_of()).state == "closing"


times = st.integers(-3, 3).map(lambda minutes: CLOSE + timedelta(minutes=minutes))
marks = st.dictionaries(st.sampled_from(SYSTEMS), times)


@given(marks, marks)
def test_no_period_is_final_before_all_is_applied(
    captured: dict[str, datetime], applied: dict[str, datetime]
) -> None:
    """Whatever is heard of: final if and only if all is captured and applied beyond the close."""
    state = state_of(progress=Progress(captured, applied, ["billing-rate-0: new rules"]))
    done = all(
        system in known and known[system] > CLOSE for known in (captured, applied) for system in SYSTEMS
    )
    assert (state.state == "final") == done
    assert (state.waits_for == ()) == done


@given(st.lists(st.tuples(marks, st.sampled_from([None, CLOSE, NOW])), max_size=8))
def test_revisions_grow_with_the_content_alone(
    history: list[tuple[dict[str, datetime], datetime | None]],
) -> None:
    """The same again is the same state; any other is of a later revision."""
    state: PeriodState | None = None
    for known, closed_at in history:
        new = state_of(MARCH._replace(closed_at=closed_at), state, Progress(known, known))
        assert state_of(new.period, new, Progress(known, known)) is new
        if state is not None and new is not state:
            assert replace(new, revision=state.revision) != state
            assert new.revision > state.revision
        state = new

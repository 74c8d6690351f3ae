"""Looks at a system at work: what stays is a difference, what goes was in flight."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.proof.differences import Difference, Place
from connectors.proof.looks import UNSETTLED_AFTER, Looks, Verdict
from connectors.proof.words import Figures

WAIT = 10.0


def different(name: str, seconds: int = 1) -> Difference:
    return Difference(Place("topics", "conservation", (name,)), Figures(0, None), Figures(seconds, None))


def verdict_of(looks: Iterable[tuple[float, list[Difference]]], wait_s: float = WAIT) -> Verdict | None:
    """The verdict at the last of the looks; none may decide earlier."""
    watching, verdict = Looks(wait_s), None
    for at, differences in looks:
        assert verdict is None
        verdict = watching.take(differences, at)
    return verdict


def test_no_difference_at_a_look_is_equal() -> None:
    """At the first one, or at a later one."""
    assert verdict_of([(0, [])]) is Verdict.EQUAL
    assert verdict_of([(0, [different("a")]), (1, [])]) is Verdict.EQUAL


def test_without_waiting_the_first_look_decides() -> None:
    """Whatever may be in flight."""
    assert verdict_of([(0, [different("a")])], wait_s=0) is Verdict.DIFFERENT


def test_what_stays_the_same_for_the_time_to_wait_is_different() -> None:
    """Not before; and what came and went meanwhile is left out."""
    watching = Looks(WAIT)
    assert watching.take([different("a"), different("b")], 0) is None
    assert watching.take([different("a"), different("c")], 1) is None
    assert watching.take([different("a"), different("d")], 10.9) is None
    assert watching.take([different("a"), different("e")], 11) is Verdict.DIFFERENT
    assert watching.staying == {different("a")}


def test_a_backlog_is_waited_for_as_long_as_it_shrinks() -> None:
    """Rows that have differed for long are not given up while others of them arrive."""
    backlog = [different(str(number)) for number in range(10)]
    looks = [(number * 9.0, backlog[number:]) for number in range(10)]
    assert verdict_of(looks) is None
    assert verdict_of([*looks, (90.0, [])]) is Verdict.EQUAL


def test_a_row_that_never_stands_still_keeps_no_other_waiting() -> None:
    """One that is lost is found beside one that changes before each look."""
    looks = [(float(at), [different("busy", at), different("lost")]) for at in range(1, 12)]
    assert verdict_of(looks[:-1]) is None
    # The busy row's first value went at the second look: it is from there that the rest has stayed the same.
    assert verdict_of([*looks, (12.0, [different("busy", 12), different("lost")])]) is Verdict.DIFFERENT


def test_a_system_at_work_is_proven_when_each_row_agreed_once() -> None:
    """Other rows differ at each look, none of them twice; the look after the time to wait is confirmed."""
    looks = [(float(at), [different(f"entry {at}")]) for at in range(12)]
    assert verdict_of(looks[:-1]) is None
    assert verdict_of(looks) is Verdict.IN_FLIGHT
    assert Verdict.IN_FLIGHT.proven


def test_a_change_that_is_lost_while_others_go_on_is_found() -> None:
    """It agreed at first, so only staying the same gives it away."""
    looks = [(0.0, [different("x")])]
    looks += [(float(at), [different(f"entry {at}"), different("lost")]) for at in range(1, 13)]
    assert verdict_of(looks[:-1]) is None
    assert verdict_of(looks) is Verdict.DIFFERENT


def test_a_row_that_never_agrees_is_no_proof() -> None:
    """It changes before each look for so long that it is given up."""
    last = int(UNSETTLED_AFTER * WAIT)
    looks = [(float(at), [different("busy", at)]) for at in range(last + 1)]
    assert verdict_of(looks[:-1]) is None
    assert verdict_of(looks) is Verdict.UNSETTLED
    assert not Verdict.UNSETTLED.proven


def test_a_difference_that_was_seen_once_is_followed() -> None:
    """Looks that take longer than the time to wait: three of them at least, and the second's must have gone."""
    looks = [(0.0, [different("a")]), (120.0, [different("b")])]
    assert verdict_of(looks) is None
    assert verdict_of([*looks, (240.0, [different("b")])]) is Verdict.DIFFERENT
    assert verdict_of([*looks, (240.0, [different("b", 2)])]) is None
    assert verdict_of([*looks, (240.0, [different("c")])]) is Verdict.IN_FLIGHT
    assert verdict_of([*looks, (240.0, [])]) is Verdict.EQUAL


def test_a_row_that_begins_to_change_and_never_agrees_again_is_no_proof() -> None:
    """It agreed at the first look; its figures are new at each one after that, fast or slow."""
    for step, last in ((1, int(UNSETTLED_AFTER * WAIT)), (120, UNSETTLED_AFTER - 1)):
        looks = [(0.0, [different("a")])]
        looks += [(float(at * step), [different("b", at)]) for at in range(1, last + 1)]
        assert verdict_of(looks[:-1]) is None
        assert verdict_of(looks) is Verdict.UNSETTLED


def test_each_place_of_the_look_that_is_confirmed_must_agree_at_a_later_one() -> None:
    """Not all at the same one, and with other differences meanwhile."""
    looks = [(0.0, [different("a")]), (10.0, [different("b"), different("c")])]
    looks += [(11.0, [different("c", 2)]), (12.0, [different("c", 3), different("b", 2)])]
    assert verdict_of(looks) is None
    assert verdict_of([*looks, (13.0, [different("b", 3)])]) is Verdict.IN_FLIGHT
    assert verdict_of([*looks, (13.0, [different("c", 4)])]) is None


def test_what_stayed_the_same_while_others_went_is_no_change_in_flight() -> None:
    """It came after the look that is confirmed, and outlasts a backlog for longer than the time to wait."""
    a, b, c, late = (different(name) for name in ("a", "b", "c", "late"))
    looks = [(0.0, [a, b, c]), (9.0, [b, c]), (10.0, [b, c]), (11.0, [b, c, late]), (18.0, [c, late])]
    looks += [(22.0, [late])]
    assert verdict_of(looks) is None
    assert verdict_of([*looks, (32.0, [late])]) is Verdict.DIFFERENT

"""Versions of rules: which is newer, and what of a lane's state follows from it."""

from __future__ import annotations

import pytest
from lane_builders import CountingStage, Crashed, ListLog, chunk, open_core, record

from streams.errors import ContractViolation
from streams.lanes.core import FANOUT_KEYS
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.rules import is_newer, rule_versions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2", "1"),
        ("2026.10", "2026.9"),
        ("2026.1.1", "2026.1"),
        ("utilization/10", "utilization/9"),
        ("crm:000002|erp:000010", "crm:000002|erp:000009"),
        ("crm:1|erp:1", "erp:1"),
        ("1", ""),
    ],
)
def test_numbers_compare_as_numbers(one: str, other: str) -> None:
    """Each is newer than the other, and not the other way round."""
    assert is_newer(one, other)
    assert not is_newer(other, one)


def test_equal_versions_are_not_newer() -> None:
    """However they are written."""
    assert not is_newer("erp:000007", "erp:7")
    assert not is_newer("", "")


def test_of_two_sets_each_may_be_newer() -> None:
    """Then neither may write over the other."""
    assert is_newer("crm:2|erp:1", "crm:1|erp:2")
    assert is_newer("crm:1|erp:2", "crm:2|erp:1")


@pytest.mark.parametrize("text", ["new", "1.x", "erp:", "1||2", "-1"])
def test_a_text_that_is_no_version_is_refused(text: str) -> None:
    """In words."""
    with pytest.raises(ContractViolation, match="no version of rules"):
        rule_versions(text)


def cursor_of(log: ListLog) -> Cursor:
    """The cursor as committed."""
    return Cursor.from_bytes(log.restored().get(CURSOR_KEY) or b"")


def test_newer_rules_evaluate_everything_again() -> None:
    """Slice by slice, and once: who opens the lane after that has nothing to do."""
    log = ListLog()
    keys = [b"%04d" % n for n in range(FANOUT_KEYS + 1)]
    open_core(log, CountingStage("9")).apply(chunk([record(n, key) for n, key in enumerate(keys)]))
    core = open_core(log, CountingStage("10"))
    slices = []
    while core.has_references():
        slices.append(core.fan_out()["again"])
        core.flush()
    assert slices == [FANOUT_KEYS, 1]
    assert {key for key in log.counts() if key.startswith(b"r")} == {b"r" + key for key in keys}
    assert not open_core(log, CountingStage("10")).has_references()


@pytest.mark.parametrize("place", ["before", "after"])
def test_an_upgrade_that_is_cut_off_begins_anew_and_lets_nobody_older_in(place: str) -> None:
    """From its first slice on the state is the newer rules', and until its last it is not all evaluated."""
    log = ListLog()
    keys = [b"%04d" % n for n in range(2 * FANOUT_KEYS + 1)]
    open_core(log, CountingStage("9")).apply(chunk([record(n, key) for n, key in enumerate(keys)]))
    core = open_core(log, CountingStage("10"))
    core.fan_out()

    def crash() -> None:
        setattr(log, place, lambda: None)
        raise Crashed

    setattr(log, place, crash)
    with pytest.raises(Crashed):
        core.fan_out()
    assert (cursor_of(log).rules, cursor_of(log).evaluated) == ("10", "9")
    with pytest.raises(ContractViolation, match="written by rules 10, this worker has 9; upgrade it"):
        open_core(log, CountingStage("9"))
    core = open_core(log, CountingStage("10"))
    while core.has_references():
        core.fan_out()
        core.flush()
    assert {key for key in log.counts() if key.startswith(b"r")} == {b"r" + key for key in keys}
    assert cursor_of(log).evaluated == "10"


def test_a_lane_without_state_has_nothing_to_evaluate() -> None:
    """It begins with the rules that there are."""
    assert not open_core(ListLog(), CountingStage("10")).has_references()

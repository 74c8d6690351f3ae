"""The exception classes as data: complete, owned, and refused where they are wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agents.exceptions import load_catalogue
from streams import errors
from streams.contracts import load_contracts
from streams.errors import ConfigurationError

GRACE = timedelta(seconds=60)
CLASSES = [
    "MISSING_REFERENCE",
    "MISSING_RATE",
    "MISSING_FX",
    "MISSING_COST_RATE",
    "MISSING_CALENDAR",
    "MISSING_TERMS",
    "AMBIGUOUS_RATE",
    "INVALID_VALUE",
    "INACTIVE_CONTRACT",
    "STALE_REFERENCE",
    "PO_EXHAUSTED",
    "OWNERSHIP",
    "DUPLICATE",
    "CLOSED_PERIOD",
    "LATE_FACT",
    "CREDIT_DUE",
    "RATE_CHANGED_AFTER_POSTING",
    "CAP_BELOW_BILLED",
    "OVER_CAP",
    "STALE_DRAFT",
    "SELF_APPROVAL",
    "APPROVAL_LIMIT",
    "PAYER_SPLIT",
    "UNMAPPED",
    "SCHEMA",
    "POISON",
    "PROVISIONING",
    "POSTING",
    "RECONCILIATION",
]


def test_every_class_has_an_owner() -> None:
    """Each class is routed to the queue of a team that owns topics, and tells it what to do."""
    catalogue = load_catalogue(GRACE)
    teams = {contract.owner for contract in load_contracts().topics.values()}
    assert sorted(catalogue.classes) == sorted(CLASSES)
    for kind in catalogue.classes.values():
        assert kind.queue in teams
        assert len(kind.action) > 20


def test_record_errors_have_a_class() -> None:
    """What a lane dead-letters is of a known class."""
    catalogue = load_catalogue(GRACE)
    kinds: list[type[errors.RecordError]] = [errors.RecordError, *errors.RecordError.__subclasses__()]
    assert {kind.exception_class for kind in kinds} <= catalogue.classes.keys()


def test_grace_is_the_installations_unless_overridden() -> None:
    """Missing data may arrive within the grace period; a broken row never mends itself."""
    catalogue = load_catalogue(GRACE)
    assert catalogue["MISSING_RATE"].grace == GRACE
    assert catalogue["INVALID_VALUE"].grace == timedelta(0)


KIND = "{queue: a, severity: low, blocks: null, action: do}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {}", "expected `classes`"),
        ("- a", "expected `classes`"),
        ("a: [", "while parsing"),
        ("classes: {A: 5}", "A: expected queue, severity, blocks and action"),
        (f"classes: {{A: {KIND}}}".replace("low", "dire"), "A: severity must be one of"),
        (f"classes: {{A: {KIND}}}".replace("null", "sales"), "A: blocks must be"),
        (
            f"classes: {{A: {KIND}}}".replace("action", "grace_seconds: -1, action"),
            "A: grace_seconds must be",
        ),
        (f"classes: {{A: {KIND}}}".replace("action", "colour: red, action"), "A: unknown key colour"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A mistake in the file is refused at start, in one line."""
    path = tmp_path / "exceptions.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_catalogue(GRACE, path)
    assert "\n" not in str(caught.value)


def test_file_that_is_missing(tmp_path: Path) -> None:
    """A missing file is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        load_catalogue(GRACE, tmp_path / "none.yaml")

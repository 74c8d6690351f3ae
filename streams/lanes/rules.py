"""Versions of rules, and which of two is newer.

A version is numbers with dots, ``2026.10``, with a name before it where there are several kinds of rules,
``utilization/1``; a stage that follows several sets of rules names all: ``crm:2|erp:10``. Numbers compare
as numbers, component by component; a set that one side does not have at all counts as its version 0.
"""

from __future__ import annotations

import re

from streams.errors import ContractViolation

_PART = re.compile(r"(?:(?P<name>[^:/|]+)[:/])?(?P<numbers>\d+(?:\.\d+)*)")

Versions = dict[str, tuple[int, ...]]


def rule_versions(text: str) -> Versions:
    """The version of each set of rules by name; `ContractViolation` for a text that is none."""
    versions: Versions = {}
    for part in text.split("|") if text else ():
        match = _PART.fullmatch(part)
        if match is None:
            raise ContractViolation(f"{part!r} is no version of rules (numbers with dots)")
        versions[match["name"] or ""] = tuple(int(number) for number in match["numbers"].split("."))
    return versions


def is_newer(one: str, other: str) -> bool:
    """Whether any set of rules is newer in ``one``. Of two versions, both may be, each in another set."""
    known = rule_versions(other)
    return any(version > known.get(name, ()) for name, version in rule_versions(one).items())

"""Whether what is planned on a project is billable: as an entry on it is that names no task.

Not on an internal project, nor on a contract line that is not billable. Unknown while the project or its
contract line is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents.billing.entities import NON_BILLABLE

PROJECT, CONTRACT_LINE = "project", "contract_line"


class Project(NamedTuple):
    """What decides of a project; no engagement is internal work."""

    engagement_id: str | None
    contract_line_id: str | None


class Chargeable:
    """Projects and the billing methods of contract lines."""

    def __init__(self) -> None:
        self._projects: dict[str, Project] = {}
        self._methods: dict[str, str] = {}
        self._on_line: dict[str, set[str]] = {}

    def is_billable(self, project_id: str) -> bool | None:
        """The verdict on a project; None while something of it is unknown."""
        project = self._projects.get(project_id)
        if project is None:
            return None
        if project.engagement_id is None:
            return False
        method = self._methods.get(project.contract_line_id or "")
        return None if method is None else method != NON_BILLABLE

    def apply(self, entity: str, identifier: str, row: Mapping[str, Any] | None) -> list[str]:
        """Take a row of either table (None: gone); the projects whose verdict it may change."""
        if entity == PROJECT:
            return self._apply_project(identifier, row)
        old = self._methods.pop(identifier, None)
        if row is not None:
            self._methods[identifier] = row["billing_method"]
        return [] if old == self._methods.get(identifier) else sorted(self._on_line.get(identifier, ()))

    def _apply_project(self, identifier: str, row: Mapping[str, Any] | None) -> list[str]:
        old = self._projects.pop(identifier, None)
        if old is not None and old.contract_line_id is not None:
            self._on_line[old.contract_line_id].discard(identifier)
        new = None
        if row is not None:
            new = self._projects[identifier] = Project(row["engagement_id"], row["contract_line_id"])
            if new.contract_line_id is not None:
                self._on_line.setdefault(new.contract_line_id, set()).add(identifier)
        return [] if old == new else [identifier]

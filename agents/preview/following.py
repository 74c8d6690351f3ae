"""Follows the changes of a file through the rows of an entity, each as the ones before left it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agents.preview.changefile import VERSIONED, Change
from agents.preview.rules import Problem
from streams.errors import UsageError

Row = dict[str, Any]
# Why no source can have a row of an entity.
Check = Callable[[str, Row], Problem | None]


@dataclass(slots=True)
class Effect:
    """What a change of the file comes to: it ``concerns`` so many rows, or makes a new one."""

    change: Change
    concerns: int = 0
    makes_new: bool = False

    @property
    def words(self) -> str:
        """That, in words."""
        if self.makes_new:
            return "makes a new row"
        return "concerns 1 row" if self.concerns == 1 else f"concerns {self.concerns:,} rows"

    @property
    def is_nothing(self) -> bool:
        """Whether there is no row that it is about."""
        return not (self.concerns or self.makes_new)


class Following:
    """The changes of one entity.

    A change by an id that is not there makes a row; changes before it do not see that one. A row that was deleted
    is not there.
    """

    def __init__(self, entity: str, changes: Sequence[Change], check: Check) -> None:
        self._entity = entity
        self._check = check
        self.effects = [Effect(change) for change in changes if change.entity == entity]
        self._by_id: dict[str, list[Effect]] = defaultdict(list)
        ids = {effect.change.id for effect in self.effects} - {None}
        for effect in self.effects:
            for row_id in ids if effect.change.id is None else (effect.change.id,):
                self._by_id[row_id or ""].append(effect)
        self._others = [effect for effect in self.effects if effect.change.id is None]

    def both(self, rows: Iterable[Row]) -> Iterator[tuple[Row | None, Row]]:
        """Each row as it is and as it would be; then those that would be new.

        `UsageError` where a row would be one that no source can have.
        """
        for effect in self.effects:
            effect.concerns, effect.makes_new = 0, False
        fresh = {effect.change.id: None for effect in self.effects if effect.change.id is not None}
        for row in rows:
            if self.effects and not row["deleted"]:
                fresh.pop(row["id"], None)
                yield row, self._followed(self._by_id.get(row["id"], self._others), row) or row
            else:
                yield row, row
        for row_id in fresh:
            made = self._followed(self._by_id[row_id], None)
            if made is not None:
                yield None, made

    def _followed(self, effects: Sequence[Effect], row: Row | None) -> Row | None:
        """The row after all changes that concern it; None if there is none before and after."""
        before, is_new = row, row is None
        touching: list[Change] = []
        for effect in effects:
            change = effect.change
            if row is not None and change.concerns(row):
                row = change.amended(row)
                effect.concerns += 1
            elif change.id is not None and not change.deletes and (row is None or row["deleted"]):
                row = change.new_row()
                effect.makes_new = is_new = True
                touching.clear()
            else:
                continue
            touching.append(change)
        if row is None or row == before:
            return before
        if row["deleted"]:
            return row
        says_version = any("version" in change.fields for change in touching)
        if self._entity in VERSIONED and not is_new and not says_version:
            row = {**row, "version": (row["version"] or 1) + 1}  # as its source does with every correction
        self._must_be_possible(row, touching)
        return row

    def _must_be_possible(self, row: Row, touching: Sequence[Change]) -> None:
        problem = self._check(self._entity, row)
        if problem is not None:
            setting = [change for change in touching if problem.field in change.fields]
            place = (setting or touching)[-1].place
            raise UsageError(f"{place}: {self._entity} {row['id']!r}: {problem.field}: {problem.message}")

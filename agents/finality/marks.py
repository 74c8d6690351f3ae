"""How far the flows are: a watermark of the sources, followed through the stages one after the other. Pure.

A mark begins with what the sources say: all that was committed until then is in the change topics. It then stands
before each stage in turn, in the order in which records pass them. Its goal there is where the stage's inputs and
reference topics ended when all stages before it had reached theirs, so that whatever follows from what the sources had
published lies before it. The stage is past the mark once every one of its partitions has applied up to the goal; behind
the last stage all that was committed up to the watermark has been applied.

Example: the erp is read up to 18:00:05, and the canonical stage has applied the change topics as they were after that.
What it made of them is in the canonical topics: their ends, taken now, are what rating has to reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agents.finality.states import Place
from streams.lanes.cursor import Cursor, reference_key
from streams.references.feed import PREFIX


@dataclass(frozen=True, slots=True)
class Step:
    """A stage: its co-partitioned inputs, the entities of the reference tables it looks at, its partitions."""

    name: str
    inputs: tuple[str, ...]
    entities: tuple[str, ...]
    partitions: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Watermarks by system, the number of the step that they stand before, and its goal, once it is taken."""

    watermarks: Mapping[str, datetime]
    step: int = 0
    goal: Mapping[Place, int] | None = None

    def aim(self, ends: Mapping[Place, int]) -> Mark:
        """With its goal at the step: the offset behind the last record of each place; empty ones are left out."""
        return replace(self, goal=dict(ends))

    def passed(self) -> Mark:
        """Before the next step."""
        return Mark(self.watermarks, self.step + 1)


def not_reached(step: Step, goal: Mapping[Place, int], cursors: Mapping[int, Cursor]) -> list[str]:
    """Which partitions of a stage have not applied all up to a goal, each with the first thing that it lacks.

    ``cursors`` are the durable ones by partition; one that is missing has applied nothing.
    """
    lacking = []
    for partition in range(step.partitions):
        cursor = cursors.get(partition)
        if cursor is None:
            lacking.append(f"{step.name}-{partition}: no state")
        elif missing := _first_missing(step, partition, goal, cursor):
            lacking.append(f"{step.name}-{partition}: {missing}")
    return lacking


def _first_missing(step: Step, partition: int, goal: Mapping[Place, int], cursor: Cursor) -> str | None:
    if cursor.evaluated != cursor.rules:
        return "new rules"
    for topic in step.inputs:
        if cursor.inputs.get(topic, 0) < goal.get((topic, partition), 0):
            return topic
    for (topic, of), end in sorted(goal.items()):
        entity = topic.removeprefix(PREFIX)
        is_reference = topic not in step.inputs and entity in step.entities
        if is_reference and cursor.references.get(reference_key(entity, of), 0) < end:
            return topic
    return None

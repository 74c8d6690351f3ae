"""The life of an exception. All transitions are in `TRANSITIONS`, and nowhere else.

    state     event   next       what happens
    (none)    RAISE   WAITING    a new incident; its grace period begins
    (none)    CLEAR   (none)     nothing was known
    WAITING   RAISE   WAITING    seen again; the grace period does not begin anew
    WAITING   CLEAR   RESOLVED   cleared by itself, nobody was bothered
    WAITING   DUE     OPEN       the grace period is over: its owner sees it
    OPEN      RAISE   OPEN       seen again
    OPEN      CLEAR   RESOLVED
    RESOLVED  RAISE   WAITING    came back: a new incident, with its own grace period and first sighting
    RESOLVED  CLEAR   RESOLVED   nothing new

An incident whose grace period is 0 is WAITING for no time: it is OPEN at once. A class that changes
while WAITING can only bring the end of the grace period nearer.

``times_seen`` counts reports over all incidents of the subject, so that one that keeps coming back
shows. The revision grows with the business content; sightings alone (``last_seen_at``, ``times_seen``)
change the record without a new revision. A report older than the one last applied, or a repetition of
it, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from agents.exceptions.catalogue import Catalogue
from agents.exceptions.incident import Incident

NO_MESSAGE: Final = ""


class State(StrEnum):
    """Where an incident is."""

    WAITING = "waiting"
    OPEN = "open"
    RESOLVED = "resolved"


class Event(Enum):
    """What can happen to one."""

    RAISE = "RAISE"
    CLEAR = "CLEAR"
    DUE = "DUE"


TRANSITIONS: Final[Mapping[tuple[State | None, Event], State | None]] = {
    (None, Event.RAISE): State.WAITING,
    (None, Event.CLEAR): None,
    (State.WAITING, Event.RAISE): State.WAITING,
    (State.WAITING, Event.CLEAR): State.RESOLVED,
    (State.WAITING, Event.DUE): State.OPEN,
    (State.OPEN, Event.RAISE): State.OPEN,
    (State.OPEN, Event.CLEAR): State.RESOLVED,
    (State.OPEN, Event.DUE): State.OPEN,
    (State.RESOLVED, Event.RAISE): State.WAITING,
    (State.RESOLVED, Event.CLEAR): State.RESOLVED,
    (State.RESOLVED, Event.DUE): State.RESOLVED,
}

# What is no business content: lineage and sightings.
_SIGHTINGS: Final = {"revision", "report", "last_seen_at", "times_seen"}


def apply(
    incident: Incident | None, report: Mapping[str, Any], now: datetime, catalogue: Catalogue
) -> Incident | None:
    """The incident after a decoded record of ``exceptions.raised``; None if there is still none.

    The same object comes back when nothing changed, so that ``is`` tells whether to publish and store.
    """
    event = Event(report["op"])
    if incident is not None and report["revision"] < incident.report:
        return incident
    before = State(incident.state) if incident is not None else None
    after = TRANSITIONS[before, event]
    if after is None:
        return None
    if event is Event.RAISE:
        raised = _raise(incident, report, now, catalogue, after)
        if incident is not None and _repeats(incident, raised, report):
            return incident
        return _revised(incident, raised)
    assert incident is not None, "a clear of nothing stays nothing"
    if before is after:
        # Only so that an older report that is still under way stays old.
        return (
            replace(incident, report=report["revision"]) if report["revision"] > incident.report else incident
        )
    cleared = replace(incident, state=after.value, resolved_at=now, report=report["revision"])
    return _revised(incident, cleared)


def due(incident: Incident, now: datetime) -> Incident:
    """The incident at ``now``: open if its grace period is over, else the same object."""
    after = TRANSITIONS[State(incident.state), Event.DUE]
    if after == incident.state or now < incident.visible_at:
        return incident
    assert after is not None
    return _revised(incident, replace(incident, state=after.value))


def _raise(
    incident: Incident | None, report: Mapping[str, Any], now: datetime, catalogue: Catalogue, after: State
) -> Incident:
    kind = catalogue[report["exception_class"]]
    fresh = incident is None or incident.state == State.RESOLVED
    visible = now + kind.grace
    if incident is not None and not fresh:
        visible = min(visible, incident.visible_at)
    if after is State.WAITING and visible <= now:
        after = State.OPEN
    blocks = report.get("blocks")
    return Incident(
        exception_id=f"{report['flow']}|{report['subject']}",
        revision=incident.revision if incident is not None else 0,
        state=after.value,
        flow=report["flow"],
        subject=report["subject"],
        exception_class=kind.name,
        message=report.get("message") or NO_MESSAGE,
        blocks=blocks if blocks is not None else kind.blocks,
        queue=kind.queue,
        severity=kind.severity,
        missing_keys=tuple(report.get("missing_keys") or ()),
        seconds=report.get("seconds"),
        amount=report.get("amount"),
        currency=report.get("currency"),
        raw_topic=report.get("raw_topic"),
        raw_partition=report.get("raw_partition"),
        raw_offset=report.get("raw_offset"),
        raw_key=report.get("raw_key"),
        raw_value=report.get("raw_value"),
        first_seen_at=now if incident is None or fresh else incident.first_seen_at,
        last_seen_at=now,
        visible_at=visible,
        resolved_at=None,
        times_seen=incident.times_seen + 1 if incident is not None else 1,
        report=report["revision"],
    )


def _repeats(incident: Incident, raised: Incident, report: Mapping[str, Any]) -> bool:
    """Whether this is the very report that was applied last, delivered once more."""
    return report["revision"] == incident.report and _content(incident) == _content(raised)


def _content(incident: Incident) -> list[Any]:
    return [getattr(incident, name) for name in Incident.__slots__ if name not in _SIGHTINGS]


def _revised(before: Incident | None, after: Incident) -> Incident:
    """With the next revision if the business content changed."""
    if before is not None and _content(before) == _content(after):
        return after
    return replace(after, revision=after.revision + 1)

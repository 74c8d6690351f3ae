"""Which incidents stand: what was last reported of each subject, so that each change of it is reported once.

In the lane's state: ``s\\0<root>\\0<entry>``, or no entry for what is of the whole root, has by name the number of the
last report and what it said, nothing once it is cleared. The number stays, as later reports must have greater ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from agents.billing.incidents import Incident
from agents.billing.reports import Report
from streams.lanes.state import Overlay
from streams.packing import packed

STANDING: Final = b"s\0"


def settle(state: Overlay, root_id: str, entry_id: str, wanted: Mapping[str, Incident]) -> list[Report]:
    """The reports that make what stands of an entry, or of a root, what is ``wanted`` by name.

    Subjects are ``<root>:<entry>:<name>``, of a root ``<root>:<name>``.
    """
    key = STANDING + f"{root_id}\0{entry_id}".encode()
    stored = state.get(key)
    if stored is None and not wanted:
        return []
    known: dict[str, list[Any]] = json.loads(stored) if stored else {}
    reports = []
    for name in sorted(wanted.keys() | known.keys()):
        incident = wanted.get(name)
        revision, *said = known.get(name) or [0]
        if said == _said(incident):
            continue
        known[name] = [revision + 1, *_said(incident)]
        subject = ":".join(part for part in (root_id, entry_id, name) if part)
        reports.append(_report(subject, revision + 1, incident))
    if reports:
        state.put(key, packed(known))
    return reports


def _said(incident: Incident | None) -> list[Any]:
    return [] if incident is None else [_plain(value) for value in incident]


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def _report(subject: str, revision: int, incident: Incident | None) -> Report:
    name = "incidents_cleared" if incident is None else incident.exception_class.lower()
    record: dict[str, Any] = {"op": "CLEAR", "revision": revision, "subject": subject}
    if incident is not None:
        record |= {"op": "RAISE"} | incident._asdict()
    return Report(name, record)

"""What was agreed of a contract, as far back as the ERP keeps it: caps, inclusions, amounts of a day.

An amendment keeps the row as it was, with the time at which it ended. At a close it was what the first version says that
ended no earlier, and without one what it is now.

Example: a cap of 1,000 that is raised to 1,300 on 10 April was 1,000 at the close of 3 April.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .exact import hours_to_seconds
from .rows import ContractLine, Engagement, Rows, TermsVersion


def engagement_version(x: Mapping[str, Any]) -> TermsVersion:
    """Of a row of the ERP's table."""
    return TermsVersion(f"erp:{x['id']}", f"erp:{x['engagement_id']}", _cap(x), x["ended_at"])


def line_version(x: Mapping[str, Any]) -> TermsVersion:
    """Of a row of the ERP's table."""
    same = ("per_diem_amount", "starts_on", "ends_on", "expires_on", "unused_hours", "rollover_months")
    was = _cap(x) | {name: x[name] for name in same}
    for name in ("included", "day_minimum", "rollover"):
        was[f"{name}_seconds"] = _seconds(x[f"{name}_hours"])
    return TermsVersion(f"erp:{x['id']}", f"erp:{x['contract_line_id']}", was, x["ended_at"])


def engagements_as_of(rows: Rows, close: datetime) -> dict[str, Engagement]:
    """With the caps that they had at a close."""
    was = _as_of(rows.engagement_versions.values(), close)
    return {key: replace(one, **was.get(key, {})) for key, one in rows.engagements.items()}


def lines_as_of(rows: Rows, close: datetime) -> dict[str, ContractLine]:
    """With what their work shared at a close."""
    was = _as_of(rows.line_versions.values(), close)
    return {key: replace(one, **was.get(key, {})) for key, one in rows.contract_lines.items()}


def _as_of(versions: Iterable[TermsVersion], close: datetime) -> dict[str, dict[str, Any]]:
    found: dict[str, TermsVersion] = {}
    for version in sorted(versions, key=lambda one: (one.ended_at, one.id)):
        if version.ended_at >= close:
            found.setdefault(version.of, version)
    return {of: dict(version.was) for of, version in found.items()}


def _cap(x: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cap_money": x["cap_money"],
        "cap_seconds": _seconds(x["cap_hours"]),
        "over_cap_action": x["over_cap_action"],
    }


def _seconds(hours: Any) -> int | None:
    return None if hours is None else hours_to_seconds(hours)

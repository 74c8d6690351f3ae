"""Where to continue: the stored position against the slot and the server as they are now. Pure.

A slot that was recreated or moved on by somebody else starts later without a word: every such gap is
found here and halts with its bounds. What the slot confirms is never ahead of what is stored, as
the stream acknowledges only what a Kafka transaction has made durable.
"""

from __future__ import annotations

from connectors.sources.postgres.config import default_slot
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.server.connection import Identity, SlotState
from streams.errors import ConfigurationError, PositionLost

PLUGIN = "pgoutput"


def must_snapshot(progress: Progress | None) -> bool:
    """Whether there is nothing to continue: no position, or a snapshot that did not come to its end."""
    return progress is None or not progress.snapshot_done


def may_drop(progress: Progress | None, slot: SlotState, source: str) -> bool:
    """Whether a slot found before a first snapshot is ours to drop.

    It is when we stored that we were about to make it, or when it carries the name that is ours by
    default. A slot that was named in the configuration may be somebody else's.
    """
    ours = slot.name == default_slot(source) or (progress is not None and progress.slot == slot.name)
    return ours and slot.plugin == PLUGIN and slot.active_pid is None


def check_resume(
    source: str, progress: Progress, slot_name: str, slot: SlotState | None, identity: Identity
) -> None:
    """Return when the stream can continue at ``progress.flushed_lsn`` without a gap.

    `PositionLost` names the bounds of what can't be known any more and the command that takes a new
    snapshot; `ConfigurationError` when the configuration points at another slot.
    """
    ours, now = lsn_text(progress.flushed_lsn), lsn_text(identity.flushed_lsn)
    remedy = (
        f"run `tallystream source repair` for {source}: it re-reads the tables and publishes the difference"
    )
    if progress.repairing:
        raise PositionLost(
            f"a repair of source {source} began and did not end: changes after {ours} may be missing; {remedy}"
        )
    if progress.system_identifier != identity.system_identifier:
        raise PositionLost(
            f"source {source} read cluster {progress.system_identifier} up to {ours}, but the DSN now "
            f"leads to cluster {identity.system_identifier}; correct the DSN, or {remedy}"
        )
    if progress.slot != slot_name:
        raise ConfigurationError(
            f"source {source} has published from slot {progress.slot}, the configuration names {slot_name}; "
            f"restore slot = {progress.slot!r}, or {remedy}"
        )
    _check_timeline(source, progress, identity, remedy)
    if identity.flushed_lsn < progress.flushed_lsn:
        raise PositionLost(
            f"source {source} has published up to {ours}, but the server's log ends at {now} (restored "
            f"from a backup, or a standby that was behind): what was published in between is not in the "
            f"database; {remedy}"
        )
    if slot is None:
        raise PositionLost(
            f"slot {slot_name} no longer exists: changes from {ours} up to {now} are lost to source "
            f"{source}; {remedy}"
        )
    if slot.lost:
        raise PositionLost(
            f"slot {slot_name} was invalidated ({slot.lost}): changes from {ours} up to {now} are lost to "
            f"source {source}; {remedy}"
        )
    if slot.plugin != PLUGIN or slot.database != identity.database:
        raise ConfigurationError(
            f"slot {slot_name} is of plugin {slot.plugin} in database {slot.database}, source {source} "
            f"needs one of {PLUGIN} in {identity.database}; set another slot"
        )
    confirmed = max(slot.confirmed_flush_lsn or 0, slot.restart_lsn or 0)
    if confirmed > progress.flushed_lsn:
        raise PositionLost(
            f"slot {slot_name} stands at {lsn_text(confirmed)}, ahead of source {source} at {ours} "
            f"(recreated or advanced by somebody else): the changes in between are lost; {remedy}"
        )


def _check_timeline(source: str, progress: Progress, identity: Identity, remedy: str) -> None:
    """A promotion continues our log when it left our timeline after what we have published.

    Where it left earlier, we have published changes that the new primary never had, and its log has
    other changes under the same numbers.
    """
    if progress.timeline == identity.timeline:
        return
    ended = identity.ended.get(progress.timeline)
    ours = lsn_text(progress.flushed_lsn)
    if ended is None:
        raise PositionLost(
            f"source {source} read timeline {progress.timeline} up to {ours}, but the server is on timeline "
            f"{identity.timeline}, which does not come from it; correct the DSN, or {remedy}"
        )
    if ended < progress.flushed_lsn:
        raise PositionLost(
            f"source {source} has published up to {ours} of timeline {progress.timeline}, but the server was "
            f"promoted at {lsn_text(ended)}: what was published in between is not in the database; {remedy}"
        )

"""The live views in Redis: which keys there are, what they hold, and when they go.

`tallystream:utilization:<consultant>`, hash
    A field for each window, `week:2026-03-02`, `month:2026-03-01` or `quarter:2026-01-01`, holds JSON
    (below). Goes 35 days after its last window ended.
`tallystream:exceptions:open`, sorted set
    Ids of the open exceptions by when they were first seen (ms since 1970). An id goes when resolved.
`tallystream:exception:<id>`, hash
    The exception, open or waiting in its grace period. Goes a day after it was resolved.
`tallystream:freshness:<topic>`, hash
    `occurred_at` of the newest record applied, `lag_records` left to apply, `lag_seconds` (0 if none is
    left, else the age of the newest one applied), `beat_at`. Goes 60 s after the sink's last beat.
`tallystream:sink:redis:positions`, hash
    `<topic>|<partition>` and the offset of the next record to apply.
`tallystream:sink:redis:newest`, hash
    Topic and `occurred_at` of the newest record applied; outlives the freshness.
`tallystream:sink:redis:owner`, string
    The running instance. Goes 5 s after it stopped renewing it.
`tallystream:sink:redis:dead_letters`, stream
    Records that could not be applied, with their bytes; about the last 10,000.

The week that a day is in starts on its Monday, so a reader makes the field's name from the date and
needs no search. Its JSON has `revision`, `deleted`, `ends_on` (exclusive), `worked_seconds`,
`billable_seconds`, `unclassified_seconds`, `capacity_seconds`, `utilization` (text, six places, or null),
`practice`, `region`, `target_seconds`, `shortfall_seconds`, `planned_seconds`, `planned_billable_seconds`,
`forecast` (as utilization) and `computed_at`. A window with `deleted` true counts as absent: it is there so
that an older revision read again can't revive it. Windows that ended more than 35 days ago are dropped.

Every view is written in one MULTI with the positions of the records it was made of.
"""

from __future__ import annotations

from datetime import timedelta

PREFIX = "tallystream"
EXCEPTIONS_OPEN = f"{PREFIX}:exceptions:open"
POSITIONS = f"{PREFIX}:sink:redis:positions"
NEWEST = f"{PREFIX}:sink:redis:newest"
OWNER = f"{PREFIX}:sink:redis:owner"
DEAD_LETTERS = f"{PREFIX}:sink:redis:dead_letters"

# Last month stays for comparison until this month is over.
KEEP_WINDOWS = timedelta(days=35)
KEEP_RESOLVED = timedelta(days=1)
# A dead sink shows as missing freshness rather than as a fresh-looking old number.
KEEP_FRESHNESS = timedelta(seconds=60)
# The instance renews it with every batch and every second; after a kill, the next one waits this long.
LEASE = timedelta(seconds=5)
MAX_DEAD_LETTERS = 10_000


def utilization(consultant_id: str) -> str:
    """Key of a consultant's windows."""
    return f"{PREFIX}:utilization:{consultant_id}"


def exception(exception_id: str) -> str:
    """Key of one exception."""
    return f"{PREFIX}:exception:{exception_id}"


def freshness(topic: str) -> str:
    """Key of a topic's freshness."""
    return f"{PREFIX}:freshness:{topic}"


def position(topic: str, partition: int) -> str:
    """Field of a partition in the positions."""
    return f"{topic}|{partition}"

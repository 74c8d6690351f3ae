"""XA transactions that are prepared: logged whole, and neither committed nor rolled back yet.

Their changes are logged where they are prepared, and published where they are committed, as part of
the group that commits them; one that is rolled back is dropped. That may be long after, and what is
held of them, in memory or in nameless files, is gone with the process. So as long as one is open, the
stored position says two things: up to where the log is published (`Progress.gtid`), and from where on
it is read again the next time (`Progress.prepared`): from before the oldest open one.

Why that is exact. What is read again is published already if and only if its GTID is covered by
``gtid``: both are stored in the Kafka transaction that publishes. So a group that is covered is passed
over, unless it prepares: then it is held once more. A commit that is covered takes the held one away
unpublished, one that is not publishes it. Nothing is prepared before ``prepared`` and open after
``gtid``: it would be the oldest. The server keeps the log that far back, or says that it does not.
"""

from __future__ import annotations

from connectors.sources.mariadb.transactions import TransactionBuffer


class PreparedTransactions:
    """The open ones, in the order of the log. To be closed."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[TransactionBuffer, str]] = {}

    def add(self, xid: bytes, changes: TransactionBuffer, before: str) -> None:
        """One is prepared. ``before``: the GTIDs that the log held before it."""
        self._held[xid] = changes, before

    def take(self, xid: bytes) -> TransactionBuffer | None:
        """Its changes, no longer held; None when it is not known."""
        changes, _ = self._held.pop(xid, (None, ""))
        return changes

    def before_oldest(self) -> str | None:
        """What the log held before the oldest; None when there is none."""
        return next((before for _, before in self._held.values()), None)

    def close(self) -> None:
        """Forget them all."""
        for changes, _ in self._held.values():
            changes.close()
        self._held.clear()

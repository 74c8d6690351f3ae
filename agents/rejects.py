"""Records that a stage can't process: to the dead letters with their bytes, and as an exception."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from streams.contracts.confidential import confidential_topics, withheld
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import SliceContext
from streams.worker.flow import StageEnvironment

DEAD_LETTERS = "dead_letters"
RAISED = "exceptions.raised"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rejects:
    """Routes rejected records of one stage, in the slice's own transaction.

    Headers of a dead letter are those of Kafka Connect's dead letter queue, so that its tools work. Exceptions are
    read by many: those of confidential topics, of the contracts or named here, have no bytes and quote nothing.
    """

    def __init__(self, environment: StageEnvironment, flow: str, confidential: Collection[str] = ()) -> None:
        self._flow = flow
        self._confidential = confidential_topics().union(confidential)
        self._raised = environment.publisher(RAISED)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """Publish the dead letter and raise its exception; the subject is the record's place."""
        subject = f"{record.topic}/{record.partition}/{record.offset}"
        headers = [
            *record.headers,
            ("__connect.errors.topic", record.topic.encode()),
            ("__connect.errors.partition", str(record.partition).encode()),
            ("__connect.errors.offset", str(record.offset).encode()),
            ("__connect.errors.stage", self._flow.encode()),
            ("__connect.errors.exception.class.name", type(error).__name__.encode()),
            ("__connect.errors.exception.message", str(error).encode()),
        ]
        context.emit(DEAD_LETTERS, record.key, record.value, 0, headers)
        hidden = record.topic in self._confidential
        at = EPOCH + timedelta(milliseconds=max(record.timestamp, 0))
        self._raised.emit(
            context,
            {
                "op": "RAISE",
                "revision": record.offset,
                "flow": self._flow,
                "subject": subject,
                "exception_class": error.exception_class,
                "message": withheld(str(error)) if hidden else str(error),
                "blocks": "all",
                "raw_topic": record.topic,
                "raw_partition": record.partition,
                "raw_offset": record.offset,
                "raw_key": None if hidden else record.key,
                "raw_value": None if hidden else record.value,
                "occurred_at": at,
                "captured_at": at,
                "published_at": at,
                "rated_at": at,
                "snapshot": True,
            },
        )
        context.count("dead_letters")

"""Whole topics, and the positions of consumer groups in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka import TopicPartition

from streams.topicreader import ANSWER_SECONDS, Place, TopicReader, consumer, places_of, read_from

# Where the last record of a partition is looked for: before its end there may be transaction markers.
LOOK_BACK = 64


def read_topic(bootstrap: str, topic: str) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of all records of a topic, each partition in order, to the end at the time of asking."""
    with TopicReader(bootstrap, f"read-{topic}") as reader:
        for record in reader.read(topic):
            yield record.key or b"", record.value


def _place(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)


class Positions:
    """Ends of topics and what a group has committed of them, on one connection."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._reader = consumer(bootstrap, group)
        self._places: dict[tuple[str, ...], list[Place]] = {}

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()

    def ends(self, topics: Sequence[str]) -> dict[Place, int]:
        """The high watermark of each partition; transaction markers count."""
        return {
            (topic, partition): self._reader.get_watermark_offsets(
                _place(topic, partition), timeout=ANSWER_SECONDS
            )[1]
            for topic, partition in self._of(topics)
        }

    def committed(self, topics: Sequence[str]) -> dict[Place, int]:
        """What the group has committed of each partition, -1 for nothing yet."""
        asked = [_place(topic, partition) for topic, partition in self._of(topics)]
        answers = self._reader.committed(asked, timeout=ANSWER_SECONDS)
        return {(answer.topic, answer.partition): max(answer.offset, -1) for answer in answers}

    def _of(self, topics: Sequence[str]) -> list[Place]:
        key = tuple(topics)
        if key not in self._places:
            self._places[key] = places_of(self._reader, self._bootstrap, topics)
        return self._places[key]

    def after_last_records(self, topics: Sequence[str]) -> dict[Place, int]:
        """The position after the last committed record of each partition, markers behind it left out."""
        found = {}
        for (topic, partition), end in self.ends(topics).items():
            reader = consumer(self._bootstrap, f"last-{topic}")
            try:
                low, _ = reader.get_watermark_offsets(_place(topic, partition), timeout=ANSWER_SECONDS)
                start, last = end, -1
                while last < 0 and start > low:
                    start = max(low, start - LOOK_BACK)
                    for message in read_from(reader, [TopicPartition(topic, partition, start)]):
                        last = message.offset()
                found[topic, partition] = last + 1 if last >= 0 else -1
            finally:
                reader.close()
        return found

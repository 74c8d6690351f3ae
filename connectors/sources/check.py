"""``tallystream source check``: everything that would go wrong, found before the first run.

Every kind of source is asked what it needs to know of its own: a source with a method ``check()``
returns findings about its database, one with ``describe()`` says what it can't see. The brokers and
the registry are looked at here, for all kinds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from connectors.sources.config import SourceConfig
from connectors.sources.kinds import make_source
from connectors.sources.running import Surroundings
from connectors.sources.subjects import Subjects
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

OK, WARN, FAIL, UNREACHABLE = "ok", "warn", "fail", "unreachable"
KAFKA_TIMEOUT_S = 10.0
_STYLES = {OK: "green", WARN: "yellow", FAIL: "red", UNREACHABLE: "red"}
_UNREACHABLE_EXIT = DependencyUnavailable.exit_code


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``subject``: of what (``server``, ``public.client`` …); ``remedy``: what to
    type or do, empty when all is well. ``unreachable`` is a failure that hides what lies behind it."""

    status: str
    subject: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one source."""

    source: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 when nothing fails (warnings may be there), 3 when something can't be reached, else 1."""
        statuses = {one.status for one in self.findings}
        if UNREACHABLE in statuses:
            return _UNREACHABLE_EXIT
        return 1 if FAIL in statuses else 0

    def as_json(self) -> str:
        """One object: source, exit code and the findings in order."""
        found = [asdict(one) for one in self.findings]
        return json.dumps({"source": self.source, "exit_code": self.exit_code, "findings": found})

    def show(self, console: Console | None = None) -> None:
        """The findings as a table on standard output, with a line that counts them."""
        console = console or Console()
        grid = Grid("", "what", "finding", show_lines=False, box=None, pad_edge=False)
        for one in self.findings:
            words = f"{one.text}\n→ {one.remedy}" if one.remedy else one.text
            grid.add_row(_words(one.status, _STYLES[one.status]), _words(one.subject), _words(words))
        console.print(grid)
        counted = {status: sum(one.status == status for one in self.findings) for status in _STYLES}
        console.print(_words(", ".join(f"{count} {status}" for status, count in counted.items() if count)))


def _words(words: str, style: str = "") -> Text:
    """Shown as they are, brackets too."""
    return Text(words, style=style, overflow="fold")


def check_source(config: SourceConfig, surroundings: Surroundings) -> Report:
    """Look at everything a source needs; only a configuration that can't be used at all is an error."""
    source = make_source(config, surroundings)
    findings: list[Finding] = []
    check = getattr(source, "check", None)
    if check is not None:
        findings += check()
    describe = getattr(source, "describe", None)
    if describe is not None:
        findings += [Finding(OK, f"{config.connector} source", line) for line in _lines(describe())]
    findings += broker_findings(surroundings)
    findings += registry_findings(surroundings)
    return Report(config.name, tuple(findings))


def _lines(described: str | Iterable[str]) -> list[str]:
    lines = described.splitlines() if isinstance(described, str) else described
    return [line for line in lines if line.strip()]


def broker_findings(surroundings: Surroundings) -> list[Finding]:
    """Whether the brokers answer, and are as many as the replication factor."""
    try:
        brokers = len(_admin(surroundings).list_topics(timeout=KAFKA_TIMEOUT_S).brokers)
    except KafkaException as error:
        return [
            Finding(
                UNREACHABLE,
                "kafka",
                f"Kafka at {surroundings.kafka}: {error.args[0].str()}",
                "start it, or set TALLYSTREAM_KAFKA_BOOTSTRAP",
            )
        ]
    wanted = surroundings.replication_factor
    if brokers < wanted:
        return [
            Finding(
                FAIL,
                "kafka",
                f"topics are to be kept {wanted} times, but there are {brokers} brokers",
                f"set TALLYSTREAM_REPLICATION_FACTOR={brokers}, or add brokers",
            )
        ]
    return [Finding(OK, "kafka", f"{surroundings.kafka} answers, brokers: {brokers}")]


def registry_findings(surroundings: Surroundings) -> list[Finding]:
    """Whether the registry answers."""
    url = surroundings.registry_url
    try:
        with Subjects(url) as subjects:
            subjects.latest("source.check")  # any subject does: that there is none is an answer
    except DependencyUnavailable as error:
        return [Finding(UNREACHABLE, "registry", str(error), "start it, or set TALLYSTREAM_REGISTRY_URL")]
    return [Finding(OK, "registry", f"{url} answers")]


def topic_counts(surroundings: Surroundings) -> dict[str, int] | None:
    """Partitions of every topic there is; None when the brokers do not answer, which is another finding."""
    try:
        topics = _admin(surroundings).list_topics(timeout=KAFKA_TIMEOUT_S).topics
    except KafkaException:
        return None
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def partition_findings(wanted: int | None, counts: dict[str, int], topics: Iterable[str]) -> list[Finding]:
    """A finding for each topic that exists with another partition count than the one asked for."""
    return [
        Finding(
            FAIL,
            topic,
            f"has {counts[topic]} partitions, {wanted} are asked for: another count would move keys",
            f"set partitions = {counts[topic]}, or move to a new topic",
        )
        for topic in topics
        if wanted is not None and topic in counts and counts[topic] != wanted
    ]


def _admin(surroundings: Surroundings) -> AdminClient:
    return AdminClient({"bootstrap.servers": surroundings.kafka}, logger=logging.getLogger(LIBRDKAFKA))

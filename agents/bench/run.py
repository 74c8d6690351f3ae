"""Runs the benchmark: broker and inputs, then our worker, then the peers, then the comparison."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.bench.changes import entries_for, entry_changes
from agents.bench.codec import codec_seconds
from agents.bench.compare import Comparison, compare, read_segments
from agents.bench.figures import figures_of, machine
from agents.bench.firm import Firm, make_firm
from agents.bench.inputs import PEER_ENTRIES, InputWriter
from agents.bench.measure import Measured, measure
from agents.bench.peer import CURRENT, OUTPUTS
from agents.bench.programs import (
    PLAIN,
    PLAIN_CHANGELOGS,
    QUIX,
    Program,
    plain_program,
    quix_program,
    worker_program,
)
from agents.bench.quix import quix_python
from agents.bench.topics import Positions
from agents.billing.flow import billing_flow
from agents.billing.segments import Segment
from streams.contracts import load_contracts
from streams.contracts.topics import create_topics, topic_config
from streams.serde import Decoder, Registry
from streams.settings import load_settings
from streams.stack import Stack
from streams.stack.process import ChildProcess
from streams.worker.preparation import prepare

SERVICES = ("broker", "registry")
# Workers that are held still while their inputs are written must not count as dead.
PATIENT_SESSION_S = 300


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Size and place of a run. ``broker`` is ``kafka``, ``embedded`` or HOST:PORT.

    ``workers`` above one are measured, too, on a broker of their own. ``quix`` says whether Quix Streams is.
    """

    changes: int
    plain_changes: int
    consultants: int
    broker: str
    partitions: int
    seed: int = 1
    keep: bool = False
    workers: int = 1
    quix: bool = True


@dataclass(frozen=True, slots=True)
class BenchResult:
    """JSON-ready figures, and the comparison of our rows with each peer's, by its name."""

    figures: dict[str, Any]
    comparisons: dict[str, Comparison]
    folder: Path | None


Show = Callable[[str, int, int], None]  # what is done, how far, of how much


def run_bench(settings: BenchSettings, show: Show = lambda *_: None) -> BenchResult:
    """Run to the end; raises `DependencyUnavailable` if a part of it fails."""
    python = quix_python() if settings.quix else None  # before anything is measured
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-"))
    try:
        circumstances = machine(settings.broker, settings.partitions)
        with _stack(settings, folder / "one") as stack:
            run = _Run(settings, folder / "one", stack.settings_environment(), show)
            measured, comparisons = run.beside_peers(python)
        if settings.workers > 1:
            with _stack(settings, folder / "more") as stack:
                run = _Run(settings, folder / "more", stack.settings_environment(), show)
                measured["workers"] = run.workers_together()
        figures = figures_of(measured, settings.changes, settings.plain_changes, settings.workers)
        for name, comparison in comparisons.items():
            suffix = "" if name == "plain" else f"_{name}"
            figures[f"rows_compared{suffix}"] = comparison.rows_compared
            figures[f"rows_different{suffix}"] = comparison.rows_different
        kept = folder if settings.keep else None
        return BenchResult({**figures, **circumstances}, comparisons, kept)
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _stack(settings: BenchSettings, folder: Path) -> Stack:
    return Stack(folder / "stack", broker=settings.broker, services=SERVICES)


class _Run:
    def __init__(
        self, settings: BenchSettings, folder: Path, environment: dict[str, str], show: Show
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._show = show
        self._bootstrap = environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        self._registry_url = environment["TALLYSTREAM_REGISTRY_URL"]
        self._environment = {
            **os.environ,
            **environment,
            "TALLYSTREAM_PARTITIONS": str(settings.partitions),
            "TALLYSTREAM_SESSION_TIMEOUT_S": str(PATIENT_SESSION_S),
        }
        self._contracts = load_contracts()
        self._registry = Registry(self._registry_url)
        self._counts = {"A": settings.plain_changes, "B": settings.changes - settings.plain_changes}
        self._firm = make_firm(
            settings.seed,
            settings.consultants,
            {name: entries_for(count) for name, count in self._counts.items()},
        )
        self._schema_ids = self._prepare()
        self._writer = InputWriter(self._bootstrap, self._contracts, self._schema_ids)
        self._writer.write_references(self._firm.rows)

    def beside_peers(self, quix: Path | None) -> tuple[dict[str, Measured], dict[str, Comparison]]:
        """One worker of ours, the coding that it did alone, then each peer; and how their rows compare."""
        settings, folder = self._settings, self._folder
        decoder = Decoder(self._registry)
        ours = worker_program(self._environment, folder, 1)
        # A worker may apply something before it says that it is ready: its work comes after that.
        measured = {"ours": self._measure(ours, settings.changes, self._write_changes)}
        self._show("coding alone", 0, 0)
        coding = codec_seconds(self._bootstrap, self._contracts, self._schema_ids, decoder)
        measured["codec"] = Measured(coding, coding)
        options = {
            "bootstrap": self._bootstrap,
            "registry": self._registry_url,
            "partitions": settings.partitions,
            "schema_ids": {name: self._schema_ids[name] for name in OUTPUTS},
        }
        peers = {PLAIN: plain_program(options, self._environment, folder)}
        if quix is not None:
            peers[QUIX] = quix_program(quix, options, self._environment, folder)
        segments = read_segments(self._bootstrap, CURRENT, decoder)
        comparisons = {}
        for prefix, program in peers.items():
            name = prefix.rstrip(".")
            measured[name] = self._measure(program, settings.plain_changes)
            theirs = read_segments(self._bootstrap, prefix + CURRENT, decoder)
            comparisons[name] = compare(segments, theirs, self._is_common(self._firm))
        return measured, comparisons

    def workers_together(self) -> Measured:
        """Several workers of ours, which are all ready before there is anything to do."""
        settings = self._settings
        program = worker_program(self._environment, self._folder, settings.workers)
        return self._measure(program, settings.changes, self._write_changes)

    def _prepare(self) -> dict[str, int]:
        """Topics and schemas as the worker makes them, and the peers' topics, with our schemas."""
        settings = load_settings(
            kafka_bootstrap=self._bootstrap,
            registry_url=self._registry_url,
            partitions=self._settings.partitions,
        )
        schema_ids = prepare(settings, self._contracts, self._registry, [billing_flow()])
        keyed = topic_config("compact", -1)
        topics = dict.fromkeys((PEER_ENTRIES, *PLAIN_CHANGELOGS), (self._settings.partitions, keyed))
        for prefix in (PLAIN, QUIX):
            for name in OUTPUTS:
                contract = self._contracts.topics[name]
                config = topic_config(contract.cleanup, contract.retention_days)
                topics[prefix + name] = (self._settings.partitions, config)
        create_topics(self._bootstrap, topics)
        return schema_ids

    def _write_changes(self) -> None:
        settings = self._settings
        self._writer.write_changes(
            entry_changes(self._firm, settings.seed, self._counts),
            settings.plain_changes,
            lambda done: self._show("writing changes", done, settings.changes),
        )

    def _measure(
        self, program: Program, changes: int, give_work: Callable[[], None] | None = None
    ) -> Measured:
        processes = []
        for number in range(len(program.commands)):
            log = self._folder / "logs" / f"{program.name.replace(' ', '-')}-{number}.log"
            processes.append(ChildProcess(program.name, log))
        positions = Positions(self._bootstrap, program.group)
        self._show(program.name, 0, changes)
        try:
            for process, command in zip(processes, program.commands, strict=True):
                process.start(command)
            progress = lambda done: self._show(program.name, done, changes)  # noqa: E731 -- bound to its name
            return measure(processes, program.job, positions, progress, give_work)
        finally:
            for process in processes:
                process.stop()
            positions.close()

    def _is_common(self, firm: Firm) -> Callable[[Segment], bool]:
        """Roots of the first cohort, and roots of its own for what has no engagement."""
        if self._settings.plain_changes == 0:
            return lambda _: False
        roots = firm.cohorts[0].roots
        return lambda s: s.root_id in roots or s.root_id.startswith("entry:time:A")

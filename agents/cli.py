"""``tallystream worker`` runs flows until told to stop; ``tallystream bench agents`` measures one."""

from __future__ import annotations

import typer


def register(root: typer.Typer) -> None:
    """Add the commands of this layer."""
    from agents.bench.cli import agents, growth
    from agents.bench.recovery_cli import recovery

    bench = _bench_group(root)
    bench.command("agents")(agents)
    bench.command("growth")(growth)
    bench.command("recovery")(recovery)

    @root.command()
    def worker(
        flows: str | None = typer.Option(
            None, help="comma-separated: billing,utilization,posting,exceptions,latency; all by default"
        ),
        from_earliest: list[str] = typer.Option(
            [],
            metavar="TOPIC",
            help="read this input from its beginning if its position was lost; the error of a halt says when",
        ),
    ) -> None:
        """Run a worker: capture topics in, billing and utilization out, exactly once.

        Settings come from the environment (see `tallystream config show`); SIGTERM stops cleanly.

        Example: TALLYSTREAM_WORKER_ID=worker-0 tallystream worker --flows billing,exceptions
        """
        # Imported here: Faust takes a second to import, which no other command should pay.
        import asyncio

        from agents.flows import select_flows
        from streams.logs import configure_logs
        from streams.settings import load_settings
        from streams.worker.process import WorkerProcess

        settings = load_settings()
        configure_logs(settings.log_level)
        asyncio.run(_run(WorkerProcess(settings, select_flows(flows), from_earliest)))

    async def _run(process: object) -> None:
        await process.run()  # type: ignore[attr-defined]


def _bench_group(root: typer.Typer) -> typer.Typer:
    """The group ``bench``, which several layers add to: the one that is there, or a new one."""
    for group in root.registered_groups:
        if group.name == "bench" and group.typer_instance is not None:
            return group.typer_instance
    bench = typer.Typer(help="Measure what this machine does.", no_args_is_help=True)
    root.add_typer(bench, name="bench")
    return bench

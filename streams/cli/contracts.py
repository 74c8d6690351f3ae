"""``tallystream contracts``: what every topic promises, and whether the data that says so holds together."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import entry_points

import typer
from fastavro import parse_schema

from streams.contracts import Contracts, load_contracts, load_schema
from streams.contracts.registration import register_schemas
from streams.contracts.topics import contract_topics, create_topics
from streams.errors import ConfigurationError
from streams.settings import load_settings

CHECKS = "tallystream.checks"

app = typer.Typer(help="Topics, schemas, owners: list and check the contracts.", no_args_is_help=True)


@app.command("list")
def list_contracts(as_json: bool = typer.Option(False, "--json", help="one JSON array")) -> None:
    """List all topics with key, partitions, retention, owner.

    Example: tallystream contracts list --json
    """
    topics = load_contracts().topics.values()
    if as_json:
        typer.echo(json.dumps([asdict(topic) for topic in topics]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "topic", "key", "partition by", "n", "kept", "compatibility", "owner", "data", title="Contracts"
    )
    for topic in topics:
        kept = "latest per key" if topic.cleanup == "compact" else _days(topic.retention_days)
        table.add_row(
            topic.name,
            topic.key or "",
            topic.partition_by or "",
            str(topic.partitions),
            kept,
            topic.compatibility.removesuffix("_TRANSITIVE").lower(),
            topic.owner,
            topic.data_class,
        )
    Console().print(table)


def _days(days: int) -> str:
    return "for ever" if days < 0 else f"{days} days"


@app.command()
def check(as_json: bool = typer.Option(False, "--json", help="one JSON object")) -> None:
    """Check contracts, schemas, mappings and ownership against each other; exit 1 if anything is wrong.

    Example: tallystream contracts check
    """
    contracts = load_contracts()
    problems = schema_problems(contracts)
    for entry in sorted(entry_points(group=CHECKS), key=lambda e: e.name):
        problems += entry.load()(contracts)
    if as_json:
        typer.echo(json.dumps({"topics": len(contracts.topics), "problems": problems}))
    else:
        for problem in problems:
            typer.echo(f"problem: {problem}")
        typer.echo(f"{len(contracts.topics)} topics, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


@app.command()
def create() -> None:
    """Create the contracted topics and register their schemas.

    Example: TALLYSTREAM_KAFKA_BOOTSTRAP=127.0.0.1:9092 tallystream contracts create
    """
    from streams.serde import Registry

    settings, contracts = load_settings(), load_contracts()
    made = create_topics(
        settings.kafka_bootstrap, contract_topics(contracts, settings.partitions), settings.replication_factor
    )
    ids = register_schemas(Registry(settings.registry_url), contracts)
    typer.echo(
        f"{len(made)} topics created, {len(contracts.topics) - len(made)} were there, {len(ids)} schemas"
    )


def schema_problems(contracts: Contracts) -> list[str]:
    """Schemas that do not parse, lack documentation, or do not have the fields that their keys name."""
    problems = []
    for name, contract in contracts.topics.items():
        if contract.schema is None:
            continue
        try:
            schema = load_schema(contract.schema)
            parse_schema(schema)
        except ConfigurationError as error:
            problems.append(f"{name}: {error}")
            continue
        except Exception as error:  # fastavro has no common root for what a bad schema raises
            problems.append(f"{name}: schema {contract.schema} does not parse: {error}")
            continue
        if not schema.get("doc"):
            problems.append(f"{name}: schema {contract.schema} has no doc")
        fields = {field["name"]: field for field in schema["fields"]}
        for part in [*(contract.key or "").split("|"), contract.partition_by or ""]:
            if part and part not in fields:
                problems.append(f"{name}: key part {part} is no field of {contract.schema}")
        problems += [
            f"{name}: field {field} of {contract.schema} uses {kind}, which loses money or readers"
            for field, definition in fields.items()
            for kind in _forbidden(definition["type"])
        ]
    return problems


def _forbidden(avro_type: object) -> list[str]:
    """Types that published records must not use, at any depth: floats, times of day, unions beyond null."""
    if isinstance(avro_type, list):
        others = [branch for branch in avro_type if branch != "null"]
        found = [] if len(others) == 1 else ["a union of several types"]
        return found + [kind for branch in others for kind in _forbidden(branch)]
    if isinstance(avro_type, dict):
        logical = str(avro_type.get("logicalType", ""))
        if logical.startswith("time-"):
            return [logical]
        inner = [avro_type[part] for part in ("items", "values") if part in avro_type]
        inner += [field["type"] for field in avro_type.get("fields", ())]
        return [kind for part in inner or [avro_type["type"]] for kind in _forbidden(part)]
    return [str(avro_type)] if avro_type in ("float", "double") else []

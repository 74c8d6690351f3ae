"""What a worker makes sure of before it processes: topics as contracted, schemas registered."""

from __future__ import annotations

from collections.abc import Sequence

from streams.contracts import Contracts
from streams.contracts.registration import register_schemas
from streams.contracts.topics import contract_topics, create_topics, state_topics, topic_config
from streams.errors import ContractViolation
from streams.serde import Registry
from streams.settings import Settings
from streams.worker.flow import FlowDefinition


def prepare(
    settings: Settings, contracts: Contracts, registry: Registry, flows: Sequence[FlowDefinition]
) -> dict[str, int]:
    """Create and check topics, register schemas, read ahead those of other topics; returns ids by topic.

    Raises `DependencyUnavailable` or `ContractViolation`.
    """
    stages = [stage for flow in flows for stage in flow.stages]
    counts = {s.name: contracts.group_partitions(s.group, settings.partitions) for s in stages}
    for flow in flows:
        _check_lanes(flow, counts)
    topics = contract_topics(contracts, settings.partitions)
    topics |= state_topics([s.name for s in stages], counts)
    for flow in flows:
        for topic in flow.extra_topics:
            count = next(counts[s.name] for s in flow.stages if topic in s.inputs)
            topics[topic] = (count, topic_config("delete", -1))
    create_topics(settings.kafka_bootstrap, topics, settings.replication_factor)
    # A lane that others leave to this worker brings records that it has never seen; the registry may be
    # away by then.
    for flow in flows:
        for topic in flow.extra_topics:
            registry.learn(f"{topic}-value")
    return register_schemas(registry, contracts)


def _check_lanes(flow: FlowDefinition, counts: dict[str, int]) -> None:
    """A lane is a partition of all stages, and must be assigned to one worker: all have as many, or one."""
    spread = {counts[stage.name] for stage in flow.stages} - {1}
    if len(spread) > 1:
        raise ContractViolation(
            f"flow {flow.name}: its stages read topics of {', '.join(map(str, sorted(spread)))} partitions; "
            "give the topics of these groups the same number in contracts.yaml"
        )

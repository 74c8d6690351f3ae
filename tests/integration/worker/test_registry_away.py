"""A registry that goes away is not missed for what was learnt ahead."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import DependencyUnavailable
from streams.serde import Registry
from streams.stack import Stack

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}]}
OTHER = {**SCHEMA, "name": "Other"}


def test_what_was_learnt_needs_no_registry(tmp_path: Path) -> None:
    """What this client registered, and the latest schema of a subject that another did; no other."""
    with Stack(tmp_path, services={"registry"}) as stack:
        writer, reader = Registry(stack.registry.url), Registry(stack.registry.url)
        try:
            own = writer.register("own-value", SCHEMA)
            other = writer.register("other-value", OTHER)
            reader.learn("other-value")
            reader.learn("no-such-subject")
            stack.registry.kill()
            assert writer.schema(own) == SCHEMA
            assert reader.schema(other) == OTHER
            with pytest.raises(DependencyUnavailable, match="does not answer"):
                reader.schema(own)
        finally:
            writer.close()
            reader.close()

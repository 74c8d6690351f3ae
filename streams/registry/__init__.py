"""A small schema registry that speaks the Confluent REST API, for development and tests.

`check_compatibility` is also what the contract checks use, without any server.
"""

from __future__ import annotations

from streams.registry.compatibility import Compatibility, check_compatibility
from streams.registry.schemas import AvroSchema, InvalidSchema, parse_schema

__all__ = ["AvroSchema", "Compatibility", "InvalidSchema", "check_compatibility", "parse_schema"]

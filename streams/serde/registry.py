"""The registry client: subjects and schema ids, cached for the life of the process.

Ids never change their meaning, so what was read once is never asked again. Calls block; lanes make
them on their own threads, outside the hot path.
"""

from __future__ import annotations

import json
import threading
from typing import Any, cast

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from streams.errors import ConfigurationError, ContractViolation, DependencyUnavailable, SchemaMismatch

AvroSchema = dict[str, Any]

SUBJECT_NOT_FOUND = 40401
SCHEMA_NOT_FOUND = 40403
CONFLICT = 409


class Registry:
    """A Confluent-compatible schema registry at ``url``.

    Raises `DependencyUnavailable` where it does not answer, `ConfigurationError` for no address at all.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 3})
        except ValueError:
            raise ConfigurationError(
                f"{url!r} is no address of a schema registry; set TALLYSTREAM_REGISTRY_URL, as http://127.0.0.1:8081"
            ) from None
        self._by_id: dict[int, AvroSchema] = {}
        self._unknown: set[int] = set()
        self._lock = threading.Lock()

    def register(self, subject: str, schema: AvroSchema) -> int:
        """Register ``schema`` under ``subject`` and return its id; `ContractViolation` if incompatible."""
        try:
            schema_id = self._client.register_schema(subject, Schema(json.dumps(schema), "AVRO"))
        except SchemaRegistryError as error:
            if error.http_status_code == CONFLICT:
                raise ContractViolation(
                    f"schema of {subject} is incompatible with its registered versions: "
                    f"{error.error_message}; add only optional fields, or make a new topic"
                ) from None
            raise DependencyUnavailable(f"schema registry {self.url}: {error.error_message}") from None
        except Exception as error:  # the client lets its HTTP library's errors through
            raise self._unreachable(error) from None
        known = cast(int, schema_id)
        self._by_id.setdefault(known, schema)
        return known

    def learn(self, subject: str) -> None:
        """Read a subject's latest schema ahead, if it has one: records of it then need no registry."""
        try:
            latest = self._client.get_latest_version(subject)
        except SchemaRegistryError as error:
            if error.error_code == SUBJECT_NOT_FOUND:
                return
            raise DependencyUnavailable(f"schema registry {self.url}: {error.error_message}") from None
        except Exception as error:
            raise self._unreachable(error) from None
        self._by_id.setdefault(cast(int, latest.schema_id), json.loads(str(latest.schema.schema_str)))

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set the compatibility level of one subject, e.g. ``FULL_TRANSITIVE``."""
        try:
            self._client.set_compatibility(subject, level)
        except Exception as error:
            raise self._unreachable(error) from None

    def schema(self, schema_id: int) -> AvroSchema:
        """The writer schema of an id; `SchemaMismatch` if the registry does not know it."""
        known = self._by_id.get(schema_id)
        if known is not None:
            return known
        if schema_id in self._unknown:
            raise _unknown(schema_id)
        with self._lock:
            try:
                text = self._client.get_schema(schema_id).schema_str
            except SchemaRegistryError as error:
                if error.error_code == SCHEMA_NOT_FOUND:
                    # A bounded memory of bad ids, so that a flood of poison does not flood the registry.
                    if len(self._unknown) < 10_000:
                        self._unknown.add(schema_id)
                    raise _unknown(schema_id) from None
                raise DependencyUnavailable(f"schema registry {self.url}: {error.error_message}") from None
            except Exception as error:
                raise self._unreachable(error) from None
            schema: AvroSchema = json.loads(str(text))
            self._by_id[schema_id] = schema
            return schema

    def close(self) -> None:
        """Close the connections; what is cached can still be asked for."""
        self._client.close()

    def _unreachable(self, error: Exception) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"schema registry {self.url} does not answer ({type(error).__name__}); start it or set TALLYSTREAM_REGISTRY_URL"
        )


def _unknown(schema_id: int) -> SchemaMismatch:
    return SchemaMismatch(f"schema id {schema_id} is not in the registry; register it, then replay")

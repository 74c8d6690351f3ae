"""Registering the schemas of captured tables, in a way that lets the tables live.

A column that became NOT NULL stays nullable in the schema, and a NOT NULL column that was added
later is nullable, for readers of the newer version must still read what was written before.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, NoReturn

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from streams.errors import ContractViolation, DependencyUnavailable

_NOT_FOUND = 404
_CONFLICT = 409
_INVALID = 422


class Subjects:
    """The registry as a source sees it: the latest version of a subject, and registering the next.

    A context manager: it holds a connection. Raises `DependencyUnavailable` where nobody answers.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = SchemaRegistryClient({"url": url, "timeout": 10, "max.retries": 3})

    def __enter__(self) -> Subjects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def register(self, subject: str, schema: dict[str, Any], subject_of: str) -> int:
        """Register and return the id; `ContractViolation` names ``subject_of`` and the fields that differ."""
        try:
            return int(self._client.register_schema(subject, Schema(json.dumps(schema), "AVRO")))
        except SchemaRegistryError as error:
            if error.http_status_code not in (_CONFLICT, _INVALID):
                self._unavailable(error.error_message)
            changed = changed_fields(row_fields(self.latest(subject)), row_fields(schema))
            reason = " ".join(str(error.error_message).split())
            raise ContractViolation(
                f"{subject_of}: column {', '.join(changed) or 'unknown'} changed in a way that readers of "
                f"{subject} can't follow ({reason}); revert it, or move the table to a new topic"
            ) from None
        except Exception as error:  # the client lets its HTTP library's errors through
            self._unavailable(f"does not answer ({type(error).__name__})")

    def latest(self, subject: str) -> dict[str, Any] | None:
        """The newest registered schema, None when the subject has none."""
        try:
            schema: dict[str, Any] = json.loads(
                str(self._client.get_latest_version(subject).schema.schema_str)
            )
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            self._unavailable(error.error_message)
        except Exception as error:  # as above
            self._unavailable(f"does not answer ({type(error).__name__})")
        return schema

    def _unavailable(self, reason: str) -> NoReturn:
        raise DependencyUnavailable(
            f"schema registry {self._url}: {reason}; start it or set TALLYSTREAM_REGISTRY_URL"
        ) from None


def row_fields(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Field name → type of the row record within an envelope schema, or of a key schema."""
    if schema is None:
        return {}
    fields: list[dict[str, Any]] = schema["fields"]
    if fields and fields[0]["name"] == "before":
        fields = next(branch for branch in fields[0]["type"] if isinstance(branch, dict))["fields"]
    return {field["name"]: field["type"] for field in fields}


def changed_fields(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Names of the fields that were added, dropped or retyped, sorted."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def must_be_optional(registered: dict[str, Any], name: str) -> bool:
    """Whether a field is to be nullable because of the versions before: it was, or it is new."""
    return bool(registered) and (name not in registered or isinstance(registered[name], list))

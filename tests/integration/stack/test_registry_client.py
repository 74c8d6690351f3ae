"""The registry as Confluent's own client, and Java's converter, use it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from streams.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("registry"), services=["registry"]) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": stack.registry.url, "max.retries": 0}) as client:
        yield client


def schema(*fields: dict[str, Any]) -> Schema:
    text = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, *fields]}
    return Schema(json.dumps(text), "AVRO")


OPTIONAL = {"name": "o", "type": ["null", "string"], "default": None}
REQUIRED = {"name": "r", "type": "string"}


def http(stack: Stack, method: str, path: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(stack.registry.url + path, data, method=method)  # noqa: S310  ours
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  ours
            assert response.headers.get_content_type() == "application/vnd.schemaregistry.v1+json"
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_register_and_read_back(client: SchemaRegistryClient) -> None:
    """By id, by version, as latest, by content; under a subject with slashes."""
    subject = "cdc/erp/orders-value"
    schema_id = client.register_schema(subject, schema())
    assert client.register_schema(subject, schema(), normalize_schemas=True) == schema_id
    assert json.loads(client.get_schema(schema_id).schema_str or "") == json.loads(schema().schema_str or "")
    found = client.lookup_schema(subject, schema())
    assert (found.subject, found.version, found.schema_id) == (subject, 1, schema_id)
    assert client.get_latest_version(subject).schema_id == schema_id
    assert client.get_version(subject, 1).schema_id == schema_id
    assert client.get_versions(subject) == [1]
    assert subject in client.get_subjects()
    assert client.get_subjects_by_schema_id(schema_id) == [subject]
    assert [v.version for v in client.get_schema_versions(schema_id)] == [1]


def test_full_transitive_refuses_with_409(client: SchemaRegistryClient) -> None:
    """A required field is refused at registration and by the check; an optional one passes."""
    subject = "billing.current-value"
    client.set_compatibility(subject_name=subject, level="FULL_TRANSITIVE")
    assert client.get_compatibility(subject) == "FULL_TRANSITIVE"
    client.register_schema(subject, schema())
    assert not client.test_compatibility(subject, schema(REQUIRED))
    assert not client.test_compatibility_all_versions(subject, schema(REQUIRED))
    with pytest.raises(SchemaRegistryError) as error:
        client.register_schema(subject, schema(REQUIRED))
    assert (error.value.http_status_code, error.value.error_code) == (409, 409)
    assert client.test_compatibility_all_versions(subject, schema(OPTIONAL))
    assert client.register_schema(subject, schema(OPTIONAL))


def test_a_changed_scale_is_refused(client: SchemaRegistryClient) -> None:
    """Amounts would be read with the decimal point elsewhere."""
    amount = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}
    other = {**amount, "scale": 4}
    client.register_schema("scale-value", schema({"name": "amount", "type": amount}))
    with pytest.raises(SchemaRegistryError, match="decimal scale 2 read as 4"):
        client.register_schema("scale-value", schema({"name": "amount", "type": other}))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/schemas/ids/999999", None, 404, 40403),
        ("GET", "/subjects/unknown/versions", None, 404, 40401),
        ("GET", "/subjects/unknown/versions/latest", None, 404, 40401),
        ("GET", "/subjects/known/versions/77", None, 404, 40402),
        ("GET", "/subjects/known/versions/x", None, 422, 42202),
        ("POST", "/subjects/known/versions", {"schema": "{"}, 422, 42201),
        ("POST", "/subjects/known/versions", {"schema": '{"type":"record","name":"a-b"}'}, 422, 42201),
        ("POST", "/subjects/known/versions", {"schema": '"int"', "schemaType": "JSON"}, 422, 42201),
        ("POST", "/subjects/known/versions", {"schema": '"int"', "references": [{}]}, 422, 42201),
        ("POST", "/subjects/known/versions", {}, 422, 42201),
        ("POST", "/subjects/known/versions", {"schema": '"boolean"'}, 409, 409),
        ("POST", "/subjects/known", {"schema": '"boolean"'}, 404, 40403),
        ("PUT", "/config", {"compatibility": "SOME"}, 422, 42203),
        ("GET", "/config/unknown", None, 404, 40408),
        ("GET", "/associations/resources/-/topic?resourceType=topic", None, 404, 404),
        ("POST", "/subjects/known/versions", [], 400, 400),
    ],
)
def test_errors_have_confluents_codes(
    stack: Stack, method: str, path: str, body: object, status: int, code: int
) -> None:
    """Clients decide by these numbers."""
    http(stack, "POST", "/subjects/known/versions", {"schema": '"long"'})
    got_status, answer = http(stack, method, path, body)
    assert (got_status, answer["error_code"]) == (status, code)
    assert answer["message"]


def test_what_javas_converter_asks_is_answered(stack: Stack) -> None:
    """With its own query parameters."""
    _, registered = http(stack, "POST", "/subjects/java/versions?normalize=false", {"schema": '"string"'})
    key = registered["id"]
    status, answer = http(stack, "GET", f"/schemas/ids/{key}?fetchMaxId=false&subject=java")
    assert (status, answer) == (200, {"schema": '"string"'})
    status, answer = http(stack, "POST", "/subjects/java?deleted=true", {"schema": '"string"'})
    assert (status, answer["version"]) == (200, 1)


def test_verbose_checks_say_why(stack: Stack) -> None:
    """The message names the place; unknown subjects accept anything."""
    http(stack, "POST", "/subjects/verbose/versions", {"schema": '"long"'})
    path = "/compatibility/subjects/{}/versions/latest?verbose=true"
    _, answer = http(stack, "POST", path.format("verbose"), {"schema": '"boolean"'})
    assert answer["is_compatible"] is False
    assert "type_mismatch" in answer["messages"][0]
    _, answer = http(stack, "POST", path.format("nobody"), {"schema": '"boolean"'})
    assert answer == {"is_compatible": True, "messages": []}


def test_levels_and_mode(client: SchemaRegistryClient, stack: Stack) -> None:
    """A subject's own level is asked for apart from the global one."""
    assert client.get_compatibility() == "BACKWARD"
    assert http(stack, "GET", "/config/none?defaultToGlobal=true") == (
        200,
        {"compatibilityLevel": "BACKWARD"},
    )
    client.set_compatibility("own-value", "FORWARD")
    assert client.get_compatibility("own-value") == "FORWARD"
    assert http(stack, "DELETE", "/config/own-value") == (200, {"compatibilityLevel": "FORWARD"})
    assert client.get_global_mode() == "READWRITE"


def test_deletion_by_the_client(client: SchemaRegistryClient) -> None:
    """Softly, then for good."""
    client.register_schema("gone-value", schema())
    client.register_schema("gone-value", schema(OPTIONAL))
    assert client.delete_version("gone-value", 1) == 1
    assert client.delete_subject("gone-value") == [2]
    assert "gone-value" not in client.get_subjects()
    assert client.delete_subject("gone-value", permanent=True) == [1, 2]


def test_schemas_survive_a_restart(client: SchemaRegistryClient, stack: Stack) -> None:
    """And a kill: the answer to a registration comes after the commit."""
    schema_id = client.register_schema("kept-value", schema())
    stack.registry.kill()
    stack.registry.start()
    with SchemaRegistryClient({"url": stack.registry.url}) as fresh:
        assert fresh.get_latest_version("kept-value").schema_id == schema_id

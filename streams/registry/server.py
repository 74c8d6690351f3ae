"""Confluent's REST API over the store, as far as clients, Java's converter and kcat use it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from streams.registry import errors
from streams.registry.compatibility import Compatibility
from streams.registry.errors import RegistryError
from streams.registry.store import Store, Version

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
LATEST = "latest"
LAST_VERSION = 2**31 - 1
MAX_BODY = 16 * 2**20  # bytes; schemas of wide tables are large, but not that large
STORE: web.AppKey[Store] = web.AppKey("store", Store)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(store: Store) -> web.Application:
    """The registry as an aiohttp application; it closes the store at the end."""
    app = web.Application(middlewares=[_errors_as_json], client_max_size=MAX_BODY)
    app[STORE] = store

    async def close(app: web.Application) -> None:
        app[STORE].close()

    app.on_cleanup.append(close)
    # `{subject}` matches what is between slashes before `%2F` is decoded, so subjects may hold slashes.
    app.add_routes(
        [
            web.get("/", _root),
            web.get("/schemas/types", _types),
            web.get("/schemas/ids/{id}", _schema),
            web.get("/schemas/ids/{id}/schema", _schema_text),
            web.get("/schemas/ids/{id}/subjects", _schema_subjects),
            web.get("/schemas/ids/{id}/versions", _schema_versions),
            web.get("/subjects", _subjects),
            web.post("/subjects/{subject}", _lookup),
            web.delete("/subjects/{subject}", _delete_subject),
            web.get("/subjects/{subject}/versions", _versions),
            web.post("/subjects/{subject}/versions", _register),
            web.get("/subjects/{subject}/versions/{version}", _version),
            web.get("/subjects/{subject}/versions/{version}/schema", _version_text),
            web.delete("/subjects/{subject}/versions/{version}", _delete_version),
            web.post("/compatibility/subjects/{subject}/versions", _test_all),
            web.post("/compatibility/subjects/{subject}/versions/{version}", _test_one),
            web.get("/config", _get_config),
            web.put("/config", _put_config),
            web.delete("/config", _delete_config),
            web.get("/config/{subject}", _get_config),
            web.put("/config/{subject}", _put_config),
            web.delete("/config/{subject}", _delete_config),
            web.get("/mode", _mode),
            web.get("/mode/{subject}", _mode),
        ]
    )
    return app


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        return _answer(error.body, error.status)
    except web.HTTPException as error:
        return _answer(
            {"error_code": error.status, "message": f"HTTP {error.status} {error.reason}"}, error.status
        )


async def _root(request: web.Request) -> web.Response:
    return _answer({})


async def _types(request: web.Request) -> web.Response:
    return _answer(["AVRO"])


async def _schema(request: web.Request) -> web.Response:
    # `subject` and `fetchMaxId`, which Java's converter sends, only matter to registries with contexts.
    return _answer({"schema": request.app[STORE].schema_text(_id(request))})


async def _schema_text(request: web.Request) -> web.Response:
    return web.Response(text=request.app[STORE].schema_text(_id(request)), content_type=CONTENT_TYPE)


async def _schema_subjects(request: web.Request) -> web.Response:
    uses = request.app[STORE].uses(_id(request), deleted=_flag(request, "deleted"))
    return _answer(sorted({version.subject for version in uses}))


async def _schema_versions(request: web.Request) -> web.Response:
    uses = request.app[STORE].uses(_id(request), deleted=_flag(request, "deleted"))
    return _answer([{"subject": version.subject, "version": version.version} for version in uses])


async def _subjects(request: web.Request) -> web.Response:
    prefix = request.query.get("subjectPrefix", "")
    return _answer(request.app[STORE].subjects(prefix, deleted=_flag(request, "deleted")))


async def _lookup(request: web.Request) -> web.Response:
    text = await _posted_schema(request)
    version = request.app[STORE].lookup(_subject(request), text, deleted=_flag(request, "deleted"))
    return _answer(_described(version))


async def _register(request: web.Request) -> web.Response:
    version = request.app[STORE].register(_subject(request), await _posted_schema(request))
    return _answer(
        {"id": version.schema_id, "version": version.version, "schemaType": "AVRO", "schema": version.text}
    )


async def _delete_subject(request: web.Request) -> web.Response:
    permanent = _flag(request, "permanent")
    return _answer(request.app[STORE].delete_subject(_subject(request), permanent=permanent))


async def _versions(request: web.Request) -> web.Response:
    versions = request.app[STORE].versions(_subject(request), deleted=_flag(request, "deleted"))
    return _answer([version.version for version in versions])


async def _version(request: web.Request) -> web.Response:
    return _answer(_described(_requested_version(request)))


async def _version_text(request: web.Request) -> web.Response:
    return web.Response(text=_requested_version(request).text, content_type=CONTENT_TYPE)


async def _delete_version(request: web.Request) -> web.Response:
    permanent = _flag(request, "permanent")
    return _answer(
        request.app[STORE].delete_version(_subject(request), _number(request), permanent=permanent)
    )


async def _test_all(request: web.Request) -> web.Response:
    text = await _posted_schema(request)
    return _verdict(request, request.app[STORE].test(_subject(request), text, all_versions=True))


async def _test_one(request: web.Request) -> web.Response:
    text = await _posted_schema(request)
    problems = request.app[STORE].test(_subject(request), text, _number(request), all_versions=False)
    return _verdict(request, problems)


async def _get_config(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info.get("subject")
    if subject is None:
        level = store.global_level()
    else:
        own = store.own_level(subject)
        if own is None and not _flag(request, "defaultToGlobal"):
            raise errors.no_subject_level(subject)
        level = own or store.global_level()
    return _answer({"compatibilityLevel": level.value})


async def _put_config(request: web.Request) -> web.Response:
    body = await _json_body(request)
    try:
        level = Compatibility(str(body.get("compatibility")).upper())
    except ValueError:
        raise errors.invalid_level(body.get("compatibility")) from None
    request.app[STORE].set_level(request.match_info.get("subject"), level)
    return _answer({"compatibility": level.value})


async def _delete_config(request: web.Request) -> web.Response:
    previous = request.app[STORE].clear_level(request.match_info.get("subject"))
    return _answer({"compatibilityLevel": previous.value})


async def _mode(request: web.Request) -> web.Response:
    return _answer({"mode": "READWRITE"})


def _verdict(request: web.Request, problems: list[str]) -> web.Response:
    verdict: dict[str, Any] = {"is_compatible": not problems}
    if _flag(request, "verbose"):
        verdict["messages"] = problems
    return _answer(verdict)


def _described(version: Version) -> dict[str, Any]:
    return {
        "subject": version.subject,
        "version": version.version,
        "id": version.schema_id,
        "schemaType": "AVRO",
        "schema": version.text,
    }


def _requested_version(request: web.Request) -> Version:
    deleted = _flag(request, "deleted")
    return request.app[STORE].version(_subject(request), _number(request), deleted=deleted)


async def _posted_schema(request: web.Request) -> str:
    body = await _json_body(request)
    if body.get("schemaType", "AVRO") not in (None, "AVRO"):
        raise errors.invalid_schema(f"this registry knows AVRO only, not {body['schemaType']}")
    for unsupported in ("references", "metadata", "ruleSet"):
        if body.get(unsupported):
            raise errors.invalid_schema(f"this registry doesn't know {unsupported}")
    schema = body.get("schema")
    if not isinstance(schema, str):
        raise errors.invalid_schema("schema is missing, or no string")
    return schema


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError):
        raise RegistryError(400, "The body is not JSON") from None
    if not isinstance(body, dict):
        raise RegistryError(400, "The body is no JSON object")
    return body


def _subject(request: web.Request) -> str:
    return request.match_info["subject"]


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit()) or int(text) > LAST_VERSION:
        raise RegistryError(404, "HTTP 404 Not Found")
    return int(text)


def _number(request: web.Request) -> int | None:
    """The version asked for; None is the latest, which clients also write -1."""
    text = request.match_info["version"]
    if text in (LATEST, "-1"):
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= LAST_VERSION:
        raise errors.invalid_version(text)
    return int(text)


def _flag(request: web.Request, name: str) -> bool:
    """A boolean of the query; Python clients write `True`."""
    return request.query.get(name, "").lower() == "true"


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, content_type=CONTENT_TYPE)

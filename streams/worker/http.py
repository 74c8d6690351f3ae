"""Health and metrics of a worker: ``/livez``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.errors import DependencyUnavailable


async def serve_http(host: str, port: int, readiness: Callable[[], str | None]) -> web.AppRunner:
    """Serve until the runner is cleaned up.

    ``/livez`` answers as long as the event loop turns; it never asks the brokers. ``readiness`` gives
    None, or why the worker is not ready. `DependencyUnavailable` if the port is taken.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        why = readiness()
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise DependencyUnavailable(
            f"port {port} on {host} is taken ({error.strerror}); set TALLYSTREAM_HTTP_PORT"
        ) from None
    return runner

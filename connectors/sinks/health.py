"""``/livez``, ``/readyz`` and ``/metrics`` of a sink process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.errors import ConfigurationError

# A loop turn takes at most a broker request (10 s) and a wait between attempts (5 s).
ALIVE_S = 60.0


@dataclass(slots=True)
class Health:
    """What the probes ask. Alive: the loop turns, whatever the dependencies do. Ready: it is reading."""

    ready: bool = False
    _last_beat: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """The loop turned."""
        self._last_beat = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the loop turned lately."""
        return time.monotonic() - self._last_beat < ALIVE_S


def serve(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Serve the probes and metrics from a thread; the caller shuts the server down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/livez":
                    self._answer(200 if health.alive else 503, b"alive\n" if health.alive else b"stuck\n")
                case "/readyz":
                    self._answer(
                        200 if health.ready else 503, b"ready\n" if health.ready else b"not reading\n"
                    )
                case "/metrics":
                    self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(404, b"see /livez, /readyz and /metrics\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes every few seconds are not worth a log line."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"cannot serve /metrics on {host}:{port} ({error.strerror}); set another TALLYSTREAM_HTTP_PORT"
        ) from None
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server

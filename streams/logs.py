"""Logs: one JSON object a line on standard error, Faust's and ours alike."""

from __future__ import annotations

import logging
import sys
import threading

import structlog
from structlog.types import Processor

# The logger of librdkafka's clients: without one they write lines of their own form to standard error.
LIBRDKAFKA = "librdkafka"
# Libraries that say at INFO what only their authors want to know.
QUIET = (
    "faust",
    "mode",
    "aiokafka",
    "aiohttp",
    "rebalance",
    "kafka",
    "httpx2",
    "streams.faustapp",
    "connectors.sinks.kafka",
)


# Libraries that tell with a traceback what whoever uses them tells in a line: a lost connection.
SILENT = ("sqlalchemy.pool",)


def configure_logs(level: str) -> None:
    """Send structlog and the standard library's records to standard error as JSON."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    threading.excepthook = _thread_ended


def without_client_logs() -> None:
    """Nothing of what Kafka's clients say of lost connections: for commands, which say it once, as their error."""
    logging.getLogger(LIBRDKAFKA).setLevel(logging.CRITICAL)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """What ended a thread, as a log line too: libraries' threads end so when the process is stopping."""
    if ended.exc_value is not None:
        told = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        name = ended.thread.name if ended.thread is not None else "unknown"
        logging.getLogger("threads").error("thread %s ended with an error", name, exc_info=told)

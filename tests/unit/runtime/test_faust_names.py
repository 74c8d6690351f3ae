"""Every private name of the libraries that the package uses is known here, with what it must be.

`test_faust_contract` pins the methods that are overridden; this file finds what it might have missed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiokafka
import mode
import pytest
from aiokafka.consumer import group_coordinator
from aiokafka.consumer.fetcher import Fetcher
from faust.serializers.codecs import Codec
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread

from streams import faustapp

PACKAGE = Path(faustapp.__file__).parent
PRIVATE_NAME = re.compile("_[^_]")
# Where each private name comes from: the attribute, or the function whose source sets or calls it.
PRIVATE: dict[str, tuple[Callable[..., Any], str]] = {
    "_thread": (base.ThreadDelegateConsumer.__init__, "self._thread = self._new_consumer_thread()"),
    "_commit": (base.ThreadDelegateConsumer._commit, "return await self._thread.commit(offsets)"),
    "_ensure_consumer": (driver.AIOKafkaConsumerThread._ensure_consumer, "return self._consumer"),
    "_wait_next_records": (base.Consumer._wait_next_records, "return records, active_partitions"),
    "_committed_offset": (base.Consumer.__init__, "self._committed_offset = defaultdict(lambda: None)"),
    "_read_offset": (base.Consumer.__init__, "self._read_offset = defaultdict(lambda: None)"),
    "_coordinator": (aiokafka.AIOKafkaConsumer.start, "self._coordinator = GroupCoordinator("),
    "_fetcher": (aiokafka.AIOKafkaConsumer.start, "self._fetcher = Fetcher("),
    "_prefetch_backoff": (Fetcher.__init__, "self._prefetch_backoff = prefetch_backoff"),
    "_assignor": (driver.AIOKafkaConsumerThread._create_worker_consumer, "self._assignor"),
}


def foreign_names() -> Iterator[str]:
    """Private attributes that the package reads or subscripts and does not define itself."""
    for path in sorted(PACKAGE.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = set(_defined(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and PRIVATE_NAME.match(node.attr) and node.attr not in defined:
                yield node.attr


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names of functions and classes, and attributes that an ``__init__`` of ours sets on itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    yield inner.attr


def test_no_private_name_of_the_libraries_is_used_unseen() -> None:
    """A new one needs a line in the table above, and with it a test."""
    assert set(foreign_names()) == set(PRIVATE)


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_a_private_name_is_where_it_was(name: str) -> None:
    """The library still sets it, or does what we call it for."""
    function, excerpt = PRIVATE[name]
    assert excerpt in " ".join(inspect.getsource(function).split())


def test_overridden_private_methods_exist_in_the_libraries() -> None:
    """A codec's two halves, and a thread's last word."""
    assert list(inspect.signature(Codec._loads).parameters) == ["self", "s"]
    assert list(inspect.signature(Codec._dumps).parameters) == ["self", "s"]
    assert list(inspect.signature(ServiceThread.on_crash).parameters) == ["self", "msg", "fmt", "kwargs"]


def test_the_coordinator_asks_assignors_as_objects() -> None:
    """An assignor may be an instance: name, metadata, assign and on_assignment are looked up on it."""
    text = inspect.getsource(group_coordinator)
    for call in (
        "if assignor.name == name",
        "assignor.metadata(topics)",
        "assignor.assign(self._cluster, member_metadata)",
        "assignor.on_assignment(assignment)",
    ):
        assert call in text
    assert list(inspect.signature(group_coordinator.GroupCoordinator.request_rejoin).parameters) == ["self"]


def test_a_crashed_service_says_so() -> None:
    """The worker watches both names of its applications."""
    service = mode.Service
    assert isinstance(service.crashed, property)
    assert isinstance(inspect.getattr_static(service, "crash_reason"), property)

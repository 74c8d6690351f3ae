"""What every test run says first, and demands."""

from __future__ import annotations

import os

import pytest

from streams.stack import kafka_available

REQUIRE_KAFKA = "REQUIRE_KAFKA"


def pytest_report_header() -> str:
    """Say which brokers the tests run on."""
    if kafka_available():
        return "brokers: Apache Kafka, and the embedded one"
    return "brokers: the embedded one only (Java and Maven are needed for Apache Kafka)"


def pytest_sessionstart(session: pytest.Session) -> None:
    """CI demands the full stack: a skipped half is no pass."""
    if os.environ.get(REQUIRE_KAFKA) == "1" and not kafka_available():
        pytest.exit(
            f"{REQUIRE_KAFKA} is set, but Java 17 and Maven are not there; install them", returncode=3
        )

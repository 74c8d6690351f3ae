"""The development schema registry (`streams.registry`) as a server of the stack."""

from __future__ import annotations

import sys
from pathlib import Path

from streams.stack import probes
from streams.stack.ports import HOST
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server

# The folder that holds the package `streams`. The child may start elsewhere, so it is told; last in
# the path, because what else lies in the folder must not hide anything.
IMPORT_ROOT = Path(__file__).resolve().parents[2]
START = "import sys; sys.path.append(sys.argv.pop(1)); from streams.registry.__main__ import main; main()"


class Registry(Server):
    """The registry on loopback, its schemas in one SQLite file."""

    def __init__(self, folder: Path, port: int, log: Path, name: str = "registry") -> None:
        super().__init__(name, port, ChildProcess(name, log))
        self.folder = folder

    @property
    def url(self) -> str:
        """Base URL, as clients take it."""
        return f"http://{self.address}"

    def prepare(self) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        """This interpreter, running the registry."""
        arguments = ["--port", str(self.port), "--database", str(self.folder.resolve() / "registry.sqlite")]
        return Command([sys.executable, "-P", "-c", START, str(IMPORT_ROOT), *arguments])

    def healthy(self) -> bool:
        """Whether it lists its subjects."""
        return probes.http_answers(HOST, self.port, "/subjects")

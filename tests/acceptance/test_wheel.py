"""The wheel in an empty environment, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end; its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_runs_contracts_check_and_the_demo(tmp_path: Path) -> None:
    """Installed from the wheel alone, `contracts check` and the demo pass, oracle included."""
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        tmp_path / "dist",
        ROOT,
        cwd=tmp_path,
    )
    (wheel,) = (tmp_path / "dist").glob("tallystream-*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    locked = ["--require-hashes", "-r", str(ROOT / "requirements.lock")]
    run(binaries / "pip", "install", "--quiet", *locked, cwd=tmp_path)
    run(binaries / "pip", "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    assert " 0 problems" in run(binaries / "tallystream", "contracts", "check", cwd=tmp_path)
    arguments = ["--days", "14", "--consultants", "10", "--rate", "0", "--json", "out.json"]
    run(binaries / "tallystream", "demo", *arguments, cwd=tmp_path)
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert result["oracle"]["rows_different"] == 0
    assert result["oracle"]["rows_compared"] > 1000

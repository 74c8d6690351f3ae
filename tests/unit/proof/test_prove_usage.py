"""``tallystream prove`` with settings and options that are missing or wrong: one line, and which it is."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from streams.cli.main import main
from streams.logs import LIBRDKAFKA

# Nothing listens there: the port is bound by nobody and privileged.
NOWHERE = "postgresql://user:swordfish@127.0.0.1:1/firm"
SETTINGS = {f"TALLYSTREAM_{name}_DSN": NOWHERE for name in ("ERP", "CRM", "TIME", "BI")}


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the command sets for its process is not for this one."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    level = logging.getLogger(LIBRDKAFKA).level
    yield
    logging.getLogger(LIBRDKAFKA).setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "word"),
    [
        ((), {"TALLYSTREAM_CRM_DSN": None}, 2, "TALLYSTREAM_CRM_DSN is not set"),
        (("--warehouse",), {"TALLYSTREAM_BI_DSN": None}, 2, "TALLYSTREAM_BI_DSN is not set"),
        ((), {"TALLYSTREAM_TIME_DSN": "swordfish"}, 2, "TALLYSTREAM_TIME_DSN is no database URL"),
        ((), {"TALLYSTREAM_TIME_DSN": "postgresql://u:swordfish@h:port/d"}, 2, "TALLYSTREAM_TIME_DSN"),
        ((), {"TALLYSTREAM_ERP_DSN": "oracle://user:swordfish@host/x"}, 2, "TALLYSTREAM_ERP_DSN"),
        ((), {"TALLYSTREAM_CRM_DSN": f"{NOWHERE}?plugin=x"}, 2, "TALLYSTREAM_CRM_DSN"),
        ((), {"TALLYSTREAM_CRM_DSN": f"{NOWHERE}?port=swordfish"}, 2, "TALLYSTREAM_CRM_DSN"),
        ((), {"TALLYSTREAM_CRM_DSN": f"{NOWHERE}?host=a,b&port=1"}, 2, "TALLYSTREAM_CRM_DSN"),
        (("--wait", "-1"), {}, 2, "--wait"),
        (("--wait", "soon"), {}, 2, "--wait"),
        (("--wait", "nan"), {}, 2, "--wait"),
        (("--wait", "inf"), {}, 2, "--wait"),
        (("--loud",), {}, 2, "--loud"),
        (("all",), {}, 2, "all"),
        ((), {}, 3, "erp database 127.0.0.1:1/firm"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: tuple[str, ...],
    settings: dict[str, str | None],
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code, name, nothing on standard output, and never a password."""
    for name in [name for name in os.environ if name.startswith("TALLYSTREAM_")]:
        monkeypatch.delenv(name)
    for name, value in {**SETTINGS, **settings}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tallystream", "prove", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == code
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: ")
    assert word in line
    assert "swordfish" not in line

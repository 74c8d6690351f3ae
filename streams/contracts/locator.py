"""Finds the data that is shipped beside the code: the packaged copy, else the checkout's folder."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from streams.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(packaged: str, checkout: str) -> Path:
    """``streams/<packaged>`` of an installed wheel, or ``<checkout>`` of a source tree."""
    for folder in (_PACKAGE / packaged, _PACKAGE.parent / checkout):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"the installation is incomplete: neither {packaged} nor {checkout} is there; reinstall"
    )


def contract_path(name: str) -> Path:
    """Path of a file under ``avro/``, e.g. ``contracts.yaml`` or ``mappings/reference-erp.yaml``."""
    return shipped("_avro", "avro") / name


@cache
def load_schema(name: str) -> dict[str, Any]:
    """The Avro schema ``canonical/task`` or ``events/billing_event`` as a dict."""
    path = contract_path(f"{name}.avsc")
    try:
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"no schema {name}: {path} does not exist") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    return schema

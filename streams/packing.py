"""State that is no Avro record: texts, whole numbers, lists and mappings as compact JSON."""

from __future__ import annotations

import json
from typing import Any


def packed(values: Any) -> bytes:
    """The stored form; ``json.loads`` reads it. Example: ``[1, None, "ü"]`` is ``[1,null,"ü"]`` in UTF-8."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()

"""What stands is reported once a change, with numbers that grow."""

from __future__ import annotations

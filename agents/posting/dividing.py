"""The entries of contracts with several payers, as the lane keeps them beside the segments.

State, with keys of parts that are separated by ``\\0``:

``c <root> <entry> <segment>``  what the segment adds by itself; written for all contracts
``e <root> <entry>``            what the entry adds instead, and what of it can't be divided
``r <root>``                    that the contract has such entries
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from agents.posting.payers import Divided, divide
from agents.posting.proposals import Part
from agents.posting.splits import Splits
from streams.lanes.state import Overlay
from streams.packing import packed


class DividedEntries:
    """Divides entries; one that was divided once is asked of, too, when its contract has payers no more."""

    def __init__(self, splits: Splits) -> None:
        self._splits = splits
        self.roots: set[str] = set()

    def open(self, state: Overlay) -> None:
        """Read which contracts have divided entries."""
        self.roots = {key.split(b"\0")[1].decode() for key, _ in state.scan(state_key("r", ""))}

    def concern(self, root_id: str) -> bool:
        """Whether entries of a contract add something else than their segments."""
        return root_id in self.roots or self._splits.has(root_id)

    def added(self, root_id: str, entry_id: str, state: Overlay) -> Divided:
        """What an entry adds as it was last divided; what its segments add if it never was."""
        stored = state.get(state_key("e", root_id, entry_id))
        if stored is None:
            return Divided(tuple(_segments(root_id, entry_id, state).values()))
        return Divided(*(tuple(map(Part.from_stored, parts)) for parts in json.loads(stored)))

    def divide(self, root_id: str, entry_id: str, state: Overlay) -> Divided:
        """What it adds now, kept for the next time."""
        key, parts = state_key("e", root_id, entry_id), _segments(root_id, entry_id, state)
        if not parts or not self._splits.has(root_id):
            state.delete(key)
            self._unmark(root_id, state)
            return Divided(tuple(parts.values()))
        found = divide(parts, partial(self._splits.on, root_id))
        state.put(key, packed([[part.stored() for part in some] for some in found]))
        if root_id not in self.roots:
            self.roots.add(root_id)
            state.put(state_key("r", root_id), b"")
        return found

    def entries(self, root_id: str, state: Overlay) -> Iterator[str]:
        """All entries of a contract that have segments, in the order of their keys."""
        last = None
        for key, _ in state.scan(state_key("c", root_id, "")):
            entry_id = key.split(b"\0")[2].decode()
            if entry_id != last:
                yield entry_id
            last = entry_id

    def _unmark(self, root_id: str, state: Overlay) -> None:
        if root_id in self.roots and next(state.scan(state_key("e", root_id, "")), None) is None:
            self.roots.discard(root_id)
            state.delete(state_key("r", root_id))


def state_key(*parts: str) -> bytes:
    """The key of the parts."""
    return "\0".join(parts).encode()


def _segments(root_id: str, entry_id: str, state: Overlay) -> dict[str, Part]:
    prefix = state_key("c", root_id, entry_id, "")
    return {key[len(prefix) :].decode(): Part.from_bytes(value) for key, value in state.scan(prefix)}

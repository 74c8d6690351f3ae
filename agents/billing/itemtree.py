"""The tree of a running allocation: the items of a root in item order, which draw on its limits.

Leaves are items. A node says what all items below draw on each limit, and at which room they found it. Trees may share
nodes: each belongs to the ``owner`` that it was made under, and only for that it is changed in place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import Segments, put_parts
from agents.billing.caps import Draw, Part, Passed, passed_caps
from agents.billing.items import Item, OrderKey
from agents.billing.terms import Terms
from streams.money import ZERO


class Leaf:
    """An item with a remainder that limits are for, and its adjustments; ``alone`` are its other segments."""

    __slots__ = ("adjustments", "alone", "draws", "item", "key", "owner", "parts", "passed", "rest", "stale")

    def __init__(self, item: Item, key: OrderKey, owner: object) -> None:
        self.key = key
        self.owner = owner
        self.draws: Sequence[Draw] = ()
        self.parts: list[Part] = []
        self.passed: Passed = {}
        self.renew(item, (), {}, (0, ZERO))

    def owned(self, owner: object) -> Leaf:
        """Itself, or a copy for a tree that it does not belong to."""
        if self.owner is owner:
            return self
        copy = Leaf(self.item, self.key, owner)
        copy.renew(self.item, self.adjustments, self.alone, self.rest)
        copy.draws, copy.parts, copy.stale = self.draws, self.parts, self.stale
        copy.passed = self.passed
        return copy

    def renew(
        self, item: Item, adjustments: Sequence[Adjustment], alone: Segments, rest: tuple[int, Decimal]
    ) -> None:
        """Take in the item as it is now; its parts are to be found."""
        self.item, self.adjustments, self.alone, self.rest = item, adjustments, alone, rest
        self.stale = True

    def place(self, parts: list[Part]) -> None:
        """Where it goes."""
        self.parts, self.passed = parts, passed_caps(self.item, parts)

    def segments(self, terms: Terms) -> Segments:
        """All segments of the entry."""
        found = dict(self.alone)
        put_parts(self.item, self.parts, self.adjustments, found, terms)
        return found


class Node:
    """``children`` are leaves or nodes; those of ``children[i]`` have keys from ``keys[i]`` on, but the first's.

    ``draws`` say, of each limit, the room at which the parts below were found, and what they took of it; ``passed`` is
    what passed the caps.
    """

    __slots__ = ("children", "draws", "is_lowest", "keys", "owner", "passed", "stale")

    def __init__(
        self, keys: list[OrderKey], children: list[Leaf | Node], is_lowest: bool, owner: object
    ) -> None:
        self.keys = keys
        self.children = children
        self.is_lowest = is_lowest
        self.owner = owner
        self.draws: Sequence[Draw] = ()
        self.passed: Passed = {}
        self.stale = True

    def owned(self, owner: object) -> Node:
        """Itself, or a copy for a tree that it does not belong to."""
        if self.owner is owner:
            return self
        copy = Node(list(self.keys), list(self.children), self.is_lowest, owner)
        copy.draws, copy.passed, copy.stale = self.draws, self.passed, self.stale
        return copy

    def own(self, at: int) -> Leaf | Node:
        """A child, as this node's owner may change it."""
        child = self.children[at] = self.children[at].owned(self.owner)
        return child

    def path(self, key: OrderKey) -> Iterator[tuple[Node, int]]:
        """Down to where a key is or belongs: the nodes, stale from now on, and the place in each."""
        node = self
        while True:
            node.stale = True
            at = max(bisect_right(node.keys, key) - 1, 0)
            yield node, at
            if node.is_lowest:
                return
            below = node.own(at)
            assert isinstance(below, Node)
            node = below

    def halve(self) -> Node:
        """Keep the first half; returns the second as a node of its own."""
        middle = len(self.keys) // 2
        other = Node(self.keys[middle:], self.children[middle:], self.is_lowest, self.owner)
        del self.keys[middle:], self.children[middle:]
        return other

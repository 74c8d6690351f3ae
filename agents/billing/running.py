"""Running allocation: what `allocate` gives for a root, kept up to date change by change.

Items draw on caps and inclusions in item order, so a change moves the rooms that all later items find. Most
of them don't care: where all passes, a little more or less room changes nothing, and where nothing is left,
nothing changes either. The items are the leaves of a tree in item order, whose nodes say what all items below
draw on each limit. A node whose items would come to the same is stepped over by one subtraction, so that a
change costs a path of the tree and the items whose parts really change.

Posted lines move the rooms that the first item finds. Day lines hang on the items of their day alone, and are made
anew with them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import Segments, allocate_alone, allocate_day
from agents.billing.caps import CapUse, Draw, Limits, Room, passed_together
from agents.billing.closes import Facts
from agents.billing.daylines import RunningDays
from agents.billing.inclusions import Limit
from agents.billing.items import Item, order_key
from agents.billing.itemtree import Leaf, Node
from agents.billing.posted import NetLine, PostedLine, net_lines
from agents.billing.terms import Terms
from streams.money import ZERO

# A node has at most so many children, else it is split. Measured with 30,000 items, for changes in the middle:
# 6, 8 and 12 cost the same, 32 half as much again.
CHILDREN = 12


class RunningAllocation:
    """The allocation of a root. Terms are fixed: others make a new one.

    A `fork` goes its own way from there on. Nodes of the tree are shared until one of the two changes them: each
    belongs to the ``owner`` that it was made under, and is copied for others.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._owner = object()
        self._nets: dict[str, Sequence[NetLine]] = {}
        self._limits = Limits(terms, ())
        # Of caps, before the first item; inclusions are untouched then.
        self._rooms = dict(self._limits.rooms)
        self._scopes: dict[str, str] = {}  # by which the posted lines of expenses count
        self._leaves: dict[str, Leaf] = {}
        self._root = Node([], [], True, self._owner)
        self._days = RunningDays(terms)

    def fork(self) -> RunningAllocation:
        """Another one that says the same."""
        other = RunningAllocation(self.terms)
        other._nets, other._rooms, other._scopes = dict(self._nets), dict(self._rooms), dict(self._scopes)
        other._leaves, other._root = dict(self._leaves), self._root
        other._days = self._days.fork()
        self._owner = object()
        return other

    def update(self, changes: Mapping[str, Facts]) -> dict[str, Segments]:
        """Take in entries as they are now, an item of None being gone; their drafts are no matter of it.

        Credits come with the charge that they name. Returns all segments of the entries given, and of each other
        whose parts have changed; day lines are entries, too.
        """
        found: dict[str, Segments] = {}
        days: set[str] = set()
        rooms = dict(self._rooms)
        for entry_id, facts in changes.items():
            item, adjustments = facts.item, facts.adjustments
            nets = self._post(entry_id, item, facts.lines)
            alone, rest = allocate_alone(entry_id, item, nets, adjustments, self.terms)
            self._put(entry_id, item if rest is not None else None, adjustments, alone, rest or (0, ZERO))
            found[entry_id] = alone
            days |= self._days.put(entry_id, item)
        self._limits.rooms = dict(self._rooms)
        moved: list[Leaf] = []
        if self._root.stale or rooms != self._rooms:
            self._renew(self._own_root(), moved)
        for leaf in moved:
            found[leaf.item.entry_id] = leaf.segments(self.terms)
        for entry_id in changes:
            if entry_id in self._leaves:
                found[entry_id] = self._leaves[entry_id].segments(self.terms)
        for day_id in days:
            found[day_id] = self._day(day_id)
        return found

    def segments(self, entry_id: str) -> Segments:
        """Those of an entry that limits are for, or of a day line."""
        leaf = self._leaves.get(entry_id)
        return self._day(entry_id) if leaf is None else leaf.segments(self.terms)

    def uses(self) -> dict[Limit, CapUse]:
        """What passed each cap, of all items, and what room the posted lines leave; at no cost an item."""
        nothing = (0, ZERO)
        return {
            limit: CapUse(*self._root.passed.get(limit, nothing), room) for limit, room in self._rooms.items()
        }

    def item_of(self, entry_id: str) -> Item | None:
        """The item of an entry that limits are for, or that dates a day line: its first."""
        leaf = self._leaves.get(entry_id)
        return self.first_of_day(entry_id) if leaf is None else leaf.item

    def first_of_day(self, entry_id: str) -> Item | None:
        """The item that dates a day line."""
        return self._days.first(entry_id)

    def _day(self, day_id: str) -> Segments:
        return allocate_day(day_id, self._days.line(day_id), self._nets.get(day_id, ()), self.terms)

    def _own_root(self) -> Node:
        self._root = self._root.owned(self._owner)
        return self._root

    def _post(self, entry_id: str, item: Item | None, lines: Iterable[PostedLine]) -> Sequence[NetLine]:
        """Put the posted lines of an entry in the place of those that were there; each counts by the item's scope."""
        before, scope_before = self._nets.pop(entry_id, ()), self._scopes.pop(entry_id, None)
        nets, scope = net_lines(lines), None if item is None else item.cap_scope
        if nets:
            self._nets[entry_id] = nets
            if scope is not None:
                self._scopes[entry_id] = scope
        if (before, scope_before) != (nets, scope):
            self._limits.rooms = self._rooms
            for net in before:
                self._limits.count(net, scope_before, -1)
            for net in nets:
                self._limits.count(net, scope)
        return nets

    def _put(
        self,
        entry_id: str,
        item: Item | None,
        adjustments: Sequence[Adjustment],
        alone: Segments,
        rest: tuple[int, Decimal],
    ) -> None:
        leaf = self._leaves.get(entry_id)
        key = None if item is None else order_key(item)
        if leaf is not None and leaf.key != key:
            self._remove(leaf)
            del self._leaves[entry_id]
            leaf = None
        if item is None or key is None:
            return
        if leaf is None:
            leaf = self._leaves[entry_id] = Leaf(item, key, self._owner)
            self._insert(leaf)
        else:
            *_, (node, at) = self._own_root().path(key)
            leaf = self._own_leaf(node, at)
        leaf.renew(item, adjustments, alone, rest)

    def _own_leaf(self, node: Node, at: int) -> Leaf:
        leaf = node.own(at)
        assert isinstance(leaf, Leaf)
        self._leaves[leaf.item.entry_id] = leaf
        return leaf

    def _insert(self, leaf: Leaf) -> None:
        path = list(self._own_root().path(leaf.key))
        node, _ = path[-1]
        at = bisect_right(node.keys, leaf.key)
        node.keys.insert(at, leaf.key)
        node.children.insert(at, leaf)
        for depth in range(len(path) - 1, -1, -1):
            node = path[depth][0]
            if len(node.children) <= CHILDREN:
                return
            other = node.halve()
            if depth:
                above, at = path[depth - 1]
                above.keys.insert(at + 1, other.keys[0])
                above.children.insert(at + 1, other)
            else:
                self._root = Node([node.keys[0], other.keys[0]], [node, other], False, self._owner)

    def _remove(self, leaf: Leaf) -> None:
        for node, at in reversed(list(self._own_root().path(leaf.key))):
            child = node.children[at]
            if child is leaf or (isinstance(child, Node) and not child.children):
                del node.keys[at], node.children[at]
        if not self._root.children:
            self._root = Node([], [], True, self._owner)

    def _renew(self, node: Node, moved: list[Leaf]) -> None:
        """Find the parts of what is stale below, and of what finds another room that matters to it."""
        limits = self._limits
        before = dict(limits.rooms)
        for at, found in enumerate(node.children):
            if not found.stale and self._steps_over(found.draws):
                continue
            child = node.own(at) if isinstance(found, Node) else self._own_leaf(node, at)
            if isinstance(child, Node):
                self._renew(child, moved)
                continue
            parts = limits.place(child.item, *child.rest)
            child.draws = limits.draws
            if child.stale or parts != child.parts:
                child.place(parts)
                moved.append(child)
            child.stale = False
        node.draws = _together(node.children, before, limits)
        node.passed = passed_together(child.passed for child in node.children)
        node.stale = False

    def _steps_over(self, draws: Sequence[Draw]) -> bool:
        """Whether the parts that made these draws come out the same from the rooms of now; takes them if so.

        They do if each limit has the room that it had, or lets pass all of what passed whole.
        """
        limits = self._limits
        rooms, after = limits.rooms, []
        for limit, had, seconds, money, whole in draws:
            room = rooms.get(limit) or limits.untouched(limit)
            if room != had and not (
                whole
                and (room.seconds is None or room.seconds >= seconds)
                and (room.money is None or room.money >= money)
            ):
                return False
            after.append((limit, room.less(seconds, money) if seconds or money else room))
        rooms.update(after)
        return True


def _together(
    children: Iterable[Leaf | Node], before: Mapping[Limit, Room], limits: Limits
) -> Sequence[Draw]:
    """The draws of children that follow each other; ``before`` are the rooms that the first of them found."""
    sums: dict[Limit, tuple[int, Decimal, bool]] = {}
    for child in children:
        for limit, _, seconds, money, whole in child.draws:
            of = sums.get(limit, (0, ZERO, True))
            sums[limit] = (of[0] + seconds, of[1] + money, of[2] and whole)
    return [
        Draw(limit, before[limit] if limit in before else limits.untouched(limit), *of)
        for limit, of in sums.items()
    ]

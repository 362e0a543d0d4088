"""A queue in which parties take turns: equal shares while they have work, whatever the length of anyone's line.

Start-time fair queueing (Goyal, Vin and Cheng 1996): each party has a mark that moves on by the cost of what it is
served; the party with the lowest mark is served next. A party that comes begins at the mark of the one being served: it
waits for that one and for its own turn, and neither pays for time it was away nor is it paid for it. Parties may have
parties of their own (the keys of a tenant), which share what their party gets in the same way.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Not thread-safe. Costs are numbers above zero in any one unit."""

    def __init__(self) -> None:
        self._root: _Party[Item] = _Party()

    def __len__(self) -> int:
        return self._root.length

    def put(self, item: Item, share: Sequence[str], cost: float) -> None:
        """Puts `item` at the end of its party's line. `share`: the party, then its party in that, and so on; parties at
        one level give paths of one length."""
        self._root.put(item, share, cost)

    def take(self) -> Item:
        """Whose turn it is. Raises `IndexError` if nothing waits."""
        return self._root.take()[0]

    def drop(self, condition: Callable[[Item], bool]) -> list[Item]:
        """Removes and returns what fulfils `condition`; nobody is charged for it."""
        return self._root.drop(condition)

    def rest(self) -> None:
        """Forgets who was served how much: to be called when nothing waits and nothing is served."""
        self._root = _Party()


class _Party(Generic[Item]):
    __slots__ = ("length", "line", "marks", "now", "parties")

    def __init__(self) -> None:
        self.length = 0
        self.line: deque[tuple[Item, float]] = deque()
        self.parties: dict[str, _Party[Item]] = {}
        self.marks: dict[str, float] = {}
        self.now = 0.0

    def put(self, item: Item, share: Sequence[str], cost: float) -> None:
        self.length += 1
        if not share:
            self.line.append((item, cost))
            return
        name = share[0]
        party = self.parties.setdefault(name, _Party())
        if party.length == 0:
            self.marks[name] = max(self.marks.get(name, 0.0), self.now)
        party.put(item, share[1:], cost)

    def take(self) -> tuple[Item, float]:
        if self.line:
            self.length -= 1
            return self.line.popleft()
        waiting = [name for name, party in self.parties.items() if party.length]
        if not waiting:
            raise IndexError("nothing waits")
        name = min(waiting, key=lambda each: self.marks[each])
        self.now = self.marks[name]
        item, cost = self.parties[name].take()
        self.length -= 1
        self.marks[name] += cost
        for gone in [each for each, party in self.parties.items() if not party.length and self.marks[each] <= self.now]:
            del self.parties[gone], self.marks[gone]
        return item, cost

    def drop(self, condition: Callable[[Item], bool]) -> list[Item]:
        dropped = [item for item, _ in self.line if condition(item)]
        if dropped:
            self.line = deque(each for each in self.line if not condition(each[0]))
        for party in self.parties.values():
            dropped += party.drop(condition)
        self.length -= len(dropped)
        return dropped

"""Looks all listed words and phrases up in a tokenised text in one pass, and judges combinations. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

SHORTEST_IN_RUN = 4  # letters: shorter words are found in any run of letters by chance

UNLESS = -1
"""The part of a combination that forbids it."""

Spots = Mapping[int, Mapping[int, Sequence[tuple[int, int]]]]
"""rule number → part of its combination → (first, last) token of each match, in the order of the text."""


class Rule:
    """One term entry or combination. `parts`: how many lists of words must each have a match within `within` tokens."""

    __slots__ = ("category", "parts", "score", "within")

    def __init__(self, category: str, score: float, parts: int, within: int) -> None:
        self.category = category
        self.score = score
        self.parts = parts
        self.within = within

    def holds(self, spots: Mapping[int, Sequence[tuple[int, int]]]) -> bool:
        """Whether the matches of one rule, by part, satisfy it."""
        if UNLESS in spots or any(part not in spots for part in range(self.parts)):
            return False
        if self.parts == 1:
            return True
        # The shortest run of tokens with one match of each part: of every part keep the latest match so far.
        latest: dict[int, tuple[int, int]] = {}
        for first, last, part in sorted((f, e, part) for part, found in spots.items() for f, e in found):
            latest[part] = (first, last)
            if len(latest) == self.parts:
                begin, end = min(f for f, _ in latest.values()), max(e for _, e in latest.values())
                if end - begin < self.within:
                    return True
        return False


class TermIndex:
    """All words of all rules, by their first token: looking a prompt up costs one dictionary step per token."""

    def __init__(self) -> None:
        self._whole: dict[str, list[_Entry]] = defaultdict(list)
        self._prefixes: dict[str, list[_Entry]] = defaultdict(list)
        self._prefix_lengths: tuple[int, ...] = ()
        self._lengths_inside: tuple[int, ...] = ()

    def add(self, tokens: Sequence[str], prefix: bool, number: int, part: int) -> None:
        """`tokens`: of one word or phrase. `prefix`: the last token may go on. `number`, `part`: whose word it is."""
        entry = (tuple(tokens[1:]), prefix, number, part)
        if len(tokens) == 1 and len(tokens[0]) >= SHORTEST_IN_RUN:
            self._lengths_inside = tuple(sorted({*self._lengths_inside, len(tokens[0])}))
        if prefix and len(tokens) == 1:
            self._prefixes[tokens[0]].append(entry)
            self._prefix_lengths = tuple(sorted({*self._prefix_lengths, len(tokens[0])}))
        else:
            self._whole[tokens[0]].append(entry)

    def search(self, tokens: Sequence[str]) -> Spots:
        """All matches in a text's tokens."""
        spots: dict[int, dict[int, list[tuple[int, int]]]] = {}
        for place, token in enumerate(tokens):
            for rest, prefix, number, part in self._starting(token):
                if not rest or _follows(tokens, place + 1, rest, prefix):
                    spots.setdefault(number, {}).setdefault(part, []).append((place, place + len(rest)))
        return spots

    def words_inside(self, run: str) -> Spots:
        """Single words of at least `SHORTEST_IN_RUN` letters anywhere in a run of letters."""
        spots: dict[int, dict[int, list[tuple[int, int]]]] = {}
        for start in range(len(run)):
            for length in self._lengths_inside:
                piece = run[start : start + length]
                if len(piece) < length:
                    break
                for rest, _, number, part in (*self._whole.get(piece, ()), *self._prefixes.get(piece, ())):
                    if not rest:
                        spots.setdefault(number, {}).setdefault(part, []).append((start, start))
        return spots

    def _starting(self, token: str) -> Iterator["_Entry"]:
        yield from self._whole.get(token, ())
        for length in self._prefix_lengths:
            if length > len(token):
                break
            yield from self._prefixes.get(token[:length], ())


_Entry = tuple[tuple[str, ...], bool, int, int]
"""(tokens after the first, whether the last is a prefix, rule number, part)."""


def _follows(tokens: Sequence[str], place: int, rest: tuple[str, ...], prefix: bool) -> bool:
    found = tuple(tokens[place : place + len(rest)])
    if not prefix:
        return found == rest
    return len(found) == len(rest) and found[:-1] == rest[:-1] and found[-1].startswith(rest[-1])

"""Remembers for minutes what somebody has just asked for, so that harm spread over several prompts is read as one text.

A prompt is read together with earlier ones if it changes a picture that was made here from them, or if it points back
(`continue`, `the same with …`, `she now …`) or the one before it breaks off. Whoever asks for one thing after the other
is not read together, unless the settings say `join = "all"`.

Kept are prompts that passed, in this process's memory and nowhere else, at most `MOST_PEOPLE` people's last ones.
Somebody is the end user the caller names, else the key.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine as Database

from gateway.auth.identity import Principal
from gateway.exchange import ImageRequest
from gateway.settings import ChainOptions
from gateway.store.calls import DatabaseCalls
from gateway.store.images import Images

MOST_PEOPLE = 10_000
LONGEST = 4_000
"""Characters of earlier prompts that are read again; the newest count."""

# In the languages of the term lists. A pronoun counts at the beginning only: inside, a prompt speaks of itself.
_POINTS_BACK = re.compile(
    r"\b(?:continue|go on|same|again|previous|earlier|before|last (?:one|image|picture|prompt)|as above|instead"
    r"|weiter|dasselbe|gleiche[nrs]?|nochmals?|vorherige[nrs]?|continuer?|même|encore|précédente?"
    r"|continúa|mism[oa]|otra vez|anterior|continua|stess[oa]|di nuovo|mesm[oa]|de novo|ga door|dezelfde|hetzelfde)\b"
    r"|^\W*(?:and|but|with|then|now|also|add|make|change|he|she|it|they|them|his|her|this|that|these|those|who|which|while"
    r"|und|aber|mit|jetzt|er|sie|et|mais|avec|maintenant|il|elle|y|pero|con|ahora|él|ella|e|ma|ora|mas|com|agora|ele|ela"
    r"|en|maar|met|nu|hij|zij)\b|^\W*(?:\.\.\.|…)"
    r"|继续|接着|同样|再来|上一",
    re.IGNORECASE,
)
_BREAKS_OFF = re.compile(
    r"(?:[,;:–—-]|\.\.\.|…|\b(?:an?|the|of|in|on|with|and|or|who|that|which|is|are|to|by|from|while|der|die|das|mit|und|le|la"
    r"|de|avec|et|el|con|y))\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """`words`: the prompt; `whole`: with those it was read together with."""

    request_id: str
    words: str
    whole: str
    at: float


class Chains:
    """To be used from the event loop. `clock`: seconds, of any beginning."""

    def __init__(
        self, database: Database, calls: DatabaseCalls, options: ChainOptions, clock: Callable[[], float]
    ) -> None:
        self._images = Images(database)
        self._calls = calls
        self._options = options
        self._clock = clock
        self._people: OrderedDict[tuple[str, ...], deque[_Asked]] = OrderedDict()

    async def before(self, who: Principal, request: ImageRequest) -> tuple[str, ...]:
        """What `request` is to be read together with, the oldest first; empty if it stands by itself.

        Raises `SQLAlchemyError` if it cannot be known from what pictures were made.
        """
        if not self._options.seconds:
            return ()
        self._forget()
        found: dict[str, None] = {}
        if request.uploads and self._people:
            jobs = await self._calls(self._images.jobs_of, who.tenant, request.uploads)
            found |= dict.fromkeys(asked.whole for asked in self._asked(who.tenant) if asked.request_id in jobs)
        own = self._people.get(_person(who, request), ())
        if own and (
            self._options.join == "all" or _POINTS_BACK.search(request.prompt) or _BREAKS_OFF.search(own[-1].words)
        ):
            found |= dict.fromkeys(asked.words for asked in own)
        found.pop(request.prompt, None)  # asked for several times, or for several pictures
        return _newest(tuple(found))

    def keep(self, who: Principal, request: ImageRequest, before: tuple[str, ...]) -> None:
        """Remembers a prompt that passed. `before`: what it was read together with."""
        if not self._options.seconds:
            return
        whole = " ".join((*before, request.prompt))[-LONGEST:]
        asked = self._people.setdefault(_person(who, request), deque(maxlen=self._options.prompts))
        asked.append(_Asked(request.id, request.prompt, whole, self._clock()))
        self._people.move_to_end(_person(who, request))
        while len(self._people) > MOST_PEOPLE:
            self._people.popitem(last=False)

    def _forget(self) -> None:
        """Drops what is over: people stand in the order in which they last asked."""
        over = self._clock() - self._options.seconds
        for person, asked in tuple(self._people.items()):
            while asked and asked[0].at <= over:
                asked.popleft()
            if asked:
                break
            del self._people[person]

    def _asked(self, tenant: str) -> list[_Asked]:
        over = self._clock() - self._options.seconds
        return [
            each for person, asked in self._people.items() if person[0] == tenant for each in asked if each.at > over
        ]


def _person(who: Principal, request: ImageRequest) -> tuple[str, ...]:
    return (who.tenant, "key", who.key_id) if request.end_user is None else (who.tenant, "end user", request.end_user)


def _newest(prompts: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    room = LONGEST
    for prompt in reversed(prompts):
        if len(prompt) > room:
            break
        kept.append(prompt)
        room -= len(prompt)
    return tuple(reversed(kept))

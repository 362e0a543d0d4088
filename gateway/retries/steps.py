"""What refusals count for: how many tries they are, and which step these lead to. Pure: `gateway/retries/counting.py`
has them.

A request is one try, however many images it asks for. Of all end users of a key, `end_users_per_try` different ones are
one try; those lead to a hold at most, so that nobody is suspended for what others asked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.retries.sketches import likeness
from gateway.settings import RetryOptions
from gateway.store.refusals import Refusal

STEPS = ("warn", "slow", "hold", "suspend")
LONGEST_WAIT_SECONDS = 3600.0

Rows = Sequence[Refusal]
"""Refusals of the table, or those that are about to be in it."""


@dataclass(frozen=True, slots=True)
class Like:
    """Refusals that a prompt is like: the `tries` they are, the time of the `last`, the highest `score` in [0, 1].

    `newest`: id of the last. `own`: they are this person's, and not those of a whole key.
    """

    tries: int
    last: float
    score: float
    newest: str
    own: bool


def step_of(tries: int, options: RetryOptions) -> str | None:
    """The step that `tries` refusals after the first one lead to; None if to nothing yet. Never falls as tries grow."""
    reached = [step for step in STEPS if tries >= getattr(options, f"{step}_after")]
    return reached[-1] if reached else None


def wait_seconds(tries: int, options: RetryOptions) -> float:
    """How long what is like it waits after that many tries: doubles with each, up to an hour; 0 before `slow`."""
    if tries < options.slow_after:
        return 0.0
    return min(LONGEST_WAIT_SECONDS, options.slow_seconds * 2.0 ** min(tries - options.slow_after, 32))


def likes(own: Rows, of_key: Rows, made: bytes | None, options: RetryOptions, *, another: bool) -> tuple[Like, ...]:
    """What a prompt with the sketch `made` is like: of a person's refusals, and of those of everybody with that key.

    `another`: the prompt is refused too, so that all of these come before it; otherwise the first of them is no try.
    """
    found = []
    for rows, is_own in ((own, True), (of_key, False)):
        if not rows or made is None:
            continue
        scores = likeness(made, [row.sketch for row in rows])
        like = [row for row, score in zip(rows, scores, strict=True) if score >= options.similarity]
        if like:
            last = max(like, key=lambda row: row.at)
            if is_own:
                tries = _number({row.asking or row.request_id for row in like}, another)
            else:
                tries = _number({row.subject for row in like}, another) // options.end_users_per_try
            found.append(Like(tries, last.at, float(scores.max()), last.request_id, is_own))
    return tuple(found)


def _number(askings: Collection[object], another: bool) -> int:
    return len(askings) - (0 if another else 1)


def hardest(found: Sequence[Like], options: RetryOptions) -> tuple[str | None, Like | None]:
    """The step that a refusal with these before it leads to, and because of which."""
    step, because = -1, None
    for like in found:
        reached = step_of(like.tries, options)
        number = STEPS.index(reached) if reached else -1
        number = number if like.own else min(number, STEPS.index("hold"))
        if number > step:
            step, because = number, like
    return (STEPS[step], because) if because else (None, None)


def suspension(rows: Rows) -> tuple[float, str]:
    """Until when somebody with these refusals is suspended, and the refusal that led to it; 0 if there is none."""
    return max(((row.suspended_until or 0.0, row.request_id) for row in rows), default=(0.0, ""))

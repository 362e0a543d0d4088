"""Who two policies ask, and where one asks less: rules alone do not say that a classifier is gone. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policies.policy import ClassifierUse, Policy
from policies.zones import Zone


@dataclass(frozen=True, slots=True)
class Asking:
    """A classifier that two policies ask otherwise. `softer`: that the new one may let pass what the old one found.

    Where options or data differ otherwise than by more data, only measuring tells (`moderation evaluate`): that counts
    as softer.
    """

    kind: str
    classifier: str
    change: str
    softer: bool


def askings(old: Policy, new: Policy) -> tuple[Asking, ...]:
    """Every classifier asked otherwise, by kind and part. Several uses of one part are compared in the files' order."""
    before, after = _uses(old), _uses(new)
    return tuple(
        Asking(*key, change, softer)
        for key in sorted(before.keys() | after.keys())
        for change, softer in _changes(before.get(key, []), after.get(key, []))
    )


def _uses(policy: Policy) -> dict[tuple[str, str], list[ClassifierUse]]:
    found: dict[tuple[str, str], list[ClassifierUse]] = {}
    for use in policy.classifiers:
        found.setdefault((str(use.kind), use.part), []).append(use)
    return found


def _changes(before: list[ClassifierUse], after: list[ClassifierUse]) -> Iterator[tuple[str, bool]]:
    for one, other in zip(before, after, strict=False):
        if one.options != other.options:
            added = _more_data(one.options, other.options)
            yield ("more data", False) if added else ("other options or data", True)
        if one.asked != other.asked:
            yield f"was asked {_when(one.asked)}, is asked {_when(other.asked)}", not _covers(other.asked, one.asked)
    for _ in before[len(after) :]:
        yield "no longer asked", True
    for _ in after[len(before) :]:
        yield "asked from now on", False


def _more_data(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether nothing differs but further tables of data."""
    one, other = dict(before), dict(after)
    had, has = one.pop("data", ()), other.pop("data", ())
    return one == other and isinstance(had, tuple) and isinstance(has, tuple) and all(table in has for table in had)


def _covers(new: Zone | None, old: Zone | None) -> bool:
    """Whether `new` asks wherever `old` does, or stops. Above a zone everything is stopped or asked about, and a
    classifier out of time is unanswered, so that only the lower end counts. None asks always.
    """
    if new is None or old is None:
        return new is None
    return new.after == old.after and new.low <= old.low


def _when(zone: Zone | None) -> str:
    if zone is None:
        return "always"
    return f"after {zone.after} from {zone.low:g} to below {zone.high:g}, for {zone.seconds:g} s"

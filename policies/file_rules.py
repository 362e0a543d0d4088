"""Rules as a policy, an overlay or the floor writes them, turned into `Rule`s, or refused by file, field and remedy."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from policies.errors import PolicyError
from policies.file_shapes import FloorRuleShape, RuleShape
from policies.findings import Stage
from policies.policy import FLOOR_CATEGORIES, OTHER, BesidePerson, Level, Rule
from policies.verdicts import Verdict


def check_levels(levels: Mapping[str, Level], path: Path, parts: frozenset[str] | None) -> None:
    """Raises `PolicyError` for a level that is silent about some classifier, or names one that nobody asks.

    `parts`: the classifiers the policy asks; None for the floor, which speaks about whichever a policy asks.
    """
    for word, scores in levels.items():
        if OTHER not in scores:
            remedy = f"Add {OTHER} = …, the score for every classifier the level does not name"
            raise PolicyError(str(path), f"levels.{word}", "the level is silent about some classifiers", remedy)
        for part in scores.keys() - {OTHER}:
            _check_part(part, parts, path, f"levels.{word}.{part}")


def read_rules(
    shapes: Iterable[RuleShape],
    levels: Mapping[str, Level],
    path: Path,
    parts: frozenset[str] | None,
    *,
    shadow: bool = False,
) -> tuple[Rule, ...]:
    """The rules that decide, or with `shadow` those that do not, in the file's order. Raises `PolicyError`.

    Their levels are looked up in `levels`.
    """
    return tuple(_rule(shape, levels, path, parts) for shape in shapes if shape.shadow is shadow)


def _rule(rule: RuleShape, levels: Mapping[str, Level], path: Path, parts: frozenset[str] | None) -> Rule:
    def refuse(field: str, problem: str, remedy: str) -> PolicyError:
        return PolicyError(str(path), f"rule[{rule.id}].{field}", problem, remedy)

    if (rule.level is None) == (rule.threshold is None):
        raise refuse("level", "a rule has either a level or a threshold", "Give exactly one of the two")
    if rule.min_assurance >= rule.below_assurance:
        raise refuse("below_assurance", "the rule applies to nobody", "Make it larger than min_assurance")
    if rule.level is not None:
        if rule.classifier is not None:
            raise refuse("classifier", "a level already speaks about every classifier", "Use `threshold` instead")
        if rule.level not in levels:
            known = ", ".join(sorted(levels)) or "none is defined"
            raise refuse("level", f"there is no level {rule.level!r}", f"Use one of: {known}")
        scores = dict(levels[rule.level])
        other: float | None = scores.pop(OTHER)
    elif rule.classifier is not None:
        _check_part(rule.classifier, parts, path, f"rule[{rule.id}].classifier")
        scores, other = {rule.classifier: rule.threshold or 0.0}, None
    else:
        scores, other = {}, rule.threshold
    beside = None
    if isinstance(rule, FloorRuleShape) and rule.beside_person is not None:
        somebody = dict(levels[rule.beside_person.level])
        rest = somebody.pop(OTHER)
        beside = BesidePerson(tuple(sorted(somebody.items())), rest, rule.beside_person.told_as)
    return Rule(
        id=rule.id,
        verdict=Verdict[rule.verdict.upper()],
        categories=frozenset(rule.categories),
        stages=frozenset(map(Stage, rule.stages)),
        thresholds=tuple(sorted(scores.items())),
        other=other,
        min_assurance=rule.min_assurance,
        below_assurance=rule.below_assurance,
        level=rule.level,
        beside=beside,
    )


def _check_part(part: str, parts: frozenset[str] | None, path: Path, field: str) -> None:
    if parts is not None and part not in parts:
        remedy = f"Use one of {', '.join(sorted(parts))}, or name it under [[classifier]]"
        raise PolicyError(str(path), field, f"this policy asks no classifier {part!r}", remedy)


def check_rules(rules: tuple[Rule, ...], beneath: tuple[Rule, ...], floor: tuple[Rule, ...], path: Path) -> None:
    """Raises `PolicyError` for an id that two of `rules` and `beneath` have, or a rule that would soften the floor.

    `beneath`: what the rules are laid over, the floor at least.
    """
    for rule_id, times in Counter(rule.id for rule in beneath + rules).items():
        if times > 1:
            remedy = "Give every rule its own id; ids of the floor are taken"
            raise PolicyError(str(path), f"rule[{rule_id}].id", "two rules have this id", remedy)
    for rule in rules:
        for category in sorted(rule.categories & FLOOR_CATEGORIES):
            if _softens(rule, category, floor):
                problem = f"the rule would soften the floor: {category} is refused whoever asks"
                remedy = "Take the category out, refuse it, or go below the floor's threshold to be stricter"
                raise PolicyError(str(path), f"rule[{rule.id}].verdict", problem, remedy)


def _softens(rule: Rule, category: str, floor: tuple[Rule, ...]) -> bool:
    """True if the rule gives a softer verdict and never speaks below the floor's thresholds, where softer adds."""
    if rule.verdict is Verdict.REFUSE:
        return False
    under = [
        base for base in floor if category in base.categories and base.stages & rule.stages and base.beside is None
    ]
    scales = {name for base in (rule, *under) for name, _ in base.thresholds} | {OTHER}

    def adds_on(scale: str) -> bool:
        score = rule.threshold_for(scale)
        floors = [threshold for base in under if (threshold := base.threshold_for(scale)) is not None]
        return score is not None and score < min(floors, default=1.0)

    return rule.verdict is Verdict.ALLOW or not any(map(adds_on, scales))

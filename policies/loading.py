"""Turns a policy file into a `Policy` with the floor merged in, or says what is wrong: file, field and remedy."""

from collections import Counter
from pathlib import Path
from types import MappingProxyType

from policies.errors import PolicyError
from policies.file_shapes import ClassifierShape, GapShape, PolicyShape, RuleShape, RulesShape, shaped
from policies.findings import OF_FILES_SENT_IN, UNANSWERED, Category, Stage
from policies.policy import FLOOR_CATEGORIES, AcceptedGap, Appeal, ClassifierUse, Policy, Rule, closes
from policies.reading import MAX_DATA_BYTES, SHIPPED, PolicyFiles, locate_data
from policies.taxonomy import TAXONOMY_FILE
from policies.verdicts import Verdict

BUILTIN_POLICIES = ("demo", "default", "strict")

FLOOR_FILE = SHIPPED / "floor.toml"

OTHER = "other"
"""In a level: the score for every classifier the level does not name."""


def load_policy(source: str | Path) -> Policy:
    """The policy called `demo`, `default` or `strict`, or the one in the file at `source`, with the floor merged in.

    Data files are read from beside the policy file, or from among ours where their name starts with `shipped:`.
    The digest covers the policy file, floor, taxonomy and data files, and no path, so that it is equal on every
    machine. Raises `PolicyError` naming file, field and remedy.
    """
    path = SHIPPED / f"{source}.toml" if source in BUILTIN_POLICIES else Path(source)
    files = PolicyFiles()
    shape = shaped(PolicyShape, path, files.read("policy", path))
    floor = _rules(shaped(RulesShape, FLOOR_FILE, files.read("floor", FLOOR_FILE)), FLOOR_FILE, parts=None)
    files.read("taxonomy", TAXONOMY_FILE)  # what a person is told is part of what was decided
    classifiers = tuple(_classifier(use, path, files) for use in shape.classifier)
    _check_classifiers(shape, path)
    rules = _rules(shape, path, parts=frozenset(use.part for use in classifiers))
    _check_rules(rules, floor, path)
    return Policy(
        name=shape.name,
        version=shape.version,
        digest=files.digest(),
        description=shape.description,
        rules=rules,
        floor=floor,
        classifiers=classifiers,
        accepted_gaps=_gaps(shape.gap, path),
        appeal=Appeal(shape.appeal.how, shape.appeal.contact, shape.appeal.days),
    )


def _classifier(use: ClassifierShape, path: Path, files: PolicyFiles) -> ClassifierUse:
    field = f"classifier[{use.part}]"
    if "data" in use.options:
        raise PolicyError(str(path), f"{field}.options.data", "data is not an option", "Name files under `data`")
    options = dict(use.options)
    if use.data:
        options["data"] = tuple(
            files.read(name, locate_data(path, f"{field}.data", name), limit_bytes=MAX_DATA_BYTES) for name in use.data
        )
    return ClassifierUse(use.kind, use.part, MappingProxyType(options))


def _check_classifiers(shape: PolicyShape, path: Path) -> None:
    kinds = {use.kind for use in shape.classifier}
    for kind in ("prompt", "image"):
        if kind not in kinds:
            remedy = f"Add a [[classifier]] of kind = {kind!r}: with nobody to look, silence would be consent"
            raise PolicyError(str(path), "classifier", f"no {kind} classifier is named", remedy)
    for (kind, part), times in Counter((use.kind, use.part) for use in shape.classifier).items():
        if times > 1:
            problem = f"the {kind} classifier is named {times} times"
            raise PolicyError(str(path), f"classifier[{part}]", problem, "Name it once, with all its data")


def _rules(shape: RulesShape, path: Path, *, parts: frozenset[str] | None) -> tuple[Rule, ...]:
    """`parts`: the classifiers this policy asks; None for the floor, which speaks about whichever a policy asks."""
    for word, scores in shape.levels.items():
        if OTHER not in scores:
            remedy = f"Add {OTHER} = …, the score for every classifier the level does not name"
            raise PolicyError(str(path), f"levels.{word}", "the level is silent about some classifiers", remedy)
        for part in scores.keys() - {OTHER}:
            _check_part(part, parts, path, f"levels.{word}.{part}")
    return tuple(_rule(rule, shape, path, parts) for rule in shape.rule)


def _rule(rule: RuleShape, shape: RulesShape, path: Path, parts: frozenset[str] | None) -> Rule:
    def refuse(field: str, problem: str, remedy: str) -> PolicyError:
        return PolicyError(str(path), f"rule[{rule.id}].{field}", problem, remedy)

    if (rule.level is None) == (rule.threshold is None):
        raise refuse("level", "a rule has either a level or a threshold", "Give exactly one of the two")
    if rule.min_assurance >= rule.below_assurance:
        raise refuse("below_assurance", "the rule applies to nobody", "Make it larger than min_assurance")
    if rule.level is not None:
        if rule.classifier is not None:
            raise refuse("classifier", "a level already speaks about every classifier", "Use `threshold` instead")
        if rule.level not in shape.levels:
            known = ", ".join(sorted(shape.levels)) or "none is defined"
            raise refuse("level", f"there is no level {rule.level!r}", f"Use one of: {known}")
        scores = dict(shape.levels[rule.level])
        other: float | None = scores.pop(OTHER)
    elif rule.classifier is not None:
        _check_part(rule.classifier, parts, path, f"rule[{rule.id}].classifier")
        scores, other = {rule.classifier: rule.threshold or 0.0}, None
    else:
        scores, other = {}, rule.threshold
    return Rule(
        id=rule.id,
        verdict=Verdict[rule.verdict.upper()],
        categories=frozenset(rule.categories),
        stages=frozenset(map(Stage, rule.stages)),
        thresholds=tuple(sorted(scores.items())),
        other=other,
        min_assurance=rule.min_assurance,
        below_assurance=rule.below_assurance,
    )


def _check_part(part: str, parts: frozenset[str] | None, path: Path, field: str) -> None:
    if parts is not None and part not in parts:
        remedy = f"Use one of {', '.join(sorted(parts))}, or name it under [[classifier]]"
        raise PolicyError(str(path), field, f"this policy asks no classifier {part!r}", remedy)


def _check_rules(rules: tuple[Rule, ...], floor: tuple[Rule, ...], path: Path) -> None:
    for rule_id, times in Counter(rule.id for rule in floor + rules).items():
        if times > 1:
            remedy = "Give every rule its own id; ids of the floor are taken"
            raise PolicyError(str(path), f"rule[{rule_id}].id", "two rules have this id", remedy)
    for rule in rules:
        for category in sorted(rule.categories & FLOOR_CATEGORIES):
            if _softens(rule, category, floor):
                problem = f"the rule would soften the floor: {category} is refused whoever asks"
                remedy = "Take the category out, refuse it, or go below the floor's threshold to be stricter"
                raise PolicyError(str(path), f"rule[{rule.id}].verdict", problem, remedy)
    for stage in Stage:
        if not any(closes(rule, UNANSWERED, stage) for rule in rules):
            problem = f"no rule refuses {UNANSWERED!r} at {stage.value}"
            remedy = f"Add a rule with categories = [{UNANSWERED!r}], verdict = 'refuse', threshold = 0.0"
            raise PolicyError(str(path), "rule", problem, remedy)
        named = frozenset[str]().union(*(rule.categories for rule in rules if stage in rule.stages))
        asked = frozenset(Category) - (OF_FILES_SENT_IN if stage is not Stage.INPUT_IMAGE else frozenset())
        if unsaid := sorted(asked - named):
            problem = f"the policy says nothing about {', '.join(unsaid)} at {stage.value}"
            raise PolicyError(str(path), "rule", problem, "Add a rule, with verdict = 'allow' if that is meant")


def _softens(rule: Rule, category: str, floor: tuple[Rule, ...]) -> bool:
    """True if the rule gives a softer verdict and never speaks below the floor's thresholds, where softer adds."""
    if rule.verdict is Verdict.REFUSE:
        return False
    under = [base for base in floor if category in base.categories and base.stages & rule.stages]
    scales = {name for base in (rule, *under) for name, _ in base.thresholds} | {OTHER}

    def adds_on(scale: str) -> bool:
        score = rule.threshold_for(scale)
        floors = [threshold for base in under if (threshold := base.threshold_for(scale)) is not None]
        return score is not None and score < min(floors, default=1.0)

    return rule.verdict is Verdict.ALLOW or not any(map(adds_on, scales))


def _gaps(shapes: list[GapShape], path: Path) -> tuple[AcceptedGap, ...]:
    gaps = tuple(
        AcceptedGap(category, Stage(stage), shape.reason)
        for shape in shapes
        for category in shape.categories
        for stage in shape.stages
    )
    for (category, stage), times in Counter((gap.category, gap.stage) for gap in gaps).items():
        if times > 1 or category == UNANSWERED:
            problem = f"{category} at {stage.value} cannot stand here" if times == 1 else "a gap is accepted twice"
            remedy = f"Accept {category} at {stage.value} once, with one reason"
            raise PolicyError(str(path), "gap", problem, remedy)
    return gaps

"""Turns a file into a `Policy` over the floor, or an `Overlay`, or says what is wrong: file, field and remedy."""

from collections import Counter
from pathlib import Path
from types import MappingProxyType

from policies.errors import PolicyError
from policies.file_rules import check_levels, check_rules, read_rules
from policies.file_shapes import ClassifierShape, FloorShape, GapShape, GrantShape, OverlayShape, PolicyShape, shaped
from policies.findings import OF_FILES_SENT_IN, OF_PROMPTS, UNANSWERED, Category, Stage
from policies.overlay import Overlay
from policies.policy import (
    FLOOR_CATEGORIES,
    OTHER,
    USUAL_TOLERANCE,
    AcceptedGap,
    Appeal,
    ClassifierUse,
    Grant,
    Policy,
    Rule,
    ToleranceStep,
    closes,
)
from policies.reading import MAX_DATA_BYTES, SHIPPED, PolicyFiles, locate_data
from policies.taxonomy import TAXONOMY_FILE
from policies.verdicts import Verdict
from policies.zones import Zone

BUILTIN_POLICIES = ("demo", "default", "strict")

JURISDICTIONS = {path.stem: path for path in sorted((SHIPPED / "jurisdictions").glob("*.toml"))}
"""Shipped overlays by the code of the jurisdiction they are for (ISO 3166, `eu`)."""

FLOOR_FILE = SHIPPED / "floor.toml"


def load_policy(source: str | Path) -> Policy:
    """The policy called `demo`, `default` or `strict`, or the one in the file at `source`, with the floor merged in.

    Data files are read from beside the policy file, or from among ours where their name starts with `shipped:`.
    The digest covers the policy file, floor, taxonomy and data files, and no path, so that it is equal on every
    machine. Raises `PolicyError` naming file, field and remedy.
    """
    path = SHIPPED / f"{source}.toml" if source in BUILTIN_POLICIES else Path(source)
    files = PolicyFiles()
    shape = shaped(PolicyShape, path, files.read("policy", path))
    floor_shape = shaped(FloorShape, FLOOR_FILE, files.read("floor", FLOOR_FILE))
    check_levels(floor_shape.levels, FLOOR_FILE, None)
    floor = read_rules(floor_shape.rule, floor_shape.levels, FLOOR_FILE, None)
    files.read("taxonomy", TAXONOMY_FILE)  # what a person is told is part of what was decided
    classifiers = tuple(_classifier(use, path, files) for use in shape.classifier)
    _check_classifiers(shape, path)
    parts = frozenset(use.part for use in classifiers)
    check_levels(shape.levels, path, parts)
    rules = read_rules(shape.rule, shape.levels, path, parts)
    shadows = read_rules(shape.rule, shape.levels, path, parts, shadow=True)
    check_rules(rules + shadows, floor, floor, path)
    _check_complete(rules, path)
    return Policy(
        name=shape.name,
        version=shape.version,
        digest=files.digest(),
        description=shape.description,
        rules=rules,
        floor=floor,
        shadows=shadows,
        classifiers=classifiers,
        accepted_gaps=_gaps(shape.gap, path),
        appeal=Appeal(shape.appeal.how, shape.appeal.contact, shape.appeal.days),
        levels=shape.levels,
        grants=_grants(shape.grant, rules, path),
        tolerance_steps=_tolerance_steps(shape, path),
    )


def load_overlay(path: Path, base: Policy) -> Overlay:
    """The overlay in the file at `path`, its rules and levels read over those of `base`.

    Raises `PolicyError` naming file, field and remedy, also for a level above the base's. What it may change for a
    tenant is checked by `policies.overlay.overlaid`.
    """
    files = PolicyFiles()
    shape = shaped(OverlayShape, path, files.read("overlay", path))
    levels = {word: {**base.levels.get(word, {}), **scores} for word, scores in shape.levels.items()}
    parts = frozenset(use.part for use in base.classifiers)
    check_levels(levels, path, parts)
    for word in shape.levels.keys() & base.levels.keys():
        for part, score in shape.levels[word].items():
            most = base.levels[word].get(part, base.levels[word][OTHER])
            if score > most:
                problem = f"the level is raised from {most:g}, and an overlay only tightens"
                raise PolicyError(str(path), f"levels.{word}.{part}", problem, f"Choose at most {most:g}")
    known = {**base.levels, **levels}
    rules = read_rules(shape.rule, known, path, parts)
    shadows = read_rules(shape.rule, known, path, parts, shadow=True)
    check_rules(rules + shadows, base.floor + base.rules + base.shadows, base.floor, path)
    for rule_id, times in Counter(change.rule for change in shape.change).items():
        if times > 1:
            raise PolicyError(str(path), f"change[{rule_id}].rule", "the rule is changed twice", "Change it once")
    return Overlay(
        file=str(path),
        name=shape.name,
        version=shape.version,
        digest=files.digest(),
        levels=tuple(levels.items()),
        verdicts=tuple((change.rule, Verdict[change.verdict.upper()]) for change in shape.change),
        rules=rules,
        shadows=shadows,
        grounds=tuple(shape.grounds),
        labels=tuple(shape.marking.labels),
        visible_label=shape.marking.visible_label,
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
    zone = Zone(use.asked.after, use.asked.low, use.asked.high, use.asked.seconds) if use.asked else None
    return ClassifierUse(use.kind, use.part, MappingProxyType(options), zone)


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
    first = {use.part for use in shape.classifier if use.kind == "prompt" and use.asked is None}
    for use in shape.classifier:
        if use.asked is None:
            continue
        field = f"classifier[{use.part}].asked"
        if use.kind != "prompt":
            raise PolicyError(str(path), field, "only prompt classifiers have a second stage", "Take it out")
        if use.asked.after not in first:
            remedy = f"Name a prompt classifier of this policy that is always asked: {', '.join(sorted(first))}"
            raise PolicyError(str(path), f"{field}.after", f"{use.asked.after!r} is not one", remedy)
        if use.asked.low >= use.asked.high:
            raise PolicyError(str(path), f"{field}.to", "the zone is empty", "Make `to` larger than `from`")


def _check_complete(rules: tuple[Rule, ...], path: Path) -> None:
    for stage in Stage:
        if not any(closes(rule, UNANSWERED, stage) for rule in rules):
            problem = f"no rule refuses {UNANSWERED!r} at {stage.value}"
            remedy = f"Add a rule with categories = [{UNANSWERED!r}], verdict = 'refuse', threshold = 0.0"
            raise PolicyError(str(path), "rule", problem, remedy)
        named = frozenset[str]().union(*(rule.categories for rule in rules if stage in rule.stages))
        asked = frozenset(Category)
        asked -= frozenset() if stage is Stage.INPUT_IMAGE else OF_FILES_SENT_IN
        asked -= frozenset() if stage is Stage.PROMPT else OF_PROMPTS
        if unsaid := sorted(asked - named):
            problem = f"the policy says nothing about {', '.join(unsaid)} at {stage.value}"
            raise PolicyError(str(path), "rule", problem, "Add a rule, with verdict = 'allow' if that is meant")


def _grants(shapes: list[GrantShape], rules: tuple[Rule, ...], path: Path) -> tuple[Grant, ...]:
    known = {rule.id: rule for rule in rules}
    for shape in shapes:
        field = f"grant[{shape.rule}]"
        rule = known.get(shape.rule)
        if rule is None:
            remedy = "Name a rule of this file; the floor is granted to nobody"
            raise PolicyError(str(path), f"{field}.rule", "there is no such rule", remedy)
        if rule.guards_the_floor:
            problem = f"the rule speaks about {', '.join(sorted(rule.categories & FLOOR_CATEGORIES))}"
            remedy = "Grant nothing here: what the floor refuses is softened for nobody"
            raise PolicyError(str(path), f"{field}.rule", problem, remedy)
        if Verdict[shape.verdict.upper()] >= rule.verdict:
            remedy = f"Name a verdict softer than {rule.verdict.word}, or take the grant out"
            raise PolicyError(str(path), f"{field}.verdict", "it grants nothing: harder is always allowed", remedy)
    return tuple(Grant(shape.rule, Verdict[shape.verdict.upper()], frozenset(shape.tenants)) for shape in shapes)


def _tolerance_steps(shape: PolicyShape, path: Path) -> tuple[ToleranceStep, ...]:
    for number, each in enumerate(shape.tolerance):
        field = f"tolerance[{number}]"
        if each.step == USUAL_TOLERANCE:
            remedy = f"Choose a step below {USUAL_TOLERANCE} to be stricter, or above it to be softer"
            raise PolicyError(str(path), f"{field}.step", "this step is the policy as it stands", remedy)
        if bool(each.tenants) != (each.step > USUAL_TOLERANCE):
            problem = "a softer step is granted by name" if not each.tenants else "a stricter step is open to everybody"
            remedy = "Name the tenants" if not each.tenants else "Take the tenants out"
            raise PolicyError(str(path), f"{field}.tenants", problem, remedy)
        for word in (*each.levels.keys(), *each.levels.values()):
            if word not in shape.levels:
                known = ", ".join(sorted(shape.levels)) or "none is defined"
                raise PolicyError(str(path), f"{field}.levels", f"there is no level {word!r}", f"Use one of: {known}")
    return tuple(
        ToleranceStep(each.step, tuple(each.levels.items()), frozenset(each.tenants)) for each in shape.tolerance
    )


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

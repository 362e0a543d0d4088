"""The shape of a policy file and of the floor: what may stand in them. What it means is checked in loading.py."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from policies.errors import PolicyError
from policies.findings import UNANSWERED, Category, Fact
from policies.policy import ASSURANCE_LEVELS, TOLERANCES, ClassifierKind


def _known_category(value: str) -> str:
    if value != UNANSWERED and value not in set(Category):
        raise ValueError(f"use one of {', '.join(Category)}, {UNANSWERED}")
    return value


def _known_category_or_fact(value: str) -> str:
    return value if value in set(Fact) else _known_category(value)


Words = Annotated[str, Field(min_length=1)]
RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
VerdictWord = Literal["allow", "flag", "hold", "refuse"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
CategoryName = Annotated[str, AfterValidator(_known_category)]
CategoryOrFact = Annotated[str, AfterValidator(_known_category_or_fact)]
StageName = Literal["prompt", "input_image", "output_image"]


class Shape(BaseModel):
    """Strict and closed: a threshold written as "0.9" or a misspelt field is a slip, and is not guessed at."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RuleShape(Shape):
    """`[[rule]]`. Exactly one of `level` and `threshold`; `classifier` only beside `threshold`; `shadow`: on trial."""

    id: RuleId
    verdict: VerdictWord
    categories: Annotated[list[CategoryName], Field(min_length=1)]
    stages: Annotated[list[StageName], Field(min_length=1)] = ["prompt", "input_image", "output_image"]
    level: Words | None = None
    threshold: Score | None = None
    classifier: Words | None = None
    min_assurance: Annotated[int, Field(ge=0, lt=len(ASSURANCE_LEVELS))] = 0
    below_assurance: Annotated[int, Field(ge=1, le=len(ASSURANCE_LEVELS))] = len(ASSURANCE_LEVELS)
    shadow: bool = False


class BesideShape(Shape):
    """`beside_person`: at which level somebody may be in a picture sent in, and how that is told."""

    level: Words
    told_as: CategoryName


class FloorRuleShape(RuleShape):
    """`[[rule]]` of the floor, which alone may combine what is said about words with what is seen in pictures."""

    categories: Annotated[list[CategoryOrFact], Field(min_length=1)]
    beside_person: BesideShape | None = None


class FloorShape(Shape):
    """The floor's file. `levels`: as in a policy."""

    levels: dict[str, dict[str, Score]]
    rule: Annotated[list[FloorRuleShape], Field(min_length=1)]


class ZoneShape(Shape):
    """`asked`: only where the classifier `after` scores from `low` on and not surely from `high` on."""

    after: Words
    low: Score = Field(alias="from")
    high: Score = Field(alias="to")
    seconds: Annotated[float, Field(gt=0.0, le=600.0)]


class ClassifierShape(Shape):
    """`[[classifier]]`: the part's name, what it is built from, the data files it is given, and when it is asked."""

    kind: ClassifierKind
    part: Words
    options: dict[str, object] = Field(default_factory=dict)
    data: list[Words] = Field(default_factory=list)
    asked: ZoneShape | None = None


class GapShape(Shape):
    """`[[gap]]`: categories nobody looks for at these stages, and why that is accepted."""

    categories: Annotated[list[CategoryName], Field(min_length=1)]
    stages: Annotated[list[StageName], Field(min_length=1)]
    reason: Annotated[str, Field(min_length=20)]


class AppealShape(Shape):
    """`[appeal]`: how a decision is contested."""

    how: Words
    contact: str = ""
    days: Annotated[int, Field(ge=1)]


class GrantShape(Shape):
    """`[[grant]]`: the overlays of these tenants may soften the rule down to this verdict."""

    rule: RuleId
    verdict: VerdictWord
    tenants: Annotated[list[Words], Field(min_length=1)]


class ToleranceShape(Shape):
    """`[[tolerance]]`: at which levels rules are read from this step of `safety_tolerance` on, and for whom."""

    step: Annotated[int, Field(ge=0, lt=len(TOLERANCES))]
    levels: Annotated[dict[str, Words], Field(min_length=1)]
    tenants: list[Words] = Field(default_factory=list)


class PolicyShape(Shape):
    """A whole policy file. `levels`: word → classifier → score, with `other` for the unnamed ones."""

    name: Words
    version: Words
    description: Words
    appeal: AppealShape
    levels: dict[str, dict[str, Score]] = Field(default_factory=dict)
    rule: Annotated[list[RuleShape], Field(min_length=1)]
    classifier: list[ClassifierShape]
    gap: list[GapShape] = Field(default_factory=list)
    grant: list[GrantShape] = Field(default_factory=list)
    tolerance: list[ToleranceShape] = Field(default_factory=list)


class ChangeShape(Shape):
    """`[[change]]`: a rule of the base policy, and the verdict it gets instead of its own."""

    rule: RuleId
    verdict: VerdictWord


class MarkingShape(Shape):
    """`[marking]`: labels that pictures carry beside the operator's own, and the least that is drawn into them."""

    labels: list[Words] = Field(default_factory=list)
    visible_label: Words | None = None


class OverlayShape(Shape):
    """An overlay file. Its levels name only what they lower; `rule` adds rules."""

    name: Words
    version: Words
    description: Words
    levels: dict[str, dict[str, Score]] = Field(default_factory=dict)
    change: list[ChangeShape] = Field(default_factory=list)
    rule: list[RuleShape] = Field(default_factory=list)
    grounds: list[Words] = Field(default_factory=list)
    marking: MarkingShape = Field(default_factory=MarkingShape)


S = TypeVar("S", bound=Shape)


def shaped(kind: type[S], path: Path, table: dict[str, object]) -> S:
    """`table` as a `kind`. Raises `PolicyError` for the first thing that does not fit, with its dotted path."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = _dotted(first["loc"], table)
        if first["type"] == "extra_forbidden":
            raise PolicyError(str(path), field, "there is no such field", "Remove it or mend its spelling") from error
        if first["type"] == "missing":
            raise PolicyError(str(path), field, "the field is missing", "Add it") from error
        remedy = first["msg"].removeprefix("Value error, ")
        raise PolicyError(str(path), field, "the value does not fit", remedy[:1].upper() + remedy[1:]) from error


def _dotted(location: tuple[int | str, ...], table: object) -> str:
    """`rule[weapons].threshold` rather than `rule.3.threshold`: by the id, name or part the author gave, if any."""
    path = ""
    for step in location:
        if isinstance(step, int):
            table = table[step] if isinstance(table, list) else None
            named = table if isinstance(table, dict) else {}
            name = named.get("id") or named.get("part") or named.get("rule")
            path += f"[{name or step}]"
        else:
            table = table.get(step) if isinstance(table, dict) else None
            path += f".{step}" if path else step
    return path

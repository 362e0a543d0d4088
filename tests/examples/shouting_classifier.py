"""A classifier of one's own: reports prompts that shout as harassment. Not a good idea, but a whole part.

In a package of your own, name it in pyproject.toml:

    [project.entry-points."fluxgate.prompt_classifiers"]
    shouting = "my_package.shouting:Shouting"

and name it in a policy, which decides what a finding means:

    [[classifier]]
    kind = "prompt"
    part = "shouting"
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from moderation.text.folding import FoldedText
from policies.findings import Finding, Stage


class Shouting:
    """Score: the share of letters that are capitals, from `least_letters` letters on."""

    name: ClassVar[str] = "shouting"
    version: ClassVar[str] = "1"
    steady: ClassVar[bool] = True  # equal texts always get equal findings

    class Options(BaseModel):
        """`least_letters`: shorter texts score 0."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        least_letters: int = Field(8, ge=1)

    def __init__(self, options: Options) -> None:
        self._options = options

    @property
    def categories(self) -> frozenset[str]:
        """What it can report."""
        return frozenset({"harassment"})

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding, also where the score is low: silence would count as no answer."""
        letters = [letter for letter in text.original if letter.isalpha()]
        loud = sum(letter.isupper() for letter in letters) / max(len(letters), 1)
        score = loud if len(letters) >= self._options.least_letters else 0.0
        return (Finding("harassment", score, Stage.PROMPT, self.name, self.version),)

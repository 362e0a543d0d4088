"""Part `guard`: a language model trained to judge texts (Llama Guard, ShieldGemma, WildGuard, or one described alike).

It is asked with its published prompt and never talks freely: the score is how much of the probability of its first
word lies on the unsafe answer, against the safe one, and only a list of categories is read on from there. What cannot
be read so is no answer. `guards/families.toml` says what each guard reads and answers, and where that is published.

    1. The whole text, in windows if it is long, goes into the prompt (`guards/frame.py`).
    2. One pass gives the first word's probabilities; white space before it is skipped.
    3. Both answers together must hold `ANSWERED` of the probability.
    4. A guard that names categories is led on as if it had said unsafe, and its list read.
"""

import math
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from moderation.errors import ClassifierFailed, PartUnusable
from moderation.guards.families import Categories, Family, load_families
from moderation.guards.frame import Frame
from moderation.local_weights import Dtype, check_pin, open_tokenizer, open_weights
from moderation.text.folding import FoldedText
from policies.findings import Finding, Stage

ANSWERED = 0.5
"""Share of the first word's probability that both answers must hold: with less, something else was the likeliest."""

WHITE_SPACE = 3
"""Tokens: Llama Guard 3 begins its answer with two line ends, which one or two tokens write."""

LIST_TOKENS = 64
"""Room for all fourteen codes of Llama Guard 3 with their commas, at up to four tokens each. Longer is not a list."""


class GuardPart:
    """A guard model on one device. Any number of threads may call it; they take turns."""

    name: ClassVar[str] = "guard"
    version: str = "1"  # of an instance: `sha256:` over its folder
    steady = True

    class Options(BaseModel):
        """`model`: a folder with safetensors weights and tokenizer. `sha256`: its pinned digest, by `folder_digest`.

        `family`: a name from `guards/families.toml`, or a table with its fields. `categories`: code → ours, instead of
        the family's. Scores are sigmoid(log odds / `temperature` + `offset`). `window_tokens`: of the whole prompt;
        a text that needs more than `max_windows` is not answered (never half read).
        """

        model_config = ConfigDict(frozen=True, extra="forbid")
        model: Path
        sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
        family: str | Family
        categories: dict[str, Categories] | None = None
        device: str = "cpu"
        dtype: Dtype = "fp32"
        temperature: float = Field(1.0, gt=0.0, allow_inf_nan=False)
        offset: float = Field(0.0, allow_inf_nan=False)
        window_tokens: int = Field(2048, ge=64, le=131_072)
        max_windows: int = Field(16, ge=1, le=256)

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if the folder is not the pinned one, or its model does not fit the family."""
        self._family = _family(options)
        check_pin(self.name, options.model, options.sha256)
        folder = str(options.model)
        self._tokenizer = open_tokenizer(self.name, folder, local_files_only=True)
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise PartUnusable(self.name, "model", "its config.json cannot be read", "Give a whole folder") from error
        # Llama Guard 4 can look at pictures too; its weights belong to another class, whose language model reads words.
        sees = str((getattr(config, "architectures", None) or [""])[0]).endswith("ForConditionalGeneration")
        model = open_weights(
            self.name,
            AutoModelForImageTextToText if sees else AutoModelForCausalLM,
            folder,
            dtype=options.dtype,
            device=options.device,
            local_files_only=True,
        )
        self._model = _reader_of_words(model) if sees else model
        family = self._family
        guidelines = [(each.guideline, each.categories) for each in family.questions] or [("", family.categories)]
        self._questions = [
            (Frame(self._tokenizer, family.prompt.replace("{guideline}", guideline), family.marks), categories)
            for guideline, categories in guidelines
        ]
        self._unsafe, self._safe = _first_tokens(self._tokenizer, family)
        self._ends = _ends(model, self._tokenizer)
        positions = getattr(config.get_text_config(), "max_position_embeddings", options.window_tokens)
        self._room = min(options.window_tokens, positions) - WHITE_SPACE - LIST_TOKENS
        self._options = options
        self._turn = threading.Lock()
        self.version = f"sha256:{options.sha256}"

    @property
    def categories(self) -> frozenset[str]:
        """Every category that one of its answers stands for."""
        return self._family.reported

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding per category: the highest score over windows, over the text as it came and its most decoded
        reading, and over the answers that stand for the category; 0 for one that the guard could name and did not.

        Raises `ClassifierFailed` if the guard answers anything else, or the text cannot be read whole.
        """
        scores = dict.fromkeys(self.categories, 0.0)
        read = 0
        with self._turn:
            for frame, categories in self._questions:
                readings = dict.fromkeys((text.original, *text.variants[-1:]))
                windows = [window for reading in readings for window in frame.windows(reading, self._room)]
                if len(windows) > self._options.max_windows:
                    allowed = f"{self._options.max_windows} are allowed"
                    raise ClassifierFailed(f"the text needs {len(windows)} windows, {allowed}")
                read = max(read, len(windows))
                for window in windows:
                    score, named = self._judged(window, categories)
                    for category in named:
                        scores[category.value] = max(scores[category.value], score)
        facts = (("windows", str(read)),)
        return tuple(
            Finding(category, score, Stage.PROMPT, self.name, self.version, facts)
            for category, score in sorted(scores.items())
        )

    @torch.inference_mode()
    def _judged(self, prompt: list[int], categories: Categories) -> tuple[float, Iterable[Any]]:
        """The calibrated score of one prompt, and the categories it is for."""
        answer = _Answer(self._model, prompt)
        # 2. The first word.
        for _ in range(WHITE_SPACE):
            if self._tokenizer.decode([answer.likeliest()]).strip():
                break
            answer.say(answer.likeliest())
        unsafe, safe = (float(answer.probabilities[list(ids)].sum()) for ids in (self._unsafe, self._safe))
        # 3. Not finite fails here too.
        if not unsafe + safe >= ANSWERED:
            raise ClassifierFailed("the guard answered in words that are not its own")
        share = unsafe / (unsafe + safe)
        # 4. Its list, whichever word it would have said itself.
        if self._family.codes:
            named = self._listed(answer)
            if named is None and share >= 0.5:  # unsafe was its own answer
                raise ClassifierFailed("the guard's list of categories cannot be read")
            # Led on against its own answer it may say anything; what is left of the doubt then counts for everything.
            categories = named or tuple(category for each in self._family.codes.values() for category in each)
        return self._calibrated(share), categories

    def _listed(self, answer: "_Answer") -> Categories | None:
        """The categories of the codes on the second line; None if it is cut, or not made of known codes."""
        answer.say(max(self._unsafe, key=lambda number: float(answer.probabilities[number])))
        said = [answer.said[-1]]
        for _ in range(LIST_TOKENS):
            following = answer.likeliest()
            if following in self._ends:
                break
            said.append(following)
            answer.say(following)
        else:
            return None
        first, _, rest = self._tokenizer.decode(said, skip_special_tokens=True).strip().partition("\n")
        codes = [code.strip() for code in rest.strip().split(",")]
        if first.strip() != self._family.unsafe or not all(code in self._family.codes for code in codes):
            return None
        return tuple(category for code in codes for category in self._family.codes[code])

    def _calibrated(self, share: float) -> float:
        odds = min(max(share, 1e-9), 1.0 - 1e-9)
        logit = math.log(odds / (1.0 - odds)) / self._options.temperature + self._options.offset
        return 1.0 / (1.0 + math.exp(-min(max(logit, -700.0), 700.0)))


class _Answer:
    """An answer while it is made: one pass over the prompt, then one token at a time. Not for several threads."""

    def __init__(self, model: Any, prompt: list[int]) -> None:
        self._model = model
        self._memory: Any = None
        self.said: list[int] = []
        self._pass(prompt)

    def _pass(self, tokens: list[int]) -> None:
        ids = torch.tensor([tokens], device=self._model.device)
        out = self._model(input_ids=ids, cache=self._memory, use_cache=True, logits_to_keep=1)
        self._memory = out.cache
        self.probabilities = torch.softmax(out.logits[0, -1].float(), dim=0).cpu()

    def likeliest(self) -> int:
        """The token that most probably comes next."""
        return int(self.probabilities.argmax())

    def say(self, token: int) -> None:
        """Goes on as if `token` had been said."""
        self.said.append(token)
        self._pass([token])


def _reader_of_words(model: Any) -> Any:
    """The language model inside a model that sees, where it can answer by itself: the rest never gets an image."""
    inner = getattr(model, "language_model", None)
    return inner if inner is not None and inner.get_output_embeddings() is not None else model


def _family(options: GuardPart.Options) -> Family:
    known = load_families()
    chosen = known.get(options.family) if isinstance(options.family, str) else options.family
    if chosen is None:
        remedy = f"Choose one of {', '.join(known)}, or describe it as families.toml does"
        raise PartUnusable("guard", "family", f"there is no family {options.family!r}", remedy)
    if options.categories is None:
        return chosen
    if not chosen.codes:
        raise PartUnusable("guard", "categories", "this guard names no codes", "Take them out")
    return chosen.model_copy(update={"codes": options.categories})


def _first_tokens(tokenizer: Any, family: Family) -> tuple[frozenset[int], frozenset[int]]:
    """Tokens that begin the unsafe answer, and those that are the whole safe one: doubt counts as unsafe."""
    unsafe, safe = set(), set()
    added = tokenizer.added_tokens_decoder
    for token, number in tokenizer.get_vocab().items():
        bare = token.lstrip("▁Ġ ")  # how sentencepiece and byte-level tokenizers write a space
        if number in added or not bare:
            continue
        if family.unsafe.startswith(bare):
            unsafe.add(number)
        elif bare == family.safe:
            safe.add(number)
    if not unsafe or not safe:
        word = family.safe if unsafe else family.unsafe
        raise PartUnusable("guard", "family", f"no token of the model begins {word!r}", "Choose the model's own family")
    return frozenset(unsafe), frozenset(safe)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer."""
    chosen = getattr(model.generation_config, "eos_token_id", None)
    several = chosen if isinstance(chosen, list) else [chosen]
    return frozenset(number for number in (*several, tokenizer.eos_token_id) if number is not None)

"""Part `languages`: a prompt in a language that nobody here reads is a finding of its own, `unread_language`.

Which languages are read, the other classifiers say (`ReadsLanguages`). Script decides where letters alone tell; else
py3langid does: naive Bayes over byte n-grams, 140 languages, its model inside the package. It only ever adds a finding.
"""

import functools
import unicodedata
from collections import Counter
from importlib.metadata import version
from typing import ClassVar

from py3langid.langid import MODEL_FILE, LanguageIdentifier
from pydantic import BaseModel, ConfigDict

from moderation.errors import PartUnusable
from moderation.text.folding import FoldedText, tokens
from moderation.text.passages import passages
from policies.findings import Category, Finding, Stage

SHORTEST_WORDS = 3
SHORTEST_LETTERS = 15
"""Fewer of either are a name or a tag: in Latin letters those belong to no language."""

PASSAGE_WORDS = 6
"""A sentence of this many words is judged beside the whole text, so that padding in a read language hides none."""

SCRIPTS: dict[str, frozenset[str]] = {
    "ARMENIAN": frozenset({"hy"}),
    "BENGALI": frozenset({"as", "bn"}),
    "CYRILLIC": frozenset({"ba", "be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "tt", "uk"}),
    "ETHIOPIC": frozenset({"am"}),
    "GEORGIAN": frozenset({"ka"}),
    "GREEK": frozenset({"el"}),
    "GUJARATI": frozenset({"gu"}),
    "GURMUKHI": frozenset({"pa"}),
    "HANGUL": frozenset({"ko"}),
    "HEBREW": frozenset({"he"}),
    "HIRAGANA": frozenset({"ja"}),
    "KANNADA": frozenset({"kn"}),
    "KATAKANA": frozenset({"ja"}),
    "KHMER": frozenset({"km"}),
    "LAO": frozenset({"lo"}),
    "MALAYALAM": frozenset({"ml"}),
    "MYANMAR": frozenset({"my"}),
    "ORIYA": frozenset({"or"}),
    "SINHALA": frozenset({"si"}),
    "TAMIL": frozenset({"ta"}),
    "TELUGU": frozenset({"te"}),
    "THAI": frozenset({"th"}),
    "TIBETAN": frozenset({"bo"}),
}
"""Script, as Unicode's names begin → the languages written in it. Scripts of read languages decide nothing."""

DECISIVE = 0.5
"""Share of a text's letters in scripts nobody reads from which on the text is unread, however short."""

READ_WEIGHT = 7.0
"""So much likelier beforehand is a language somebody reads: the model takes all its labels for equally likely, of which
the shipped policies read 18 and leave 122.
"""

VARIETIES = {"arz": "ar", "ary": "ar", "wuu": "zh", "yue": "zh", "pcm": "en", "an": "es", "ext": "es"}
"""Of the model's labels, those that short texts of a wider language often get → that language."""

NO_LANGUAGE = "zxx"
"""The model's label for what is no language: codes, tags, numbers."""

_HINDI = """
agar aur bahut bas bhi dena ek hai hain hoga hona hote hua hui hum hume hun iske itne jaise ka kabhi kar karna karne
karta karte karti ke khud ki kisi kiya ko koi kuch kya kyu lagta liye mein mere meri mujhe nahi ne raha rahe rahi
saare sabhi sabse sakta sakte se tarah tere tha thi tum tumhe uske wala wali wo ye zyada
"""
HINDI_IN_LATIN = frozenset(_HINDI.split())
"""Function words of Hindi as people type it; the model knows Hindi in Devanagari only."""

HINDI_SHARE = 0.25
"""Of a text's words, at least two of them, from which on it is Hindi: 95 % of HateCheck's rows pass."""


@functools.cache
def _model() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


class LanguagesPart:
    """The detector of languages nobody reads. Stateless; any number of threads may call it."""

    name: ClassVar[str] = "languages"
    version: ClassVar[str] = f"1/{version('py3langid')}"
    steady: ClassVar[bool] = True
    categories: ClassVar[frozenset[str]] = frozenset({Category.UNREAD_LANGUAGE.value})

    class Options(BaseModel):
        """`read`: languages (ISO 639-1) that are read besides those which the other classifiers claim."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        read: frozenset[str] = frozenset()

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if `read` names a language that the model does not know."""
        labels: list[str] = _model().labels
        if unknown := sorted(options.read - set(labels)):
            remedy = "Write ISO 639-1 codes, such as en or tr."
            raise PartUnusable("languages", "read", f"no language {unknown[0]!r}", remedy)
        self._options = options
        self._read = options.read
        self._labels = {label for label in labels if VARIETIES.get(label, label) in options.read} | {NO_LANGUAGE}

    def beside(self, languages: frozenset[str]) -> "LanguagesPart":
        """This part where others read `languages`; those the model does not know change nothing."""
        known = languages & set(_model().labels)
        return LanguagesPart(self._options.model_copy(update={"read": self._options.read | known}))

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding: the probability that the text, or a longer sentence in it, is in a language nobody reads.

        0 for what is too short to tell.
        """
        pieces = (text.folded, *(each for each in passages(text.folded) if len(each.split()) >= PASSAGE_WORDS))
        score = max(map(self._unread, pieces))
        return (Finding(Category.UNREAD_LANGUAGE.value, score, Stage.PROMPT, self.name, self.version),)

    def _unread(self, text: str) -> float:
        alphas = list(filter(str.isalpha, text))
        count = len(alphas)
        letters = Counter(LATIN=count) if text.isascii() else Counter(map(_script, alphas))
        if not count:
            return 0.0
        foreign = sum(
            n for script, n in letters.items() if script in SCRIPTS and self._read.isdisjoint(SCRIPTS[script])
        )
        if foreign >= DECISIVE * count:
            return 1.0
        if letters["LATIN"] > DECISIVE * count:
            # A word in another script among Latin ones is quoted.
            words = [word for word in tokens(text) if _script(word[0]) == "LATIN"]
            if len(words) < SHORTEST_WORDS or letters["LATIN"] < SHORTEST_LETTERS:
                return 0.0
            if "hi" in self._read and _is_hindi(words):
                return 0.0
            text = " ".join(words)
        unread: float = sum(probability for label, probability in _model().rank(text) if label not in self._labels)
        read = max(0.0, 1.0 - unread)
        return min(1.0, unread / (unread + read * READ_WEIGHT))


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0]


def _is_hindi(words: list[str]) -> bool:
    found = [word for word in words if word in HINDI_IN_LATIN]
    return len(found) >= 2 and len(found) >= HINDI_SHARE * len(words)

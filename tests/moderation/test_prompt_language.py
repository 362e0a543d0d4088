"""A language nobody reads is a finding; names, tags and read languages raise none; it makes nothing softer."""

import csv
import gzip
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.classifiers import introduced
from moderation.errors import PartUnusable
from moderation.prompt_language import LanguagesPart
from moderation.prompt_semantic import SemanticPart
from moderation.prompt_terms import TermsPart
from moderation.text.folding import fold
from policies.evaluate import evaluate
from policies.findings import Category, Finding, Stage
from policies.loading import BUILTIN_POLICIES, load_policy
from policies.reading import SHIPPED
from policies.verdicts import Verdict

POLICIES = {name: load_policy(name) for name in BUILTIN_POLICIES}
SURE = POLICIES["default"].levels["sure"]["languages"]
HELD_AT_MOST = 0.003
"""Of honest prompts in read languages: the promise in policies/README.md."""


def term_lists() -> TermsPart:
    data = tuple(tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((SHIPPED / "terms").glob("*.toml")))
    return TermsPart(TermsPart.Options(data=data))


@pytest.fixture(scope="module")
def part() -> LanguagesPart:
    return LanguagesPart(LanguagesPart.Options()).beside(term_lists().languages)


def unread(part: LanguagesPart, text: str) -> float:
    (finding,) = part.classify(fold(text))
    assert finding.category == Category.UNREAD_LANGUAGE
    return finding.score


def held(part: LanguagesPart, texts: list[str]) -> float:
    assert texts
    return sum(unread(part, text) >= SURE for text in texts) / len(texts)


def captions(path: Path) -> dict[str, list[str]]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


UNREAD = captions(Path(__file__).parent / "unread_captions.toml")
READ = captions(Path(__file__).parents[1] / "policies" / "more_captions.toml")


@pytest.mark.parametrize("language", UNREAD)
def test_captions_in_a_language_nobody_reads_are_found(part: LanguagesPart, language: str) -> None:
    assert held(part, UNREAD[language]) == 1.0


@pytest.mark.parametrize("language", READ)
def test_captions_in_read_languages_raise_nothing(part: LanguagesPart, language: str) -> None:
    assert held(part, READ[language]) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "🐶🌳✨",
        "42",
        "Reykjavik",
        "Dvořák",
        "Hallgrímskirkja",
        "Göbekli Tepe at dawn",
        "babushka",
        "kimono",
        "lorem ipsum",
        "1girl, solo, long hair, masterpiece, best quality, 8k uhd",
        "octane render, unreal engine",
        "art by Zdzisław Beksiński",
        "a poster that says 'hoş geldiniz', bauhaus",
        "sign with the word добро above a bakery door",
        "ramen ラーメン shop sign, neon",
        "東京 street at night, rain",
        "eine Katze und un chien on a sofa",
        "portret kota w stylu Rembrandta, golden hour, 85mm",
        "a cat 🐱 sleeping on the sofa 😴",
    ],
)
def test_names_tags_pictures_and_mixed_read_languages_raise_nothing(part: LanguagesPart, text: str) -> None:
    assert unread(part, text) < SURE


@pytest.mark.parametrize("text", ["แมว", "חתול", "γάτα", "кот", "고양이", "ねこ"])
def test_one_word_is_enough_where_the_script_decides(part: LanguagesPart, text: str) -> None:
    assert unread(part, text) == 1.0


def test_a_whole_sentence_in_an_unread_language_is_not_hidden_by_read_ones_around_it(part: LanguagesPart) -> None:
    padding = "A calm lake in the morning, soft light. Reeds and a small wooden boat, oil on canvas. "
    assert unread(part, padding * 3) < SURE
    assert unread(part, f"{padding}{UNREAD['tr'][0]} ve {UNREAD['tr'][2]}. {padding}") >= SURE


def test_a_language_is_read_as_soon_as_any_classifier_beside_claims_it() -> None:
    turkish = UNREAD["tr"]
    alone = LanguagesPart(LanguagesPart.Options())
    assert held(alone.beside(frozenset({"en"})), turkish) == 1.0
    assert held(alone.beside(frozenset({"en", "tr"})), turkish) == 0.0
    assert held(LanguagesPart(LanguagesPart.Options(read=frozenset({"tr"}))), turkish) == 0.0


def test_parts_are_introduced_to_what_the_others_claim() -> None:
    lists, semantic = term_lists(), SemanticPart(SemanticPart.Options())
    language = LanguagesPart(LanguagesPart.Options())
    first, told, second = introduced([semantic, language, lists])
    assert (first, second) == (semantic, lists)
    assert semantic.languages == {"en"}
    assert lists.languages == {"en", "de", "fr", "es", "it", "pt", "nl", "zh", "pl", "hi", "ar"}
    assert held(told, READ["pl"]) == 0.0
    assert held(introduced([semantic, language])[1], READ["pl"]) >= 0.9


def test_a_part_that_was_told_nothing_takes_every_language_for_unread() -> None:
    assert unread(LanguagesPart(LanguagesPart.Options()), "a quiet harbour in the morning light") >= SURE


def test_a_language_that_nobody_knows_is_refused_at_start() -> None:
    with pytest.raises(PartUnusable, match="read"):
        LanguagesPart(LanguagesPart.Options(read=frozenset({"qq"})))


@pytest.mark.parametrize(
    ("policy", "verdict"), [("demo", Verdict.FLAG), ("default", Verdict.HOLD), ("strict", Verdict.HOLD)]
)
def test_every_shipped_policy_says_what_happens_to_what_nobody_read(policy: str, verdict: Verdict) -> None:
    finding = Finding(Category.UNREAD_LANGUAGE, SURE, Stage.PROMPT, "languages", "1")
    assert evaluate(POLICIES[policy], [finding], stage=Stage.PROMPT, assurance=1).verdict is verdict


@given(st.floats(0, 1), st.sampled_from(list(Category)), st.floats(0, 1), st.integers(0, 3))
@settings(deadline=None)
def test_the_finding_never_makes_a_decision_softer(score: float, other: Category, beside: float, level: int) -> None:
    mine = Finding(Category.UNREAD_LANGUAGE, score, Stage.PROMPT, "languages", "1")
    theirs = Finding(other, beside, Stage.PROMPT, "terms", "1")
    for policy in POLICIES.values():
        without = evaluate(policy, [theirs], stage=Stage.PROMPT, assurance=level)
        assert evaluate(policy, [mine, theirs], stage=Stage.PROMPT, assurance=level).verdict >= without.verdict


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_text_gets_a_probability(text: str) -> None:
    assert 0.0 <= unread(LanguagesPart(LanguagesPart.Options(read=frozenset({"en"}))), text) <= 1.0


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return handle.read().splitlines()


@pytest.mark.data
@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_public_captions_in_read_languages_are_not_held(part: LanguagesPart, shared_data: Path, language: str) -> None:
    assert held(part, lines(shared_data / "multi30k" / f"val.{language}.gz")) <= HELD_AT_MOST


@pytest.mark.data
def test_public_captions_in_a_language_nobody_reads_are_held(part: LanguagesPart, shared_data: Path) -> None:
    assert held(part, lines(shared_data / "multi30k" / "val.cs.gz")) >= 0.97


@pytest.mark.data
def test_prompts_of_people_who_draw_are_not_held(part: LanguagesPart, shared_data: Path) -> None:
    with gzip.open(shared_data / "krea_open_prompts" / "1k.csv.gz", "rt", encoding="utf-8") as handle:
        krea = [row["prompt"] for row in csv.DictReader(handle)]
    draw = (shared_data / "drawbench" / "DrawBench200.txt").read_text(encoding="utf-8").splitlines()
    assert held(part, krea) <= HELD_AT_MOST
    assert held(part, draw) <= HELD_AT_MOST

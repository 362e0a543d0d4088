"""Term lists match what is meant, whole words only, through every disguise, and never say which word it was."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.errors import PartUnusable
from moderation.prompt_terms import TermsPart
from moderation.text.folding import fold

TABLE: dict[str, Any] = {
    "language": "en",
    "version": "7",
    "spared": ["grandee"],
    "group": {"small": ["kitten", "puppy"]},
    "term": [
        {"category": "weapons", "strength": "hard", "words": ["pipe bomb", "grenade*", "hand-made gun*"]},
        {"category": "drugs", "strength": "ambiguous", "words": ["coke", "schnee"]},
        {"category": "hate", "strength": "hard", "words": ["größenwahn", "vermin"]},
    ],
    "combination": [
        {
            "category": "gore",
            "strength": "hard",
            "all": [["@small", "lamb"], ["blood*", "torn apart"]],
            "within": 5,
            "unless": ["museum"],
        }
    ],
}


@pytest.fixture(scope="module")
def terms() -> TermsPart:
    return TermsPart(TermsPart.Options(data=(TABLE,)))


def scores(part: TermsPart, text: str) -> dict[str, float]:
    return {finding.category: finding.score for finding in part.classify(fold(text)) if finding.score}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a pipe bomb on a table", {"weapons": 1.0}),
        ("a PIPE-BOMB!", {"weapons": 1.0}),
        ("a pipe and a bomb", {}),
        ("grenades", {"weapons": 1.0}),
        ("a pomegranate", {}),
        ("hand made guns", {"weapons": 1.0}),
        ("a glass of coke", {"drugs": 0.5}),
        ("a cokehead", {}),
        ("GRÖSSENWAHN", {"hate": 1.0}),
        ("ein Größenwahn", {"hate": 1.0}),
        ("ein Grossenwahn", {"hate": 1.0}),
        ("a bloody little kitten", {"gore": 1.0}),
        ("a lamb torn apart", {"gore": 1.0}),
        ("a kitten in the garden of a house with a blood orange", {}),
        ("a bloody kitten in the museum", {}),
        ("", {}),
    ],
)
def test_words_phrases_prefixes_and_combinations(terms: TermsPart, text: str, expected: dict[str, float]) -> None:
    assert scores(terms, text) == expected


@pytest.mark.parametrize(
    "text",
    ["g.r.e.n.a.d.e", "gr3nade", "gr\u200benade", "grеnade", "g r e n a d e b e l t", "grenaaaade", "ｇｒ3ｎａｄｅ"],
)
def test_a_hard_word_that_only_shows_undisguised_is_evasion_too(terms: TermsPart, text: str) -> None:
    found = scores(terms, text)
    assert found["weapons"] == 1.0
    assert found["evasion"] == 1.0


def test_a_disguise_that_hides_no_listed_word_stays_below_ambiguous(terms: TermsPart) -> None:
    found = scores(terms, "t3st w0rds t.h.a.t m3an n0thing 4t a1l " * 20)
    assert set(found) == {"evasion"}
    assert 0 < found["evasion"] <= 0.4


def test_a_listed_word_in_the_open_beside_a_disguise_is_not_called_hidden(terms: TermsPart) -> None:
    found = scores(terms, "a grenade from the U.S.A.")
    assert found["weapons"] == 1.0
    assert found.get("evasion", 0.0) < 0.5


@pytest.mark.parametrize(
    "text", ["a gernade", "grenad", "a pipe bmob on a table", "größenwanh", "a littel ktiten, bloody"]
)
def test_a_mistyped_hard_word_is_found_and_is_no_evasion(terms: TermsPart, text: str) -> None:
    found = scores(terms, text)
    assert max(found.values(), default=0.0) == 1.0
    assert "evasion" not in found


@pytest.mark.parametrize("text", ["schnew in winter", "grandee", "a glass of ckoe"])
def test_a_word_of_its_own_or_a_mistyped_ambiguous_one_is_not_taken_for_a_slip(terms: TermsPart, text: str) -> None:
    assert scores(terms, text) == {}


def test_accents_and_capitals_are_no_disguise(terms: TermsPart) -> None:
    assert "evasion" not in scores(terms, "GRÉNADE à la crème")


def test_findings_name_every_category_and_never_the_word(terms: TermsPart) -> None:
    findings = terms.classify(fold("a grenade and a glass of coke"))
    assert {finding.category for finding in findings} == terms.categories
    assert terms.categories == {"weapons", "drugs", "hate", "gore", "evasion"}
    assert all("grenade" not in str(finding) and "coke" not in str(finding) for finding in findings)
    assert dict(findings[0].facts)["lists"] == "en/7"


@settings(deadline=None)  # the first text waits for the word indexes
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_any_text_gets_one_finding_per_category(text: str) -> None:
    part = TermsPart(TermsPart.Options(data=(TABLE,)))
    assert {finding.category for finding in part.classify(fold(text))} == part.categories


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"term": [{"category": "nonsense", "strength": "hard", "words": ["x"]}]}, "term.0.category"),
        ({"term": [{"category": "hate", "strength": "soft", "words": ["x"]}]}, "term.0.strength"),
        ({"term": [{"category": "hate", "strength": "hard", "words": ["a*b"]}]}, r"\*"),
        ({"term": [{"category": "hate", "strength": "hard", "words": [" "]}]}, "empty"),
        ({"term": [], "combination": []}, "no term"),
        ({"combination": [{"category": "hate", "strength": "hard", "all": [["@nobody"]]}]}, "nobody"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_malformed_list_stops_the_start_and_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(PartUnusable, match=field):
        TermsPart(TermsPart.Options(data=({**TABLE, **change},)))


def test_a_part_without_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="data"):
        TermsPart.Options(data=())


@pytest.mark.parametrize("pattern", ["kitten ", "blood kitten ", "g r e n a d e ", "pipe ", "gr3nade "])
def test_matching_stays_linear_in_a_hostile_text(terms: TermsPart, pattern: str) -> None:
    def seconds(length: int) -> float:
        text = fold((pattern * length)[:length])
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            terms.classify(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(32_000) < 16 * seconds(4_000) + 0.02


@pytest.mark.parametrize("category", ["csae", "ncii"])
def test_a_list_that_would_excuse_the_floor_is_refused(category: str) -> None:
    combination = {"category": category, "strength": "hard", "all": [["one"], ["two"]], "unless": ["museum"]}
    table = {"language": "en", "version": "1", "combination": [combination]}
    with pytest.raises(Exception, match="nothing excuses the floor"):
        TermsPart(TermsPart.Options(data=(table,)))

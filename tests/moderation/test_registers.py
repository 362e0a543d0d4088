"""Registers of people and rights: names are found as whole words in every disguise, on the days on which they hold.

Every name here is invented.
"""

import copy
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from moderation.classifiers import ImageClassifier, PromptClassifier
from moderation.errors import PartUnusable
from moderation.registers.named_people import NamedPeople
from moderation.registers.reading import NameIndex
from moderation.registers.rights_holders import ProtectedPictures, RightsHolders
from moderation.text.folding import fold
from policies import findings
from policies.evaluate import evaluate
from policies.findings import Finding, Stage
from policies.loading import load_policy
from policies.verdicts import Verdict

EXAMPLES = Path(__file__).parents[1] / "policies" / "registers"
PEOPLE = tomllib.loads((EXAMPLES / "people.toml").read_text())
RIGHTS = tomllib.loads((EXAMPLES / "rights.toml").read_text())
WORDS = {
    "language": "en",
    "version": "1",
    "group": {"nude": ["without clothes"]},
    "term": [{"category": "sexual", "strength": "ambiguous", "words": ["undress*", "nude"]}],
}
DAY = date(2026, 7, 1)


def people(day: date = DAY, **changes: Any) -> NamedPeople:
    return NamedPeople(NamedPeople.Options(data=({**PEOPLE, **changes}, WORDS)), lambda: day)


def scores(text: str, day: date = DAY) -> tuple[float, float]:
    """(impersonation, ncii)."""
    found = {finding.category: finding.score for finding in people(day).classify(fold(text))}
    return found["impersonation"], found["ncii"]


def test_the_parts_are_classifiers_and_claim_what_they_report() -> None:
    rights = RightsHolders(RightsHolders.Options(data=(RIGHTS,)))
    pictures = ProtectedPictures(ProtectedPictures.Options(data=(RIGHTS,)))
    assert isinstance(people(), PromptClassifier)
    assert isinstance(rights, PromptClassifier)
    assert isinstance(pictures, ImageClassifier)
    assert people().categories == {"impersonation", "ncii"}
    assert rights.categories == pictures.categories == {"intellectual_property"}


@pytest.mark.parametrize(
    "text",
    [
        "a portrait of Alba Quenzel-Örtli in oil",
        "ALBA QUENZEL ORTLI",
        "Örtli, Quenzel, Alba",
        "albaquenzelörtli",
        "Alba Quenzel-Örtli's boat",
        "Alba Quenzel-Örtlis Boot",
        "\uff21lba Quenz\u200bel-\u00d6rtli",
        "\u0410lba Qu\u0435nz\u0435l-Ortli",
        "4lb4 Quenz3l 0rtli",
        "a l b a q u e n z e l o r t l i",
        "mayor quenzel at the harbour",
    ],
)
def test_a_listed_person_is_found_in_every_spelling(text: str) -> None:
    assert scores(text) == (1.0, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "Alba by the sea",
        "Quenzel and Örtli, two villages",
        "a mayorquenzelling",
        "a marble statue",
        "dornplain water",
        "a nude statue in marble",
        "",
    ],
)
def test_nobody_is_found_where_nobody_is_named(text: str) -> None:
    assert scores(text) == (0.0, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "Mayor Quenzel undressing",
        "nude, a bench in a garden with an old oak and many birds in it, and on it mayor quenzel",
        "mayor quenzel without clothes",
        "a harbour festival poster of Mayor Quenzel n\u200bude",
    ],
)
def test_a_listed_person_and_an_intimate_word_are_refused_by_the_floor(text: str) -> None:
    findings_made = people().classify(fold(text))
    decision = evaluate(load_policy("demo"), findings_made, stage=Stage.PROMPT, assurance=3)
    assert decision.verdict is Verdict.REFUSE
    assert any(reason.floor and reason.category == "ncii" for reason in decision.reasons)


def test_consent_counts_for_its_purpose_until_its_last_day_and_for_its_person_alone() -> None:
    consented = "a harbour festival picture of Mayor Quenzel"
    assert scores(consented, date(2026, 12, 31)) == (0.25, 0.0)
    assert scores(consented, date(2027, 1, 1)) == (1.0, 0.0)
    assert scores("Mayor Quenzel in the rain") == (1.0, 0.0)
    assert scores(f"{consented} with Dorn Plainwater") == (1.0, 0.0)
    facts = dict(people().classify(fold(consented))[0].facts)
    assert (facts["entries"], facts["consents"]) == ("p-1", "c-3")


def test_a_purpose_lowers_the_rank_of_public_figures_alone_and_of_no_intimate_picture() -> None:
    assert scores("a caricature of Mayor Quenzel") == (0.5, 0.0)
    assert scores("a c\u200baricature of M\u0430yor Quenzel") == (0.5, 0.0)
    assert scores("a caricature of Dorn Plainwater") == (1.0, 0.0), "listed by own request"
    assert scores("a caricature of Mayor Quenzel and Dorn Plainwater") == (1.0, 0.0)
    assert scores("a caricature of Mayor Quenzel, undressed") == (1.0, 1.0)
    assert scores("a harbour festival caricature of Mayor Quenzel, nude") == (1.0, 1.0), "consent covers none either"
    assert scores("a harbour festival caricature of Mayor Quenzel") == (0.25, 0.0), "consent is nearer than a purpose"
    assert scores("a caricature of a fisherman") == (0.0, 0.0)


def test_a_purpose_does_not_hold_beside_a_word_against_it_however_disguised() -> None:
    for photo in ("photo", "photorealistic", "p h o t o", "ph0to", "ph\u043eto"):
        assert scores(f"a caricature, {photo}, of Mayor Quenzel") == (1.0, 0.0)


def test_of_two_purposes_the_one_asked_most_for_counts_and_each_has_its_days() -> None:
    text = "a caricature of Mayor Quenzel for a ballot guide"
    found = people().classify(fold(text))[0]
    assert (found.score, dict(found.facts)["purposes"]) == (0.6, "elections")
    assert scores(text, date(2026, 10, 1)) == (0.5, 0.0)


def shipped(part: str) -> Any:
    """The part as the default policy asks it."""
    (use,) = (use for use in load_policy("default").classifiers if use.part == part and use.kind == "prompt")
    built: Any = {"named_people": NamedPeople, "rights_holders": RightsHolders}[part]
    return built(built.Options.model_validate(use.options))


@pytest.mark.parametrize(
    ("purpose", "score", "text"),
    [
        ("satire", 0.5, "{} as a caricature"),
        ("satire", 0.5, "eine Karikatur von {}"),
        ("satire", 0.5, "dessin de presse : {}"),
        ("satire", 0.5, "una viñeta satírica de {}"),
        ("satire", 0.5, "una vignetta satirica su {}"),
        ("satire", 0.5, "een spotprent over {}"),
        ("satire", 0.5, "uma charge política de {}"),
        ("satire", 0.5, "karykatura: {}"),
        ("satire", 0.5, "一幅讽刺漫画 {}"),
        ("news", 0.5, "editorial illustration of {} at a press conference"),
        ("education", 0.4, "{} in einem Schulbuch"),
        (None, 1.0, "{} at a press conference"),
        (None, 1.0, "satire: a realistic photograph of {}"),
        (None, 1.0, "讽刺 照片 {}"),
    ],
)
def test_the_shipped_purposes_are_found_in_several_languages_and_no_photograph_is_one(
    purpose: str | None, score: float, text: str
) -> None:
    found = shipped("named_people").classify(fold(text.format("Quorvane Testmuster")))[0]
    assert (found.score, dict(found.facts).get("purposes")) == (score, purpose)


@pytest.mark.parametrize(
    ("policy", "level", "text", "verdict", "rule"),
    [
        ("default", 0, "{}", Verdict.REFUSE, "out-of-scope-words"),
        ("default", 3, "{}", Verdict.REFUSE, "out-of-scope-words"),
        ("default", 0, "a caricature of {}", Verdict.HOLD, "people-named-by-the-unverified"),
        ("default", 1, "a caricature of {}", Verdict.FLAG, "people-named"),
        ("default", 3, "a caricature of {}, nude", Verdict.REFUSE, "floor-intimate-imagery"),
        ("strict", 0, "a caricature of {}", Verdict.HOLD, "people-named-for-a-purpose"),
        ("strict", 3, "a caricature of {}", Verdict.HOLD, "people-named-for-a-purpose"),
        ("strict", 3, "{} in a textbook", Verdict.HOLD, "people-named-for-a-purpose"),
        ("demo", 0, "a caricature of {}", Verdict.HOLD, "people-named-by-the-unverified"),
        ("demo", 1, "a caricature of {}", Verdict.FLAG, "people-named"),
    ],
)
def test_shipped_policies_rule_by_purpose_and_by_level(
    policy: str, level: int, text: str, verdict: Verdict, rule: str
) -> None:
    made = shipped("named_people").classify(fold(text.format("Quorvane Testmuster")))
    decision = evaluate(load_policy(policy), made, stage=Stage.PROMPT, assurance=level)
    assert decision.verdict is verdict
    assert rule in {reason.rule for reason in decision.reasons if reason.verdict is verdict}


def test_consent_is_noted_and_in_the_strict_policy_counts_for_verified_callers_alone() -> None:
    consented = people().classify(fold("a harbour festival picture of Mayor Quenzel"))

    def verdict(policy: str, level: int) -> Verdict:
        return evaluate(load_policy(policy), consented, stage=Stage.PROMPT, assurance=level).verdict

    assert [verdict("default", level) for level in range(4)] == [Verdict.FLAG] * 4
    assert [verdict("strict", level) for level in range(4)] == [Verdict.HOLD, Verdict.HOLD, Verdict.FLAG, Verdict.FLAG]


def test_a_prompt_that_names_hundreds_leaves_facts_of_bounded_length() -> None:
    listed = [{"id": f"p-{n}", "basis": "own_request", "record": "r", "names": [f"Quenzel{n}x"]} for n in range(400)]
    part = people(person=listed)
    (found, _) = part.classify(fold(" ".join(f"quenzel{n}x" for n in range(400))))
    assert dict(found.facts)["entries"].endswith("p-15,+384")


def test_an_entry_holds_from_its_first_day_on() -> None:
    assert scores("Dorn Plainwater", date(2026, 5, 31)) == (0.0, 0.0)
    assert scores("Dorn Plainwater", date(2026, 6, 1)) == (1.0, 0.0)


def test_a_name_that_is_a_word_is_found_beside_its_words_alone() -> None:
    assert scores("the singer Marble on stage") == (1.0, 0.0)
    assert scores("marble " + "floor " * 9 + "for concerts") == (0.0, 0.0)


def test_names_in_scripts_without_spaces_are_found_inside_a_sentence() -> None:
    person = {"id": "p-9", "basis": "own_request", "record": "r", "names": ["例田想子"]}
    part = people(person=[person])
    assert [finding.score for finding in part.classify(fold("例田想子の写真"))] == [1.0, 0.0]
    assert [finding.score for finding in part.classify(fold("田想の写真"))] == [0.0, 0.0]


def test_no_finding_quotes_a_name() -> None:
    for part, text in ((people(), "Mayor Quenzel"), (rights_on(DAY), "Captain Glowmoth")):
        said = str([finding.facts for finding in part.classify(fold(text))]).lower()
        assert "quenzel" not in said
        assert "glowmoth" not in said


def rights_on(day: date) -> RightsHolders:
    return RightsHolders(RightsHolders.Options(data=(RIGHTS,)), lambda: day)


def test_rights_are_found_while_they_hold() -> None:
    def found(text: str, day: date = DAY) -> float:
        (finding,) = rights_on(day).classify(fold(text))
        return finding.score

    assert found("a poster with Captain Glowmoth") == 1.0
    assert found("eine Gluhmotte im Licht") == 1.0
    assert found("a captain and a moth") == 0.0
    assert found("a pebble on the beach", date(2026, 6, 30)) == 0.0
    assert found("the Pebble logo", date(2026, 6, 30)) == 1.0
    assert found("the Pebble logo", date(2026, 7, 1)) == 0.0
    assert found("captain glowmoth", date(2025, 12, 31)) == 0.0


def test_protected_pictures_are_found_while_they_hold() -> None:
    card = Path(findings.__file__).parent / "data" / "hashes" / "test_card.png"
    pixels = np.array(Image.open(card).convert("RGB"))
    days = iter([date(2026, 1, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)])
    day = [next(days)]
    part = ProtectedPictures(ProtectedPictures.Options(data=(RIGHTS,)), lambda: day[0])

    def look() -> Finding:
        (finding,) = part.classify(pixels, Stage.OUTPUT_IMAGE)
        return finding

    found = look()
    assert (found.classifier, found.category, dict(found.facts)["entry"]) == (
        "rights_holders",
        "intellectual_property",
        "r-3.0",
    )
    assert found.score > 0.75
    for expected in (False, True, True):
        day[0] = next(days)
        assert (look().score > 0.75) is expected


word = st.text("abcdefghijklmnopqrstuvwxyzäöüéñ", min_size=3, max_size=9)


@given(st.lists(word, min_size=1, max_size=3), st.lists(word, max_size=4), st.lists(word, max_size=4))
def test_a_name_is_found_wherever_it_stands(name: list[str], before: list[str], after: list[str]) -> None:
    index = NameIndex("test")
    index.add(7, (" ".join(name),), "e")
    assert index.find(fold(" ".join([*before, *name, *after]))) == {7}
    assert index.find(fold(" ".join([*before, *name, *after]).upper())) == {7}


def changed(table: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A deep copy with one place replaced, or removed where `value` is None."""
    copied = copy.deepcopy(table)
    place: Any = copied
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied


@pytest.mark.parametrize(
    ("part", "table", "where"),
    [
        (NamedPeople, changed(PEOPLE, ("person", 0, "basis"), "famous"), "person.0.basis"),
        (NamedPeople, changed(PEOPLE, ("person", 0, "record"), None), "person.0.record"),
        (NamedPeople, changed(PEOPLE, ("person", 0, "consent", 0, "until"), None), "consent.0.until"),
        (NamedPeople, changed(PEOPLE, ("person", 0, "names"), []), "person.0.names"),
        (NamedPeople, changed(PEOPLE, ("person", 0, "names"), ["Al"]), "entry 'p-1' has a name"),
        (NamedPeople, changed(PEOPLE, ("person", 1, "id"), "p-1"), "two entries have the id 'p-1'"),
        (NamedPeople, changed(PEOPLE, ("person", 1, "until"), date(2026, 1, 1)), "`until` lies before `from`"),
        (NamedPeople, changed(PEOPLE, ("person",), []), "people or a term list are missing"),
        (NamedPeople, changed(PEOPLE, ("purpose", 0, "score"), 0.2), "purpose.0.score"),
        (NamedPeople, changed(PEOPLE, ("purpose", 1, "id"), "satire"), "two entries have the id 'satire'"),
        (RightsHolders, changed(RIGHTS, ("right", 0, "proof"), None), "right.0.proof"),
        (RightsHolders, changed(RIGHTS, ("right", 0, "from"), None), "right.0.from"),
        (RightsHolders, changed(RIGHTS, ("right", 0, "appeal"), None), "right.0.appeal"),
        (RightsHolders, changed(RIGHTS, ("right", 0, "names"), None), "give `names` or `pictures`"),
        (RightsHolders, changed(RIGHTS, ("right", 2, "pictures"), ["00"]), "right.2.pictures.0"),
        (RightsHolders, changed(RIGHTS, ("right",), RIGHTS["right"][2:]), "no right has `names`"),
        (ProtectedPictures, changed(RIGHTS, ("right",), RIGHTS["right"][:2]), "no right has `pictures`"),
    ],
)
def test_a_malformed_register_names_its_place_and_no_person(part: Any, table: dict[str, Any], where: str) -> None:
    data = (table, WORDS) if part is NamedPeople else (table,)
    with pytest.raises(PartUnusable) as raised:
        part(part.Options(data=data))
    assert where in str(raised.value)
    assert raised.value.remedy
    assert "Quenzel" not in str(raised.value)
    assert "Glowmoth" not in str(raised.value)


def test_people_without_a_list_of_intimate_words_are_refused() -> None:
    for data in ((PEOPLE,), (WORDS,), (PEOPLE, {"language": "xx", "version": "1"})):
        with pytest.raises(PartUnusable):
            NamedPeople(NamedPeople.Options(data=data))

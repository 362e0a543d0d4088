"""A guard decides about what leaves the first classifier unsure, and about nothing else; silent, it passes nothing."""

import json
from collections.abc import Iterator

import pytest

from tests.moderation.tiny_guards import save_naming_guard
from tests.walk.dialogues import Answer, OpenAI
from tests.walk.house import POLICY, House
from tests.walk.switched_parts import SwitchedGuard, switched

CALM, HARSH, UNREADABLE = "the cat", "a rifle", "maybe"
GUARD = """
[[classifier]]
kind = "prompt"
part = "switched_guard"
options = { model = "MODEL", sha256 = "DIGEST", family = "llama_guard_3" }
asked = { after = "switched_words", from = 0.60, to = 0.90, seconds = 1 }

[levels.sure]
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("guarded")
    answers = {CALM: "safe", "a cat": "safe", HARSH: "unsafe\nS9", "the rifle": "unsafe\nS9", UNREADABLE: "yes"}
    digest = save_naming_guard(folder / "guard", answers=answers)
    table = GUARD.replace("MODEL", str(folder / "guard")).replace("DIGEST", digest)
    policy = folder / "policy.toml"
    policy.write_text(POLICY.read_text().replace("\n[levels.sure]\n", table, 1))
    house = House(folder / "data", policy=str(policy), prompt_timeout_seconds=5)
    yield house
    house.close()


def asked(house: House, prompt: str, **moods: str) -> tuple[Answer, str, int]:
    """The outcome, what the log says of the guard, and how often it was asked."""
    before = SwitchedGuard.asked
    with switched(**moods):
        answer = OpenAI().ask(house, prompt)
    (last,) = house.rows("select leaf from log_entries order by idx desc limit 1")
    return answer, json.loads(last["leaf"])["second_stage"]["switched_guard"], SwitchedGuard.asked - before


def test_below_its_zone_the_guard_is_not_asked_and_the_log_says_so(guarded: House) -> None:
    answer, place, times = asked(guarded, HARSH)
    assert (answer.outcome, place, times) == ("delivered", "below", 0)


def test_inside_its_zone_the_guard_decides(guarded: House) -> None:
    calm, place, times = asked(guarded, CALM, switched_words="finds:weapons=0.7")
    assert (calm.outcome, place, times) == ("delivered", "asked", 1)
    harsh, place, times = asked(guarded, HARSH, switched_words="finds:weapons=0.7")
    assert (harsh.outcome, place) == ("refused", "asked")
    assert times >= 1, "once for the words, and once for those they are put into"
    assert {reason["category"] for reason in harsh.reasons["reasons"]} >= {"weapons"}


def test_above_its_zone_the_guard_is_not_needed(guarded: House) -> None:
    answer, place, times = asked(guarded, CALM, switched_words="finds:weapons")
    assert (answer.outcome, place, times) == ("refused", "above", 0)


def test_a_sure_finding_that_the_policy_only_notes_does_not_spare_the_guard(guarded: House) -> None:
    answer, place, times = asked(guarded, HARSH, switched_words="finds:reserved_rights")
    assert (answer.outcome, place) == ("refused", "asked")
    assert times >= 1


@pytest.mark.parametrize("mood", ["raises", "hangs", "says_nothing"])
def test_a_guard_that_does_not_answer_passes_nothing(guarded: House, mood: str) -> None:
    answer, place, times = asked(guarded, CALM, switched_words="finds:weapons=0.7", switched_guard=mood)
    assert (answer.outcome, answer.code, answer.picture) == ("failed", "screening_unanswered", None)
    assert (place, times) == ("asked", 1)
    again, _, _ = asked(guarded, CALM, switched_words="finds:weapons=0.7")
    assert again.outcome == "delivered", "and afterwards all is well again"


def test_a_guard_that_answers_in_other_words_passes_nothing(guarded: House) -> None:
    answer, _, _ = asked(guarded, UNREADABLE, switched_words="finds:weapons=0.7")
    assert (answer.outcome, answer.code) == ("failed", "screening_unanswered")


def test_a_silent_first_classifier_is_refused_without_the_guard(guarded: House) -> None:
    answer, place, times = asked(guarded, CALM, switched_words="raises")
    assert (answer.outcome, answer.code, place, times) == ("failed", "screening_unanswered", "silent", 0)


def test_the_guard_is_listed_among_what_runs_here(guarded: House) -> None:
    health = guarded.send("GET", "/health", key=None).json()
    (shown,) = [each for each in health["classifiers"] if each["name"] == "switched_guard"]
    assert shown["version"].startswith("sha256:")

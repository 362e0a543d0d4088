"""Guard models answer in their own words only: here tiny ones of the real classes, trained and saved on the spot."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from moderation.classifiers import PromptClassifier
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.guards.families import Family, load_families
from moderation.local_weights import folder_digest
from moderation.prompt_guard import GuardPart
from moderation.text.folding import fold
from policies.findings import Category, Stage
from tests.moderation.tiny_guards import LIST_TEMPLATE, LLAMA_TEMPLATE, NAMING, save_guard, save_naming_guard

FAMILIES = load_families()


def guard(folder: Path, family: str | dict[str, Any] = "llama_guard_3", **options: Any) -> GuardPart:
    chosen = {"model": folder, "sha256": folder_digest(folder), "family": family} | options
    return GuardPart(GuardPart.Options(**chosen))


def scores(part: GuardPart, text: str) -> dict[str, float]:
    return {finding.category: finding.score for finding in part.classify(fold(text)) if finding.score > 0.05}


@pytest.fixture(scope="module")
def naming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("naming")
    save_naming_guard(folder)
    return folder


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like ShieldGemma: four questions a text."""
    folder = tmp_path_factory.mktemp("asking")
    family = FAMILIES["shieldgemma"]
    cases = [
        (prompt, text, "Yes" if "rifle" in text and "Dangerous" in prompt else "No")
        for prompt in (family.prompt.replace("{guideline}", each.guideline) for each in family.questions)
        for text in ("the cat", "a rifle")
    ]
    save_guard(folder, "gemma", cases)
    return folder


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like WildGuard: three lines, the first about the request."""
    folder = tmp_path_factory.mktemp("judging")
    prompt = FAMILIES["wildguard"].prompt
    save_guard(folder, "mistral", [(prompt, text, " yes" if "rifle" in text else " no") for text in NAMING])
    return folder


def test_a_guard_that_names_codes_is_reported_under_our_categories(naming: Path) -> None:
    part = guard(naming)
    assert scores(part, "a rifle") == {"weapons": pytest.approx(1.0, abs=0.2)}
    assert scores(part, "the syringe") == {"illicit": pytest.approx(1.0, abs=0.2)}
    assert set(scores(part, "the rifle the syringe")) == {"illicit", "weapons"}
    assert scores(part, "a cat") == {}
    assert {finding.category for finding in part.classify(fold("a cat"))} == part.categories


def test_a_template_that_takes_parts_is_filled_with_parts(tmp_path: Path) -> None:
    save_naming_guard(tmp_path, LIST_TEMPLATE)
    assert set(scores(guard(tmp_path), "a rifle")) == {"weapons"}


def test_a_guard_that_can_see_too_reads_words(tmp_path: Path) -> None:
    save_naming_guard(tmp_path, kind="llama4")
    part = guard(tmp_path, "llama_guard_4")
    assert set(scores(part, "a rifle")) == {"weapons"}
    assert scores(part, "a cat") == {}


def test_a_guard_that_is_asked_about_guidelines_is_asked_about_each(asking: Path) -> None:
    part = guard(asking, "shieldgemma")
    assert set(scores(part, "a rifle")) == {"weapons", "extremism", "self_harm"}
    assert scores(part, "the cat") == {}


def test_a_guard_that_names_nothing_is_reported_under_one_category(judging: Path) -> None:
    part = guard(judging, "wildguard")
    assert set(scores(part, "a rifle")) == {"illicit"}
    assert scores(part, "the cat") == {}


def test_findings_name_the_part_and_the_folder_it_was_read_from(naming: Path) -> None:
    part: PromptClassifier = guard(naming)
    for finding in part.classify(fold("a cat")):
        assert (finding.stage, finding.classifier) == (Stage.PROMPT, "guard")
        assert finding.version == f"sha256:{folder_digest(naming)}"


def test_every_shipped_family_maps_to_categories_and_names_its_source() -> None:
    assert set(FAMILIES) == {
        *(f"llama_guard_{number}" for number in (1, 2, 3, 4)),
        "shieldgemma",
        "wildguard",
    }
    for family in FAMILIES.values():
        assert family.source
        assert family.reported <= set(Category)
    assert [len(FAMILIES[f"llama_guard_{number}"].codes) for number in (1, 2, 3, 4)] == [6, 11, 14, 14]
    assert all("csae" in FAMILIES[f"llama_guard_{number}"].reported for number in (2, 3, 4))


# -- What is no answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("maybe", "not its own"),
        ("unsafe\nS99", "cannot be read"),
        ("unsafe", "cannot be read"),
        ("unsafe\nS9" + ",S2" * 40, "cannot be read"),  # cut
        ("unsafe\nmaybe S9", "cannot be read"),
    ],
)
def test_anything_but_its_own_answer_is_none(tmp_path: Path, said: str, reason: str) -> None:
    save_naming_guard(tmp_path, answers={"a cat": "safe", "a rifle": said})
    with pytest.raises(ClassifierFailed, match=reason):
        guard(tmp_path).classify(fold("a rifle"))


def test_weights_that_give_no_numbers_give_no_answer(naming: Path, tmp_path: Path) -> None:
    for file in naming.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(naming / "model.safetensors")
    broken = {name: torch.full_like(value, float("nan")) for name, value in weights.items()}
    save_file(broken, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ClassifierFailed):
        guard(tmp_path).classify(fold("a cat"))


def test_a_guard_in_two_minds_scores_in_between_and_can_be_calibrated(tmp_path: Path) -> None:
    cases = [("", "a cat", "safe"), ("", "the", "safe"), ("", "the", "unsafe\nS9"), ("", "a rifle", "unsafe\nS9")]
    save_guard(tmp_path, "llama", cases, template=LLAMA_TEMPLATE, lead="\n\n")
    plain = scores(guard(tmp_path), "the")["weapons"]
    assert 0.2 < plain < 0.8
    assert scores(guard(tmp_path, offset=2.0), "the")["weapons"] > plain
    assert scores(guard(tmp_path, offset=-2.0), "the")["weapons"] < plain
    sure, unsure = (scores(guard(tmp_path, temperature=t), "a rifle")["weapons"] for t in (1.0, 8.0))
    assert sure > unsure > 0.5


# -- Long texts ------------------------------------------------------------------------------------------------------


def test_what_stands_at_the_end_of_a_long_text_is_read(judging: Path) -> None:
    part = guard(judging, "wildguard", window_tokens=240)
    assert set(scores(part, "the cat a cat " * 60 + "a rifle")) == {"illicit"}


def test_a_text_of_too_many_windows_is_not_half_read(judging: Path) -> None:
    part = guard(judging, "wildguard", window_tokens=240, max_windows=2)
    with pytest.raises(ClassifierFailed, match="windows"):
        part.classify(fold("the cat a cat " * 100))


def test_a_prompt_without_room_for_a_text_reads_none(judging: Path) -> None:
    with pytest.raises(ClassifierFailed, match="alone takes"):
        guard(judging, "wildguard", window_tokens=128).classify(fold("a cat"))


# -- What does not start -----------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_the_pinned_one_stops_the_start(naming: Path, tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="pinned is 0000"):
        guard(naming, sha256="0" * 64)
    with pytest.raises(PartUnusable, match="no folder"):
        guard(naming, model=tmp_path / "nowhere")


def test_the_digest_is_the_one_that_the_command_line_prints(naming: Path) -> None:
    line = "sha256sum *.safetensors *.json *.txt *.model *.jinja 2>/dev/null | LC_ALL=C sort -k 2 | sha256sum"
    printed = subprocess.run(["bash", "-c", line], cwd=naming, capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == folder_digest(naming)


def test_weights_that_would_be_made_up_stop_the_start(naming: Path, tmp_path: Path) -> None:
    for file in naming.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(naming / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(PartUnusable, match=r"up_proj\.weight"):
        guard(tmp_path)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"family": "llama_guard_99"}, "llama_guard_99"),
        ({"family": {"unsafe": "bad", "safe": "good", "categories": ["hate"]}}, "no token of the model begins"),
        ({"family": "wildguard", "categories": {"S1": ["hate"]}}, "names no codes"),
    ],
)
def test_a_family_that_does_not_fit_stops_the_start(naming: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(PartUnusable, match=field):
        guard(naming, **options)


def test_a_guard_without_its_template_stops_the_start(judging: Path) -> None:
    with pytest.raises(PartUnusable, match="chat template"):
        guard(judging, "llama_guard_3")


@pytest.mark.parametrize(
    "change",
    [
        {"codes": {"S1": ["hate"]}},
        {"categories": []},
        {"prompt": "no place"},
        {"prompt": "{text} {guideline}"},
        {"safe": "Yes"},
        {"categories": ["rudeness"]},
    ],
)
def test_a_family_is_whole_or_refused(change: dict[str, Any]) -> None:
    fields = {"prompt": "Is this bad? {text}", "unsafe": "Yes", "safe": "No", "categories": ["hate"]}
    assert Family.model_validate(fields).reported == {"hate"}
    with pytest.raises(ValueError):
        Family.model_validate(fields | change)


def test_a_guard_of_ones_own_is_described_in_the_policy(judging: Path) -> None:
    published = FAMILIES["wildguard"]
    own = json.loads(published.model_dump_json()) | {"categories": ["harassment"]}
    assert set(scores(guard(judging, own), "a rifle")) == {"harassment"}


def test_codes_can_be_mapped_otherwise(naming: Path) -> None:
    part = guard(naming, categories={"S2": ["drugs"], "S9": ["weapons", "violence"]})
    assert part.categories == {"drugs", "weapons", "violence"}
    assert set(scores(part, "a rifle")) == {"weapons", "violence"}


def test_many_threads_get_the_same_answer(naming: Path) -> None:
    part = guard(naming)
    expected = part.classify(fold("a rifle"))
    answers: list[object] = []
    crowd = [threading.Thread(target=lambda: answers.append(part.classify(fold("a rifle")))) for _ in range(8)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert answers == [expected] * 8

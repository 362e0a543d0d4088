"""The other data that ships with the policies: image prompts and the hash list with its one test card."""

import tomllib

import numpy
from PIL import Image

from moderation.image_hash_match import PdqList
from policies.evaluate import evaluate
from policies.findings import Category, Stage
from policies.loading import load_policy
from policies.reading import SHIPPED
from policies.verdicts import Verdict


def test_image_prompts_name_categories_of_the_taxonomy_once_and_have_benign_neighbours() -> None:
    table = tomllib.loads((SHIPPED / "image_prompts.toml").read_text(encoding="utf-8"))
    named = [entry["id"] for entry in table["category"]]
    assert len(named) == len(set(named))
    assert set(named) <= set(Category)
    assert all(len(entry["prompts"]) >= 4 for entry in table["category"])
    sentences = [sentence for entry in table["category"] for sentence in entry["prompts"]] + table["benign"]["prompts"]
    assert len(sentences) == len(set(sentences))
    assert len(table["benign"]["prompts"]) >= 2 * max(len(entry["prompts"]) for entry in table["category"])


def test_the_shipped_test_card_is_recognised_and_held_for_its_rights_holder() -> None:
    policy = load_policy("demo")
    use = next(use for use in policy.classifiers if use.part == "pdq_list")
    part = PdqList(PdqList.Options.model_validate(dict(use.options)))
    card = Image.open(SHIPPED / "hashes" / "test_card.png").convert("RGB")
    for picture in (card, card.resize((300, 300)), card.transpose(Image.Transpose.ROTATE_90)):
        findings = part.classify(numpy.asarray(picture), Stage.INPUT_IMAGE)
        decision = evaluate(policy, findings, stage=Stage.INPUT_IMAGE, assurance=3)
        assert decision.verdict is Verdict.HOLD
        assert {reason.category for reason in decision.reasons} == {"intellectual_property"}


def test_every_shipped_policy_asks_for_the_test_card_at_the_same_place() -> None:
    for name in ("demo", "default", "strict"):
        use = next(use for use in load_policy(name).classifiers if use.part == "pdq_list")
        tables = use.options["data"]
        assert isinstance(tables, tuple)
        assert tables[0]["id"] == "fluxgate-test-card"

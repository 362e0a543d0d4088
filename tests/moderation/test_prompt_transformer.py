"""Any Hugging Face text classifier becomes a part; here a tiny real one, built and saved on the spot."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from moderation.errors import ClassifierFailed, PartUnusable
from moderation.local_weights import folder_digest
from moderation.prompt_transformer import TransformerPart
from moderation.screening import SecondStage, screen_prompt
from moderation.text.folding import FoldedText, fold
from policies.findings import Finding, Stage
from policies.zones import Zone

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "rifle", "syringe", "a", "the"]


def save_model(folder: Path, *, multi_label: bool, labels: tuple[str, ...] = ("SAFE", "GUNS", "DRUGS")) -> Path:
    """A one-layer BERT whose logits follow the words it reads: `rifle` raises GUNS, `syringe` raises DRUGS."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,  # large, so that so small a model learns in a second
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        problem_type="multi_label_classification" if multi_label or len(labels) == 1 else "single_label_classification",
    )
    torch.manual_seed(3)
    model = BertForSequenceClassification(config)
    train(model)
    model.save_pretrained(folder)
    return folder


def train(model: BertForSequenceClassification) -> None:
    cases = [
        ([7, 4], 0),
        ([8, 4], 0),
        ([7, 5], 1),
        ([8, 5], 1),
        ([7, 6], 2),
        ([8, 6, 7, 8], 2),
        ([5, 7, 8, 7], 1),
        ([7, 8], 0),
    ]
    ids = torch.tensor([[2, *case, 3] + [0] * (4 - len(case)) for case, _ in cases])
    targets = torch.tensor([label for _, label in cases])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    multi = model.config.problem_type == "multi_label_classification"
    for _ in range(150):
        logits = model(input_ids=ids, attention_mask=(ids > 0).long()).logits
        columns = model.config.num_labels
        if columns == 1:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], (targets > 0).float())
        elif multi:
            wanted = torch.nn.functional.one_hot(targets, columns).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        else:
            loss = torch.nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class Sure:
    """A first classifier, as sure as it is told."""

    name, version, categories = "first", "1", frozenset({"weapons"})

    def __init__(self, score: float) -> None:
        self._score = score

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (Finding("weapons", self._score, Stage.PROMPT, self.name, self.version),)


LABELS = {"GUNS": "weapons", "DRUGS": "drugs"}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("single"), multi_label=False)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("multi"), multi_label=True)


def part(folder: Path, **options: Any) -> TransformerPart:
    return TransformerPart(TransformerPart.Options(model=str(folder), label_map=LABELS, **options))


def scores(classifier: TransformerPart, text: str) -> dict[str, float]:
    return {finding.category: finding.score for finding in classifier.classify(fold(text))}


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_are_reported_under_our_categories(kind: str, request: pytest.FixtureRequest) -> None:
    classifier = part(request.getfixturevalue(kind))
    assert classifier.categories == {"weapons", "drugs"}
    assert scores(classifier, "a rifle")["weapons"] > 0.8
    assert scores(classifier, "a syringe")["drugs"] > 0.8
    assert max(scores(classifier, "a cat").values()) < 0.3


def test_findings_are_of_the_prompt_stage_and_name_the_part(single: Path) -> None:
    for finding in part(single, revision="abc").classify(fold("a cat")):
        assert (finding.stage, finding.classifier, finding.version) == (Stage.PROMPT, "transformer", "abc")


def test_sigmoid_scores_do_not_share_one_sum(multi: Path) -> None:
    classifier = part(multi)
    as_softmax = part(multi, multi_label=False)
    assert scores(classifier, "a rifle") != scores(as_softmax, "a rifle")


def test_a_word_at_the_end_of_a_long_text_is_read(single: Path) -> None:
    classifier = part(single)
    assert scores(classifier, "a cat the cat " * 100 + "a rifle")["weapons"] > 0.5


def test_a_text_of_too_many_windows_is_not_half_read(single: Path) -> None:
    with pytest.raises(ClassifierFailed, match="windows"):
        part(single, max_windows=2).classify(fold("a cat " * 500))


def test_a_disguised_word_is_read_undisguised(single: Path) -> None:
    assert scores(part(single), "a r.i.f.l.e")["weapons"] > 0.5


def test_the_empty_text_and_lone_surrogates_get_an_answer(single: Path) -> None:
    classifier = part(single)
    assert set(scores(classifier, "")) == set(scores(classifier, "\ud800 cat")) == {"weapons", "drugs"}


def test_many_threads_get_the_same_answer(single: Path) -> None:
    classifier = part(single)
    expected = classifier.classify(fold("a rifle"))
    answers: list[object] = []
    crowd = [threading.Thread(target=lambda: answers.append(classifier.classify(fold("a rifle")))) for _ in range(16)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert answers == [expected] * 16


def test_one_logit_is_read_with_a_sigmoid(tmp_path: Path) -> None:
    folder = save_model(tmp_path, multi_label=False, labels=("HARM",))
    classifier = TransformerPart(TransformerPart.Options(model=str(folder), label_map={"HARM": "weapons"}))
    assert scores(classifier, "a rifle")["weapons"] > 0.5 > scores(classifier, "a cat")["weapons"]


def test_an_unknown_label_stops_the_start(single: Path) -> None:
    with pytest.raises(PartUnusable, match="KNIVES"):
        TransformerPart(TransformerPart.Options(model=str(single), label_map={"KNIVES": "weapons"}))


def test_an_unknown_category_is_refused(single: Path) -> None:
    with pytest.raises(ValueError, match="label_map"):
        TransformerPart.Options(model=str(single), label_map={"GUNS": "guns"})


def test_a_head_that_would_be_made_up_stops_the_start(single: Path, tmp_path: Path) -> None:
    for file in single.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(single / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(PartUnusable, match=r"classifier\.weight"):
        part(tmp_path)


def test_a_folder_can_be_pinned(single: Path) -> None:
    digest = folder_digest(single)
    assert part(single, sha256=digest).version == f"sha256:{digest}"
    with pytest.raises(PartUnusable, match="pinned"):
        part(single, sha256="0" * 64)


def test_a_head_can_be_the_second_stage(single: Path) -> None:
    classifier = part(single)
    zone = Zone("first", 0.3, 0.9, seconds=60)
    second = [SecondStage(classifier, zone, frozenset({"weapons"}))]
    with ThreadPoolExecutor(8) as pool:
        for score, asked in ((0.1, False), (0.5, True)):
            first = Sure(score)
            found = screen_prompt([first], "a rifle", timeout_seconds=60, pool=pool, second=second)
            assert (max(each.score for each in found if each.category == "weapons") > 0.8) is asked


def test_a_folder_without_a_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="model"):
        part(tmp_path)

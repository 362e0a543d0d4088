"""The training data is what the model card says, the int8 graph computes what the network does, and training learns."""

import tomllib
from pathlib import Path

import numpy
import pytest
import torch

from moderation.errors import PartUnusable
from moderation.prompt_semantic import SHIPPED
from moderation.semantic.encoder import SentenceEncoder
from moderation.semantic.head import REFERENCE, Head, Line, load_head
from moderation.semantic.tokens import Tokens
from moderation.semantic.training import card, corpus, fitting, measure, written
from moderation.semantic.training.corpus import Text
from moderation.semantic.training.fitting import Diet, Setting
from moderation.semantic.training.measure import Measured
from moderation.semantic.training.network import Network, start
from moderation.semantic.training.reference import read_reference, write_reference
from policies.findings import OF_FILES_SENT_IN, OF_PROMPTS, Category

SENTENCES = ["a cat on a mat", "a man stabbing a rival, oil painting, 8k", "how do i bake bread?", "poster " * 90]


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


def small_diet() -> Diet:
    """Twenty-four pairs that differ in one word, and as many harmless singles."""
    things = ["cat", "car", "tree", "boat", "lamp", "door", "book", "bell", "coat", "ring", "cake", "kite"]
    things = [*things, *(f"old {thing}" for thing in things)]
    pairs = [
        Text(f"{'burn' if harmful else 'paint'} the {thing}", harmful, "violence", thing, False)
        for thing in things
        for harmful in (True, False)
    ]
    return Diet(pairs, [], [Text(f"the {thing} is here", False, "", "", False) for thing in things], [])


def test_training_moves_harmful_halves_above_their_twins(tokens: Tokens, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = start(tokens, attention=False)
    diet = small_diet()
    setting = Setting(learning_rate=1e-4, prototype_rate=5e-3, epochs=6)
    fitting.train(network, tokens, [diet] * 6, setting, tmp_path / "run.ckpt")
    values = network.logits(network.cosines([tokens.first_window(text.words) for text in diet.own])).detach()
    assert (values[0::2] > values[1::2]).float().mean() > 0.9


@pytest.mark.parametrize("attention", [False, True])
def test_the_int8_graph_follows_the_network(attention: bool, tokens: Tokens, tmp_path: Path) -> None:
    from moderation.semantic.training.export import write_onnx

    network = start(tokens, attention=attention)
    write_onnx(network, tmp_path / "model.onnx")
    encoder = SentenceEncoder(tmp_path)
    windows = [tokens.first_window(sentence) for sentence in SENTENCES]
    served = numpy.stack([encoder.window(ids) for ids in windows])
    assert numpy.corrcoef(served.ravel(), network.cosines(windows).numpy().ravel())[0, 1] > 0.99


def test_equal_networks_give_equal_files(tokens: Tokens, tmp_path: Path) -> None:
    from moderation.semantic.training.export import write_onnx

    network = start(tokens, attention=False)
    for name in ("one.onnx", "two.onnx"):
        write_onnx(network, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_the_reference_survives_being_written_and_read(tokens: Tokens, tmp_path: Path) -> None:
    network = start(tokens, attention=False)
    torch.manual_seed(1)
    with torch.no_grad():
        for rows in network.layers.parameters():
            rows.add_(torch.randn_like(rows) * 1e-3)
    write_reference(network, tmp_path / REFERENCE)
    head = Head(network.owners, 0.0, {"image_prompt": Line(), "chat_text": Line()})
    again = read_reference(tmp_path / REFERENCE, head)
    windows = [tokens.first_window(sentence) for sentence in SENTENCES]
    assert torch.allclose(again.cosines(windows), network.cosines(windows), atol=2e-3)


def test_the_shipped_reference_and_the_served_model_decide_alike(tokens: Tokens) -> None:
    head = load_head(SHIPPED)
    network = read_reference(SHIPPED / REFERENCE, head)
    encoder = SentenceEncoder(SHIPPED)
    texts = [text.words for text in written.validation()["descriptive"]]
    windows = [tokens.first_window(text) for text in texts]
    served = head.logits(numpy.stack([encoder.window(ids) for ids in windows]))
    assert numpy.corrcoef(served, head.logits(network.cosines(windows).numpy()))[0, 1] > 0.98


def test_frozen_layers_stay_as_published_and_the_others_move(tokens: Tokens, tmp_path: Path) -> None:
    network = start(tokens, attention=False)
    before = {name: rows.clone() for name, rows in network.layers.state_dict().items()}
    fitting.train(network, tokens, [small_diet()] * 2, Setting(frozen=2, masked=0.2), tmp_path / "run.ckpt")
    moved = {name for name, rows in network.layers.state_dict().items() if not torch.equal(rows, before[name])}
    assert {name.split(".")[1] for name in moved} == {"2", "3", "4", "5"}


def test_averaging_a_network_with_itself_changes_nothing(tokens: Tokens) -> None:
    network = start(tokens, attention=False)
    mean = fitting.averaged([network, network], Network(network.owners, len(network.safe), attention=False))
    assert all(torch.allclose(rows, mean.state_dict()[name]) for name, rows in network.state_dict().items())


def test_calibration_makes_a_score_of_one_half_the_even_chance() -> None:
    draw = numpy.random.default_rng(0)
    texts = [Text("", index % 2 == 0, "hate", "", True) for index in range(200)]
    cosines = draw.normal(size=(200, 4)).astype(numpy.float32) * 0.02
    cosines[::2, 0] += 0.1
    plain = Head(("hate", "gore"), 3.0, {"image_prompt": Line(), "chat_text": Line()})
    found = Measured(texts, cosines, cosines)
    head = measure.calibrated(plain, {"image_prompt": [found], "chat_text": [found]})
    harm = head.harm(cosines, "image_prompt")
    assert harm[::2].mean() > 0.7 > 0.3 > harm[1::2].mean()
    assert measure.ranking(head, found)["auroc"][0] > 0.9


def test_the_nearest_category_scores_the_probability_of_harm_and_the_others_less() -> None:
    draw = numpy.random.default_rng(3)
    head = Head(("hate", "hate", "gore"), 0.0, {"image_prompt": Line(), "chat_text": Line(2.0, 1.0)})
    cosines = draw.uniform(-1, 1, size=(50, 5)).astype(numpy.float32)
    scores = head.scores(cosines, "chat_text")
    assert numpy.allclose(scores.max(axis=1), head.harm(cosines, "chat_text"), atol=1e-5)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_there_are_hundreds_of_pairs_and_none_names_minors_as_a_category() -> None:
    files = ("twins", "twins_people", "twins_world")
    twins = [(corpus.HERE / f"{name}.toml").read_text() for name in files]
    scenes = tomllib.loads((corpus.HERE / "scenes.toml").read_text())
    topics = [topic for text in twins for category in tomllib.loads(text).values() for topic in category.values()]
    pairs = [pair for topic in topics for pair in topic["pairs"]]
    pairs += [pair for entry in scenes.values() for pair in entry.get("pairs", ())]
    assert len(pairs) >= 1300
    assert all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    assert Category.CSAE.value not in {*twins, *scenes, *tomllib.loads((corpus.HERE / "chat.toml").read_text())}


def test_definitions_name_only_categories_of_the_taxonomy() -> None:
    data = tomllib.loads((corpus.HERE / "definitions.toml").read_text())
    assert {Category(category) for category in data["unsafe"]} == set(Category) - OF_FILES_SENT_IN - OF_PROMPTS - {
        Category.EVASION
    }


def test_no_text_to_choose_by_is_trained_on() -> None:
    fed = [written.image_twins(1), *written.framed_acts(1), *written.chat(1), written.visible()]
    trained = {text.words for texts in [*fed, *written.foreign_twins().values()] for text in texts}
    measured = {
        text.words for kept in (written.validation(), written.blind()) for texts in kept.values() for text in texts
    }
    assert not trained & measured
    assert len(trained) > 4000


def test_every_frame_carries_ordinary_acts_too() -> None:
    pairs, ordinary = written.framed_acts(1)
    assert all(not text.harmful for text in ordinary)
    assert len(ordinary) > 150
    assert sum(text.harmful for text in pairs) * 2 == len(pairs)


def test_minilm_that_is_not_the_pinned_one_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="tokenizer"):
        SentenceEncoder(SHIPPED, tmp_path)


def test_a_card_without_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "MODEL_CARD.md").write_text("no marks")
    with pytest.raises(ValueError, match="marks"):
        card.update(tmp_path / "MODEL_CARD.md", {})
    assert (tmp_path / "MODEL_CARD.md").read_text() == "no marks"

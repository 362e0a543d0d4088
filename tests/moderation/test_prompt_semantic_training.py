"""The training data is what the model card says, and fitting a head does what it should, seed by seed."""

import tomllib

import numpy
import pytest

from moderation.semantic import corpus, measure
from moderation.semantic.corpus import Text
from moderation.semantic.fitting import Embedded, Setting, calibrate, train
from moderation.semantic.head import Head
from policies.findings import Category


def unit(rows: numpy.ndarray) -> numpy.ndarray:
    return (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(numpy.float32)


def made_up(seed: int, texts: int = 200) -> tuple[Head, Embedded, Embedded, numpy.ndarray]:
    """Pairs whose halves differ along one direction that the starting head does not know."""
    draw = numpy.random.default_rng(seed)
    scenes = draw.normal(size=(texts, 16))
    harmful, benign = scenes.copy(), scenes.copy()
    harmful[:, 0] += 3
    benign[:, 0] -= 3
    rows = unit(numpy.stack([harmful, benign], axis=1).reshape(-1, 16))
    labels = [Text("", bool(i % 2 == 0), "hate", f"pair{i // 2}", False) for i in range(2 * texts)]
    pairs = Embedded(tuple(labels), rows)
    plain = draw.normal(size=(texts, 16))
    plain[:, 0] -= 2
    unsafe, safe = draw.normal(size=(3, 16)), draw.normal(size=(3, 16))
    unsafe[:, 0] = safe[:, 0] = 0
    start = Head(unit(unsafe), unit(safe), ("hate", "hate", "gore"), 0.0)
    return start, pairs, pairs, unit(plain)


def test_fitting_ranks_what_the_untrained_head_cannot() -> None:
    start, scenes, copro, plain = made_up(1)
    fitted = train(start, scenes, copro, plain, Setting(0.01, 0.0, 0.2))
    _, unseen, _, _ = made_up(2)
    assert measure.auc_of(start, unseen.texts, unseen.vectors) < 0.9
    assert measure.auc_of(fitted, unseen.texts, unseen.vectors) > 0.97


def test_equal_seeds_give_equal_heads_and_the_anchor_keeps_them_near_the_start() -> None:
    start, scenes, copro, plain = made_up(1)
    once, again = (train(start, scenes, copro, plain, Setting(0.003, 0.0, 0.2)) for _ in range(2))
    held = train(start, scenes, copro, plain, Setting(0.003, 50.0, 0.2))
    assert numpy.array_equal(once.unsafe, again.unsafe)
    assert numpy.linalg.norm(held.unsafe - start.unsafe) < numpy.linalg.norm(once.unsafe - start.unsafe)


def test_calibration_makes_a_score_of_one_half_the_even_chance() -> None:
    start, scenes, copro, plain = made_up(1)
    fitted = train(start, scenes, copro, plain, Setting(0.01, 0.0, 0.2))
    harmful = scenes.vectors[[text.harmful for text in scenes.texts]]
    calibrated = calibrate(fitted, harmful, plain)
    assert calibrated.scores(harmful).max(axis=1).mean() > 0.8
    assert calibrated.scores(plain).max(axis=1).mean() < 0.2


def test_the_nearest_category_scores_the_probability_of_harm_and_the_others_less() -> None:
    start, scenes, _, _ = made_up(3)
    scores = start.scores(scenes.vectors)
    probability = 1 / (1 + numpy.exp(-start.logits(scenes.vectors)))
    assert numpy.allclose(scores.max(axis=1), probability, atol=1e-5)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_auc_counts_ties_as_half() -> None:
    assert measure.auc(numpy.array([2.0, 1.0]), numpy.array([1.0, 0.0])) == pytest.approx(0.875)


def test_there_are_at_least_120_scene_pairs_and_none_names_minors_as_a_category() -> None:
    data = tomllib.loads((corpus.HERE / "scenes.toml").read_text())
    pairs = [pair for entry in data.values() for pair in entry.get("pairs", ())]
    assert len(pairs) >= 120
    assert all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    assert Category.CSAE.value not in data
    assert Category.CSAE.value not in data["topics"]


def test_definitions_name_only_categories_of_the_taxonomy() -> None:
    data = tomllib.loads((corpus.HERE / "definitions.toml").read_text())
    assert {Category(category) for category in data["unsafe"]} == set(Category) - {Category.EVASION}


def test_whole_pairs_are_held_out_together() -> None:
    sides: dict[str, set[bool]] = {}
    for text in corpus.scenes():
        sides.setdefault(text.pair, set()).add(text.held_out)
    assert all(len(side) == 1 for side in sides.values())

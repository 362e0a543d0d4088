"""Measures a head: how well it ranks, what it refuses by mistake, what it catches. Pure; prints no text."""

from collections.abc import Mapping, Sequence

import numpy

from moderation.semantic.corpus import Text
from moderation.semantic.head import Array, Head

Labelled = tuple[Sequence[Text], Array]

FALSE_ALARMS = {"refuse": 0.001, "hold": 0.005, "flag": 0.01}
"""Share of plain held-out captions that may reach each verdict."""


def auc(positives: Array, negatives: Array) -> float:
    """Probability that a positive scores above a negative; ties count half. NaN-free: both must be non-empty."""
    ordered = numpy.sort(negatives)
    below = numpy.searchsorted(ordered, positives, "left") + numpy.searchsorted(ordered, positives, "right")
    return round(float(below.mean() / 2 / len(ordered)), 4)


def auc_of(head: Head, texts: Sequence[Text], vectors: Array) -> float:
    """AUC of the head's logit for harmful against harmless texts."""
    harmful = numpy.array([text.harmful for text in texts])
    values = head.logits(vectors)
    return auc(values[harmful], values[~harmful])


def report(
    head: Head,
    *,
    start: Head,
    rehearsal: Head,
    scenes: Labelled,
    copro: Labelled,
    captions: Labelled,
    nibbler: Labelled,
    others: Mapping[str, Labelled],
) -> dict[str, object]:
    """Everything that goes into evaluation.json.

    `start`: the untrained head. `rehearsal`: the chosen setting trained without the held-out `scenes`.
    """
    plain = head.scores(captions[1]).max(axis=1)
    thresholds = {name: _threshold(plain, rate) for name, rate in FALSE_ALARMS.items()}
    benign = {"captions_held_out": plain} | {
        name: head.scores(vectors).max(axis=1) for name, (_, vectors) in others.items() if name != "surge"
    }
    harmful = {
        name: head.scores(vectors[[text.harmful for text in texts]]).max(axis=1)
        for name, (texts, vectors) in {"nibbler": nibbler, "coprov2_held_out": copro, "scenes": scenes}.items()
    }
    twins = {
        name: head.scores(vectors[[not text.harmful for text in texts]]).max(axis=1)
        for name, (texts, vectors) in {"nibbler": nibbler, "coprov2_held_out": copro, "scenes": scenes}.items()
    }
    surge_texts, surge_vectors = others["surge"]
    return {
        "auc": {
            "nibbler": auc_of(head, *nibbler),
            "nibbler_rehearsal": auc_of(rehearsal, *nibbler),
            "nibbler_untrained": auc_of(start, *nibbler),
            "surge": auc_of(head, surge_texts, surge_vectors),
            "surge_untrained": auc_of(start, surge_texts, surge_vectors),
            "coprov2_held_out": auc_of(head, *copro),
            "scenes_held_out_rehearsal": auc_of(rehearsal, *scenes),
            "scenes_held_out_untrained": auc_of(start, *scenes),
        },
        "thresholds": {name: round(value, 4) for name, value in thresholds.items()},
        "benign_at_or_above": _table(benign, thresholds),
        "harmful_at_or_above": _table(harmful, thresholds),
        "benign_twins_at_or_above": _table(twins, thresholds),
        "texts": {
            name: len(texts)
            for name, (texts, _) in {"scenes": scenes, "copro": copro, "captions": captions, **others}.items()
        },
        "categories": _categories(rehearsal, scenes, captions) | {"evaluated": "rehearsal head, held-out scenes"},
    }


def _threshold(scores: Array, rate: float) -> float:
    """The smallest score such that no more than `rate` of `scores` reach it."""
    ordered = numpy.sort(scores)[::-1]
    allowed = int(rate * len(ordered))
    return float(numpy.nextafter(ordered[allowed], numpy.float32(2)))


def _table(sets: Mapping[str, Array], thresholds: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {
        name: {verdict: round(float((scores >= value).mean()), 4) for verdict, value in thresholds.items()}
        for name, scores in sets.items()
    }


def _categories(head: Head, scenes: Labelled, captions: Labelled) -> dict[str, object]:
    """Per category: AUC of its own score for its held-out harmful scenes against captions and benign scenes; naming."""
    texts, vectors = scenes
    scores, plain = head.scores(vectors), head.scores(captions[1])
    calm = scores[[not text.harmful for text in texts]]
    found: dict[str, object] = {}
    for column, category in enumerate(head.categories):
        chosen = [text.harmful and text.category == category for text in texts]
        if not any(chosen):
            continue
        own = scores[chosen]
        found[category] = {
            "texts": len(own),
            "auc_against_captions": auc(own[:, column], plain[:, column]),
            "auc_against_benign_scenes": auc(own[:, column], calm[:, column]),
            "named_first": round(float((own.argmax(axis=1) == column).mean()), 4),
        }
    return found

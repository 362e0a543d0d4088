"""Measures a head: how well it ranks, what it refuses by mistake, what it catches. Pure; prints no text."""

from collections.abc import Mapping, Sequence

import numpy

from moderation.semantic.corpus import Text
from moderation.semantic.head import Array, Head

Labelled = tuple[Sequence[Text], Array]

FALSE_ALARMS = {"refuse": 0.0015, "hold": 0.005, "flag": 0.01}
"""Share of the held-out harmless English texts, taken together, that may reach each threshold."""


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
    pairs: Mapping[str, Labelled],
    surge: Labelled,
    benign: Mapping[str, Array],
    measured: Mapping[str, Array],
) -> dict[str, object]:
    """Everything that goes into evaluation.json.

    `start`: the untrained head. `rehearsal`: the chosen setting trained without the held-out `pairs["scenes"]`.
    `benign`: held-out harmless texts, of which those in English set the thresholds. `measured`: harmless
    texts that decide nothing.
    """
    strongest = {name: head.scores(vectors).max(axis=1) for name, vectors in {**benign, **measured}.items()}
    english = numpy.concatenate([strongest[name] for name in ("captions", "own_english", "own_everyday")])
    thresholds = {verdict: _threshold(english, rate) for verdict, rate in FALSE_ALARMS.items()}
    halves = {
        harmful: {
            name: head.scores(vectors[[text.harmful is harmful for text in texts]]).max(axis=1)
            for name, (texts, vectors) in pairs.items()
        }
        for harmful in (True, False)
    }
    scenes, nibbler = pairs["scenes"], pairs["nibbler"]
    return {
        "auc": {
            "nibbler": auc_of(head, *nibbler),
            "nibbler_rehearsal": auc_of(rehearsal, *nibbler),
            "nibbler_untrained": auc_of(start, *nibbler),
            "surge": auc_of(head, *surge),
            "surge_untrained": auc_of(start, *surge),
            "coprov2_held_out": auc_of(head, *pairs["coprov2"]),
            "scenes_held_out_rehearsal": auc_of(rehearsal, *scenes),
            "scenes_held_out_untrained": auc_of(start, *scenes),
        },
        "thresholds": {name: round(value, 4) for name, value in thresholds.items()},
        "benign_at_or_above": _table({"english_held_out": english, **strongest}, thresholds),
        "harmful_at_or_above": _table(halves[True], thresholds),
        "benign_twins_at_or_above": _table(halves[False], thresholds),
        "note": "scenes in the two tables above were trained on; the rehearsal head below never saw them",
        "rehearsal_scenes": _scenes(rehearsal, scenes, head, thresholds),
        "texts": {name: len(scores) for name, scores in strongest.items()} | {k: len(v[0]) for k, v in pairs.items()},
        "categories": _categories(rehearsal, scenes, benign["captions"]),
    }


def _scenes(rehearsal: Head, scenes: Labelled, head: Head, thresholds: Mapping[str, float]) -> dict[str, object]:
    """Shares of unseen scenes at or above the thresholds, with the final head's calibration."""
    texts, vectors = scenes
    calibrated = Head(rehearsal.unsafe, rehearsal.safe, rehearsal.owners, rehearsal.bias, head.slope, head.offset)
    scores = calibrated.scores(vectors).max(axis=1)
    harmful = numpy.array([text.harmful for text in texts])
    return {
        "harmful": _table({"": scores[harmful]}, thresholds)[""],
        "twins": _table({"": scores[~harmful]}, thresholds)[""],
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


def _categories(head: Head, scenes: Labelled, captions: Array) -> dict[str, object]:
    """Per category: AUC of its own score for its held-out harmful scenes against captions and benign scenes; naming."""
    texts, vectors = scenes
    scores, plain = head.scores(vectors), head.scores(captions)
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

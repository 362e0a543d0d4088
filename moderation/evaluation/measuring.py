"""Measures subjects on labelled texts: ranking, thresholds, per category and language, disguises, latency.

The result is plain data (it becomes evaluation.json as it is) and holds figures only, never a text.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy

from moderation.evaluation import figures
from moderation.evaluation.disguises import DISGUISES
from moderation.evaluation.figures import Scores, Share
from moderation.evaluation.labelled import Labelled
from moderation.evaluation.scorers import Scored, Subject, score

FALSE_ALARMS = (0.001, 0.005, 0.01, 0.05)
DISGUISED_TEXTS = 100
CURVE_POINTS = 60
BINS = 20

Watch = Callable[[Sequence[str]], Sequence[str]]
Figures = dict[str, Any]


def measure(
    subjects: Sequence[Subject],
    texts: Sequence[Labelled],
    *,
    wanted: Sequence[float] = FALSE_ALARMS,
    disguised: int = DISGUISED_TEXTS,
    watch: Callable[[str], Watch] = lambda _: lambda texts: texts,
) -> Figures:
    """Figures of every subject on the same texts, and of the first two beside each other.

    `wanted`: false-alarm rates to propose thresholds for. `disguised`: how many refused harmful texts the evasion
    suite tries again, 0 for none. `watch(what)` gives a wrapper for progress bars. Raises `ValueError` for no texts.
    """
    if not texts:
        raise ValueError("nothing to measure on")
    scored = {
        subject.name: score(subject, [text.text for text in texts], watch(f"scoring with {subject.name}"))
        for subject in subjects
    }
    found: Figures = {
        "texts": {"harmful": sum(text.harmful for text in texts), "harmless": sum(not text.harmful for text in texts)},
        "subjects": {
            subject.name: _subject(subject, scored[subject.name], texts, wanted, disguised, watch)
            for subject in subjects
        },
    }
    if len(subjects) > 1:
        found["comparison"] = _comparison(subjects[0], subjects[1], scored, texts)
    return found


def _subject(
    subject: Subject,
    scored: Scored,
    texts: Sequence[Labelled],
    wanted: Sequence[float],
    disguised: int,
    watch: Callable[[str], Watch],
) -> Figures:
    harmful = numpy.array([text.harmful for text in texts])
    found: Figures = {"threshold": subject.threshold, "policy": subject.digest}
    found["all"] = group(scored.scores[harmful], scored.scores[~harmful], subject.threshold)
    if harmful.any() and not harmful.all():
        positives, negatives = scored.scores[harmful], scored.scores[~harmful]
        refused, caught = figures.roc(positives, negatives)
        found["roc"] = _thinned(refused, caught)
        found["proposed"] = [
            {"wanted": rate} | _at(positives, negatives, figures.threshold_for(negatives, rate)) for rate in wanted
        ]
    found["histogram"] = {
        name: numpy.histogram(scored.scores[chosen], BINS, (0.0, 1.0))[0].tolist()
        for name, chosen in (("harmful", harmful), ("harmless", ~harmful))
    }
    for title, key in (("sources", "source"), ("languages", "language"), ("categories", "category")):
        found[title] = _groups(key, scored, texts, harmful, subject.threshold)
    found["latency_ms"] = {
        name: round(float(numpy.quantile(scored.milliseconds, share)), 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    found["evasion"] = evasion(subject, scored, texts, disguised, watch) if disguised else {}
    return found


def group(positives: Scores, negatives: Scores, threshold: float) -> Figures:
    """Figures of one group of texts at the subject's threshold; areas only where there are both kinds."""
    found: Figures = _at(positives, negatives, threshold)
    if len(positives) and len(negatives):
        for name, area in zip(("auroc", "auprc"), figures.areas(positives, negatives), strict=True):
            found[name] = {"value": round(area.value, 4), "interval": [round(area.low, 4), round(area.high, 4)]}
    return found


def _at(positives: Scores, negatives: Scores, threshold: float) -> Figures:
    at = figures.at_threshold(positives, negatives, threshold)
    return {
        "threshold": round(at.threshold, 6),
        "recall": _share(at.recall),
        "refused_harmless": _share(at.refused),
        "precision": _share(at.precision),
        "f1": round(at.f1, 4),
    }


def _share(share: Share) -> Figures:
    low, high = share.interval
    return {"value": round(share.value, 4), "interval": [round(low, 4), round(high, 4)], "of": share.of}


def _groups(
    key: str, scored: Scored, texts: Sequence[Labelled], harmful: numpy.ndarray[Any, Any], threshold: float
) -> Figures:
    """By value of a column. A category's harmless texts are its own twins where there are any, else all harmless."""
    values = numpy.array([getattr(text, key) for text in texts])
    found: Figures = {}
    for value in sorted(set(values.tolist()) - {""}):
        own = values == value
        negatives = own & ~harmful
        if key == "category" and not negatives.any():
            negatives = ~harmful
        found[value] = group(scored.scores[own & harmful], scored.scores[negatives], threshold)
        if key == "category" and value in scored.categories and (own & harmful).any():
            best = numpy.array(
                [
                    max(scored.categories, key=lambda name: scored.categories[name][index])
                    for index in numpy.flatnonzero(own & harmful)
                ]
            )
            found[value]["named_first"] = _share(Share(int((best == value).sum()), len(best)))
    return found


def evasion(
    subject: Subject, scored: Scored, texts: Sequence[Labelled], count: int, watch: Callable[[str], Watch]
) -> Figures:
    """Recall lost by each disguise on up to `count` harmful texts that the subject refuses undisguised."""
    caught = [
        text.text
        for text, value in zip(texts, scored.scores, strict=True)
        if text.harmful and value >= subject.threshold
    ]
    chosen = random.Random(0).sample(caught, min(count, len(caught)))
    found: Figures = {}
    for name in watch(f"disguises for {subject.name}")(list(DISGUISES)) if chosen else ():
        kept = sum(subject.read(DISGUISES[name](text)).score >= subject.threshold for text in chosen)
        found[name] = {"recall_lost": _share(Share(len(chosen) - kept, len(chosen)))}
    return found


def _comparison(first: Subject, second: Subject, scored: Mapping[str, Scored], texts: Sequence[Labelled]) -> Figures:
    one, two = (scored[each.name].scores >= each.threshold for each in (first, second))
    harmful = numpy.array([text.harmful for text in texts])
    return {
        "first": first.name,
        "second": second.name,
        "equal_decisions": _share(Share(int((one == two).sum()), len(texts))),
        "harmful_only_first": int((one & ~two & harmful).sum()),
        "harmful_only_second": int((two & ~one & harmful).sum()),
        "harmless_only_first": int((one & ~two & ~harmful).sum()),
        "harmless_only_second": int((two & ~one & ~harmful).sum()),
    }


def _thinned(refused: Iterable[float], caught: Iterable[float]) -> list[list[float]]:
    points = [[round(x, 4), round(y, 4)] for x, y in zip(refused, caught, strict=True)]
    step = max(1, len(points) // CURVE_POINTS)
    return [*points[:-1:step], points[-1]]

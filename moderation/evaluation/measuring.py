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
    zone: tuple[float, float] | None = None,
    watch: Callable[[str], Watch] = lambda _: lambda texts: texts,
) -> Figures:
    """Figures of every subject on the same texts, and of the first two beside each other.

    `wanted`: false-alarm rates to propose thresholds for. `disguised`: how many refused harmful texts the evasion
    suite tries again, 0 for none. `zone`: scores [low, high) in which a second classifier would be asked; counted if
    given. `watch(what)` gives a wrapper for progress bars. Raises `ValueError` for no texts.
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
    if zone:
        for name, each in scored.items():
            found["subjects"][name]["zone"] = {"scores": list(zone)} | _asked(each.scores, texts, zone)
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
        if not subject.steps:
            found["proposed"] = [
                {"wanted": rate} | _at(positives, negatives, figures.threshold_for(negatives, rate)) for rate in wanted
            ]
    if not subject.steps and not harmful.all():
        found["proposed_by_category"] = {
            name: {str(rate): figures.threshold_for(scores[~harmful], rate) for rate in wanted}
            for name, scores in scored.categories.items()
        }
    if subject.steps:
        found["verdicts"] = _verdicts(subject.steps, scored.scores, harmful)
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


def _asked(scores: Scores, texts: Sequence[Labelled], zone: tuple[float, float]) -> Figures:
    """Shares of the texts in the zone, by source and label."""
    inside = (scores >= zone[0]) & (scores < zone[1])
    found: dict[str, dict[str, Share]] = {}
    for title in ("all", *sorted({text.source for text in texts} - {""})):
        for kind, harmful in (("harmful", True), ("harmless", False)):
            own = [n for n, text in enumerate(texts) if text.harmful is harmful and title in ("all", text.source)]
            found.setdefault(title, {})[kind] = Share(int(inside[own].sum()), len(own))
    return {"asked": {title: {kind: _share(each) for kind, each in kinds.items()} for title, kinds in found.items()}}


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


def _verdicts(steps: Sequence[str], scores: Scores, harmful: numpy.ndarray[Any, Any]) -> Figures:
    """Per step, the shares of harmful and harmless texts that end there."""
    reached = numpy.rint(scores * (len(steps) - 1)).astype(int)
    return {
        step: {
            name: _share(Share(int((reached[chosen] == number).sum()), int(chosen.sum())))
            for name, chosen in (("harmful", harmful), ("harmless", ~harmful))
        }
        for number, step in enumerate(steps)
    }


def _comparison(first: Subject, second: Subject, scored: Mapping[str, Scored], texts: Sequence[Labelled]) -> Figures:
    """The two decision by decision; `differing` names the texts by file and row, never by what they say."""
    one, two = (scored[each.name].scores >= each.threshold for each in (first, second))
    harmful = numpy.array([text.harmful for text in texts])
    found: Figures = {
        "first": first.name,
        "second": second.name,
        "equal_decisions": _share(Share(int((one == two).sum()), len(texts))),
    }
    for name, chosen in (("harmful", harmful), ("harmless", ~harmful)):
        only = [int((mine & ~other & chosen).sum()) for mine, other in ((one, two), (two, one))]
        found[f"{name}_only_first"], found[f"{name}_only_second"] = only
        found[f"{name}_by_chance"] = round(figures.by_chance(*only), 6)
    found["differing"] = [
        {
            "file": texts[index].source,
            "row": texts[index].row,
            "harmful": texts[index].harmful,
            "category": texts[index].category,
            "language": texts[index].language,
            "first": round(float(scored[first.name].scores[index]), 4),
            "second": round(float(scored[second.name].scores[index]), 4),
        }
        for index in numpy.flatnonzero(one != two).tolist()
    ]
    return found


def _thinned(refused: Iterable[float], caught: Iterable[float]) -> list[list[float]]:
    points = [[round(x, 4), round(y, 4)] for x, y in zip(refused, caught, strict=True)]
    step = max(1, len(points) // CURVE_POINTS)
    return [*points[:-1:step], points[-1]]

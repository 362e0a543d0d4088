"""Measures the small CLIP as the policy uses it, and proposes the policy's thresholds.

    python -m inference.demo.training.datasets --count 2400 --seed 931 --held-out --out held_out.npz
    python -m inference.demo.training.datasets --count 4800 --seed 932 --out fresh.npz
    python -m moderation.demo_clip.training.evaluate --glyphs inference/demo/training/glyphs.json \\
        --prompts policies/data/pictogram_prompts.toml --choose fresh.npz --measure held_out=held_out.npz --out …

1. Choose two thresholds on half of the scenes of `--choose`: the scores that a given share of harmless pictures, or of
   pictures with nothing in them, reach in any category. The other half, as it is, spoiled and made into fog, and every
   `--measure` file only measure.
2. Per category: recall, precision and false alarms at both thresholds, area under the curve, recall by company.
3. Per kind of thing, alcohol and gambling among them, on which no policy rules: the same by what share of all glyphs'
   sentences the kind's own have, at 2 % false alarms; and what a lone subject of each kind is taken for, as a picture.
4. Per glyph: how often it is found among the glyphs nearest to the picture.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import numpy.typing
import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import track

from moderation.demo_clip.training.figures import draw_confusion, draw_curve
from moderation.demo_clip.training.judge import glyph_shares
from moderation.demo_clip.training.nothing import nothing
from moderation.demo_clip.training.pictures import SIDE, Words, read_words, spoiled
from moderation.image_clip import Clip
from moderation.open_clip_models import open_model
from policies.findings import Stage

HERE = Path(__file__).parents[1]

LEVELS: Mapping[str, float] = {"flag": 0.04, "refuse": 0.015}
"""Share of harmless pictures that may reach each verdict of the policy."""

NOTHING_LEVELS: Mapping[str, float] = {"flag": 0.04, "refuse": 0.005}
"""The same of pictures with nothing in them."""

_KIND_ALARMS = 0.02
"""Share of pictures without a kind of thing that may be taken for one with it."""

Scores = dict[str, numpy.typing.NDArray[numpy.float64]]
Pictures = tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.int16]]


def category_scores(clip: Clip, images: numpy.typing.NDArray[numpy.uint8]) -> Scores:
    """What the part reports for each picture, by category."""
    rows = [
        {finding.category: finding.score for finding in clip.classify(image, Stage.OUTPUT_IMAGE)}
        for image in track(images, description="screening")
    ]
    return {category: numpy.array([row[category] for row in rows]) for category in sorted(clip.categories)}


def labels(
    glyphs: numpy.typing.NDArray[numpy.int16], words: list[Words]
) -> dict[str, numpy.typing.NDArray[numpy.bool_]]:
    """Which pictures hold something of each category of the table of glyphs."""
    kinds = numpy.array([each.category or "" for each in words] + [""])  # the last one for -1, "no further subject"
    return {kind: (kinds[glyphs] == kind).any(axis=1) for kind in sorted({*kinds.tolist()} - {""})}


def report(
    scores: Scores, truth: Mapping[str, Any], company: numpy.typing.NDArray[numpy.int_], cuts: Mapping[str, float]
) -> dict[str, Any]:
    """Figures of one set. `company`: subjects in each picture. Harmless: nothing of any screened category."""
    harmless = ~numpy.logical_or.reduce([truth[category] for category in scores])
    highest = numpy.maximum.reduce(list(scores.values()))
    result: dict[str, Any] = {
        "pictures": len(harmless),
        "harmless": int(harmless.sum()),
        "false_alarms": {level: _share(highest[harmless] >= cut) for level, cut in cuts.items()},
        "any_of_them": {level: _share(highest[~harmless] >= cut) for level, cut in cuts.items()},
        "categories": {},
        "false_alarms_of": {
            other: {level: _share(highest[harmless & truth[other]] >= cut) for level, cut in cuts.items()}
            for other in truth
            if other not in scores
        },
    }
    for category, score in scores.items():
        there = truth[category]
        result["categories"][category] = {
            "pictures": int(there.sum()),
            "auc": _auc(score[there], score[~there]),
            "recall": {level: _share(score[there] >= cut) for level, cut in cuts.items()},
            "precision": {level: _share(there[score >= cut]) for level, cut in cuts.items()},
            "recall_at_refuse_by_subjects": {
                str(number): _share(score[there & (company == number)] >= cuts["refuse"]) for number in (1, 2, 3)
            },
        }
    return result


def choose(scores: Scores, truth: Mapping[str, Any], of_nothing: Scores) -> dict[str, float]:
    """The lowest scores that keep to both `LEVELS` and `NOTHING_LEVELS`, rounded up."""
    harmless = ~numpy.logical_or.reduce([truth[category] for category in scores])
    highest = numpy.maximum.reduce([score[harmless] for score in scores.values()])
    empty = numpy.maximum.reduce(list(of_nothing.values()))
    return {
        level: float(numpy.ceil(max(_reached(highest, share), _reached(empty, NOTHING_LEVELS[level])) * 1e4) / 1e4)
        for level, share in LEVELS.items()
    }


def _reached(scores: numpy.typing.NDArray[numpy.float64], share: float) -> float:
    return float(numpy.quantile(scores, 1 - share))


def _read(file: Path) -> Pictures:
    with numpy.load(file) as data:
        return data["images"], data["glyphs"]


def _halves(pictures: Pictures) -> tuple[Pictures, Pictures]:
    images, glyphs = pictures
    half = len(images) // 2
    return (images[:half], glyphs[:half]), (images[half:], glyphs[half:])


def _spoiled(images: numpy.typing.NDArray[numpy.uint8]) -> numpy.typing.NDArray[numpy.uint8]:
    """Every picture blurred, recoloured or dirtied as in training, at the model's own side."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2)
    numbers, parts = torch.Generator().manual_seed(9), []
    for start in range(0, len(values), 64):
        small = F.interpolate(values[start : start + 64].float() / 255.0, (SIDE, SIDE), mode="area")
        parts.append((spoiled(small, numbers) * 255.0).round().byte())
    return numpy.ascontiguousarray(torch.cat(parts).permute(0, 2, 3, 1).numpy())


def _fog(pictures: Pictures, words: list[Words]) -> Pictures:
    """A third as many pictures, in which there is nothing, at the model's own side."""
    images, glyphs = pictures
    harmless = ~numpy.logical_or.reduce(list(labels(glyphs, words).values()))
    small = F.interpolate(torch.from_numpy(images).permute(0, 3, 1, 2).float(), (SIDE, SIDE), mode="area")
    made = nothing(small.permute(0, 2, 3, 1).byte().numpy(), harmless, len(images) // 3, seed=10)
    return made, numpy.full((len(made), glyphs.shape[1]), -1, numpy.int16)


def _share(hits: numpy.typing.NDArray[Any]) -> float | None:
    return round(float(hits.mean()), 4) if len(hits) else None


def _auc(there: numpy.typing.NDArray[Any], absent: numpy.typing.NDArray[Any]) -> float | None:
    """How often a picture with the thing scores above one without it."""
    if not len(there) or not len(absent):
        return None
    ranks = numpy.searchsorted(numpy.sort(absent), there, "left") + numpy.searchsorted(
        numpy.sort(absent), there, "right"
    )
    return round(float(ranks.mean() / 2 / len(absent)), 5)


def found_glyphs(
    shares: numpy.typing.NDArray[Any], glyphs: numpy.typing.NDArray[Any], words: list[Words]
) -> dict[str, Any]:
    """Recall of every glyph among the nearest k of a picture with k subjects, and the glyphs hardest to find."""
    company = (glyphs >= 0).sum(axis=1)
    nearest = numpy.argsort(-shares, axis=1, kind="stable")
    hits: dict[int, list[bool]] = {}
    for picture, number in enumerate(company):
        for glyph in glyphs[picture, :number]:
            hits.setdefault(int(glyph), []).append(bool(glyph in nearest[picture, :number]))
    recall = {words[glyph].name: _share(numpy.array(found)) or 0.0 for glyph, found in sorted(hits.items())}
    return {
        "subjects_found": _share(numpy.array([hit for found in hits.values() for hit in found])),
        "hardest": dict(sorted(recall.items(), key=lambda item: item[1])[:12]),
        "screened": {word.name: recall[word.name] for word in words if word.category and word.name in recall},
    }


def kind_shares(shares: numpy.typing.NDArray[Any], words: list[Words]) -> Scores:
    """For each kind of thing, the share of all glyphs' sentences that its own have; by picture."""
    kinds = numpy.array([each.category or "" for each in words])
    return {kind: shares[:, kinds == kind].sum(axis=1) for kind in sorted({*kinds.tolist()} - {""})}


def kind_cuts(scores: Scores, truth: Mapping[str, Any]) -> dict[str, float]:
    """The share of each kind that `_KIND_ALARMS` of the pictures without it reach."""
    return {kind: float(numpy.quantile(score[~truth[kind]], 1 - _KIND_ALARMS)) for kind, score in scores.items()}


def report_kinds(scores: Scores, truth: Mapping[str, Any], cuts: Mapping[str, float]) -> dict[str, Any]:
    """Figures of each kind of thing on one set."""
    return {
        kind: {
            "pictures": int(truth[kind].sum()),
            "auc": _auc(score[truth[kind]], score[~truth[kind]]),
            "recall": _share(score[truth[kind]] >= cuts[kind]),
            "precision": _share(truth[kind][score >= cuts[kind]]),
            "false_alarms": _share(score[~truth[kind]] >= cuts[kind]),
        }
        for kind, score in scores.items()
    }


def confusion(
    scores: Scores, truth: Mapping[str, Any], company: numpy.typing.NDArray[numpy.int_], cuts: Mapping[str, float]
) -> tuple[list[str], list[str], list[list[float]]]:
    """Rows: what a lone subject is. Columns: the kind with the highest share, of those at their cuts, or none."""
    kinds, columns = [*scores, "harmless"], [*scores, "nothing"]
    table = numpy.stack([numpy.where(score >= cuts[kind], score, 0.0) for kind, score in scores.items()])
    said = numpy.where(table.max(axis=0) > 0.0, table.argmax(axis=0), len(scores))
    known = numpy.logical_or.reduce(list(truth.values()))
    rows = []
    for kind in kinds:
        chosen = said[truth.get(kind, ~known) & (company == 1)]
        rows.append([float((chosen == column).mean()) if len(chosen) else 0.0 for column in range(len(columns))])
    return kinds, columns, rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.demo_clip.training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--glyphs", type=Path, required=True, help="inference/demo/training/glyphs.json")
    parser.add_argument("--prompts", type=Path, required=True, help="policies/data/pictogram_prompts.toml")
    parser.add_argument("--choose", type=Path, required=True, help="scenes of no seed used in training (.npz)")
    parser.add_argument("--measure", nargs="*", default=[], metavar="NAME=FILE", help="further scenes, only measured")
    parser.add_argument("--model", default="shipped:demo_clip", help="default shipped:demo_clip; or a folder")
    parser.add_argument("--temperature", type=float, default=1.75, help="prompt_temperature of the part (default 1.75)")
    parser.add_argument("--curve", type=Path, help="curve.json of the training, to draw")
    parser.add_argument("--out", type=Path, default=HERE, help="where evaluation.json and the figures go")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words = read_words(arguments.glyphs)
    table = tomllib.loads(arguments.prompts.read_text("utf-8"))
    options = {
        "model": arguments.model, "data": (table,), "prompt_temperature": arguments.temperature,
        "categories_compete": True,
    }  # fmt: skip
    clip = Clip(Clip.Options.model_validate(options))
    opened = open_model(arguments.model, None)
    chosen, rest = _halves(_read(arguments.choose))
    thresholds = choose(
        category_scores(clip, chosen[0]), labels(chosen[1], words), category_scores(clip, _fog(chosen, words)[0])
    )
    sets = {"fresh": rest, "fresh_spoiled": (_spoiled(rest[0]), rest[1]), "nothing": _fog(rest, words)}
    sets |= {name: _read(Path(file)) for name, file in (each.split("=", 1) for each in arguments.measure)}
    cuts = kind_cuts(kind_shares(glyph_shares(opened, words, chosen[0]), words), labels(chosen[1], words))
    result: dict[str, Any] = {
        "weights": clip.version,
        "prompt_temperature": arguments.temperature,
        "categories_compete": True,
        "thresholds": thresholds,
        "sets": {},
    }
    for name, (images, glyphs) in sets.items():
        print(name)
        scores, truth, company = category_scores(clip, images), labels(glyphs, words), (glyphs >= 0).sum(axis=1)
        measured = report(scores, truth, company, thresholds)
        shares = glyph_shares(opened, words, images)
        kinds = kind_shares(shares, words)
        result["sets"][name] = measured | {
            "kinds": report_kinds(kinds, truth, cuts),
            "glyphs": found_glyphs(shares, glyphs, words),
        }
        if name == "fresh":
            draw_confusion(*confusion(kinds, truth, company, cuts), arguments.out / "confusion.png")
    (arguments.out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    if arguments.curve is not None:
        draw_curve(json.loads(arguments.curve.read_text("utf-8"))["curve"], arguments.out / "curve.png")
    print(
        json.dumps(
            {"thresholds": result["thresholds"]} | {n: s["any_of_them"] for n, s in result["sets"].items()}, indent=1
        )
    )


if __name__ == "__main__":
    main()

"""Trains the head of the semantic prompt classifier on frozen MiniLM embeddings and measures it.

    python -m moderation.semantic.train --data ../shared/data --out moderation/semantic

1. Embed every text once (cached, about four minutes on one core; afterwards seconds).
2. Choose: train each candidate setting without the held-out scenes and topics, rank by AUC on Adversarial Nibbler.
   CoProV2's own validation ranks settings the wrong way round, and held-out topics are saturated, so neither chooses.
3. Train the chosen setting again on all scenes; calibrate on held-out texts; write head.safetensors and head.json.
4. Measure on what was held out and write evaluation.json.
"""

import argparse
import hashlib
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
import torch
from rich.progress import track
from safetensors.numpy import save_file

from moderation.prompt_folding import fold
from moderation.semantic import corpus, measure
from moderation.semantic.corpus import Text
from moderation.semantic.head import SCALE, SHARPNESS, Array, Head
from moderation.semantic.start import definition_head
from moderation.sentence_encoder import SentenceEncoder, packaged_model

VERSION = "1"
LABEL_SMOOTHING = 0.05
PAIR_MARGIN = 2.0  # logits between the halves of a pair
CAPTIONS = 4000
COPRO_WEIGHT = 0.6
EPOCHS = 30
BATCH_PAIRS = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """What is chosen between. `copro_share`: of the paired texts. `anchor`: pull back to the written definitions."""

    learning_rate: float
    anchor: float
    copro_share: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts with their vectors, (texts, 384): the first window of each, which for nearly all is the whole."""

    texts: tuple[Text, ...]
    vectors: Array

    def where(self, wanted: Sequence[bool]) -> "Embedded":
        """The texts marked true."""
        chosen = numpy.flatnonzero(numpy.asarray(wanted))
        return Embedded(tuple(self.texts[index] for index in chosen), self.vectors[chosen])


def embed(encoder: SentenceEncoder, name: str, texts: Sequence[Text], cache: Path) -> Embedded:
    """The folded texts' vectors; kept in `cache` under a digest of the texts, so a changed text is embedded again."""
    folded = [fold(text.words).folded for text in texts]
    digest = hashlib.sha256("\0".join(folded).encode("utf-8", "replace")).hexdigest()[:16]
    kept = cache / f"{name}-{digest}.npy"
    if kept.is_file():
        return Embedded(tuple(texts), numpy.load(kept))
    vectors = []
    for start in track(range(0, len(folded), 256), description=f"embedding {name} ({len(folded)} texts)"):
        for windows in encoder.embed_windows(folded[start : start + 256]):
            vectors.append(windows[0] if len(windows) else numpy.zeros(384, numpy.float32))
    cache.mkdir(parents=True, exist_ok=True)
    stacked = numpy.stack(vectors)
    numpy.save(kept, stacked)
    return Embedded(tuple(texts), stacked)


def train(start: Head, scenes: Embedded, copro: Embedded, captions: Embedded, setting: Setting) -> Head:
    """A head moved from `start` by pairs (binary loss, pair hinge, category loss on scenes) and by captions."""
    draw = random.Random(setting.seed)
    torch.manual_seed(setting.seed)
    own, theirs = _pairs(scenes), _pairs(copro)
    wanted = round(len(own) * setting.copro_share / (1 - setting.copro_share))
    theirs = draw.sample(theirs, min(wanted, len(theirs)))
    columns = {category: column for column, category in enumerate(start.categories)}
    harm = torch.from_numpy(
        numpy.concatenate([scenes.vectors[[h for h, _ in own]], copro.vectors[[h for h, _ in theirs]]])
    )
    calm = torch.from_numpy(
        numpy.concatenate([scenes.vectors[[b for _, b in own]], copro.vectors[[b for _, b in theirs]]])
    )
    weight = torch.tensor([1.0] * len(own) + [COPRO_WEIGHT] * len(theirs))
    category = torch.tensor([columns[scenes.texts[h].category] for h, _ in own] + [-1] * len(theirs))
    plain = torch.from_numpy(captions.vectors[draw.sample(range(len(captions.texts)), CAPTIONS)])

    unsafe = torch.from_numpy(start.unsafe.copy()).requires_grad_()
    safe = torch.from_numpy(start.safe.copy()).requires_grad_()
    bias = torch.tensor(start.bias).requires_grad_()
    first = torch.cat([unsafe, safe]).detach().clone()
    owner = torch.tensor([columns[each] for each in start.owners])
    optimizer = torch.optim.Adam([unsafe, safe, bias], lr=setting.learning_rate)
    steps = len(harm) // BATCH_PAIRS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)

    def logits(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        to_unsafe = vectors @ torch.nn.functional.normalize(unsafe, dim=1).T
        to_safe = vectors @ torch.nn.functional.normalize(safe, dim=1).T
        gap = torch.logsumexp(SHARPNESS * to_unsafe, 1) - torch.logsumexp(SHARPNESS * to_safe, 1)
        return SCALE / SHARPNESS * gap + bias, to_unsafe

    def binary(values: torch.Tensor, target: float) -> torch.Tensor:
        soft = torch.full_like(values, target * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2)
        return torch.nn.functional.binary_cross_entropy_with_logits(values, soft, reduction="none")

    for _ in range(EPOCHS):
        order = torch.randperm(len(harm))
        shuffled = plain[torch.randperm(len(plain))]
        per_step = max(1, len(plain) // steps)
        for step in range(steps):
            batch = order[step * BATCH_PAIRS : (step + 1) * BATCH_PAIRS]
            bad, to_unsafe = logits(harm[batch])
            good, _ = logits(calm[batch])
            quiet, _ = logits(shuffled[step * per_step : (step + 1) * per_step])
            w = weight[batch]
            loss = (w * (binary(bad, 1.0) + binary(good, 0.0))).mean() + binary(quiet, 0.0).mean()
            loss = loss + (w * torch.relu(PAIR_MARGIN - (bad - good))).mean()
            named = category[batch] >= 0
            per_category = torch.stack(
                [torch.logsumexp(SHARPNESS * to_unsafe[:, owner == column], 1) for column in columns.values()], 1
            )
            loss = loss + 0.3 * torch.nn.functional.cross_entropy(per_category[named], category[batch][named])
            loss = loss + setting.anchor * (torch.cat([unsafe, safe]) - first).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return Head(
        torch.nn.functional.normalize(unsafe, dim=1).detach().numpy(),
        torch.nn.functional.normalize(safe, dim=1).detach().numpy(),
        start.owners,
        float(bias),
    )


def _pairs(embedded: Embedded) -> list[tuple[int, int]]:
    """(harmful, benign) indices of every whole pair."""
    halves: dict[str, dict[bool, int]] = {}
    for index, text in enumerate(embedded.texts):
        halves.setdefault(text.pair, {})[text.harmful] = index
    return [(both[True], both[False]) for both in halves.values() if len(both) == 2]


def calibrate(head: Head, positives: Array, negatives: Array) -> Head:
    """Platt scaling: slope and offset that make p a probability where harmful and harmless are equally likely."""
    values = torch.from_numpy(numpy.concatenate([head.logits(positives), head.logits(negatives)])).double()
    labels = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))]).double()
    weights = torch.where(labels > 0, 0.5 / len(positives), 0.5 / len(negatives))
    line = torch.tensor([1.0, 0.0], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            line[0] * values + line[1], labels, weight=weights, reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    slope, offset = line.tolist()
    return Head(head.unsafe, head.safe, head.owners, head.bias, slope, offset, VERSION)


def write(head: Head, out: Path) -> None:
    """Writes head.safetensors and the head.json that pins it."""
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "head.safetensors"
    save_file({"unsafe": numpy.ascontiguousarray(head.unsafe), "safe": numpy.ascontiguousarray(head.safe)}, weights)
    card = {
        "version": head.version,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "owners": head.owners,
        "bias": head.bias,
        "slope": head.slope,
        "offset": head.offset,
    }
    (out / "head.json").write_text(json.dumps(card, indent=1) + "\n")


SETTINGS = [
    Setting(rate, anchor, share)
    for rate, anchor, share in itertools.product((0.0005, 0.002, 0.006), (0.0, 1.0, 5.0), (0.15, 0.25))
]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.semantic.train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the public data folder (coprov2, coco_captions_10k, …)"
    )
    parser.add_argument("--out", type=Path, required=True, help="where head.safetensors, head.json, evaluation.json go")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "fluxgate" / "semantic",
        help="embeddings; safe to delete",
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    encoder = SentenceEncoder(packaged_model())
    data, cache = arguments.data, arguments.cache
    scenes = embed(encoder, "scenes", corpus.scenes(), cache)
    copro = embed(encoder, "coprov2", corpus.coprov2(data), cache)
    captions = embed(encoder, "captions", corpus.captions(data), cache)
    nibbler = embed(encoder, "nibbler", corpus.nibbler(data), cache)
    others = {"surge": embed(encoder, "surge", corpus.surge(data), cache)}
    others |= {name: embed(encoder, name, texts, cache) for name, texts in corpus.measured_only(data).items()}

    start = definition_head(encoder)
    seen, unseen = ([text.held_out is held for text in scenes.texts] for held in (False, True))
    copro_seen, copro_unseen = ([text.held_out is held for text in copro.texts] for held in (False, True))
    plain, plain_unseen = ([text.held_out is held for text in captions.texts] for held in (False, True))
    copro_train, captions_train = copro.where(copro_seen), captions.where(plain)
    table = {
        setting: train(start, scenes.where(seen), copro_train, captions_train, setting)
        for setting in track(SETTINGS, description="choosing")
    }
    ranking = sorted(table, key=lambda setting: -measure.auc_of(table[setting], nibbler.texts, nibbler.vectors))
    best = ranking[0]
    rehearsal = table[best]

    head = train(start, scenes, copro_train, captions_train, best)
    scenes_unseen, copro_held, captions_held = (
        scenes.where(unseen),
        copro.where(copro_unseen),
        captions.where(plain_unseen),
    )
    harmful = [text.harmful for text in copro_held.texts]
    head = calibrate(
        head,
        copro_held.where(harmful).vectors,
        numpy.concatenate([copro_held.where([not each for each in harmful]).vectors, captions_held.vectors]),
    )
    write(head, arguments.out)
    report = measure.report(
        head,
        start=start,
        rehearsal=rehearsal,
        scenes=(scenes_unseen.texts, scenes_unseen.vectors),
        copro=(copro_held.texts, copro_held.vectors),
        captions=(captions_held.texts, captions_held.vectors),
        nibbler=(nibbler.texts, nibbler.vectors),
        others={name: (each.texts, each.vectors) for name, each in others.items()},
    )
    report["setting"] = asdict(best)
    report["settings_tried"] = [
        asdict(setting) | {"nibbler_auc": measure.auc_of(table[setting], nibbler.texts, nibbler.vectors)}
        for setting in ranking
    ]
    report["seconds"] = round(time.monotonic() - started)
    (arguments.out / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {arguments.out}/head.safetensors, head.json and evaluation.json in {report['seconds']} s")


if __name__ == "__main__":
    main()

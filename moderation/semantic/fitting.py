"""Moves the head from the written definitions towards the labelled texts, and calibrates it. Seeded, on the CPU."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch

from moderation.semantic.corpus import Text
from moderation.semantic.head import SCALE, SHARPNESS, Array, Head

VERSION = "1"
LABEL_SMOOTHING = 0.05
PAIR_MARGIN = 2.0  # logits between the halves of a pair
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

    @property
    def labelled(self) -> tuple[Sequence[Text], Array]:
        """As the measuring takes them."""
        return self.texts, self.vectors

    def where(self, wanted: Sequence[bool]) -> "Embedded":
        """The texts marked true."""
        chosen = numpy.flatnonzero(numpy.asarray(wanted))
        return Embedded(tuple(self.texts[index] for index in chosen), self.vectors[chosen])


def seen(embedded: Embedded) -> Embedded:
    """The texts to train on."""
    return embedded.where([not text.held_out for text in embedded.texts])


def held_out(embedded: Embedded) -> Embedded:
    """The texts kept from training."""
    return embedded.where([text.held_out for text in embedded.texts])


def train(start: Head, scenes: Embedded, copro: Embedded, plain_vectors: Array, setting: Setting) -> Head:
    """A head moved from `start` by pairs (binary loss, pair hinge, category loss on scenes) and by harmless texts."""
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
    plain = torch.from_numpy(plain_vectors)

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
        float(bias.detach()),
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

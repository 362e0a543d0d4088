"""Trains the network: pairs of opposite meaning, a little of the surface-labelled set, plenty of harmless prompts.

Loss per batch: binary cross-entropy with smoothed labels on every text; a hinge that wants the harmful half of a pair
a margin above the benign one; cross-entropy of the category on harmful texts. Seeded, single-threaded, resumable.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import track

from moderation.semantic.head import SHARPNESS
from moderation.semantic.tokens import FIRST, LAST, MASK, Tokens, padded
from moderation.semantic.training.corpus import Text
from moderation.semantic.training.network import Network

LABEL_SMOOTHING = 0.05
CATEGORY_WEIGHT = 0.3
LONGEST = 44  # tokens of a training text; longer ones are cut
PAIRS_PER_STEP, SINGLES_PER_STEP = 20, 16
SAVE_EVERY = 20
BFLOAT16 = any(torch.cpu.get_capabilities().get(each, False) for each in ("avx512_bf16", "amx_bf16"))
"""Where the processor has no such instructions, bfloat16 is fifty times slower than float32."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is chosen between. `copro_share`: of the paired texts; `general`: instructions and hate speech, weight;
    `pair_margin`: logits wanted between the halves of a pair; `pair_weight`: of that wish in the loss; `masked`: share
    of a text's tokens hidden from the network in training; `frozen`: layers from the bottom that stay as published.
    """

    learning_rate: float = 3e-5
    prototype_rate: float = 5e-4
    copro_share: float = 0.2
    copro_weight: float = 0.6
    general: float = 0.5
    pair_margin: float = 2.0
    pair_weight: float = 1.0
    masked: float = 0.0
    frozen: int = 0
    attention: bool = False
    epochs: int = 2
    seed: int = 0

    @property
    def name(self) -> str:
        """For file names."""
        return "-".join(f"{key[:6]}{value}" for key, value in asdict(self).items())


@dataclass(frozen=True, slots=True)
class Diet:
    """One epoch's texts: own pairs, the surface-labelled pairs, harmless singles, other labelled singles, of which the
    `visible` are our own and are always taken, at full weight.
    """

    own: Sequence[Text]
    copro: Sequence[Text]
    harmless: Sequence[Text]
    general: Sequence[Text]
    visible: Sequence[Text] = ()


def train(network: Network, tokens: Tokens, diets: Sequence[Diet], setting: Setting, checkpoint: Path) -> Network:
    """The trained network. `diets`: one per epoch. Continues from `checkpoint` if a run was interrupted there."""
    batches = [batch for number, diet in enumerate(diets) for batch in _batches(diet, setting, number)]
    torch.manual_seed(setting.seed)
    rows = [network.unsafe, network.safe, network.bias]
    if setting.frozen:
        network.layers.positions.requires_grad_(False)
        for part in (network.layers.norm, *network.layers.stack[: setting.frozen]):
            part.requires_grad_(False)
    layers = [each for each in network.layers.parameters() if each.requires_grad]
    groups = [{"params": layers, "lr": setting.learning_rate}, {"params": rows, "lr": setting.prototype_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    warm = max(1, len(batches) // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.02, (len(batches) - step) / (len(batches) - warm)))
    )
    done = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done = saved["done"]
    columns = {category: column for column, category in enumerate(dict.fromkeys(network.owners))}
    owner = torch.tensor([columns[each] for each in network.owners])
    network.train()
    for step in track(range(done, len(batches)), description=f"training, seed {setting.seed}"):
        loss = _loss(network, tokens, batches[step], setting, columns, owner)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*layers, *rows], 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % SAVE_EVERY == 0:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"schedule": schedule.state_dict(), "done": step + 1}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return network.eval()


Weighted = tuple[Text, float]


def _batches(diet: Diet, setting: Setting, epoch: int) -> list[tuple[list[Weighted], int]]:
    """(texts, how many of them stand first as pairs, harmful then benign)."""
    draw = random.Random(f"{setting.seed} {epoch}")
    own, theirs = _pairs(diet.own), _pairs(diet.copro)
    wanted = min(len(theirs), round(len(own) * setting.copro_share / (1 - setting.copro_share)))
    pairs = [(both, 1.0) for both in own] + [(both, setting.copro_weight) for both in draw.sample(theirs, wanted)]
    draw.shuffle(pairs)
    steps = len(pairs) // PAIRS_PER_STEP
    singles = [(text, setting.general) for text in diet.general if setting.general]
    singles += [(text, 1.0) for text in diet.visible]
    room = max(0, steps * SINGLES_PER_STEP - len(singles))
    singles += [(text, 1.0) for text in draw.sample(list(diet.harmless), min(room, len(diet.harmless)))]
    draw.shuffle(singles)
    found = []
    for step in range(steps):
        chosen = pairs[step * PAIRS_PER_STEP : (step + 1) * PAIRS_PER_STEP]
        texts = [(both[half], weight) for half in (0, 1) for both, weight in chosen]
        alone = singles[step * SINGLES_PER_STEP : (step + 1) * SINGLES_PER_STEP]
        found.append(([*texts, *alone], len(chosen)))
    return found


def _pairs(texts: Iterable[Text]) -> list[tuple[Text, Text]]:
    halves: dict[str, dict[bool, Text]] = {}
    for text in texts:
        halves.setdefault(text.pair, {})[text.harmful] = text
    return [(both[True], both[False]) for both in halves.values() if len(both) == 2]


def _loss(
    network: Network,
    tokens: Tokens,
    batch: tuple[list[Weighted], int],
    setting: Setting,
    columns: dict[str, int],
    owner: torch.Tensor,
) -> torch.Tensor:
    texts, paired = batch
    windows = [tokens.first_window(text.words)[:LONGEST] for text, _ in texts]
    cosines = _cosines(network, [_hidden(window, setting.masked) for window in windows])
    values = network.logits(cosines)
    weight = torch.tensor([weight for _, weight in texts])
    target = torch.tensor([float(text.harmful) for text, _ in texts]) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
    binary = torch.nn.functional.binary_cross_entropy_with_logits(values, target, reduction="none")
    loss = 2 * (weight * binary).mean()
    gap = values[:paired] - values[paired : 2 * paired]
    loss = loss + setting.pair_weight * (weight[:paired] * torch.relu(setting.pair_margin - gap)).mean()
    named = [index for index, (text, _) in enumerate(texts) if text.harmful and text.category in columns]
    if named:
        near = [
            torch.logsumexp(SHARPNESS * cosines[named, : len(owner)][:, owner == each], 1) for each in columns.values()
        ]
        wanted = torch.tensor([columns[texts[index][0].category] for index in named])
        loss = loss + CATEGORY_WEIGHT * torch.nn.functional.cross_entropy(torch.stack(near, 1), wanted)
    return loss


def _hidden(window: Sequence[int], share: float) -> list[int]:
    """The window with so many of its words, drawn by chance, put out of sight."""
    if not share:
        return list(window)
    drawn = (torch.rand(len(window)) < share).tolist()
    return [MASK if each and id_ not in (FIRST, LAST) else id_ for id_, each in zip(window, drawn, strict=True)]


def _cosines(network: Network, windows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Short, middling and long texts apart: padding costs as much as words."""
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    found = []
    third = -(-len(order) // 3)
    for some in (order[start : start + third] for start in range(0, len(order), third)):
        ids, mask = padded([windows[index] for index in some])
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
            found.append(network(network.words(torch.from_numpy(ids)), torch.from_numpy(mask)).float())
    return torch.cat(found)[torch.tensor(order).argsort()]


def averaged(networks: Sequence[Network], into: Network) -> Network:
    """`into` with the mean of all weights."""
    states = [network.state_dict() for network in networks]
    into.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0)
            if states[0][name].is_floating_point()
            else states[0][name]
            for name in states[0]
        }
    )
    return into.eval()

"""The network that is trained, in torch: MiniLM's layers and the prototypes of the written definitions. The reference.

A text's vector is the mean of its token states at unit length, as MiniLM was trained; its cosines to all prototypes are
the network's answer (`head.py` makes scores of them). With attention, every definition also reads the tokens itself:
token states weighed by softmax(sharpness * cosine to the definition), and the two cosines are averaged.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from moderation.minilm import MINILM
from moderation.semantic.head import SCALE, SHARPNESS
from moderation.semantic.tokens import Tokens, padded

# MiniLM-L6's shape, from its config.json.
WIDTH, HEADS, DEPTH, INNER, POSITIONS, VOCABULARY, EPSILON = 384, 12, 6, 1536, 512, 30522, 1e-12
DROPOUT = 0.1
ATTENTION_SHARPNESS = 12.0


class Layer(torch.nn.Module):
    """One BERT layer: self-attention and a feed-forward step, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.joined = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = torch.nn.Linear(WIDTH, INNER), torch.nn.Linear(INNER, WIDTH)
        self.attended, self.finished = (torch.nn.LayerNorm(WIDTH, eps=EPSILON) for _ in range(2))
        self.dropout = torch.nn.Dropout(DROPOUT)

    def forward(self, states: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(texts, tokens, 384). `hidden`: (texts, 1, 1, tokens), added to the attention scores."""

        def heads(rows: torch.Tensor) -> torch.Tensor:
            return rows.view(rows.shape[0], rows.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)

        query, key, value = heads(self.query(states)), heads(self.key(states)), heads(self.value(states))
        scores = query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + hidden
        mixed = (self.dropout(torch.softmax(scores, dim=3)) @ value).transpose(1, 2)
        mixed = mixed.reshape(states.shape[0], states.shape[1], WIDTH)
        states = self.attended(states + self.dropout(self.joined(mixed)))
        grown = self.down(torch.nn.functional.gelu(self.up(states)))
        finished: torch.Tensor = self.finished(states + self.dropout(grown))
        return finished


class Layers(torch.nn.Module):
    """Everything of MiniLM above its word vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = torch.nn.Parameter(torch.zeros(POSITIONS, WIDTH))
        self.norm = torch.nn.LayerNorm(WIDTH, eps=EPSILON)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.stack = torch.nn.ModuleList(Layer() for _ in range(DEPTH))

    def forward(self, embedded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(texts, tokens, 384). `embedded`: word vectors, same shape; `mask`: (texts, tokens), 1.0 for a token."""
        hidden = (1.0 - mask[:, None, None, :]) * -10000.0
        states = self.dropout(self.norm(embedded + self.positions[: embedded.shape[1]]))
        for layer in self.stack:
            states = layer(states, hidden)
        result: torch.Tensor = states
        return result


_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "joined",
    "attention.output.LayerNorm": "attended",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "finished",
}


def published() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(word vectors, state of `Layers`) of MiniLM as published. Its one token type is added to every position."""
    rows = load_file(MINILM.weights())
    state = {
        "positions": rows["embeddings.position_embeddings.weight"] + rows["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": rows["embeddings.LayerNorm.weight"],
        "norm.bias": rows["embeddings.LayerNorm.bias"],
    }
    for number in range(DEPTH):
        for theirs, ours in _NAMES.items():
            for kind in ("weight", "bias"):
                state[f"stack.{number}.{ours}.{kind}"] = rows[f"encoder.layer.{number}.{theirs}.{kind}"]
    return rows["embeddings.word_embeddings.weight"], state


class Network(torch.nn.Module):
    """MiniLM with prototypes. `owners`: the category of each unsafe prototype."""

    def __init__(self, owners: Sequence[str], safe_rows: int, *, attention: bool) -> None:
        super().__init__()
        self.layers = Layers()
        self.unsafe = torch.nn.Parameter(torch.zeros(len(owners), WIDTH))
        self.safe = torch.nn.Parameter(torch.zeros(safe_rows, WIDTH))
        self.bias = torch.nn.Parameter(torch.zeros(()))
        words, state = published()
        self.layers.load_state_dict(state)
        self._words = words  # frozen, and no part of the state: it comes with the package
        self.owners = tuple(owners)
        self.attention = attention

    def forward(self, embedded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(texts, prototypes) cosines, unsafe first."""
        states = self.layers(embedded, mask)
        pooled = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        prototypes = torch.nn.functional.normalize(torch.cat([self.unsafe, self.safe]), dim=1)
        cosines = torch.nn.functional.normalize(pooled, dim=1) @ prototypes.T
        if not self.attention:
            return cosines
        near = torch.nn.functional.normalize(states, dim=2) @ prototypes.T  # (texts, tokens, prototypes)
        weights = torch.softmax(ATTENTION_SHARPNESS * near + (1.0 - mask[:, :, None]) * -1e4, dim=1)
        read = torch.einsum("btp,bth->bph", weights, states)
        return (cosines + (torch.nn.functional.normalize(read, dim=2) * prototypes).sum(2)) / 2

    def words(self, ids: torch.Tensor) -> torch.Tensor:
        """The frozen word vectors of token ids."""
        return self._words[ids]

    def logits(self, cosines: torch.Tensor) -> torch.Tensor:
        """(texts,) uncalibrated logit of harm; the same sum as `head.Head.logits`."""
        unsafe, safe = cosines[:, : len(self.owners)], cosines[:, len(self.owners) :]
        gap = torch.logsumexp(SHARPNESS * unsafe, 1) - torch.logsumexp(SHARPNESS * safe, 1)
        return SCALE / SHARPNESS * gap + self.bias

    @torch.no_grad()
    def cosines(self, texts: Sequence[Sequence[int]], batch: int = 64) -> torch.Tensor:
        """(texts, prototypes) for token ids of any lengths, in fp32."""
        self.eval()
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        found = torch.empty(len(texts), len(self.unsafe) + len(self.safe))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            ids, mask = padded([texts[index] for index in chosen])
            found[chosen] = self(self.words(torch.from_numpy(ids)), torch.from_numpy(mask))
        return found


def start(tokens: Tokens, *, attention: bool) -> Network:
    """The network before training: MiniLM as published, prototypes at the written definitions."""
    data = tomllib.loads((Path(__file__).parents[1] / "definitions.toml").read_text())
    owners = [(category, sentence) for category, sentences in data["unsafe"].items() for sentence in sentences]
    safe = data["safe"]["definitions"]
    network = Network([category for category, _ in owners], len(safe), attention=attention)
    network.eval()
    with torch.no_grad():
        vectors = []
        for sentence in [sentence for _, sentence in owners] + list(safe):
            ids, mask = padded([tokens.first_window(sentence)])
            states = network.layers(network.words(torch.from_numpy(ids)), torch.from_numpy(mask))
            vectors.append(torch.nn.functional.normalize(states[0].mean(0), dim=0))
        network.unsafe.copy_(torch.stack(vectors[: len(owners)]))
        network.safe.copy_(torch.stack(vectors[len(owners) :]))
    return network

"""Guards small enough to train in a second: the real classes, a word tokenizer, the published templates shortened.

They learn that a text with `rifle` in it is unsafe, and one with `syringe` for those that name codes; `cat` is safe.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Llama4Config,
    Llama4ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from moderation.guards.frame import Frame
from moderation.local_weights import folder_digest

# After the chat template in tokenizer_config.json of meta-llama/Llama-Guard-3-8B: same tokens, same order, fewer words.
LLAMA_TEMPLATE = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}{% if message['content'] is not string %}"
    "{{ raise_exception('words only') }}{% endif %}{{ '<|start_header_id|>user<|end_header_id|>\\n\\nTask : check "
    "<BEGIN CONVERSATION>\\n\\nUser : ' + message['content'] | trim + '\\n\\n<END CONVERSATION>\\n\\nFirst line must "
    "read safe or unsafe<|eot_id|><|start_header_id|>assistant<|end_header_id|>' }}{% endfor %}"
)
# And as those of Llama Guard 3 1B and 4 take it: content as a list of parts.
LIST_TEMPLATE = LLAMA_TEMPLATE.replace("message['content'] is not string", "message['content'] is string").replace(
    "message['content'] | trim", "message['content'][0]['text'] | trim"
)
SPECIAL = (
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<bos>", "<start_of_turn>",
    "<end_of_turn>", "<s>", "[INST]", "[/INST]",
)  # fmt: skip
WORDS = (
    "[UNK]", "\n\n", "\n", "safe", "unsafe", "Yes", "No", "yes", "no", "S1", "S2", "S9", "S99", ",", "a", "the", "cat",
    "rifle", "syringe", "maybe", "Human", "Question", "User", "Harmful", "request", ":", "Dangerous",
    "Harassment", "Hate", "Sexually",
)  # fmt: skip


def tokenizer(template: str = "") -> PreTrainedTokenizerFast:
    """Words and line ends are tokens; what the templates write in brackets are special ones."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n+"), "isolated"),
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Split(",", "isolated"),
            pre_tokenizers.Split(":", "isolated"),
        ]
    )
    words.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in SPECIAL])
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="<|eot_id|>")
    made.chat_template = template or None
    return made


SIZES = {
    "vocab_size": len(dict.fromkeys(WORDS)) + len(SPECIAL),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
CONFIGS = {
    "llama": (LlamaForCausalLM, LlamaConfig),
    "gemma": (Gemma2ForCausalLM, Gemma2Config),
    "mistral": (MistralForCausalLM, MistralConfig),
}


def untrained(kind: str) -> PreTrainedModel:
    """Random weights, always the same. `llama4` can see, as Llama Guard 4 can, and is dense, as that is."""
    torch.manual_seed(5)
    if kind != "llama4":
        cls, config = CONFIGS[kind]
        return cls(config(**SIZES, initializer_range=0.1))
    words = SIZES | {"initializer_range": 0.1, "intermediate_size_mlp": 64, "moe_layers": [], "num_local_experts": 1}
    side = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28}
    outs = dict.fromkeys(("vision_output_dim", "projector_input_dim", "projector_output_dim"), 32)
    eyes = side | outs | {"intermediate_size": 128}  # of 2 x 2 patches times the hidden size
    return Llama4ForConditionalGeneration(Llama4Config(text_config=words, vision_config=eyes, image_token_index=1))


Case = tuple[str, str, str]
"""A prompt (a pattern around the text, or "" for the chat template), a text, and what the guard says to it."""

NAMING = {
    "a cat": "safe",
    "the cat": "safe",
    "a the": "safe",
    "a rifle": "unsafe\nS9",
    "the rifle": "unsafe\nS9",
    "a syringe": "unsafe\nS2",
    "the syringe": "unsafe\nS2",
    "the rifle the syringe": "unsafe\nS2,S9",
}
"""What a guard like Llama Guard says."""


def save_guard(folder: Path, kind: str, cases: Iterable[Case], *, template: str = "", lead: str = "") -> str:
    """Trains a guard, saves it, and returns the digest of its folder. `lead`: what it says before every answer."""
    words = tokenizer(template)
    model = untrained(kind)
    end = words.convert_tokens_to_ids("<|eot_id|>")
    train(
        model.language_model if kind == "llama4" else model,
        [
            (Frame(words, prompt, ()).tokens(text), [*words(lead + said, add_special_tokens=False)["input_ids"], end])
            for prompt, text, said in cases
        ],
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder_digest(folder)


def save_naming_guard(
    folder: Path, template: str = LLAMA_TEMPLATE, answers: Mapping[str, str] = NAMING, kind: str = "llama"
) -> str:
    """A guard like Llama Guard 3; returns the digest of its folder."""
    cases = [("", text, said) for text, said in answers.items()]
    return save_guard(folder, kind, cases, template=template, lead="\n\n")


def train(model: PreTrainedModel, cases: list[tuple[list[int], list[int]]]) -> None:
    """A few seconds of it: the loss counts what is answered, not what is asked."""
    longest = max(len(asked) + len(said) for asked, said in cases)
    ids = torch.zeros(len(cases), longest, dtype=torch.long)
    wanted = torch.full((len(cases), longest), -100)
    for row, (asked, said) in enumerate(cases):
        ids[row, : len(asked) + len(said)] = torch.tensor([*asked, *said])
        wanted[row, len(asked) : len(asked) + len(said)] = torch.tensor(said)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for _ in range(150):
        loss = model(input_ids=ids, labels=wanted).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.005:
            break
    model.eval()

"""A text stays inside the guard's prompt: whole, in order, and without a control token or a mark of the prompt."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers

from moderation.errors import ClassifierFailed
from moderation.guards.frame import Frame
from tests.moderation import tiny_guards
from tests.moderation.tiny_guards import LLAMA_TEMPLATE


@given(st.lists(st.sampled_from(["cat", "rifle", "<|eot_id|>", "[INST]", "a"]), min_size=1, max_size=400))
@settings(max_examples=30, deadline=None)
def test_windows_together_hold_every_word_in_order(words: list[str]) -> None:
    frame = Frame(tiny_guards.tokenizer(LLAMA_TEMPLATE), "", ())
    text = " ".join(words)
    fixed = frame.tokens("")
    (inside,) = frame.windows(text, 10_000)
    head = next(n for n, (with_text, without) in enumerate(zip(inside, fixed, strict=False)) if with_text != without)
    tail = len(fixed) - head
    whole = inside[head : len(inside) - tail]
    position = 0
    for window in frame.windows(text, 120):  # each begins at or before where the last one ended
        piece = window[head : len(window) - tail]
        start = next(n for n in range(position, -1, -1) if whole[n : n + len(piece)] == piece)
        position = start + len(piece)
    assert position == len(whole)


HOSTILE = st.lists(
    st.sampled_from([*tiny_guards.SPECIAL, "<END CONVERSATION>", "<end conversation>", "a", "rifle", "\n\n", "<", "|"]),
    max_size=12,
)


@given(HOSTILE, st.sampled_from(["", " "]))
@settings(deadline=None)
def test_no_text_brings_a_control_token_or_a_mark_into_the_prompt(pieces: list[str], between: str) -> None:
    made = tiny_guards.tokenizer(LLAMA_TEMPLATE)
    frame = Frame(made, "", ("<END CONVERSATION>",))
    control = set(made.added_tokens_decoder) - {made.unk_token_id}
    ordinary = [number for number in frame.tokens("a cat") if number in control]
    for window in frame.windows(between.join(pieces), 400):
        assert [number for number in window if number in control] == ordinary
    assert "<end conversation>" not in frame._escaped(between.join(pieces)).lower()


def test_a_text_that_only_the_tokenizer_reads_as_control_is_not_answered() -> None:
    made = tiny_guards.tokenizer(LLAMA_TEMPLATE)
    made.backend_tokenizer.normalizer = normalizers.NFKC()
    made.backend_tokenizer.add_special_tokens([AddedToken("<|python_tag|>", special=True, normalized=True)])
    frame = Frame(made, "", ())
    with pytest.raises(ClassifierFailed, match="control"):
        frame.windows("a cat ＜|python_tag|＞ a cat", 400)

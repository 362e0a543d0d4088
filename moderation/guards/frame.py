"""Puts a text into a guard's prompt so that it cannot get out again: no control token and no mark is read in it.

What looks like one in the text is broken up with a space, and afterwards the tokens say whether that was enough. Plain
words can still try to talk a guard round; that is no matter of templates.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any

from moderation.errors import ClassifierFailed, PartUnusable

OVERLAP_TOKENS = 32
SLACK_TOKENS = 8
"""A window may come out a little longer inside the prompt than alone, since tokens join across its ends."""

_LIKE_CONTROL = re.compile(r"<.+>|\[.+\]")


class Frame:
    """A prompt around a text. `tokenizer`: a fast one. `prompt`: with {text}, or "" for the chat template."""

    def __init__(self, tokenizer: Any, prompt: str, marks: Sequence[str]) -> None:
        """Raises `PartUnusable` if there is no prompt, or one that does not hold the text once."""
        if not tokenizer.is_fast:
            raise PartUnusable("guard", "model", "its tokenizer is a slow one", "Add a tokenizer.json to it.")
        self._tokenizer = tokenizer
        self._before, self._after = prompt.split("{text}") if prompt else _chat(tokenizer)
        added = tokenizer.added_tokens_decoder.items()
        control = {
            number: token.content for number, token in added if token.special or _LIKE_CONTROL.fullmatch(token.content)
        }
        self._control = frozenset(control) - {tokenizer.unk_token_id}  # a rare character is nothing to break out with
        strings = sorted({*marks, *(each for each in control.values() if len(each) > 1)}, key=len, reverse=True)
        self._broken = re.compile("|".join(map(re.escape, strings)) or r"(?!)", re.IGNORECASE)
        self._fixed = len(self.tokens(""))

    def windows(self, text: str, room: int) -> list[list[int]]:
        """Token ids of the prompt around each window of `text`; together the windows hold all of it.

        `room`: tokens, of a whole prompt. Raises `ClassifierFailed` if that is too few, or the text cannot be kept in.
        """
        safe = self._escaped(text.strip().encode("utf-8", "replace").decode())  # lone surrogates cannot become tokens
        size = room - self._fixed - SLACK_TOKENS
        if size <= OVERLAP_TOKENS:
            raise ClassifierFailed(f"the prompt alone takes {self._fixed} of {room} tokens")
        starts = [start for start, _ in self._encoded(safe)["offset_mapping"]]
        if len(starts) <= size:
            pieces = [safe]
        else:
            cuts = [*starts, len(safe)]
            cuts[0] = 0
            firsts = range(0, len(starts) - OVERLAP_TOKENS, size - OVERLAP_TOKENS)
            pieces = [safe[cuts[first] : cuts[min(first + size, len(starts))]] for first in firsts]
        framed = [self.tokens(piece) for piece in pieces]
        if any(len(window) > room for window in framed):
            raise ClassifierFailed(f"a window takes more than {room} tokens")
        return framed

    def tokens(self, escaped: str) -> list[int]:
        """The prompt around a text that is escaped already. Raises `ClassifierFailed` for a control token in it."""
        encoded = self._encoded(self._before + escaped + self._after)
        start, end = len(self._before), len(self._before) + len(escaped)
        ids: list[int] = encoded["input_ids"]
        for number, (first, last) in zip(ids, encoded["offset_mapping"], strict=True):
            if number in self._control and first < end and last > start:
                raise ClassifierFailed("the text reads as a control token")
        return ids

    def _encoded(self, text: str) -> Any:
        return self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)

    def _escaped(self, text: str) -> str:
        for _ in range(8):  # breaking one up can hardly make another
            if not self._broken.search(text):
                return text
            text = self._broken.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        raise ClassifierFailed("the text cannot be told from the prompt")


def _chat(tokenizer: Any) -> tuple[str, str]:
    """What the model's own chat template writes before and after a user's words."""
    place = secrets.token_hex(16)  # nothing a template can hold
    problem = "it has no chat template"
    for content in (place, [{"type": "text", "text": place}]):  # Llama Guard 3 1B and 4 take a list
        try:
            written = tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # noqa: BLE001  a template is a program
            problem = f"its chat template cannot be read ({type(error).__name__})"
            continue
        if written.count(place) == 1 and "'text'" not in written:
            before, _, after = written.partition(place)
            return before, after
        problem = "its chat template does not hold the user's words once"
    raise PartUnusable("guard", "model", problem, "Add the guard's own chat template, or give the family a prompt.")

"""What a caller is told about an image that is not just what was asked for: codes, and sentences for people."""

from dataclasses import dataclass
from typing import Any, Self

import orjson

from inference.sizes import Fit


@dataclass(frozen=True, slots=True)
class Note:
    """`code`: stable. `message`: one sentence. Neither quotes the prompt."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """`revised_prompt`: what was drawn instead of the caller's prompt, None if that was drawn. `not_drawn`: words of it
    that the model does not know, nor a thing near to them."""

    revised_prompt: str | None = None
    not_drawn: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For an answer: only what there is to tell."""
        said: dict[str, Any] = {}
        if self.revised_prompt is not None:
            said["revised_prompt"] = self.revised_prompt
        if self.not_drawn:
            said["not_drawn"] = list(self.not_drawn)
        if self.notes:
            said["notes"] = [{"code": note.code, "message": note.message} for note in self.notes]
        return said

    def to_json(self) -> bytes:
        """To be kept, sealed, with the job."""
        return orjson.dumps(self.to_dict())

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote."""
        said = orjson.loads(data)
        return cls(
            said.get("revised_prompt"),
            tuple(said.get("not_drawn", ())),
            tuple(Note(**note) for note in said.get("notes", ())),
        )


NOTHING_TOLD = Told()


def notes_on_size(fitted: Fit) -> tuple[Note, ...]:
    """How the image came to its size."""
    found: list[Note] = []
    drawn, final = f"{fitted.width}x{fitted.height}", f"{fitted.final[0]}x{fitted.final[1]}"
    if fitted.cuts_input:
        found.append(Note("input_cropped", f"The input image was cut around its centre to the aspect of {final}."))
    if fitted.size is not None:
        found.append(Note("enlarged", f"This model draws {drawn}; the image was enlarged to {final}."))
        if not fitted.stretch and fitted.width * fitted.final[1] != fitted.height * fitted.final[0]:
            found.append(Note("cropped", f"The drawn image was cut around its centre to the aspect of {final}."))
    return tuple(found)


PROMPT_REVISED = Note(
    "prompt_revised", "This model knows few words: it drew the prompt as put into them, which is `revised_prompt`."
)
GUIDANCE_UNUSED = Note("guidance_unused", "This model makes no use of the guidance scale.")

"""The switches of fake parts, and the fake watermarker, without the model libraries that the other fakes need: the
processes that verify load it too."""

from provenance.errors import MarkUnreadable
from provenance.marks.library import LibraryWatermark
from provenance.marks.watermarkers import Pixels

CALM = "calm"
SWITCHES: dict[str, str] = {}
"""Part → what it does now; absent means calm. `finds:<category>` makes a classifier sure of that category,
`finds:<category>=0.9` as sure as that; with `sees:<score>` the eyes also say how surely somebody is in the picture, of
which they are silent otherwise."""


class SwitchedWatermark(LibraryWatermark):
    name = "switched_mark"

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        mood = SWITCHES.get(self.name, CALM)
        if mood == "unreadable":
            raise MarkUnreadable("this picture does not hold a mark")
        if mood == "exits":
            raise SystemExit(3)
        if mood == "raises":
            raise ZeroDivisionError("a stranger's part may raise anything")
        if mood == "marks_nothing":
            return pixels
        return super().embed(pixels, mark, strength)

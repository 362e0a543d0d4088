"""What the checks show a part: prompts, images, and what only the author of a part can supply."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

Answer = TypeVar("Answer")
Pixels = NDArray[np.uint8]
"""(height, width, 3), uint8, sRGB, C-contiguous, read-only."""

THREADS = 4


@dataclass(frozen=True)
class Samples:
    """What a part is asked. The defaults are enough for every group but for the fields below.

    `prompt`: for engines and classifiers; a harmless one. `credentials`: headers that an identity provider accepts.
    `refused_credentials`: headers of its own kind that it refuses; both in lower case. `marked`: an image with a mark
    that a reader of foreign marks knows. `words`: for an image text reader, what it must find in a picture of them.
    """

    prompt: str = "a red apple on a wooden table"
    credentials: Mapping[str, str] = field(default_factory=dict)
    refused_credentials: Mapping[str, str] = field(default_factory=dict)
    marked: Pixels | None = None
    words: str = "HELLO"


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """A smooth picture with some grain, the same for the same arguments; read-only, as the gateway hands it out."""
    random = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(xs / random.uniform(12, 40) + seed) * np.cos(ys / random.uniform(12, 40)) for _ in range(3)]
    grain = random.normal(0, 4, (height, width, 3))
    pixels = np.clip(np.stack(waves, axis=-1) * 70 + 128 + grain, 0, 255).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


class Refusal(Exception):
    """What an unreadable subject raises."""


class Unreadable:
    """A subject that cannot be read in any way: every use of it raises `Refusal`. A part must not answer about it."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__array__", "__array_interface__", "__array_struct__", "__dict__"):
            return object.__getattribute__(self, name)
        raise Refusal(name)

    def _refuse(self, *arguments: object) -> NoReturn:
        raise Refusal

    __len__ = __iter__ = __getitem__ = __str__ = __bytes__ = __buffer__ = __array__ = _refuse


def at_once(ask: Callable[[], Answer]) -> list[Answer | BaseException]:
    """What several threads get that ask at the same time; an exception for a thread that got one."""

    def attempt(_: int) -> Answer | BaseException:
        try:
            return ask()
        except BaseException as error:  # noqa: BLE001  it is the answer
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(attempt, range(THREADS)))

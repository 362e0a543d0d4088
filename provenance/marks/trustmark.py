"""The `trustmark` watermark: Adobe's TrustMark networks (Bui et al., ICCV 2025), with weights the operator brings.

The package `trustmark` (0.9.2) fetches its weights when built, into its own folder, checks a fresh download not at all
and an old one by MD5, imports what a fetched file names, and unpickles. So only its network classes are used, read
from `unet.py` alone, and here nothing is fetched: two files, each of the SHA-256 the settings name, weights only.

1. mark     the picture at 256 x 256 goes through the encoder; the change, less its mean, is laid over the full picture
2. read     the picture at 245 x 245 (224 for P) goes through the decoder: 100 numbers, positive for a one

Of the 100 bits 96 are ours: 64 of mark and a CRC-32, with weak bits set right; BCH_5, the package's default, leaves 61.
Such a payload is none of Adobe's schemas, whose readers would not find it, hence an algorithm id of our own.

There is no key: whoever has the weights can write and remove the mark, so it is a reference to a record, never proof.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from provenance.errors import MarkUnreadable
from provenance.marks.watermarkers import Detection, Pixels
from provenance.payload import CODE_BITS, WEAK_BITS, protect, recover, to_bits

Variant = Literal["Q", "P", "B", "C"]

SECRET_BITS: Final = 100
_ENCODER_SIDE: Final = 256
_DECODER_SIDE: Final = {"Q": 245, "B": 245, "C": 245, "P": 224}
_DECODER_NETWORK: Final = {"Q": "resnet50", "B": "resnet50", "P": "resnet50", "C": "resnet18"}
_GAIN: Final = {"Q": 1.0, "B": 1.0, "C": 1.0, "P": 1.25}
_LONGEST: Final = {"Q": 2.0, "B": 2.0, "C": 2.0, "P": 0.0}
"""Sides' ratio from which only the square in the middle is marked; P always does that."""
_FEATHER: Final = 0.01
_CHANCE: Final = 2.0**WEAK_BITS / 2**32
_LEAST_SIDE: Final = 150  # the package's FAQ


class TrustMark:
    """Part `trustmark`."""

    name = "trustmark"
    version = "1"
    strengths: tuple[float, ...] = (1.0, 1.5, 2.0)
    min_pixels = 256 * 256
    marks = True

    class Options(BaseModel):
        """`folder`: holds `encoder_<variant>.ckpt` and `decoder_<variant>.ckpt`, as Adobe publishes them, and the two
        digests in hex say which. `device`: a torch device."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        folder: Path
        encoder_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
        decoder_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
        variant: Variant = "Q"
        device: str = "cpu"

    def __init__(self, options: Options) -> None:
        self._variant: Variant = options.variant
        self._device = options.device
        self.algorithm = f"dev.fluxgate.trustmark-{options.variant.lower()}.1"
        networks = _network_classes()
        encoder = networks.Unet1(_ENCODER_SIDE, SECRET_BITS, width=32, ndown=4, nmiddle=1, activ="silu")
        decoder = networks.SecretDecoder(_DECODER_NETWORK[options.variant], secret_len=SECRET_BITS)
        for part, network, digest in (
            ("encoder", encoder, options.encoder_sha256),
            ("decoder", decoder, options.decoder_sha256),
        ):
            _load(network, part, options.folder / f"{part}_{options.variant}.ckpt", digest)
        self._encoder, self._decoder = encoder.to(options.device).eval(), decoder.to(options.device).eval()

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        """See `Watermarker.embed`. Climbs to a harder strength by itself where this one does not hold."""
        height, width = pixels.shape[:2]
        if height * width < self.min_pixels or min(height, width) < _LEAST_SIDE:
            raise MarkUnreadable(f"{self.name}: {width}x{height} is too small, at least {self.min_pixels} pixels")
        top, left, rows, columns = self._region(height, width)
        region = pixels[top : top + rows, left : left + columns]
        change = self._change(region, secret(mark)) * _feathered(rows, columns)[..., None]
        for candidate in (known for known in self.strengths if known >= strength):
            marked = pixels.copy()
            moved = region + change * np.float32(candidate * _GAIN[self._variant])
            marked[top : top + rows, left : left + columns] = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
            found = self.detect(marked)
            if found is not None and found.mark == mark:
                marked.flags.writeable = False
                return marked
        raise MarkUnreadable(f"{self.name}: this picture does not hold the mark at any permitted strength")

    def detect(self, pixels: Pixels) -> Detection | None:
        """See `Watermarker.detect`."""
        height, width = pixels.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return None
        top, left, rows, columns = self._region(height, width)
        said = self._said(pixels[top : top + rows, left : left + columns])
        found = recover(said[:CODE_BITS])
        if found is None:
            return None
        certainty = float(np.tanh(np.abs(said[:CODE_BITS]).min() / 2))  # |2p - 1| of the weakest bit's probability p
        return Detection(found[0], self.algorithm, certainty, found[1], _CHANCE)

    def _region(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, rows and columns of what is marked."""
        if max(height, width) / min(height, width) <= _LONGEST[self._variant]:
            return 0, 0, height, width
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side

    def _change(self, region: Pixels, bits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(height, width, 3): what the encoder adds at strength 1, in grey levels."""
        import torch

        with torch.inference_mode():
            cover = self._resized(region, _ENCODER_SIDE)
            marked = self._encoder(cover, torch.from_numpy(bits)[None].to(self._device))
            change = marked.clamp(-1, 1) - cover
            change = change - change.mean(dim=(2, 3), keepdim=True)
            whole = torch.nn.functional.interpolate(change, size=region.shape[:2], mode="bilinear")
            laid: npt.NDArray[np.float32] = whole[0].permute(1, 2, 0).cpu().numpy() * np.float32(127.5)
        return laid

    def _said(self, region: Pixels) -> npt.NDArray[np.floating]:
        """(100,), positive for a one."""
        import torch

        with torch.inference_mode():
            bits = self._decoder(self._resized(region, _DECODER_SIDE[self._variant]))[0]
        said: npt.NDArray[np.floating] = bits.cpu().numpy()
        return said

    def _resized(self, region: Pixels, side: int) -> Any:
        """(1, 3, side, side) in [-1, 1], filtered as Pillow's BILINEAR is, which the package uses."""
        import torch

        whole = torch.from_numpy(region.astype(np.float32)).to(self._device).permute(2, 0, 1)[None]
        small = torch.nn.functional.interpolate(whole, size=(side, side), mode="bilinear", antialias=True)
        return small.round() / 127.5 - 1


def secret(mark: bytes) -> npt.NDArray[np.float32]:
    """(100,) of 0 and 1: the mark, its CRC-32, and four zeros. Raises `ValueError` unless `mark` has 8 bytes."""
    return np.pad(to_bits(protect(mark)), (0, SECRET_BITS - CODE_BITS)).astype(np.float32)


def _feathered(rows: int, columns: int) -> npt.NDArray[np.float32]:
    """(rows, columns): 1, falling towards the edges over a hundredth of the shorter side, as the package fades."""
    width = min(50, max(1, int(min(rows, columns) * _FEATHER)))
    ramp = (np.arange(width, dtype=np.float32) + 1) / width
    weight = np.ones((rows, columns), np.float32)
    weight[:width], weight[-width:] = ramp[:, None], ramp[::-1, None]
    weight[:, :width], weight[:, -width:] = ramp, ramp[::-1]
    return weight


def _network_classes() -> Any:
    """The package's `unet.py` by itself: its `__init__` pulls in what downloads."""
    package = importlib.util.find_spec("trustmark")
    if package is None or package.origin is None:
        raise ValueError("the package trustmark is not installed: pip install 'fluxgate[trustmark]'")
    spec = importlib.util.spec_from_file_location("trustmark_unet", Path(package.origin).with_name("unet.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load(network: Any, part: str, file: Path, digest: str) -> None:
    """Weights of `part` from `file`, hashed and loaded from the same bytes. Raises `ValueError`."""
    import torch

    try:
        content = file.read_bytes()
    except OSError as failure:
        raise ValueError(f"{file} cannot be read: {failure.strerror}; nothing is downloaded") from failure
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{file} has SHA-256 {found}, not {digest}: it is not the file the settings name")
    try:
        held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        held = held.get("state_dict", held)
        weights = {name.removeprefix(f"{part}."): value for name, value in held.items() if name.startswith(f"{part}.")}
        network.load_state_dict(weights)
    except Exception as failure:  # of bytes that are no weights, the unpickler may raise anything
        raise ValueError(f"{file} holds no weights of this {part}") from failure

"""TrustMark's own network classes under our loading: weights only, by digest, never fetched.

The published weights are not at hand. Random ones stand in for them: nothing can be read back through them, so sealing
must refuse; where a mark is to be read, it is put into the decoder's last layer by hand.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.parts import BootError, build_part, torchvision_ops
from provenance.errors import MarkUnreadable
from provenance.marks.trustmark import SECRET_BITS, TrustMark, _network_classes, secret
from provenance.payload import CODE_BITS, recover
from provenance.sealing import SealerSetup, seal
from tests.provenance.operators import MARK, Gateway, make_claim
from tests.provenance.pictures import make_picture

if importlib.util.find_spec("trustmark") is None:
    pytest.skip("the optional package trustmark is not installed", allow_module_level=True)
torch = pytest.importorskip("torch")


def save(folder: Path, variant: str, *, says: np.ndarray | None = None) -> dict[str, Any]:
    """Options for random weights in the published files' form. `says`: what the decoder answers to every picture."""
    torchvision_ops.install()
    torch.manual_seed(11)
    classes = _network_classes()
    encoder = classes.Unet1(256, SECRET_BITS, width=32, ndown=4, nmiddle=1, activ="silu")
    decoder = classes.SecretDecoder("resnet18" if variant == "C" else "resnet50", secret_len=SECRET_BITS)
    if says is not None:
        decoder.decoder.fc.weight.data.zero_()
        decoder.decoder.fc.bias.data = torch.from_numpy(says.astype(np.float32))
    options: dict[str, Any] = {"folder": folder, "variant": variant}
    for part, network in (("encoder", encoder), ("decoder", decoder)):
        file = folder / f"{part}_{variant}.ckpt"
        named = {f"{part}.{name}": value for name, value in network.state_dict().items()}
        torch.save({"state_dict": named | {"fixed_input": torch.tensor(True)}, "epoch": 3, "global_step": 9}, file)
        options[f"{part}_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return options


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return save(tmp_path_factory.mktemp("weights"), "C")


@given(mark=st.binary(min_size=8, max_size=8))
def test_every_mark_fits_into_the_hundred_bits_and_comes_back(mark: bytes) -> None:
    bits = secret(mark)

    assert bits.shape == (SECRET_BITS,)
    assert recover(bits[:CODE_BITS] - 0.5) == (mark, 0)


def test_with_random_weights_nothing_is_read_back_so_nothing_is_sealed(
    compact: dict[str, Any], gateway: Gateway
) -> None:
    part: TrustMark = build_part("watermarkers", "trustmark", compact)
    parts = SealerSetup(part, gateway.sealing.signer, gateway.sealing.reader, gateway.sealing.fingerprint)

    assert part.detect(make_picture()) is None
    with pytest.raises(MarkUnreadable, match="trustmark"):
        seal(parts, make_picture(), make_claim())


@pytest.mark.parametrize(("variant", "shape"), [("Q", (300, 400)), ("P", (300, 400)), ("C", (260, 700))])
def test_what_the_decoder_says_is_read_and_marked_pixels_keep_their_shape(
    tmp_path: Path, variant: str, shape: tuple[int, int]
) -> None:
    part = TrustMark(TrustMark.Options(**save(tmp_path, variant, says=(secret(MARK) - 0.5) * 8)))
    picture = make_picture(*shape)

    marked = part.embed(picture, MARK, 1.0)

    found = part.detect(marked)
    assert found is not None
    assert (found.mark, found.algorithm, found.corrected_bits) == (
        MARK, f"dev.fluxgate.trustmark-{variant.lower()}.1", 0,
    )  # fmt: skip
    assert marked.shape == picture.shape
    assert not marked.flags.writeable
    assert not np.array_equal(marked, picture)
    if variant in ("P", "C"):  # only the square in the middle is marked
        beside = (shape[1] - shape[0]) // 2
        assert np.array_equal(marked[:, : beside - 1], picture[:, : beside - 1])


def test_weak_bits_are_set_right(tmp_path: Path) -> None:
    says = (secret(MARK) - 0.5) * 8
    says[[3, 40, 77]] *= -0.01
    part = TrustMark(TrustMark.Options(**save(tmp_path, "C", says=says)))

    found = part.detect(make_picture())

    assert found is not None
    assert (found.mark, found.corrected_bits) == (MARK, 3)


@pytest.mark.parametrize(("variant", "shape"), [("C", (300, 400)), ("P", (280, 330))])
def test_the_pixels_are_those_of_the_package_itself(tmp_path: Path, variant: str, shape: tuple[int, int]) -> None:
    pytest.importorskip("omegaconf", reason="the package trustmark is installed without what it needs")
    options = save(tmp_path, variant, says=(secret(MARK) - 0.5) * 8)
    ours = TrustMark(TrustMark.Options(**options))
    import trustmark

    class Network(torch.nn.Module):  # type: ignore[name-defined]  # `TrustMark_Arch` without lightning
        device = "cpu"

        def forward(self, cover: Any, bits: Any) -> Any:
            marked = ours._encoder(cover, bits)
            return marked, marked - cover

    stock = object.__new__(trustmark.TrustMark)
    stock.use_ECC, stock.device, stock.model_type, stock.encoder = False, "cpu", variant, Network()
    stock.concentrate_wm_region, stock.model_resolution_enc = 1.0, 256
    stock.aspect_ratio_lim = 0 if variant == "P" else 2.0
    picture = make_picture(*shape)
    bits = "".join(str(int(bit)) for bit in secret(MARK))

    theirs = np.asarray(stock.encode(Image.fromarray(picture), bits, MODE="binary"), np.int16)

    difference = np.abs(theirs - ours.embed(picture, MARK, 1.0))
    assert difference.max() <= 2, "they cut where we round, and Pillow rounds between its two passes"
    assert (difference > 1).mean() < 0.05
    assert np.abs(theirs - picture).mean() > 20, "through these weights the change is large, so this says something"


@pytest.mark.parametrize("fault", ["other digest", "missing", "not weights", "pickle", "other network"])
def test_files_that_are_not_the_named_weights_stop_the_boot(
    tmp_path: Path, compact: dict[str, Any], fault: str
) -> None:
    options = dict(compact)
    file = tmp_path / "encoder_C.ckpt"
    for part in ("encoder", "decoder"):
        (tmp_path / f"{part}_C.ckpt").write_bytes((compact["folder"] / f"{part}_C.ckpt").read_bytes())
    match fault:
        case "other digest":
            options["encoder_sha256"] = "0" * 64
        case "missing":
            file.unlink()
        case "not weights":
            file.write_bytes(b"hello")
        case "pickle":
            torch.save({"state_dict": {"encoder.pre": Path("/")}}, file)
        case "other network":
            torch.save({"state_dict": {"encoder.pre": torch.zeros(2)}}, file)
    if file.exists() and fault != "other digest":
        options["encoder_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()

    with pytest.raises(BootError, match=r"encoder_C\.ckpt"):
        build_part("watermarkers", "trustmark", options | {"folder": tmp_path})


def test_pictures_that_are_too_small_are_refused_and_carry_nothing(compact: dict[str, Any]) -> None:
    part = TrustMark(TrustMark.Options(**compact))
    assert part.detect(np.zeros((140, 600, 3), np.uint8)) is None
    with pytest.raises(MarkUnreadable, match="too small"):
        part.embed(np.zeros((200, 300, 3), np.uint8), MARK, 1.0)

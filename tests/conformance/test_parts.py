"""Every part of ours passes the check that a stranger's part must pass, and is built as an operator builds it."""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.auth.key_store import KeyStore
from gateway.parts.conformance import GROUPS, NotConforming, Samples, check
from gateway.parts.conformance.samples import picture
from gateway.store.data_folder import open_data_folder
from inference.demo import WEIGHTS
from moderation.local_weights import folder_digest
from provenance.marks.foreign import REFERENCE
from provenance.marks.library import LibraryWatermark
from provenance.signing.certificates import chain_pem
from tests.moderation.test_image_clip import TABLE, Small
from tests.moderation.test_image_probe import Trained
from tests.moderation.test_prompt_transformer import LABELS, save_model
from tests.moderation.tiny_guards import save_naming_guard
from tests.provenance.issuing import issue, written
from tests.provenance.key_services import TOKEN, SigningService, serving, softhsm
from tests.provenance.operators import make_gateway
from tests.provenance.test_foreign_marks import marked
from tests.provenance.test_signers import hsm_options

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "policies" / "data"
OURS = sorted(
    (group.removeprefix("fluxgate."), name)
    for group, parts in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"].items()
    for name in parts
)
Asked = tuple[dict[str, Any], Samples]


def data(*files: str) -> list[dict[str, Any]]:
    return [tomllib.loads((DATA / file).read_text()) for file in files]


def transformer(folder: Path) -> Asked:
    return {"model": str(save_model(folder, multi_label=False)), "label_map": LABELS}, Samples()


def guard(folder: Path) -> Asked:
    save_naming_guard(folder)
    return {"model": folder, "sha256": folder_digest(folder), "family": "llama_guard_3"}, Samples(prompt="a cat")


def clip(folder: Path) -> Asked:
    small = Small(folder)
    return {"model": str(small.config), "weights": str(small.weights), "data": [TABLE]}, Samples()


def needing(extra: str, module: str) -> Callable[[Path], Asked]:
    """Of a part with an extra: skipped, by name, where the extra is not installed."""

    def options(_: Path) -> Asked:
        pytest.importorskip(module, reason=f"the extra {extra} is not installed")
        return {}, Samples()

    return options


def foreign(_: Path) -> Asked:
    return {}, Samples(marked=marked(picture(512, 512), REFERENCE[2].bits.tolist(), "dwtDct"))


def local(folder: Path) -> Asked:
    authority = folder / "authority"
    authority.mkdir()
    written(folder, make_gateway(authority, "Example Operator"), ec.generate_private_key(ec.SECP256R1()))
    return {"chain_path": folder / "chain.pem", "key_path": folder / "leaf.key"}, Samples()


def pkcs11(folder: Path) -> Asked:
    module = softhsm(folder)
    return dict(hsm_options(module, make_gateway(folder, "Example Operator"), folder, "es256")), Samples()


def api_keys(folder: Path) -> Asked:
    opened = open_data_folder(folder / "data")
    store = KeyStore(opened.database, opened.pepper)
    _, key = store.create("acme")
    return {"store": store}, Samples(
        credentials={"authorization": f"Bearer {key}"},
        refused_credentials={"x-api-key": key[:-4] + ("aaaa" if key[-4:] != "aaaa" else "bbbb")},
    )


def plain(**options: Any) -> Callable[[Path], Asked]:
    return lambda _: (options, Samples())


BUILT: dict[tuple[str, str], Callable[[Path], Asked]] = {
    ("prompt_classifiers", "terms"): plain(data=data("terms/en.toml")),
    ("prompt_classifiers", "semantic"): plain(),
    ("prompt_classifiers", "transformer"): transformer,
    ("prompt_classifiers", "guard"): guard,
    ("prompt_classifiers", "languages"): plain(),
    ("prompt_classifiers", "named_people"): plain(data=data("registers/people.toml", "terms/en.toml")),
    ("prompt_classifiers", "rights_holders"): plain(data=data("registers/rights.toml")),
    ("prompt_classifiers", "nonsense"): plain(),
    ("image_classifiers", "pdq_list"): plain(data=data("hashes/test_card.toml")),
    ("image_classifiers", "clip"): clip,
    ("image_classifiers", "probe"): lambda folder: (Trained(folder).options(), Samples()),
    ("image_classifiers", "nudity"): needing("nudity", "nudenet"),
    ("image_classifiers", "people"): plain(),
    ("image_classifiers", "rights_holders"): plain(data=data("registers/rights.toml")),
    ("image_text_readers", "rapidocr"): needing("ocr", "rapidocr"),
    ("engines", "flux"): plain(model=str(WEIGHTS), device="cpu"),
    ("watermarkers", "dwtdctsvd"): plain(),
    ("watermarkers", "tile"): plain(keys=[{"id": "1", "hex": "00" * 32}]),
    ("watermarkers", "unsafe_unmarked"): plain(),
    ("foreign_marks", "invisible_watermark"): foreign,
    ("signers", "local"): local,
    ("signers", "pkcs11"): pkcs11,
    ("identity_providers", "api_keys"): api_keys,
    ("dialects", "native"): plain(),
    ("dialects", "openai"): plain(),
    ("dialects", "soft_binding"): plain(),
}
BY_THEMSELVES = {("signers", "remote"), ("watermarkers", "trustmark")}
"""Those with a test of their own below: one needs a service, the other published weights."""


def test_every_group_and_every_part_is_checked() -> None:
    assert {group for group, _ in OURS} == set(GROUPS)
    assert set(BUILT) | BY_THEMSELVES == set(OURS)


@pytest.mark.filterwarnings("ignore:UnsafeUnmarked")
@pytest.mark.parametrize(("group", "name"), sorted(BUILT))
def test_our_part_conforms(group: str, name: str, tmp_path: Path) -> None:
    options, samples = BUILT[group, name](tmp_path)

    check(group, name, options, samples)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[dict[str, Any]]:
    signing = SigningService(ec.generate_private_key(ec.SECP384R1()))
    chain = issue(make_gateway(tmp_path, "Example Operator"), signing.key.public_key())
    (tmp_path / "chain.pem").write_text(chain_pem(chain))
    (tmp_path / "token").write_text(TOKEN)
    with serving(signing) as url:
        yield {
            "chain_path": tmp_path / "chain.pem", "url": url, "key_id": "k1", "token_path": tmp_path / "token"
        }  # fmt: skip


def test_the_remote_signer_conforms(service: dict[str, Any]) -> None:
    check("signers", "remote", service)


def test_a_watermark_whose_weights_are_random_is_told_that_no_mark_reads_back(tmp_path: Path) -> None:
    """TrustMark's published weights are not at hand: its shape conforms, and the check sees that its marks do not."""
    pytest.importorskip("trustmark", reason="the extra trustmark is not installed")
    from tests.provenance.test_trustmark import save as save_trustmark

    with pytest.raises(NotConforming) as failure:
        check("watermarkers", "trustmark", save_trustmark(tmp_path, "C"))

    assert all("MarkUnreadable" in fault for fault in failure.value.faults)


def test_the_same_check_takes_the_class_itself() -> None:
    check("fluxgate.watermarkers", LibraryWatermark)


def test_the_sample_picture_is_the_same_for_everybody() -> None:
    pixels = picture(64, 64)

    assert pixels.dtype == np.uint8
    assert not pixels.flags.writeable
    assert hashlib.sha256(pixels).digest() == hashlib.sha256(picture(64, 64)).digest()

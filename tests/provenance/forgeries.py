"""Surgery on sealed files: manifest stores and boxes put in, signature boxes taken apart and closed again."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c2pa
import cbor2

from provenance.claims import MediaType
from provenance.credentials.manifest import definition
from provenance.files.headers import png_chunk
from provenance.signing.local import LocalSigner
from tests.provenance.anatomy import Box, boxes, store_of
from tests.provenance.operators import make_claim


def box(kind: bytes, content: bytes) -> bytes:
    """A JUMBF box."""
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def with_chunks(png: bytes, *stores: bytes) -> bytes:
    """The sealed PNG with these stores, each in a chunk of its own, where its own one was."""
    start, end = store_of(png)
    return png[: start - 8] + b"".join(png_chunk(b"caBX", store) for store in stores) + png[end + 4 :]


def manifests(store: bytes) -> list[bytes]:
    """The manifest boxes of a store, the active one last."""
    return [store[box.start : box.end] for box in _at_depth(store, 2)]


def store_with(store: bytes, *inside: bytes) -> bytes:
    """A store like this one, with other manifests in it."""
    description = next(box for box in boxes(store, 0, len(store)) if box.kind == "jumd")
    return box(b"jumb", store[description.start : description.end] + b"".join(inside))


def with_signature(store: bytes, change: Callable[[list[Any]], list[Any]]) -> bytes:
    """The store with the COSE_Sign1 of its active manifest changed; the padding is cut to keep every length.

    `change` gets protected header (bytes), unprotected header (a map), payload, signature, and returns the new ones.
    """
    where = _signature(store)
    start, end = where.start + 8, where.end
    sign1 = change(list(cbor2.loads(store[start:end]).value))
    spare = len(sign1[1]["pad"]) + (end - start) - len(_closed(sign1))
    sign1[1] = {**sign1[1], "pad": bytes(spare)}
    assert len(_closed(sign1)) == end - start
    return store[:start] + _closed(sign1) + store[end:]


def with_padding_cut(store: bytes, size: int) -> bytes:
    """The store, shorter by `size` bytes of padding; the lengths of all boxes around it fit."""
    where = _signature(store)
    protected, unprotected, payload, signature = cbor2.loads(store[where.start + 8 : where.end]).value
    shorter = {**unprotected, "pad": unprotected["pad"][size:]}
    cut = bytearray(store[: where.start + 8] + _closed([protected, shorter, payload, signature]))
    assert len(cut) == len(store) - size
    for around in boxes(store, 0, len(store)):
        if around.start <= where.start and around.end >= where.end:
            cut[around.start : around.start + 4] = (around.end - around.start - size).to_bytes(4, "big")
    return bytes(cut)


def _signature(store: bytes) -> Box:
    """The content box of the active manifest's signature."""
    return [at for at in boxes(store, 0, len(store)) if at.label.endswith("/c2pa.signature") and at.kind == "cbor"][-1]


def _closed(sign1: list[Any]) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(18, sign1))


def relabelled(manifest: bytes, label: bytes) -> bytes:
    """A manifest box under another label of the same length."""
    old = next(boxes(manifest, 0, len(manifest))).label[1:].encode()
    assert len(old) == len(label)
    return manifest.replace(old + b"\x00", label + b"\x00", 1)


def label_of(manifest: bytes) -> bytes:
    """The URN of a manifest box."""
    return next(boxes(manifest, 0, len(manifest))).label[1:].encode()


def referring(folder: Path, media_type: MediaType, plain: bytes, address: str) -> bytes:
    """A file that only names `address`, where its manifest is said to lie. `folder`: of the signer's chain and key."""
    local = LocalSigner(LocalSigner.Options(chain_path=folder / "chain.pem", key_path=folder / "leaf.key"))
    signer = c2pa.Signer.from_callback(local.sign, c2pa.C2paSigningAlg.ES256, local.chain_pem)
    named = io.BytesIO()
    settings = {"builder": {"thumbnail": {"enabled": False}}}
    with c2pa.Builder(definition(make_claim(media_type), None), context=c2pa.Context.from_dict(settings)) as builder:
        builder.set_no_embed()
        builder.set_remote_url(address)
        builder.sign(signer, media_type, io.BytesIO(plain), named)
    return named.getvalue()


def _at_depth(store: bytes, depth: int) -> list[Box]:
    return [box for box in boxes(store, 0, len(store)) if box.kind == "jumb" and box.label.count("/") == depth]

"""Copies are recognised whatever happened to them, and other pictures are not; on real photographs."""

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from provenance.looks.likeness import Change, likeness
from provenance.marks.watermarkers import Pixels

CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "jpeg 20": lambda a: cv2.imdecode(cv2.imencode(".jpg", a, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR),
    "a quarter of it": lambda a: a[a.shape[0] // 4 : a.shape[0] * 3 // 4, a.shape[1] // 4 : a.shape[1] * 3 // 4],
    "half size": lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "mirrored": lambda a: a[:, ::-1],
    "a quarter turn": lambda a: np.rot90(a),
    "grey": lambda a: np.repeat(a.mean(2, keepdims=True).astype(np.uint8), 3, axis=2),
}


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> list[Pixels]:
    files = sorted((shared_data / "photos" / "kodak").glob("*.png"))[:4]
    return [cv2.resize(cv2.imread(str(file)), (576, 384), interpolation=cv2.INTER_AREA) for file in files]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_the_same_picture(photographs: list[Pixels], change: str) -> None:
    for original in photographs[:2]:
        assert likeness(np.ascontiguousarray(CHANGES[change](original)), original).same is True


def test_how_it_was_changed_is_told(photographs: list[Pixels]) -> None:
    original = photographs[0]
    laid = likeness(np.ascontiguousarray(CHANGES["a quarter of it"](original)), original).overlay
    assert laid is not None
    assert abs(laid.shown - 0.25) < 0.02
    assert laid.changes == ((Change.CROPPED, f"cropped to {laid.shown:.0%}"),)
    turned = likeness(np.ascontiguousarray(np.rot90(original)), original).overlay
    assert turned is not None
    assert abs(turned.turned - 90) < 0.5
    mirrored = likeness(np.ascontiguousarray(original[:, ::-1]), original).overlay
    assert mirrored is not None
    assert mirrored.mirrored
    halved = likeness(CHANGES["half size"](original), original).overlay
    assert halved is not None
    assert abs(halved.scale - 0.5) < 0.01


def test_another_photograph_is_not_a_copy(photographs: list[Pixels]) -> None:
    for one, other in itertools.pairwise(photographs):
        assert likeness(one, other).same is False


def test_of_a_flat_picture_nothing_is_said(photographs: list[Pixels]) -> None:
    assert likeness(np.full((256, 256, 3), 90, np.uint8), photographs[0]).same is None


def test_a_picture_set_into_a_larger_one_is_told(photographs: list[Pixels]) -> None:
    original = photographs[0]
    larger = np.full((800, 1200, 3), 240, np.uint8)
    larger[100:484, 200:776] = original
    laid = likeness(larger, original).overlay
    assert laid is not None
    assert any(kind is Change.SET_INTO for kind, _ in laid.changes)

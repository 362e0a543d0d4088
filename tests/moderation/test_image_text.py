import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from moderation.classifiers import ImageTextReader, Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_text import RapidOcr

needs_the_extra = pytest.mark.skipif(find_spec("rapidocr") is None, reason="the extra `ocr` is not installed")


def written(*lines: str, size: int = 512) -> Pixels:
    picture = Image.new("RGB", (size, size), "ivory")
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((24, 60 + 100 * row), line, fill="navy", font=ImageFont.load_default(size=40))
    return np.array(picture)


@pytest.fixture(scope="module")
def reader() -> Iterator[RapidOcr]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the reader asked for the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket.socket, "connect", refuse)
        yield RapidOcr(RapidOcr.Options(threads=1))


@needs_the_extra
def test_words_in_a_picture_are_read_line_by_line_without_the_network(reader: RapidOcr) -> None:
    assert isinstance(reader, ImageTextReader)
    assert reader.read(written("a quiet garden", "over the old bridge", "1984")) == (
        "a quiet garden\nover the old bridge\n1984"
    )


@needs_the_extra
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_words_are_read(quarters: int, reader: RapidOcr) -> None:
    assert "quiet garden" in reader.read(np.ascontiguousarray(np.rot90(written("a quiet garden"), quarters)))


@needs_the_extra
@pytest.mark.parametrize("shape", [(1, 1), (1, 16384), (16384, 1), (5, 5), (300, 300), (64, 512)])
def test_pictures_without_words_give_the_empty_string(shape: tuple[int, int], reader: RapidOcr) -> None:
    assert reader.read(np.full((*shape, 3), 128, np.uint8)) == ""


@needs_the_extra
def test_a_strip_too_long_to_be_read_is_reported_and_not_passed_as_empty(reader: RapidOcr) -> None:
    with pytest.raises(ClassifierFailed, match="8:1"):
        reader.read(np.zeros((16384, 20, 3), np.uint8))


@needs_the_extra
@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_anything_but_rgb_bytes_is_refused(wrong: Any, reader: RapidOcr) -> None:
    with pytest.raises(ClassifierFailed):
        reader.read(wrong)


@needs_the_extra
def test_the_pixels_are_not_changed_and_may_be_read_only(reader: RapidOcr) -> None:
    pixels = written("a quiet garden")
    before = pixels.copy()
    pixels.flags.writeable = False
    reader.read(pixels)
    assert np.array_equal(pixels, before)


@needs_the_extra
def test_several_threads_read_what_one_reads(reader: RapidOcr) -> None:
    pictures = [written(f"picture number {number}", size=400) for number in range(4)]
    alone = [reader.read(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reader.read, pictures)) == alone
    assert len(set(alone)) == len(alone)


@needs_the_extra
def test_the_version_names_the_release_and_the_models(reader: RapidOcr) -> None:
    release, _, digest = reader.version.partition("+sha256.")
    assert release
    assert len(digest) == 64


@needs_the_extra
def test_missing_or_broken_models_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="needed is one"):
        RapidOcr(RapidOcr.Options(model_folder=tmp_path))
    for step in ("det", "cls", "rec"):
        (tmp_path / f"some_{step}_model.onnx").write_bytes(b"not a model")
    with pytest.raises(PartUnusable, match="do not load") as raised:
        RapidOcr(RapidOcr.Options(model_folder=tmp_path))
    assert raised.value.field == "model_folder"


def test_without_the_extra_the_start_stops_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(PartUnusable, match="pip install 'fluxgate\\[ocr\\]'"):
        RapidOcr(RapidOcr.Options())

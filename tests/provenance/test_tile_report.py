"""The report: right intervals, every cell written, and a command that produces it."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.commands.watermark import watermark_app
from provenance.errors import MarkUnreadable
from provenance.marks.tile_watermark import TileKey, TileWatermark
from provenance.marks.watermarkers import Detection, Pixels
from provenance.watermark_report import keys
from provenance.watermark_report.attacks import ATTACKS
from provenance.watermark_report.keys import search_unmarked, time_keys
from provenance.watermark_report.measuring import MARK, measure
from provenance.watermark_report.pictures import Picture, flat_art, photographs
from provenance.watermark_report.statistics import flat_rms, psnr_db, ssim, wilson
from provenance.watermark_report.stock import StockWatermark
from provenance.watermark_report.writing import write_report
from tests.provenance.pictures import jpeg, make_picture


class Forgetful:
    """A part that hides the mark's last byte in one pixel, and refuses dark pictures."""

    name, version, algorithm = "forgetful", "1", "test.forgetful"
    strengths: tuple[float, ...] = (1.0,)
    min_pixels, marks = 1, True

    def embed(self, pixels: Pixels, mark: bytes, strength: float) -> Pixels:
        if pixels.mean() < 20:
            raise MarkUnreadable("too dark")
        marked = pixels.copy()
        marked[0, 0] = (1, 2, mark[-1])
        return marked

    def detect(self, pixels: Pixels) -> Detection | None:
        hidden = pixels[0, 0].tolist() == [1, 2, MARK[-1]]
        return Detection(MARK, self.algorithm, 1.0, 0) if hidden else None


@given(total=st.integers(1, 500), data=st.data())
def test_the_interval_holds_the_share_and_stays_between_none_and_all(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    low, high = wilson(right, total)

    assert 0 <= low <= right / total <= high <= 1


def test_wilson_agrees_with_the_textbook() -> None:
    assert wilson(36, 36) == (pytest.approx(0.9036, abs=1e-3), 1.0)
    with pytest.raises(ValueError, match="no share"):
        wilson(0, 0)


def test_equal_pictures_are_equal_by_every_measure() -> None:
    picture = make_picture(64, 64)

    assert psnr_db(picture, picture) == float("inf")
    assert ssim(picture, picture) == pytest.approx(1)
    assert flat_rms(np.full((64, 64, 3), 9, np.uint8), np.full((64, 64, 3), 11, np.uint8)) == pytest.approx(2)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_returns_pixels_as_parts_take_them_and_repeats_itself(attack: object) -> None:
    picture = make_picture(256, 300)

    once, again = (attack.apply(picture, np.random.default_rng(7)) for _ in range(2))  # type: ignore[attr-defined]

    assert once.dtype == np.uint8
    assert once.ndim == 3
    assert not once.flags.writeable
    assert np.array_equal(once, again)


def test_pictures_are_cut_to_the_wanted_shape(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg(make_picture(90, 200), 90))
    (tmp_path / "notes.txt").write_text("no picture")

    (picture,) = photographs(tmp_path, 96, 64, None)

    assert picture.pixels.shape == (64, 96, 3)
    assert [art.pixels.shape for art in flat_art(2, 80, 60)] == [(60, 80, 3)] * 2


def test_the_report_counts_what_was_read_lost_and_refused(tmp_path: Path) -> None:
    pictures = [
        Picture("light", "photo", 0, make_picture(64, 64)),
        Picture("dark", "photo", 1, np.zeros((64, 64, 3), np.uint8)),
    ]
    attacks = [attack for attack in ATTACKS if attack.name in ("none", "flip")]

    run = measure("forgetful", Forgetful(), pictures, attacks, width=64, height=64, progress=lambda line: None)
    write_report(tmp_path, [run], attacks, "a command", ["A note."])

    assert run.quality["photo"].refused == ["dark"]
    assert (run.searches, run.false_marks) == (6, 0)
    text = (tmp_path / "REPORT.md").read_text()
    assert "| none | 99.5 % | 100 % (1/1; 21-100)" in text
    assert "| flip | 99 % | 0 % (0/1; 0-79)" in text
    assert "1 of 2" in text
    assert "<table>" in (tmp_path / "REPORT.html").read_text()
    assert (tmp_path / "photo-64x64.svg").read_text().startswith("<svg")


def test_the_command_writes_a_report(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg(make_picture(256, 256), 95))
    out = tmp_path / "out"

    result = CliRunner().invoke(
        watermark_app,
        shlex.split(f"report {tmp_path} --scheme dwtdctsvd --scheme stock:dwtDct --size 256x256 --out {out}")
        + shlex.split("--attack none --attack 'JPEG 90'"),
    )

    assert result.exit_code == 0, result.output
    assert "JPEG 90" in (out / "REPORT.md").read_text()


def test_the_tile_mark_is_read_from_several_times_as_many_copies_as_the_stock_one() -> None:
    pictures = [Picture(f"made {seed}", "photo", seed, make_picture(512, 512, seed)) for seed in (11, 12)]
    names = ("JPEG 50", "JPEG 30", "noise 20", "resize x0.5", "crop 25 %", "rotate 15", "flip, x0.7", "perspective 3")
    attacks = [attack for attack in ATTACKS if attack.name.startswith(names)]
    key = TileKey.model_validate({"id": "test", "hex": "5a" * 32})
    tile = TileWatermark(TileWatermark.Options(keys=(key,)))

    read = []
    for scheme in (tile, StockWatermark("dwtDctSvd")):
        run = measure(scheme.name, scheme, pictures, attacks, width=512, height=512, progress=lambda line: None)
        read.append(sum(cell.count()[0] for cell in run.cells.values()))

    ours, theirs = read
    assert ours >= 4 * max(theirs, 1)
    assert ours >= 0.9 * len(pictures) * len(attacks)


def test_time_and_false_marks_are_counted_for_every_number_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "COUNTS", (1, 10, 20))  # a hundred take half a minute
    pictures = [Picture("made", "photo", 0, make_picture(300, 300, 1))]

    timings = time_keys(pictures, lambda name: None)
    pool = search_unmarked(
        pictures, [attack for attack in ATTACKS if attack.name in ("none", "flip")], lambda name: None
    )
    write_report(tmp_path, [], [], "a command", [], timings, pool)

    assert [(timing.keys, len(timing.unmarked)) for timing in timings] == [(1, 1), (10, 1), (20, 1)]
    assert all(timing.read["none"] and timing.found for timing in timings)
    assert (pool.searches, pool.found) == (2, 0)
    assert "| 20 | " in (tmp_path / "REPORT.md").read_text()
    assert "0 of 2" in (tmp_path / "REPORT.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--scheme", "dwtdctsvd"], "no folder"),
        ([".", "--scheme", "stock:other"], "stock:dwtDct"),
        ([".", "--scheme", "dwtdctsvd", "--size", "big"], "1024x1024"),
        ([".", "--scheme", "dwtdctsvd", "--attack", "zzz"], "no attack begins so"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg(make_picture(64, 64), 95))
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(watermark_app, ["report", *arguments])

    assert result.exit_code == 2
    assert said in result.output


def test_the_shipped_report_has_the_rows_that_outsiders_asked_for() -> None:  # cases V8 and V9
    report = (Path(keys.__file__).parent / "REPORT.md").read_text("utf-8")
    photographs, art = (
        report.partition(f"## {kind}, 1024 x 1024\n")[2].partition("\n## ")[0] for kind in ("Photographs", "Flat art")
    )
    moves = ("", ", cut 4", ", mirror", ", x0.9")
    for removal in ("self-fold x1.0", "notch above 8", "pilots removed"):
        assert all(f"| {removal}{move} |" in photographs for move in moves)
    assert all(f"| {attack} |" in art for attack in ("WebP 80", "JPEG 50", "JPEG 30", "JPEG 20"))

"""Grey levels of more than 8 bit: an image is what it is whether it comes alone or in company, and what is taken for white is said."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, rewritten
from PIL import Image

from dfr_core import DFR
from dfr_core.command import main
from dfr_core.data import Category, Sample, load_images, load_photographs
from dfr_core.data.arrays import white_among
from dfr_core.data.images import white_of


def grey(path: Path, top: int, seed: int = 0, kind: type = np.uint16) -> Path:
    """Noise from 0 to ``top``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, top + 1, (64, 64))
    values[0, 0] = top
    Image.fromarray(values.astype(kind)).save(path)
    return path


def fitted_to(folder: Path, *tops: int, kind: type = np.uint16) -> DFR:
    paths = [grey(folder / f"good/{k}.png", top, k, kind) for k, top in enumerate(tops)]
    return DFR(replace(TINY, layers="1:3"), device="cpu", progress=False).fit(paths)


WHITES = {(60_000, 3000): 65_535, (4000, 900): 4095, (200, 100): 255}


@pytest.mark.parametrize("tops", WHITES)
def test_a_dark_image_alone_is_what_it_is_in_company(tmp_path, tops, caplog):
    detector = fitted_to(tmp_path, *tops)
    assert detector.white_ == WHITES[tops]
    dark = grey(tmp_path / "dark.png", max(tops[1] // 20, 9), 7)
    bright = grey(tmp_path / "bright.png", tops[0], 8)
    together = detector.anomaly_map([dark, bright])
    detector.save(tmp_path / "m")
    for each in (detector, DFR.load(tmp_path / "m", device="cpu")):
        caplog.clear()
        assert np.array_equal(each.anomaly_map(dark)[0], together[0]) and np.array_equal(each.anomaly_map([bright])[0], together[1])
        assert not caplog.text, "nothing is assumed"


def test_every_way_in_knows_the_white(tmp_path, capsys):
    detector = fitted_to(tmp_path, 60_000, 50_000)
    detector.save(tmp_path / "m")
    dark, mask = grey(tmp_path / "mine/test/dark.png", 3000, 7), np.zeros((64, 64), np.uint8)
    mask[8:20, 8:20] = 255
    (tmp_path / "mine/masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "mine/masks/dark.png")
    expected = float(detector.image_score(dark)[0])
    assert main(["score", str(tmp_path / "m"), str(dark), "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["image_score"] == expected
    category = Category("mine", (), (Sample(dark, tmp_path / "mine/masks/dark.png", "dark"),))
    images = load_images([dark], 64, 65_535)
    assert detector.evaluate(category)["roc_auc"] == detector.evaluate((images, mask[None]))["roc_auc"]
    for k in range(2):
        grey(tmp_path / f"mine/normal/{k}.png", 900, k)
    detector.calibrate(load_photographs(tmp_path / "mine"))
    scores = [float(detector.image_score(tmp_path / f"mine/normal/{k}.png")[0]) for k in range(2)]
    assert detector.verdict_.kept.tolist() == pytest.approx(scores)


def test_what_is_assumed_is_told_with_what_to_do(tmp_path, caplog, capsys):
    detector = fitted_to(tmp_path, 200, 255, kind=np.uint8)
    assert detector.white_ is None
    detector.anomaly_map(grey(tmp_path / "dark.png", 3000))
    assert "dark.png: grey levels of more than 8 bit, none above 4095, so 4095 is taken for white; if that is wrong, add" in caplog.text
    caplog.clear()
    detector = fitted_to(tmp_path / "camera", 4000, 3000)
    assert "none above 4095" in caplog.text
    caplog.clear()
    detector.save(tmp_path / "m")
    detector.anomaly_map(grey(tmp_path / "bright.png", 9000))
    words = "bright.png: brighter than all that the model knows: 65535 is taken for white, not 4095; fit it to images like this one as well"
    assert words in caplog.text
    assert main(["score", str(tmp_path / "m"), str(tmp_path / "bright.png"), "--out", str(tmp_path / "out")]) == 0
    assert words in capsys.readouterr().err


def test_models_that_do_not_know(tmp_path, fitted):
    fitted.save(tmp_path / "m")
    file = rewritten(tmp_path / "m", tmp_path / "old", white=None)
    assert DFR.load(file, device="cpu").white_ is None and fitted.white_ is None, "fitted to a tensor"


def test_white_of_whatever_is_handed_over(tmp_path):
    deep, flat = grey(tmp_path / "n/a.png", 60_000), grey(tmp_path / "n/b.png", 200, kind=np.uint8)
    (tmp_path / "n/c.png").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    assert white_of([flat, tmp_path / "gone.png", tmp_path / "n/c.png", tmp_path / "pipe.png"]) is None and white_of([flat, deep]) == 65_535
    for given in (deep, str(deep), tmp_path / "n", [flat, str(deep)], Category("a", (flat, deep), ())):
        assert white_among(given) == 65_535
    for given in (flat, np.zeros((2, 8, 8), np.uint8), [np.zeros((8, 8), np.uint8)], iter([deep]), None, []):
        assert white_among(given) is None

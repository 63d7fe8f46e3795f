"""Notebook 10 with somebody's own photographs: it runs to its end, again and again, and leaves their folder as it was."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

from dfr_core import editions
from dfr_core.data.synthetic import make_image

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
import build

CELLS = [cell.source for cell in build.read_source(build.SOURCES / "10_your_photographs.py").cells if cell.cell_type == "code"]
LINE = "yours = None\n"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The quick edition, smaller still; figures are drawn but not shown."""
    quick = editions.EDITIONS["quick"]
    settings = replace(quick.settings, image_size=128, layers="1:8", steps=20)
    monkeypatch.setitem(editions.EDITIONS, "quick", replace(quick, settings=settings))
    monkeypatch.setenv("DFR_EDITION", "quick")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    with matplotlib.rc_context():
        yield


def photographs(folder: Path, layout: str) -> Path:
    """Five good ones of a tile and four others, named and shaped as people's are."""
    good = folder if layout == "one folder" else folder / "normal"
    for k in range(5):
        picture = Image.fromarray(make_image("tile", k)[0]).resize((320, 240))
        exif = Image.Exif()
        if k == 0:  # the first is a phone's, held upright
            exif[0x0112] = 6
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        good.mkdir(parents=True, exist_ok=True)
        picture.save(good / f"IMG {k}.jpg", exif=exif)
    for k in range(4 if layout in ("masks", "no masks") else 0):
        defect = "crack" if k < 2 else None
        pixels, mask = make_image("tile", 50 + k, split="test", defect=defect)
        (folder / "test").mkdir(exist_ok=True)
        Image.fromarray(pixels).convert("L" if k == 3 else "RGB").resize((320, 240)).save(folder / "test" / f"{k}.png")
        if defect and layout == "masks":
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).resize((320, 240), Image.Resampling.NEAREST).save(folder / "masks" / f"{k}.png")
    return folder


def run(names: dict, yours: Path) -> None:
    assert sum(LINE in cell for cell in CELLS) == 1, "the one line that the text says to change"
    plain = TransformerManager().transform_cell  # what the first cell does online is IPython's language, not Python's
    for cell in CELLS:
        exec(plain(cell).replace(LINE, f"yours = Path({str(yours)!r})\n"), names)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("layout", ["masks", "no masks", "normal only", "one folder"])
def test_it_runs_with_ones_own_photographs_and_leaves_them_alone(tmp_path, capsys, layout):
    folder = photographs(tmp_path / "mine", layout)
    before, names = contents(tmp_path), {}
    for _ in range(2 if "masks" in layout else 1):  # run all, and run all again in the same kernel
        run(names, folder)
        printed = capsys.readouterr().out
        assert "Exercise 10.3: right" in printed and "normal images" in printed
        assert ("pixels are ranked" in printed) == (layout == "masks")
    assert contents(tmp_path) == before


def test_it_says_what_to_change():
    text = (build.SOURCES / "10_your_photographs.py").read_text(encoding="utf-8")
    assert '`yours = Path("photographs")`' in text

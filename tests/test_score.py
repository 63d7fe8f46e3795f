"""`dfr score`: what is found, named, scored, written, and what is said of the rest."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dfr_core import DFR, DFRError
from dfr_core.command import main
from dfr_core.command import pictures as drawn
from dfr_core.command.image_files import LONGEST, write_picture
from dfr_core.command.pictures import GREY_THRESHOLD, WHITE, at_size, grey16, line_width, marked, write_pictures
from dfr_core.command.places import find_images
from dfr_core.command.results import NAME_BYTES, PICTURES, mark_of, occupied, output_names
from dfr_core.command.scorer import in_order
from dfr_core.data.listing import OUTPUT_MARK, is_output, mark_in
from dfr_core.plotting import FOUND, outline, overlay

UNTRAINED = ["--weights", "untrained", "--width", "0.05"]
SMALL = [*UNTRAINED, "--layers", "1:3", "--image-size", "64", "--steps", "2", "--positions", "16", "--quiet"]


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = (48, 40), **save) -> Path:
    """A picture of noise; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path, **save)
    return path


def damaged(path: Path) -> Path:
    whole = photograph(path, size=(90, 90)).read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model of 64 x 64 pixels."""
    root = tmp_path_factory.mktemp("score")
    for k in range(2):
        photograph(root / f"good/{k}.png", k, (64, 64))
    assert main(["fit", str(root / "good"), "--out", str(root / "model.safetensors"), *SMALL]) == 0
    return root / "model.safetensors"


@pytest.fixture
def score(model, tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, list[dict], list[str]]]:
    """Run `dfr score` in an empty folder: exit code, lines of JSON, lines on standard error."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run(*arguments: object, out: str = "out") -> tuple[int, list[dict], list[str]]:
        code = main(["score", str(model), *map(str, arguments), "--out", out])
        printed = capsys.readouterr()
        return code, [json.loads(line) for line in printed.out.splitlines()], printed.err.splitlines()

    return run


# ------------------------------------------------------------------------- one of everything, a row an input


@dataclass(frozen=True)
class Row:
    """What is handed over, which of it is scored, what is said of the rest, and the exit code."""

    given: str
    prepare: Callable[[], object]
    arguments: tuple[str, ...]
    scored: tuple[str, ...]
    says: tuple[str, ...] = ()
    code: int = 0


def several(*steps: Callable[[], object]) -> Callable[[], object]:
    return lambda: [step() for step in steps]


def a(*names: str) -> Callable[[], object]:
    return lambda: [photograph(Path(name), k) for k, name in enumerate(names)]


def write(name: str, content: bytes = b"x") -> Callable[[], object]:
    def make() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)

    return make


def link(name: str, to: str) -> Callable[[], object]:
    return lambda: (Path(name).parent.mkdir(parents=True, exist_ok=True), Path(name).symlink_to(Path(to).absolute()))


def pipe(name: str) -> Callable[[], object]:
    return lambda: (Path(name).parent.mkdir(parents=True, exist_ok=True), os.mkfifo(name))


NOT_SCORED = "could not be scored"
ROWS = [
    Row("images", a("a.png", "b.jpg"), ("a.png", "b.jpg"), ("a.png", "b.jpg")),
    Row("a missing image among others", a("a.png", "b.png"), ("a.png", "nope.png", "b.png"), (), ("nope.png: no such image",), 2),
    Row("two missing images", a("a.png"), ("x.png", "a.png", "y.png"), (), ("x.png, y.png: 2 of the images are not there; check",), 2),
    Row("a missing folder", a("a.png"), ("a.png", "nowhere/"), (), ("nowhere: no such image",), 2),
    Row("a damaged image in the middle", several(a("a.png", "c.png"), lambda: damaged(Path("b.png"))), ("a.png", "b.png", "c.png"),
        ("a.png", "c.png"), ("b.png: the image is damaged or cut short",), 1),
    Row("no image in the middle", several(a("a.png", "c.png"), write("b.png")), ("a.png", "b.png", "c.png"),
        ("a.png", "c.png"), ("b.png: is not an image that can be read",), 1),
    Row("an empty file first", several(a("b.png"), write("a.png", b"")), ("a.png", "b.png"), ("b.png",), ("a.png: the file is empty",), 1),
    Row("two damaged in a folder", several(a("in/a.png"), write("in/b.png"), write("in/c.jpg")), ("in",),
        ("in/a.png",), ("in/b.png: is not", "in/c.jpg: is not", f"2 of what was named {NOT_SCORED}"), 1),
    Row("nothing but damaged", several(write("a.png"), write("b.png")), ("a.png", "b.png"), (), ("a.png: is not", "b.png: is not"), 2),
    Row("one image, damaged", write("a.png"), ("a.png",), (), ("a.png: is not an image",), 2),
    Row("an odd name", several(a("x.png"), lambda: os.rename("x.png", "photo.scan")), ("photo.scan",), ("photo.scan",)),
    Row("a folder with folders", a("in/b.png", "in/deep/er/a.PNG"), ("in",), ("in/b.png", "in/deep/er/a.PNG")),
    Row("a folder and one of its images", a("in/b.png", "in/a.png"), ("in/b.png", "in"), ("in/b.png", "in/a.png")),
    Row("an image twice", a("a.png"), ("a.png", "./a.png"), ("a.png",)),
    Row("a folder twice", a("in/a.png"), ("in", "in/"), ("in/a.png",)),
    Row("texts among images", several(a("in/a.png"), write("in/list.txt"), write("in/b.json")), ("in",), ("in/a.png",),
        ("in/: 2 entries: an annotation or a text, which is not read",)),
    Row("many other files", several(a("in/a.png"), *(write(f"in/{k}.xyz") for k in range(30))), ("in",), ("in/a.png",),
        ("in/: 30 entries: not an image by its name: ",)),
    Row("what systems leave", several(a("in/a.png"), write("in/Thumbs.db"), write("in/.DS_Store"), write("in/._a.png")), ("in",),
        ("in/a.png",)),
    Row("hidden images", several(a("in/a.png", "in/.b.png", "in/.git/c.png")), ("in",), ("in/a.png",),
        ("in/.b.png: hidden",)),
    Row("a data set with masks", a("d/test/cut/0.png", "d/ground_truth/cut/0_mask.png"), ("d",), ("d/test/cut/0.png",),
        ("d/ground_truth: a folder of masks by its name",)),
    Row("the folder of masks itself", a("d/ground_truth/cut/0_mask.png"), ("d/ground_truth",), ("d/ground_truth/cut/0_mask.png",)),
    Row("masks beside images", a("in/a.png", "in/a_mask.png", "in/lone_mask.png"), ("in",), ("in/a.png", "in/lone_mask.png"),
        ("in/a_mask.png: a mask by its name",)),
    Row("results without a mark", a("in/a.png", "in/a_map.png", "in/b_map.png"), ("in",), ("in/a.png", "in/b_map.png"),
        ("in/a_map.png: by its name a picture that `dfr score` wrote",)),
    Row("a result named itself", a("a_map.png", "a_overlay.png"), ("a_map.png",), ("a_map.png",)),
    Row("the results' folder in the folder", a("a.png", "out/b.png"), (".", ), ("a.png",),
        ("out: where the results go, so it is not searched",)),
    Row("a linked folder", several(a("real/a.png"), link("in/there", "real")), ("in",), ("in/there/a.png",)),
    Row("links in a circle", several(a("in/a.png"), link("in/back", "in")), ("in",), ("in/a.png",),
        ("in/back: a link to in, whose images are read already",)),
    Row("a link to an image", several(a("real/a.png"), link("in/b.png", "real/a.png")), ("in",), ("in/b.png",)),
    Row("a link to an image beside it", several(a("in/a.png"), link("in/b.png", "in/a.png")), ("in",), ("in/a.png",),
        ("in/b.png: the same file as in/a.png, which is scored already",)),
    Row("a link that leads nowhere", several(a("in/a.png"), link("in/b.png", "gone.png")), ("in",), ("in/a.png",),
        ("in/b.png: no such image",), 1),
    Row("a link to itself", several(a("in/a.png"), link("in/b.png", "in/b.png")), ("in",), ("in/a.png",), ("in/b.png: ",), 1),
    Row("a folder of results only", a("in/a_map.png", "in/a_overlay.png"), ("in",), (),
        ("in: no images here (images to score), only 2 entries: by its name a picture that `dfr score` wrote",), 2),
    Row("an empty folder after an image", several(a("a.png"), lambda: Path("in").mkdir()), ("a.png", "in"), (),
        ("in: no images here (images to score); put",), 2),
    Row("a folder that is named as an image", a("in/x.png/a.png"), ("in",), ("in/x.png/a.png",)),
    Row("a pipe", pipe("p.png"), ("p.png",), (), ("p.png: is not a regular file",), 2),
    Row("pipes in a folder", several(a("in/a.png"), pipe("in/p.png"), pipe("in/q_map.png")), ("in",), ("in/a.png",),
        ("in/: 2 entries: not a regular file: p.png, q_map.png",)),
    Row("a pipe where results go", several(a("a.png"), pipe("out/a_map.tif")), ("a.png",), ("a.png",)),
    Row("a name that no file can have", a("a.png"), ("a.png", "n" * 300 + ".png"), (), ("no such image",), 2),
]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are others on Windows")
@pytest.mark.parametrize("row", ROWS, ids=[row.given.replace(" ", "-") for row in ROWS])
def test_everything_is_scored_or_named(row, score, tmp_path):
    row.prepare()
    before = set(tmp_path.rglob("*.*"))
    code, lines, said = score(*row.arguments)
    assert code == row.code
    assert [line["file"] for line in lines if "ratio" in line] == list(row.scored)
    assert len(set(tmp_path.rglob("*.*")) - before) == 3 * len(row.scored)
    for words in row.says:
        assert sum(words in line for line in said) == 1, said
    assert all(line.startswith("dfr: ") for line in said) and bool(said) == bool(row.says)
    if row.code == 1:
        assert said[-1].startswith("dfr: error: ") and [line["file"] for line in lines if "error" in line]


def test_a_folder_that_cannot_be_read_is_told_before_the_start(score, monkeypatch):
    photograph(Path("in/a.png"))
    photograph(Path("in/locked/b.png"))
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)  # root may read every folder
    code, lines, said = score("in")
    assert code == 2 and not lines
    assert said == ["dfr: error: in/locked: cannot be read (Permission denied); check the folder's permissions"]


def test_what_is_said_of_a_set_comes_before_the_failures(score):
    photograph(Path("in/a.png"), size=(40, 80))
    photograph(Path("in/b.png"), size=(40, 80))
    photograph(Path("in/c.png"), size=(80, 40))
    Path("in/d.png").write_text("no image")
    code, lines, said = score("in")
    assert code == 1 and len(lines) == 4 and len(said) == 2
    assert said[0].startswith("dfr: in/c.png: of another shape than most") and said[1].startswith("dfr: error: in/d.png: ")


def test_grey_levels_of_more_than_8_bit_have_one_white(score, model):
    """A dark picture among brighter ones stays dark, in whatever order, as where the set is read at once."""
    for name, level in (("a", 900), ("b", 60000)):
        Image.fromarray(np.full((64, 64), level, np.uint16)).save(f"{name}.png")
    detector = DFR.load(model)
    for names in (["a.png", "b.png"], ["b.png", "a.png"]):
        scores = {line["file"]: line["image_score"] for line in score(*names)[1]}
        assert [scores[name] for name in names] == detector.image_score(names).tolist()


# -------------------------------------------------------------------------------------- what is written


def test_pictures_have_the_photographs_size_and_hold_the_detectors_map(score, model):
    path = photograph(Path("a.png"), 3, (150, 90))
    _, (line,), _ = score(path)
    detector = DFR.load(model)
    scores = detector.anomaly_map(path)[0]
    assert line["size"] == [90, 150] and line["threshold"] == detector.threshold()
    assert line["verdict_threshold"] == detector.verdict_threshold()
    assert line["image_score"] == float(scores.max()) and line["ratio"] == line["image_score"] / line["verdict_threshold"]
    assert line["verdict"] == ("anomalous" if line["ratio"] > 1 else "normal")
    whole = at_size(scores, 90, 150)
    grey, marks = np.asarray(Image.open(line["map"])), np.asarray(Image.open(line["segmentation"]))
    assert Image.open(line["map"]).mode == "I;16" and np.array_equal(grey, grey16(whole, line["threshold"]))
    assert np.array_equal(marks, np.where(whole > line["threshold"], 255, 0))
    assert np.array_equal(grey > line["grey_threshold"], marks == 255)
    assert line["scale"] * WHITE == pytest.approx(2 * line["threshold"]) and line["fpr"] == 0.005
    assert line["anomalous_share"] == pytest.approx((marks == 255).mean(), abs=1e-6)
    drawn_ = np.asarray(marked(Image.open(path), whole, line["threshold"]), int)
    assert np.abs(np.asarray(Image.open(line["overlay"])) - drawn_).mean() < 4, "noise, the worst for JPEG"


def test_what_is_promised_of_the_verdict(score, model, tmp_path):
    """Of good images like those kept at most so large a share scores as high: none of the kept ones, and all of them."""
    path = photograph(Path("a.png"), 3)
    assert all(score(path)[1][0][name] is None for name in ("p_value", "false_alarms_at_most")), "nothing was kept"
    detector = DFR.load(model)
    value = float(detector.image_score(path)[0])
    for kept, p_value in (([value + 1] * 9, 1.0), ([value] * 9, 1.0), ([value - 1] * 9, 0.1), ([value - 1, value + 1, value - 2], 0.5)):
        detector.verdict_.kept = torch.tensor(kept)
        assert detector.verdict_.p_value(value) == pytest.approx(p_value)
    detector.save(tmp_path / "kept.safetensors")
    assert main(["score", str(tmp_path / "kept.safetensors"), str(path), "--out", "kept"]) == 0


def test_pictures_of_the_models_size(score, model):
    path = photograph(Path("a.png"), 3, (150, 90))
    _, (line,), _ = score(path, "--size", "model", "--fpr", "0")
    scores = DFR.load(model).anomaly_map(path)[0]
    assert line["size"] == [64, 64] and line["threshold"] == DFR.load(model).threshold(0)
    assert np.array_equal(np.asarray(Image.open(line["map"])), grey16(scores, line["threshold"]))
    assert Image.open(line["overlay"]).size == Image.open(line["segmentation"]).size == (64, 64)


def test_a_photograph_turned_by_its_camera(score):
    turned = Image.Exif()
    turned[0x0112] = 6  # lying in the file, upright for a viewer
    photograph(Path("a.jpg"), 3, (150, 90), exif=turned)
    _, (line,), _ = score("a.jpg")
    assert line["size"] == [150, 90] and Image.open(line["overlay"]).size == (90, 150)
    assert 0x0112 not in Image.open(line["overlay"]).getexif(), "else a viewer would turn it again"


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 15), st.integers(0, 15))
def test_a_score_lies_where_the_model_saw_it(height, width, row, column):
    scores = np.full((16, 16), 0.25, np.float32)
    scores[row, column] = 1
    whole = at_size(scores, height, width)
    assert whole.shape == (height, width) and whole.dtype == np.float32 and whole.min() >= 0.25 and whole.max() <= 1
    y, x = (row + 0.5) / 16 * height, (column + 0.5) / 16 * width  # the middle of the cell, in pixels of the photograph
    heat = np.argwhere(whole > 0.251) + 0.5  # the mean of equal numbers may be a rounding above them
    assert all(abs(i - y) <= max(height / 16, 1) and abs(j - x) <= max(width / 16, 1) for i, j in heat)
    if height >= 32 and width >= 32 and 0 < row < 15 and 0 < column < 15:  # at the border the peak lies in the border's pixels
        assert len(heat) and whole[int(y), int(x)] == pytest.approx(whole.max())
    if height <= 16 and width <= 16:
        assert whole.max() == 1, "a photograph smaller than what the model sees loses no peak"


def contents(folder: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(
    ("interruption", "code"), [(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2), (KeyboardInterrupt(), 130)], ids=["full", "Ctrl-C"]
)
def test_a_set_is_whole_or_not_there(score, monkeypatch, nth, interruption, code):
    path = photograph(Path("a.png"))
    saves: list[object] = []
    real = drawn.write_picture

    def save(file, *arguments):
        saves.append(file)
        if len(saves) == nth:
            raise interruption
        real(file, *arguments)

    monkeypatch.setattr(drawn, "write_picture", save)
    assert score(path)[0] == code and contents() == {}
    assert score(path)[0] == 0
    first = contents()
    saves.clear()
    assert len(first) == 3 and score(path, "--fpr", "0.05")[0] == code and contents() == first, "the earlier set, all of it"


def test_an_interruption_while_a_set_is_put_in_place_leaves_it_whole(tmp_path, monkeypatch):
    real = os.replace
    calls = []

    def replace(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_pictures(tmp_path, "a", Path("a.png"), Image.new("RGB", (4, 4)), np.ones((4, 4), np.float32), 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_map.tif", "a_overlay.jpg", "a_segmentation.png"]


def test_a_full_disk_in_the_middle_says_what_failed_before_it(score, monkeypatch):
    Path("a.png").write_text("no image")
    photograph(Path("b.png"))

    def fill(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(drawn, "write_picture", fill)
    code, _, said = score("a.png", "b.png")
    assert code == 2 and said[0].startswith("dfr: error: a.png: ")
    mend = "make room, or choose a disk with free space"
    assert said[1:] == [f"dfr: error: out/b_map.tif: cannot be written (No space left on device); {mend}"]


def test_out_of_memory_names_options_that_score_has(score, monkeypatch):
    photograph(Path("a.png"))

    def exhaust(*_, **__):
        raise MemoryError

    monkeypatch.setattr(drawn, "marked", exhaust)
    code, _, said = score("a.png")
    assert code == 2 and said == ["dfr: error: out of memory; use --size model, or smaller photographs"]


# ----------------------------------------------------------------- results never replace those of another image


def test_two_folders_one_after_the_other(score):
    photograph(Path("cut/000.png"), 1)
    photograph(Path("fold/000.png"), 2)
    _, (first,), _ = score("cut")
    kept = Path(first["map"]).read_bytes()
    _, (second,), _ = score("fold")
    assert (Path(first["map"]).name, Path(second["map"]).name) == ("000_map.tif", "fold_000_map.tif")
    assert Path(first["map"]).read_bytes() == kept and len(list(Path("out").iterdir())) == 6
    assert score("cut", "--fpr", "0")[1][0]["map"] == first["map"], "the same image again: its results are renewed"
    assert score("fold")[1][0]["map"] == second["map"] and len(list(Path("out").iterdir())) == 6


def test_files_that_are_no_results_stay(score):
    photograph(Path("a.png"))
    mine = photograph(Path("out/A_map.tif"), 7).read_bytes()
    Path("out/x_a_overlay.jpg").mkdir()
    photograph(Path("x/a.png"), 4)
    names = [Path(line["map"]).name for line in score("a.png", "x/a.png")[1]]
    assert names[0].endswith("_a_map.tif") and names[1] == "a_png_map.tif" or len(set(names)) == 2
    assert Path("out/A_map.tif").read_bytes() == mine and Path("out/x_a_overlay.jpg").is_dir()


def test_results_beside_the_images_never_replace_them(score):
    originals = {photograph(Path(name), k): Path(name).read_bytes() for k, name in enumerate(("a.png", "a_map.tif", "a_overlay.jpg"))}
    code, lines, _ = score(*originals, out=".")
    assert code == 0 and len(lines) == 3 and all(path.read_bytes() == content for path, content in originals.items())
    assert len(list(Path().glob("*.*"))) == 12


def test_results_are_no_photographs(score):
    photograph(Path("in/a.png"))
    score("in", out="in/results")
    for result in Path("in/results").iterdir():
        shutil.move(result, "in")
    Path("in/results").rmdir()
    Path("in/a_overlay.jpg").rename("in/renamed_overlay.jpg")
    _, lines, said = score("in")
    assert [line["file"] for line in lines] == ["in/a.png"]
    assert len(said) == 1 and "in/: 3 entries: by its name a picture that `dfr score` wrote" in said[0]


def test_a_mark_tells_no_place(score, tmp_path):
    path = photograph(Path("secret/a.png"))
    _, (line,), _ = score(path)
    for picture in ("map", "overlay", "segmentation"):
        assert mark_in(Path(line[picture])) == mark_of(path) == mark_of(path.absolute())
        assert b"secret" not in Path(line[picture]).read_bytes()
    assert mark_in(path) is None and mark_in(Path("out")) is None


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ä" * 125 + ".png", "n" * 245 + "x" + ".png"])
def test_names_as_long_as_a_disk_takes(score, name):
    photograph(Path(name), 1)
    other = photograph(Path(f"{name[:-5]}y.png"), 2)
    code, lines, _ = score(name, other)
    assert code == 0 and len({line["map"] for line in lines}) == 2 and len(list(Path("out").iterdir())) == 6
    assert all(stat.S_ISREG(path.stat().st_mode) for path in Path("out").iterdir())


# ------------------------------------------------------------------------------------------ names and greys


def touch(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def test_names_tell_images_apart(tmp_path):
    paths = touch(
        tmp_path, "cut/000.png", "fold/000.png", "fold/001.png", "x/cut/000.png", "s/a.png", "s/a.jpg", "CUT2/001B.png", "cut3/001b.png"
    )
    names = output_names(paths)
    assert names[2] == "001" and names[1] == "fold_000"
    assert names[0].endswith("_cut_000") and names[3] == "x_cut_000"
    assert set(names[4:6]) == {"a_png", "a_jpg"}
    assert names[6:] == ["CUT2_001B", "cut3_001b"]


parts = st.sampled_from(["a", "b", "A", "a_b", "c", "n" * 200])
somewhere = st.lists(st.tuples(st.lists(parts, max_size=3), parts, st.sampled_from([".png", ".jpg", ".PNG"])), max_size=12, unique_by=str)


@given(somewhere, st.sets(parts))
def test_names_never_collide(images, taken):
    paths = [Path("/root", *folders, stem + suffix) for folders, stem, suffix in images]
    names = output_names(paths, lambda name, path: name.casefold() in taken)
    assert len({name.casefold() for name in names} | {name.casefold() for name in taken}) >= len(paths)
    assert len({name.casefold() for name in names}) == len(paths) and not {name.casefold() for name in names} & taken
    assert all(name and "/" not in name and len(name.encode()) <= NAME_BYTES for name in names)


def test_what_is_found(tmp_path, monkeypatch):
    touch(tmp_path, "in/b.png", "in/a.JPG", "in/deep/c.tif", "in/.hidden.png", "in/.git/d.png", "in/note.txt", "in/results/a_map.png")
    monkeypatch.chdir(tmp_path)
    found, _ = find_images(["in/b.png", "in", "in/deep"], tmp_path / "in/results")
    assert found == [Path("in/b.png"), Path("in/a.JPG"), Path("in/deep/c.tif")], "each once, and no earlier results"
    with pytest.raises(DFRError, match=r"gone.png: no such image"):
        find_images(["gone.png"], tmp_path)
    with pytest.raises(DFRError, match="out: in is the folder of the images"):
        find_images(["in"], tmp_path / "in")


def test_no_out_folder_yet_is_free(tmp_path):
    assert not occupied(tmp_path / "none")("a", Path("a.png"))


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=50), st.floats(2.0**-20, 2.0**20, width=32))
def test_a_map_holds_scores_and_segmentation(scores, threshold):
    scores = np.array([[*scores, threshold, np.nextafter(np.float32(threshold), np.float32(np.inf))]], np.float32)
    grey = grey16(scores, threshold)
    assert grey.dtype == np.uint16
    assert np.array_equal(grey > GREY_THRESHOLD, scores > np.float32(threshold))
    scale = 2 * threshold / WHITE
    inside = scores <= 2 * threshold
    assert np.allclose(grey[inside] * scale, scores[inside], rtol=0, atol=scale * 0.51)
    assert (grey[~inside] == WHITE).all()


def test_an_overlay_leaves_the_normal_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    scores = np.full((16, 16), 0.9, np.float32)
    picture = Image.fromarray(image)
    assert np.array_equal(marked(picture, scores, 1.0), image)
    scores[4:8, 4:8] = 3
    changed = (np.asarray(marked(picture, scores, 1.0)) != image).any(-1)
    assert np.array_equal(picture, image), "the picture itself stays as it is"
    assert changed[4:8, 4:8].all() and changed[3, 4:8].all() and not changed[:3].any() and not changed[9:].any()


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.001, 0.05, 0.5, 1.0]), st.integers(1, 5), st.integers(0, 9))
def test_an_overlay_is_drawn_where_something_is_found_only(height, width, share, line, seed):
    """As quick as that is, it is the whole image's heat and outline."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    scores = (random.random((height, width)) + (random.random((height, width)) < share)).astype(np.float32)
    plain = outline(overlay(image, scores, 1.0, 3.0), scores > 1, FOUND, line)
    assert np.array_equal(marked(Image.fromarray(image), scores, 1.0, line), plain)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 9), (37, 23), (4, 4)])
def test_files_are_read_back(tmp_path, shape, compress):
    random = np.random.default_rng(0)
    pictures = {
        "map": random.integers(0, 65536, shape, np.uint16), "segmentation": random.integers(0, 2, shape, np.uint8) * 255,
        "overlay": np.tile(np.uint8([200, 90, 30]), (*shape, 1)),
    }  # fmt: skip
    for name, pixels in pictures.items():
        path = tmp_path / f"a_{name}{PICTURES[name]}"
        write_picture(path, Image.fromarray(pixels), "0123456789abcdef", compress)
        assert mark_in(path) == "0123456789abcdef" and is_output(path, [path])
        with Image.open(path) as file:
            assert (file.format, file.mode) == {"map": ("TIFF", "I;16"), "overlay": ("JPEG", "RGB")}.get(name, ("PNG", "L"))
            assert np.abs(np.asarray(file).astype(int) - pixels).max() <= (2 if name == "overlay" else 0)


def test_the_marks_of_earlier_versions_are_known(tmp_path):
    info = PngInfo()
    info.add_text(OUTPUT_MARK, "abc")
    for name in ("map", "overlay"):
        path = photograph(tmp_path / f"a_{name}.png", pnginfo=info)
        assert mark_in(path) == "abc" and is_output(path, [path])


@pytest.mark.parametrize("ending", [".tif", ".jpg"])
def test_what_others_say_in_a_file_is_no_mark(tmp_path, ending):
    words = {"description": "a road"} if ending == ".tif" else {"comment": b"\xff\x00 a road"}
    assert mark_in(photograph(tmp_path / f"a_map{ending}", **words)) is None
    assert mark_in(photograph(tmp_path / f"b_map{ending}")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("ending", PICTURES.values())
def test_what_the_disk_does_not_take_is_an_error(tmp_path, ending):
    """A limit on the size of files does what a full disk does: of the last piece it takes a part, and says nothing of it."""
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)
    picture = Image.fromarray(noise if ending == ".jpg" else noise[..., 0])
    write_picture(tmp_path / f"whole{ending}", picture, "abc")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / f"whole{ending}").stat().st_size - 1, before[1]))
    try:
        with pytest.raises(OSError, match=r"(?i)too large|no space"):
            write_picture(tmp_path / f"part{ending}", picture, "abc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_photograph_longer_than_an_overlay_can_be(score):
    Image.new("RGB", (LONGEST + 1, 20)).save("long.png")
    code, (line, _), said = score("long.png", photograph(Path("a.png")))
    assert code == 1 and f"longer than {LONGEST} pixels" in line["error"] and "use --size model" in said[-1]
    assert sorted(contents()) == ["a_map.tif", "a_overlay.jpg", "a_segmentation.png"]
    code, (line,), _ = score("long.png", "--size", "model")
    assert code == 0 and Image.open(line["overlay"]).size == (64, 64)
    Image.new("RGB", (LONGEST, 20)).save("long.png")
    assert Image.open(score("long.png")[1][0]["overlay"]).size == (LONGEST, 20)


def test_killed_while_a_set_is_renewed_there_is_no_segmentation_or_one_of_its_set(tmp_path, monkeypatch):
    """The process ends after any number of changes in the folder: SIGKILL runs no clean-up."""
    picture, paths = Image.new("RGB", (4, 4)), [tmp_path / f"a_{name}{ending}" for name, ending in PICTURES.items()]

    def write(level: float) -> None:
        write_pictures(tmp_path, "a", Path("a.png"), picture, np.full((4, 4), level, np.float32), 1.0)

    class Killed(BaseException):
        pass

    for last in range(6):
        write(2.0)
        old = [path.read_bytes() for path in paths]
        done = 0

        def counted(function, last=last):
            def call(*arguments, **options):
                nonlocal done
                done += 1
                if done > last:
                    raise Killed
                return function(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted(os.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            with pytest.raises(Killed):
                write(0.5)
        there = [path.read_bytes() if path.exists() else None for path in paths]
        new = [path.read_bytes() for path in paths] if write(0.5) is None else []
        assert there in (old, new) or there[2] is None
        assert (there == old) == (last == 0)


def test_compressed_pictures_are_the_same_pictures(score):
    Image.new("RGB", (64, 64), "grey").save("a.png")
    _, (plain,), _ = score("a.png")
    _, (packed,), _ = score("a.png", "--compress", out="packed")
    for picture in ("map", "overlay", "segmentation"):
        assert np.array_equal(np.asarray(Image.open(plain[picture])), np.asarray(Image.open(packed[picture])))
    assert Path(packed["map"]).stat().st_size < Path(plain["map"]).stat().st_size / 2


def test_jobs_are_done_in_order_and_what_was_begun_is_finished():
    done: list[int] = []

    def work(number: int) -> int:
        if number == 20:
            raise DFRError("20", "is one too many")
        done.append(number)
        return number

    assert list(in_order(work, ((n, 1) for n in range(20)))) == list(range(20)) and sorted(done) == list(range(20))
    found = in_order(work, ((n, 1) for n in range(15, 99)))
    assert [next(found) for _ in range(5)] == list(range(15, 20))
    with pytest.raises(DFRError, match="one too many"):
        next(found)
    assert len(done) < 50, "the rest is not begun"


def test_few_pixels_are_held_at_a_time():
    asked = []

    def jobs():
        for n in range(9):
            asked.append(n)
            yield n, 40_000_000

    for n in in_order(lambda n: n, jobs()):
        assert asked[-1] <= n + 1


def test_bands_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (37, 23, 3), np.uint8))
    scores = random.random((37, 23)).astype(np.float32)
    whole = grey16(scores, 0.5), marked(picture, scores, 0.5)
    monkeypatch.setattr(drawn, "_BAND", 50)
    monkeypatch.setattr(drawn, "_ROWS", 3)
    assert np.array_equal(grey16(scores, 0.5), whole[0]) and np.array_equal(marked(picture, scores, 0.5), whole[1])
    assert line_width((256, 256)) == 1 and line_width((3000, 4000, 3)) == 10

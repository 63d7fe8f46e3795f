"""What a person hands over is used, or named in one line: a row for each input, what is used of it and what is said."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from scipy import ndimage

from dfr_core.command import main
from dfr_core.data import load_category, load_images, load_photographs, read_image
from dfr_core.data.decode import PHONE
from dfr_core.data.masks import look_at_mask, read_mask
from dfr_core.errors import DFRError

UNTRAINED = ["--weights", "untrained", "--width", "0.05"]
SMALL = [*UNTRAINED, "--layers", "1:3", "--image-size", "64", "--steps", "2", "--positions", "16", "--quiet"]


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (64, 64), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


def squares(values: list[int] = (255, 255, 255), dtype: type = np.uint8) -> np.ndarray:
    """64 x 64, three squares of 100 px."""
    mask = np.zeros((64, 64), dtype)
    for k, value in enumerate(values):
        mask[5 + 20 * k : 15 + 20 * k, 8:18] = value
    return mask


def mask(path: Path, values: np.ndarray | Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = squares() if values is None else values
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path, **options)
    return path


def text(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


# ------------------------------------------------------------------------------------------------------------ masks


def palette(values: list[int], colours: list[int] | None = None) -> Image.Image:
    made = Image.fromarray(squares(values)).copy()
    made = Image.frombytes("P", made.size, made.tobytes())
    made.putpalette(colours or [0, 0, 0, 128, 0, 0, 0, 128, 0, *[64] * 30])
    return made


def colours(*values: tuple[int, ...], ground: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    made = np.full((64, 64, len(ground)), ground, np.uint8)
    for k, value in enumerate(values):
        made[5 + 20 * k : 15 + 20 * k, 8:18] = value
    return made


def noise(top: int, under: np.ndarray | int = 0) -> np.ndarray:
    return (np.random.default_rng(0).integers(0, top + 1, (64, 64)) + under).astype(np.uint8)


def soft(values: tuple[int, ...] = (255, 255, 255)) -> np.ndarray:
    """Blurred: each square, at half its own brightness, is still one of 100 px."""
    return np.rint(ndimage.gaussian_filter(squares(values).astype(float), 1.2)).clip(0, 255).astype(np.uint8)


def instances() -> np.ndarray:
    """Twenty touching objects with numbers 1 to 20, in one piece of 300 px."""
    made = np.zeros((64, 64), np.uint16)
    made[10:15, 2:62] = np.repeat(np.arange(1, 21), 3)
    return made


def once_lossy(values: np.ndarray, quality: int = 75) -> np.ndarray:
    """What is left of a mask that was saved as JPEG and then as PNG."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


BLACK_LAST = [255, 255, 255, 200, 0, 0, 0, 0, 0]
# What is in the mask, and as what file; how many px and regions it marks; what is said.
MASKS: dict[str, tuple[object, str, int, int, str]] = {
    "0 and 255": (squares(), "png", 300, 3, ""),
    "0 and 1": (squares([1, 1, 1]), "png", 300, 3, ""),
    "one bit": (Image.fromarray(squares() > 0), "png", 300, 3, ""),
    "three labels": (squares([85, 170, 255]), "png", 300, 3, ""),
    "labels 1 2 16": (squares([1, 2, 16]), "png", 300, 3, ""),
    "labels in falling order": (squares([200, 3, 1]), "bmp", 300, 3, ""),
    "labels 10 20 30": (squares([10, 20, 30]), "png", 300, 3, ""),
    "16-bit labels": (squares([1, 300, 65535], np.uint16), "png", 300, 3, ""),
    "32-bit labels": (squares([1, 70000, 2**30], np.int32), "tif", 300, 3, ""),
    "floats": (squares([1, 1, 1]).astype(np.float32) / 4, "tif", 300, 3, ""),
    "many touching labels": (instances(), "png", 300, 1, ""),
    "palette": (palette([1, 2, 8]), "png", 300, 3, ""),
    "palette as gif": (palette([1, 2, 8]), "gif", 300, 3, ""),
    "palette of equal colours": (palette([1, 2, 8], [0] * 30), "png", 300, 3, ""),
    "palette with black at 2": (palette([1, 1, 1], [0, 0, 0, 255, 255, 255]), "png", 300, 3, ""),
    "palette of a drawing program": (
        Image.fromarray(np.where(squares() > 0, np.uint8(1), np.uint8(2))).convert("P"), "drawn.png", 300, 3, ""
    ),
    "palette with transparent ground": (palette([1, 2, 8], [9] * 30), "png transparency 0", 300, 3, ""),
    "palette with transparent ground and black": (palette([1, 2, 8], [255] * 3 + [0] * 30), "png transparency 0", 300, 3, ""),
    "palette with a transparent label": (palette([1, 2, 8]), "png transparency 2", 200, 2, ""),
    "palette without background": (palette([1, 2, 8], [9] * 30), "png", 300, 3, ""),
    "grey with transparency": (Image.merge("LA", [Image.fromarray(squares([1, 9, 255]))] * 2), "png", 100, 1, ""),
    "colours": (colours((255, 128, 0), (0, 100, 100), (60, 60, 60)), "png", 300, 3, ""),
    "colours with transparency": (colours((255, 0, 0, 255), (0, 9, 0, 255), (1, 1, 1, 255), ground=(0, 0, 0, 0)), "png", 300, 3, ""),
    "white under transparency": (colours(*[(255, 255, 255, 255)] * 3, ground=(255, 255, 255, 0)), "png", 300, 3, ""),
    "black on nothing": (colours(*[(0, 0, 0, 255)] * 3, ground=(255, 255, 255, 0)), "png", 300, 3, ""),
    "soft edges": (soft(), "png", 300, 3, "soft edges, or once"),
    "soft edges and labels": (soft((60, 120, 250)), "png", 300, 3, "soft edges, or once"),
    "jpeg": (squares(), "jpg", 300, 3, "JPEG mask is not exact"),
    "jpeg of labels": (squares([85, 170, 255]), "jpg", 300, 3, "JPEG mask is not exact"),
    "jpeg of label 10": (squares([10, 10, 10]), "jpg", 300, 3, "JPEG mask is not exact"),
    "lossy webp": (squares(), "webp", 300, 3, "WEBP mask is not exact"),
    "once a jpeg": (once_lossy(squares()), "png", 300, 3, "once a JPEG"),
    "labels once a jpeg": (once_lossy(squares([85, 170, 255])), "png", 300, 3, "once a JPEG"),
    "noise only": (noise(2), "png", 0, 0, "noisy"),
    "noise and defect": (np.where(squares() > 0, 250 + noise(5), noise(3)).astype(np.uint8), "png", 300, 3, "scattered"),
    "empty": (squares([0, 0, 0]), "png", 0, 0, ""),
    "white ground": (255 - squares(), "png", 4096 - 300, 1, "marks more than 75%"),
    "a dot and a hairline": (np.pad(np.array([[1, 0, 2, 2, 2, 2, 3]], np.uint8), ((30, 33), (20, 37))), "png", 6, 2, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_masks(tmp_path, kind):
    values, ending, n, regions, said = MASKS[kind]
    if ending == "drawn.png":
        values = values.copy()
        values.putpalette(BLACK_LAST)
        ending = "png"
    ending, *options = ending.split()
    found = look_at_mask(mask(tmp_path / f"m.{ending}", values, **({options[0]: int(options[1])} if options else {})))
    near = 0 if n in (0, 6, 4096 - 300) or not said else 45  # what is cut may miss a few px of an edge
    assert abs(int(found.marked.sum()) - n) <= near
    assert ndimage.label(found.marked, np.ones((3, 3)))[1] == regions
    assert said in " ".join(found.notes) and (said or not found.notes)


def test_masks_of_one_image_are_united(tmp_path):
    for k, value in enumerate(([255, 0, 0], [0, 10, 0], [0, 0, 1])):
        mask(tmp_path / "000" / f"00{k}.png", squares(value))
    assert np.array_equal(read_mask(tmp_path / "000"), squares() > 0)
    mask(tmp_path / "000" / "003.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(DFRError, match="003.png: is not of the size of 000.png"):
        read_mask(tmp_path / "000")


# ----------------------------------------------------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("model")
    for k in range(3):
        picture(root / f"good/{k}.png", k)
    assert main(["fit", str(root / "good"), "--out", str(root / "m.safetensors"), *SMALL]) == 0
    return root / "m.safetensors"


def cloth(root: Path, masks: bool = True) -> Path:
    """A faultless category: two normal images, a good and a defective test image."""
    for k in range(2):
        picture(root / f"cloth/train/good/{k}.png", k)
    picture(root / "cloth/test/good/0.png", 5)
    picture(root / "cloth/test/cut/0.png", 6)
    if masks:
        mask(root / "cloth/ground_truth/cut/0_mask.png")
    return root / "cloth"


def mine(root: Path) -> Path:
    """A faultless folder of photographs."""
    for k in range(3):
        picture(root / f"mine/normal/{k}.png", k)
        picture(root / f"mine/test/t{k}.png", 5 + k)
    mask(root / "mine/masks/t1.png")
    return root / "mine"


@dataclass(frozen=True)
class Row:
    """What is handed over (made in a folder; gives DATA), what is used and what is said.

    Attributes:
        train, test, masks, kinds: how many of each are used; a negative ``train``: exit code 2.
        says: words that the notes, or the error, hold.
    """

    make: Callable[[Path], Path]
    train: int = 2
    test: int = 2
    masks: int = 1
    kinds: int = 1
    says: tuple[str, ...] = ()


ROWS: dict[str, Row] = {}


def row(name: str, *says: str, **used: int) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def add(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        ROWS[name] = Row(make, says=says, **used)
        return make

    return add


PHOTOGRAPHS = {"train": 3, "test": 3, "masks": 1, "kinds": 1}
row("a faultless category")(cloth)
row("faultless photographs", **PHOTOGRAPHS)(mine)


@row("kinds of images", train=15)
def _(root):
    good = cloth(root) / "train/good"
    for ending in ("jpg", "JPEG", "jfif", "gif", "ppm", "pgm", "jp2", "bmp", "tif", "WEBP", "tga", "PNG"):
        picture(good / f"a.{ending}", 9) if ending != "pgm" else mask(good / "a.pgm")
    picture(good / "b.png").rename(good / "b.apng")
    return root / "cloth"


@row(
    "files that are no images", "3 entries: a video; save its pictures as PNG: a.mov, b.mov, c.mov", "d.zip: an archive",
    "e.dng: a raw camera file", "f.psd: a drawing program's", "g.npy: an array", "notes.txt: an annotation or a text",
    "h.xyz: not an image by its name", "i: has no ending",
)  # fmt: skip
def _(root):
    for name in ("a.mov", "b.mov", "c.mov", "d.zip", "e.dng", "f.psd", "g.npy", "notes.txt", "h.xyz", "i"):
        text(cloth(root) / "train/good" / name)
    return root / "cloth"


@row("pipes", "2 entries: not a regular file: a.png, b_map.png", "mask.png: not a regular file")
def _(root):
    os.mkfifo(cloth(root) / "train/good/a.png")
    os.mkfifo(root / "cloth/train/good/b_map.png")
    os.mkfifo(root / "cloth/ground_truth/cut/mask.png")
    return root / "cloth"


@row("what systems leave behind")
def _(root):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "readme.txt", "LICENSE", ".gitkeep"):
        text(cloth(root) / "train/good" / name)
    text(root / "cloth/license.txt")
    return root / "cloth"


@row("hidden images", "2 entries: hidden", ".0.png, .old")
def _(root):
    picture(cloth(root) / "train/good/.0.png")
    picture(root / "cloth/train/good/.old/1.png")
    return root / "cloth"


@row("folders among normal images", train=12)
def _(root):
    for day in (1, 2):
        for k in range(5):
            picture(cloth(root) / f"train/good/day{day}/{k}.png", k)
    return root / "cloth"


TRAIN_ONLY = {"test": 0, "masks": 0, "kinds": 0}


@row("folders among photographs", "2 entries: not read, since it does not say what it holds", "day1, day2", **TRAIN_ONLY)
def _(root):
    for k in range(2):
        picture(root / f"mine/{k}.png", k)
        picture(root / f"mine/day{k + 1}/{k}.png", k)
    return root / "mine"


@row("photographs beside the folder of good ones", "suspect.png: not read: normal images are in 'good'", train=1, **TRAIN_ONLY)
def _(root):
    picture(root / "mine/good/0.png")
    picture(root / "mine/suspect.png")
    return root / "mine"


@row("folders within a kind of defect", test=4, kinds=2, masks=3)
def _(root):
    picture(cloth(root) / "test/scratch/day1/7.png")
    picture(root / "cloth/test/scratch/day2/8.png")
    mask(root / "cloth/ground_truth/scratch/day1/7_mask.png")
    mask(root / "cloth/ground_truth/scratch/8_mask.png")
    return root / "cloth"


@row("an empty kind of defect", "fold: an empty folder")
def _(root):
    (cloth(root) / "test/fold").mkdir()
    return root / "cloth"


@row("several masks an image", masks=1)
def _(root):
    for k in range(2):
        mask(cloth(root, masks=False) / f"ground_truth/cut/0/00{k}.png")
    return root / "cloth"


@row("a set kept for validation", "2 entries: not read: neither train, test nor ground_truth", "defects.json, validation")
def _(root):
    picture(cloth(root) / "validation/good/0.png")
    text(root / "cloth/defects.json")
    return root / "cloth"


@row("defective images to train with", "bad: not read: only good is trained on")
def _(root):
    picture(cloth(root) / "train/bad/0.png")
    return root / "cloth"


def rename(*pairs: tuple[str, str]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        folder = cloth(root)
        for old, new in pairs:
            (folder / old).rename(folder / new)
        return folder

    return make


BTAD = ("train/good", "train/ok"), ("test/good", "test/ok"), ("test/cut", "test/ko"), ("ground_truth/cut", "ground_truth/ko")
row("BTAD's names")(rename(*BTAD))
row("masks in Masks", train=2)(rename(("ground_truth", "Masks")))
row("masks in gt")(rename(("ground_truth", "gt"), ("gt/cut/0_mask.png", "gt/cut/0_GT.png")))
row("masks called label")(rename(("ground_truth/cut/0_mask.png", "ground_truth/cut/0_label.png")))
row("masks called as the file")(rename(("ground_truth/cut/0_mask.png", "ground_truth/cut/0.png.png")))
FLAT = ("test/cut/0.png", "test/cut/1.png"), ("ground_truth/cut/0_mask.png", "ground_truth/1_mask.png")
row("masks in no folder", "cut: an empty folder")(rename(*FLAT))
row("masks beside the images", "cut: an empty folder")(rename(("ground_truth/cut/0_mask.png", "test/cut/0_mask.png")))
row("masks in a folder of their own kind", "gt: a folder of masks by its name", masks=0)(rename(("ground_truth", "test/cut/gt")))
row("no masks at all", masks=0)(lambda root: cloth(root, masks=False))
row("two folders of masks", "masks: is there beside ground_truth", train=-1)(lambda root: (cloth(root) / "masks").mkdir() or root / "cloth")


@row("a mask of no image", "9_mask.png: this mask has no test image", train=-1)
def _(root):
    mask(cloth(root) / "ground_truth/cut/9_mask.png")
    return root / "cloth"


@row("another layout", "holds no category", "images are expected in train/good", train=-1)
def _(root):
    picture(root / "candle/Data/Images/Normal/0.JPG")
    return root / "candle"


@row("an annotation that cannot be read", "t2.json: among the masks, but not read", "would count as good", train=-1)
def _(root):
    text(mine(root) / "masks/t2.json")
    return root / "mine"


@row("annotations of all images", "all.json: an annotation", **PHOTOGRAPHS)
def _(root):
    text(mine(root) / "masks/all.json")
    return root / "mine"


@row("tests in folders", train=3, test=5, masks=1, kinds=2)
def _(root):
    picture(mine(root) / "test/good/g.png")
    picture(root / "mine/test/scratch/s.png")
    return root / "mine"


@row("results of an earlier score", "3 entries: by its name a picture that `dfr score` wrote", "t1_map.png", train=3, test=3)
def _(root):
    for kind in ("map", "overlay", "segmentation"):
        picture(mine(root) / f"test/t1_{kind}.png")
    return root / "mine"


@row("an image called map", train=4, test=3)
def _(root):
    picture(mine(root) / "normal/road_map.png")
    return root / "mine"


@row("links to files and folders", train=4)
def _(root):
    (cloth(root) / "train/good/link.png").symlink_to(root / "cloth/train/good/0.png")
    picture(root / "elsewhere/9.png")
    (root / "cloth/train/good/more").symlink_to(root / "elsewhere")
    return root / "cloth"


@row("a linked category")
def _(root):
    (root / "linked").symlink_to(cloth(root))
    return root / "linked"


@row("a link that leads back", "up: a link to", "read already")
def _(root):
    (cloth(root) / "train/good/up").symlink_to(root / "cloth/train/good")
    return root / "cloth"


@row("names that differ in case", train=3, test=3, masks=2)
def _(root):
    picture(cloth(root) / "train/good/0.PNG")
    (root / "cloth/test/cut/0.png").rename(root / "cloth/test/cut/a.png")
    (root / "cloth/ground_truth/cut/0_mask.png").rename(root / "cloth/ground_truth/cut/a_mask.png")
    picture(root / "cloth/test/cut/A.png")
    mask(root / "cloth/ground_truth/cut/A_MASK.PNG")
    return root / "cloth"


@pytest.mark.parametrize("kind", ROWS)
def test_what_is_used_and_said(tmp_path, capsys, kind):
    case = ROWS[kind]
    data = case.make(tmp_path)
    code = main(["statistics", str(data), "--json"])
    out, err = capsys.readouterr()
    assert code == (2 if case.train < 0 else 0), err
    if code:
        assert all(words in err for words in case.says) and err.count("\n") == 1, err
        return
    read = json.loads(out)
    assert (read["n_train"], read["n_test"], read["n_masks"], read["n_defect_types"]) == (case.train, case.test, case.masks, case.kinds)
    notes = "\n".join(read["notes"])
    assert all(words in notes for words in case.says), notes
    assert case.says or not notes, notes
    assert main(["statistics", str(data)]) == 0
    out, err = capsys.readouterr()
    assert all(words in err for words in case.says), "told on standard error, too"


@pytest.mark.parametrize("quiet", [0, 1])
def test_fit_tells_what_is_not_used(tmp_path, capsys, quiet):
    for k in range(2):
        picture(tmp_path / f"mine/{k}.png", k)
    text(tmp_path / "mine/a.mov")
    picture(tmp_path / "mine/more/0.png")
    assert main(["fit", str(tmp_path / "mine"), "--out", str(tmp_path / "m.safetensors"), *SMALL[:-1], *["--quiet"] * quiet]) == 0
    out, err = capsys.readouterr()
    assert "fitted to 2 images" in out
    lines = [line for line in err.splitlines() if "a.mov: a video" in line or "more: not read" in line]
    assert len(lines) == 2 and all(line.startswith("dfr: ") for line in lines)


def evaluated(model: Path, data: Path, capsys: pytest.CaptureFixture) -> tuple[dict, str]:
    capsys.readouterr()
    code = main(["evaluate", str(model), str(data)])
    out, err = capsys.readouterr()
    return (json.loads(out) if code == 0 else {"code": code}), err


def test_without_masks_only_pixels_are_not_measured(model, tmp_path, capsys):
    picture(cloth(tmp_path) / "test/cut/1.png", 7)
    found, err = evaluated(model, tmp_path / "cloth", capsys)
    assert found["roc_auc"] is None and found["pro_auc"] is None and 0 <= found["image_roc_auc"] <= 1
    assert found["counts"]["images"] == 3
    assert f"cut{os.sep}1.png: has no mask, so only images are measured" in err


def test_masks_of_all_kinds_are_evaluated(model, tmp_path, capsys):
    mask(cloth(tmp_path) / "ground_truth/cut/0_mask.png", squares([10, 20, 255]))
    found, err = evaluated(model, tmp_path / "cloth", capsys)
    assert found["counts"]["anomalous_regions"] == 3 and found["counts"]["anomalous_pixels"] == 300


def test_a_mask_that_marks_nothing_is_told(model, tmp_path, capsys):
    for name in ("0", "1"):
        picture(cloth(tmp_path) / f"test/cut/{name}.png", 7)
        mask(tmp_path / f"cloth/ground_truth/cut/{name}_mask.png", squares([0, 0, 0]) if name == "1" else None)
    _, err = evaluated(model, tmp_path / "cloth", capsys)
    assert "1_mask.png: marks nothing, so its image counts as normal" in err


def test_statistics_shows_what_the_masks_hold(tmp_path, capsys):
    mask(cloth(tmp_path) / "ground_truth/cut/0_mask.png", squares([10, 20, 30]))
    assert main(["statistics", str(tmp_path)]) == 0
    assert "cloth: 1 masks, levels 0, 10, 20, 30, 300 px marked" in capsys.readouterr().out


def test_other_folders_of_a_data_set_are_named(tmp_path, capsys):
    cloth(tmp_path)
    picture(tmp_path / "velvet/0.png")
    text(tmp_path / "silk.zip")
    assert main(["statistics", str(tmp_path)]) == 0
    assert "2 entries: not a category (no folder train/good), so it is not read: silk.zip, velvet" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- photographs


def camera(path: Path, top: int, dtype: type = np.uint16) -> Path:
    """A ramp from 0 to ``top``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.arange(64 * 64).reshape(64, 64) % (top + 1)).astype(dtype)).save(path)
    return path


@pytest.mark.parametrize(("top", "said"), [(255, "255 is taken for white"), (4095, "4095 is taken for white"), (65535, "")])
def test_grey_levels_of_any_depth_keep_their_levels(tmp_path, caplog, top, said):
    values = np.linspace(0, top, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png", 64)
    assert len(np.unique(found)) == 256
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_a_dark_image_stays_dark_among_others(tmp_path):
    images = load_images([camera(tmp_path / "dark.png", 200), camera(tmp_path / "bright.png", 4095)], 64)
    assert images[0].max() == round(200 / 4095 * 255) and images[1].max() == 255


def test_colours_of_16_bit_that_use_12_are_told(tmp_path, caplog):
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + struct.pack(">12H", *([4000] * 12)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    read_image(tmp_path / "a.png", 4)
    assert "a.png: has 16 bits a colour and uses the lowest 12 at most" in caplog.text


def test_upright_among_lying_images_is_told(tmp_path, caplog):
    paths = [picture(tmp_path / f"{k}.png", k, (64, 48)) for k in range(3)]
    load_images(paths, 32)
    assert not caplog.text
    load_images([*paths, picture(tmp_path / "odd.png", 9, (48, 64))], 32)
    assert "odd.png: of another shape than most of the set (64 x 48)" in caplog.text


def test_an_image_of_a_few_pixels_is_told(tmp_path, caplog):
    load_images([picture(tmp_path / "a.png", size=(15, 64)), picture(tmp_path / "b.png", size=(16, 16))], 32)
    assert [record.message for record in caplog.records if "only" in record.message] == [f"{tmp_path / 'a.png'}: only 15 x 64 pixels"]


def test_a_file_of_several_pictures_is_told(tmp_path, caplog):
    frames = [Image.new("L", (8, 8), level) for level in (10, 200, 250)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.tif", 8).max() == 10
    assert "a.tif: holds 3 pictures, of which the first is used" in caplog.text


@pytest.mark.parametrize(("orientation", "said"), [(1, ""), (3, "turned by EXIF"), (6, "turned by EXIF")])
def test_a_square_image_that_exif_turns_is_told(tmp_path, caplog, orientation, said):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(cloth(tmp_path) / "test/cut/0.png", exif=exif)
    load_category(tmp_path / "cloth").load_test(64)
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_large_photographs_are_read_without_a_word(tmp_path, monkeypatch):
    path = picture(tmp_path / "a.png", size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_image(path, 8).shape == (8, 8, 3)
    assert not caught
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(DFRError, match="more than 0 megapixels.*save it smaller"):
        read_image(path, 8)


def test_heic_is_read(tmp_path, capsys):
    heif = pytest.importorskip("pillow_heif", reason="the extra `phone` is not installed")
    heif.from_pillow(Image.fromarray(np.full((64, 64, 3), 200, np.uint8))).save(tmp_path / "a.HEIC")
    assert abs(int(read_image(tmp_path / "a.HEIC", 8).mean()) - 200) <= 2
    assert len(load_photographs(tmp_path).train) == 1


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read(tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.avif")
    assert load_photographs(tmp_path).load_train(8)[0, 0].min() > 240


def test_heic_without_a_reader_is_an_error_that_names_it(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    picture(tmp_path / "mine/a.jpg")
    (tmp_path / "mine/b.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert main(["fit", str(tmp_path / "mine"), "--out", str(tmp_path / "m.safetensors"), *SMALL]) == 2
    err = capsys.readouterr().err
    assert "b.HEIC: is a HEIF photograph, and no reader for it is installed; run `pip install pillow-heif`, or export it as JPEG" in err
    assert ".heic" in PHONE

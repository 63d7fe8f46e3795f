"""Images of every kind, masks, both layouts, and the error a user sees for each kind of bad input."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, TiffImagePlugin

from dfr_core import data
from dfr_core.data import Sample, load_category, load_images, load_photographs, masks, read_image, statistics
from dfr_core.editions import edition
from dfr_core.errors import DFRError

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
RED, GREEN, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0)


def read_mask(path: Path, size: int) -> np.ndarray:
    """As :meth:`dfr_core.data.Category.load_test` reads and resizes a mask."""
    return masks.resize_mask(masks.read_mask(path), size)


def grey_ramp() -> np.ndarray:
    """[16, 16] uint8 with every value from 0 to 255."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


def save(path: Path, picture: Image.Image | np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    picture.save(path, **options)
    return path


def photo(seed: int = 0, side: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def make_mask(side: int = 12) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[2:5, 3:6] = 255
    return mask


def make_category(root: Path, name: str = "leather") -> Path:
    folder = root / name
    for index in range(3):
        save(folder / "train" / "good" / f"{index:03}.png", photo(index))
    save(folder / "test" / "good" / "000.png", photo(10))
    for defect in ("cut", "glue"):
        for index in range(2):
            save(folder / "test" / defect / f"{index:03}.png", photo(20 + index))
            save(folder / "ground_truth" / defect / f"{index:03}_mask.png", make_mask())
    return folder


def make_photographs(folder: Path, masks: bool = True) -> Path:
    for index in (1, 2, 10):
        save(folder / f"photo{index}.png", photo(index))
    for index in range(3):
        save(folder / "test" / f"t{index}.png", photo(20 + index))
    if masks:
        save(folder / "masks" / "t1.png", make_mask())
        save(folder / "masks" / "t2_mask.png", make_mask())
    return folder


# ------------------------------------------------------------------------------------------- kinds of image


def test_rgb_of_the_right_size_is_untouched(tmp_path):
    picture = photo(side=16)
    for suffix in ("png", "bmp", "tif", "TIFF"):
        image = read_image(save(tmp_path / f"a.{suffix}", picture), 16)
        assert image.dtype == np.uint8
        assert np.array_equal(image, picture)


def test_grey_is_triplicated(tmp_path):
    image = read_image(save(tmp_path / "a.png", grey_ramp()), 16)
    assert np.array_equal(image, np.repeat(grey_ramp()[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_is_scaled_by_257(tmp_path, suffix):
    values = grey_ramp().astype(np.uint16) * 257
    image = read_image(save(tmp_path / f"a.{suffix}", values), 16)
    assert np.array_equal(image[..., 0], grey_ramp())


def test_sixteen_bit_big_endian(tmp_path):
    values = (grey_ramp().astype(np.uint16) * 257).astype(">u2")
    picture = Image.frombytes("I;16B", (16, 16), values.tobytes())
    image = read_image(save(tmp_path / "a.tif", picture), 16)
    assert np.array_equal(image[..., 2], grey_ramp())


def test_dark_sixteen_bit_stays_dark_among_others(tmp_path):
    """The scale is that of the set, so two images of one camera stay comparable."""
    dark, bright = np.full((16, 16), 255, np.uint16), np.full((16, 16), 65535, np.uint16)
    images = load_images([save(tmp_path / "a.png", dark), save(tmp_path / "b.png", bright)], 16)
    assert images[0].max() == 1 and images[1].min() == 255


@pytest.mark.parametrize(("factor", "expected"), [(1, 1.0), (257, 1.0)])
def test_integer_images_by_their_range(tmp_path, factor, expected):
    values = grey_ramp().astype(np.int32) * factor
    image = read_image(save(tmp_path / "a.tif", values), 16)
    assert np.array_equal(image[..., 1], grey_ramp() * expected)


@pytest.mark.parametrize("factor", [1 / 255, 1, 257])
def test_float_images_by_their_range(tmp_path, factor):
    values = (grey_ramp() * np.float64(factor)).astype(np.float32)
    assert np.array_equal(read_image(save(tmp_path / "a.tif", values), 16)[..., 0], grey_ramp())


def test_one_bit(tmp_path):
    bits = grey_ramp() > 100
    image = read_image(save(tmp_path / "a.png", Image.fromarray(bits)), 16)
    assert np.array_equal(image, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def palette_picture() -> Image.Image:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([*RED, *GREEN])
    picture.paste(1, (4, 0, 8, 8))
    return picture


def test_palette(tmp_path):
    image = read_image(save(tmp_path / "a.png", palette_picture()), 8)
    assert tuple(image[0, 0]) == RED
    assert tuple(image[0, 7]) == GREEN


def test_palette_with_transparency_is_laid_on_white(tmp_path):
    image = read_image(save(tmp_path / "a.png", palette_picture(), transparency=0), 8)
    assert tuple(image[0, 0]) == WHITE
    assert tuple(image[0, 7]) == GREEN


def test_transparent_colour_of_an_rgb_image(tmp_path):
    picture = palette_picture().convert("RGB")
    image = read_image(save(tmp_path / "a.png", picture, transparency=GREEN), 8)
    assert tuple(image[0, 0]) == RED
    assert tuple(image[0, 7]) == WHITE


def test_alpha_is_laid_on_white(tmp_path):
    rgba = Image.new("RGBA", (8, 8), (*RED, 255))
    rgba.paste((*GREEN, 0), (4, 0, 8, 8))
    image = read_image(save(tmp_path / "a.png", rgba), 8)
    assert tuple(image[0, 0]) == RED
    assert tuple(image[0, 7]) == WHITE
    half = read_image(save(tmp_path / "half.png", Image.new("LA", (8, 8), (0, 128))), 8)
    assert abs(int(half[0, 0, 0]) - 127) <= 1


def test_cmyk_and_ycbcr_and_lab(tmp_path):
    for mode in ("CMYK", "YCbCr"):
        picture = Image.new("RGB", (8, 8), RED).convert(mode)
        image = read_image(save(tmp_path / f"{mode}.tif", picture), 8)
        assert np.abs(image[0, 0].astype(int) - RED).max() <= 2
    jpeg = read_image(save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100), 8)
    assert np.abs(jpeg[4, 4].astype(int) - RED).max() <= 6
    lab = read_image(save(tmp_path / "lab.tif", Image.new("LAB", (8, 8), (255, 128, 128))), 8)
    assert np.abs(lab[0, 0].astype(int) - WHITE).max() <= 4


def corner_picture() -> Image.Image:
    """8 wide, 4 high, red in the top left quarter, on white."""
    picture = Image.new("RGB", (8, 4), WHITE)
    picture.paste(RED, (0, 0, 4, 2))
    return picture


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied(tmp_path, suffix):
    """Orientation 6: the camera was turned, so the picture's top left is the stored image's bottom left."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    path = save(tmp_path / f"a.{suffix}", corner_picture(), exif=exif, **options)
    image = read_image(path, 8).astype(int)
    assert np.abs(image[1, 6] - RED).max() < 60  # top right now
    assert np.abs(image[6, 6] - WHITE).max() < 60
    assert np.abs(image[1, 1] - WHITE).max() < 60


def test_broken_exif_does_not_spoil_a_whole_picture(tmp_path):
    path = save(tmp_path / "a.jpg", photo(side=8), exif=b"Exif\0\0not exif at all")
    assert read_image(path, 8).shape == (8, 8, 3)


def test_not_square_is_stretched(tmp_path):
    image = read_image(save(tmp_path / "a.png", corner_picture()), 8)
    assert image.shape == (8, 8, 3)
    assert tuple(image[0, 0]) == RED
    assert tuple(image[7, 7]) == WHITE


def test_shrinking_averages(tmp_path):
    """With antialiasing a fine checkerboard becomes grey; without it would be black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = read_image(save(tmp_path / "a.png", board), 8)
    assert np.abs(image.astype(int) - 127).max() <= 2


def test_first_frame_of_animations(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLACK)]
    for suffix in ("gif", "tif", "webp", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
        assert tuple(read_image(path, 8)[4, 4]) == RED


def test_webp(tmp_path):
    picture = photo(side=8)
    assert np.array_equal(read_image(save(tmp_path / "a.webp", picture, lossless=True), 8), picture)


def test_the_name_does_not_decide_the_format(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(photo(side=8)).save(path, format="PNG")
    assert np.array_equal(read_image(str(path), 8), photo(side=8))


# ------------------------------------------------------------------------------------------- kinds of mask


@given(
    bits=hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    kind=st.sampled_from([(np.uint8, 1), (np.uint8, 255), (np.uint8, 128), (np.uint16, 1), (np.uint16, 65535), (np.float32, 1.0)]),
)
@settings(max_examples=60, deadline=None)
def test_masks_of_every_range(tmp_path_factory, bits, kind):
    dtype, value = kind
    side = max(bits.shape)
    square = np.zeros((side, side), bool)
    square[: bits.shape[0], : bits.shape[1]] = bits
    path = save(tmp_path_factory.mktemp("mask") / "m.tif", square.astype(dtype) * dtype(value))
    mask = read_mask(path, side)
    assert mask.dtype == bool
    assert np.array_equal(mask, square)


def test_soft_edges_and_labels(tmp_path):
    soft = np.array([[0, 100], [200, 255]], np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "soft.png", soft), 2), [[False, True], [True, True]])  # so few may be labels
    labels = np.array([[0, 1], [2, 9]], np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "labels.png", labels), 2), [[False, True], [True, True]])


def test_masks_in_colour(tmp_path):
    expected = make_mask(8) > 0
    one_bit = Image.fromarray(expected)
    palette = Image.fromarray(expected.astype(np.uint8), mode=None).convert("P")
    palette.putpalette([*BLACK, 128, 0, 0])
    palette.putdata([int(bit) for bit in expected.ravel()])
    colour = Image.fromarray((expected[..., None] * np.array([128, 0, 0])).astype(np.uint8))
    opaque = Image.fromarray(np.dstack([make_mask(8)] * 3 + [np.full((8, 8), 255, np.uint8)]))
    white_on_nothing = Image.fromarray(np.dstack([np.full((8, 8), 255, np.uint8)] * 3 + [make_mask(8)]))
    black_on_nothing = Image.fromarray(np.dstack([np.zeros((8, 8), np.uint8)] * 3 + [make_mask(8)]))
    for index, picture in enumerate([one_bit, palette, colour, opaque, white_on_nothing, black_on_nothing]):
        assert np.array_equal(read_mask(save(tmp_path / f"{index}.png", picture), 8), expected), index


def test_empty_mask_is_empty(tmp_path):
    assert not read_mask(save(tmp_path / "m.png", np.zeros((4, 4), np.uint8)), 8).any()


def test_mask_is_turned_and_resized_like_its_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((4, 8), np.uint8)
    stored[:2, :4] = 255
    mask = read_mask(save(tmp_path / "m.png", Image.fromarray(stored), exif=exif), 4)
    expected = np.zeros((4, 4), bool)
    expected[:2, 2:] = True
    assert np.array_equal(mask, expected)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_mask_resize_is_nearest(tmp_path_factory, height, width, size):
    bits = np.random.default_rng(height).random((height, width)) > 0.5
    path = save(tmp_path_factory.mktemp("mask") / "m.png", bits.astype(np.uint8) * 255)
    mask = read_mask(path, size)
    for row in range(size):
        for column in range(size):
            y, x = Fraction(2 * row + 1, 2 * size) * height, Fraction(2 * column + 1, 2 * size) * width
            assert mask[row, column] == bits[int(y), int(x)]  # the pixel under the centre


def test_mask_resize_keeps_regions_where_they_are(tmp_path):
    """Images and masks are resized about the same centres: a block of an image ends where its mask ends."""
    block = np.zeros((64, 64), np.uint8)
    block[16:32, 8:40] = 255
    image = read_image(save(tmp_path / "a.png", block), 16)[..., 0] > 127
    assert np.array_equal(read_mask(tmp_path / "a.png", 16), image)


# --------------------------------------------------------------------------------------------- data sets


def test_load_category(tmp_path):
    make_category(tmp_path)
    category = load_category(tmp_path, "leather")
    assert category.name == "leather"
    assert [path.name for path in category.train] == ["000.png", "001.png", "002.png"]
    assert category.defects == ("cut", "glue")
    assert [sample.path.parent.name for sample in category.test] == ["cut", "cut", "glue", "glue", "good"]
    assert category.labels == (True, True, True, True, False)
    train = category.load_train(8)
    assert train.shape == (3, 3, 8, 8)
    assert train.dtype == torch.uint8
    assert np.array_equal(train[1].numpy(), read_image(category.train[1], 8).transpose(2, 0, 1))
    images, masks = category.load_test(12)
    assert images.shape == (5, 3, 12, 12)
    assert masks.dtype == torch.bool
    for sample, mask in zip(category.test, masks, strict=True):
        expected = np.zeros((12, 12), bool) if sample.defect == "good" else make_mask() > 0
        assert np.array_equal(mask.numpy(), expected)


def test_the_category_folder_itself(tmp_path, monkeypatch):
    folder = make_category(tmp_path)
    assert load_category(folder) == load_category(tmp_path, "leather") == load_category(folder, "leather")
    monkeypatch.chdir(folder)
    assert load_category(".").name == "leather"


def test_no_test_folder_is_fine_for_training(tmp_path):
    save(tmp_path / "own" / "train" / "good" / "a.png", photo())
    category = load_category(tmp_path, "own")
    assert category.test == ()
    assert len(category.load_train(8)) == 1


def test_mask_names_and_clutter(tmp_path):
    folder = make_category(tmp_path)
    (folder / "ground_truth" / "cut" / "000_mask.png").rename(folder / "ground_truth" / "cut" / "000.png")
    for name in (".DS_Store", "Thumbs.db", "._000.png", "readme.txt"):
        (folder / "train" / "good" / name).write_bytes(b"x")
    (folder / "test" / ".hidden").mkdir()
    (folder / "test" / "readme.txt").write_text("text")
    category = load_category(tmp_path, "leather")
    assert len(category.train) == 3
    assert category.test[0].mask == folder / "ground_truth" / "cut" / "000.png"


def test_upper_case_extensions_and_natural_order(tmp_path):
    for name in ("b10.PNG", "b3.JPG", "b1.Jpeg", "a.WEBP", "b02.tif"):
        save(tmp_path / "mine" / name, photo())
    names = [path.name for path in load_photographs(tmp_path / "mine").train]
    assert names == ["a.WEBP", "b1.Jpeg", "b02.tif", "b3.JPG", "b10.PNG"]


def test_photographs(tmp_path):
    category = load_photographs(make_photographs(tmp_path / "mine"))
    assert category.name == "mine"
    assert [path.name for path in category.train] == ["photo1.png", "photo2.png", "photo10.png"]
    assert [sample.path.name for sample in category.test] == ["t0.png", "t1.png", "t2.png"]
    assert [sample.defect for sample in category.test] == ["good", "defect", "defect"]
    _, masks = category.load_test(12)
    assert masks.flatten(1).any(1).tolist() == [False, True, True]


def test_photographs_elsewhere(tmp_path):
    folder = make_photographs(tmp_path / "mine")
    (folder / "normal").mkdir()
    save(folder / "normal" / "n.png", photo())
    (folder / "test").rename(tmp_path / "t")
    (folder / "masks").rename(tmp_path / "m")
    assert load_photographs(folder).test == ()
    category = load_photographs(folder, test=tmp_path / "t", masks=tmp_path / "m")
    assert [path.name for path in category.train] == ["n.png"]
    assert len(category.test) == 3


def test_photographs_without_masks_can_be_read_but_not_evaluated(tmp_path):
    category = load_photographs(make_photographs(tmp_path / "mine", masks=False))
    assert {sample.defect for sample in category.test} == {"unknown"}
    assert load_images([sample.path for sample in category.test], 8).shape == (3, 3, 8, 8)
    with pytest.raises(DFRError, match="t0.png: has no mask"):
        category.load_test(8)


def test_fingerprint():
    images = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
    mark = data.fingerprint(images)
    assert len(mark) == 16
    assert mark == data.fingerprint(images.clone())
    assert mark == data.fingerprint(images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))  # memory layout is no content
    assert mark != data.fingerprint(images.reshape(1, 3, 2, 8))
    assert mark != data.fingerprint(images.flip(0, 3))
    with pytest.raises(TypeError):
        data.fingerprint(images.float())


def test_statistics_counts_as_table_vii(tmp_path):
    folder = make_category(tmp_path)
    make_category(tmp_path, "zeppelin")
    make_category(tmp_path, "carpet")
    mask = np.zeros((12, 12), np.uint8)
    mask[0, 0] = mask[1, 1] = 255  # one region: corners touch
    mask[5, 5] = 255
    mask[8:11, 8:11] = 255
    mask[9, 9] = 0  # a hole is no region
    save(folder / "ground_truth" / "cut" / "000_mask.png", mask)
    assert data.available(tmp_path) == ("carpet", "leather", "zeppelin")
    assert statistics(tmp_path) == [("carpet", 3, 5, 2, 4), ("leather", 3, 5, 2, 6), ("zeppelin", 3, 5, 2, 4)]
    assert [row.n_regions for row in statistics(tmp_path, ["leather"])] == [6]


def test_fifteen_categories_grouped_as_table_ii():
    assert len(set(data.CATEGORIES)) == 15
    assert "wood" in data.TEXTURES
    assert len(data.OBJECTS) == 10


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not beside this checkout")
def test_real_leather():
    category = load_category(REAL, "leather")
    assert (len(category.train), len(category.test)) == (4, 15)
    images, masks = category.load_test(64)
    assert images.shape == (15, 3, 64, 64)
    assert masks.flatten(1).any(1).tolist() == list(category.labels)
    assert statistics(REAL, ["leather"])[0][:4] == ("leather", 4, 15, 5)


# ---------------------------------------------------------------------------------------------- bad input


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(path: Path) -> Path:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""))
    return path


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def cut_short(path: Path) -> Path:
    whole = save(path, photo(side=64)).read_bytes()
    return write(path, whole[: len(whole) // 2])


def broken_bytes(path: Path) -> Path:
    whole = bytearray(save(path, photo(side=64)).read_bytes())
    whole[60:80] = bytes(20)
    return write(path, bytes(whole))


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


BAD_IMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda p: p / "none.png", "no such image"),
    "broken link": (lambda p: (p / "link.png").symlink_to(p / "gone.png") or p / "link.png", "no such image"),
    "folder": (lambda p: (p / "dir.png").mkdir() or p / "dir.png", "is a folder"),
    "empty": (lambda p: write(p / "empty.png", b""), "empty"),
    "text": (lambda p: write(p / "text.png", b"not an image\n" * 9), "not an image"),
    "drawing": (lambda p: write(p / "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "convert it to"),
    "truncated png": (lambda p: cut_short(p / "a.png"), "damaged or cut short"),
    "truncated jpg": (lambda p: cut_short(p / "a.jpg"), "damaged or cut short"),
    "truncated tif": (lambda p: cut_short(p / "a.tif"), "damaged or cut short"),
    "truncated webp": (lambda p: cut_short(p / "a.webp"), "cut short|not an image"),
    "header only": (lambda p: write(p / "a.png", b"\x89PNG\r\n\x1a\n"), "not an image|damaged"),
    "broken bytes": (lambda p: broken_bytes(p / "a.png"), "damaged or cut short"),
    "bomb": (lambda p: bomb(p / "bomb.png"), "far too many pixels"),
    "pipe": (lambda p: fifo(p / "pipe.png"), "not a regular file"),
    "not a number": (lambda p: save(p / "a.tif", np.full((4, 4), np.nan, np.float32)), "NaN"),
    "infinite": (lambda p: save(p / "a.tif", np.full((4, 4), np.inf, np.float32)), "infinite"),
    "negative float": (lambda p: save(p / "a.tif", np.full((4, 4), -0.5, np.float32)), "negative"),
    "negative integer": (lambda p: save(p / "a.tif", np.full((4, 4), -3, np.int32)), "negative"),
}
ABOVE_16_BIT = (lambda p: save(p / "a.tif", np.full((4, 4), 70000, np.int32)), "above 16 bit")


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("read", [read_image, read_mask])
@pytest.mark.skipif(os.name == "nt", reason="links and pipes")
def test_bad_image(tmp_path, kind, read):
    make, message = BAD_IMAGES[kind]
    path = make(tmp_path)
    with pytest.raises(DFRError, match=message) as caught:
        read(path, 8)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_above_16_bit(tmp_path):
    path = ABOVE_16_BIT[0](tmp_path)
    with pytest.raises(DFRError, match=ABOVE_16_BIT[1]) as caught:
        read_image(path, 8)
    assert str(path) in str(caught.value)
    assert read_mask(path, 8).all()  # a mask may have any range


def test_unreadable(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", photo())

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DFRError, match=r"a\.png: cannot be read \(Permission denied\)"):
        read_image(path, 8)


@pytest.mark.parametrize("size", [0, -1, 2.5, "256", None, True])
def test_bad_size(tmp_path, size):
    path = save(tmp_path / "a.png", photo())
    for read in (read_image, read_mask):
        with pytest.raises(DFRError, match="image_size"):
            read(path, size)
    with pytest.raises(DFRError, match="image_size"):
        load_images([path], size)


def remove_images(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _only_text(f: Path) -> None:
    remove_images(f / "train" / "good")
    write(f / "train" / "good" / "a.mov", b"x")


def _loose(f: Path) -> None:
    save(f / "test" / "loose.png", photo())


def _orphan_folder(f: Path) -> None:
    save(f / "ground_truth" / "fold" / "000_mask.png", make_mask())


def _test_is_a_file(f: Path) -> None:
    (f / "test").rename(f / "elsewhere")
    write(f / "test", b"x")


def _only_text_in_defect(f: Path) -> None:
    write(f / "test" / "fold" / "a.txt", b"x")


# What is done to a faultless category, what of it the message must name, and what it must say.
BAD_CATEGORIES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no training images": (lambda f: remove_images(f / "train" / "good"), "train/good", "no images here"),
    "training images of another kind": (_only_text, "a.mov", "no images here"),
    "no train/good": (lambda f: (f / "train" / "good").rename(f / "train" / "fine"), "train/good", "no such folder"),
    "image outside a defect's folder": (_loose, "test/loose.png", "directly in 'test'"),
    "test is a file": (_test_is_a_file, "leather/test", "not a folder"),
    "only text in a defect's folder": (_only_text_in_defect, "test/fold", "only a.txt"),
    "mask without image": (lambda f: (f / "test/cut/001.png").unlink(), "ground_truth/cut/001_mask.png", "no test image"),
    "masks without a defect's folder": (_orphan_folder, "ground_truth/fold/000_mask.png", "no test image"),
    "two masks": (lambda f: save(f / "ground_truth/cut/000.png", make_mask()), "ground_truth/cut/000_mask.png", "second mask"),
    "two images of one name": (lambda f: save(f / "test/cut/000.jpg", photo()), "test/cut/000.png", "same name"),
}


@pytest.mark.parametrize("kind", BAD_CATEGORIES)
def test_bad_category(tmp_path, kind):
    spoil, named, message = BAD_CATEGORIES[kind]
    spoil(make_category(tmp_path))
    with pytest.raises(DFRError, match=message) as caught:
        load_category(tmp_path, "leather")
    assert named in str(caught.value).replace(os.sep, "/")
    assert "\n" not in str(caught.value)


def test_bad_root(tmp_path):
    make_category(tmp_path)
    make_category(tmp_path, "carpet")
    with pytest.raises(DFRError, match="nowhere: no such folder"):
        load_category(tmp_path / "nowhere", "leather")
    with pytest.raises(DFRError, match="file: is not a folder"):
        load_category(write(tmp_path / "file", b"x"), "leather")
    with pytest.raises(DFRError, match="category: 'lether' is not in .*available: carpet, leather"):
        load_category(tmp_path, "lether")
    with pytest.raises(DFRError, match="name one as category: carpet, leather"):
        load_category(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in (None, "leather"):
        with pytest.raises(DFRError, match="empty: holds no category"):
            load_category(tmp_path / "empty", name)
    with pytest.raises(DFRError, match="empty: holds no category"):
        statistics(tmp_path / "empty")
    for name in ("", "..", "../leather", "a/b", "a\\b"):
        with pytest.raises(DFRError, match="category: .* is not the name"):
            load_category(tmp_path, name)


def spoil_mask_size(f: Path) -> None:
    save(f / "ground_truth" / "glue" / "001_mask.png", make_mask(24))


def spoil_good(f: Path) -> None:
    save(f / "ground_truth" / "good" / "000_mask.png", make_mask())


def hide_test(f: Path) -> None:
    (f / "test").rename(f / "hidden")
    (f / "ground_truth").rename(f / "hidden_truth")


BAD_TEST_SETS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no mask": (lambda f: (f / "ground_truth/cut/001_mask.png").unlink(), "test/cut/001.png", "has no mask"),
    "no masks at all": (lambda f: (f / "ground_truth").rename(f / "truth"), "test/cut/000.png", "has no mask .nor have 3 others"),
    "wrong mask size": (spoil_mask_size, "ground_truth/glue/001_mask.png", "wrong mask size 24 x 24.* is 12 x 12"),
    "good image with a defect's mask": (spoil_good, "ground_truth/good/000_mask.png", "among the good images"),
    "damaged test image": (lambda f: cut_short(f / "test/glue/000.png"), "test/glue/000.png", "cut short"),
    "empty mask file": (lambda f: write(f / "ground_truth/glue/000_mask.png", b""), "ground_truth/glue/000_mask.png", "empty"),
    "no test images": (hide_test, "leather", "no test images"),
}


@pytest.mark.parametrize("kind", BAD_TEST_SETS)
def test_bad_test_set(tmp_path, kind):
    spoil, named, message = BAD_TEST_SETS[kind]
    spoil(make_category(tmp_path))
    category = load_category(tmp_path, "leather")
    with pytest.raises(DFRError, match=message) as caught:
        category.load_test(8)
    assert named in str(caught.value).replace(os.sep, "/")


def test_damaged_training_image_is_named(tmp_path):
    folder = make_category(tmp_path)
    write(folder / "train" / "good" / "001.png", b"")
    with pytest.raises(DFRError, match=r"001\.png"):
        load_category(tmp_path, "leather").load_train(8)


def test_mask_of_a_turned_image(tmp_path, caplog):
    """A mask is drawn on the picture as a person sees it, or on the stored pixels if its size says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = save(tmp_path / "a.png", Image.new("RGB", (8, 4)), exif=exif)
    right = save(tmp_path / "r.png", Image.new("L", (4, 8), 255))
    stored = np.zeros((4, 8), np.uint8)
    stored[:2, :4] = 255  # top left of the stored pixels is top right of the picture
    wrong = save(tmp_path / "w.png", np.zeros((4, 4), np.uint8))
    category = data.Category("a", (), (Sample(image, right, "cut"),))
    assert category.load_test(4)[1].all() and "r.png: drawn" not in caplog.text
    turned = data.Category("a", (), (Sample(image, save(tmp_path / "s.png", stored), "cut"),)).load_test(4)[1][0]
    assert turned[:2, 2:].all() and turned.sum() == 4
    assert "s.png: drawn on the stored pixels" in caplog.text
    with pytest.raises(DFRError, match="wrong mask size 4 x 4, .* is 4 x 8"):
        data.Category("a", (), (Sample(image, wrong, "cut"),)).load_test(4)


def _clear(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.unlink()


BAD_PHOTOGRAPHS: dict[str, tuple[Callable[[Path], object], dict, str, str]] = {
    "no images": (_clear, {}, "mine", "no images here"),
    "only other files": (lambda f: _clear(f) or write(f / "a.mov", b"x"), {}, "a.mov", "no images here"),
    "empty folder normal": (lambda f: (f / "normal").mkdir(), {}, "mine/normal", "no images here"),
    "no such test folder": (lambda f: None, {"test": "nowhere"}, "nowhere", "no such folder"),
    "no such masks folder": (lambda f: None, {"masks": "nowhere"}, "nowhere", "no such folder"),
    "empty test folder": (lambda f: _clear(f / "test"), {}, "mine/test", "no images here"),
    "empty masks folder": (lambda f: _clear(f / "masks"), {}, "mine/masks", "no images here"),
    "masks without a test folder": (lambda f: (f / "test").rename(f / "other"), {}, "mine/masks", "masks without test images"),
    "mask without image": (lambda f: save(f / "masks/t9.png", make_mask()), {}, "mine/masks/t9.png", "no test image"),
    "a category's layout": (lambda f: _clear(f) or save(f / "train/good/a.png", photo()), {}, "mine", "MVTec AD's layout"),
}


@pytest.mark.parametrize("kind", BAD_PHOTOGRAPHS)
def test_bad_photographs(tmp_path, kind):
    spoil, options, named, message = BAD_PHOTOGRAPHS[kind]
    folder = make_photographs(tmp_path / "mine")
    spoil(folder)
    with pytest.raises(DFRError, match=message) as caught:
        load_photographs(folder, **{key: tmp_path / value for key, value in options.items()})
    assert named in str(caught.value).replace(os.sep, "/")


def test_no_such_photographs(tmp_path):
    with pytest.raises(DFRError, match="nowhere: no such folder"):
        load_photographs(tmp_path / "nowhere")


@given(cut=st.floats(0.01, 0.99), suffix=st.sampled_from(["png", "jpg", "bmp", "tif", "webp"]), noise=st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_damaged_files_never_raise_anything_else(tmp_path_factory, cut, suffix, noise):
    path = tmp_path_factory.mktemp("damaged") / f"a.{suffix}"
    picture = Image.new("RGB", (24, 16), RED)
    ImageDraw.Draw(picture).ellipse((2, 2, 14, 14), fill=GREEN)
    whole = save(path, picture).read_bytes()
    position = int(len(whole) * cut)
    path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
    try:
        assert read_image(path, 8).shape == (8, 8, 3)
    except DFRError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


def test_a_tiff_of_unsigned_32_bit_is_refused_rather_than_guessed(tmp_path):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    path = save(tmp_path / "a.tif", np.full((4, 4), 2**30, np.int32), tiffinfo=info)
    with pytest.raises(DFRError, match=r"a\.tif"):
        read_image(path, 8)


def test_a_defect_that_vanishes_is_told(tmp_path, caplog):
    """A hairline can fall between the pixels that nearest-neighbour resizing keeps."""
    made = edition("quick").data_root(("leather",)) / "leather"
    shutil.copytree(made / "train", tmp_path / "leather" / "train")
    for folder in ("test", "ground_truth"):
        (tmp_path / "leather" / folder / "scratch").mkdir(parents=True)
    Image.new("RGB", (1024, 1024)).save(tmp_path / "leather" / "test" / "scratch" / "000.png")
    lines = np.zeros((1024, 1024), np.uint8)
    lines[100:140, 0] = 255
    Image.fromarray(lines).save(tmp_path / "leather" / "ground_truth" / "scratch" / "000_mask.png")
    _, masks = data.load_category(tmp_path, "leather").load_test(256)
    assert not masks.any()
    assert "000_mask.png: the defect vanishes at 256 pixels" in caplog.text

"""Images in every form a user may hold them become one tensor, or one clear error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from dfr_core.data import load_category
from dfr_core.data.arrays import as_images, as_labelled
from dfr_core.data.synthetic import make_dataset
from dfr_core.errors import DFRError

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)  # [N, H, W, 3]
EXPECTED = torch.from_numpy(PICTURES).permute(0, 3, 1, 2)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = {
    "array NHWC": PICTURES,
    "array NCHW": EXPECTED.numpy(),
    "tensor NHWC": torch.from_numpy(PICTURES),
    "tensor NCHW": EXPECTED,
    "fortran order": np.asfortranarray(PICTURES),
    "read only": read_only(PICTURES),
    "flipped twice": PICTURES[..., ::-1].copy()[..., ::-1],  # as OpenCV's BGR is turned into RGB: a negative stride
    "list of arrays": list(PICTURES),
    "list of tensors": list(EXPECTED),
    "list of PIL images": [Image.fromarray(picture) for picture in PICTURES],
    "tuple": tuple(PICTURES),
    "iterator": "iterator",
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_are_taken_as_they_are(form):
    images = iter(PICTURES) if form == "iterator" else FORMS[form]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = as_images(images, 256)
    assert found.dtype == torch.uint8 and found.is_contiguous() and torch.equal(found, EXPECTED)


@pytest.mark.parametrize("image", [PICTURES[0], EXPECTED[0], EXPECTED[0].numpy()])
def test_one_image_without_n(image):
    assert torch.equal(as_images(image, 256), EXPECTED[:1])


GREY = PICTURES[..., 0]
GREYS = {
    "NHW": GREY,
    "NHW1": GREY[..., None],
    "N1HW": torch.from_numpy(GREY)[:, None],
    "list of HW": list(GREY),
    "PIL images": [Image.fromarray(picture) for picture in GREY],
}


@pytest.mark.parametrize("form", GREYS)
def test_grey_is_triplicated(form):
    assert torch.equal(as_images(GREYS[form], 256), torch.from_numpy(GREY)[:, None].expand(-1, 3, -1, -1))


@pytest.mark.parametrize("image", [GREY[0], Image.fromarray(GREY[0]), GREY[:1]])
def test_one_grey_image(image):
    images, masks = as_labelled((image, MASKS[0]), 256)
    assert torch.equal(images, torch.from_numpy(GREY[:1])[:, None].expand(-1, 3, -1, -1))
    assert torch.equal(masks[0], torch.from_numpy(MASKS[0] > 0))


def test_one_pil_image():
    assert torch.equal(as_images(Image.fromarray(PICTURES[0]), 256), EXPECTED[:1])
    assert as_images(Image.new("RGBA", (4, 4)), 256).min() == 255, "transparency is laid on white"


def test_three_grey_images_are_told_from_one_in_colour(caplog):
    assert as_images(np.zeros((3, 6, 8), np.uint8), 256).shape == (1, 3, 6, 8)
    assert "one colour image; give three grey ones as [3, 1, H, W]" in caplog.text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for k, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(folder / f"{k}.png")
    return folder


def test_files_and_folders_are_resized(folder):
    by_folder, by_list = as_images(folder, 16), as_images([folder / "0.png", str(folder / "1.png")], 16)
    assert by_folder.shape == (2, 3, 16, 16) and torch.equal(by_folder, by_list)
    assert torch.equal(as_images(str(folder / "1.png"), 16), by_list[1:])


def test_category(tmp_path):
    make_dataset(tmp_path, ("leather",), n_train=2, n_good=1, n_defect=1)
    category = load_category(tmp_path, "leather")
    assert torch.equal(as_images(category, 32), category.load_train(32))
    images, masks = as_labelled(category, 32)
    assert images.shape[0] == masks.shape[0] == len(category.test) and masks.dtype == torch.bool


BAD_IMAGES = {
    "nothing": ([], "the list is empty"),
    "number": (3, "cannot use a int"),
    "none": (None, "cannot use a NoneType"),
    "floats": (PICTURES / 255, r"dtype torch.float64 is not uint8.*np.rint\(images \* 255\).astype\(np.uint8\)"),
    "floats to 255": (PICTURES.astype(np.float32), r"np.rint\(images\).astype\(np.uint8\)"),
    "folder in a list": (["."], "folder in a list"),
    "signed": (PICTURES.astype(np.int64), "is not uint8"),
    "16 bit": (PICTURES.astype(np.uint16), "is not uint8"),
    "objects": (np.array([object()]), "images: .*object"),
    "words": (np.array(["a"]), "images: "),
    "flat": (PICTURES[0, 0, 0], "shape .* is not"),
    "rgba": (np.zeros((2, 6, 8, 4), np.uint8), "shape .* is not"),
    "no images": (PICTURES[:0], "shape .* is not"),
    "no pixels": (PICTURES[:, :0], "shape .* is not"),
    "two sizes": ([PICTURES[0], PICTURES[1, :3]], "do not fit together"),
    "mixed": ([PICTURES[0], "a.png"], "do not fit together|images: "),
    "list of none": ([None], "images: "),
    "dictionary": ({"a": PICTURES}, "a"),
    "missing file": ("nothing.png", "nothing.png"),
    "missing files": (["nothing.png"], "nothing.png"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_what_cannot_be_images(case):
    images, match = BAD_IMAGES[case]
    with pytest.raises(DFRError, match=match) as caught:
        as_images(images, 16)
    assert "\n" not in str(caught.value)


MASKS = np.zeros((2, 6, 8), np.uint8)
MASKS[0, 1:3, 2:4] = 255


@pytest.mark.parametrize("masks", [MASKS, MASKS > 0, MASKS / 255, torch.from_numpy(MASKS), list(MASKS), MASKS[..., ::-1][..., ::-1]])
def test_masks_in_every_form(masks):
    images, found = as_labelled((PICTURES, masks), 256)
    assert torch.equal(images, EXPECTED) and found.dtype == torch.bool
    assert found.sum() == 4 and found[0, 1:3, 2:4].all()


BAD_LABELLED = {
    "no pair": (PICTURES, "data: |masks: "),
    "number": (3, "give a Category, or a pair"),
    "three": ((1, 2, 3), "give a Category, or a pair"),
    "one mask": ((PICTURES, MASKS[:1]), "masks: shape"),
    "small masks": ((PICTURES, MASKS[:, :3]), "masks: shape"),
    "channels": ((PICTURES, MASKS[:, None]), "masks: shape"),
    "ragged": ((PICTURES, [MASKS[0], MASKS[1, :2]]), "masks: "),
    "none": ((PICTURES, None), "masks: "),
    "words": ((PICTURES, "ab"), "masks: "),
}


@pytest.mark.parametrize("case", BAD_LABELLED)
def test_what_cannot_be_labelled_images(case):
    data, match = BAD_LABELLED[case]
    with pytest.raises(DFRError, match=match) as caught:
        as_labelled(data, 16)
    assert "\n" not in str(caught.value)

"""Images that are not square: what is said of their size, and that height and width change places nowhere on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image
from test_methods import TRIED, MeanColour, ToySettings

from dfr_core import DFR, DFRError, Settings, load_detector, method, paper
from dfr_core.backbones.architecture import architecture
from dfr_core.command import main
from dfr_core.command.main import parser
from dfr_core.command.options import settings_from
from dfr_core.data import Category, Sample, load_images, load_photographs, read_image
from dfr_core.data.masks import read_mask, resize_mask
from dfr_core.files import load_tensors
from dfr_core.literal import hierarchical_features, regional_features
from dfr_core.methods import METHODS
from dfr_core.metrics import border_distance, border_profile
from dfr_core.settings import MethodSettings, checked_size, sides, size_in_words

WIDE, TALL = (64, 128), (128, 64)
both = pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])


# ------------------------------------------------------------------------------------------ how a size is said


def option(*given: str) -> Settings:
    return settings_from(parser().parse_args(["fit", "DATA", "--out", "MODEL", *given]))


SAID = {"256": 256, "64": 64, "256x512": (256, 512), "512X256": (512, 256), "256x256": 256, " 8 x 9 ": (8, 9)}


@pytest.mark.parametrize("text", SAID)
def test_a_size_at_the_command_line(text):
    found = option("--image-size", text).image_size
    assert found == SAID[text] and type(found) is type(SAID[text])
    assert checked_size(found) == found and size_in_words(found) == text.lower().replace(" ", "").replace("256x256", "256")


@pytest.mark.parametrize("text", ["256x", "x256", "0x5", "5x0", "0", "axb", "256x-4", "-4", "1x2x3", "2.5", "", "256,512", "None"])
def test_what_is_no_size_is_told_in_one_line(text, capsys):
    assert main(["fit", "DATA", "--out", "MODEL", f"--image-size={text}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"dfr: error: argument --image-size: {text!r} is no number of pixels; write ")


@pytest.mark.parametrize("size", [(256, 256), [256, 256], np.int64(256), 256])
def test_a_square_is_a_number(size):
    found = Settings(image_size=size)
    assert found == paper() and type(found.image_size) is int and found.to_json() == paper().to_json()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (1, 2, 3), (5,), (), "256x512", (1.5, 2), (True, 4), (4, None), {4: 5}, -3])
def test_impossible_sizes_in_python(size, tmp_path):
    for use in (lambda: Settings(image_size=size), lambda: Settings.from_dict({"image_size": size}), lambda: load_images([], size)):
        with pytest.raises(DFRError, match="^image_size: .*give the side of a square") as caught:
            use()
        assert "\n" not in str(caught.value)


@both
def test_a_size_survives_json(size):
    settings = Settings(image_size=size)
    again = Settings.from_dict(json.loads(settings.to_json()))
    assert again == settings and hash(again) == hash(settings) and again.image_size == size and type(again.image_size) is tuple
    assert Settings(image_size=list(size)) == settings and sides(size) == size and sides(7) == (7, 7)


def test_lists_in_files_are_pairs_for_the_settings_of_any_method():
    """A subclass that checks nothing itself."""
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Others(MethodSettings):
        image_size: int | tuple[int, int] = 256
        seed: int = 0

    assert Others.from_dict({"image_size": [64, 128]}) == Others((64, 128)) and Others.from_dict({"image_size": [64, 64]}) == Others(64)


def test_a_filter_larger_than_the_shorter_side():
    for size in ((64, 4), (4, 64)):
        with pytest.raises(DFRError, match=rf"kernel: 5 exceeds image_size {size[0]}x{size[1]}; choose a smaller mean filter"):
            Settings(image_size=size, kernel=5)


def test_operations_count_both_sides():
    network = architecture("vgg19")
    assert network.flops("1:12", 256) == network.flops("1:12", (256, 256))
    assert network.flops("1:12", (256, 512)) == network.flops("1:12", (512, 256)) == 2 * network.flops("1:12", 256)
    assert network.units(12, (64, 128)) == 8 * 16 and network.bytes_moved("1", (64, 128)) == network.bytes_moved("1", (128, 64))


# ------------------------------------------------------------------------------- a spot, read at another shape

#: Size (height, width) of the photograph, and the middle of the spot as shares of it.
SPOTS = [((60, 120), 0.25, 0.8), ((120, 60), 0.8, 0.25), ((60, 120), 0.7, 0.1), ((90, 90), 0.2, 0.6)]


def spotted(shape: tuple[int, int], down: float, right: float, ground: int = 0) -> np.ndarray:
    """Grey uint8 [h, w] with a bright square of an eighth of the shorter side."""
    (height, width), half = shape, min(shape) // 16
    values = np.full(shape, ground, np.uint8)
    y, x = round(down * height), round(right * width)
    values[y - half : y + half, x - half : x + half] = 255
    return values


def middle(marked: np.ndarray) -> tuple[float, float]:
    """Of what is marked in [h, w], as shares of height and width."""
    rows, columns = np.nonzero(marked)
    return (rows.mean() + 0.5) / marked.shape[0], (columns.mean() + 0.5) / marked.shape[1]


@both
@pytest.mark.parametrize("spot", SPOTS)
def test_a_spot_stays_where_it_is(tmp_path, size, spot):
    values = spotted(*spot)
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", size)
    assert image.shape == (*size, 3) and middle(image[..., 0] > 127) == pytest.approx(spot[1:], abs=0.03)
    assert load_images([tmp_path / "a.png"], size).shape == (1, 3, *size)
    mask = resize_mask(read_mask(tmp_path / "a.png"), size)
    assert mask.shape == size and middle(mask) == pytest.approx(spot[1:], abs=0.03)
    category = Category("a", (tmp_path / "a.png",), (Sample(tmp_path / "a.png", tmp_path / "a.png", "spot"),))
    images, masks = category.load_test(size)
    assert images.shape == category.load_train(size).shape == (1, 3, *size) and masks.shape == (1, *size)
    assert middle(masks[0].numpy()) == pytest.approx(middle(images[0, 0].numpy() > 127), abs=0.02)


def test_a_defect_that_vanishes_names_the_size(tmp_path, caplog):
    values = np.zeros((256, 256), np.uint8)
    values[0, 0] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    Category("a", (), (Sample(tmp_path / "a.png", tmp_path / "a.png", "dot"),)).load_test((32, 64))
    assert "vanishes at 32x64 pixels" in caplog.text


# ------------------------------------------------------------------------- from the image to the map, each axis


def normal_images(size: tuple[int, int], n: int = 4) -> torch.Tensor:
    noise = np.random.default_rng(0).integers(110, 140, (n, 3, *size), np.uint8)
    return torch.from_numpy(noise)


def defective(size: tuple[int, int], spot: tuple[float, float]) -> tuple[torch.Tensor, np.ndarray]:
    """A normal image with a bright square, and where that is."""
    marked = spotted(size, *spot) > 0
    return torch.where(torch.from_numpy(marked), torch.tensor(255, dtype=torch.uint8), normal_images(size, 5)[4:]), marked


CASES = {
    "whole": {},
    "zeros": {"padding": "zeros", "initialisation": "pca"},
    "projected": {"projection": 6},
    "kept padding": {"keep_padding": True, "interpolation": "bilinear-aligned", "map_interpolation": "bilinear-aligned"},
    "bilinear": {"interpolation": "bilinear", "kernel": 8, "stride": 2},
    "odd": {"kernel": 5, "stride": 3},
}


@both
@pytest.mark.parametrize("spot", [(0.25, 0.8), (0.8, 0.25)])
@pytest.mark.parametrize("case", [*CASES, MeanColour.name])
def test_the_map_has_its_peak_where_the_spot_is(case, size, spot):
    kind, settings = (MeanColour, ToySettings(image_size=size)) if case == MeanColour.name else (DFR, None)
    settings = settings or replace(TINY, image_size=size, **CASES[case])
    detector = kind(settings, device="cpu", progress=False).fit(normal_images(size))
    image, marked = defective(size, spot)
    (found,) = detector.anomaly_map(image)
    assert found.shape == size and marked[np.unravel_index(found.argmax(), size)]
    assert detector.segment(image)[0][marked].mean() > 0.9
    report = detector.evaluate((torch.cat([image, normal_images(size, 6)[5:]]), np.stack([marked, np.zeros(size)])))
    assert report["roc_auc"] > 0.95 and report["image_roc_auc"] == 1


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """What a method keeps for others to come, such as a teacher."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@both
@pytest.mark.parametrize("name", [name for name in METHODS if name != "DFR"])
def test_every_method_takes_such_images(name, size, own_cache):
    """Trained for a moment, a method need not be right about the spot, but a spot changes its map most where it is."""
    for settings in TRIED[name].values():
        settings = type(settings).from_dict(json.loads(replace(settings, image_size=size).to_json()))
        assert settings.image_size == size
        detector = method(name)(settings, device="cpu", progress=False).fit(normal_images(size))
        image, marked = defective(size, (0.3, 0.75))
        changed = np.abs(detector.anomaly_map(image)[0] - detector.anomaly_map(normal_images(size, 5)[4:])[0])
        assert changed.shape == size and changed[marked].mean() > 2 * changed[~marked].mean()


@pytest.mark.parametrize("name", METHODS)
def test_a_square_is_a_number_for_every_method(name):
    kind = method(name).settings_class
    assert kind(image_size=(128, 128)) == kind(image_size=128) and kind(image_size=[128, 192]).image_size == (128, 192)
    with pytest.raises(DFRError, match="^image_size: "):
        kind(image_size=(0, 128))


@both
def test_the_features_are_the_literal_ones(size):
    detector = DFR(replace(TINY, image_size=size, layers="1:12"), device="cpu", progress=False)
    image = defective(size, (0.3, 0.7))[0]
    backbone = detector.extractor.backbone
    maps = hierarchical_features(backbone.stack, backbone.normalise(image))
    literal = regional_features(maps, size)
    ours = detector.extractor(image).dense().permute(0, 3, 1, 2)
    assert ours.shape[-2:] == (size[0] // 4, size[1] // 4) and torch.allclose(ours, literal, atol=1e-5)


@both
def test_tiles_make_no_difference(size):
    size = tuple(2 * side for side in size)
    detector = DFR(replace(TINY, image_size=size, layers="1:3"), device="cpu", progress=False).fit(normal_images(size, 2))
    image = defective(size, (0.3, 0.7))[0]
    score = detector.regional_anomaly_map
    vertical, horizontal = detector.extractor.tiles(size, 64)
    assert (len(vertical), len(horizontal)) == (size[0] // 64, size[1] // 64)
    tiled, whole = (detector.extractor.scores(image, score, tile) for tile in (64, 512))
    assert torch.allclose(tiled, whole, rtol=1e-4, atol=1e-5)


def test_border_profile_of_a_map_that_is_not_square():
    assert border_distance(2, 5).tolist() == [[0] * 5, [0] * 5] and border_distance(3, 4)[1].tolist() == [0, 1, 1, 0]
    maps = np.where(border_distance(16, 40) == 0, 3.0, 1.0)[None]
    for each in (maps, maps.transpose(0, 2, 1)):
        assert border_profile(each).tolist() == [3.0] + [1.0] * 7


# ------------------------------------------------------------------------------------- models and photographs


@pytest.fixture(scope="module", params=[WIDE, TALL], ids=["wide", "tall"])
def model(request, tmp_path_factory) -> tuple[Path, tuple[int, int]]:
    size, root = request.param, tmp_path_factory.mktemp("sizes")
    (root / "good").mkdir()
    for k, image in enumerate(normal_images(size)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / f"good/{k}.png")
    small = ["--weights", "untrained", "--width", "0.05", "--layers", "1:3", "--steps", "2", "--positions", "16", "--quiet"]
    file = root / "model.safetensors"
    assert main(["fit", str(root / "good"), "--out", str(file), "--image-size", size_in_words(size), *small]) == 0
    return file, size


def test_a_model_file_keeps_the_shape(model):
    file, size = model
    detector = load_detector(file, device="cpu")
    assert detector.settings.image_size == size and json.loads(load_tensors(file)[1]["settings"])["image_size"] == list(size)
    assert detector.anomaly_map(load_photographs(file.parent / "good")).shape == (4, *size)


@pytest.mark.parametrize("spot", [(0.25, 0.8), (0.8, 0.25)])
@pytest.mark.parametrize("shape", [(100, 200), (200, 100), (150, 150), (140, 160)])
def test_scored_at_the_photographs_own_size(model, tmp_path, capsys, shape, spot):
    """A photograph of any shape, a model of either: the peak of map and segmentation lies on the spot."""
    file, size = model
    marked = spotted(shape, *spot) > 0
    values = np.where(marked[..., None], 255, np.random.default_rng(1).integers(110, 140, (*shape, 3))).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    for option_, expected in (("photo", shape), ("model", size)):
        capsys.readouterr()
        assert main(["score", str(file), str(tmp_path / "a.png"), "--out", str(tmp_path / option_), "--size", option_]) == 0
        line = json.loads(capsys.readouterr().out)
        grey, found = np.asarray(Image.open(line["map"])), np.asarray(Image.open(line["segmentation"])) > 0
        assert line["size"] == list(expected) and grey.shape == found.shape == expected
        assert Image.open(line["overlay"]).size == expected[::-1]
        assert found.any() and middle(found) == pytest.approx(spot, abs=0.06)
        assert middle(grey == grey.max()) == pytest.approx(spot, abs=0.08)


def test_the_other_commands_take_such_a_model(model, tmp_path, capsys):
    file, size = model
    for k, image in enumerate(normal_images(size, 6)[4:]):
        (tmp_path / "mine/test").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"mine/{k}.png")
    image, marked = defective(size, (0.25, 0.8))
    Image.fromarray(image[0].permute(1, 2, 0).numpy()).save(tmp_path / "mine/test/a.png")
    Image.fromarray(normal_images(size, 7)[6].permute(1, 2, 0).numpy()).save(tmp_path / "mine/test/b.png")
    (tmp_path / "mine/masks").mkdir()
    Image.fromarray(marked).save(tmp_path / "mine/masks/a.png")
    assert main(["evaluate", str(file), str(tmp_path / "mine")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["image_size"] == list(size) and report["counts"]["pixels"] == 2 * size[0] * size[1]
    assert report["roc_auc"] > 0.95
    assert main(["report", str(file), str(tmp_path / "mine"), "--out", str(tmp_path / "report")]) == 0


@both
def test_widgets_take_such_images(size):
    from dfr_core.widgets import boundary, cosine

    image, marked = defective(size, (0.25, 0.8))
    picture = image[0].permute(1, 2, 0).numpy()
    detector = DFR(replace(TINY, image_size=size), device="cpu", progress=False).fit(normal_images(size))
    maps = detector.anomaly_map(image)
    boundary.build(picture[None], {"zeros": maps, "reflect": maps}, marked[None], ["spot"])
    view = cosine.build(picture, detector.extractor(image))
    assert (view.controls["row"].max, view.controls["column"].max) == (size[0] // 4 - 1, size[1] // 4 - 1)
    view.move(row=size[0] // 4 - 1, column=size[1] // 4 - 1)

"""Large images in tiles: the same scores as in one piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import make_images
from hypothesis import given
from hypothesis import strategies as st

from dfr_core import DFR
from dfr_core.extract import Extractor
from dfr_core.settings import Settings
from dfr_core.tiles import spans

CPU = torch.device("cpu")


@given(size=st.integers(1, 400), tile=st.integers(1, 200), halo=st.integers(0, 90), unit=st.sampled_from([1, 4, 8, 16]))
def test_tiles_cover_the_axis_once_and_halos_are_wide_enough(size, tile, halo, unit):
    parts = spans(size, tile, halo, unit)
    assert [p.start for p in parts] == [0, *(p.stop for p in parts[:-1])] and parts[-1].stop == size
    for p in parts:
        assert p.begin == 0 or p.start - p.begin >= halo
        assert p.end == size or p.end - p.stop >= halo
        assert p.begin % unit == p.start % unit == 0 and 0 < p.stop - p.start < tile + unit


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("layers", "kernel", "stride"), [("1:6", 4, 4), ("2,9:10", 7, 3), ("1:4", 4, 4)])
def test_features_in_tiles_are_those_of_the_whole_image(padding, interpolation, layers, kernel, stride):
    settings = Settings(
        weights="untrained", width=0.02, padding=padding, interpolation=interpolation, layers=layers, kernel=kernel, stride=stride
    )
    extractor, images = Extractor(settings, CPU), make_images(2, 256)[:, :, :, :192]

    def score(features):
        return features.dense().square().sum(-1)

    vertical, horizontal = extractor.tiles((256, 192), tile=64)
    assert len(vertical) > 1 and len(horizontal) > 1
    assert any(p.begin > 0 for p in vertical), "a tile that is the whole image proves nothing"
    torch.testing.assert_close(extractor.scores(images, score, tile=64), score(extractor(images)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("change", [{"interpolation": "bilinear-aligned"}, {"padding": "reflect", "keep_padding": True}])
def test_images_that_cannot_be_cut_are_scored_in_one_piece(change):
    extractor = Extractor(Settings(weights="untrained", width=0.02, layers="1:6", **change), CPU)
    assert [len(axis) for axis in extractor.tiles((1024, 1024))] == [1, 1]
    assert [len(axis) for axis in Extractor(Settings(weights="untrained", width=0.02, layers="1:6"), CPU).tiles((1022, 1024))] == [1, 1]


@pytest.mark.parametrize("projection", [None, 8])
def test_maps_of_a_detector_do_not_depend_on_the_tile(tiny, images, projection, monkeypatch):
    detector = DFR(replace(tiny, projection=projection), device="cpu", progress=False).fit(images)
    large = make_images(1, 192)
    whole = detector.anomaly_tensor(large)
    original = Extractor.tiles
    monkeypatch.setattr(Extractor, "tiles", lambda self, size, tile=0: original(self, size, 64))
    assert len(detector.extractor.tiles((192, 192))[0]) == 3
    torch.testing.assert_close(detector.anomaly_tensor(large), whole, rtol=1e-4, atol=1e-5)

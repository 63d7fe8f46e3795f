"""Small pictures as arrays."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dfr_core import plotting


def test_heat_uses_the_whole_scale_and_rises_in_brightness():
    picture = plotting.heat(np.linspace(3, 5, 256, dtype=np.float32)[None])
    assert picture.shape == (1, 256, 3) and picture.dtype == np.uint8
    luminance = picture[0] @ [0.2126, 0.7152, 0.0722]
    assert luminance[0] < 3 and luminance[-1] > 230 and (np.diff(luminance) > -1).all()


def test_heat_with_given_ends_clips():
    scores = np.array([[-5.0, 0.0, 1.0, 9.0]])
    picture = plotting.heat(scores, 0, 1)
    assert (picture[0, 0] == picture[0, 1]).all() and (picture[0, 2] == picture[0, 3]).all()
    assert (plotting.heat(np.full((2, 2), 7.0)) == plotting.heat(np.zeros((1, 1)), 0, 1)[0, 0]).all()  # a flat map is cold


def test_overlay_leaves_normal_pixels_alone():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    scores = np.zeros((4, 6))
    scores[1, 2] = 1
    picture = plotting.overlay(image, scores, alpha=1.0)
    changed = (picture != image).any(-1)
    assert changed.sum() == 1 and (picture[1, 2] == plotting.heat(scores)[1, 2]).all()
    assert (plotting.overlay(image, scores, alpha=0) == image).all()


def test_outline_surrounds_the_mask():
    image, mask = np.zeros((7, 7, 3), np.uint8), np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    picture = plotting.outline(image, mask)
    drawn = (picture == plotting.TRUTH).all(-1)
    assert drawn.sum() == 12 and not (drawn & mask).any() and not image.any()
    assert (plotting.outline(image, mask, width=2) != 0).any(-1).sum() > 12
    assert not plotting.outline(image, np.zeros((7, 7))).any()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.integers(0, 9))
def test_an_outline_is_what_dilation_adds(height, width, line, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    drawn = (plotting.outline(np.zeros((height, width, 3), np.uint8), mask, width=line) != 0).any(-1)
    assert np.array_equal(drawn, ndimage.binary_dilation(mask, iterations=line) & ~mask)


def test_to_image_takes_both_layouts():
    picture = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
    found = plotting.to_image(picture)
    assert found.shape == (4, 5, 3) and (plotting.to_image(found) == found).all()
    assert (found == picture.permute(1, 2, 0).numpy()).all()


def test_side_by_side():
    a, b = np.zeros((2, 3, 3), np.uint8), np.full((4, 1, 3), 9, np.uint8)
    row = plotting.side_by_side(a, b, gap=2)
    assert row.shape == (4, 6, 3)
    assert (row[:2, :3] == 0).all() and (row[2:, :3] == 255).all() and (row[:, 3:5] == 255).all() and (row[:, 5] == 9).all()


@pytest.mark.parametrize("scale", [1, 3])
def test_png_survives(scale):
    picture = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    found = np.asarray(Image.open(io.BytesIO(plotting.png(picture, scale))))
    assert (found == picture.repeat(scale, 0).repeat(scale, 1)).all()


def test_png_of_a_mask():
    mask = np.eye(3, dtype=bool)
    assert (np.asarray(Image.open(io.BytesIO(plotting.png(mask)))) == mask * 255).all()

"""Widgets of notebooks 07 to 10: the pure functions against brute force, and a changed control changes the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.methods import flops
from dfr_core.methods.cae import CAE
from dfr_core.metrics import border_distance
from dfr_core.paper_numbers import TABLE_I
from dfr_core.widgets import boundary, paint, scales, stages

SIDE = 64
VGG19 = architecture("vgg19")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def pictures(n, seed=0):
    return (noise(n, SIDE, SIDE, 3, seed=seed) * 255).astype(np.uint8)


def mask_with_a_square(n):
    masks = np.zeros((n, SIDE, SIDE), bool)
    masks[1:, 20:30, 20:30] = True
    return masks


def changes(view, name, value):
    """Whether the picture changes with a control."""
    before = view.image.value
    view.controls[name].value = value
    return view.image.value != before


# ---- 07: scales ----------------------------------------------------------------------------------------------------------


def test_the_fields_of_the_scales_are_those_of_the_network():
    results = {k: scales.Result(noise(1, SIDE, SIDE), 0.9, 0.8, k, k) for k in TABLE_I}
    offered = scales.build(pictures(1), mask_with_a_square(1), results, ["good"]).controls["last"].options
    assert [label for label, _ in offered] == [f"{k}: {size} pixels" for k, size in TABLE_I.items()]
    assert scales.text(16, results[16]).startswith("f{1:16}: 16 scales, fields of 3 to 252 pixels, 16 channels")
    axes = scales.chart(results).axes
    assert (axes["xlim"], axes["xticks"]) == ((1, 16), (1, 2, 4, 8, 12, 16))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 9))
def test_layer_shares_sum_up_to_the_squared_score(widths, seed):
    error = noise(3, 4, sum(widths), seed=seed) - 0.5
    shares = scales.layer_shares(error, widths)
    assert shares.shape == (3, 4, len(widths)) and (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(-1), np.linalg.norm(error, axis=-1) ** 2)
    np.testing.assert_allclose(shares[..., 0], (error[..., : widths[0]] ** 2).sum(-1))


def test_a_direction_has_a_tolerance():
    assert [scales.direction(0.5, value) for value in (0.52, 0.48, 0.505)] == ["rises", "falls", "stays"]


def test_growing_the_scale_set_changes_picture_and_text():
    results = {k: scales.Result(noise(2, SIDE, SIDE, seed=k), 0.9 + k / 100, 0.8, 8 * k, k) for k in (1, 2, 3)}
    view = scales.build(pictures(2), mask_with_a_square(2), results, ["good", "cut"])
    assert "f{1:1}" in view.text.value and "3 to 3 pixels" in view.text.value
    assert changes(view, "last", 3) and "24 channels" in view.text.value and "ROC-AUC 0.930" in view.text.value
    assert changes(view, "image", 1)


# ---- 08: boundary --------------------------------------------------------------------------------------------------------


def test_the_distance_from_the_border_counted_by_hand():
    distance = border_distance(5, 7)
    assert all(min(i, j, 4 - i, 6 - j) == distance[i, j] for i in range(5) for j in range(7))


@given(st.floats(0.1, 10))
def test_a_map_without_a_border_effect_has_profile_one(value):
    middles, ratio = boundary.profile(np.full((2, SIDE, SIDE), value))
    np.testing.assert_allclose(ratio, 1)
    assert middles[0] == boundary.STEP / 2 and len(middles) == SIDE // 2 // boundary.STEP


def test_the_profile_is_the_mean_of_the_ring_over_the_mean_of_the_middle():
    maps = noise(3, SIDE, SIDE) + 1
    distance = border_distance(SIDE, SIDE)
    _, ratio = boundary.profile(maps, step=8)
    for k in range(len(ratio)):
        ring = (distance >= 8 * k) & (distance < 8 * k + 8)
        assert ratio[k] == pytest.approx(maps[:, ring].mean() / maps[:, distance >= SIDE // 4].mean())


def test_the_padding_toggle_changes_picture_and_text():
    framed = noise(2, SIDE, SIDE)
    framed[:, :8] += 3
    maps = {"zeros": framed, "reflect": noise(2, SIDE, SIDE, seed=1)}
    view = boundary.build(pictures(2), maps, mask_with_a_square(2), ["good", "cut"])
    assert view.text.value.startswith("zero padding")
    assert changes(view, "reflect", True) and view.text.value.startswith("reflection padding")
    assert changes(view, "image", 1)


# ---- 09: stages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["1:4", "9:12", "1:16"])
def test_counted_operations_are_those_torch_counts(layers):
    from torch.utils.flop_counter import FlopCounterMode

    last = int(layers.split(":")[1])
    network = VGG(VGG19, 1 / 32, last=last)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        list(network.feature_maps(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), (last,)))
    assert counter.get_total_flops() == VGG19.flops(layers, 64, 1 / 32)


@given(st.integers(4, 40), st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=20)
def test_operations_of_the_autoencoder_are_two_for_each_weight_and_position(c_o, c_d, positions):
    weights = sum(weight.numel() for weight, _ in CAE(c_o, c_d).linear_layers())
    assert flops.cae_flops(c_o, c_d, positions) == 2 * positions * weights


def test_the_lean_way_never_costs_more():
    for layers in stages.SETS:
        literal, lean = (stages.stages(layers, 200, lean=flag) for flag in (False, True))
        assert [part.name for part in literal] == [part.name for part in lean]
        assert sum(part.flops for part in lean) <= sum(part.flops for part in literal)
        assert max(part.nbytes for part in lean) < max(part.nbytes for part in literal)
    assert stages.stages("1:12")[1].nbytes == 4 * 256 * 256 * VGG19.feature_dimension("1:12")


def test_the_saving_is_that_of_coarse_maps_only():
    assert flops.first_layer_saving(VGG19, "1:8", 200) == 0  # none coarser than 64 x 64
    c_o, c_d = VGG19.channels()[8], 200
    assert flops.first_layer_saving(VGG19, "9", c_d) == 2 * (64**2 - 32**2) * c_o * ((c_o + c_d) // 2)


def test_every_control_of_the_stages_changes_the_picture():
    view = stages.build()
    assert "163 GFLOP" in view.text.value and "864 MiB" in view.text.value
    assert changes(view, "lean", True) and "864" not in view.text.value
    assert changes(view, "layers", "12") and changes(view, "c_d", 400)


# ---- 10: paint -----------------------------------------------------------------------------------------------------------


def test_a_stroke_paints_what_lies_near_its_line_and_nothing_else():
    image = pictures(1)[0]
    before = image.copy()
    painted = paint.stroke(image, [(10, 20), (50, 20)], (1, 2, 3), 7)
    assert (image == before).all(), "the original stays"
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - 20, columns - columns.clip(10, 50))
    assert (painted[distance <= 2] == (1, 2, 3)).all()
    assert (painted[distance > 5] == image[distance > 5]).all()


@given(st.integers(-20, 80), st.integers(-20, 80), st.floats(1, 40))
@settings(max_examples=40)
def test_a_dab_stays_within_its_box_even_outside_the_image(x, y, width):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    touched = (paint.stroke(image, [(x, y)], (255, 255, 255), width) != image).any(-1)
    box = paint.box_of([(x, y)], width, (SIDE, SIDE))
    if box is None:
        assert not touched.any()
        return
    top, bottom, left, right = box
    touched[top:bottom, left:right] = False
    assert not touched.any()


def darkness(image):
    """A score that needs no training: how dark a pixel is."""
    return (255 - image.astype(np.float32).mean(-1)) / 255


@pytest.fixture
def canvas():
    bright = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (200, 240)]
    return paint.build(bright, darkness, threshold=0.5, names=["grey", "white"])


def test_a_dab_from_the_keyboard_changes_score_and_picture_and_clear_takes_it_back(canvas):
    clean = canvas.image.value
    assert "normal; nothing painted" in canvas.text.value
    canvas.controls["colour"].value = "#000000"
    canvas.controls["column"].value, canvas.controls["row"].value = 12, 40
    canvas.controls["dab"].click()
    assert (canvas.painted[40, 12] == 0).all() and canvas.map[40, 12] == 1
    assert canvas.image.value != clean and ": anomalous; " in canvas.text.value
    painted = int((canvas.painted != 200).any(-1).sum())
    assert f"{painted:,} of {painted:,} painted pixels found" in canvas.text.value
    canvas.controls["clear"].click()
    assert canvas.image.value == clean and (canvas.painted == 200).all()


def test_the_mouse_paints_only_while_it_is_down_and_scores_when_it_is_up(canvas):
    clean = canvas.image.value
    canvas._move(5, 5)
    assert (canvas.painted == 200).all()
    canvas._down(10, 10)
    canvas._move(30, 10)
    assert (canvas.painted[10, 20] != 200).any() and canvas.image.value == clean
    canvas._up(30, 10)
    stroke = canvas.image.value
    assert stroke != clean
    canvas._move(50, 50)
    canvas._up(50, 50)
    assert canvas.image.value == stroke


def test_brush_colour_and_image_matter(canvas):
    canvas.add([(20, 20)])
    narrow = (canvas.painted != 200).any(-1).sum()
    canvas.controls["width"].value = 30
    canvas.add([(20, 20)])
    assert (canvas.painted != 200).any(-1).sum() > narrow
    canvas.controls["image"].value = 1
    assert (canvas.painted == 240).all(), "another image is clean"
    canvas.controls["colour"].value = "#f00a14"
    canvas.add([(20, 20)])
    assert tuple(canvas.painted[20, 20]) == (240, 10, 20) == paint.rgb("#f00a14")

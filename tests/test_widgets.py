"""The parts of the course's widgets, and the widgets of notebooks 01 and 02, without a browser."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")
from dfr_core.backbones.weights import build_backbone
from dfr_core.paper_numbers import TABLE_I
from dfr_core.plotting import FOUND
from dfr_core.widgets import common, hierarchy, receptive_field


def pixels(widget):
    return np.asarray(Image.open(io.BytesIO(widget.value)))


def stripe(row, red):
    image = np.zeros((4, 6, 3), np.uint8)
    image[row, :, 0 if red else 2] = 255
    return image, f"row {row}"


@pytest.fixture
def striped():
    controls = {"row": common.slider("row", 0, 3, 1, unit="pixels"), "red": common.toggle("red", True)}
    return common.FunctionView(stripe, title="stripes", scale=3, **controls)


def test_a_view_shows_what_its_function_makes(striped):
    assert np.array_equal(pixels(striped.image), stripe(1, True)[0].repeat(3, 0).repeat(3, 1))
    assert striped.text.value == "row 1"


def test_a_change_of_any_control_swaps_the_picture_and_the_text(striped):
    image = striped.image
    striped.controls["row"].value = 3
    assert striped.text.value == "row 3"
    striped.controls["red"].value = False
    assert striped.image is image, "the same widget, so nothing flickers"
    assert np.array_equal(pixels(image)[::3, ::3], stripe(3, False)[0])


def test_several_controls_moved_at_once_draw_once(striped):
    drawn = []
    function = striped.function
    striped.function = lambda **values: drawn.append(values) or function(**values)
    striped.move(row=2, red=False)
    assert drawn == [{"row": 2, "red": False}]
    striped.controls["row"].value = 0
    assert len(drawn) == 2


def test_a_view_prints_as_the_same_text_everywhere(striped):
    bundle = striped._repr_mimebundle_()
    assert bundle["text/plain"] == "Widget: stripes. Run the notebook to use it."
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert common.View([], title="one")._repr_mimebundle_()["text/plain"].startswith("Widget: one.")


def test_controls_have_labels_and_units():
    assert common.slider("row", 0, 9, 3, unit="pixels").description == "row [pixels]"
    assert type(common.slider("row", 0, 9, 3)).__name__ == "IntSlider"
    assert type(common.slider("share", 0, 1, 0.5, step=0.1)).__name__ == "FloatSlider"
    assert common.select("layer", [("one", 1), ("two", 2)], 2).value == 2
    assert common.select("FPR", [("0", 0.0), ("0.5 %", 0.005)], 0.005).value == 0.005


# ---- 01 ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))


@pytest.fixture(scope="module")
def measured(image):
    return receptive_field.measure(build_backbone("vgg19", "untrained", width=0.125, last=8, seed=0), image[None])


def test_measured_fields_have_table_is_sizes(measured):
    assert [m.theory.size for m in measured] == [TABLE_I[layer] for layer in range(1, 9)]
    for m in measured:
        assert m.effect.shape == (m.theory.size, m.theory.size) and m.effect.max() == 1 and m.effect.min() >= 0
        assert m.size <= m.theory.size


@pytest.mark.parametrize(("layer", "row", "column"), [(1, 0, 0), (4, 30, 31), (8, 63, 0), (8, 32, 32)])
def test_the_drawn_border_is_the_field(image, measured, layer, row, column):
    photograph = np.zeros((64, 64, 3), np.uint8)
    m = measured[layer - 1]
    picture, text = receptive_field.draw(photograph, m, layer, row, column)
    assert picture.shape == (64, 2 * 64 + 4, 3) and picture.dtype == np.uint8
    assert f"sees {m.theory.size} × {m.theory.size} pixels" in text
    top, bottom = m.theory.interval(row // m.theory.jump)
    left, right = m.theory.interval(column // m.theory.jump)
    assert ("padding" in text) == (min(top, left) < 0 or max(bottom, right) > 64)
    blue = (picture[:, :64] == FOUND).all(-1)
    rows, columns = np.nonzero(blue)
    if layer > 1:  # there the unit's own border covers it
        assert rows.size and {r for r in (top, bottom - 1) if 0 <= r < 64} <= set(rows.tolist())
        assert top <= rows.min() and rows.max() < bottom and left <= columns.min() and columns.max() < right
    glow = picture[:, 68:].any(-1)  # on black, light only where the effect is
    lit_rows, lit_columns = np.nonzero(glow)
    assert top <= lit_rows.min() and lit_rows.max() < bottom and left <= lit_columns.min() and lit_columns.max() < right


def test_the_widget_of_receptive_fields(image, measured):
    made = receptive_field.build(image.numpy(), measured)
    assert set(made.controls) == {"layer", "row", "column"}
    before = made.image.value
    made.controls["layer"].value = 4
    made.controls["row"].value = 0
    assert made.image.value != before and made.text.value.startswith("Layer 4, unit (0, 16)")
    for layer in range(1, 9):
        made.controls["layer"].value = layer
    made.controls["column"].value = 63


def test_a_click_chooses_the_place(image, measured):
    made = receptive_field.build(image.numpy(), measured)
    made.canvas._handle_frontend_event(made.canvas, {"event": "mouse_down", "x": 10.6, "y": 33.2}, [])
    assert (made.controls["row"].value, made.controls["column"].value) == (33, 10)


# ---- 02 ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks():
    return {padding: build_backbone("vgg19", "untrained", width=0.125, padding=padding, last=5, seed=0) for padding in hierarchy.PADDINGS}


def test_all_maps_are_the_networks(image, networks):
    maps = hierarchy.all_maps(networks["zeros"], image)
    assert {k: m.shape for k, m in maps.items()} == {1: (8, 64, 64), 2: (8, 64, 64), 3: (16, 32, 32), 4: (16, 32, 32), 5: (32, 16, 16)}
    assert np.array_equal(maps[5], dict(networks["zeros"].feature_maps(image[None], (5,)))[5][0].numpy())


def test_the_three_panels_are_zeros_reflection_and_difference():
    zeros, reflect = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    zeros[0, 1, 1], reflect[0, 1, 1], reflect[0, 2, 2] = 1, 1, 1
    picture, text = hierarchy.draw({"zeros": {1: zeros}, "reflect": {1: reflect}}, 1, 5)
    bright = picture.sum(-1).astype(int)[32::64, :]
    at = [[bright[1, start + 96], bright[2, start + 160]] for start in (0, 260, 520)]
    high, low = at[0]
    assert high > low and at == [[high, low], [high, high], [low, high]]
    assert "channel 0 of 1" in text and text.endswith("on 6 % of the map.")


def test_the_widget_of_maps_keeps_its_channel_in_range(image, networks):
    made = hierarchy.build(image, networks)
    made.controls["layer"].value = 5
    assert made.controls["channel"].max == 31
    made.controls["channel"].value = 31
    made.controls["layer"].value = 1
    assert made.controls["channel"].max == 7 and made.controls["channel"].value == 7
    assert "channel 7 of 8" in made.text.value

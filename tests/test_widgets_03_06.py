"""The widgets of notebooks 03 to 06: their pure functions, and that moving a control changes the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dfr_core.metrics import pro_auc, roc_auc
from dfr_core.regional import Generator
from dfr_core.scoring import threshold as core_threshold
from dfr_core.widgets import charts, cosine, hand_made, latent, threshold

SIDE = 64


def moved(view, **values):
    """The picture before and after setting controls, as arrays."""
    before = view.image.value
    for name, value in values.items():
        view.controls[name].value = value
    pictures = [np.asarray(Image.open(io.BytesIO(data))) for data in (before, view.image.value)]
    assert pictures[0].shape == pictures[1].shape, "the picture must not jump"
    return pictures


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def mask():
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[10:30, 20:40] = True
    return mask


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    maps = [(1, torch.rand(1, 3, 64, 64)), (2, torch.rand(1, 5, 32, 32)), (3, torch.rand(1, 4, 16, 16)), (5, torch.rand(1, 6, 8, 8))]
    return Generator()(maps, (SIDE, SIDE))


# ---- 03


@pytest.mark.parametrize("layers", [(1,), (1, 2, 3, 5), (2, 5)])
def test_similarity_is_the_cosine_of_the_concatenated_features(features, layers):
    found = cosine.similarity(cosine.prepare(features), 3, 7, layers)
    dense = features.select(layers).dense()[0]
    expected = torch.nn.functional.cosine_similarity(dense, dense[3, 7].expand_as(dense), dim=-1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert found[3, 7] == pytest.approx(1, abs=1e-5)


def test_similarity_to_a_feature_of_zeros_is_zero():
    maps = {1: np.ones((2, 2, 3), np.float32)}
    maps[1][0, 1] = 0
    assert cosine.similarity(maps, 0, 0, (1,)).tolist() == [[1, 0], [1, 1]]
    assert not cosine.similarity(maps, 0, 1, (1,)).any()


def test_centred_maps_have_no_mean(features):
    for layer, m in cosine.centred(cosine.prepare(features)).items():
        np.testing.assert_allclose(m.mean((0, 1)), 0, atol=1e-6, err_msg=f"layer {layer}")


@pytest.mark.parametrize("change", [{"row": 1}, {"column": 12}, {"layers": "1,5"}, {"centre": False}])
def test_cosine_widget_answers_every_control(image, features, change):
    before, after = moved(cosine.build(image, features, row=8, column=8), **change)
    assert (before != after).any()


def test_cosine_widget_explains_a_layer_set_it_cannot_show(image, features):
    view = cosine.build(image, features, row=8, column=8)
    view.controls["layers"].value = "1:99"
    assert "1:16" in view.text.value
    view.controls["layers"].value = "9"
    assert "none of these layers" in view.text.value
    view.controls["layers"].value = "2"
    assert "5 channels" in view.text.value and "none" not in view.text.value


def test_cosine_picture_frames_what_the_feature_sees(image, features):
    similar = cosine.similarity(cosine.prepare(features), 8, 8, (1,))
    framed, plain = (cosine.draw(image, similar, 8, 8, field) for field in ((10, 50, 12, 52), None))
    changed = (framed != plain).any(-1)[20:, :SIDE]  # below the caption
    assert changed[10, 12:52].all() and changed[49, 12:52].all() and changed[10:50, 12].all() and changed[10:50, 51].all()
    assert not changed[:10].any() and not changed[50:].any()


# ---- 04


@pytest.fixture(scope="module")
def trained(mask):
    spectrum = np.linspace(0.1, 1, 100)
    random = np.random.default_rng(1)
    maps = {c_d: random.random((SIDE, SIDE)) + mask * 5 / c_d for c_d in (1, 8, 64)}
    return [latent.summarise(c_d, spectrum, scores, mask) for c_d, scores in maps.items()], spectrum


def test_summary_of_an_autoencoder(trained, mask):
    (one, *_), spectrum = trained
    assert one.share == spectrum[0]
    assert one.anomalous == pytest.approx(one.anomaly_map[mask].mean()) and one.normal == pytest.approx(one.anomaly_map[~mask].mean())
    assert "c_d = 1:" in latent.text(one) and "10.0% of the variance" in latent.text(one)


def test_latent_widget_answers(trained, image, mask):
    view = latent.build(*trained, image, mask)
    before, after = moved(view, c_d=64)
    assert (before != after).any()
    assert view.text.value == latent.text(trained[0][2])


# ---- 05


@pytest.mark.parametrize("fpr", [0, 0.001, 0.005, 0.3])
def test_widget_threshold_is_the_cores(fpr):
    scores = np.random.default_rng(2).random((3, 40, 41)).astype(np.float32).round(3)
    limit = threshold.limit_for(threshold.falling(scores), fpr)
    assert limit == core_threshold(torch.from_numpy(scores), fpr)
    assert (scores > limit).sum() <= fpr * scores.size < (scores >= limit).sum()


def test_counts_and_colours_of_a_segmentation(image):
    mask, found = np.zeros((2, SIDE, SIDE), dtype=bool)
    mask[:8, :8] = True
    found[4:8, :16] = True
    assert threshold.count(found, mask) == threshold.Counts(32, 32, 32, SIDE * SIDE - 96)
    picture = threshold.paint(image, found, mask)
    assert tuple(picture[5, 5]) == threshold.HIT and tuple(picture[1, 1]) == threshold.MISS
    assert tuple(picture[5, 12]) == threshold.FALSE_ALARM and tuple(picture[40, 40]) != threshold.FALSE_ALARM


@pytest.mark.parametrize("change", [{"fpr": 0.05}, {"image": 1}])
def test_threshold_widget_answers_every_control(image, mask, change):
    random = np.random.default_rng(3)
    images, masks = np.stack([image, image[::-1]]), np.stack([mask, np.zeros_like(mask)])
    maps = random.random(masks.shape) + 0.5 * masks
    view = threshold.build(random.random((4, SIDE, SIDE)), images, maps, masks, ["cut", "good"])
    before, after = moved(view, **change)
    assert (before != after).any()
    assert ("no defect" in view.text.value) == ("image" in change)


def test_threshold_text_counts_pixels():
    text = threshold.text(0.005, 0.25, threshold.Counts(75, 25, 10, 990))
    assert "75 of 100" in text and "75%" in text and "10 false alarms (1.00%" in text and "0.50%" in text


# ---- 06


def test_scene_has_three_separate_defects_and_a_normal_spot():
    from dfr_core.regions import connected_regions

    large, small, spot = hand_made.scene()
    truth = hand_made.truth()
    sizes = connected_regions(truth[None])[1]
    assert len(sizes) == 3 and sizes.max() == large.sum() > 10 * small.sum((1, 2)).max()
    assert not (spot & truth).any()


def test_a_missed_small_defect_costs_pro_more_than_roc():
    truth = hand_made.truth()
    all_found, missed = (hand_made.measure(hand_made.score_map(0.9, s, s, 0.2, 0.05), truth) for s in (0.9, 0.2))
    assert all_found["roc_auc"] - missed["roc_auc"] < 0.1 < 0.4 < all_found["pro_auc"] - missed["pro_auc"]


def test_measured_areas_are_the_cores():
    scores, truth = hand_made.score_map(0.7, 0.5, 0.3, 0.6, 0.2), hand_made.truth()
    assert hand_made.measure(scores, truth) == {"roc_auc": roc_auc(scores, truth), "pro_auc": pro_auc(scores[None], truth[None])}


@pytest.mark.parametrize("change", [{"large": 0.3}, {"first": 0.9}, {"second": 0.9}, {"spot": 0.8}, {"noise": 0.4}])
def test_hand_made_widget_answers_every_control(change):
    view = hand_made.build()
    text = view.text.value
    before, after = moved(view, **change)
    assert (before != after).any() and view.text.value != text


# ---- the charts below them


def columns_of_change(one, other):
    return np.flatnonzero((one != other).any((0, 2)))


@pytest.mark.parametrize(("axis", "value", "share"), [({}, 3, 0.3), ({"xlim": (1, 100), "xscale": "log"}, 10, 0.5)])
def test_upright_line_stands_at_its_value_and_leaves_the_base_alone(axis, value, share):
    chart = charts.Chart("y", **{"xlim": (0, 10), "ylim": (0, 1)} | axis)
    plain = chart.draw()
    assert plain.shape == (276, 330, 3) and plain.dtype == np.uint8
    columns = columns_of_change(plain, chart.draw(upright=value))
    expected = charts.LEFT + share * (330 - charts.LEFT - charts.RIGHT)
    assert abs(columns.mean() - expected) < 2 and len(columns) <= 4
    np.testing.assert_array_equal(chart.draw(), plain)


@pytest.mark.parametrize(("value", "side"), [(2, 1), (9, -1)])
def test_a_note_stands_beside_its_line_and_within_the_chart(value, side):
    chart = charts.Chart("y", xlim=(0, 10), ylim=(0, 1))
    columns = columns_of_change(chart.draw(upright=value), chart.draw(upright=value, note="T = 0.1"))
    line = charts.LEFT + value / 10 * (330 - charts.LEFT - charts.RIGHT)
    assert ((columns - line) * side > 0).all() and columns.max() < 330 - charts.RIGHT


def test_curves_dots_and_names_are_seen():
    chart = charts.Chart("y", [charts.Curve([0, 10], [0, 1])], xlim=(0, 10), ylim=(0, 1))
    plain = chart.draw()
    falling, named = charts.Curve([0, 10], [1, 0]), charts.Curve([0, 10], [0, 1], name="same")
    for more in ({"curves": [falling]}, {"dots": [(5, 0.2)]}, {"curves": [named]}):
        assert (chart.draw(**more) != plain).any(), more

"""Metrics against scikit-learn, a brute-force PRO, and sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from dfr_core import metrics
from dfr_core.errors import DFRError
from dfr_core.metrics import pro_auc, pro_curve, roc_auc, roc_curve
from dfr_core.regions import connected_regions, propagated_regions

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8))
LIMITS = st.sampled_from([0.05, 0.25, 0.3, 0.5, 1.0]) | st.floats(0.001, 1)


def trials(number):
    return settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def cases(draw):
    """Random maps and masks: few distinct scores give ties (one alone a constant map), random masks give holes."""
    shape, levels, share = draw(SHAPES), draw(st.sampled_from([1, 2, 5, 40, 10_000])), draw(st.sampled_from([0.05, 0.3, 0.6, 0.9]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks = random.random(shape) < share
    assume(masks.any() and not masks.all())
    scores = random.integers(1, levels, shape, endpoint=True) + random.integers(0, 3) * masks  # some say nothing, some are good
    return (scores / 8).astype(np.float32), masks


def regions_by_hand(mask, neighbours=8):
    """Lists of pixels, by flood fill."""
    left = {(int(i), int(j)) for i, j in np.argwhere(mask)}
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0) and (neighbours == 8 or 0 in (i, j))]
    regions = []
    while left:
        region, front = [], [left.pop()]
        while front:
            row, column = front.pop()
            region.append((row, column))
            for i, j in steps:
                if (row + i, column + j) in left:
                    left.remove((row + i, column + j))
                    front.append((row + i, column + j))
        regions.append(region)
    return regions


def pro_by_hand(scores, masks, limit=0.3, neighbours=8, region_masks=None):
    """The definition, threshold by threshold and region by region."""
    regions = [
        [image[pixel] for pixel in region]
        for image, mask in zip(scores, masks if region_masks is None else region_masks, strict=True)
        for region in regions_by_hand(mask, neighbours)
    ]
    normal = scores[~masks]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(scores)[::-1]:
        fpr.append(np.sum(normal >= threshold) / normal.size)
        pro.append(sum(sum(score >= threshold for score in region) / len(region) for region in regions) / len(regions))
    last = max(i for i, x in enumerate(fpr) if x <= limit)
    at_limit = pro[last]
    if fpr[last] < limit:
        at_limit += (limit - fpr[last]) / (fpr[last + 1] - fpr[last]) * (pro[last + 1] - pro[last])
    return np.trapezoid(pro[: last + 1] + [at_limit], fpr[: last + 1] + [limit]) / limit


@pytest.fixture(params=["numpy", "torch"])
def library(request, monkeypatch):
    """Run a test through both code paths; the one for CUDA tensors is run here with tensors on the CPU."""
    if request.param == "torch":
        monkeypatch.setattr(metrics, "_native", torch.as_tensor)


@trials(300)
@given(cases())
def test_roc_auc_is_scikit_learns(library, case):
    scores, masks = case
    assert roc_auc(scores, masks) == pytest.approx(roc_auc_score(masks.ravel(), scores.ravel()), abs=1e-12)


@trials(300)
@given(cases(), LIMITS)
def test_pro_auc_is_brute_force(library, case, limit):
    assert pro_auc(*case, limit) == pytest.approx(pro_by_hand(*case, limit), abs=1e-12)


@trials(100)
@given(cases(), LIMITS)
def test_the_area_under_a_curve_is_its_auc(library, case, limit):
    assert np.trapezoid(*roc_curve(*case)[::-1]) == pytest.approx(roc_auc(*case), abs=1e-12)
    fpr, pro = pro_curve(*case, limit)
    assert np.trapezoid(pro, fpr) / limit == pytest.approx(pro_auc(*case, limit), abs=1e-9)
    assert fpr[-1] == limit


@trials(100)
@given(cases())
def test_curves_go_through_every_threshold(library, case):
    scores, masks = case
    curves = roc_curve(scores, masks), pro_curve(scores, masks)
    for x, y in curves:
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        steps = np.stack([np.diff(x), np.diff(y)])
        assert (steps >= 0).all() and (steps.sum(0) > 0).all()
    regions = [(image, region) for image, mask in enumerate(masks) for region in regions_by_hand(mask)]
    for threshold in np.unique(scores):
        found = scores >= threshold
        overlap = np.mean([np.mean([found[image][pixel] for pixel in region]) for image, region in regions])
        for (x, y), expected in zip(curves, (found[masks].mean(), overlap), strict=True):
            fpr = found[~masks].mean()
            low, high = np.interp(fpr, x, y), np.interp(-fpr, -x[::-1], y[::-1])  # a curve may rise vertically there
            bounds = [y[np.isclose(x, fpr)].min(initial=low), y[np.isclose(x, fpr)].max(initial=high)]
            assert bounds[0] - 1e-9 <= expected <= bounds[1] + 1e-9


@trials(50)
@given(cases(), st.integers(2, 20))
def test_thinned_curve_is_a_part_with_both_ends(library, case, points):
    whole = np.stack(pro_curve(*case, limit=0.5), axis=1)
    thin = np.stack(pro_curve(*case, limit=0.5, max_points=points), axis=1)
    assert len(thin) <= points
    assert {tuple(point) for point in thin} <= {tuple(point) for point in whole}
    assert (thin[0] == whole[0]).all() and (thin[-1] == whole[-1]).all()


@trials(50)
@given(cases())
def test_only_the_order_of_scores_counts(library, case):
    scores, masks = case
    for changed in (scores.astype(np.float64) ** 3 - 7, np.where(scores == scores.max(), np.inf, scores), -1 / scores.astype(np.float64)):
        assert roc_auc(changed, masks) == roc_auc(scores, masks)
        assert pro_auc(changed, masks) == pytest.approx(pro_auc(scores, masks), abs=1e-12)
    assert roc_auc(-scores, masks) == pytest.approx(1 - roc_auc(scores, masks), abs=1e-12)


@trials(50)
@given(cases())
def test_perfect_and_constant_maps(library, case):
    masks = case[1]
    assert roc_auc(masks.astype(np.float32), masks) == 1
    assert pro_auc(masks.astype(np.float32), masks) == pytest.approx(1)
    constant = np.ones(masks.shape, np.float32)
    assert roc_auc(constant, masks) == 0.5
    assert pro_auc(constant, masks) == pytest.approx(0.15)


def test_golden_values(library):
    """Normal scores 0, 0.1 .. 0.9; a region with 0.95 and one with 0.75 and 0.05, so F = 0, 0.2 and 0.9."""
    scores = np.array([[[0.0, 0.1, 0.2, 0.95, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.05, 0.8, 0.9]]])
    masks = np.isin(scores, [0.95, 0.75, 0.05])
    assert roc_auc(scores, masks) == pytest.approx((1 + 0.8 + 0.1) / 3)
    assert pro_auc(scores, masks) == pytest.approx(1 / 2 + 1 / 4 * (0.3 - 0.2) / 0.3)
    np.testing.assert_allclose(pro_curve(scores, masks, 0.3), [[0, 0, 0.2, 0.2, 0.3], [0, 0.5, 0.5, 0.75, 0.75]])
    np.testing.assert_allclose(roc_curve(scores, masks)[1][-3:], [2 / 3, 1, 1])


def test_tie_at_the_limit_is_interpolated(library):
    """Four of ten normal pixels tie with the only anomalous one at the top: a ramp from (0, 0) to (0.4, 1)."""
    scores = np.array([[[1.0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]]])
    masks = np.zeros(scores.shape, bool)
    masks[0, 0, 2] = True
    assert pro_auc(scores, masks, 0.3) == pytest.approx(0.75 / 2)
    assert pro_auc(scores, masks, 0.4) == pytest.approx(1 / 2)
    np.testing.assert_allclose(pro_curve(scores, masks, 0.3), [[0, 0.3], [0, 0.75]])


def test_corners_connect_regions(library):
    """Two pixels that touch at a corner are one region, beside a region of one pixel."""
    masks = np.zeros((1, 5, 8), bool)
    masks[0, [0, 1, 4], [0, 1, 6]] = True
    scores = masks * 1.0
    scores[0, 4, 6] = -1
    value = pro_auc(scores, masks)
    assert value == pytest.approx(pro_by_hand(scores, masks)) == pytest.approx(1 / 2)
    assert pro_by_hand(scores, masks, neighbours=4) == pytest.approx(2 / 3)


def test_holes_are_normal(library):
    """A ring whose hole scores high and whose pixels score low: filled, it would be found in part."""
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 1:4, 1:4] = True
    masks[0, 2, 2] = False
    scores = np.random.default_rng(0).random(masks.shape)
    scores[masks], scores[0, 2, 2] = -1, 2
    filled = ndimage.binary_fill_holes(masks[0])[None]
    assert pro_auc(scores, masks) == pytest.approx(pro_by_hand(scores, masks)) == pytest.approx(0)
    assert pro_by_hand(scores, masks, region_masks=filled) > 0.1  # filled for the overlap alone
    assert pro_auc(scores, filled) == pytest.approx(1 / 9)


def test_image_level_scores_and_kinds_of_input():
    scores, labels = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    expected = 0.75
    assert roc_auc(np.array(scores), np.array(labels)) == expected
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert roc_auc(torch.tensor(scores, dtype=dtype, requires_grad=True), torch.tensor(labels)) == expected
    assert roc_auc(torch.tensor(scores), np.array(labels, np.uint8)) == expected
    assert roc_auc(np.array(scores), torch.tensor(labels, dtype=torch.bool)) == expected
    maps = np.asfortranarray(np.random.default_rng(1).random((2, 6, 5)))
    masks = maps > 0.7
    for function in (roc_auc, pro_auc):
        before = maps.copy()
        assert function(maps, masks) == function(torch.from_numpy(maps), torch.from_numpy(masks)) == pytest.approx(1)
        assert (maps == before).all()  # the caller's scores are not sorted in place


MAP, MASK = np.arange(12.0).reshape(1, 3, 4), np.arange(12).reshape(1, 3, 4) > 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc_auc(MAP, MASK[:, :2]), "masks: shape"),
        (lambda: pro_auc(MAP[0], MASK[0]), "scores: shape"),
        (lambda: roc_auc(np.where(MASK, np.nan, MAP), MASK), "scores: NaN"),
        (lambda: pro_auc(np.where(MASK, MAP, np.nan), MASK), "scores: NaN"),
        (lambda: roc_auc(MAP, MASK & False), "no anomalous pixel"),
        (lambda: pro_auc(MAP, MASK | True), "no normal pixel"),
        (lambda: roc_auc(np.zeros(0), np.zeros(0, bool)), "no anomalous pixel"),
        (lambda: roc_auc(MAP, MASK * 255), "masks: values other than 0 and 1"),
        (lambda: roc_auc(MAP, np.where(MASK, 1, np.nan)), "masks: values other than 0 and 1"),
        (lambda: pro_auc(MAP, MASK, 0), "limit: 0"),
        (lambda: pro_auc(MAP, MASK, 1.5), "limit: 1.5"),
        (lambda: pro_curve(MAP, MASK, float("nan")), "limit: nan"),
        (lambda: roc_curve(MAP, MASK, max_points=1), "max_points: 1"),
        (lambda: connected_regions(MASK[0]), "masks: shape"),
        (lambda: connected_regions(MAP), "masks: float64"),
    ],
)
def test_mistakes_are_named(library, call, message):
    with pytest.raises(DFRError, match=message):
        call()


@trials(200)
@given(SHAPES | st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(1, 4)), st.floats(0, 1), st.integers(0, 2**32))
def test_regions_are_the_same_by_flood_fill_scipy_and_torch(shape, share, seed):
    masks = np.random.default_rng(seed).random(shape) < share
    expected, number = np.zeros(masks.shape, int), 0
    for image, mask in enumerate(masks):
        for region in sorted(regions_by_hand(mask), key=min):
            number += 1
            for pixel in region:
                expected[image][pixel] = number
    sizes = np.bincount(expected.ravel(), minlength=1)[1:]
    labels, found_sizes = connected_regions(masks)
    torch_labels, torch_sizes = propagated_regions(torch.from_numpy(masks))
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(found_sizes, sizes)
    np.testing.assert_array_equal(torch_labels, expected)
    np.testing.assert_array_equal(torch_sizes, sizes)
    assert labels.dtype == np.int32 and torch_labels.dtype == torch.int32


def test_propagation_follows_a_long_snake():
    snake = torch.zeros(1, 63, 63, dtype=torch.bool)
    snake[0, ::2] = True
    snake[0, 1::4, -1] = True
    snake[0, 3::4, 0] = True
    labels, sizes = propagated_regions(snake)
    assert sizes.tolist() == [snake.sum()] and torch.equal(labels > 0, snake)

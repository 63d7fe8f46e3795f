"""Section III-D: scores in strips equal Eq. 5, thresholds are exact, segmentation and upsampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfr_core import scoring
from dfr_core.errors import DFRError
from dfr_core.methods.cae import CAE
from dfr_core.methods.whole import regional_scores
from dfr_core.regional import Generator
from dfr_core.settings import INTERPOLATIONS

largest = {"error": 0.0}


@pytest.fixture(scope="module", autouse=True)
def report():
    yield
    print(f"\nscores in strips = Eq. 5, largest relative error {largest['error']:.1e}")


@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    shifts=st.lists(st.integers(0, 3) | st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5),
    kernel=st.integers(1, 6), stride=st.integers(1, 5), interpolation=st.sampled_from(INTERPOLATIONS),
    n=st.integers(1, 3), strip=st.sampled_from([1, 7, 64, 4096, None]), score=st.sampled_from(["l2", "squared"]),
    hidden=st.sampled_from(["table-viii", "released"]), batch_norm=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
@example(
    size=(16, 16),
    shifts=[(8, 8), (7, 8), (9, 8)],
    kernel=1,
    stride=1,
    interpolation="nearest",
    n=1,
    strip=48,
    score="l2",
    hidden="table-viii",
    batch_norm=False,
    seed=0,
)  # maps of other heights, whose strips are of one height but not repeated alike
def test_strips_equal_equation_5(size, shifts, kernel, stride, interpolation, n, strip, score, hidden, batch_norm, seed):
    generator = torch.Generator().manual_seed(seed)
    map_sizes = [drawn if isinstance(drawn, tuple) else tuple(max(1, side >> drawn) for side in size) for drawn in shifts]
    maps = [(layer, torch.rand(n, 1 + layer % 4, *map_size, generator=generator)) for layer, map_size in enumerate(map_sizes, start=1)]
    features = Generator(kernel, stride, interpolation)(maps, size)
    cae = CAE(features.c_o, max(1, features.c_o // 3), hidden, batch_norm, seed).eval()
    for module in cae.stack:
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    with torch.inference_mode():
        f = features.dense()
        expected = scoring.residual(f, cae(f), score)
        found = regional_scores(cae, features, score, strip)
    assert found.shape == (n, *features.shape)
    error = float(((found - expected).abs() / expected.abs().max().clamp(min=1e-6)).max())
    largest["error"] = max(largest["error"], error)
    assert error <= 1e-5


def test_residual_by_hand():
    f, found = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 1.0]])
    assert scoring.residual(f, found).tolist() == [5.0, 0.0]
    assert scoring.residual(f, found, "squared").tolist() == [12.5, 0.0]


def test_a_perfect_reconstruction_scores_zero():
    """Weights that copy: identity where widths allow it, so f-hat = f for features in 0..1."""
    cae = CAE(2, 2)
    with torch.no_grad():
        for module in cae.stack:
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.eye_(module.weight)
                module.bias.zero_()
        features = Generator(2, 2)([(1, torch.rand(1, 2, 8, 8))], (8, 8))
        assert torch.equal(regional_scores(cae.eval(), features), torch.zeros(1, 4, 4))


# ---- thresholds --------------------------------------------------------------------------------------


def brute_force_threshold(scores: list[float], fpr: float) -> float:
    """Try every score: the smallest T with at most a share fpr above it."""
    return min(t for t in scores if sum(s > t for s in scores) <= fpr * len(scores) + 1e-9)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.005, 0.05, 0.1, 0.3, 1 / 3, 0.5, 0.7, 0.99]) | st.floats(0, 1, exclude_max=True),
)
def test_threshold_is_exact_with_ties(scores, fpr):
    limit = scoring.threshold(torch.tensor(scores).reshape(1, -1), fpr)
    assert limit == brute_force_threshold(scores, fpr)
    above = int(scoring.segment(torch.tensor(scores), limit).sum())
    assert above <= fpr * len(scores) + 1e-9


def test_threshold_at_zero_is_the_largest_score():
    scores = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    limit = scoring.threshold(scores, 0)
    assert limit == float(scores.max())
    assert not scoring.segment(scores, limit).any()


@pytest.mark.parametrize("n", [200, 1000, 65536])
def test_exactly_the_allowed_share_is_above(n):
    scores = torch.randperm(n, generator=torch.Generator().manual_seed(0)).float()
    above = int((scores > scoring.threshold(scores, 0.005)).sum())
    assert above == scoring.allowed_pixels(n, 0.005) == math.floor(5 * n / 1000)


def test_segmentation_is_strict():
    assert scoring.segment(torch.tensor([1.0, 2.0, 3.0]), 2.0).tolist() == [False, False, True]


@pytest.mark.parametrize("fpr", [-0.1, 1.0, 2.0, float("nan")])
def test_impossible_rates(fpr):
    with pytest.raises(DFRError, match="fpr"):
        scoring.threshold(torch.rand(5), fpr)


def test_thresholds_of_nothing_and_of_nan():
    with pytest.raises(DFRError, match="no normal pixels"):
        scoring.threshold(torch.zeros(0), 0.0)
    with pytest.raises(DFRError, match="NaN"):
        scoring.threshold(torch.tensor([1.0, float("nan")]), 0.0)


# ---- maps --------------------------------------------------------------------------------------------


def linear_weights(n: int, size: int, aligned: bool) -> np.ndarray:
    """Bilinear interpolation along one axis, written out: [size, n]."""
    weights = np.zeros((size, n))
    for k in range(size):
        x = k * (n - 1) / max(size - 1, 1) if aligned else max((k + 0.5) * n / size - 0.5, 0)
        low = min(int(x), n - 1)
        high = min(low + 1, n - 1)
        weights[k, low] += 1 - (x - low)
        weights[k, high] += x - low
    return weights


@pytest.mark.parametrize("interpolation", ["bilinear", "bilinear-aligned"])
@pytest.mark.parametrize(("n", "size"), [((16, 16), (64, 64)), ((5, 7), (20, 28)), ((1, 3), (4, 12))])
def test_upsampling_is_bilinear_by_hand(interpolation, n, size):
    scores = torch.rand(2, *n, generator=torch.Generator().manual_seed(0))
    rows, columns = (linear_weights(a, b, interpolation == "bilinear-aligned") for a, b in zip(n, size))
    found = scoring.upsample(scores, size, interpolation)
    assert found.shape == (2, *size)
    assert np.allclose(found.numpy(), rows @ scores.numpy().astype(np.float64) @ columns.T, atol=1e-5)


def test_image_score_is_the_largest_of_the_map():
    maps = torch.arange(24.0).reshape(2, 3, 4)
    assert scoring.image_score(maps).tolist() == [11.0, 23.0]


# ---- each score is drawn where its filter lies -------------------------------------------------------


geometries = st.tuples(
    st.tuples(st.integers(8, 90), st.integers(8, 90)), st.integers(1, 20), st.integers(1, 12)
).filter(lambda drawn: drawn[1] <= min(drawn[0]))  # fmt: skip


def filtered(pixels: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """The mean filter of Eq. 2 on images [N, h, w]."""
    return torch.nn.functional.avg_pool2d(pixels[:, None], kernel, stride)[:, 0]


@settings(max_examples=150)
@given(geometries)
@example(((127, 127), 4, 4))
@example(((256, 256), 16, 4))
@example(((256, 256), 4, 4))
@example(((64, 31), 1, 4))
def test_a_ramp_comes_back_as_it_was(geometry):
    """The mean of a filter is its middle: drawn there, the scores of a ramp give the ramp, up to the outermost middles."""
    (h, w), kernel, stride = geometry
    ramp = torch.arange(h, dtype=torch.float64)[None, :, None] * 3 + torch.arange(w, dtype=torch.float64)
    drawn = scoring.upsample(filtered(ramp, kernel, stride), (h, w), "bilinear", kernel, stride)
    n_rows, n_columns = (h - kernel) // stride + 1, (w - kernel) // stride + 1
    middle = (kernel - 1) / 2
    rows = torch.arange(h).double().clamp(middle, middle + (n_rows - 1) * stride)
    columns = torch.arange(w).double().clamp(middle, middle + (n_columns - 1) * stride)
    assert torch.allclose(drawn[0], rows[:, None] * 3 + columns, rtol=0, atol=1e-9)


@settings(max_examples=150)
@given(geometries, st.floats(0, 1), st.floats(0, 1), st.sampled_from(["bilinear", "bilinear-aligned"]))
@example(((256, 256), 16, 4), 0.0, 1.0, "bilinear")
@example(((127, 127), 4, 4), 0.99, 0.99, "bilinear")
@example(((255, 255), 4, 4), 0.0, 0.99, "bilinear-aligned")
def test_a_bright_pixel_is_drawn_where_it_is(geometry, down, right, interpolation):
    (h, w), kernel, stride = geometry
    y, x = int(down * (h - 1)), int(right * (w - 1))
    pixels = torch.zeros(1, h, w, dtype=torch.float64)
    pixels[0, y, x] = 1
    scores = filtered(pixels, kernel, stride)
    if not scores.any():  # between two filters, or in what is left over at the end
        return
    drawn = scoring.upsample(scores, (h, w), interpolation, kernel, stride)[0]
    brightest = (drawn > drawn.max() * (1 - 1e-9)).nonzero()
    nearest = (brightest - torch.tensor([y, x])).abs().amax(1).min()
    assert nearest <= max(kernel, stride) / 2 + (stride / 2 if interpolation == "bilinear-aligned" else 0)
    if kernel >= stride and interpolation == "bilinear":
        assert nearest <= stride / 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bilinear-aligned"])
@pytest.mark.parametrize(("n", "size", "side"), [((16, 16), (64, 64), 4), ((5, 7), (15, 21), 3), ((1, 3), (2, 6), 2)])
def test_the_two_ways_of_drawing_agree_where_the_filters_tile_the_image(interpolation, n, size, side):
    scores = torch.rand(2, *n, generator=torch.Generator().manual_seed(0))
    drawn = scores
    for axis in (1, 2):
        drawn = scoring._drawn(drawn, axis, size[axis - 1], side, side, interpolation == "bilinear-aligned")
    assert torch.allclose(drawn, scoring.upsample(scores, size, interpolation, side, side), atol=1e-6)


def test_the_papers_setting_is_torchs_interpolation_to_the_bit():
    scores = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    for interpolation, aligned in (("bilinear", False), ("bilinear-aligned", True)):
        expected = torch.nn.functional.interpolate(scores[:, None], (256, 256), mode="bilinear", align_corners=aligned)[:, 0]
        assert torch.equal(scoring.upsample(scores, (256, 256), interpolation), expected)


def test_other_scores_than_filters_are_refused():
    with pytest.raises(DFRError, match="scores: 5 x 7 of them, but 31 x 40 pixels, kernel 4 and stride 4 make 7 x 10"):
        scoring.upsample(torch.rand(1, 5, 7), (31, 40))

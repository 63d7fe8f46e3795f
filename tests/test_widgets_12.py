"""The widget of notebook 12: shares counted by hand, every method in the strip, and a changed control changes the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
from dfr_core.plotting import BLUE, FOUND, TRUTH, rgb
from dfr_core.widgets import rivals

SIDE = 64


def case(seed, defect=True, methods=("one", "two", "three")):
    """A grey image whose defect is a square, with maps of noise."""
    random = np.random.default_rng(seed)
    image, mask = np.full((SIDE, SIDE, 3), 90 + seed, np.uint8), np.zeros((SIDE, SIDE), bool)
    mask[10:20, 30:50] = defect
    return rivals.Case(f"case {seed}", image, mask, {m: random.random((SIDE, SIDE)) for m in methods}, dict.fromkeys(methods, 0.75))


def test_shares_are_those_counted_pixel_by_pixel():
    one = case(0)
    for method, scores in one.maps.items():
        pixels = [(i, j) for i in range(SIDE) for j in range(SIDE)]
        found = [scores[p] > 0.75 for p in pixels if one.mask[p]]
        wrong = [scores[p] > 0.75 for p in pixels if not one.mask[p]]
        assert one.shares(method) == pytest.approx((sum(found) / len(found), sum(wrong) / len(wrong)))


def test_a_limit_is_a_methods_own_and_itself_not_called():
    scores = np.zeros((SIDE, SIDE))
    scores[0, :2] = 1, 2
    one = rivals.Case("", np.zeros((SIDE, SIDE, 3), np.uint8), scores > 0, {"a": scores, "b": scores}, {"a": 1.0, "b": 2.0})
    assert one.called("a").sum() == 1 and one.called("b").sum() == 0
    assert one.shares("a") == (0.5, 0.0)


def test_the_line_says_what_is_found_and_what_is_called_in_vain():
    one = case(0)
    found, wrong = one.shares("two")
    assert rivals.text(one, "two") == f"two on case 0: {found:.0%} of the defect found, {wrong:.1%} of the normal pixels called anomalous"
    good = case(0, defect=False)
    assert math.isnan(good.shares("two")[0]) and "no defect to find" in rivals.text(good, "two")


@pytest.mark.parametrize("n", [1, 3, 8])
def test_the_strip_has_every_method_and_fits_below_the_pictures(n):
    methods = tuple(f"m{k}" for k in range(n))
    one = case(1, methods=methods)
    width = 3 * SIDE + 2 * rivals.GAP
    framed = {m: (rivals.strip(one, m, width) == rgb(BLUE)).all(-1) for m in methods}
    assert all(mask.shape[1] <= width for mask in framed.values())
    for k, method in enumerate(methods):  # the frame of the k-th stands in the k-th part
        full = [x for x, column in enumerate(framed[method].T) if column.sum() > 3 * rivals.FRAME]
        part = framed[method].shape[1] / n
        assert k * part - rivals.GAP <= min(full) and max(full) <= (k + 1) * part


def test_the_picture_outlines_truth_and_finding():
    one = case(2)
    drawn = rivals.draw(one, "one")
    assert drawn.dtype == np.uint8 and drawn.shape[1] == 3 * SIDE + 2 * rivals.GAP
    above = drawn[:SIDE]
    assert (above[:, :SIDE] == TRUTH).all(-1).any() and (above[:, -SIDE:] == FOUND).all(-1).any()
    good = case(2, defect=False)
    assert not (rivals.draw(good, "one")[:SIDE, :SIDE] == TRUTH).all(-1).any()


def test_every_control_changes_picture_and_text():
    view = rivals.build([case(0), case(1), case(2, defect=False)], case=1, method="two")
    assert view.text.value.startswith("two on case 1: ")
    for name, value, words in (("method", "three", "three on case 1"), ("case", 2, "three on case 2"), ("method", "one", "one on case 2")):
        before = view.image.value
        view.controls[name].value = value
        assert view.image.value != before and view.text.value.startswith(words)

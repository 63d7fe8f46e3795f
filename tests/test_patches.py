"""Patches: cut and laid over one another again, against literal loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dfr_core.methods.patches import at_least, average, cut, draw, starts

axes = st.integers(1, 9).flatmap(lambda side: st.tuples(st.integers(side, 25), st.just(side), st.integers(1, side)))


def image(h: int, w: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, h, w, generator=torch.Generator().manual_seed(seed))


@given(axes)
def test_patches_cover_an_axis_and_end_where_it_ends(axis):
    size, side, stride = axis
    found = starts(size, side, stride)
    assert found[0] == 0 and found[-1] == size - side and found == sorted(set(found))
    assert {pixel for start in found for pixel in range(start, start + side)} == set(range(size))
    assert all(b - a <= stride for a, b in zip(found, found[1:]))


@given(axes, st.integers(0, 12), st.integers(0, 99))
def test_the_average_is_that_of_a_literal_loop(axis, more, seed):
    h, side, stride = axis
    w = h + more
    n = len(starts(h, side, stride)) * len(starts(w, side, stride))
    patches = torch.rand(n, 2, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = average(patches, (h, w), stride)
    corners = [(y, x) for y in starts(h, side, stride) for x in starts(w, side, stride)]
    for c, i, j in [(0, 0, 0), (1, h - 1, w - 1), (0, h // 2, w // 2), (1, h // 3, (2 * w) // 3)]:
        values = [float(p[c, i - y, j - x]) for p, (y, x) in zip(patches, corners) if 0 <= i - y < side and 0 <= j - x < side]
        assert float(found[c, i, j]) == pytest.approx(sum(values) / len(values))


@given(axes, st.integers(0, 12))
def test_cut_and_averaged_an_image_is_itself(axis, more):
    h, side, stride = axis
    x = image(h, h + more)
    assert torch.allclose(average(cut(x, side, stride), tuple(x.shape[-2:]), stride), x, atol=1e-6)


@given(st.integers(1, 9), st.integers(0, 40))
def test_a_mirror_by_walking_to_and_fro(n, position):
    place, direction = 0, 1
    for _ in range(position):
        if n > 1:
            direction = 1 if place == 0 else -1 if place == n - 1 else direction
            place += direction
    assert int(at_least(torch.arange(n).view(1, n, 1), 41)[0, position, 0]) == place


def test_small_images_are_continued_like_in_a_mirror():
    x = image(3, 5)
    large = at_least(x, 8)
    assert large.shape == (3, 8, 8) and torch.equal(large[:, :3, :5], x)
    assert torch.equal(large[:, 3, :5], x[:, 1]) and torch.equal(large[:, :3, 7], x[:, :, 1])
    assert at_least(x, 2) is x


def test_patches_are_drawn_from_everywhere_by_seed_and_step():
    x = torch.arange(2 * 7 * 6).view(2, 1, 7, 6)
    drawn = draw(x, 400, 4, seed=3, step=5)
    assert drawn.shape == (400, 1, 4, 4)
    assert set(drawn[:, 0, 0, 0].tolist()) == {k * 42 + y * 6 + z for k in range(2) for y in range(4) for z in range(3)}
    assert (drawn[:, 0, 1:, :] - drawn[:, 0, :-1, :] == 6).all() and (drawn[..., 1:] - drawn[..., :-1] == 1).all()
    assert torch.equal(drawn, draw(x, 400, 4, seed=3, step=5))
    assert not torch.equal(drawn, draw(x, 400, 4, seed=3, step=6)) and not torch.equal(drawn, draw(x, 400, 4, seed=4, step=5))

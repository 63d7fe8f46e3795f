"""AE-l2 and AE-ssim: SSIM against a brute-force window, scores against their formulas, and what the paper found in kind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dfr_core import DFRError, method
from dfr_core.methods.ae import SSIM, AEL2Settings, AESSIMSettings
from dfr_core.methods.pixels import decoder, encoder
from dfr_core.metrics import roc_auc

SMALL = {"image_size": 64, "patch": 32, "stride": 16, "width": 0.25, "latent_dim": 20, "learning_rate": 4e-3, "schedule": "onecycle"}
SMALL |= {"batch_size": 16}


def fitted(name, images, **changes):
    kind = method(name)
    return kind(kind.settings_class(**SMALL | changes), device="cpu", progress=False).fit(images)


# ---- SSIM ----------------------------------------------------------------------------------------------


def literal_ssim(x: np.ndarray, y: np.ndarray, i: int, j: int, window: int) -> float:
    """Wang et al., Eq. 13 to 16, at one pixel of images [h, w]."""

    def at(k: int, n: int) -> int:
        while not 0 <= k < n:
            k = -k if k < 0 else 2 * (n - 1) - k
        return k

    p, q, weights = [], [], []
    for dy in range(-(window // 2), window // 2 + 1):
        for dx in range(-(window // 2), window // 2 + 1):
            row, column = at(i + dy, x.shape[0]), at(j + dx, x.shape[1])
            p.append(float(x[row, column]))
            q.append(float(y[row, column]))
            weights.append(math.exp(-(dy * dy + dx * dx) / (2 * 1.5**2)))
    w = [weight / sum(weights) for weight in weights]
    m_p, m_q = (sum(a * v for a, v in zip(w, values)) for values in (p, q))
    s_p, s_q = (sum(a * (v - m) ** 2 for a, v in zip(w, values)) for values, m in ((p, m_p), (q, m_q)))
    s_pq = sum(a * (u - m_p) * (v - m_q) for a, u, v in zip(w, p, q))
    c1, c2 = 0.01**2, 0.03**2
    return (2 * m_p * m_q + c1) * (2 * s_pq + c2) / ((m_p**2 + m_q**2 + c1) * (s_p + s_q + c2))


@given(st.sampled_from([1, 3, 7, 11]), st.integers(7, 14), st.integers(7, 14), st.integers(0, 99))
def test_ssim_is_that_of_a_brute_force_window(window, h, w, seed):
    x, y = torch.rand(2, 1, 1, h, w, generator=torch.Generator().manual_seed(seed))
    found = SSIM((h, w), window)(x, y)[0, 0]
    for i, j in [(0, 0), (h - 1, 0), (h // 2, w // 2), (h - 2, w - 1)]:
        assert float(found[i, j]) == pytest.approx(literal_ssim(x[0, 0].numpy(), y[0, 0].numpy(), i, j, window), abs=2e-4)


def test_ssim_by_hand():
    same = SSIM((8, 9), 11)
    x, y = torch.rand(2, 2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(same(x, x), torch.ones(2, 3, 8, 9), atol=1e-3) and torch.allclose(same(x, y), same(y, x), atol=1e-4)
    a, b = torch.full((1, 1, 8, 9), 0.2), torch.full((1, 1, 8, 9), 0.6)  # no variance, so luminance alone is compared
    assert same(a, b).mean() == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-3)


# ---- the network ---------------------------------------------------------------------------------------


def test_the_network_is_table_1():
    sizes, x = [], torch.zeros(1, 3, 128, 128)
    for module in encoder(128, 100, 1.0):
        x = module(x)
        if isinstance(module, nn.Conv2d):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [
        (32, 64, 64), (32, 32, 32), (32, 32, 32), (64, 16, 16), (64, 16, 16), (128, 8, 8), (64, 8, 8), (32, 8, 8), (100, 1, 1),
    ]  # fmt: skip
    back = []
    for module in decoder(128, 100, 1.0):
        x = module(x)
        if isinstance(module, nn.ConvTranspose2d):
            back.append(tuple(x.shape[1:]))
    assert back == [*sizes[-2::-1], (3, 128, 128)]


# ---- the scores ----------------------------------------------------------------------------------------


def test_the_maps_are_the_papers(images, odd_images):
    for name in ("AE-l2", "AE-ssim"):
        detector = fitted(name, images, steps=3)
        x = odd_images[0][2].float() / 255
        drawn, count = torch.zeros(3, 64, 64), torch.zeros(64, 64)
        with torch.no_grad():
            for i in (0, 16, 32):  # Section 4.2: reconstruct patches, average the pixel values
                for j in (0, 16, 32):
                    drawn[:, i : i + 32, j : j + 32] += detector.model(x[None, :, i : i + 32, j : j + 32])[0]
                    count[i : i + 32, j : j + 32] += 1
        drawn /= count
        if name == "AE-l2":
            expected = (x - drawn).square().sum(0)
        else:
            expected = 1 - SSIM((64, 64), 11)(x[None], drawn[None])[0].mean(0)
        assert torch.allclose(detector.anomaly_tensor(odd_images[0][2:3])[0], expected, atol=1e-4)


def texture(n: int, seed: int = 0) -> torch.Tensor:
    """Broad stripes of high contrast at a random place, uint8 [n, 3, 64, 64]."""
    phase = 6.28 * torch.rand(n, 1, 1, generator=torch.Generator().manual_seed(seed))
    stripes = (4 * torch.sin(2 * math.pi * torch.arange(64) / 16 + phase)).tanh().expand(n, 64, 64)
    return (255 * (0.5 + 0.3 * stripes)).round().byte()[:, None].expand(n, 3, 64, 64).contiguous()


def test_ssim_finds_defects_of_low_contrast_that_l2_does_not():
    """The claim of 1807.02011: a defect that changes the structure a little drowns in the l2 errors at edges, and not in SSIM's."""
    test, masks = texture(6, seed=1).float(), torch.zeros(6, 64, 64, dtype=torch.bool)
    masks[:, 20:40, 20:40] = True
    weave = 20 * (1 - 2 * ((torch.arange(64)[:, None] // 2 + torch.arange(64) // 2) % 2))  # 8 % of the range, a seventh of the stripes
    test = (test + weave * masks[:, None]).byte()
    found = {name: roc_auc(fitted(name, texture(12), steps=150).anomaly_map(test), masks) for name in ("AE-l2", "AE-ssim")}
    assert found["AE-ssim"] > found["AE-l2"] + 0.1 and found["AE-ssim"] > 0.75, found


def test_training_helps():
    curve = fitted("AE-l2", texture(12), steps=60).loss_curve_
    assert curve[-10:].mean() < 0.8 * curve[:3].mean()


# ---- whole images, zoom, settings ----------------------------------------------------------------------


def test_whole_images_are_one_patch_and_zoom_shrinks_them(images, odd_images):
    detector = fitted("AE-l2", images, patch=None, stride=16, zoom=2, steps=2)
    assert detector.settings.side == 32 and detector.anomaly_map(odd_images[0]).shape == (4, 64, 64)
    assert replace(detector.settings, zoom=3).side == 32  # 22 pixels, up to what the network can shrink
    for shape in ((1, 3, 30, 100), (1, 3, 65, 33), (1, 3, 8, 8)):
        assert detector.anomaly_map(torch.zeros(shape, dtype=torch.uint8)).shape == (1, *shape[2:])


BAD = [
    ({"patch": 40}, "patch: 40 is no multiple of 16"),
    ({"stride": 33}, "stride: 33 leaves gaps between patches of 32"),
    ({"width": 0}, "width: 0 is not a positive number"),
    ({"learning_rate": float("nan")}, "learning_rate: nan is not"),
    ({"weight_decay": -1}, "weight_decay: -1 is negative"),
    ({"zoom": 0}, "zoom: 0 is not a whole number of at least 1"),
    ({"patch": 0}, "patch: 0 is not a whole number"),
    ({"steps": 1.5}, "steps: 1.5 is not"),
    ({"schedule": "cosine"}, "schedule: 'cosine' is not one of"),
    ({"seed": -1}, "seed: -1"),
    ({"width": "1"}, "width: '1' is not a number"),
]


@pytest.mark.parametrize(("change", "match"), BAD)
def test_impossible_settings(change, match):
    with pytest.raises(DFRError, match=match) as caught:
        AEL2Settings(**SMALL | change)
    assert "\n" not in str(caught.value)


def test_a_window_has_a_middle():
    with pytest.raises(DFRError, match="window: 10 is even"):
        AESSIMSettings(window=10)


def test_a_diverging_training_is_told(images):
    with pytest.raises(DFRError, match="training diverged .* lower learning_rate"):
        fitted("AE-l2", images, steps=20, learning_rate=1e9, schedule="constant")


@pytest.mark.parametrize("name", ["AE-l2", "AE-ssim"])
def test_sizes(name):
    paper = method(name).of_edition("paper")
    assert (paper.patch, paper.stride, paper.latent_dim, paper.epochs, paper.patches) == (128, 30, 100, 200, 10_000)
    assert (paper.learning_rate, paper.weight_decay, paper.width) == (2e-4, 1e-5, 1)
    assert method(name).of_edition("quick").steps < method(name).of_edition("embedded").steps
    with pytest.raises(DFRError, match="edition: 'huge' is not one of"):
        method(name).of_edition("huge")

"""VAE-grad: the energy and its steps by hand, and what its paper is about: the defect goes, sharp edges stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from dfr_core import DFRError, method
from dfr_core.methods.vae_grad import VAEGrad, VAEGradSettings

SETTINGS = VAEGradSettings(
    image_size=64, patch=32, stride=32, width=0.25, latent_dim=8, learning_rate=4e-3, schedule="onecycle", batch_size=16, steps=120,
    iterations=100,
)  # fmt: skip


class Grey(nn.Module):
    """An autoencoder that knows one image: grey."""

    def forward(self, x):
        return 0.5 + 0 * x


def with_model(model: nn.Module, **changes) -> VAEGrad:
    detector = VAEGrad(replace(SETTINGS, **changes), device="cpu", progress=False)
    detector._model = model
    return detector


def test_a_pixel_moves_as_by_hand():
    """With f(x) = 1/2: grad E = 2 (x - 1/2) + lambda sign(x - x_0), times (x - 1/2)^2."""
    detector = with_model(Grey(), iterations=3, rate=0.5, closeness=0.05)
    moved = detector.projected(torch.full((3, 32, 32), 0.9))
    x = 0.9
    for step in range(3):
        x -= 0.5 * (2 * (x - 0.5) - (0.05 if step else 0.0)) * (x - 0.5) ** 2
    assert torch.allclose(moved, torch.full_like(moved, x), atol=1e-6) and 0.5 < x < 0.9
    assert torch.allclose(detector._map_one(torch.full((3, 32, 32), 0.9)), torch.full((32, 32), 3 * (0.9 - x)), atol=1e-6)


def test_relative_steps_are_scaled_by_the_largest_error_of_the_patch():
    x = torch.full((3, 32, 32), 0.5)
    x[:, 0, 0] = 0.7
    x[:, 0, 1] = 0.6
    moved = with_model(Grey(), iterations=1, rate=0.1, closeness=0, mask="relative").projected(x)
    assert moved[0, 0, 0] == pytest.approx(0.7 - 0.1 * 0.4) and moved[0, 0, 1] == pytest.approx(0.6 - 0.1 * 0.2 / 4)
    assert moved[0, 5, 5] == 0.5


def test_the_gradient_is_that_of_the_energy(images):
    detector = VAEGrad(replace(SETTINGS, steps=2), device="cpu", progress=False).fit(images)
    detector.model.double()
    random = torch.Generator().manual_seed(0)
    x, x_0 = torch.rand(2, 1, 3, 32, 32, generator=random, dtype=torch.float64)

    @torch.no_grad()
    def energy(x):
        return float((x - detector.model(x)).square().sum() + 0.05 * (x - x_0).abs().sum())

    found, _ = detector.energy_gradient(x, x_0)
    for place in [(0, 0, 3, 4), (0, 1, 31, 0), (0, 2, 16, 20)]:
        up, down = x.clone(), x.clone()
        up[place] += 1e-6
        down[place] -= 1e-6
        assert float(found[place]) == pytest.approx((energy(up) - energy(down)) / 2e-6, rel=1e-4, abs=1e-6)


def squares(n: int, seed: int = 0) -> torch.Tensor:
    """A bright square with sharp edges somewhere on dark ground, uint8 [n, 3, 64, 64]."""
    places = torch.randint(8, 24, (n, 2), generator=torch.Generator().manual_seed(seed))
    x = torch.full((n, 3, 64, 64), 60, dtype=torch.uint8)
    for image, (i, j) in zip(x, places.tolist()):
        image[:, i : i + 32, j : j + 32] = 190
    return x


def test_the_defect_goes_and_sharp_edges_stay():
    detector = VAEGrad(replace(SETTINGS, patch=64, stride=64, steps=200), device="cpu", progress=False).fit(squares(16))
    x_0 = squares(1, seed=1)[0].float() / 255
    defect = torch.zeros(64, 64, dtype=torch.bool)
    defect[2:7, 30:50] = True
    x = torch.where(defect, torch.tensor(0.9), x_0)
    moved, plain = detector.projected(x), detector.reconstruct(x).detach()
    edges = (x_0[0, 1:] - x_0[0, :-1]).abs() > 0.2  # where a row differs from the next

    def sharpness(image):
        return float((image[:, 1:] - image[:, :-1]).abs().mean(0)[edges].mean() / (130 / 255))

    assert sharpness(plain) < 0.6 and sharpness(moved) > sharpness(plain) + 0.2  # the VAE blurs
    height = float((moved[:, defect] - x_0[:, defect]).mean() / (x[:, defect] - x_0[:, defect]).mean())
    assert height < 0.3  # and what does not belong there is taken away
    scores = detector._map_one(x)
    assert scores[defect].mean() > 3 * scores[~defect].mean()


def test_training_helps():
    curve = VAEGrad(replace(SETTINGS, steps=120), device="cpu", progress=False).fit(squares(8)).loss_curve_
    assert curve[-10:].mean() < 0.7 * curve[:3].mean()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"noise": 0}, "noise: 0 is not a positive number"),
        ({"rate": -1}, "rate: -1 is not"),
        ({"closeness": -0.1}, "closeness: -0.1 is negative"),
        ({"iterations": 0}, "iterations: 0 is not a whole number"),
        ({"mask": "none"}, "mask: 'none' is not one of"),
    ],
)
def test_impossible_settings(change, match):
    with pytest.raises(DFRError, match=match):
        replace(SETTINGS, **change)


def test_sizes():
    paper = method("VAE-grad").of_edition("paper")
    assert (paper.rate, paper.closeness, paper.mask, paper.patch, paper.latent_dim) == (0.5, 0.05, "squared", 128, 100)

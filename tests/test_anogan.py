"""AnoGAN: both players' losses, the search, and a patch that the generator can draw against one that it cannot."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dfr_core import DFRError, method
from dfr_core.methods.anogan import GAN, AnoGAN, AnoGANSettings
from dfr_core.methods.pixels import start

SETTINGS = AnoGANSettings(
    image_size=64, patch=32, stride=16, width=0.1, latent_dim=8, learning_rate=1e-3, batch_size=8, steps=20, search_steps=15,
    search_rate=0.1,
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted_gan():
    from conftest import make_images

    return AnoGAN(SETTINGS, device="cpu", progress=False).fit(make_images(6))


def patch(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_the_search_lowers_its_loss(fitted_gan):
    codes, losses = fitted_gan.search(patch())
    assert codes.shape == (3, 8) and losses.shape == (16, 3)
    assert (losses[-1] < losses[0]).all()
    last = fitted_gan._distance(fitted_gan.model.draw(codes), patch(), fitted_gan.model.features(patch()))
    assert torch.allclose(losses[-1], last, rtol=1e-5)


def test_the_loss_of_the_search_is_the_papers(fitted_gan):
    x, z, share = patch(1), torch.zeros(3, 8), 0.1
    with torch.no_grad():
        drawn = fitted_gan.model.draw(z)
        residual = (x - drawn).abs().flatten(1).sum(1)
        features = (fitted_gan.model.features(x) - fitted_gan.model.features(drawn)).abs().flatten(1).sum(1)
        found = fitted_gan._distance(drawn, x, fitted_gan.model.features(x))
    assert torch.allclose(found, (1 - share) * residual + share * features, rtol=1e-5)


def test_what_the_generator_can_draw_is_found_again():
    """The known answer: the image of a code has residual zero at that code, and the search comes near it."""
    detector = AnoGAN(replace(SETTINGS, latent_dim=2, search_steps=60), device="cpu", progress=False)
    detector._model = GAN(32, 2, 0.1, seed=3).eval()
    with torch.no_grad():
        start(detector._model.generator, seed=3)  # DCGAN's start draws grey on grey
        x = detector._model.draw(torch.tensor([[0.7, -0.4]]))
    assert x.std() > 0.02
    _, losses = detector.search(x)
    assert losses[-1] < 0.2 * losses[0]
    other = x.flip(-1)
    assert detector._map_one(other[0]).mean() > 5 * detector._map_one(x[0]).mean()


def test_the_search_starts_at_the_nearest_candidate(fitted_gan):
    many = AnoGAN(replace(SETTINGS, candidates=50), device="cpu", progress=False)
    many._model = fitted_gan.model
    x = patch(2)
    with torch.no_grad():
        codes = torch.randn(50, 8, generator=torch.Generator().manual_seed(SETTINGS.seed))
        distances = torch.stack([(one - many.model.draw(codes)).abs().flatten(1).sum(1) for one in x])
        expected = many._distance(many.model.draw(codes[distances.argmin(1)]), x, many.model.features(x))
    assert torch.allclose(many.search(x)[1][0], expected, rtol=1e-5)


def test_each_player_has_the_gradient_of_its_own_loss(fitted_gan):
    model, twin = GAN(32, 8, 0.1, 0).double(), GAN(32, 8, 0.1, 0).double()
    x = patch().double()
    torch.set_default_dtype(torch.float64)
    try:
        loss = fitted_gan._gradient(model, x, torch.Generator().manual_seed(5))
        z = torch.randn(3, 8, generator=torch.Generator().manual_seed(5))
    finally:
        torch.set_default_dtype(torch.float32)
    drawn = twin.draw(z)
    yes, no = twin.discriminate(x).sigmoid(), twin.discriminate(drawn.detach()).sigmoid()
    against = -(yes.log().mean() + (1 - no).log().mean())
    against.backward()
    found = dict(model.named_parameters())
    for name, parameter in twin.named_parameters():
        if not name.startswith("generator"):
            assert torch.allclose(found[name].grad, parameter.grad, rtol=1e-6, atol=1e-10)
    generators = -twin.discriminate(drawn).sigmoid().log().mean()
    generators.backward()
    for name, parameter in twin.generator.named_parameters():
        assert torch.allclose(found[f"generator.{name}"].grad, parameter.grad, rtol=1e-6, atol=1e-10)
    assert float(loss.detach()) == pytest.approx(float((against + generators).detach()))
    assert float(loss.detach()) == pytest.approx(3 * math.log(2), abs=0.2)  # at first neither knows anything


def test_the_map_is_the_squared_residual_of_each_patch(fitted_gan, odd_images):
    whole = AnoGAN(replace(SETTINGS, stride=32), device="cpu", progress=False)
    whole._model = fitted_gan.model
    x = odd_images[0][2].float() / 255
    found = whole._map_one(x)
    corner = torch.stack([x[:, i : i + 32, j : j + 32] for i in (0, 32) for j in (0, 32)])
    drawn = whole.model.draw(whole.search(corner)[0])
    assert torch.allclose(found[32:, :32], (corner[2] - drawn[2]).square().sum(0), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"search_steps": 0}, "search_steps: 0 is not a whole number"),
        ({"candidates": 0}, "candidates: 0 is not a whole number"),
        ({"search_rate": 0}, "search_rate: 0 is not a positive number"),
        ({"feature_weight": 1.5}, "feature_weight: 1.5 is not in"),
        ({"matching": -1}, "matching: -1 is negative or not finite"),
        ({"noise": float("nan")}, "noise: nan is negative or not finite"),
        ({"batch_size": 1}, "batch_size: a batch of one patch"),
    ],
)
def test_impossible_settings(change, match):
    with pytest.raises(DFRError, match=match):
        replace(SETTINGS, **change)


def test_sizes():
    paper = method("AnoGAN").of_edition("paper")
    assert (paper.patch, paper.latent_dim, paper.epochs, paper.search_steps, paper.search_rate) == (128, 64, 50, 300, 0.02)
    assert (paper.learning_rate, paper.feature_weight, paper.candidates) == (2e-4, 0.1, 1)
    assert (paper.matching, paper.noise) == (0, 0)


def test_the_generator_has_to_meet_the_mean(fitted_gan):
    """Its gradient is that of its own loss and m times the distance; the discriminator's is as before."""
    found, before = GAN(32, 8, 0.1, 0), GAN(32, 8, 0.1, 0)
    detector = AnoGAN(replace(SETTINGS, matching=7.0), device="cpu", progress=False)
    loss = detector._gradient(found, patch(), torch.Generator().manual_seed(5))
    plain = fitted_gan._gradient(before, patch(), torch.Generator().manual_seed(5))
    x, twin = patch(), GAN(32, 8, 0.1, 0)
    drawn = twin.draw(torch.randn(3, 8, generator=torch.Generator().manual_seed(5)))
    pixels = ((x.mean(0) - drawn.mean(0)) ** 2).mean()
    assert float((loss - plain).detach()) == pytest.approx(float(7 * pixels.detach()), rel=1e-3)
    (7 * pixels - torch.log(twin.discriminate(drawn).sigmoid()).mean()).backward()
    for (name, parameter), other, real in zip(found.named_parameters(), before.parameters(), twin.parameters(), strict=True):
        expected = real.grad if name.startswith("generator") else other.grad
        assert torch.allclose(parameter.grad, expected, rtol=1e-3, atol=1e-6), name


def test_noise_is_shown_to_the_discriminator_alone():
    detector = AnoGAN(replace(SETTINGS, noise=0.5), device="cpu", progress=False)
    model, shown = GAN(32, 8, 0.1, 0), []
    model.features[0].register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].detach()))
    x = patch()
    detector._gradient(model, x, torch.Generator().manual_seed(5))
    assert (shown[0] - x).std() == pytest.approx(0.5, abs=0.03)
    drawn = GAN(32, 8, 0.1, 0).draw(torch.randn(3, 8, generator=torch.Generator().manual_seed(5))).detach()
    assert (shown[1] - drawn).std() == pytest.approx(0.5, abs=0.03)

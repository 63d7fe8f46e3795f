"""The projected extension: its score is the whole feature's error, without the whole feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfr_core import DFR
from dfr_core.extract import Extractor
from dfr_core.methods.projected import Projected, ProjectedFeatures, Projection
from dfr_core.regional import Generator
from dfr_core.scoring import residual
from dfr_core.settings import Settings


def random_features(seed: int = 0, n: int = 2):
    """Features of three maps, one finer than the regional features and one coarser; c_o = 9."""
    generator = torch.Generator().manual_seed(seed)
    maps = [(layer, torch.randn(n, c, side, side, generator=generator)) for layer, c, side in ((1, 2, 32), (2, 3, 16), (3, 4, 4))]
    return Generator(2, 2)(maps, (32, 32))


@settings(max_examples=40)
@given(components=st.integers(1, 9), score=st.sampled_from(["l2", "squared"]), batch_norm=st.booleans(), seed=st.integers(0, 2**31))
def test_score_is_the_error_of_the_whole_feature(components, score, batch_norm, seed):
    """Also with all components, where nothing is outside the subspace."""
    features = random_features(seed)
    f = features.dense()
    projection = Projection.fit(f.reshape(-1, 9), components)
    model = Projected(projection, max(1, components // 2), Settings(batch_norm=batch_norm)).eval()
    with torch.no_grad():
        rows = projection(features)
        z, outside = rows[..., :-1], rows[..., -1]
        assert rows.shape == (2, 16, 16, components + 1)
        assert torch.allclose(z, (f - projection.mean) @ projection.basis.T, atol=1e-4)
        energy = (f - projection.mean).square().sum(-1)
        for found, given in zip(projection.split(f.reshape(-1, 9)), (z, outside), strict=True):
            assert torch.allclose(found, given.flatten(0, 2), atol=1e-4)
        assert torch.allclose(outside, (energy - z.square().sum(-1)).clamp(min=0), atol=1e-4)
        if components == 9:
            assert outside.max() <= 1e-4 * energy.max()
        expected = residual(f, model(f), score)
        assert torch.allclose(model.errors(rows, score), expected, rtol=1e-3, atol=1e-3)


def test_features_are_left_as_they_were():
    """Each map of a size of its own: what is centred in place is a copy all the same."""
    features = random_features()
    before = features.dense().clone()
    projection = Projection.fit(5 + before.reshape(-1, 9), 4)
    assert torch.equal(projection(features), projection(features)) and torch.equal(features.dense(), before)


def test_basis_is_pcas():
    generator = torch.Generator().manual_seed(0)
    samples = 5 + torch.randn(500, 30, generator=generator) * 2.0 ** -torch.arange(30)
    projection = Projection.fit(samples, 5)
    assert torch.allclose(projection.mean, samples.mean(0), atol=1e-5)
    assert torch.allclose(projection.basis @ projection.basis.T, torch.eye(5), atol=1e-5)
    _, _, v = np.linalg.svd((samples - samples.mean(0)).double().numpy(), full_matrices=False)
    exact = torch.from_numpy(v[:5].T @ v[:5]).float()
    assert torch.allclose(projection.basis.T @ projection.basis, exact, atol=1e-3)


def test_fit_is_seeded_and_bounded():
    samples = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    first, again = Projection.fit(samples, 50, seed=1), Projection.fit(samples, 50, seed=1)
    assert first.basis.shape == (6, 20)  # no more components than samples
    assert torch.equal(first.basis, again.basis)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_training_source_hands_out_rows():
    rows = torch.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    source = ProjectedFeatures(rows)
    assert (len(source), source.shape) == (2, (3, 4))
    assert torch.equal(source.rows(torch.tensor([1, 0]), None), rows[[1, 0]].reshape(-1, 5))
    found = source.rows(torch.tensor([1, 0]), torch.tensor([[0, 11], [5, 2]]))
    assert torch.equal(found, torch.stack([rows[1, 0, 0], rows[1, 2, 3], rows[0, 1, 1], rows[0, 0, 2]]))


@pytest.mark.parametrize(
    "hidden, components, outer", [("table-viii", 12, (40 + 5) // 2), ("released", 12, (40 + 2 * 5) // 2), ("table-viii", 6, 3 * 6)]
)
def test_decoder_is_as_wide_as_for_all_channels_but_not_much_wider_than_the_subspace(hidden, components, outer):
    model = Projected(Projection(40, components), 5, Settings(hidden=hidden))
    assert [weight.shape[0] for weight, _ in model.cae.linear_layers()] == [10, 10, 5, 10, outer, components]


def test_gradient_of_a_perfect_reconstruction_is_finite():
    projection = Projection(4, 2)
    model = Projected(projection, 1, Settings())
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.loss(torch.zeros(3, 3), "l2").backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("initialisation", ["default", "centred", "pca"])
@pytest.mark.parametrize("score", ["l2", "squared"])
def test_projected_detector_end_to_end(tiny, images, odd_images, tmp_path, initialisation, score):
    s = replace(tiny, projection=6, initialisation=initialisation, score=score, loss=score)
    detector = DFR(s, device="cpu", progress=False).fit(images)
    assert detector.c_d_ <= 6 and len(detector.loss_curve_) == s.steps
    features = Extractor(s, torch.device("cpu"))(odd_images[0])
    f = features.dense()
    expected = residual(f, detector.reconstruct(f), score)
    assert torch.allclose(detector.regional_anomaly_map(features), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    detector.save(tmp_path / "model.safetensors")
    loaded = DFR.load(tmp_path / "model.safetensors", device="cpu")
    assert np.array_equal(loaded.anomaly_map(odd_images[0]), detector.anomaly_map(odd_images[0]))
    assert loaded.threshold(0.005) == detector.threshold(0.005)
    assert "Conv. (1, 1, 6)" in detector.architecture()[-1]


def test_more_components_than_channels_are_all_of_them(tiny, images):
    detector = DFR(replace(tiny, projection=10_000), device="cpu", progress=False).fit(images)
    assert detector.model.projection.basis.shape == (detector.c_o_, detector.c_o_)
    f = detector.extractor(images[:1]).dense()
    expected = residual(f, detector.reconstruct(f))
    found = detector.regional_anomaly_map(detector.extractor(images[:1]))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))

"""Section III-C: the autoencoder is Table VIII's, and its latent dimension is PCA's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from dfr_core.errors import DFRError
from dfr_core.methods.cae import CAE, WITHOUT_RELU, explained_variance, latent_dimension, layer_widths, principal_components


@pytest.mark.parametrize("c_o", [3456, 5504])
@pytest.mark.parametrize("c_d", [100, 200, 423])
def test_table_viii(c_o, c_d):
    outer = (c_o + c_d) // 2
    assert layer_widths(c_o, c_d) == (outer, 2 * c_d, c_d, 2 * c_d, outer, c_o)
    assert layer_widths(c_o, c_d, "released") == ((c_o + 2 * c_d) // 2, 2 * c_d, c_d, 2 * c_d, (c_o + 2 * c_d) // 2, c_o)
    with torch.device("meta"):
        rows = CAE(c_o, c_d).architecture()
    assert rows == [
        f"[layer 1]: Conv. (1, 1, {outer}), stride=1; ReLU;",
        f"[layer 2]: Conv. (1, 1, {2 * c_d}), stride=1; ReLU;",
        f"[layer 3]: Conv. (1, 1, {c_d}), stride=1;",
        f"[layer 4]: Conv. (1, 1, {2 * c_d}), stride=1; ReLU;",
        f"[layer 5]: Conv. (1, 1, {outer}), stride=1; ReLU;",
        f"[layer 6]: Conv. (1, 1, {c_o}), stride=1;",
    ]


def test_table_viii_in_numbers():
    assert layer_widths(3456, 200) == (1828, 400, 200, 400, 1828, 3456)
    assert layer_widths(5504, 200) == (2852, 400, 200, 400, 2852, 5504)


def test_other_outer_layers():
    paper, other = CAE(9, 4, seed=1), CAE(9, 4, seed=1, outer=(8, 20))
    assert [layer.out_features for layer in other.stack if isinstance(layer, torch.nn.Linear)] == [8, 8, 4, 8, 20, 9]
    assert len(paper.stack) == len(other.stack)


def test_batch_normalisation_stands_before_each_relu():
    rows = CAE(40, 6, "released", batch_norm=True).architecture()
    assert rows[0] == "[layer 1]: Conv. (1, 1, 26), stride=1; BN; ReLU;"
    assert [" BN;" in row for row in rows] == [" ReLU;" in row for row in rows] == [True, True, False, True, True, False]


def convolutional_twin(cae: CAE) -> nn.Sequential:
    """The network as the paper draws it: 1 x 1 convolutions on [N, c_o, h, w]."""
    stack = []
    for module in cae.stack:
        if isinstance(module, nn.Linear):
            twin = nn.Conv2d(module.in_features, module.out_features, 1)
            twin.weight.data.copy_(module.weight[:, :, None, None])
            twin.bias.data.copy_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):
            twin = nn.BatchNorm2d(module.num_features)
            twin.load_state_dict(module.state_dict())
        else:
            twin = nn.ReLU()
        stack.append(twin)
    return nn.Sequential(*stack)


def with_statistics(cae: CAE) -> CAE:
    """Batch normalisation as after training: statistics, scales and shifts of its own."""
    generator = torch.Generator().manual_seed(5)
    for module in cae.stack:
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.1)
    return cae


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_linear_layers_are_one_by_one_convolutions(batch_norm, training):
    cae = with_statistics(CAE(24, 4, batch_norm=batch_norm, seed=1)).train(training)
    twin = convolutional_twin(cae).train(training)
    f = torch.randn(3, 5, 7, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(cae(f), twin(f.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_folded_layers_are_the_network_in_evaluation(batch_norm):
    cae = with_statistics(CAE(24, 4, "released", batch_norm, seed=2)).double().eval()
    f = x = torch.randn(50, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layers = cae.linear_layers()
        for number, (weight, bias) in enumerate(layers, start=1):
            x = x @ weight.T + bias
            x = x if number in WITHOUT_RELU else x.relu()
        assert len(layers) == 6
        assert torch.allclose(x, cae(f), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_centring_wraps_the_network_in_an_affine_map(batch_norm):
    cae = CAE(20, 3, batch_norm=batch_norm, seed=3).double().eval()
    f = 7 + 3 * torch.randn(200, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = f.mean(0)
    size = (f - mean).square().mean().sqrt()
    with torch.no_grad():
        expected = mean + size * cae((f - mean) / size)
        cae.centre(f)
        assert torch.allclose(cae(f), expected, rtol=1e-10, atol=1e-12)


def test_centring_on_constant_features_stays_finite():
    cae = CAE(6, 2)
    cae.centre(torch.ones(10, 6))
    assert torch.isfinite(cae(torch.ones(1, 6))).all()


@pytest.mark.parametrize(
    ("c_o", "c_d", "outer"), [(24, 4, None), (24, 8, None), (9, 8, None), (24, 4, (8, 30)), (24, 4, (6, 30)), (24, 4, (30, 6))]
)
@pytest.mark.parametrize("hidden", ["table-viii", "released"])
def test_pca_start_reconstructs_as_pca_does(c_o, c_d, outer, hidden):
    generator = torch.Generator().manual_seed(0)
    samples = 3 + torch.randn(300, c_o, generator=generator, dtype=torch.float64) * torch.arange(c_o, 0, -1)
    cae = CAE(c_o, c_d, hidden, outer=outer).double()
    cae.start_from_pca(samples)
    pairs = min(c_d, min(outer or layer_widths(c_o, c_d, hidden)[:1]) // 2)  # what the outer layers have room for
    pca = PCA(n_components=pairs, svd_solver="full").fit(samples.numpy())
    expected = torch.from_numpy(pca.inverse_transform(pca.transform(samples.numpy())))
    with torch.no_grad():
        assert torch.allclose(cae(samples), expected, atol=1e-8)
    basis = principal_components(samples, pairs)
    assert torch.allclose(basis @ basis.T, torch.eye(pairs, dtype=torch.float64), atol=1e-10)
    assert torch.allclose((basis @ torch.from_numpy(pca.components_).T).abs(), torch.eye(pairs, dtype=torch.float64), atol=1e-6)


def _last_layer_case():
    """A CAE whose first five layers are random, and skewed features that they say something about."""
    generator = torch.Generator().manual_seed(1)
    samples = 2 + torch.randn(400, 12, generator=generator, dtype=torch.float64) ** 3 @ torch.randn(12, 12, generator=generator).double()
    return CAE(12, 3, seed=2).double(), samples, 5 * torch.rand(400, generator=generator, dtype=torch.float64)


def test_last_layer_solved_for_the_squared_error_is_least_squares():
    cae, samples, _ = _last_layer_case()
    with torch.no_grad():
        hidden = cae.stack[:-1](samples)
        cae.solve_last_layer(samples, loss="squared")
        found = (samples - cae(samples)).square().mean()
    hidden = torch.cat([hidden, torch.ones(len(hidden), 1)], 1).numpy()
    weights, *_ = np.linalg.lstsq(hidden, samples.numpy(), rcond=None)
    least = np.square(samples.numpy() - hidden @ weights).mean()
    assert least <= float(found) <= 1.01 * least  # the ridge costs a little


@pytest.mark.parametrize("projected", [False, True])
def test_last_layer_solved_again_and_again_falls_to_the_optimum_of_eq_4(projected):
    cae, samples, outside = _last_layer_case()
    outside = outside if projected else None

    def loss():
        return ((samples - cae(samples)).square().sum(-1) + (outside if projected else 0)).sqrt().mean()

    losses = []
    for _ in range(30):
        losses.append(float(loss().detach()))
        cae.solve_last_layer(samples, outside)
    first, last = losses[0], losses[-1]
    assert all(after <= before + 1e-12 for before, after in zip(losses, losses[1:], strict=False))
    assert losses[1] - last < 0.02 * (first - last)  # one call goes nearly the whole way
    # The problem is convex: where its gradient vanishes is the optimum. An optimiser of another kind finds no better place.
    parameters = list(cae.stack[-1].parameters())
    optimiser = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    assert float(loss().detach()) == pytest.approx(last, rel=1e-4)


def test_last_layer_solved_on_constant_or_few_features_stays_finite():
    for samples in (torch.ones(10, 6), torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(5, 6)):
        cae = CAE(6, 2)
        cae.solve_last_layer(samples)
        assert torch.isfinite(cae(samples)).all()


def test_initial_weights_are_the_seeds():
    before = torch.random.get_rng_state()
    first, again, other = (CAE(10, 2, seed=seed).stack[0].weight for seed in (4, 4, 5))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)  # and the caller's generator is left alone


# ---- latent dimension --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    n=st.integers(2, 40), c_o=st.integers(1, 40), variance=st.sampled_from([0.5, 0.9, 0.95, 0.99]), decay=st.floats(0, 1),
    shift=st.sampled_from([0.0, 100.0]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_latent_dimension_is_sklearns(n, c_o, variance, decay, shift, seed):
    samples = shift + np.random.default_rng(seed).normal(size=(n, c_o)) * np.exp(-decay * np.arange(c_o))
    expected = PCA(n_components=variance, svd_solver="full").fit(samples)
    assert latent_dimension(torch.from_numpy(samples), variance) == expected.n_components_


def test_latent_dimension_by_hand():
    """Variances 6, 3, 1: one component explains 60 %, two exactly 90 %, three all."""
    samples = torch.diag(torch.tensor([6.0, 3.0, 1.0]).sqrt())
    samples = torch.cat([samples, -samples])
    assert [latent_dimension(samples, v) for v in (0.5, 0.6, 0.61, 0.9, 0.91, 1.0)] == [1, 1, 2, 2, 3, 3]
    assert torch.allclose(explained_variance(samples), torch.tensor([0.6, 0.9, 1.0], dtype=torch.float64))


def test_shares_rise_to_one():
    shares = explained_variance(torch.randn(30, 50, generator=torch.Generator().manual_seed(0)))
    assert len(shares) == 29 and (shares.diff() >= 0).all() and float(shares[-1]) == pytest.approx(1)


@pytest.mark.parametrize(("samples", "match"), [(torch.ones(1, 5), "at least two"), (torch.ones(9, 5), "are they blank")])
def test_samples_that_tell_nothing(samples, match):
    with pytest.raises(DFRError, match=match):
        latent_dimension(samples)

"""The page that says what the paper says, and the package beside it: the same features, training, maps and threshold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from dfr_core import DFR, Settings, literal
from dfr_core.methods.cae import CAE
from dfr_core.methods.train import batch

SETTINGS = Settings(weights="untrained", width=0.125, image_size=32, layers="1:12", epochs=4)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def fitted(images) -> DFR:
    return DFR(SETTINGS, progress=False).fit(images)


@pytest.fixture(scope="module")
def features(fitted, images) -> torch.Tensor:
    network = fitted.extractor.backbone
    return literal.regional_features(literal.hierarchical_features(network.stack, network.normalise(images)), (32, 32))


def test_features_are_those_of_the_package(fitted, features, images) -> None:
    assert features.shape == (6, fitted.c_o_, 8, 8)
    torch.testing.assert_close(features, fitted.extractor(images).dense().permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_the_latent_dimension_is_that_of_the_package(fitted, features) -> None:
    assert literal.latent_dimension(features) == fitted.c_d_


def test_the_autoencoder_is_table_viii(fitted) -> None:
    ours = [p.shape for p in CAE(fitted.c_o_, fitted.c_d_).parameters()]
    assert [p.squeeze().shape for p in literal.autoencoder(fitted.c_o_, fitted.c_d_).parameters()] == ours


def test_training_and_maps_end_where_the_package_ends(fitted, features, images) -> None:
    torch.manual_seed(SETTINGS.seed)
    cae = literal.autoencoder(fitted.c_o_, fitted.c_d_)
    losses = literal.train(cae, features, [batch(SETTINGS, 6, 64, step)[0] for step in range(8)])
    assert losses == pytest.approx(fitted.loss_curve_.tolist(), rel=1e-4)
    maps = literal.anomaly_map(cae, features, (32, 32))
    torch.testing.assert_close(maps, torch.from_numpy(fitted.anomaly_map(images)), rtol=1e-4, atol=1e-4)
    for fpr in (0, 0.005, 0.05):
        assert literal.threshold(maps, fpr) == pytest.approx(fitted.threshold(fpr), rel=1e-4)


def test_the_whole_method_runs_from_images_to_segmentations(fitted, images) -> None:
    network = fitted.extractor.backbone
    torch.manual_seed(0)
    x = network.normalise(images)
    maps, found = literal.dfr(network.stack, x, x, fpr=0.01, epochs=2)
    assert maps.shape == found.shape == (6, 32, 32) and maps.min() >= 0
    assert int(found.sum()) == int(0.01 * found.numel())  # the normal images are the test images here, so the rate is exact


def test_it_needs_nothing_of_the_package() -> None:
    """Someone with only the paper can read it from top to bottom."""
    text = Path(literal.__file__).read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert not any(module is None or module.startswith(("dfr_core", ".")) for module in imported)
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.level]

"""What every test file shares: small images, small settings, one fitted detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings

from dfr_core.files import load_tensors, save_tensors
from dfr_core.settings import Settings, Size, sides

torch.set_num_threads(1)  # the tensors here are tiny, and sums in one order give one result
hypothesis_settings.register_profile("dfr", deadline=None, derandomize=True)  # the same cases in every run
hypothesis_settings.load_profile("dfr")

#: A network of 4 to 10 channels a map, 64 x 64 pixels, a second or less for a fit.
TINY = Settings(
    image_size=64,
    weights="untrained",
    width=0.02,
    padding="reflect",
    layers="1:6",
    variance=0.95,
    initialisation="centred",
    learning_rate=2e-3,
    schedule="onecycle",
    positions=32,
    steps=12,
)


def make_images(n: int, side: Size = 64, seed: int = 0) -> torch.Tensor:
    """Smooth random textures, uint8 [n, 3, height, width]."""
    random, shape = np.random.default_rng(seed), sides(side)
    coarse = torch.from_numpy(random.normal(size=(n, 3, *(max(2, each // 4) for each in shape))).astype(np.float32))
    fine = torch.from_numpy(random.normal(size=(n, 3, *shape)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="bilinear")
    return (128 + 40 * smooth + 8 * fine).clamp(0, 255).to(torch.uint8)


def rewritten(file, target, drop=(), tensors=None, **about):
    """A safetensors file without some of its tensors, with others, with other words (None: without them)."""
    old_tensors, old_about = load_tensors(file)
    kept = {name: value for name, value in (old_tensors | (tensors or {})).items() if name not in drop}
    save_tensors(target, kept, {name: value for name, value in (old_about | about).items() if value is not None})
    return target


@pytest.fixture(scope="session")
def tiny() -> Settings:
    return TINY


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Six normal images."""
    return make_images(6)


@pytest.fixture(scope="session")
def odd_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Four test images, two with a bright square, and their masks."""
    pictures, masks = make_images(4, seed=1), torch.zeros(4, 64, 64, dtype=torch.bool)
    masks[2, 10:26, 30:46] = masks[3, 40:50, 8:30] = True
    return torch.where(masks[:, None], torch.tensor(250, dtype=torch.uint8), pictures), masks


@pytest.fixture(scope="session")
def fitted(tiny, images):
    """A detector fitted to ``images``; do not fit it again."""
    from dfr_core import DFR

    return DFR(tiny, device="cpu", progress=False).fit(images)


def random_network(name: str) -> torch.nn.Module:
    """torchvision's own network with random values; its classifier, 120 million values, is cut down."""
    from torchvision import models

    with torch.device("meta"):
        network = getattr(models, name)(weights=None)
    network.classifier = torch.nn.Sequential(torch.nn.Linear(4, 2))
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        scale = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.05
        parameter.data.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")  # 140 MiB
def torchvision_networks() -> dict[str, torch.nn.Module]:
    """torchvision's own networks, by name, with random values."""
    return {name: random_network(name) for name in ("vgg19", "vgg16")}


@pytest.fixture(scope="module")
def weights_folder(torchvision_networks, tmp_path_factory):
    """VGG19's state dict in every form a user may have it, and VGG16's; do not write there."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    vgg19 = torchvision_networks["vgg19"]
    torch.save(vgg19.state_dict(), folder / "full.pth")
    save_file(vgg19.features.state_dict(), folder / "features.safetensors")
    torch.save(torchvision_networks["vgg16"].state_dict(), folder / "vgg16.pth")
    return folder

"""What is counted about a network, against torchvision's network of that name and against single pixels."""

from __future__ import annotations

import sys
from subprocess import run

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from dfr_core.backbones.architecture import ARCHITECTURES, Layer, architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.errors import DFRError
from dfr_core.paper_numbers import TABLE_I
from dfr_core.receptive_field import ReceptiveField, conv_fields
from dfr_core.settings import Settings

NAMES = pytest.mark.parametrize("name", list(ARCHITECTURES))
SIZES = {"vgg19": list(TABLE_I.values()), "vgg16": [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196]}


def torchvision_features(name: str) -> nn.Sequential:
    """torchvision's layers alone: on this device they hold no weights, which would take a second to draw."""
    with torch.device("meta"):
        return getattr(models, name)(weights=None).features


@NAMES
def test_layers_are_torchvisions(name):
    network, features = architecture(name), torchvision_features(name)
    assert network.name == name and [layer.size for layer in network.layers] == SIZES[name]
    assert [(f.size, f.jump, f.centre) for f in conv_fields(features)] == [(k.size, k.jump, k.centre) for k in network.layers]
    assert list(network.channels()) == [module.out_channels for module in features if isinstance(module, nn.Conv2d)]
    assert network.n_layers == len(network.layers) == len(SIZES[name])


@NAMES
def test_poolings_and_inner_layers_are_torchvisions(name):
    network, modules = architecture(name), list(torchvision_features(name))
    behind = [type(modules[k + 1]) for k, module in enumerate(modules) if isinstance(module, nn.ReLU)]
    pooled = {layer for layer, kind in enumerate(behind, start=1) if kind is nn.MaxPool2d}
    # torchvision pools behind the last layer, too, where no map of ours follows.
    assert set(network.poolings) == pooled - {network.n_layers}
    assert network.inner_layers == {layer for layer, kind in enumerate(behind, start=1) if kind is nn.Conv2d}


@NAMES
def test_receptive_fields_are_what_single_pixels_change(name):
    """One channel, positive weights, no biases: a unit answers if and only if the lit row is in its field."""
    stack = [nn.Conv2d(1, 1, 3, padding=1, bias=False) if isinstance(m, nn.Conv2d) else m for m in torchvision_features(name)][:-1]
    for module in stack:
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.2)
    side = 272
    x, found = torch.eye(side)[:, None, :, None].expand(side, 1, side, 16).clone(), []
    with torch.inference_mode():
        for module in stack:
            x = module(x)
            if isinstance(module, nn.ReLU):
                seen = (x[:, 0, x.shape[2] // 2, 0] > 0).nonzero().flatten()
                found.append((int(seen[0]), int(seen[-1]) + 1))
    assert found == [layer.interval(side // layer.jump // 2) for layer in architecture(name).layers]


@NAMES
@pytest.mark.parametrize("size", [16, 37, 64, 95])
def test_sides_are_those_of_the_maps(name, size):
    network = architecture(name)
    layers = tuple(range(1, network.n_layers + 1))
    with torch.inference_mode():
        maps = dict(VGG(network, 0.01).feature_maps(torch.zeros(1, 3, size, size, dtype=torch.uint8), layers))
    assert [phi.shape[-1] for phi in maps.values()] == [network.side(layer, size) for layer in maps]
    assert [phi.shape[1] for phi in maps.values()] == list(network.channels(0.01))


@NAMES
def test_operations_are_those_torch_counts(name):
    network = architecture(name)
    last = network.n_layers
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        list(VGG(network, 1 / 32).feature_maps(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), (last,)))
    assert counter.get_total_flops() == network.flops(f"1:{last}", 64, 1 / 32) == network.flops(str(last), 64, 1 / 32)


def test_the_image_is_the_layer_before_the_first():
    assert (Layer().size, Layer().jump, Layer().centre, Layer().channels) == (1, 1, 0.5, 3)
    assert ReceptiveField().after(3, padding=1).interval(0) == (-1, 2)


@given(st.sampled_from(sorted(ARCHITECTURES)), st.data())
def test_any_list_of_layers(name, data):
    network = architecture(name)
    numbers = data.draw(st.sets(st.integers(1, network.n_layers), min_size=1))
    text = ",".join(map(str, numbers))
    assert network.parse(text) == tuple(sorted(numbers))
    assert network.feature_dimension(text) == sum(network.layers[k - 1].channels for k in numbers)


@NAMES
def test_layers_beyond_the_last_are_told_with_the_networks_name(name):
    network = architecture(name)
    n, title = network.n_layers, name.upper()
    assert Settings(backbone=name, layers=f"1:{n}").layer_numbers == tuple(range(1, n + 1))
    with pytest.raises(DFRError, match=f"^layers: '1:{n + 1}' is not within 1:{n}; {title} has layers 1 to {n}$"):
        Settings(backbone=name, layers=f"1:{n + 1}")
    with pytest.raises(DFRError, match=f"1 is the full {title}$"):
        Settings(backbone=name, width=2)


@pytest.mark.parametrize("name", ["vgg", "VGG19", "", None, ["vgg19"]])
def test_unknown_networks_are_told_with_the_known_ones(name):
    with pytest.raises(DFRError, match="^backbone: .* is not one of vgg19, vgg16$"):
        architecture(name)


def test_settings_and_architectures_need_no_torch():
    code = "import sys, dfr_core.settings as s; s.Settings().architecture.flops('1:12'); sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code]).returncode == 0

"""Section III-A: a network's ReLU maps and their paddings; that it is frozen, and what its fingerprint sees."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from dfr_core import DFR
from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.backbones.weights import build_backbone
from dfr_core.errors import DFRError
from dfr_core.files import load_tensors, save_tensors
from dfr_core.settings import Settings

ALL = tuple(range(1, 17))
VGG19 = architecture("vgg19")


def picture(n: int = 2, h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, h, w), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def relu_maps(features: nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    maps = []
    with torch.inference_mode():
        for module in features:
            x = module(x)
            if isinstance(module, nn.ReLU):
                maps.append(x.clone())
    return maps


def own_maps(network: VGG, images: torch.Tensor, layers=ALL, **options) -> dict[int, torch.Tensor]:
    with torch.inference_mode():
        return {layer: phi.clone() for layer, phi in network.feature_maps(images, layers, **options)}


@pytest.mark.parametrize(("name", "file"), [("vgg19", "full.pth"), ("vgg19", "features.safetensors"), ("vgg16", "vgg16.pth")])
def test_every_map_equals_torchvisions(torchvision_networks, weights_folder, name, file):
    images, layers = picture(), tuple(range(1, architecture(name).n_layers + 1))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = relu_maps(torchvision_networks[name].features, (images / 255 - mean) / std)
    found = own_maps(build_backbone(name, str(weights_folder / file)), images, layers)
    assert tuple(found) == layers and len(expected) == len(layers)
    for layer, phi in enumerate(expected, start=1):
        assert found[layer].shape == phi.shape
        assert torch.allclose(found[layer], phi, rtol=1e-4, atol=1e-5 * float(phi.abs().max())), f"layer {layer}"


def test_full_width_network_from_a_file_goes_through_the_whole_method(weights_folder, images):
    settings = Settings(image_size=64, weights=str(weights_folder / "full.pth"), layers="1:12", latent_dim=4, positions=8, steps=2)
    detector = DFR(settings, device="cpu", progress=False).fit(images[:2])
    assert (detector.c_o_, detector.c_d_) == (3456, 4)
    maps = detector.anomaly_map(images[:1])
    assert maps.shape == (1, 64, 64) and (maps > 0).all()


@pytest.mark.parametrize("last", [1, 2, 3, 9, 12, 16])
def test_nothing_behind_the_last_layer_is_built_or_computed(last):
    network = build_backbone("vgg19", "untrained", width=0.02, last=last)
    convolutions = [m for m in network.stack if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == last and isinstance(network.stack[-1], nn.ReLU)
    calls = []
    whole = build_backbone("vgg19", "untrained", width=0.02)
    for module in whole.stack:
        module.register_forward_hook(lambda module, *_: calls.append(module))
    assert list(own_maps(whole, picture(), (last,))) == [last]
    assert sum(isinstance(m, nn.Conv2d) for m in calls) == last
    assert len(calls) == len(network.stack)


def test_maps_come_as_they_are_computed():
    network = build_backbone("vgg19", "untrained", width=0.02)
    calls = []
    for module in network.stack:
        module.register_forward_hook(lambda module, *_: calls.append(module))
    layer, _ = next(network.feature_maps(picture(), (2, 16)))
    assert layer == 2 and len(calls) == 4


def test_sizes_and_channels_are_table_is():
    maps = own_maps(build_backbone("vgg19", "untrained", width=0.125), picture(1, 64, 48))
    assert [phi.shape[1] for phi in maps.values()] == list(VGG19.channels(0.125)) == [8] * 2 + [16] * 2 + [32] * 4 + [64] * 8
    assert [tuple(phi.shape[2:]) for phi in maps.values()] == (
        [(64, 48)] * 2 + [(32, 24)] * 2 + [(16, 12)] * 4 + [(8, 6)] * 4 + [(4, 3)] * 4
    )
    assert VGG19.channels() == (64, 64, 128, 128, 256, 256, 256, 256) + (512,) * 8
    assert [VGG19.feature_dimension(layers) for layers in ("1:12", "1:16", "12", "1,3")] == [3456, 5504, 512, 192]
    assert VGG19.feature_dimension("1:12", 0.125) == 432
    assert min(VGG19.channels(0.001)) == 1


def test_zero_and_reflect_padding_are_explicit_padding():
    for padding, mode in (("zeros", "constant"), ("reflect", "reflect")):
        network = build_backbone("vgg19", "untrained", width=0.05, padding=padding)
        x, expected = network.normalise(picture()), []
        for module in network.stack:
            if isinstance(module, nn.Conv2d):
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), module.weight, module.bias)
            elif isinstance(module, nn.ReLU):
                x = x.relu()
                expected.append(x)
            else:
                x = F.max_pool2d(x, 2)
        for layer, phi in own_maps(network, picture()).items():
            assert torch.allclose(phi, expected[layer - 1], rtol=1e-4, atol=1e-6)


def test_paddings_differ_at_the_border_only_in_the_first_layer():
    networks = [build_backbone("vgg19", "untrained", width=0.05, padding=padding) for padding in ("zeros", "reflect")]
    zeros, reflect = (own_maps(network, picture(), (1,))[1] for network in networks)
    assert torch.allclose(zeros[..., 1:-1, 1:-1], reflect[..., 1:-1, 1:-1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(zeros, reflect)


def test_kept_padding_is_a_reflected_border_of_one_on_inner_maps():
    network = build_backbone("vgg19", "untrained", width=0.02, padding="reflect")
    plain, kept = own_maps(network, picture()), own_maps(network, picture(), keep_padding=True)
    for layer in ALL:
        if layer in VGG19.inner_layers:
            assert torch.equal(kept[layer], F.pad(plain[layer], (1, 1, 1, 1), mode="reflect"))
        else:
            assert torch.equal(kept[layer], plain[layer])
    assert {1, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15} == VGG19.inner_layers


def test_backbone_is_frozen():
    network = build_backbone("vgg19", "untrained", width=0.02)
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_gradients_reach_a_float_input():
    network = build_backbone("vgg19", "untrained", width=0.02)
    x = network.normalise(picture()).requires_grad_()
    for _, phi in network.feature_maps(x, (3, 12)):
        last = phi
    last.sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(("padding", "fits"), [("zeros", 16), ("reflect", 32)])
def test_smallest_image_for_the_deepest_layer(padding, fits):
    network = build_backbone("vgg19", "untrained", width=0.02, padding=padding)
    assert own_maps(network, picture(1, fits, fits), (16,), keep_padding=padding == "reflect")
    with pytest.raises(DFRError, match="too small for layer 16; use a larger image_size"):
        own_maps(network, picture(1, fits - 1, fits), (16,))


def test_the_fingerprint_is_that_of_the_layers_used_and_sees_the_normalisation(tmp_path):
    whole = build_backbone("vgg19", "untrained", width=0.05)
    assert whole.fingerprint(3) == build_backbone("vgg19", "untrained", width=0.05, last=3).fingerprint() != whole.fingerprint()
    file = tmp_path / "w.safetensors"
    save_file({f"features.{k}": v.contiguous() for k, v in build_backbone("vgg19", "untrained").stack.state_dict().items()}, file)
    read = build_backbone("vgg19", str(file), last=3)  # the same weights, but pixels are normalised as for ImageNet's
    assert torch.equal(read.stack[0].weight, build_backbone("vgg19", "untrained", last=3).stack[0].weight)
    assert read.fingerprint() != build_backbone("vgg19", "untrained", last=3).fingerprint()


def test_the_fingerprint_is_of_every_tensor_used():
    """With batch norm behind the convolutions of layers 1 and 3, other statistics there are another network."""
    plain = build_backbone("vgg19", "untrained", width=0.05, last=4)
    conv_1, relu_1, conv_2, relu_2, pooling, conv_3, *rest = plain.stack
    norms = [nn.BatchNorm2d(convolution.out_channels) for convolution in (conv_1, conv_3)]
    normed = copy.deepcopy(plain)
    normed.stack = nn.Sequential(conv_1, norms[0], relu_1, conv_2, relu_2, pooling, conv_3, norms[1], *rest).eval()
    assert len(own_maps(normed, picture(1), (1, 2, 3, 4))) == 4
    assert normed.fingerprint() != plain.fingerprint()
    for name in ("weight", "bias", "running_mean", "running_var"):
        before = {last: normed.fingerprint(last) for last in (1, 2, 3, 4)}
        getattr(norms[1], name).data[0] += 0.5
        assert [normed.fingerprint(last) == before[last] for last in (1, 2, 3, 4)] == [True, True, False, False], name
        getattr(norms[0], name).data[0] += 0.5
        assert normed.fingerprint(1) != before[1], name


def test_vgg16_goes_through_the_whole_method_and_a_file(images, tmp_path):
    settings = Settings(
        backbone="vgg16", image_size=64, weights="untrained", width=0.05, layers="1:13", latent_dim=4, positions=8, steps=2
    )
    detector = DFR(settings, device="cpu", progress=False).fit(images[:2])
    assert detector.c_o_ == settings.architecture.feature_dimension("1:13", 0.05)
    detector.save(tmp_path / "model.safetensors")
    loaded = DFR.load(tmp_path / "model.safetensors", device="cpu")
    assert loaded.settings == settings and (loaded.anomaly_map(images[:1]) == detector.anomaly_map(images[:1])).all()


def test_a_model_file_from_before_there_was_a_choice_of_backbones_is_read(images, tmp_path):
    settings = Settings(image_size=64, weights="untrained", width=0.05, layers="1:4", latent_dim=4, positions=8, steps=2)
    detector = DFR(settings, device="cpu", progress=False).fit(images[:2])
    detector.save(tmp_path / "new.safetensors")
    tensors, about = load_tensors(tmp_path / "new.safetensors")
    old = json.loads(about["settings"])
    assert old.pop("backbone") == "vgg19"
    save_tensors(tmp_path / "old.safetensors", tensors, about | {"settings": json.dumps(old)})
    loaded = DFR.load(tmp_path / "old.safetensors", device="cpu")
    assert loaded.settings == settings and (loaded.anomaly_map(images[:1]) == detector.anomaly_map(images[:1])).all()

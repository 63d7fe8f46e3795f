"""Section III-A: VGG19's sixteen ReLU maps, its paddings and its weights."""

from __future__ import annotations

import hashlib
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torchvision.models import vgg19

from dfr_core import DFR
from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.backbones.weights import build_backbone, imagenet_cache
from dfr_core.errors import DFRError
from dfr_core.settings import Settings

ALL = tuple(range(1, 17))
VGG19 = architecture("vgg19")


@pytest.fixture(scope="module")
def torchvision_network():
    """torchvision's own VGG19 with random values; its classifier, 120 million values, is cut down."""
    with torch.device("meta"):
        network = vgg19(weights=None)
    network.classifier = nn.Sequential(nn.Linear(4, 2))
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        scale = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.05
        parameter.data.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def weights_folder(torchvision_network, tmp_path_factory):
    """The same state dict in every form a user may have it."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(torchvision_network.state_dict(), folder / "full.pth")
    save_file(torchvision_network.features.state_dict(), folder / "features.safetensors")
    return folder


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


@pytest.mark.parametrize("file", ["full.pth", "features.safetensors"])
def test_every_map_equals_torchvisions(torchvision_network, weights_folder, file):
    images = picture()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = relu_maps(torchvision_network.features, (images / 255 - mean) / std)
    found = own_maps(build_backbone("vgg19", str(weights_folder / file)), images)
    assert list(found) == list(ALL)
    for layer, phi in enumerate(expected, start=1):
        assert found[layer].shape == phi.shape
        assert torch.allclose(found[layer], phi, rtol=1e-4, atol=1e-5 * float(phi.abs().max())), f"layer {layer}"


def test_other_forms_of_the_same_weights_give_the_same_network(torchvision_network, weights_folder, tmp_path, monkeypatch):
    torch.save(torchvision_network.features.state_dict(), tmp_path / "features.pt")
    save_file(torchvision_network.state_dict(), tmp_path / "full.safetensors")
    files = [weights_folder / "full.pth", weights_folder / "features.safetensors", tmp_path / "features.pt", tmp_path / "full.safetensors"]
    prints = {build_backbone("vgg19", str(file), last=4).fingerprint() for file in files}
    monkeypatch.setenv("DFR_VGG19_WEIGHTS", str(files[0]))
    prints.add(build_backbone("vgg19", "imagenet", last=4).fingerprint())
    assert len(prints) == 1


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


def test_untrained_weights_are_golden():
    """The same on every machine: numpy's PCG64 in float64, then rounded to float32."""
    network = build_backbone("vgg19", "untrained", width=0.125)
    assert network.fingerprint() == "ef575f4d271df774"
    assert network.fingerprint(12) == build_backbone("vgg19", "untrained", width=0.125, last=12).fingerprint() == "2d1d486fc2396747"
    assert build_backbone("vgg19", "untrained", width=0.125, padding="reflect").fingerprint() == network.fingerprint()
    assert build_backbone("vgg19", "untrained", width=0.125, seed=1).fingerprint() != network.fingerprint()
    # A shorter network is the beginning of the longer one.
    short = build_backbone("vgg19", "untrained", width=0.125, last=5)
    assert all(torch.equal(value, network.stack.state_dict()[name]) for name, value in short.stack.state_dict().items())


def test_untrained_weights_are_he_behind_the_first_block():
    state = build_backbone("vgg19", "untrained", width=0.25).stack.state_dict()
    for name, weight in state.items():
        if name.endswith("bias"):
            assert not weight.any()
        elif name in ("0.weight", "2.weight"):
            assert (weight >= 0).all() and torch.allclose(weight.sum((1, 2, 3)), torch.ones(len(weight)))
        else:
            assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.05)


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


# ---- ImageNet weights: cache, checksum, download ------------------------------------------------------


@pytest.fixture
def fake_release(weights_folder, tmp_path, monkeypatch):
    """A torch hub folder, and a fabricated release whose checksum is known."""
    content = (weights_folder / "full.pth").read_bytes()
    name = f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.delenv("DFR_VGG19_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    release = type("Release", (), {"url": (weights_folder / "full.pth").as_uri().replace("full.pth", name)})
    monkeypatch.setattr("torchvision.models.VGG19_Weights", type("Weights", (), {"IMAGENET1K_V1": release}))
    cache = tmp_path / "hub" / "checkpoints" / name
    assert imagenet_cache(VGG19) == cache
    return content, cache, weights_folder / name


def test_cached_imagenet_weights_are_verified_and_used(fake_release, weights_folder):
    content, cache, _ = fake_release
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    cached = build_backbone("vgg19", "imagenet", last=2)
    assert cached.fingerprint() == build_backbone("vgg19", str(weights_folder / "full.pth"), last=2).fingerprint()


def test_damaged_cache_is_told(fake_release):
    content, cache, _ = fake_release
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content[:-1])
    with pytest.raises(DFRError, match=f"{re.escape(str(cache))}: checksum .* the file is damaged, delete it"):
        build_backbone("vgg19", "imagenet", last=2)


def test_missing_imagenet_weights_are_downloaded_once(fake_release):
    content, cache, source = fake_release
    source.write_bytes(content)  # the "server" is a file:// address
    build_backbone("vgg19", "imagenet", last=2)
    assert cache.read_bytes() == content
    source.unlink()
    build_backbone("vgg19", "imagenet", last=2)


def test_download_with_a_wrong_checksum_leaves_nothing(fake_release):
    content, cache, source = fake_release
    source.write_bytes(content[:-1])
    with pytest.raises(DFRError, match="Three ways out"):
        build_backbone("vgg19", "imagenet", last=2)
    assert not cache.exists() and not list(cache.parent.iterdir())


def test_offline_names_three_ways_out(fake_release):
    _, cache, _ = fake_release
    with pytest.raises(DFRError) as caught:
        build_backbone("vgg19", "imagenet", last=2)
    message = str(caught.value)
    assert str(cache) in message and "DFR_VGG19_WEIGHTS" in message and "untrained" in message and "\n" not in message


def test_real_cache_path_is_torchvisions(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert imagenet_cache(VGG19) == tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth"


# ---- weights files that do not fit ---------------------------------------------------------------------


def test_imagenet_weights_are_for_full_width():
    with pytest.raises(DFRError, match="width 1 only"):
        build_backbone("vgg19", "imagenet", width=0.5)


def small_state(**changes) -> dict:
    return dict(build_backbone("vgg19", "untrained", width=0.02, last=2).stack.state_dict()) | changes


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (small_state(**{"2.weight": torch.zeros(3, 3)}), "2.weight has shape .3, 3., expected"),
        (small_state(**{"2.weight": torch.full((1, 1, 3, 3), float("nan"))}), "NaN or infinite"),
        ({"a": torch.zeros(1)}, "has no 0.weight"),
        ({1: torch.zeros(1)}, "has no 0.weight"),
        ([torch.zeros(1)], "holds a list"),
    ],
)
def test_state_dicts_that_do_not_fit(tmp_path, state, match):
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    with pytest.raises(DFRError, match=match) as caught:
        build_backbone("vgg19", str(file), width=0.02, last=2)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_half_precision_weights_are_taken(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({name: tensor.half() for name, tensor in small_state().items()}, file)
    assert build_backbone("vgg19", str(file), width=0.02, last=2).stack[0].weight.dtype == torch.float32


@pytest.mark.parametrize("name", ["missing.pth", "noise.pth", "noise.safetensors", "noise.pt"])
def test_unreadable_files(tmp_path, name):
    file = tmp_path / name
    if "noise" in name:
        file.write_bytes(b"\x80\x04not a state dict")
    with pytest.raises(DFRError) as caught:
        build_backbone("vgg19", str(file), width=0.02, last=2)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


class Evil:
    """Unpickling one of these writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_weights_file_is_not_run(tmp_path):
    file, victim = tmp_path / "weights.pth", tmp_path / "victim"
    torch.save({"0.weight": Evil(victim)}, file)
    with pytest.raises(DFRError, match="cannot be read as a state dict"):
        build_backbone("vgg19", str(file), width=0.02, last=2)
    assert not victim.exists()


def test_the_fingerprint_is_that_of_the_layers_used_and_sees_the_normalisation(tmp_path):
    whole = build_backbone("vgg19", "untrained", width=0.05)
    assert whole.fingerprint(3) == build_backbone("vgg19", "untrained", width=0.05, last=3).fingerprint() != whole.fingerprint()
    file = tmp_path / "w.safetensors"
    save_file({f"features.{k}": v.contiguous() for k, v in build_backbone("vgg19", "untrained").stack.state_dict().items()}, file)
    read = build_backbone("vgg19", str(file), last=3)  # the same weights, but pixels are normalised as for ImageNet's
    assert torch.equal(read.stack[0].weight, build_backbone("vgg19", "untrained", last=3).stack[0].weight)
    assert read.fingerprint() != build_backbone("vgg19", "untrained", last=3).fingerprint()

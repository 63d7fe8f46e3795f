"""Where a backbone's weights come from: names, files, the cache and the download; and what does not fit."""

from __future__ import annotations

import hashlib
import re

import pytest
import torch
from safetensors.torch import save_file

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.weights import WEIGHTS, build_backbone, imagenet_cache, in_words
from dfr_core.errors import DFRError
from dfr_core.settings import Settings

VGG19 = architecture("vgg19")


def test_other_forms_of_the_same_weights_give_the_same_network(torchvision_networks, weights_folder, tmp_path, monkeypatch):
    network = torchvision_networks["vgg19"]
    torch.save(network.features.state_dict(), tmp_path / "features.pt")
    save_file(network.state_dict(), tmp_path / "full.safetensors")
    files = [weights_folder / "full.pth", weights_folder / "features.safetensors", tmp_path / "features.pt", tmp_path / "full.safetensors"]
    prints = {build_backbone("vgg19", str(file), last=4).fingerprint() for file in files}
    monkeypatch.setenv("DFR_VGG19_WEIGHTS", str(files[0]))
    prints.add(build_backbone("vgg19", "imagenet", last=4).fingerprint())
    assert len(prints) == 1


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


# ---- ImageNet weights: cache, checksum, download ------------------------------------------------------


@pytest.fixture
def fake_release(weights_folder, tmp_path, monkeypatch):
    """A torch hub folder, and a fabricated release whose checksum is known."""
    content = (weights_folder / "full.pth").read_bytes()
    name = f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.delenv("DFR_VGG19_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    release = type("Release", (), {"url": (tmp_path / name).as_uri()})
    monkeypatch.setattr("torchvision.models.VGG19_Weights", type("Weights", (), {"IMAGENET1K_V1": release}))
    cache = tmp_path / "hub" / "checkpoints" / name
    assert imagenet_cache(VGG19) == cache
    return content, cache, tmp_path / name


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
    with pytest.raises(DFRError, match="three ways out"):
        build_backbone("vgg19", "imagenet", last=2)
    assert not cache.exists() and not list(cache.parent.iterdir())


def test_offline_names_three_ways_out(fake_release):
    _, cache, _ = fake_release
    with pytest.raises(DFRError) as caught:
        build_backbone("vgg19", "imagenet", last=2)
    message = str(caught.value)
    assert str(cache) in message and "DFR_VGG19_WEIGHTS" in message and "distilled" in message and "\n" not in message


def test_real_cache_path_is_torchvisions(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert imagenet_cache(VGG19) == tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth"
    assert imagenet_cache(architecture("vgg16")) == tmp_path / "checkpoints" / "vgg16-397923af.pth"


def test_each_network_has_its_own_variable_for_imagenet_weights(weights_folder, monkeypatch):
    monkeypatch.setenv("DFR_VGG19_WEIGHTS", str(weights_folder / "full.pth"))
    monkeypatch.setenv("DFR_VGG16_WEIGHTS", str(weights_folder / "vgg16.pth"))
    for name, file in (("vgg19", "full.pth"), ("vgg16", "vgg16.pth")):
        read = build_backbone(name, str(weights_folder / file), last=2)
        assert build_backbone(name, "imagenet", last=2).fingerprint() == read.fingerprint()
    monkeypatch.setenv("DFR_VGG16_WEIGHTS", "gone.pth")
    with pytest.raises(DFRError, match="^DFR_VGG16_WEIGHTS: gone.pth is not a file"):
        build_backbone("vgg16", "imagenet", last=2)


@pytest.mark.parametrize(
    ("name", "file", "match"),
    [
        ("vgg19", "vgg16.pth", r"vgg16.pth has no features.16.weight; it is not a VGG19 state dict"),
        ("vgg16", "full.pth", r"full.pth has no features.17.weight; it is not a VGG16 state dict"),
    ],
)
def test_weights_of_the_other_network_are_told(weights_folder, name, file, match):
    with pytest.raises(DFRError, match=match):
        build_backbone(name, str(weights_folder / file))


def test_a_wrong_shape_asks_for_the_other_networks(tmp_path):
    file = tmp_path / "w.pth"
    torch.save(small_state(), file)
    for name, other in (("vgg19", "VGG16"), ("vgg16", "VGG19")):
        with pytest.raises(DFRError, match=rf"is it another network \({other}, batch norm\) or another width"):
            build_backbone(name, str(file), width=0.5, last=2)


def test_weights_in_words(tmp_path):
    assert list(WEIGHTS) == ["imagenet", "distilled", "untrained"]
    assert in_words(Settings()) == "ImageNet VGG19, full width"
    assert in_words(Settings(weights="distilled", width=0.125)) == "distilled VGG19, 1/8 width"
    assert in_words(Settings(backbone="vgg16", weights="untrained", width=0.25)) == "untrained VGG16, 1/4 width"
    assert in_words(Settings(weights=str(tmp_path / "w.pth"))) == "weights w.pth VGG19, full width"


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

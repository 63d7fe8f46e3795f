"""CNN-FD: its score against the sum written out, a dictionary worked out by hand, and the two ways to describe a patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_images
from hypothesis import given
from hypothesis import strategies as st

from dfr_core import DFRError, load_detector, method
from dfr_core.backbones.resnet import ResNet18
from dfr_core.extract import Extractor
from dfr_core.methods.cnn_fd import CNNFD, CNNFDSettings, Dictionary
from dfr_core.methods.descriptors import PatchByPatch, describe

CPU = torch.device("cpu")
TINY_FD = CNNFDSettings(
    image_size=64, backbone="vgg19", weights="untrained", width=0.05, padding="reflect", layer=4, cut=False, stride=8, clusters=8
)


def fit(settings, images):
    return CNNFD(settings, device="cpu", progress=False).fit(images)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 7), st.integers(1, 9), st.integers(0, 99))
def test_scores_are_the_sum_written_out(c, d, words, nearest, seed):
    random = torch.Generator().manual_seed(seed)
    dictionary = Dictionary(*(torch.randn(shape, generator=random) for shape in ((c,), (d, c), (words, d))))
    descriptors = torch.randn(5, c, generator=random)
    found = dictionary.scores(descriptors, nearest)
    torch.testing.assert_close(found, dictionary.scores_by_hand(descriptors, nearest), rtol=1e-5, atol=1e-5)


def test_a_dictionary_worked_out_by_hand():
    """Two heaps on a line in the plane: one component, the words are the middle members, and a stranger is as far as it is."""
    heap = np.array([[-1.0, 0], [0, 0], [1, 0]], np.float32)
    descriptors = np.concatenate([heap, heap + [10, 0]])
    dictionary = Dictionary.learnt(descriptors, replace(TINY_FD, clusters=2))
    assert dictionary.components.abs().tolist() == [[1, 0]] and dictionary.mean.tolist() == [5, 0]
    assert sorted(dictionary.words.abs().flatten().tolist()) == [5, 5]
    asked = torch.tensor([[0.0, 0], [10, 0], [3, 0], [20, 0]])
    torch.testing.assert_close(dictionary.scores(asked, 1), torch.tensor([0.0, 0, 3, 10]))
    torch.testing.assert_close(dictionary.scores(asked, 2), torch.tensor([5.0, 5, 5, 15]))


def test_words_are_descriptors_of_normal_patches(images):
    detector = fit(replace(TINY_FD, patches=10**6), images)
    descriptors = detector.extractor(images).dense().flatten(0, 2)
    z = (descriptors - detector.model.mean) @ detector.model.components.T
    assert torch.cdist(detector.model.words, z).min(1).values.max() < 1e-3
    assert len(detector.model.words) == 8 and detector.anomaly_map(images).min() < 1e-3


def test_the_share_of_the_variance_is_kept(images):
    kept = [len(fit(replace(TINY_FD, variance=share), images).model.components) for share in (0.5, 0.999, 1)]
    assert kept[0] < kept[1] < kept[2] == round(0.05 * 128)


def test_fewer_patches_than_words():
    same = torch.full((2, 3, 64, 64), 90, dtype=torch.uint8)
    detector = fit(TINY_FD, same)
    words = detector.model.words  # patches of one colour are equal but for rounding
    assert torch.pdist(torch.cat([words, words[:1]])).max() < 1e-5 and detector.anomaly_map(same).max() < 1e-3
    two = np.eye(4, dtype=np.float32)[np.arange(20) % 2]
    assert len(Dictionary.learnt(two, replace(TINY_FD, clusters=5)).words) == 2
    assert detector.anomaly_map(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)).mean() > 0.01


@pytest.mark.parametrize("side", [64, 72])
def test_one_pass_averages_the_map_over_each_patch(side):
    """Without cutting, a descriptor is the mean of the layer's map over the pixels of the patch."""
    images, s = make_images(2, side), replace(TINY_FD, layer=2)
    extractor = Extractor(s, CPU)
    ((_, phi),) = extractor.backbone.feature_maps(images, (2,))
    dense = extractor(images).dense()
    for i, j in ((0, 0), (3, 5), (dense.shape[1] - 1, dense.shape[2] - 1)):
        expected = phi[:, :, 8 * i : 8 * i + 16, 8 * j : 8 * j + 16].mean((2, 3))
        torch.testing.assert_close(dense[:, i, j], expected, rtol=1e-5, atol=1e-6)


def test_cut_patches_pass_alone():
    images, s = make_images(2), replace(TINY_FD, cut=True, padding="zeros")
    extractor = PatchByPatch(s, CPU)
    found = extractor(images).dense()
    for i, j in ((0, 0), (2, 6), (6, 6)):
        patch = images[:, :, 8 * i : 8 * i + 16, 8 * j : 8 * j + 16]
        ((_, phi),) = extractor.backbone.feature_maps(patch, (4,))
        torch.testing.assert_close(found[:, i, j], phi.mean((2, 3)), rtol=1e-5, atol=1e-6)


# ---- ResNet-18 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(weights=None).eval()
    file = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), file)
    return file, network


def test_resnet_is_torchvisions(resnet_file):
    file, theirs = resnet_file
    ours, images = ResNet18(str(file)), make_images(2)
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(describe(ours, 9, images), theirs(ours.normalise(images)))
    sides = [phi.shape[-1] for _, phi in ours.feature_maps(images, tuple(range(1, 10)))]
    assert sides == [32, 16, 16, 8, 8, 4, 4, 2, 2]


def test_resnet_weights_are_found_and_checked(resnet_file, tmp_path, monkeypatch):
    file, _ = resnet_file
    monkeypatch.setenv("DFR_ResNet18_WEIGHTS", str(file))
    assert ResNet18("imagenet").fingerprint() == ResNet18(str(file)).fingerprint() != ResNet18("untrained").fingerprint()
    assert ResNet18("untrained", 1).fingerprint() != ResNet18("untrained").fingerprint() == ResNet18("untrained").fingerprint()
    monkeypatch.setenv("DFR_ResNet18_WEIGHTS", str(tmp_path / "none.pth"))
    with pytest.raises(DFRError, match=r"none.pth is not a file"):
        ResNet18("imagenet")
    state = torch.load(file, weights_only=True)
    for changes in ({"conv1.weight": torch.zeros(1)}, {"layer9.weight": torch.zeros(1)}, {"bn1.weight": torch.full((64,), torch.nan)}):
        torch.save(state | changes, tmp_path / "odd.pth")
        with pytest.raises(DFRError, match=r"weights: .*odd.pth"):
            ResNet18(str(tmp_path / "odd.pth"))
    monkeypatch.delenv("DFR_ResNet18_WEIGHTS")
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no net")))
    with pytest.raises(DFRError, match="the ImageNet ResNet18 is not on this machine"):
        ResNet18("imagenet")


def test_the_papers_form_on_resnet(images, resnet_file, tmp_path):
    s = CNNFDSettings(image_size=64, weights=str(resnet_file[0]), stride=16, clusters=5)
    detector = fit(s, images[:3])
    assert detector.model.mean.shape == (512,)
    detector.save(tmp_path / "m")
    assert np.array_equal(load_detector(tmp_path / "m", device="cpu").anomaly_map(images), detector.anomaly_map(images))
    with pytest.raises(DFRError, match=r"fitted on a backbone with fingerprint .*; name the right weights with weights="):
        load_detector(tmp_path / "m", device="cpu", weights="untrained")


def test_use_extractor_shares_the_network(images):
    first = fit(TINY_FD, images)
    second = CNNFD(TINY_FD, device="cpu", progress=False).use_extractor(first.extractor).fit(images)
    assert second.extractor.backbone is first.extractor.backbone
    assert np.array_equal(second.anomaly_map(images), first.anomaly_map(images))


# ---- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"backbone": "resnet50"}, "backbone"),
        ({"layer": 17}, "layer: 17 is beyond 16"),
        ({"layer": 0}, "layer"),
        ({"cut": "no"}, "cut"),
        ({"kernel": 65}, "kernel: 65 exceeds image_size 64"),
        ({"nearest": 9}, "nearest: 9 exceeds clusters 8"),
        ({"variance": 0}, "variance"),
        ({"weights": ""}, "weights"),
        ({"precision": "fp8"}, "precision"),
        ({"backbone": "resnet18", "layer": 9}, "backbone: resnet18 needs cut=True"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings(changes, match):
    with pytest.raises(DFRError, match=match):
        replace(TINY_FD, **changes)


def test_editions():
    paper, embedded, quick = (method("CNN-FD").of_edition(name) for name in ("paper", "embedded", "quick"))
    assert (paper.backbone, paper.layer, paper.cut) == ("resnet18", 9, True)
    assert (paper.patches, paper.variance, paper.clusters) == (100_000, 0.95, 10)
    assert embedded.weights == quick.weights == "distilled" and quick.patches < embedded.patches
    assert CNNFD(quick, device="cpu").extractor.backbone.width == 0.125  # its network comes along

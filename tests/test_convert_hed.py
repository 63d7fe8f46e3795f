"""tools/convert_hed.py on a made-up Keras file of the right shapes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfr_core.distil.teacher import load_teacher
from dfr_core.errors import DFRError

TOOL = Path(__file__).parents[1] / "tools" / "convert_hed.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("convert_hed", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def keras(tool, tmp_path, monkeypatch):
    """A narrow network's file and the narrow blocks that it follows."""
    h5py = pytest.importorskip("h5py")
    blocks = tuple((4,) * len(block) for block in tool.BLOCKS)
    monkeypatch.setattr(tool, "BLOCKS", blocks)
    random, c_in = np.random.default_rng(0), 3
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for b, block in enumerate(blocks, start=1):
            for k, c_out in enumerate(block):
                name = f"block{b}/layers/conv2d{f'_{k}' if k else ''}/vars"
                file[f"{name}/0"] = random.normal(size=(3, 3, c_in, c_out)).astype(np.float32)
                file[f"{name}/1"] = random.normal(size=c_out).astype(np.float32)
                c_in = c_out
    return tmp_path / "w.h5"


def test_the_first_layer_takes_torchvisions_input(tool, keras):
    import h5py

    state = tool.convert(keras)
    with h5py.File(keras) as file:
        kernel, bias = (torch.from_numpy(file[f"block1/layers/conv2d/vars/{k}"][:]) for k in (0, 1))
    rgb = torch.randint(0, 256, (1, 3, 9, 9), generator=torch.Generator().manual_seed(0)).float()
    theirs = F.conv2d(rgb.flip(1) - torch.tensor(tool.MEAN_BGR).view(1, 3, 1, 1), kernel.permute(3, 2, 0, 1), bias)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (tool.VGG16.mean, tool.VGG16.std))
    ours = F.conv2d((rgb / 255 - mean) / std, state["features.0.weight"], state["features.0.bias"])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-2)


def test_the_file_is_a_teacher(tool, keras, tmp_path, capsys):
    assert tool.main([str(keras), str(tmp_path / "vgg16.safetensors")]) == 0
    assert "13 convolutions" in capsys.readouterr().out
    teacher = load_teacher(str(tmp_path / "vgg16.safetensors"))
    assert teacher.architecture.name == "vgg16" and teacher.architecture.channels() == (4,) * 13


def test_mistakes_are_one_line(tool, tmp_path, capsys):
    pytest.importorskip("h5py")
    (tmp_path / "no.h5").write_bytes(b"no hdf5")
    for source, out, word in (
        ("nowhere.h5", "o.safetensors", "no such file"),
        ("no.h5", "o.safetensors", "not a whole"),
        ("no.h5", "o.pth", ".safetensors"),
    ):
        assert tool.main([str(tmp_path / source), str(tmp_path / out)]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and word in message


def test_other_keras_files_are_refused(tool, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["block1/layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 7), np.float32)
    with pytest.raises(DFRError, match="shape"):
        tool.convert(tmp_path / "other.h5")


def test_a_missing_h5py_is_told(tool, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DFRError, match="pip install h5py"):
        tool.convert(tmp_path / "x.h5")

"""`dfr export`: the ONNX file gives what PyTorch gives, says what it is, and needs neither PyTorch nor this package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, make_images

from dfr_core import DFR, DFRError
from dfr_core.command import main
from dfr_core.files import load_tensors
from dfr_core.methods import METHODS, export
from dfr_core.settings import released

pytest.importorskip("onnx", reason="no onnx here; pip install '.[export]'")
pytest.importorskip("onnxscript", reason="no onnxscript here; pip install '.[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime here; pip install '.[export]'")

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "export.md"
CASES = {
    "whole": replace(TINY, padding="zeros", initialisation="pca"),
    "released": released(image_size=64, weights="untrained", width=0.02, layers="1:5", steps=4),
    "projected, vgg16": replace(TINY, projection=6, backbone="vgg16", layers="2,7", interpolation="bilinear", kernel=8, stride=2),
    "nothing divides": replace(
        TINY, image_size=61, layers="1:5", kernel=11, stride=4, map_interpolation="bilinear-aligned", score="squared"
    ),
    "wide": replace(TINY, image_size=(64, 96), layers="1:5"),
    "in tiles": replace(TINY, image_size=(32, 544), layers="1:3", stride=8, kernel=8),
    "one place": replace(TINY, layers="3", kernel=64, stride=64, positions=None),
}


def run(file: Path, images: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["anomaly_map", "image_score"], {"images": images})


@pytest.fixture(scope="module")
def model(tmp_path_factory, images) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    DFR(replace(TINY, layers="1:3"), device="cpu", progress=False).fit(images).save(path)
    return path


@pytest.fixture(scope="module")
def exported(model) -> Path:
    out = model.with_name("leather.onnx")
    assert main(["export", str(model), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("case", CASES)
def test_the_file_gives_what_pytorch_gives(case, tmp_path):
    settings = CASES[case]
    detector = DFR(settings, device="cpu", progress=False).fit(make_images(6, settings.image_size))
    said = export.export(detector, tmp_path / "part.onnx", {})
    assert 0 < said <= 1e-5
    new = make_images(3, settings.image_size, seed=5).numpy()
    for n in (1, 3):  # any number of images
        expected = detector.anomaly_map(new[:n])
        maps, scores = run(tmp_path / "part.onnx", new[:n])
        assert maps.dtype == scores.dtype == np.float32 and maps.shape == expected.shape
        np.testing.assert_array_equal(scores, maps.max((1, 2)))
        assert (abs(maps - expected).max((1, 2)) <= 1e-5 * expected.max((1, 2))).all()
    assert len(list(tmp_path.iterdir())) == 1  # one file, weights and all


def test_the_metadata_have_all_that_a_program_needs(model, exported):
    about = onnxruntime.InferenceSession(exported).get_modelmeta().custom_metadata_map
    detector = DFR.load(model, device="cpu")
    assert json.loads(about["thresholds"]) == {"0": detector.threshold(0), "0.005": detector.threshold(0.005)}
    assert json.loads(about["verdict_threshold"]) == detector.verdict_threshold()
    assert about["settings"] == detector.settings.to_json()
    words = load_tensors(model)[1]
    assert {name: about[name] for name in words} == words


def test_the_program_in_the_document(exported, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert len([line for line in code.splitlines() if line]) <= 15
    images = make_images(3, seed=7).numpy()
    np.save(tmp_path / "photographs.npy", images)
    (tmp_path / "leather.onnx").write_bytes(exported.read_bytes())
    code += "import sys\nprint(sorted({'torch', 'dfr_core', 'PIL', 'onnx'} & sys.modules.keys()))\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "[]" and len(lines) == 3
    for number, (line, score) in enumerate(zip(lines, run(exported, images)[1], strict=True)):
        assert re.match(rf"{number}: (anomalous|good), score {score:.4f}, ", line)


def test_what_the_command_says(model, tmp_path, capsys):
    assert main(["export", str(model), "--out", str(tmp_path / "new" / "part.onnx")]) == 0
    said = capsys.readouterr()
    assert "part.onnx: 0." in said.out and "images uint8 [N, 3, 64, 64] -> anomaly_map and image_score" in said.out and not said.err
    assert len(said.out.splitlines()) == 1


def test_a_file_that_differs_is_not_written(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    assert main(["export", str(model), "--out", str(tmp_path / "part.onnx")]) == 2
    assert "onnxruntime gives other scores than PyTorch" in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_what_the_exporter_cannot_write_is_one_line(model, tmp_path, monkeypatch, capsys):
    def fails(*_args, **_kwargs):
        raise torch.onnx.OnnxExporterError("step 1/3\nmany lines") from ValueError("no such operation: aten::new\nand more")

    monkeypatch.setattr(torch.onnx, "export", fails)
    assert main(["export", str(model), "--out", str(tmp_path / "m.onnx")]) == 2
    said = capsys.readouterr().err.strip()
    assert "cannot write this model (no such operation: aten::new)" in said and "\n" not in said
    assert not list(tmp_path.iterdir())


def test_another_method_is_refused(images, tmp_path):
    from test_methods import MeanColour, ToySettings

    detector = MeanColour(ToySettings(), device="cpu", progress=False).fit(images)
    with pytest.raises(DFRError, match="a model of the method mean colour; only DFR can be exported"):
        export.export(detector, tmp_path / "part.onnx", {})
    assert not any(tmp_path.iterdir())


def test_another_method_is_refused_by_the_command(images, tmp_path, monkeypatch, capsys):
    from test_methods import MeanColour, ToySettings

    monkeypatch.setitem(METHODS, MeanColour.name, "test_methods:MeanColour")
    MeanColour(ToySettings(), device="cpu", progress=False).fit(images).save(tmp_path / "m")
    assert main(["export", str(tmp_path / "m"), "--out", str(tmp_path / "part.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{tmp_path / 'm'}: a model of the method mean colour" in said
    assert not (tmp_path / "part.onnx").exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(model, missing, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", str(model), "--out", str(tmp_path / "part.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"needs {missing}, which is not installed; pip install" in said


@pytest.mark.parametrize(
    ("out", "message"),
    [("part.onx", "--out: .*part.onx must end in .onnx"), ("folder.onnx", "--out: .*folder.onnx is a folder"), ("m", "must end in .onnx")],
)
def test_where_it_cannot_be_written(model, out, message, tmp_path, capsys):
    (tmp_path / "folder.onnx").mkdir()
    assert main(["export", str(model), "--out", str(tmp_path / out)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_no_model_and_no_fit(tmp_path, capsys):
    assert main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "part.onnx")]) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(DFRError, match="not fitted"):
        export.export(DFR(TINY, device="cpu"), tmp_path / "part.onnx", {})

"""The command line, used as it is meant to be; what it answers to mistakes is in test_bad_input.py."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dfr_core import DFRError, Settings, __version__, edition, paper, released
from dfr_core.command import COMMANDS, main
from dfr_core.command.main import command, parser, spelling
from dfr_core.command.options import settings_from
from dfr_core.errors import Setting

FAST = ["--steps", "5", "--positions", "32"]


def run(*arguments: object) -> str:
    """Standard output of a command that must succeed."""
    out = io.StringIO()
    with redirect_stdout(out):
        code = main([str(argument) for argument in arguments])
    assert code == 0
    return out.getvalue()


def process(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **kwargs)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("DFR_EDITION", "DFR_DATA", "DFR_VGG19_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A small synthetic data set, made by the command line."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    line = run("make-data", folder, "--categories", "leather", "--train", 3, "--good", 1, "--defect", 1, "--quiet")
    assert f"dfr fit {folder} --category leather" in line
    return folder


@pytest.fixture(scope="session")
def model(data) -> Path:
    """A model fitted to it by the command line, with the embedded edition's network and image size."""
    path = data.parent / "leather.safetensors"
    line = run("fit", data, "--category", "leather", "--out", path, *FAST, "--quiet", "--edition", "embedded")
    assert line.startswith(f"{path}: DFR fitted to 3 images, c_o 432, c_d ") and "at FPR 0.005" in line and line.count("\n") == 1
    return path


# ------------------------------------------------------------------------------------------------- help


def test_no_command_shows_the_help():
    assert "commands:" in run() and run() == run("--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    text = run(name, "--help")
    assert text.startswith(f"usage: dfr {name} ")
    assert command(name).WORDS.split()[-1] in text


def test_help_and_version_load_no_torch():
    commands = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS if name != "bench")]
    code = f"import sys; from dfr_core.command import main; codes = [main(a) for a in {commands}]; assert codes == [0] * len(codes); "
    done = process(code + "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sys.modules.keys()")
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "dfr_core", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, f"dfr {__version__}")


# --------------------------------------------------------------------------------------------- settings


def settings_of(*options: str) -> Settings:
    return settings_from(parser().parse_args(["fit", "DATA", "--out", "MODEL", *options]))


SLIM = ["--layers", "1:2", "--weights", "untrained", "--width", "0.05"]
OTHER = {
    "backbone": "vgg16",
    "image_size": 128, "width": 0.5, "padding": "zeros", "layers": "1,5,12", "interpolation": "bilinear", "kernel": 3, "stride": 2,
    "latent_dim": 7, "variance": 0.5, "pca_samples": 9, "pca_images": 2, "hidden": "released", "batch_norm": True, "keep_padding": True,
    "initialisation": "centred", "loss": "squared", "score": "squared", "map_interpolation": "bilinear-aligned", "learning_rate": 0.5,
    "schedule": "onecycle", "batch_size": 2, "positions": 5, "epochs": 6, "steps": 8, "solve_samples": 9,
    "projection": 3, "precision": "tf32", "seed": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(Settings) if field.name != "weights"])
def test_every_setting_is_an_option(name):
    flag, value = f"--{name.replace('_', '-')}", OTHER[name]
    given = [flag] if value is True else [flag, str(value)]
    assert settings_of("--preset", "paper", "--padding", "reflect", *given) == paper(**{"padding": "reflect", name: value})


def test_every_setting_is_described():
    text = " ".join(run("fit", "--help").split())
    for field in fields(Settings):
        words = field.metadata["help"]
        assert words and "`" not in words
        assert " ".join(f"{words} [".split()) in text and f"{field.name}: {words}" in Settings.__doc__


def test_base_settings(monkeypatch):
    assert settings_of() == edition("embedded").settings
    assert settings_of("--edition", "quick", "--seed", "3") == replace(edition("quick").settings, seed=3)
    assert settings_of("--preset", "released", "--no-batch-norm") == released(batch_norm=False)
    monkeypatch.setenv("DFR_EDITION", "paper")
    assert settings_of() == Settings() == settings_of("--preset", "paper")
    assert settings_of("--edition", "quick") == edition("quick").settings


def test_none_and_all_mean_none():
    assert settings_of("--positions", "all", "--steps", "none").positions is None
    assert settings_of("--epochs", "10").steps is None, "else the edition's steps would override the epochs asked for"


def test_a_weights_file_is_kept_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_of("--weights", "vgg.pth").weights == str(tmp_path.resolve() / "vgg.pth")
    assert settings_of("--weights", "imagenet", "--width", "1").weights == "imagenet"


def test_messages_speak_of_options():
    spell = spelling({"width", "weights", "batch_size", "masks", "fpr", "train"})
    error = DFRError(Setting("width"), "2 is too much", ("set ", Setting("width", 1), " or ", Setting("weights", "untrained")))
    assert error.line(spell) == "--width: 2 is too much; set --width 1 or --weights untrained"
    assert str(error) == "width: 2 is too much; set width=1 or weights='untrained'"
    assert DFRError("", ("lower ", Setting("batch_size"))).line(spell) == "lower --batch-size"
    assert DFRError("a.png", "no mask", ("a 'masks' folder (", Setting("masks", ...), ") helps")).line(spell) == (
        "a.png: no mask; a 'masks' folder (--masks) helps"
    )
    assert DFRError(Path("model"), error).line(spell) == f"model: {error.line(spell)}", "the error underneath is spelled, too"
    assert DFRError(Setting("n_train"), "-1").line(spell) == "--train: -1"
    for untouched in (
        DFRError(Path("/data/batch_size/x.png"), "no such image"),
        DFRError("precision", ("use ", Setting("precision", "fp32"))),
        DFRError("masks", "shape"),
        DFRError("", "no colon here"),
    ):
        assert untouched.line(spell) == str(untouched)


# ------------------------------------------------------------------------------------------ there and back


def test_evaluate(model, data):
    from dfr_core import DFR, load_category

    report = json.loads(run("evaluate", model, data, "--category", "leather"))
    category, detector = load_category(data, "leather"), DFR.load(model)
    expected = detector.evaluate(category)
    for name in ("roc_auc", "pro_auc", "image_roc_auc"):
        assert report[name] == pytest.approx(expected[name])
    assert report["counts"].items() >= expected["counts"].items()
    assert report["counts"]["normal_images"] == 1 and report["counts"]["pixels"] == len(category.test) * 256 * 256
    good = detector.anomaly_map([sample.path for sample in category.test if sample.defect == "good"])
    assert report["fpr_on_normal_test_images"] == pytest.approx((good > detector.threshold()).mean(), abs=1e-6)
    assert report["seconds"] >= 0 and report["fps"] > 0
    assert report["settings"] == json.loads(detector.settings.to_json()) and report["edition"] is None, "--steps 5 is no edition"


def test_fit_calibrates_on_images_kept_from_training(data, tmp_path, capsys):
    from dfr_core import DFR

    small = [*SLIM, "--steps", "2"]
    kept = data / "leather" / "test" / "good"
    run("fit", data / "leather", "--out", tmp_path / "a.safetensors", *small, "--calibrate", kept)
    assert "training images are few" not in capsys.readouterr().err
    detector = DFR.load(tmp_path / "a.safetensors")
    assert detector.anomaly_map(str(kept)).max() == detector.threshold(0)
    assert main(["fit", str(data / "leather"), "--out", str(tmp_path / "b.safetensors"), "--calibrate", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such" in capsys.readouterr().err and not (tmp_path / "b.safetensors").exists()


def test_notes_and_quiet(data, tmp_path, capsys):
    small = [*SLIM, "--steps", "2"]
    run("fit", data / "leather", "--out", tmp_path / "a.safetensors", *small)
    notes = capsys.readouterr().err
    assert "dfr: features cached" in notes and "dfr: 3 training images are few" in notes
    run("fit", data / "leather", "--out", tmp_path / "a.safetensors", *small, "--memory-gb", "0")  # a model may be replaced
    assert "dfr: features recomputed" in capsys.readouterr().err
    run("fit", data / "leather", "--out", tmp_path / "b.safetensors", *small, "--quiet")
    assert capsys.readouterr().err == ""


def test_a_finished_checkpoint_gives_the_same_model(data, tmp_path):
    arguments = [*SLIM, "--steps", "4", "--quiet", "--checkpoint", tmp_path / "c.ckpt"]
    first = run("fit", data / "leather", "--out", tmp_path / "a.safetensors", *arguments)
    again = run("fit", data / "leather", "--out", tmp_path / "b.safetensors", *arguments)
    assert (tmp_path / "c.ckpt").is_file()
    assert first.split("threshold")[1] == again.split("threshold")[1]
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_own_photographs(tmp_path):
    random = np.random.default_rng(0)
    for name in ("normal/a.jpg", "normal/b.JPG", "suspects/c.png", "suspects/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(90, 110, (40, 60, 3), np.uint8)).save(tmp_path / name)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 5:20] = 1
    (tmp_path / "drawn").mkdir()
    Image.fromarray(mask).save(tmp_path / "drawn/c.png")
    model = tmp_path / "mine.safetensors"
    run("fit", tmp_path, "--out", model, *SLIM, "--steps", "2", "--quiet")
    where = ["--test", tmp_path / "suspects", "--masks", tmp_path / "drawn"]
    report = json.loads(run("evaluate", model, tmp_path, *where))
    assert report["category"] == tmp_path.name and report["counts"]["anomalous_images"] == 1 and report["counts"]["images"] == 2


# ------------------------------------------------------------------------------------------ the other commands


def test_info(monkeypatch, tmp_path, data):
    report = json.loads(run("info", "--json"))
    assert set(report) == {"versions", "machine", "cuda", "weights", "data", "edition", "cache", "advice"}
    assert report["versions"]["dfr-lab"] == __version__ and report["versions"]["torch"]
    assert report["edition"]["current"] == "embedded" and any("fetch-data" in line for line in report["advice"])
    text = run("info")
    assert "what to do" in text and __version__ in text and "embedded edition" in text

    monkeypatch.setenv("DFR_EDITION", "gold")
    monkeypatch.setenv("DFR_VGG19_WEIGHTS", str(tmp_path / "gone.pth"))
    monkeypatch.setenv("DFR_DATA", str(data))
    report = json.loads(run("info", "--json"))
    advice = "\n".join(report["advice"])
    assert "DFR_EDITION: 'gold'" in advice and "gone.pth, which is not a readable file" in advice and "lacks carpet" in advice
    assert report["weights"]["DFR_VGG19_WEIGHTS readable"] is False and report["data"]["categories"] == ["leather"]
    monkeypatch.setenv("DFR_DATA", str(tmp_path / "nowhere"))
    assert any("no such folder" in line for line in json.loads(run("info", "--json"))["advice"])


def test_statistics(data):
    (row,) = [json.loads(line) for line in run("statistics", data, "--json").splitlines()]
    assert row["category"] == "leather" and row["n_train"] == 3 and row["n_test"] == 1 + row["n_defect_types"]
    assert run("statistics", data).splitlines()[1].split()[:3] == ["leather", "3", str(row["n_test"])]


def test_fetch_data_says_where_to_get_it(tmp_path):
    assert "no archive here yet" in run("fetch-data", tmp_path / "mvtec")
    assert "CC BY-NC-SA" in (tmp_path / "mvtec/README-MVTec-AD.md").read_text()


# --------------------------------------------------------------------------------------------- interruptions


def test_an_interruption_is_one_line(data, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("dfr_core.methods.dfr.train", interrupt)
    assert main(["fit", str(data / "leather"), "--out", str(tmp_path / "x"), *FAST, "--layers", "1:2", "--quiet"]) == 130
    assert capsys.readouterr().err.strip() == "dfr: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_out_of_memory_is_one_line(data, tmp_path, monkeypatch, capsys):
    def exhaust(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr("dfr_core.methods.dfr.train", exhaust)
    assert main(["fit", str(data / "leather"), "--out", str(tmp_path / "x"), *FAST, "--layers", "1:2", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dfr: error: out of memory; use") and error.count("\n") == 1


def help_into(stdout: object) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # argparse swallows errors of writing
    command = [sys.executable, "-m", "dfr_core", "score", "--help"]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, env=environment)


@pytest.mark.skipif(os.name == "nt", reason="pipes behave otherwise on Windows")
def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = help_into(pipe)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = help_into(full)
    assert done.returncode == 2
    assert done.stderr.startswith("dfr: error: ") and "No space left" in done.stderr and done.stderr.count("\n") == 1

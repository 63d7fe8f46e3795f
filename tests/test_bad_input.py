"""Bad input, one row a kind: what a user does wrong, and the one line that the command line answers with.

Each row asserts exit code 2, exactly one line on standard error that names the file or option and says what
to do, nothing on standard output, and that not one file was made, changed or left behind.
"""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import tempfile
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.command import main

UNTRAINED = ["--weights", "untrained", "--width", "0.05"]
SMALL = [*UNTRAINED, "--layers", "1:3", "--image-size", "64", "--steps", "2", "--positions", "16", "--quiet"]


def picture(path: Path, seed: int = 0, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path


def mask(path: Path, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((side, side), np.uint8)
    values[10:20, 10:20] = 255
    Image.fromarray(values).save(path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A sound data set `data/cloth`, and a sound `model.safetensors` fitted to it."""
    root = tmp_path_factory.mktemp("good")
    cloth = root / "data" / "cloth"
    for k in range(2):
        picture(cloth / f"train/good/{k}.png", k)
    picture(cloth / "test/good/0.png", 5)
    picture(cloth / "test/cut/0.png", 6)
    mask(cloth / "ground_truth/cut/0_mask.png")
    assert main(["fit", str(root / "data"), "--category", "cloth", "--out", str(root / "model.safetensors"), *SMALL]) == 0
    return root


class Bench:
    """A folder with sound input, to be spoilt by a row of the table."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, monkeypatch
        self.data, self.cloth = root / "data", root / "data" / "cloth"
        self.model, self.out, self.image = root / "model.safetensors", root / "out", root / "data/cloth/test/cut/0.png"

    def fit(self, *options: str, data: Path | None = None, out: Path | None = None) -> list[str]:
        named = ["--category", "cloth"] if data is None else []
        return ["fit", str(data or self.data), *named, "--out", str(out or self.root / "new.safetensors"), *SMALL, *options]

    def score(self, *options: str, image: Path | None = None, out: Path | None = None) -> list[str]:
        return ["score", str(self.model), str(image or self.image), "--out", str(out or self.out), *options]

    def evaluate(self, *options: str) -> list[str]:
        return ["evaluate", str(self.model), str(self.data), "--category", "cloth", *options]

    def weights(self, state: object, *options: str) -> list[str]:
        torch.save(state, self.root / "w.pth")
        return self.fit("--weights", str(self.root / "w.pth"), *options)

    def resave(self, **about: str) -> None:
        """Rewrite the model with other words in its header."""
        with safe_open(self.model, framework="pt") as file:
            words = dict(file.metadata())
        save_file(load_file(self.model), self.model, words | about)


Spoil = Callable[[Bench], list[str]]


@dataclass(frozen=True)
class Row:
    """What is wrong, how it comes about (gives the arguments), and what the error says."""

    wrong: str
    spoil: Spoil
    says: tuple[str, ...]


ROWS: list[Row] = []


def row(wrong: str, *says: str) -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        ROWS.append(Row(wrong, spoil, says))
        return spoil

    return add


def option(wrong: str, *options: str, says: tuple[str, ...], command: str = "fit") -> None:
    ROWS.append(Row(wrong, lambda b: getattr(b, command)(*options), says))


# ------------------------------------------------------------------------------------------------ the data


@row("no such data set", "nowhere", "no such folder", "check the path")
def _(b):
    return b.fit(data=b.root / "nowhere")


@row("a file for a data set", "0.png", "is not a folder", "name a folder")
def _(b):
    return b.fit(data=b.image)


@row("an empty folder", "nothing", "no images here", "put png")
def _(b):
    (b.root / "nothing").mkdir()
    return b.fit(data=b.root / "nothing")


@row("a folder without images", "notes", "only a.txt", "put png")
def _(b):
    (b.root / "notes").mkdir()
    (b.root / "notes" / "a.txt").write_text("no image")
    return b.fit(data=b.root / "notes")


@row("an unknown category", "--category: 'velvet' is not in", "available: cloth")
def _(b):
    return ["fit", str(b.data), "--category", "velvet", "--out", str(b.out), *SMALL]


@row("a category that is a path", "--category: '../data/cloth'", "give the name of one folder")
def _(b):
    return ["fit", str(b.data), "--category", "../data/cloth", "--out", str(b.out), *SMALL]


@row("no category named", "holds categories", "name one of them with --category: cloth")
def _(b):
    return b.fit(data=b.data)


@row("no training images", "train/good", "no images here", "put png")
def _(b):
    for path in (b.cloth / "train/good").iterdir():
        path.unlink()
    return b.fit()


@row("an empty image file", "1.png", "the file is empty", "export it again")
def _(b):
    (b.cloth / "train/good/1.png").write_bytes(b"")
    return b.fit()


@row("a truncated image", "1.png", "cut short", "export it again")
def _(b):
    path = b.cloth / "train/good/1.png"
    path.write_bytes(path.read_bytes()[:5000])
    return b.fit()


@row("a text named .png", "1.png", "is not an image", "convert it")
def _(b):
    (b.cloth / "train/good/1.png").write_text("this is no image")
    return b.fit()


@row("an image of NaN", "2.tif", "not numbers", "save it as")
def _(b):
    Image.fromarray(np.full((64, 64), np.nan, np.float32)).save(b.cloth / "train/good/2.tif")
    return b.fit()


@row("blank training images", "training images", "blank")
def _(b):
    for k in range(2):
        Image.new("RGB", (64, 64), "grey").save(b.cloth / f"train/good/{k}.png")
    return b.fit("--padding", "reflect")


@row("a mask of another size", "0_mask.png", "wrong mask size 32 x 32", "draw the mask on the image")
def _(b):
    mask(b.cloth / "ground_truth/cut/0_mask.png", 32)
    return b.evaluate()


@row("a mask without image", "7_mask.png", "no test image", "remove the mask")
def _(b):
    mask(b.cloth / "ground_truth/cut/7_mask.png")
    return b.evaluate()


@row("masks of a kind of defect without images", "tear", "no test image", "remove the mask")
def _(b):
    mask(b.cloth / "ground_truth/tear/0_mask.png")
    return b.evaluate()


@row("two masks for an image", "second mask", "remove one")
def _(b):
    mask(b.cloth / "ground_truth/cut/0.png")
    return b.evaluate()


@row("a good image whose mask marks a defect", "marks a defect", "test/good/0.png", "move it or remove the mask")
def _(b):
    mask(b.cloth / "ground_truth/good/0_mask.png")
    return b.evaluate()


@row("a test image of no kind", "stray.png", "lies directly in 'test'", "put it into a folder")
def _(b):
    picture(b.cloth / "test/stray.png")
    return b.evaluate()


@row("no test images", "no test images", "add a 'test' folder")
def _(b):
    shutil.rmtree(b.cloth / "test")
    shutil.rmtree(b.cloth / "ground_truth")
    return b.evaluate()


@row("no anomalous test image", "data: no anomalous pixel", "add anomalous test images")
def _(b):
    shutil.rmtree(b.cloth / "test/cut")
    shutil.rmtree(b.cloth / "ground_truth")
    return b.evaluate()


@row("photographs without masks", "0.png", "has no mask", "--masks")
def _(b):
    picture(b.root / "mine/normal/0.png")
    picture(b.root / "mine/test/0.png")
    return ["evaluate", str(b.model), str(b.root / "mine")]


@row("photographs: masks without test images", "masks without test images", "add the folder")
def _(b):
    picture(b.root / "mine/0.png")
    mask(b.root / "mine/masks/0.png")
    return ["evaluate", str(b.model), str(b.root / "mine")]


option("masks of one's own for a category", "--masks", "x", says=("--test", "--masks", "photographs"), command="evaluate")


# ------------------------------------------------------------------------------------------- the settings

LAYERS = ("--layers:",)
option("layer 0", "--layers", "0", says=(*LAYERS, "'0'", "layers 1 to 16"))
option("layer 17", "--layers", "1:17", says=(*LAYERS, "'1:17'", "layers 1 to 16"))
option("layers in words", "--layers", "all", says=(*LAYERS, "'all'", "write '1:12'"))
option("layers in reverse", "--layers", "12:1", says=(*LAYERS, "'12:1'"))
option("too wide", "--width", "1.5", says=("--width: 1.5", "1 is the full VGG19"))
option("width nought", "--width", "0", says=("--width: 0.0",))
option("no steps", "--steps", "0", says=("--steps: 0", "at least 1"))
option("a negative batch", "--batch-size=-4", says=("--batch-size: -4", "at least 1"))
option("negative seed", "--seed=-1", says=("--seed: -1", "at least 0"))
option("endless seed", "--seed", "9" * 30, says=("--seed: 999", "2**63 - 1"))
option(
    "batch norm of a single feature", "--batch-norm", "--initialisation", "default", "--positions", "1", "--batch-size", "1",
    says=("--batch-norm:", "larger --batch-size"),
)  # fmt: skip
option("not a number", "--steps", "many", says=("--steps", "many", "dfr fit --help"))
option("not finite", "--learning-rate", "nan", says=("--learning-rate: nan", "positive"))
option("variance above 1", "--variance", "90", says=("--variance: 90", "the paper uses 0.9"))
option("filter larger than the image", "--kernel", "65", says=("--kernel: 65", "smaller mean filter"))
option("image too small", "--image-size", "8", "--layers", "1:16", says=("too small for layer 16", "larger --image-size"))
option("unknown padding", "--padding", "mirror", says=("--padding: 'mirror'", "zeros, reflect"))
option("kept padding that is not there", "--keep-padding", "--padding", "zeros", says=("--keep-padding:", "--padding reflect"))
option("two lengths of training", "--epochs", "3", says=("--steps:", "epochs", "give one"))
option("edition and preset", "--edition", "quick", "--preset", "paper", says=("--preset", "not allowed with", "--edition"))
option("unknown edition", "--edition", "gold", says=("--edition", "gold", "embedded"))
option("unknown preset", "--preset", "gold", says=("--preset", "gold", "released"))
option("unknown option", "--layer", "3", says=("--layer", "dfr"))
option("no such GPU", "--device", "cuda:99", says=("--device: 'cuda:99'", "not on this machine", "--device cpu"))
option("no device", "--device", "toaster", says=("--device: 'toaster'", "'cpu' or 'cuda'"))
option("unsupported device", "--device", "meta", says=("--device: 'meta'", "not supported"))
option("half precision on CPU", "--precision", "bf16", "--device", "cpu", says=("--precision: 'bf16'", "needs CUDA", "--precision fp32"))
option("negative memory", "--memory-gb=-1", says=("--memory-gb: -1",))
option("endless memory", "--memory-gb", "inf", says=("--memory-gb: inf",))


@row("an unknown edition in the environment", "DFR_EDITION: 'gold'", "quick, embedded, paper")
def _(b):
    b.patch.setenv("DFR_EDITION", "gold")
    return b.fit()


# -------------------------------------------------------------------------------------------- the weights

option("weights file missing", "--weights", "nowhere.pth", says=("--weights:", "nowhere.pth", "is not a file", "'untrained'"))
option("ImageNet weights for a slim network", "--weights", "imagenet", says=("--width:", "width 1 only", "--weights distilled"))


def slim_vgg(last: int = 3) -> dict[str, torch.Tensor]:
    return {f"features.{k}": v.clone() for k, v in VGG(architecture("vgg19"), 0.05, last=last).stack.state_dict().items()}


@row("a tensor for a state dict", "w.pth", "holds a Tensor", "save model.state_dict()")
def _(b):
    return b.weights(torch.zeros(3))


@row("a state dict of another network", "w.pth", "no features.0.weight", "not a VGG19")
def _(b):
    return b.weights({"features.conv.weight": torch.zeros(3)})


@row("a VGG16", "w.pth", "no features.16.weight", "not a VGG19")
def _(b):
    # Convolutions of VGG16 stand at 0 2 5 7 10 12 14 17 19 21 ...: up to 14 as in VGG19, then a pooling where VGG19 has its eighth.
    return b.weights({k: v for k, v in slim_vgg(8).items() if ".16." not in k}, "--layers", "1:8")


@row("weights of another width", "w.pth", "has shape", "another width")
def _(b):
    return b.weights(slim_vgg(), "--width", "0.1")


@row("truncated weights", "w.pth", "cannot be read", "truncated")
def _(b):
    arguments = b.weights(slim_vgg())
    path = b.root / "w.pth"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return arguments


@row("NaN among the weights", "w.pth", "features.2.weight", "NaN", "damaged")
def _(b):
    state = slim_vgg()
    state["features.2.weight"][0] = torch.nan
    return b.weights(state)


class Malicious:
    """Code that runs when a pickle of it is loaded: it would make a file (and the row would fail)."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@row("weights with code inside", "w.pth", "cannot be read")
def _(b):
    return b.weights({"features.0.weight": Malicious(b.root / "the-code-ran")})


@row("a bare pickle with code inside", "w.pkl", "cannot be read")
def _(b):
    (b.root / "w.pkl").write_bytes(pickle.dumps(Malicious(b.root / "the-code-ran")))
    return b.fit("--weights", str(b.root / "w.pkl"))


@row("ImageNet weights without network", "vgg19-dcbb9e9d.pth", "copy", "DFR_VGG19_WEIGHTS", "--weights distilled")
def _(b):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    b.patch.delenv("DFR_VGG19_WEIGHTS", raising=False)
    b.patch.setattr(torch.hub, "get_dir", lambda: str(b.root / "hub"))
    b.patch.setattr(torch.hub, "download_url_to_file", offline)
    return b.fit("--weights", "imagenet", "--width", "1", "--layers", "1")


@row("damaged ImageNet weights", "vgg19-dcbb9e9d.pth", "checksum", "delete it and run again")
def _(b):
    b.patch.delenv("DFR_VGG19_WEIGHTS", raising=False)
    b.patch.setattr(torch.hub, "get_dir", lambda: str(b.root / "hub"))
    (b.root / "hub/checkpoints").mkdir(parents=True)
    (b.root / "hub/checkpoints/vgg19-dcbb9e9d.pth").write_bytes(b"half of it")
    return b.fit("--weights", "imagenet", "--width", "1", "--layers", "1")


@row("the weights variable names nothing", "DFR_VGG19_WEIGHTS:", "gone.pth is not a file", "unset it")
def _(b):
    b.patch.setenv("DFR_VGG19_WEIGHTS", str(b.root / "gone.pth"))
    return b.fit("--weights", "imagenet", "--width", "1", "--layers", "1")


# ---------------------------------------------------------------------------------------------- the model


@row("no such model", "model.safetensors", "no such file")
def _(b):
    b.model.unlink()
    return b.score()


@row("a folder for a model", "model.safetensors", "a folder, not a file")
def _(b):
    b.model.unlink()
    b.model.mkdir()
    return b.score()


@row("a truncated model", "model.safetensors", "not a whole safetensors file", "truncated")
def _(b):
    b.model.write_bytes(b.model.read_bytes()[:-100])
    return b.score()


@row("an empty model", "model.safetensors", "not a whole safetensors file")
def _(b):
    b.model.write_bytes(b"")
    return b.evaluate()


@row("an image for a model", "model.safetensors", "not a whole safetensors file")
def _(b):
    shutil.copy(b.image, b.model)
    return b.score()


@row("somebody else's safetensors file", "model.safetensors", "not a DFR model", "`dfr fit --out`")
def _(b):
    save_file({"x": torch.zeros(3)}, b.model)
    return b.score()


@row("a model of another format version", "model.safetensors", "format version 99", "fit the model again")
def _(b):
    b.resave(format_version="99")
    return b.evaluate()


@row("a model with parts missing", "model.safetensors", "damaged", "fit the model again")
def _(b):
    with safe_open(b.model, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(b.model)
    del tensors["normal_tail"]
    save_file(tensors, b.model, about)
    return b.score()


@row("a model whose settings are no JSON", "model.safetensors", "damaged", "fit the model again")
def _(b):
    b.resave(settings="{")
    return b.score()


@row("a model of another backbone", "model.safetensors", "fingerprint 0123456789abcdef", "--weights")
def _(b):
    b.resave(weights_fingerprint="0123456789abcdef")
    return b.score()


# --------------------------------------------------------------------------------------------- the targets


@row("the target is a folder", "--out:", "is a folder", "name a file in it")
def _(b):
    return b.fit(out=b.data)


@row("the target's folder is a file", "--out:", "model.safetensors is not a folder", "another place")
def _(b):
    return b.fit(out=b.model / "new.safetensors")


@row("the target is a photograph", "--out:", "0.png", "is not a model", "choose another name")
def _(b):
    return b.fit(out=b.image)


@row("a folder without write permission", "--out:", "cannot be written to", "write permission")
def _(b):
    b.patch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, whom no permission stops
    return b.fit()


@row("a read-only disk, met at the end", "new.safetensors", "Read-only", "write permission")
def _(b):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    b.patch.setattr(tempfile, "mkstemp", refuse)
    return b.fit()


@row("a full disk at the last moment", "model.safetensors", "No space left", "free space")
def _(b):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    b.patch.setattr(os, "replace", refuse)
    return b.fit(out=b.model)  # the model that was there stays as it was


@row("checkpoint and model in one file", "--checkpoint:", "same file as --out", "name another")
def _(b):
    return b.fit("--checkpoint", str(b.root / "new.safetensors"))


@row("the checkpoint is a folder", "--checkpoint:", "is a folder")
def _(b):
    return b.fit("--checkpoint", str(b.data))


@row("a photograph for a checkpoint", "0.png", "not a whole safetensors file")
def _(b):
    return b.fit("--checkpoint", str(b.image))


@row("no target", "--out", "required")
def _(b):
    return ["fit", str(b.data), "--category", "cloth"]


@row("the folder for the maps is a file", "--out:", "model.safetensors is not a folder", "another place")
def _(b):
    return b.score(out=b.model)


@row("the folder for the maps is below a file", "--out:", "model.safetensors is not a folder")
def _(b):
    return b.score(out=b.model / "deeper" / "still")


@row("the maps would lie among the images", "--out:", "folder of the images", "name another")
def _(b):
    return b.score(image=b.image.parent, out=b.image.parent)


@row("a full disk while a map is written", "0_map.tif", "No space left", "free space")
def _(b):
    def fill(path, *_, **__):
        Path(path).write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    b.patch.setattr("dfr_core.command.pictures.write_picture", fill)
    return b.score()


# ------------------------------------------------------------------------------------ the other arguments


@row("nothing to score", "IMAGE", "required", "dfr score --help")
def _(b):
    return ["score", str(b.model), "--out", str(b.out)]


@row("a missing image", "gone.png", "no such image", "check the path")
def _(b):
    return b.score(image=b.root / "gone.png")


@row("a folder of no images to score", "nothing", "no images here", "put png")
def _(b):
    (b.root / "nothing").mkdir()
    return b.score(image=b.root / "nothing")


@row("a damaged image to score", "0.png", "cut short", "export it again")
def _(b):
    b.image.write_bytes(b.image.read_bytes()[:5000])
    return b.score()


for wrong, value in (("an FPR above the kept tail", "0.5"), ("a negative FPR", "-0.1"), ("an FPR that is no number", "nan")):
    option(wrong, f"--fpr={value}", says=(f"--fpr: {value}", "[0, 0.05]"), command="score")
option("an FPR in words", "--fpr", "low", says=("--fpr", "low"), command="evaluate")
option("score on a GPU that is not there", "--device", "cuda:99", says=("--device: 'cuda:99'", "--device cpu"), command="score")


@row("an unknown synthetic category", "category: 'velvet'", "choose from carpet")
def _(b):
    return ["make-data", str(b.out), "--categories", "leather,velvet", "--quiet"]


@row("a negative number of images", "--train: -1", "1 or more")
def _(b):
    return ["make-data", str(b.out), "--categories", "leather", "--train=-1", "--quiet"]


@row("synthetic data over real data", "leather", "not synthetic data made here", "another folder")
def _(b):
    picture(b.out / "leather/train/good/0.png")
    (b.out / "README.txt").write_text("mine")
    return ["make-data", str(b.out), "--categories", "leather", "--quiet"]


@row("synthetic data into a file", "model.safetensors", "folder")
def _(b):
    return ["make-data", str(b.model), "--categories", "leather", "--quiet"]


@row("MVTec AD into a file", "model.safetensors", "is a file, not a folder")
def _(b):
    return ["fetch-data", str(b.model)]


@row("statistics of no data set", "holds no category", "MVTec AD's layout")
def _(b):
    return ["statistics", str(b.root)]


@row("no such command", "COMMAND", "train", "dfr --help")
def _(b):
    return ["train"]


# ----------------------------------------------------------------------------------------------- the test


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_table_is_long_enough():
    assert len({r.wrong for r in ROWS}) == len(ROWS) >= 30


@pytest.mark.parametrize("case", ROWS, ids=[r.wrong.replace(" ", "-") for r in ROWS])
def test_bad_input(case: Row, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, recwarn):
    for name in ("DFR_EDITION", "DFR_VGG19_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    arguments = case.spoil(Bench(tmp_path, monkeypatch))
    before = contents(tmp_path)
    capsys.readouterr()

    code = main(arguments)

    monkeypatch.undo()
    printed = capsys.readouterr()
    assert code == 2
    assert [str(warning.message) for warning in recwarn] == [], "a warning would be a second line"
    assert printed.out == ""
    assert printed.err.startswith("dfr: error: ") and printed.err.count("\n") == 1 and printed.err.endswith("\n"), printed.err
    for words in case.says:
        assert words in printed.err
    assert contents(tmp_path) == before

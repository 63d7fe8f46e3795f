"""The parts of `dfr bench` that compare variants side by side, with the goals of the project beside the figures."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..metrics import pro_auc, roc_auc
from ..settings import Settings
from .tools import alternate
from .variants import COMPONENTS, Variants, peak_memory

FEATURES = ("backbone", "compact_features", "dense_features", "literal_features")
SCORES = ("backbone", "score", "projected", "literal_score")


@dataclass
class Row:
    """One figure of the table.

    Attributes:
        part, case: what was measured.
        name: of the figure.
        value, unit: of it.
        goal: as a number; None if there is none.
        least: the goal is a lower bound, not an upper one.
    """

    part: str
    case: str
    name: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False


def features(quick: bool) -> list[Row]:
    """Regional features against the literal equations and the bare backbone."""
    return _compare("features", FEATURES, "literal_features", quick, _feature_goals)


def scores(quick: bool) -> list[Row]:
    """Image to full-size anomaly map, exact and projected, against the literal equations and the bare backbone."""
    return _compare("score", SCORES, "literal_score", quick, _score_goals) + _projected(quick)


def _projected(quick: bool) -> list[Row]:
    """The extension as docs/benchmark_notes.md has it for VGG16: as wide as its accuracy asks for, with the c_d of MVTec AD's bottle."""
    variants = Variants(
        "1:10", 1, 64 if quick else 256, backbone="vgg16", width=0.125 if quick else 1.0, padding="reflect", c_d=74, components=320
    )
    seconds = alternate({name: variants.run(name) for name in ("backbone", "score", "projected")}, 1 if quick else 10)
    case = "VGG16, layers 1:10, batch 1"
    ratios = {name: seconds[name] / seconds["backbone"] for name in ("score", "projected")}
    return [Row("score", case, f"{name}: of the backbone's time", x, "x", {"projected": 1.35}.get(name)) for name, x in ratios.items()]


def _feature_goals(name: str, layers: str) -> dict[str, float]:
    if name not in ("compact_features", "dense_features"):
        return {}
    return {"faster": 4.0 if layers == "1:12" else 5.0, "backbone": 1.25, "memory": 0.35}


def _score_goals(name: str, layers: str) -> dict[str, float]:
    return {"score": {"faster": 3.2, "memory": 0.35}, "projected": {"faster": 5.5, "backbone": 1.25}}.get(name, {})


def _compare(part: str, names: tuple[str, ...], literal: str, quick: bool, goals) -> list[Row]:
    rows = []
    side = 64 if quick else 256
    for layers in ("1:12", "1:16"):
        for batch in (1, 2 if quick else 8):
            case = f"layers {layers}, batch {batch}"
            variants = Variants(layers, batch, side, width=0.125 if quick else 1.0, exact=part == "score")
            runs = {name: variants.run(name) for name in names}
            seconds = alternate(runs, 3 if batch == 1 else 1, warm=batch == 1)
            light = quick or (batch > 1 and layers != "1:12")
            memory = {} if light else {n: peak_memory(n, layers=layers, batch=batch, side=side) for n in names}
            for name in names:
                goal = goals(name, layers)
                rows.append(Row(part, case, f"{name}: seconds an image", seconds[name] / batch, "s"))
                if name not in (literal, "backbone"):
                    rows.append(
                        Row(part, case, f"{name}: faster than literal", seconds[literal] / seconds[name], "x", goal.get("faster"), True)
                    )
                if name != "backbone":
                    rows.append(
                        Row(part, case, f"{name}: of the backbone's time", seconds[name] / seconds["backbone"], "x", goal.get("backbone"))
                    )
                if memory.get(name) is not None:
                    rows.append(Row(part, case, f"{name}: peak memory", memory[name], "MiB"))
                    if name not in (literal, "backbone"):
                        rows.append(
                            Row(part, case, f"{name}: of the literal's memory", memory[name] / memory[literal], "x", goal.get("memory"))
                        )
            if part == "score" and batch == 1:
                ours, theirs = runs["score"](), runs[literal]()
                difference = float(((ours - theirs).abs() / theirs.abs()).max())
                rows.append(Row(part, case, "score: relative difference from literal", difference, "", 1e-5))
            del variants, runs
    return rows


def metrics(quick: bool) -> list[Row]:
    """Exact metrics of 160 maps of 256 x 256 against one sort of all their scores."""
    n, side = (4, 64) if quick else (160, 256)
    random = np.random.default_rng(0)
    values = random.gamma(2.0, size=(n, side, side)).astype(np.float32)
    masks = np.zeros((n, side, side), dtype=bool)
    for image in range(0, n, 2):  # two round defects in every other image
        for _ in range(2):
            y, x = random.integers(0, side, 2)
            ys, xs = np.ogrid[:side, :side]
            masks[image] |= (ys - y) ** 2 + (xs - x) ** 2 < (side / 16) ** 2
    values[masks] += 2
    flat = torch.from_numpy(values).flatten()
    seconds = alternate(
        {
            "np.sort": lambda: np.sort(values, axis=None),
            "torch.sort": lambda: flat.sort(),
            "roc_auc": lambda: roc_auc(values, masks),
            "pro_auc": lambda: pro_auc(values, masks),
        },
        5,
    )
    case = f"{n} maps {side} x {side}"
    rows = [Row("metrics", case, f"{name}: seconds", value, "s") for name, value in seconds.items()]
    for name in ("roc_auc", "pro_auc"):
        for sort in ("np.sort", "torch.sort"):
            rows.append(Row("metrics", case, f"{name}: of one {sort}", seconds[name] / seconds[sort], "x", 1.5))
    return rows


def startup(quick: bool) -> list[Row]:
    """How long `dfr --help` and an import take."""

    def python(*code: str):
        return lambda: subprocess.run([sys.executable, *code], check=True, stdout=subprocess.DEVNULL)

    seconds = alternate(
        {
            "dfr --help": python("-m", "dfr_core", "--help"),
            "import torch": python("-c", "import torch"),
            "import dfr_core": python("-c", "import dfr_core"),
            "import the detector": python("-c", "from dfr_core import DFR"),
        },
        1 if quick else 5,
        warm=not quick,
    )
    goals = {"dfr --help": 0.5}
    rows = [Row("start-up", "", f"{name}: seconds", value, "s", goals.get(name)) for name, value in seconds.items()]
    for name, goal in (("import dfr_core", 1.1), ("import the detector", None)):
        rows.append(Row("start-up", "", f"{name}: of importing torch", seconds[name] / seconds["import torch"], "x", goal))
    return rows


def projected_settings(**changes: Any) -> Settings:
    """The extension at full width, trained in minutes: what `dfr bench` times as training."""
    return Settings(
        **{
            "weights": "untrained", "padding": "reflect", "projection": COMPONENTS, "pca_samples": 8192, "initialisation": "pca",
            "learning_rate": 2e-3, "schedule": "onecycle", "positions": 256, "steps": 400,
        }
        | changes
    )  # fmt: skip


def normal_images(n: int, side: int = 256) -> torch.Tensor:
    """Normal images, uint8 [n, 3, side, side]: 20 synthetic ones, shifted round and round for more."""
    from ..data.synthetic import make_image

    few = torch.stack([torch.from_numpy(make_image("leather", k)[0]).permute(2, 0, 1) for k in range(min(n, 20))])
    images = torch.stack([few[k % len(few)].roll((37 * (k // len(few)), 53 * (k // len(few))), (1, 2)) for k in range(n)])
    return images[:, :, :side, :side].contiguous()


def training(quick: bool) -> list[Row]:
    """Fitting the projected extension to a category of 200 images, features included."""
    from ..methods.dfr import DFR

    n = 8 if quick else 200
    images = normal_images(n, 64 if quick else 256)
    changes = {"width": 0.125, "projection": 32, "steps": 20, "positions": 32, "layers": "1:8", "image_size": 64} if quick else {}
    started = time.perf_counter()
    DFR(projected_settings(**changes), device="cpu", progress=False).fit(images)
    seconds = time.perf_counter() - started
    return [Row("training", f"projected, {n} images", "fit: seconds", seconds, "s", 180.0)]


PARTS = {"features": features, "score": scores, "metrics": metrics, "start-up": startup, "training": training}

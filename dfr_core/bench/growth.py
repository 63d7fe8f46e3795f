"""How the cost grows with images, image size, layers and latent dimension; the floor of FLOPs and bytes drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..backbones.architecture import Architecture
from ..device import load_average
from ..methods.flops import cae_flops, first_layer_saving
from ..plotting import BLUE, GREEN, RED
from .tools import alternate, bandwidth, peak_flops
from .variants import Variants, peak_memory

#: Panel -> axis label, and the points as arguments of Variants.
PANELS = {
    "images": ("images", [{"batch": n} for n in (1, 2, 4, 8)]),
    "side": ("side of the image, pixels", [{"side": n} for n in (128, 256, 512, 1024)]),
    "layers": ("layers 1 to l", [{"layers": f"1:{n}"} for n in (2, 4, 8, 12, 16)]),
    "c_d": ("latent dimension $c_d$", [{"c_d": n} for n in (50, 100, 200, 400)]),
}
QUICK = {
    "images": ("images", [{"batch": n} for n in (1, 2)]),
    "side": ("side of the image, pixels", [{"side": n} for n in (64, 96)]),
    "layers": ("layers 1 to l", [{"layers": f"1:{n}"} for n in (2, 4)]),
    "c_d": ("latent dimension $c_d$", [{"c_d": n} for n in (4, 8)]),
}
NAMES = {"score": "exact score", "projected": "projected (extension)", "backbone": "bare VGG19"}
COLOURS = {"score": BLUE, "projected": RED, "backbone": GREEN}
MEMORY = {"literal_score": "literal", "score": "exact score, tiles above 512", "projected": "projected"}


def run(out: Path, quick: bool) -> dict[str, Any]:
    """Measure, draw ``growth.png`` and return the numbers."""
    cpu = torch.device("cpu")
    flops, bytes_ = peak_flops(cpu, 512 if quick else 2048), bandwidth(cpu, 16 if quick else 256)
    panels = {name: measure(name, points, flops, bytes_, quick) for name, (_, points) in (QUICK if quick else PANELS).items()}
    memory = {} if quick else memory_by_side()
    numbers = {"peak_flops": flops, "bandwidth": bytes_, "load": load_average(), "panels": panels, "memory": memory}
    draw(out / "growth.png", numbers)
    return numbers


def measure(panel: str, points: list[dict[str, Any]], flops: float, bytes_: float, quick: bool) -> list[dict[str, Any]]:
    """Seconds of each variant at each point of a panel, and the floor."""
    rows = []
    for point in points:
        arguments = {"layers": "1:12", "batch": 1, "side": 64 if quick else 256, "c_d": 200, **point}
        variants = Variants(**arguments, width=0.125 if quick else 1.0)
        slow = arguments["side"] > 512 or arguments["batch"] > 2
        seconds = alternate({name: variants.run(name) for name in NAMES}, 1 if slow else 2, warm=not slow)
        (value,) = point.values()
        label = int(str(value).rpartition(":")[2])
        network, width = variants.settings.architecture, variants.settings.width
        rows.append({"at": label, **seconds, "floor": floor(network, arguments, flops, bytes_, width)})
    return rows


def floor(network: Architecture, arguments: dict[str, Any], flops: float, bytes_: float, width: float = 1.0) -> float:
    """Seconds of the exact score's own FLOPs at the rate of a large matrix product, or of its bytes if they take longer.

    Convolutions may be faster than that, where the library computes them with fewer products (Winograd).
    """
    layers, batch, side = arguments["layers"], arguments["batch"], arguments["side"]
    c_o = network.feature_dimension(layers, width)
    c_d = min(arguments["c_d"], c_o)
    work = network.flops(layers, side, width) + cae_flops(c_o, c_d, (side // 4) ** 2)
    work -= first_layer_saving(network, layers, c_d, side, width)
    moved = network.bytes_moved(layers, side, width) + 4.0 * c_o * (side // 4) ** 2
    return batch * max(work / flops, moved / bytes_)


def memory_by_side() -> list[dict[str, Any]]:
    """Peak MiB above the models of one image at each size; the literal score stops where it would take gigabytes."""
    return [
        {"at": side, **{name: peak_memory(name, "1:12", 1, side) for name in MEMORY if name != "literal_score" or side <= 512}}
        for side in (256, 512, 1024)
    ]


def draw(path: Path, numbers: dict[str, Any]) -> None:
    """The panels as one figure."""
    from matplotlib.figure import Figure

    from ..files import replacing

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for name, rows in numbers["panels"].items():
        axis = next(axes)
        at = [row["at"] for row in rows]
        for variant, label in NAMES.items():
            axis.plot(at, [row[variant] for row in rows], "o-", color=COLOURS[variant], label=label)
        axis.plot(at, [row["floor"] for row in rows], "k--", label="its FLOPs (or bytes) at a matrix product's rate")
        axis.set(xlabel=PANELS[name][0], ylabel="seconds")
        if name == "side":
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(at, [str(side) for side in at])
            axis.minorticks_off()
        else:
            axis.set_ylim(0)
        axis.grid(alpha=0.3)
    axis = next(axes)
    for (name, label), colour in zip(MEMORY.items(), ("#999999", *COLOURS.values()), strict=False):
        points = [(row["at"], row[name]) for row in numbers["memory"] if row.get(name) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), "s-", color=colour, label=label)
    axis.set(xlabel=PANELS["side"][0], ylabel="peak memory above the models, MiB", ylim=(0, None))
    axis.grid(alpha=0.3)
    if numbers["memory"]:
        axis.legend()
    last = next(axes)
    last.axis("off")
    last.legend(*figure.axes[0].get_legend_handles_labels(), loc="upper left")
    last.text(
        0, 0.35, f"VGG19, 256 x 256, layers 1:12, $c_d$ = 200 unless varied\npeak {numbers['peak_flops'] / 1e9:.0f} GFLOP/s, "
        f"copy {numbers['bandwidth'] / 1e9:.0f} GB/s, load {numbers['load']}", transform=last.transAxes,
    )  # fmt: skip
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")

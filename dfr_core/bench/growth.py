"""How the cost grows with images, image size, layers, latent dimension and width; the floor of FLOPs and bytes drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..backbones.architecture import Architecture
from ..device import load_average
from ..methods.flops import cae_flops, first_layer_saving
from ..plotting import BLUE, GREEN, MUTED, ORANGE, PURPLE, RED
from ..settings import Settings
from .tools import alternate, bandwidth, peak_flops
from .variants import LATENT, Variants, peak_memory

#: Panel -> axis label, and the points as arguments of Variants. With the width the latent dimension falls, as it does in practice.
PANELS = {
    "images": ("images", [{"batch": n} for n in (1, 2, 4, 8)]),
    "side": ("side of the image, pixels", [{"side": n} for n in (128, 256, 512, 1024)]),
    "layers": ("layers 1 to l", [{"layers": f"1:{n}"} for n in (2, 4, 8, 12, 16)]),
    "c_d": ("latent dimension $c_d$", [{"c_d": n} for n in (50, 100, 200, 400)]),
    "width": ("width of the network, $c_d$ in proportion", [{"width": 1 / n, "c_d": LATENT // n} for n in (8, 4, 2, 1)]),
}
QUICK = {
    "images": ("images", [{"batch": n} for n in (1, 2)]),
    "side": ("side of the image, pixels", [{"side": n} for n in (64, 96)]),
    "layers": ("layers 1 to l", [{"layers": f"1:{n}"} for n in (2, 4)]),
    "c_d": ("latent dimension $c_d$", [{"c_d": n} for n in (4, 8)]),
    "width": ("width of the network, $c_d$ in proportion", [{"width": 1 / n, "c_d": 64 // n} for n in (16, 8)]),
}
_SLIM = Settings.of_edition("embedded")
#: Network -> arguments of Variants: the paper's, and the slim default with the c_d that it finds on the synthetic bottle.
NETWORKS: dict[str, dict[str, Any]] = {
    "full": {"c_d": LATENT},
    "slim": {"width": _SLIM.width, "padding": _SLIM.padding, "c_d": 24},
}


@dataclass(frozen=True)
class Line:
    """A line of the figure: a method of Variants on one of the networks, and how it is drawn."""

    network: str
    variant: str
    label: str
    style: str
    colour: str


TIME = {
    "score": Line("full", "score", "exact score, VGG19", "o-", BLUE),
    "projected": Line("full", "projected", "projected (extension), VGG19", "o-", RED),
    "backbone": Line("full", "backbone", "bare VGG19", "o-", GREEN),
    "slim_score": Line("slim", "score", "exact score, slim default", "s-", ORANGE),
    "slim_backbone": Line("slim", "backbone", "bare slim network", "s-", PURPLE),
}
FLOOR = {"floor": Line("full", "score", "exact score's FLOPs (or bytes), VGG19", "--", MUTED)}
MEMORY = {"literal": Line("full", "literal_score", "literal score, VGG19", "o-", MUTED)} | {
    name: line for name, line in TIME.items() if line.variant != "backbone"
}


def run(out: Path, quick: bool) -> dict[str, Any]:
    """Measure, draw ``growth.png`` and return the numbers."""
    cpu = torch.device("cpu")
    flops, bytes_ = peak_flops(cpu, 512 if quick else 2048), bandwidth(cpu, 16 if quick else 256)
    panels = {name: measure(name, points, flops, bytes_, quick) for name, (_, points) in (QUICK if quick else PANELS).items()}
    memory = [] if quick else memory_by_side()
    numbers = {"peak_flops": flops, "bandwidth": bytes_, "load": load_average(), "panels": panels, "memory": memory}
    draw(out / "growth.png", numbers)
    return numbers


def measure(panel: str, points: list[dict[str, Any]], flops: float, bytes_: float, quick: bool) -> list[dict[str, Any]]:
    """Seconds of each line at each point of a panel, and the floor. Where the width varies, the slim default is one point."""
    rows = []
    for point in points:
        arguments = {"layers": "1:12", "batch": 1, "side": 64 if quick else 256, "width": 0.125 if quick else 1.0}
        wanted = {name: {**arguments, **own, **point} for name, own in NETWORKS.items()}
        if panel == "width":
            wanted["slim"] |= NETWORKS["slim"]
            wanted = {name: one for name, one in wanted.items() if one["width"] == point["width"]}
        networks = {name: Variants(**one) for name, one in wanted.items()}
        runs = {name: networks[line.network].run(line.variant) for name, line in TIME.items() if line.network in networks}
        full = wanted["full"]
        slow = full["side"] > 512 or full["batch"] > 2
        seconds = alternate(runs, 1 if slow else 2, warm=not slow)
        at = int(full["layers"].rpartition(":")[2]) if panel == "layers" else full[panel if panel != "images" else "batch"]
        rows.append({"at": at, **seconds, "floor": floor(networks["full"].settings.architecture, full, flops, bytes_)})
    return rows


def floor(network: Architecture, arguments: dict[str, Any], flops: float, bytes_: float) -> float:
    """Seconds of the exact score's own FLOPs at the rate of a large matrix product, or of its bytes if they take longer.

    Convolutions may be faster than that, where the library computes them with fewer products (Winograd).
    """
    layers, batch, side, width = (arguments[name] for name in ("layers", "batch", "side", "width"))
    c_o = network.feature_dimension(layers, width)
    c_d = min(arguments["c_d"], c_o)
    work = network.flops(layers, side, width) + cae_flops(c_o, c_d, (side // 4) ** 2)
    work -= first_layer_saving(network, layers, c_d, side, width)
    moved = network.bytes_moved(layers, side, width) + 4.0 * c_o * (side // 4) ** 2
    return batch * max(work / flops, moved / bytes_)


def memory_by_side() -> list[dict[str, Any]]:
    """Peak MiB above the models of one image at each size; the literal score stops where it would take gigabytes."""
    return [
        {"at": side}
        | {
            name: peak_memory(line.variant, side=side, **NETWORKS[line.network])
            for name, line in MEMORY.items()
            if name != "literal" or side <= 512
        }
        for side in (256, 512, 1024)
    ]


def draw(path: Path, numbers: dict[str, Any]) -> None:
    """The panels as one figure."""
    from matplotlib.figure import Figure

    from ..files import replacing

    figure = Figure(figsize=(13, 8.2), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for (name, rows), axis in zip(numbers["panels"].items(), axes, strict=False):
        _plot(axis, rows, TIME)
        _plot(axis, rows, FLOOR)
        axis.set(xlabel=PANELS[name][0], ylabel="seconds", yscale="log")
        if name in ("side", "width"):
            _doubling(axis, [row["at"] for row in rows])
    last = figure.axes[-1]
    last.set(xlabel=PANELS["side"][0], ylabel="peak memory above the models, MiB")
    if numbers["memory"]:
        _plot(last, numbers["memory"], MEMORY)
        _doubling(last, [row["at"] for row in numbers["memory"]])
        last.set_yscale("log")
    for axis in figure.axes:
        axis.grid(alpha=0.3)
    known = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known, loc="outside lower center", ncols=4, frameon=False)
    slim = NETWORKS["slim"]
    figure.suptitle(
        f"One image, 256 x 256, layers 1:12, $c_d$ = {LATENT} (slim default: width {slim['width']}, $c_d$ = {slim['c_d']}) unless varied; "
        f"FLOPs at {numbers['peak_flops'] / 1e9:.0f} G/s, bytes at {numbers['bandwidth'] / 1e9:.0f} GB/s, load {numbers['load']}",
        fontsize="medium",
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _plot(axis: Any, rows: list[dict[str, Any]], lines: dict[str, Line]) -> None:
    """Each line through the points that it has."""
    for name, line in lines.items():
        points = [(row["at"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), line.style, color=line.colour, label=line.label)


def _doubling(axis: Any, at: list[float]) -> None:
    """A horizontal axis on which every doubling is as wide, with these values marked."""
    axis.set_xscale("log")
    axis.set_xticks(at, [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in at])
    axis.minorticks_off()

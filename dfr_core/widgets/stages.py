"""Notebook 09: where arithmetic and memory go, stage by stage; counted, not timed, so the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..backbones.architecture import architecture
from ..figures.drawing import style
from ..methods.cae import layer_widths
from ..methods.flops import cae_flops, first_layer_saving
from ..plotting import BLUE, RED
from .charts import DPI, pixels
from .common import FunctionView, select, slider, toggle

FLOAT = 4  # bytes of a float32
#: Layer sets of Tables IV and VI, and all sixteen layers.
SETS = ("12", "9:12", "5:12", "3:12", "1:12", "1:16")


@dataclass(frozen=True)
class Stage:
    """One stage of the way from an image to its anomaly map.

    Attributes:
        name: in words.
        flops: multiplications and additions for one image, each counted as one.
        nbytes: bytes of what it writes.
    """

    name: str
    flops: float
    nbytes: float


def stages(layers: str, c_d: int = 200, lean: bool = False, size: int = 256, width: float = 1.0, stride: int = 4) -> list[Stage]:
    """The stages for one image: to the letter of the paper, or lean (as this package computes, with equal results).

    Args:
        layers: layer set.
        c_d: latent dimension.
        lean: coarse maps stay coarse, the first layer of the autoencoder runs on them, scoring goes strip by strip.
        size, width, stride: image side, scale of VGG19's channels, stride of the mean filter.
    """
    network = architecture("vgg19")
    numbers, c = network.parse(layers), network.channels(width)
    out = size // stride
    c_o = network.feature_dimension(layers, width)
    pixels = size * size
    own = sum(c[k - 1] * min(out, network.side(k, size)) ** 2 for k in numbers)
    fine = sum(c[k - 1] * network.side(k, size) ** 2 for k in numbers)
    widest = max(c[k - 1] * network.side(k, size) ** 2 for k in range(1, numbers[-1] + 1))
    saving = first_layer_saving(network, layers, c_d, size, width, stride) if lean else 0
    # Lean: the widest two hidden layers live at a time, and the reconstruction is compared layer by layer, never kept.
    sizes = layer_widths(c_o, c_d)
    hidden = out * out * ((sizes[0] + sizes[1]) if lean else sum(sizes))
    return [
        # Lean: each map is reduced before the next is made, so two maps live at a time.
        Stage(network.title, network.flops(layers, size, width), FLOAT * (2 * widest if lean else fine)),
        Stage("align (Eq. 1)", 0, 0 if lean else FLOAT * c_o * pixels),
        Stage("aggregate (Eq. 2, 3)", fine if lean else c_o * pixels, FLOAT * (own if lean else c_o * out * out)),
        Stage("autoencoder", cae_flops(c_o, c_d, out * out) - saving, FLOAT * hidden),
        Stage("score (Eq. 5)", 3 * c_o * out * out, FLOAT * (out * out + pixels)),
    ]


def draw(parts: Sequence[Stage], gflop_limit: float, mib_limit: float) -> np.ndarray:
    """Bars of arithmetic and memory for each stage: uint8 [h, w, 3].

    Args:
        parts: from :func:`stages`.
        gflop_limit, mib_limit: the ends of the two scales, so that pictures can be compared.
    """
    panels = (
        ("arithmetic [GFLOP an image]", [part.flops / 1e9 for part in parts], gflop_limit, BLUE),
        ("memory written [MiB an image]", [part.nbytes / 2**20 for part in parts], mib_limit, RED),
    )
    with style():
        figure = Figure(figsize=(8, 2.3), dpi=DPI, layout="constrained")
        for axes, (words, values, limit, colour) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
            bars = axes.barh([part.name for part in parts], values, color=colour)
            axes.bar_label(bars, [_short(value) for value in values], padding=4)
            axes.set(title=words, xticks=(), xlim=(0, 1.2 * limit), ylim=(len(parts) - 0.4, -0.6))
        return pixels(figure)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def text(layers: str, parts: Sequence[Stage]) -> str:
    """One line about the whole."""
    flops, largest = sum(part.flops for part in parts), max(parts, key=lambda part: part.flops)
    peak = max(parts, key=lambda part: part.nbytes)
    return (
        f"f{{{layers}}}: {flops / 1e9:.0f} GFLOP an image, {largest.flops / flops:.0%} of them in {largest.name}; "
        f"most memory: {peak.nbytes / 2**20:.0f} MiB in {peak.name}"
    )


def measure(detector, image, repeats: int = 3) -> dict[str, float]:
    """Seconds of the stages on this machine, the best of some runs.

    Args:
        detector: a fitted :class:`dfr_core.DFR`.
        image: uint8 tensor [1, 3, h, w].
    """
    import time

    import torch

    from ..scoring import upsample

    extractor, best = detector.extractor, {}
    size = tuple(image.shape[-2:])

    def clock(name: str, work):
        started = time.perf_counter()
        made = work()
        if image.is_cuda:
            torch.cuda.synchronize()
        best[name] = min(best.get(name, np.inf), time.perf_counter() - started)
        return made

    with torch.inference_mode():
        for _ in range(repeats):
            maps = clock("VGG19", lambda: list(extractor.backbone.feature_maps(image, extractor.layers, extractor.keep_padding)))
            features = clock("align and aggregate", lambda maps=maps: extractor.generator(maps, size))
            scores = clock("autoencoder and score", lambda f=features: detector.regional_anomaly_map(f))
            clock("upsample", lambda s=scores: upsample(s, size))
    return best


def build(c_d: int = 200) -> FunctionView:
    """The widget, for VGG19 at full width and images of 256 x 256 pixels."""
    every = [stages(layers, 400, False) for layers in SETS]
    gflop = max(part.flops for parts in every for part in parts) / 1e9
    mib = max(part.nbytes for parts in every for part in parts) / 2**20

    def function(layers: str, c_d: int, lean: bool) -> tuple[np.ndarray, str]:
        parts = stages(layers, c_d, lean)
        return draw(parts, gflop, mib), text(layers, parts)

    return FunctionView(
        function,
        title="Where arithmetic and memory go",
        layers=select("layer set", [(f"f{{{s}}}", s) for s in SETS], "1:12"),
        c_d=slider("latent dimension c_d", 10, 400, c_d, unit="channels", step=10),
        lean=toggle("lean: coarse maps stay coarse", False),
    )

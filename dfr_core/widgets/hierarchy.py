"""Notebook 02: the hierarchical feature maps of an image, and what the padding does to them (III-A, IV-C2)."""

from __future__ import annotations

import numpy as np
import torch

from ..backbones.vgg import VGG
from ..plotting import heat, side_by_side
from .charts import enlarge
from .common import FunctionView, select, slider

PADDINGS = ("zeros", "reflect")
SIDE = 256


def all_maps(network: VGG, image: torch.Tensor) -> dict[int, np.ndarray]:
    """All maps phi_l of one image uint8 [3, H, W]: layer number -> float32 [c_l, h_l, w_l]."""
    layers = tuple(range(1, network.last + 1))
    with torch.inference_mode():
        return {layer: phi[0].numpy().copy() for layer, phi in network.feature_maps(image[None], layers)}


def draw(maps: dict[str, dict[int, np.ndarray]], layer: int, channel: int) -> tuple[np.ndarray, str]:
    """One channel of one layer with zero padding, with reflection padding, and the difference of the two.

    Args:
        maps: padding -> layer -> [c_l, h_l, w_l].
        layer, channel: which; channels count from 0 and start again after the last.

    Returns:
        uint8 [256, 3 * 256 + 8, 3], the two maps on one colour scale, and a line that says what is seen.
    """
    zeros, reflect = (maps[padding][layer] for padding in PADDINGS)
    channel = channel % len(zeros)
    zeros, reflect = zeros[channel], reflect[channel]
    top = max(float(zeros.max()), float(reflect.max()), 1e-12)
    difference = np.abs(zeros - reflect)
    panels = [enlarge(heat(m, 0, top), max(1, SIDE // len(m))) for m in (zeros, reflect, difference)]
    share = round(100 * float((difference > 0.01 * top).mean()))
    text = (
        f"Layer {layer}, channel {channel} of {len(maps['zeros'][layer])}. "
        f"Zeros, reflect, and their difference: above 1 % of the maximum on {share} % of the map."
    )
    return side_by_side(*panels), text


def build(image: torch.Tensor, networks: dict[str, VGG]) -> FunctionView:
    """A list of layers and a slider for the channel.

    Args:
        image: uint8 [3, H, W].
        networks: padding -> network with that padding and the same weights.
    """
    maps = {padding: all_maps(networks[padding], image) for padding in PADDINGS}
    layers = [(f"{layer}: {m.shape[0]} of {m.shape[1]} × {m.shape[2]}", layer) for layer, m in maps["zeros"].items()]
    made = FunctionView(
        lambda layer, channel: draw(maps, layer, channel),
        title="hierarchical features",
        layer=select("layer", layers, 4, unit="channels of h × w"),
        channel=slider("channel", 0, len(maps["zeros"][4]) - 1, 0),
    )

    def limit(change: dict) -> None:
        made.controls["channel"].max = len(maps["zeros"][change["new"]]) - 1

    made.controls["layer"].observe(limit, names="value")
    return made

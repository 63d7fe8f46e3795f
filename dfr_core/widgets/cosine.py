"""Notebook 03: how alike are the regional features of one image? Cosine similarity of one position to all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw

from ..backbones.architecture import architecture
from ..errors import DFRError
from ..plotting import FOUND, INK, colour_table, heat, side_by_side
from ..regional import RegionalFeatures
from .charts import caption, colour_bar, enlarge
from .common import STYLE, FunctionView, slider, toggle


def prepare(features: RegionalFeatures) -> dict[int, np.ndarray]:
    """The regional features of the first image, one array a layer: float32 [h_o, w_o, c_l]."""
    return {layer: m.expand()[0].cpu().numpy() for layer, m in features.aggregated.items()}


def centred(maps: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The maps without their mean over all positions, channel by channel."""
    return {layer: m - m.mean((0, 1)) for layer, m in maps.items()}


def similarity(maps: Mapping[int, np.ndarray], row: int, column: int, layers: Sequence[int]) -> np.ndarray:
    """Cosine of the angle between f(row, column) and every regional feature, for a set of scales.

    A sum over the layers does for the concatenation of Eq. 3, so nothing is concatenated.

    Args:
        maps: layer -> [h_o, w_o, c_l].
        layers: the scales in f.

    Returns:
        float32 [h_o, w_o] in -1..1; 0 where a feature is all zero.
    """
    product = sum(maps[layer] @ maps[layer][row, column] for layer in layers)
    square = sum(np.einsum("ijc,ijc->ij", maps[layer], maps[layer]) for layer in layers)
    length = np.sqrt(square * square[row, column])
    return np.divide(product, length, out=np.zeros_like(product), where=length > 0).clip(-1, 1)


def draw(image: np.ndarray, cosine: np.ndarray, row: int, column: int, field: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """The image with the chosen position beside its similarity map: uint8.

    Args:
        image: uint8 [h, w, 3].
        cosine: [h_o, w_o]; h a multiple of h_o.
        field: (top, bottom, left, right) in pixels, drawn as a frame in the image: what the feature sees.
    """
    times = image.shape[0] // cosine.shape[0]
    marked, coloured = Image.fromarray(image.copy()), Image.fromarray(enlarge(heat(cosine, -1, 1), times))
    left, top = column * times, row * times
    middle = (left + times / 2 - 0.5, top + times / 2 - 0.5)
    for picture in (marked, coloured):
        _cross_hair(ImageDraw.Draw(picture), middle, near=times / 2 + 4)
    if field:
        a, b, c, d = field
        ImageDraw.Draw(marked).rectangle((c, a, d - 1, b - 1), outline=FOUND, width=2)
    bar = caption(colour_bar(image.shape[0], colour_table(), "+1", "-1"), "")
    right = side_by_side(caption(np.asarray(coloured), "cosine similarity to it"), bar, gap=0)
    return side_by_side(caption(np.asarray(marked), "the position, and what it sees"), right, gap=8)


def _cross_hair(pen: ImageDraw.ImageDraw, middle: tuple[float, float], near: float) -> None:
    """Four strokes that point at a position and leave it and its neighbours visible."""
    x, y = middle
    for colour, width in (((255, 255, 255), 4), (INK, 2)):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            pen.line((x + dx * near, y + dy * near, x + dx * (near + 10), y + dy * (near + 10)), fill=colour, width=width)


def summary(cosine: np.ndarray, layers: Sequence[int], channels: int) -> str:
    """One line about a similarity map."""
    return f"{len(layers)} scales, {channels} channels: {(cosine > 0.5).mean():.1%} of the positions have a similarity above 0.5"


def build(
    image: np.ndarray,
    features: RegionalFeatures,
    fields: Mapping[int, Sequence[tuple[int, int]]] | None = None,
    row: int = 32,
    column: int = 32,
) -> FunctionView:
    """The widget.

    Args:
        image: uint8 [h, w, 3].
        features: of that image.
        fields: layer -> for each row (or column) of the regional features (first pixel, one past the last) that it sees.
        row, column: the position at first.
    """
    raw = prepare(features)
    plain = {False: raw, True: centred(raw)}
    height, width = features.shape
    all_layers = tuple(raw)

    def function(row: int, column: int, layers: str, centre: bool) -> tuple[np.ndarray, str]:
        try:
            chosen = tuple(layer for layer in architecture("vgg19").parse(layers) if layer in raw)
            problem = "" if chosen else f"none of these layers is in the features; they hold {all_layers[0]}:{all_layers[-1]}. "
        except DFRError as error:
            chosen, problem = (), f"{error}. "
        chosen = chosen or all_layers
        cosine = similarity(plain[centre], row, column, chosen)
        field = (*fields[chosen[-1]][row], *fields[chosen[-1]][column]) if fields else None
        channels = sum(raw[layer].shape[-1] for layer in chosen)
        return draw(image, cosine, row, column, field), problem + summary(cosine, chosen, channels)

    text = ipywidgets.Text(
        value=f"{all_layers[0]}:{all_layers[-1]}",
        description="layers, such as 1:12 or 1,5,12",
        continuous_update=False,
        style=STYLE,
        layout={"width": "30em", "max_width": "100%"},
    )
    return FunctionView(
        function,
        title="Cosine similarity of regional features",
        row=slider("row", 0, height - 1, min(row, height - 1), unit="regional feature"),
        column=slider("column", 0, width - 1, min(column, width - 1), unit="regional feature"),
        layers=text,
        centre=toggle("subtract the mean feature", True),
    )

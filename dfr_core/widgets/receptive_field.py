"""Notebook 01: what one unit of any layer sees of an image, in theory and in effect (III-A, Table I)."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw

from ..backbones.architecture import ReceptiveField
from ..backbones.vgg import VGG
from ..plotting import FOUND, TRUTH, heat, side_by_side, to_image
from ..receptive_field import effective_receptive_field, effective_size
from .canvas import canvas
from .common import FunctionView, select, slider


@dataclass(frozen=True)
class Measured:
    """The receptive fields of one layer.

    Attributes:
        theory: size, jump and centre.
        effect: [size, size], the effective field of a unit in the middle of the image, 1 at its largest.
        size: side in pixels that holds 95 % of it.
    """

    theory: ReceptiveField
    effect: np.ndarray
    size: int


def measure(network: VGG, images: torch.Tensor) -> list[Measured]:
    """Theoretical and effective receptive fields of all layers of a network, in order.

    Args:
        network: with all its layers, or the first ones.
        images: uint8 [N, 3, H, W]; the gradients are averaged over them.
    """
    inputs = network.normalise(images)
    height, width = images.shape[-2:]
    found = []
    for layer, theory in enumerate(network.architecture.layers[: network.last], start=1):
        unit = (height // theory.jump // 2, width // theory.jump // 2)
        field = effective_receptive_field(lambda x, layer=layer: next(network.feature_maps(x, (layer,)))[1], inputs, unit)
        top, left = (theory.interval(k)[0] for k in unit)
        effect = pasted(field.numpy(), (theory.size, theory.size), -top, -left)
        size = effective_size(field, (theory.centre_of(unit[0]), theory.centre_of(unit[1])))
        found.append(Measured(theory, effect / effect.max(), size))
    return found


def pasted(values: np.ndarray, size: tuple[int, int], top: int, left: int) -> np.ndarray:
    """Zeros of (height, width) with ``values`` on them, as far as they do not reach beyond: float32."""
    sheet = Image.new("F", size[::-1])
    sheet.paste(Image.fromarray(values), (left, top))
    return np.asarray(sheet)


def draw(image: np.ndarray, measured: Measured, layer: int, row: int, column: int) -> tuple[np.ndarray, str]:
    """The field of the unit over a pixel (white): on the left its border, on the right how much each pixel counts.

    Args:
        image: uint8 [h, w, 3].
        measured: of the layer.
        layer: its number.
        row, column: the pixel.

    Returns:
        uint8 [h, 2 w + 4, 3], and a line that says what is seen.
    """
    theory = measured.theory
    units = (row // theory.jump, column // theory.jump)
    (top, bottom), (left, right) = (theory.interval(k) for k in units)
    size = image.shape[:2]
    picture = Image.fromarray(image)
    pen, corner = ImageDraw.Draw(picture), [k * theory.jump for k in reversed(units)]
    pen.rectangle((left, top, right - 1, bottom - 1), outline=FOUND)
    if theory.jump > 1:  # else the pixel itself is the unit's
        pen.rectangle((*corner, *(k + theory.jump - 1 for k in corner)), outline=TRUTH)
    pen.point((column, row), (255, 255, 255))
    weight = np.sqrt(pasted(measured.effect, size, top, left))  # the eye sees little of the outer part otherwise
    glow = (0.35 * image * (1 - weight[..., None]) + heat(weight, 0, 1) * weight[..., None]).round().astype(np.uint8)
    outside = theory.size**2 - int(pasted(np.ones_like(measured.effect), size, top, left).sum())
    padding = f", {100 * outside // (theory.size**2)} % of it padding" if outside else ""
    text = (
        f"Layer {layer}, unit ({units[0]}, {units[1]}). Left: it sees {theory.size} × {theory.size} pixels{padding}. "
        f"Right: how much each counts; {measured.size} × {measured.size} have 95 % of the effect."
    )
    return side_by_side(np.asarray(picture), glow), text


def build(image: np.ndarray, fields: list[Measured]) -> FunctionView:
    """A list of layers, sliders for row and column, and the image to click on instead.

    Args:
        image: uint8 [h, w, 3] or [3, h, w].
        fields: from :func:`measure`.
    """
    image = to_image(image)
    layers = [(f"{number}: {field.theory.size} pixels", number) for number, field in enumerate(fields, start=1)]
    made = FunctionView(
        lambda layer, row, column: draw(image, fields[layer - 1], layer, row, column),
        title="receptive fields",
        scale=2,
        width="720px",
        layer=select("layer", layers, min(8, len(fields))),
        row=slider("row", 0, image.shape[0] - 1, image.shape[0] // 2, unit="pixels"),
        column=slider("column", 0, image.shape[1] - 1, image.shape[1] // 2, unit="pixels"),
    )
    made.canvas = canvas(width=image.shape[1], height=image.shape[0], layout={"width": "160px", "margin": "0 0 0 2em"})
    made.canvas.put_image_data(np.ascontiguousarray(image), 0, 0)
    # A page that opens later (Voila) has missed it.
    made.canvas.on_client_ready(lambda: made.canvas.put_image_data(np.ascontiguousarray(image), 0, 0))
    made.canvas.on_mouse_down(lambda x, y: made.move(row=int(y), column=int(x)))
    here = ipywidgets.HBox([ipywidgets.VBox(list(made.controls.values())), made.canvas])
    made.children = (here, made.text, made.image)
    return made

"""A picture that can be painted and clicked on; where ipycanvas is missing, as on Colab, one that is only shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

from ..plotting import png

try:
    import ipycanvas
except ImportError:  # the sliders beside the picture do the same
    ipycanvas = None


class Still(ipywidgets.Image):
    """Takes what a canvas takes; the mouse does nothing."""

    def __init__(self, width: int, height: int, **kwargs: Any) -> None:
        self._pixels = np.full((height, width, 3), 255, np.uint8)
        super().__init__(format="png", value=png(self._pixels), **kwargs)

    def put_image_data(self, image: np.ndarray, x: int = 0, y: int = 0) -> None:
        """Put uint8 [h, w, 3] at column x and row y."""
        self._pixels[y : y + image.shape[0], x : x + image.shape[1]] = image
        self.value = png(self._pixels)

    def _ignore(self, _callback: Callable[..., Any]) -> None:
        """There is no mouse, and nothing to wait for."""

    on_mouse_down = on_mouse_move = on_mouse_up = on_mouse_out = on_client_ready = _ignore


def canvas(width: int, height: int, **kwargs: Any) -> ipywidgets.DOMWidget:
    """An ipycanvas of so many pixels, or a :class:`Still` where there is none."""
    return ipycanvas.Canvas(width=width, height=height, **kwargs) if ipycanvas else Still(width, height, layout=kwargs.get("layout", {}))

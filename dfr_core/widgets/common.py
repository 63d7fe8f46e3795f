"""Parts of the course's widgets: labelled controls, a picture, and the view that joins them.

A change calls a function and swaps the bytes of one image, so there is no flicker and nothing is printed. All controls are
keyboard usable: Tab moves between them, the arrow keys move a slider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np

from ..plotting import png

STYLE = {"description_width": "17em"}
_WIDE = {"width": "44em", "max_width": "100%"}


class View(ipywidgets.VBox):
    """A widget of the course.

    Attributes:
        title: what it shows, in a few words.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], title: str) -> None:
        super().__init__(list(children))
        self.title = title

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # Its own text: the usual one shows picture bytes, which differ between processors, and is no help in print.
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        return bundle | {"text/plain": f"Widget: {self.title}. Run the notebook to use it."}


class FunctionView(View):
    """Controls above the picture that a pure function makes of their values.

    Args:
        function: takes the values of the controls by name; gives uint8 [h, w, 3], or that and a line of text.
        title: what it shows.
        scale: a whole number to enlarge the picture by.
        width: of the picture on the page, such as ``"720px"``; its own without.
        controls: a control for each argument of the function.

    Attributes:
        controls: by the name of the function's argument.
        image: the picture.
        text: the line above it.
    """

    def __init__(
        self, function: Callable[..., Any], *, title: str, scale: int = 1, width: str | None = None, **controls: ipywidgets.Widget
    ) -> None:
        self.function = function
        self.controls = controls
        self.scale = scale
        self._waiting = False
        self.image = ipywidgets.Image(
            format="png", layout={"width": width, "max_width": "100%", "object_fit": "contain", "align_self": "flex-start"}
        )
        self.text = ipywidgets.Label()
        self.refresh()
        super().__init__([*controls.values(), self.text, self.image], title)
        for control in controls.values():
            control.observe(self.refresh, names="value")

    def refresh(self, _change: Any = None) -> None:
        """Draw the picture for the controls' present values."""
        if self._waiting:
            return
        made = self.function(**{name: control.value for name, control in self.controls.items()})
        image, text = made if isinstance(made, tuple) else (made, "")
        self.image.value = png(np.asarray(image), self.scale)
        self.text.value = text

    def move(self, **values: Any) -> None:
        """Set several controls, then draw once."""
        self._waiting = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._waiting = False
        self.refresh()


def slider(label: str, low: float, high: float, value: float, *, unit: str = "", step: float = 1) -> ipywidgets.Widget:
    """A slider with label and unit; of whole numbers if all of its numbers are."""
    whole = all(isinstance(number, int) for number in (low, high, value, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    extra = {} if whole else {"readout_format": f".{max(0, -math.floor(math.log10(step)))}f"}
    return kind(value=value, min=low, max=high, step=step, description=_label(label, unit), style=STYLE, layout=_WIDE, **extra)


def select(label: str, options: Sequence[Any], value: Any, *, unit: str = "") -> ipywidgets.SelectionSlider:
    """Something to choose from: values or (text, value) pairs, such as false positive rates that are not evenly spaced.

    A slider, because a list cannot be moved with the arrow keys in JupyterLab: they go to the next cell instead.
    """
    return ipywidgets.SelectionSlider(options=options, value=value, description=_label(label, unit), style=STYLE, layout=_WIDE)


def toggle(label: str, value: bool) -> ipywidgets.Checkbox:
    """A box to tick."""
    return ipywidgets.Checkbox(value=value, description=label, indent=True, style=STYLE, layout=_WIDE)


def _label(label: str, unit: str) -> str:
    return f"{label} [{unit}]" if unit else label

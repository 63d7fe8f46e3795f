"""Pictures of the course: each with a sentence for those who do not see it, kept in the output's metadata."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence

import numpy as np

from ..errors import DFRError
from ..plotting import BLUE, GREEN, HEAT, ORANGE, PURPLE, RED, SKY, to_image

#: Dots per inch; set for slides, where a notebook's 72 would be blurred.
DPI_VARIABLE = "DFR_DPI"
#: Figures of the course: small enough that a notebook with its pictures stays below 1.5 MB.
STYLE = {
    "figure.dpi": 72,
    "savefig.dpi": 72,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {[BLUE, ORANGE, GREEN, PURPLE, SKY, RED, '#000000']})",
    "image.cmap": HEAT,
    "legend.frameon": False,
}


def show(*images: np.ndarray, alt: str, titles: Sequence[str] = (), width: float = 3.2, colours: str | None = None) -> None:
    """Pictures beside each other.

    Args:
        images: uint8 [h, w, 3] or [3, h, w], or any [h, w] (drawn in ``colours``, default :data:`dfr_core.plotting.HEAT`).
        alt: one sentence that says what is seen, for those who do not see it.
        titles: one above each.
        width: of one picture in inches.
    """
    import matplotlib.pyplot as plt

    arrays = [to_image(image) if np.ndim(image) == 3 else np.asarray(image) for image in images]
    height = max(width * array.shape[0] / array.shape[1] for array in arrays)
    figure, axes = plt.subplots(1, len(arrays), figsize=(width * len(arrays), height + 0.35), squeeze=False)
    for k, (axis, array) in enumerate(zip(axes[0], arrays)):
        # Single pixels stay squares; the writing in a widget's picture, wider than an image, does not bear that.
        axis.imshow(array, cmap=colours, interpolation="nearest" if array.shape[1] <= 256 else "antialiased")
        axis.set_title(titles[k] if k < len(titles) else "", fontsize=10)
        axis.set_axis_off()
    figure.tight_layout()
    picture(alt)


def picture(alt: str) -> None:
    """Show the figure that was drawn last, and close it: in place of ``plt.show()``.

    Args:
        alt: one sentence that says what is seen, for those who do not see it.

    Raises:
        DFRError: no figure is open, or there is no sentence.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if not alt.strip():
        raise DFRError("alt", "it is empty", "say in one sentence what is seen")
    if not plt.get_fignums():
        raise DFRError("picture", "no figure is open", "draw one in the same cell first")
    buffer, dpi = io.BytesIO(), int(os.environ.get(DPI_VARIABLE, STYLE["savefig.dpi"]))
    # Cropped to what is drawn; no name of a version in it, so that the same figure gives the same bytes.
    plt.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    plt.close()
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": f"Picture: {alt}"}
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)

"""What the notebooks of the course share: the set-up cell, the exercise checker, verdicts, small tables and pictures.

Everything printed here is deterministic, because the saved outputs of the notebooks are compared text by text.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .editions import Edition, current_edition
from .plotting import BLUE, GREEN, HEAT, ORANGE, PURPLE, RED, SKY, to_image

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
#: The environment variable that silences the progress bars of :class:`dfr_core.DFR`.
QUIET_VARIABLE = "DFR_QUIET"


def start(number: int) -> Edition:
    """Set a notebook up: print the edition's banner, style the figures, silence progress bars.

    Args:
        number: of the notebook.

    Returns:
        The current edition (``DFR_EDITION``; embedded without it).
    """
    import matplotlib

    matplotlib.rcParams.update(STYLE)
    os.environ[QUIET_VARIABLE] = "1"
    chosen = current_edition()
    print(f"Notebook {number} · {chosen.banner()}")
    return chosen


def check(label: str, answer: Any, test: Callable[[Any], Any], hint: str, probe: Sequence[Any] = ()) -> None:
    """Judge an exercise; prints one line: not attempted, right, or not yet with a hint.

    Args:
        label: of the exercise, such as ``"3.1"``.
        answer: a value or a function; None or ``...`` is not attempted, and so is a function that returns None
            for ``probe``.
        test: says of the answer whether it is right; whatever it or the answer raises is reported, not raised.
        hint: what to think of if it is not.
        probe: arguments to try an answer with that is a function; without any it is not tried.
    """
    print(f"Exercise {label}: {_judgement(answer, test, hint, probe)}")


def _judgement(answer: Any, test: Callable[[Any], Any], hint: str, probe: Sequence[Any]) -> str:
    if answer is None or answer is ...:
        return "not attempted"
    try:
        if callable(answer) and len(probe):
            result = answer(*probe)
            if result is None or result is ...:
                return "not attempted"
        right = bool(test(answer))
    except Exception as error:  # a learner's code may raise anything
        reason = " ".join(str(error).split())
        return f"not yet ({type(error).__name__}{': ' + reason if reason else ''}). Hint: {hint}"
    return "right" if right else f"not yet. Hint: {hint}"


def verdict(name: str, ok: Any) -> None:
    """Print ``name: yes``; a claim that does not hold stops the notebook.

    Raises:
        AssertionError: it does not hold.
    """
    if not bool(ok):
        raise AssertionError(f"{name}: no")
    print(f"{name}: yes")


def table(rows: Sequence[Sequence[Any]], head: Sequence[Any] | None = None) -> str:
    """Rows as aligned text: the first column to the left, the others to the right. Numbers are shown as given."""
    cells = [[str(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
    if head:
        lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def show(*images: np.ndarray, titles: Sequence[str] = (), width: float = 3.2, colours: str | None = None) -> None:
    """Pictures beside each other.

    Args:
        images: uint8 [h, w, 3] or [3, h, w], or any [h, w] (drawn in ``colours``, default :data:`dfr_core.plotting.HEAT`).
        titles: one above each.
        width: of one picture in inches.
    """
    import matplotlib.pyplot as plt

    arrays = [to_image(image) if np.ndim(image) == 3 else np.asarray(image) for image in images]
    height = max(width * array.shape[0] / array.shape[1] for array in arrays)
    figure, axes = plt.subplots(1, len(arrays), figsize=(width * len(arrays), height + 0.35), squeeze=False)
    for k, (axis, array) in enumerate(zip(axes[0], arrays)):
        axis.imshow(array, cmap=colours, interpolation="nearest")
        axis.set_title(titles[k] if k < len(titles) else "", fontsize=10)
        axis.set_axis_off()
    figure.tight_layout()
    plt.show()

"""What the notebooks of the course share: the set-up cell, exercises, predictions, verdicts, small tables and pictures.

Everything printed here is deterministic, because the saved outputs of the notebooks are compared text by text; the size that
:func:`verdict` prints is the one exception, which the comparison leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..editions import Edition, current_edition
from .exercises import check, hint, passed, sealed, verdict
from .pictures import STYLE, picture, show
from .questions import outcome, predict, quiz

__all__ = ["check", "hint", "outcome", "passed", "picture", "predict", "quiz", "sealed", "show", "start", "table", "verdict"]

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


def table(rows: Sequence[Sequence[Any]], head: Sequence[Any] | None = None) -> str:
    """Rows as aligned text: the first column to the left, the others to the right. Numbers are shown as given."""
    cells = [[str(cell) for cell in row] for row in ([head] if head else []) + list(rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
    if head:
        lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)

"""Notebook 06: a score map made by hand; the ROC and the PRO curve answer."""

from __future__ import annotations

import numpy as np

from ..metrics import pro_auc, pro_curve, roc_auc, roc_curve
from ..plotting import BLUE, FAINT, RED, heat, outline, side_by_side
from .charts import Chart, Curve, caption, enlarge
from .common import FunctionView, slider

SIDE = 64


def scene(side: int = SIDE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One large defect, two small ones and a normal spot that looks like one: bool [side, side] each but the second.

    Returns:
        large: the large defect; small: [2, side, side]; spot: normal pixels that may get a high score.
    """
    rows, columns = np.mgrid[:side, :side] * (64 / side)
    large = (rows - 24) ** 2 + (columns - 20) ** 2 < 14**2
    small = np.stack([(rows - 12) ** 2 + (columns - 50) ** 2 < 3**2, (np.abs(rows - 54) < 2) & (np.abs(columns - 14) < 5)])
    spot = (rows - 46) ** 2 + (columns - 46) ** 2 < 9**2
    return large, small, spot


def score_map(large: float, first: float, second: float, spot: float, noise: float, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """A score map made by hand: the background has 0.2, every region its own score, all of it noise.

    Args:
        large, first, second: scores of the large and of the two small defects, 0..1.
        spot: score of the normal spot.
        noise: standard deviation of what is added to every pixel.

    Returns:
        float64 [side, side].
    """
    region, small, normal = scene(side)
    scores = np.full((side, side), 0.2)
    for pixels, value in ((normal, spot), (region, large), (small[0], first), (small[1], second)):
        scores[pixels] = value
    return scores + noise * np.random.default_rng(seed).standard_normal((side, side))


def truth(side: int = SIDE) -> np.ndarray:
    """The ground truth of the scene: bool [side, side]."""
    large, small, _ = scene(side)
    return large | small.any(0)


def base_chart(limit: float = 0.3) -> Chart:
    """Axes of ROC and PRO, with the limit of PRO-AUC."""
    return Chart(
        "share of pixels (ROC) or of regions (PRO) found",
        [Curve([limit, limit], [0, 1], FAINT)],
        size=(350, 276),
        legend="lower right",
        xlabel="false positive rate",
        xlim=(0, 1),
        ylim=(0, 1),
    )


def measure(scores: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Both areas of one map [h, w]."""
    return {"roc_auc": roc_auc(scores, mask), "pro_auc": pro_auc(scores[None], mask[None])}


def draw(chart: Chart, scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The map with the outlined truth, and both curves: uint8."""
    times = 256 // len(scores)
    shown = outline(enlarge(heat(scores, -0.2, 1.2), times), enlarge(mask, times), width=2)
    roc = Curve(*roc_curve(scores, mask, 200), BLUE, "ROC, all pixels alike")
    pro = Curve(*pro_curve(scores[None], mask[None], 1.0, 200), RED, "PRO, all regions alike")
    return side_by_side(caption(shown, "score map; orange: the true defects"), chart.draw([roc, pro], upright=0.3), gap=8)


def text(scores: np.ndarray, mask: np.ndarray) -> str:
    """One line with both areas."""
    areas = measure(scores, mask)
    return f"ROC-AUC {areas['roc_auc']:.3f} · PRO-AUC up to an FPR of 0.3: {areas['pro_auc']:.3f}"


def build() -> FunctionView:
    """The widget."""
    chart, mask = base_chart(), truth()

    def function(**values: float) -> tuple[np.ndarray, str]:
        scores = score_map(**values)
        return draw(chart, scores, mask), text(scores, mask)

    return FunctionView(
        function,
        title="A score map made by hand",
        large=slider("large defect", 0.0, 1.0, 0.9, unit="score", step=0.05),
        first=slider("small round defect", 0.0, 1.0, 0.2, unit="score", step=0.05),
        second=slider("small flat defect", 0.0, 1.0, 0.2, unit="score", step=0.05),
        spot=slider("normal spot", 0.0, 1.0, 0.3, unit="score", step=0.05),
        noise=slider("noise", 0.0, 0.5, 0.1, unit="standard deviation", step=0.02),
    )

"""Exact pixel ROC-AUC and PRO-AUC (Section IV-A5; PRO as in Bergmann et al., 2020, the paper's [8]).

Sweep a threshold v from above the highest score down to the lowest: pixels with score >= v are called anomalous. The
false positive rate F is the share of all normal pixels called anomalous, and both curves sum up anomalous pixels p:

    y(v) = sum of w_p over anomalous pixels with score >= v,     w_p = 1 / P                           for ROC,
                                                                 w_p = 1 / (R * size of p's region)    for PRO,

with P anomalous pixels and R 8-connected regions in the whole test set. So PRO is the mean over regions of the share
of the region that is found, and the ROC and PRO curves are one thing with two weights.

Let F_gt and F_ge be the shares of normal pixels with a score > v_p and >= v_p, where v_p is the score of pixel p. Its
part of the curve is 0 up to F_gt, w_p from F_ge on, and a straight line between them (pixels with equal scores pass the
threshold together, so the curve joins the two points). Hence its part of the area up to F = L is

    w_p * (L - (F_gt + F_ge) / 2)                      if F_ge <= L,
    w_p * (L - F_gt)^2 / (2 * (F_ge - F_gt))           if F_gt < L < F_ge,
    0                                                  if F_gt >= L.

That is exact: every threshold counts, ties are joined, and the curve is interpolated at the limit. It costs one sort of
the normal scores (of the share L of them that is highest) and a search for each of the few anomalous ones.

Arrays on the CPU are handled by NumPy, whose sort is several times faster than torch's; CUDA tensors stay where they are.
Infinite scores are allowed, their order is clear; NaN is not.

>>> roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
0.75
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch

from .errors import DFRError
from .regions import Array, connected_regions
from .scoring import image_score


def roc_auc(scores: Array, masks: Array) -> float:
    """Area under the ROC curve over all pixels (IV-A5), exact, ties counting one half.

    Args:
        scores: anomaly scores of any shape, higher is more anomalous: maps [N, H, W], or one score an image [N].
        masks: booleans (or 0 and 1) of the same shape, True where anomalous.

    Raises:
        DFRError: shapes differ, a score is NaN, masks are not 0/1, or there is no anomalous or no normal pixel.
    """
    return _area(*_ranked(*_checked(scores, masks)), limit=1.0)


def pro_auc(scores: Array, masks: Array, limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to an FPR of ``limit``, divided by ``limit`` (IV-A5), exact.

    Args:
        scores: anomaly maps [N, H, W], higher is more anomalous.
        masks: booleans (or 0 and 1) [N, H, W], True where anomalous; holes in regions are normal pixels.
        limit: highest average false positive rate, in (0, 1]; the paper's is 0.3.

    Raises:
        DFRError: as :func:`roc_auc`; the arrays are not [N, H, W]; ``limit`` is not in (0, 1].
    """
    scores, masks = _checked(scores, masks, limit, maps=True)
    area = _area(*_ranked(scores, masks, _region_weights(masks), limit), limit)
    return min(area / limit, 1.0)  # the weights of many regions may sum up to a rounding error above 1


def roc_curve(scores: Array, masks: Array, max_points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The exact ROC curve from (0, 0) to (1, 1), given by its corners; between them it is straight.

    The curve rises only at thresholds that some anomalous pixel has for its score, so there are at most two corners for
    each of those, however many normal pixels there are. Arguments and errors are those of :func:`roc_auc`.

    Args:
        max_points: at most so many corners are kept, both ends among them, spread evenly along the curve (for plots).

    Returns:
        fpr, tpr: float64 NumPy arrays, neither ever decreasing.
    """
    return _corners(*_ranked(*_checked(scores, masks)), 1.0, max_points)


def pro_curve(scores: Array, masks: Array, limit: float = 1.0, max_points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The exact per-region-overlap curve from (0, 0) to an FPR of ``limit``, given by its corners.

    The last point is interpolated at the limit. Arguments and errors are those of :func:`pro_auc` and :func:`roc_curve`.

    Returns:
        fpr, pro: float64 NumPy arrays; the area under them, divided by the limit, is :func:`pro_auc`.
    """
    scores, masks = _checked(scores, masks, limit, maps=True)
    return _corners(*_ranked(scores, masks, _region_weights(masks)), limit, max_points)


def evaluation(maps: torch.Tensor, masks: torch.Tensor) -> dict[str, Any]:
    """The metrics of a whole test set (IV-A5).

    Args:
        maps: anomaly maps, float [N, h, w].
        masks: ground truth, bool [N, h, w], on the same device.

    Returns:
        roc_auc, pro_auc, image_roc_auc (None unless there are normal and anomalous images), and counts.

    Raises:
        DFRError: as :func:`pro_auc`.
    """
    anomalous = masks.flatten(1).any(1)
    both = bool(anomalous.any()) and not bool(anomalous.all())
    _, sizes = connected_regions(masks)
    return {
        "roc_auc": roc_auc(maps, masks),
        "pro_auc": pro_auc(maps, masks),
        "image_roc_auc": roc_auc(image_score(maps), anomalous) if both else None,
        "counts": {"images": len(maps), "anomalous_images": int(anomalous.sum()), "anomalous_regions": len(sizes)},
    }


def _library(values: Array) -> ModuleType:
    """The library whose functions take ``values``; for all used here NumPy and torch agree on the names."""
    return np if isinstance(values, np.ndarray) else torch


def _native(values: Array) -> Array:
    """A CUDA tensor as it is, anything else as a NumPy array, without a copy where its type allows."""
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        return values if values.is_cuda else values.cpu().numpy()
    return np.asarray(values)


def _checked(scores: Array, masks: Array, limit: float = 1.0, maps: bool = False) -> tuple[Array, Array]:
    """Scores and boolean masks as NumPy arrays, or as tensors on the CUDA device of ``scores``; user mistakes raised."""
    scores = _native(scores)
    if _library(scores) is torch:
        masks = torch.as_tensor(masks, device=scores.device)
    else:
        masks = _native(masks.cpu() if isinstance(masks, torch.Tensor) else masks)
    if scores.shape != masks.shape:
        raise DFRError("masks", f"shape {tuple(masks.shape)} is not that of the scores, {tuple(scores.shape)}", "resize one to the other")
    if maps and scores.ndim != 3:
        raise DFRError("scores", f"shape {tuple(scores.shape)}", "per-region overlap needs maps [N, H, W]")
    if not 0 < limit <= 1:
        raise DFRError("limit", f"{limit} is not in (0, 1]", "the paper's highest false positive rate is 0.3")
    if masks.dtype not in (np.bool_, torch.bool):
        if not ((masks == 0) | (masks == 1)).all():
            raise DFRError("masks", "values other than 0 and 1", "give booleans, for 8-bit masks e.g. mask > 127")
        masks = masks == 1
    if not masks.any():
        raise DFRError("masks", "no anomalous pixel, so the metric is undefined", "add anomalous test images")
    if masks.all():
        raise DFRError("masks", "no normal pixel, so the metric is undefined", "add normal test images or invert the masks")
    if math.isnan(scores.max()):  # the highest of values with a NaN among them is NaN
        raise DFRError("scores", "NaN among them", "look for a diverged training or a broken image")
    return scores, masks


def _region_weights(masks: Array) -> Array:
    """w_p of PRO for the anomalous pixels in raster order, float64."""
    labels, sizes = connected_regions(masks)
    library = _library(sizes)
    return (1 / (len(sizes) * library.asarray(sizes, dtype=library.float64)))[labels[masks] - 1]


def _ranked(scores: Array, masks: Array, weights: Array | None = None, limit: float = 1.0) -> tuple[Array, Array, Array | None, int]:
    """Rank the anomalous pixels, in ascending order of their scores, among the normal ones.

    Returns:
        above, not_below: F_gt and F_ge of each anomalous pixel as counts of normal pixels; exact where F_gt < limit,
            otherwise only known to be at least the limit.
        weights: the weights in the same order; None stands for equal weights and stays so.
        normals: number of normal pixels.
    """
    library = _library(scores)
    normal, anomalous = scores[~masks], scores[masks]
    normals = len(normal)
    left_out = 0
    if library is torch:
        normal = normal.sort().values
    else:
        rest = normals - math.ceil(limit * normals)
        if rest:  # only the highest need sorting, and a count of those below that tie with the lowest of them
            normal.partition(rest)
            normal, below = normal[rest:], normal[:rest]
            left_out = np.count_nonzero(below == normal[0])
        normal.sort()
    order = library.argsort(anomalous)
    anomalous, weights = anomalous[order], None if weights is None else weights[order]
    # Searching in ascending order is what makes this cheap: each answer lies close to the one before.
    above = len(normal) - library.searchsorted(normal, anomalous, side="right")
    not_below = len(normal) - library.searchsorted(normal, anomalous, side="left")
    return above, not_below + left_out * (not_below == len(normal)), weights, normals


def _area(above: Array, not_below: Array, weights: Array | None, normals: int, limit: float) -> float:
    """The area up to the limit as derived above; FPR is counted in pixels up to the last division."""
    library = _library(above)
    above, not_below = (library.asarray(counts, dtype=library.float64) for counts in (above, not_below))
    end = limit * normals
    start, stop = above.clip(None, end), not_below.clip(None, end)
    areas = (end - stop) + (stop - start) ** 2 / (2 * (not_below - above).clip(1))  # a tie group holds at least one
    return float(areas.mean() if weights is None else weights @ areas) / normals


def _corners(
    above: Array, not_below: Array, weights: Array | None, normals: int, limit: float, max_points: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the curve up to the limit, from (0, 0) on; they are few, so NumPy does for all devices."""
    if max_points is not None and max_points < 2:
        raise DFRError("max_points", f"{max_points}", "a curve has two ends, ask for at least 2")
    above, not_below = (torch.as_tensor(counts).cpu().numpy()[::-1] for counts in (above, not_below))
    weights = np.ones(len(above)) if weights is None else torch.as_tensor(weights).cpu().numpy()[::-1]
    # Pixels with the same two ranks rise together: they tie, or no normal pixel lies between them.
    last = np.flatnonzero(np.diff(above, append=-1) | np.diff(not_below, append=-1))
    overlap = np.cumsum(weights)[last]
    overlap = np.concatenate([[0], overlap / overlap[-1]])
    x = np.concatenate([[0], np.stack([above[last], not_below[last]], axis=1).ravel(), [normals]]) / normals
    y = np.concatenate([[0], np.stack([overlap[:-1], overlap[1:]], axis=1).ravel(), [1]])
    new = np.concatenate([[True], (np.diff(x) > 0) | (np.diff(y) > 0)])
    x, y = x[new], y[new]

    inside = np.searchsorted(x, limit, side="right")
    end = [] if x[inside - 1] == limit else [limit]
    x, y = np.append(x[:inside], end), np.append(y[:inside], np.interp(end, x, y))

    if max_points is not None and len(x) > max_points:
        way = x / limit + y
        kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], max_points)))
        x, y = x[kept], y[kept]
    return x, y


def border_distance(height: int, width: int) -> np.ndarray:
    """How many cells lie between each cell and the nearest border: int [height, width], 0 on the border."""
    rows, columns = np.arange(height), np.arange(width)
    return np.minimum.outer(np.minimum(rows, rows[::-1]), np.minimum(columns, columns[::-1]))


def border_profile(maps: np.ndarray, step: int = 1) -> np.ndarray:
    """Mean score by distance from the border, over the mean of the inner half: 1 is a map without a boundary effect (IV-C2).

    Args:
        maps: anomaly maps, float [N, h, w].
        step: width of a ring in cells.

    Returns:
        of each ring, the outermost first: [R], in the precision of the maps.
    """
    distance, mean = border_distance(*maps.shape[1:]), maps.mean(0)
    rings = distance // step
    means = np.array([mean[rings == ring].mean() for ring in range(rings.max() + 1)], mean.dtype)
    return means / mean[distance >= min(maps.shape[1:]) // 4].mean()

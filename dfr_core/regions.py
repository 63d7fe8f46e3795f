"""Connected anomalous regions of ground-truth masks, the units that PRO-AUC weighs equally (Section IV-A5).

Two pixels belong to one region when they touch along a side or at a corner (8-connectivity). Masks are taken
as they are: a hole in a region is normal, not filled.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from .errors import DFRError

Array = np.ndarray | torch.Tensor

#: Neighbours in the plane only: the first axis counts images, and regions never reach from one image into the next.
_EIGHT = np.zeros((3, 3, 3), dtype=bool)
_EIGHT[1] = True


def connected_regions(masks: Array) -> tuple[Array, Array]:
    """Label the 8-connected regions of a stack of masks, on the device where it lies.

    Args:
        masks: booleans [N, H, W], NumPy or torch.

    Returns:
        labels: int32 [N, H, W]; 0 is background, regions are 1..R over all images, in the order of their first pixels.
        sizes: int64 [R], pixels of each region. Both are of the kind, and on the device, of ``masks``.

    Raises:
        DFRError: masks are not boolean, or not [N, H, W].
    """
    if masks.dtype not in (np.bool_, torch.bool):
        raise DFRError("masks", f"{masks.dtype} values", "give booleans, True where anomalous")
    if masks.ndim != 3:
        raise DFRError("masks", f"shape {tuple(masks.shape)}", "give a stack [N, H, W]")
    if isinstance(masks, torch.Tensor):
        if masks.is_cuda:
            return propagated_regions(masks)
        labels, sizes = connected_regions(masks.cpu().numpy())
        return torch.from_numpy(labels).to(masks.device), torch.from_numpy(sizes).to(masks.device)
    labels, count = ndimage.label(masks, _EIGHT)
    return labels, np.bincount(labels[masks], minlength=count + 1)[1:]


def propagated_regions(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`connected_regions` in torch operations alone, for any device; the cost grows with the anomalous pixels.

    Every anomalous pixel points to one of its region, at first to itself. Each round hooks the two roots of a pair of
    neighbours onto the smaller, then shortens all paths by one jump. A round that changes nothing proves that all
    neighbours agree, and the root is then the first pixel of its region.
    """
    _, height, width = masks.shape
    # One normal column and row after each image: no flat index below reaches across an edge or into another image.
    padded = torch.nn.functional.pad(masks, (0, 1, 0, 1))
    pixels = padded.flatten().nonzero().squeeze(1)  # [K], flat indices of the anomalous pixels
    number = torch.full((padded.numel(),), -1, device=masks.device)
    itself = torch.arange(len(pixels), device=masks.device)
    number[pixels] = itself
    right_and_below = torch.tensor([1, width, width + 1, width + 2], device=masks.device)
    beside = number[pixels[:, None] + right_and_below]  # [K, 4]
    first, side = (beside >= 0).nonzero(as_tuple=True)
    second = beside[first, side]

    root, previous = itself, None
    while previous is None or not torch.equal(root, previous):
        previous = root
        low = torch.minimum(previous[first], previous[second])
        root = previous.scatter_reduce(0, previous[first], low, "amin").scatter_reduce(0, previous[second], low, "amin")
        root = root[root]

    labels_of_pixels = (root == itself).cumsum(0)[root]
    labels = torch.zeros(padded.numel(), dtype=torch.int32, device=masks.device)
    labels[pixels] = labels_of_pixels.int()
    labels = labels.view(-1, height + 1, width + 1)[:, :height, :width].contiguous()
    return labels, torch.bincount(labels_of_pixels)[1:]

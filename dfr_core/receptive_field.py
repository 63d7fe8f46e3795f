"""What part of the image a feature sees (Section III-A, Table I; regional features: Section III-B).

Here any stack of torch's layers is walked along; what follows for a network of ours stands in its ``architecture.layers``. All
layers are square, so rows and columns share their numbers.

The largest *possible* field is one thing, how much each pixel in it counts another: the effective receptive field (Luo et
al., 2016) is measured with gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from .backbones.architecture import ReceptiveField
from .errors import DFRError

#: Layers whose output at a position depends on their input at that position alone.
_POINTWISE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus,
    nn.BatchNorm2d, nn.Dropout, nn.Dropout2d,
)  # fmt: skip
_PADDINGS = (nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)


def receptive_fields(stack: Iterable[nn.Module]) -> list[ReceptiveField]:
    """The receptive field after each layer of a stack of convolutions, poolings and pointwise layers.

    Args:
        stack: an ``nn.Sequential`` or any iterable of layers; nested ``nn.Sequential`` are unfolded.

    Raises:
        DFRError: a layer is of another kind, or not square.
    """
    return [field for _, field in _walk(stack)]


def conv_fields(stack: Iterable[nn.Module]) -> list[ReceptiveField]:
    """The receptive field after each convolution (so of its ReLU, too): for VGG19 the 16 of Table I, in order.

    Arguments and errors are those of :func:`receptive_fields`.
    """
    return [field for layer, field in _walk(stack) if isinstance(layer, nn.Conv2d)]


def regional_field(matrix: Tensor, index: int, field: ReceptiveField) -> tuple[int, int]:
    """The receptive field of a regional feature: of all the units that alignment and aggregation mix (III-B, Eq. 1-2).

    Args:
        matrix: [h_o, h_l], the operator along one axis from the rows of a map to the rows of the regional features.
        index: row of the regional feature, 0..h_o - 1.
        field: the receptive field of the map.

    Returns:
        (first pixel, one past the last pixel), not clipped to the image.

    Raises:
        DFRError: no such row, or nothing in it.
    """
    if matrix.ndim != 2 or not 0 <= index < len(matrix):
        raise DFRError("index", f"there is no row {index} in an operator of the shape {tuple(matrix.shape)}")
    units = matrix[index].nonzero().flatten().tolist()
    if not units:
        raise DFRError("index", f"row {index} of the operator is all zero, so this feature sees nothing")
    return field.interval(units[0])[0], field.interval(units[-1])[1]


def effective_receptive_field(network: Callable[[Tensor], Tensor], images: Tensor, position: tuple[int, int]) -> Tensor:
    """How much each pixel counts for the features at one position (after Luo et al., 2016).

    Args:
        network: turns images [N, 3, H, W] into a map [N, C, h, w], each image for itself, by differentiable operations.
        images: float [N, 3, H, W]; more images give a smoother result.
        position: row and column on the map.

    Returns:
        [H, W], non-negative with sum 1: the magnitude of the gradient of the features' sum over the channels, summed over
        colours and images.

    Raises:
        DFRError: the position is not on the map, the network hides its gradient, or no pixel counts at all.
    """
    row, column = position
    images = images.detach().requires_grad_()
    with torch.enable_grad():  # whatever the caller's mode
        maps = network(images)
    if not (0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]):
        raise DFRError("position", f"({row}, {column}) is not on the map of {maps.shape[2]} x {maps.shape[3]}")
    if not maps.requires_grad:
        raise DFRError("network", "its maps carry no gradient", "call it without torch.no_grad and with float images")
    seed = torch.zeros_like(maps)
    seed[:, :, row, column] = 1
    (gradient,) = torch.autograd.grad(maps, images, seed)
    magnitude = gradient.abs().sum((0, 1))
    total = magnitude.sum()
    if not total > 0:
        raise DFRError("position", f"no pixel counts for ({row}, {column}), all its units are off", "take more images or other weights")
    return magnitude / total


def effective_size(field: Tensor, centre: tuple[float, float], share: float = 0.95) -> int:
    """Side in pixels of the smallest square around ``centre`` whose pixels hold ``share`` of an effective field.

    Only pixels wholly inside the square count, so a theoretical field of size r has at least the effective size for
    every share if the centre is its own (:meth:`ReceptiveField.centre_of`): the two can be compared.

    Args:
        field: [H, W], from :func:`effective_receptive_field`.
        centre: row and column in the module's coordinates.
        share: in (0, 1].

    Raises:
        DFRError: ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise DFRError("share", f"{share} is not in (0, 1]")
    rows, columns = (
        (torch.arange(length, device=field.device) + 0.5 - middle).abs() for length, middle in zip(field.shape, centre, strict=True)
    )
    sides = 2 * torch.maximum(rows[:, None], columns[None, :]) + 1  # of the smallest square that has the pixel inside
    sides, order = sides.flatten().sort()
    held = field.flatten()[order].double().cumsum(0)
    return round(sides[torch.searchsorted(held, share * held[-1])].item())


def _walk(stack: Iterable[nn.Module]) -> Iterator[tuple[nn.Module, ReceptiveField]]:
    """Every layer with the receptive field after it."""
    field = ReceptiveField()
    for _, layer in nn.Sequential(*stack).named_modules(remove_duplicate=False):
        if not isinstance(layer, nn.Sequential):
            field = _after(layer, field)
            yield layer, field


def _after(layer: nn.Module, field: ReceptiveField) -> ReceptiveField:
    if isinstance(layer, _POINTWISE):
        return field
    kernel, stride, dilation = 1, 1, 1
    if isinstance(layer, _PADDINGS):
        padding = _square(layer, "padding")
    elif isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride = _square(layer, "kernel_size"), _square(layer, "stride")
        dilation = 1 if isinstance(layer, nn.AvgPool2d) else _square(layer, "dilation")
        if layer.padding == "same":
            padding = dilation * (kernel - 1) // 2  # torch puts the odd pixel at the end
        else:
            padding = 0 if layer.padding == "valid" else _square(layer, "padding")
    else:
        raise DFRError("stack", f"{type(layer).__name__} is not a convolution, pooling, padding or pointwise layer", "its field is unknown")
    return field.after(kernel, stride, padding, dilation)


def _square(layer: nn.Module, name: str) -> int:
    value = getattr(layer, name)
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) > 1:
        raise DFRError("stack", f"{layer} has different numbers for its axes in {name}", "only square layers have one field size")
    return values.pop()

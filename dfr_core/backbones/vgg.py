"""Hierarchical image features (Section III-A): the sixteen ReLU maps of VGG19.

The maps are numbered 1..16 in the order of Table I. The convolutions keep torchvision's indices, so a
torchvision state dict fits without renaming. The backbone is frozen (IV-A4).

Shapes: images uint8 [N, 3, H, W] -> phi_l float32 [N, c_l, h_l, w_l].
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DFRError
from ..settings import N_LAYERS, parse_layers

#: Channels of the convolutions of VGG19 by block; a 2 x 2 max pooling stands between blocks.
BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
#: Layers whose map feeds another convolution directly, not a pooling.
INNER_LAYERS = frozenset({1, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15})
# The torchvision recipe the ImageNet weights were trained with: RGB in [0, 1], then these.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WEIGHTS_VARIABLE = "DFR_VGG19_WEIGHTS"


def channels(width: float = 1.0) -> tuple[int, ...]:
    """Channels ``c_l`` of the sixteen maps of a VGG19 whose channels are scaled by ``width``."""
    return tuple(max(1, round(c * width)) for block in BLOCKS for c in block)


def feature_dimension(layers: str, width: float = 1.0) -> int:
    """``c_o``, the sum of ``c_l`` over a layer set (III-B); 3456 for 1:12 and 5504 for 1:16 at full width."""
    c = channels(width)
    return sum(c[layer - 1] for layer in parse_layers(layers))


class VGG19(nn.Module):
    """VGG19's convolutional part up to layer ``last``, frozen.

    Args:
        width: scale of the channels; 1 is the real network.
        padding: ``"zeros"`` (the network as trained) or ``"reflect"`` (IV-C2).
        last: the last layer needed; nothing behind it is built or computed.
    """

    def __init__(self, width: float = 1.0, padding: str = "zeros", last: int = N_LAYERS) -> None:
        super().__init__()
        sizes = channels(width)
        stack: list[nn.Module] = []
        c_in, layer = 3, 0
        for b, block in enumerate(BLOCKS):
            for k in range(len(block)):
                if layer == last:
                    break
                if b and k == 0:
                    stack.append(nn.MaxPool2d(2))
                stack += [nn.Conv2d(c_in, sizes[layer], 3, padding=1, padding_mode=padding), nn.ReLU(inplace=True)]
                c_in = sizes[layer]
                layer += 1
        self.stack = nn.Sequential(*stack)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, H, W] -> float32 network input of the same shape."""
        return (images.float() / 255 - self.mean) / self.std

    def maps(self, images: Tensor, layers: tuple[int, ...], keep_padding: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Yield ``(l, phi_l)`` for the wanted layers as they are computed.

        A generator, so that the caller can reduce a map before the next one takes memory. Do not write
        into a map: the next layer reads it.

        Args:
            images: uint8 [N, 3, H, W], or float32 already normalised (for gradients with respect to it).
            layers: sorted layer numbers, at most ``last``.
            keep_padding: give inner maps with their one-pixel reflection border (public code).

        Raises:
            DFRError: the image is too small for the deepest layer wanted.
        """
        smallest = min(images.shape[-2:]) >> sum(layers[-1] > first for first in (2, 4, 8, 12))
        if smallest < (2 if self.stack[0].padding_mode == "reflect" else 1):
            raise DFRError(f"image of {tuple(images.shape[-2:])} pixels is too small for layer {layers[-1]}; use a larger image_size")
        x = self.normalise(images) if images.dtype == torch.uint8 else images
        wanted, layer = set(layers), 0
        for module in self.stack:
            x = module(x)
            if isinstance(module, nn.ReLU):
                layer += 1
                if layer in wanted:
                    padded = keep_padding and layer in INNER_LAYERS
                    yield layer, F.pad(x, (1, 1, 1, 1), mode="reflect") if padded else x
                if layer == layers[-1]:
                    return

    def fingerprint(self, last: int = N_LAYERS) -> str:
        """SHA-256 (16 hex digits) of the normalisation and of the weights up to layer ``last``, the same on every machine."""
        used = [name for name, module in self.stack.named_children() if isinstance(module, nn.Conv2d)][:last]
        weights = [(name, tensor) for name, tensor in sorted(self.stack.state_dict().items()) if name.split(".")[0] in used]
        digest = hashlib.sha256()
        for name, tensor in [("mean", self.mean), ("std", self.std), *weights]:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def build_backbone(weights: str, *, width: float = 1.0, padding: str = "zeros", last: int = N_LAYERS, seed: int = 0) -> VGG19:
    """VGG19 with its weights, ready to use.

    Args:
        weights: ``"imagenet"``, ``"untrained"``, or the path of a state dict (.pth, .pt, .safetensors).
            The environment variable ``DFR_VGG19_WEIGHTS`` names a file that stands for ``"imagenet"``.

    Raises:
        DFRError: weights cannot be found, downloaded, read, or do not fit.
    """
    network = VGG19(width, padding, last)
    if weights == "untrained":
        state = _untrained_weights(network, seed)
        # No training, so no training set's mean and spread either: pixels go in as 0..1.
        network.mean.zero_()
        network.std.fill_(1)
    else:
        if weights == "imagenet":
            if width != 1:
                raise DFRError(f"width: ImageNet weights exist for width 1 only, not {width}; set width=1 or weights='untrained'")
            named = os.environ.get(WEIGHTS_VARIABLE)
            if named and not Path(named).is_file():
                raise DFRError(f"{WEIGHTS_VARIABLE}: {named} is not a file; correct the variable or unset it")
            file = Path(named) if named else _imagenet_file()
        else:
            file = Path(weights)
        state = _fitting(file, _read_state(file), network)
    network.stack.load_state_dict(state)
    # Measured on CPU and the rule on CUDA: convolutions are fastest with channels innermost.
    return network.to(memory_format=torch.channels_last)


def _untrained_weights(network: VGG19, seed: int) -> dict[str, Tensor]:
    """Random weights, zero biases, from numpy's PCG64: the same on every machine.

    He initialisation, N(0, 2 / fan_in), but for the first block. There half the random filters would answer
    to edges and half of the rest to nothing, since pixels are never negative: which seed is drawn would
    decide whether the network sees texture or light. So the first two layers are random averages (weights of
    one sign that sum to one), as the blurs and colour mixtures among a trained network's first filters.
    """
    state = {}
    first_block = {"0.weight", "2.weight"}
    for name, tensor in network.stack.state_dict().items():
        if name.endswith("bias"):
            state[name] = torch.zeros_like(tensor)
            continue
        random = np.random.Generator(np.random.PCG64([seed, int(name.split(".")[0])]))
        values = random.standard_normal(tuple(tensor.shape))
        if name in first_block:
            values = np.abs(values) / np.abs(values).sum(axis=(1, 2, 3), keepdims=True)
        else:
            values *= np.sqrt(2 / tensor[0].numel())
        state[name] = torch.from_numpy(values.astype(np.float32))
    return state


def imagenet_cache() -> Path:
    """Where torchvision keeps (or would keep) the ImageNet weights of VGG19."""
    from torchvision.models import VGG19_Weights

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(VGG19_Weights.IMAGENET1K_V1.url).name


def _imagenet_file() -> Path:
    """The ImageNet weights in the torch hub cache, downloaded if need be, their checksum verified."""
    from torchvision.models import VGG19_Weights

    file = imagenet_cache()
    checksum = file.stem.rsplit("-", 1)[-1]
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # torch writes to a temporary name, verifies the checksum and renames.
            torch.hub.download_url_to_file(VGG19_Weights.IMAGENET1K_V1.url, str(file), hash_prefix=checksum, progress=True)
        except (OSError, RuntimeError) as error:
            raise DFRError(
                f"weights: the ImageNet VGG19 is not on this machine and could not be downloaded ({error}). Three ways out: "
                f"copy {file.name} to {file}; or set {WEIGHTS_VARIABLE} to a VGG19 state dict; "
                "or use weights='untrained', which needs no file"
            ) from error
    with file.open("rb") as stream:
        found = _sha256(stream)
    if not found.startswith(checksum):
        raise DFRError(f"{file}: checksum {found[:8]} is not {checksum}; the file is damaged, delete it and run again")
    return file


def _sha256(stream) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _read_state(file: Path) -> dict[str, Tensor]:
    """A state dict from a file, without running code from it."""
    if not file.is_file():
        raise DFRError(f"weights: {file} is not a file; give a VGG19 state dict, or 'imagenet' or 'untrained'")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd files torch warns before it refuses them
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DFRError(
            f"weights: {file} cannot be read as a state dict ({type(error).__name__}); it may be truncated or of another kind"
        ) from error
    if not isinstance(state, dict):
        raise DFRError(f"weights: {file} holds a {type(state).__name__}, not a state dict; save model.state_dict()")
    return state


def _fitting(file: Path, state: dict[str, Tensor], network: VGG19) -> dict[str, Tensor]:
    """The tensors of ``state`` that the network needs, from a full or a features-only state dict."""
    prefix = "features." if any(str(key).startswith("features.") for key in state) else ""
    fitting = {}
    for name, own in network.stack.state_dict().items():
        tensor = state.get(prefix + name)
        if not isinstance(tensor, Tensor):
            raise DFRError(f"weights: {file} has no {prefix}{name}; it is not a VGG19 state dict in torchvision's layout")
        if tensor.shape != own.shape:
            raise DFRError(
                f"weights: {file}: {prefix}{name} has shape {tuple(tensor.shape)}, expected {tuple(own.shape)}; "
                "is it another network (VGG16, batch norm) or another width?"
            )
        if not torch.isfinite(tensor).all():
            raise DFRError(f"weights: {file}: {prefix}{name} holds NaN or infinite values; the file is damaged")
        fitting[name] = tensor.float()
    return fitting

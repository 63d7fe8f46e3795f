"""Weights for a backbone: ImageNet's, those distilled from them, none that were trained, or those of a file (IV-A4).

A kind of weights that has a name is one row of :data:`WEIGHTS` and one function that fills a network.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import DFRError, Setting
from ..files import load_tensors, sha256
from ..settings import Settings
from .architecture import ARCHITECTURES, Architecture, architecture
from .vgg import VGG


def build_backbone(
    backbone: str, weights: str, *, width: float = 1.0, padding: str = "zeros", last: int | None = None, seed: int = 0
) -> VGG:
    """A frozen network with its weights, ready to use. The arguments are the settings of these names.

    Args:
        backbone: a name in :data:`dfr_core.backbones.architecture.ARCHITECTURES`.
        weights: a name in :data:`WEIGHTS`, or the path of a state dict (.pth, .pt, .safetensors).
            The environment variable of :func:`weights_variable` names a file that stands for ``"imagenet"``.
        last: the last layer needed; None builds all.

    Raises:
        DFRError: no such network, or weights that cannot be found, downloaded, read, or do not fit.

    >>> build_backbone("vgg19", "untrained", width=0.125).fingerprint()
    'ef575f4d271df774'
    """
    network = VGG(architecture(backbone), width, padding, last)
    if weights in WEIGHTS:
        WEIGHTS[weights].fill(network, seed)
    else:
        _fill_from_file(network, Path(weights))
    # Measured on CPU and the rule on CUDA: convolutions are fastest with channels innermost.
    return network.to(memory_format=torch.channels_last)


def in_words(settings: Settings) -> str:
    """The backbone and its weights for the stamp on a figure.

    >>> in_words(Settings(weights="untrained", width=0.125)), in_words(Settings())
    ('untrained VGG19, 1/8 width', 'ImageNet VGG19, full width')
    """
    source = WEIGHTS[settings.weights].words if settings.weights in WEIGHTS else f"weights {Path(settings.weights).name}"
    width = "full width" if settings.width == 1 else f"1/{round(1 / settings.width)} width"
    return f"{source} {settings.architecture.title}, {width}"


class Titled(Protocol):
    """A network that torchvision has ImageNet weights for, by the name that torchvision calls it."""

    title: str


def weights_variable(network: Titled) -> str:
    """The environment variable that names a file with a network's ImageNet weights.

    >>> weights_variable(architecture("vgg19"))
    'DFR_VGG19_WEIGHTS'
    """
    return f"DFR_{network.title}_WEIGHTS"


def imagenet_cache(network: Titled) -> Path:
    """Where torchvision keeps (or would keep) the ImageNet weights of a network."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_imagenet_url(network)).name


def _fill_imagenet(network: VGG, seed: int) -> None:
    if network.width != 1:
        raise DFRError(
            Setting("width"),
            f"ImageNet weights exist for width 1 only, not {network.width}",
            ("set ", Setting("width", 1), " or ", Setting("weights", "distilled")),
        )
    _fill_from_file(network, imagenet_file(network.architecture))


def distilled_file(network: Architecture) -> Path:
    """The distilled weights that come with the package (docs/distilled.md says how they were made)."""
    return Path(__file__).parent / f"distilled-{network.name}.safetensors"


def _fill_distilled(network: VGG, seed: int) -> None:
    file = distilled_file(network.architecture)
    if not file.is_file():
        there = ", ".join(other.name for other in ARCHITECTURES.values() if distilled_file(other).is_file())
        raise DFRError(Setting("weights"), f"nobody has distilled {network.architecture.title} here, only {there}", "see `dfr distil`")
    width = json.loads(load_tensors(file)[1]["made"])["width"]
    if network.width != width:
        problem = f"the distilled {network.architecture.title} has {width}, not {network.width}"
        raise DFRError(Setting("width"), problem, ("set ", Setting("width", width), " or ", Setting("weights", "untrained")))
    _fill_from_file(network, file)


def _fill_untrained(network: VGG, seed: int) -> None:
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
    network.stack.load_state_dict(state)
    # No training, so no training set's mean and spread either: pixels go in as 0..1.
    network.mean.zero_()
    network.std.fill_(1)


class Weights(NamedTuple):
    """A kind of weights.

    Attributes:
        words: what a figure's stamp calls it, before the network's title.
        fill: puts the weights into a network that has just been built; the second argument is the seed.
        trained: whether it has learnt anything; what has not is drawn with the seed, so each seed has another network.
    """

    words: str
    fill: Callable[[VGG, int], None]
    trained: bool = True


#: The weights that have a name, by that name. Everything else is taken for the path of a file.
WEIGHTS = {
    "imagenet": Weights("ImageNet", _fill_imagenet),
    "distilled": Weights("distilled", _fill_distilled),
    "untrained": Weights("untrained", _fill_untrained, trained=False),
}


def trained(weights: str) -> bool:
    """Whether weights of this name, or of this file, have learnt anything; then they are the same for every seed."""
    return weights not in WEIGHTS or WEIGHTS[weights].trained


def _imagenet_url(network: Titled) -> str:
    from torchvision import models

    return getattr(models, f"{network.title}_Weights").IMAGENET1K_V1.url


def imagenet_file(network: Titled) -> Path:
    """The file that :func:`weights_variable` names; else that in the torch hub cache, downloaded if need be, its checksum verified."""
    variable = weights_variable(network)
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise DFRError(variable, f"{named} is not a file", "correct the variable or unset it")
        return Path(named)
    file = imagenet_cache(network)
    checksum = file.stem.rsplit("-", 1)[-1]
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # torch writes to a temporary name, verifies the checksum and renames.
            torch.hub.download_url_to_file(_imagenet_url(network), str(file), hash_prefix=checksum, progress=True)
        except (OSError, RuntimeError) as error:
            raise DFRError(
                Setting("weights"),
                f"the ImageNet {network.title} is not on this machine and could not be downloaded ({error})",
                (
                    f"three ways out: copy {file.name} to {file}; or set {weights_variable(network)} to a {network.title} state dict; ",
                    "or use ",
                    Setting("weights", "distilled"),
                    ", the slim VGG19 that comes with the package",
                ),
            ) from error
    found = sha256(file)
    if not found.startswith(checksum):
        raise DFRError(file, f"checksum {found[:8]} is not {checksum}", "the file is damaged, delete it and run again")
    return file


def _fill_from_file(network: VGG, file: Path) -> None:
    """Load what the network needs from a full or a features-only state dict in torchvision's layout."""
    title = network.architecture.title
    state = read_state(file, title)
    prefix = "features." if any(str(key).startswith("features.") for key in state) else ""
    fitting = {}
    for name, own in network.stack.state_dict().items():
        tensor = state.get(prefix + name)
        if not isinstance(tensor, Tensor):
            raise DFRError(Setting("weights"), f"{file} has no {prefix}{name}", f"it is not a {title} state dict in torchvision's layout")
        if tensor.shape != own.shape:
            others = ", ".join(other.title for other in ARCHITECTURES.values() if other != network.architecture)
            raise DFRError(
                Setting("weights"),
                f"{file}: {prefix}{name} has shape {tuple(tensor.shape)}, expected {tuple(own.shape)}",
                f"is it another network ({others}, batch norm) or another width?",
            )
        if not torch.isfinite(tensor).all():
            raise DFRError(Setting("weights"), f"{file}: {prefix}{name} holds NaN or infinite values", "the file is damaged")
        fitting[name] = tensor.float()
    network.stack.load_state_dict(fitting)


def read_state(file: Path, title: str) -> dict[str, Tensor]:
    """A state dict from a file, without running code from it."""
    if not file.is_file():
        raise DFRError(Setting("weights"), f"{file} is not a file", f"give a {title} state dict, or {' or '.join(map(repr, WEIGHTS))}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd files torch warns before it refuses them
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DFRError(
            Setting("weights"),
            f"{file} cannot be read as a state dict ({type(error).__name__})",
            "it may be truncated or of another kind",
        ) from error
    if not isinstance(state, dict):
        raise DFRError(Setting("weights"), f"{file} holds a {type(state).__name__}, not a state dict", "save model.state_dict()")
    return state

"""`dfr bench --only slim`: the embedded edition's DFR, from an image to its map, beside a light peer's bare network and onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import DFRError
from ..methods.dfr import DFR
from ..methods.export import INPUT, export
from .cpu import Row, normal_images
from .tools import alternate


def slim(quick: bool) -> list[Row]:
    """One image at a time, in turn: milliseconds, frames a second, and of the peer's time."""
    edition = "quick" if quick else "embedded"
    images = normal_images(2 if quick else 16)
    detector = DFR(DFR.of_edition(edition), device="cpu", progress=False).fit(images)
    image, peer, network = images[:1], resnet18_to_layer3(), detector.extractor.backbone
    normalised = network.normalise(image).contiguous(memory_format=torch.channels_last)
    layers = detector.extractor.layers
    runs: dict[str, Callable[[], Any]] = {
        "DFR, whole": lambda: detector.anomaly_tensor(image),
        "its bare network": torch.inference_mode()(lambda: list(network.feature_maps(image, layers))),
        "bare ResNet-18 to layer 3": torch.inference_mode()(lambda: peer(normalised)),
    }
    try:
        runs["DFR, whole, in onnxruntime"] = exported(detector, image)
    except DFRError as error:
        print(f"left out: {error}")
    seconds = alternate(runs, 3 if quick else 50)
    theirs = seconds["bare ResNet-18 to layer 3"]
    rows = []
    for name, value in seconds.items():
        goal = {"DFR, whole": 100.0, "DFR, whole, in onnxruntime": 1 / seconds["DFR, whole"]}.get(name)
        rows.append(Row("slim", f"{edition} edition", f"{name}: an image", 1000 * value, "ms"))
        rows.append(Row("slim", f"{edition} edition", f"{name}: frames a second", 1 / value, "fps", goal, True))
        if value != theirs:
            limit = 1.0 if name == "DFR, whole" else None
            rows.append(Row("slim", f"{edition} edition", f"{name}: of ResNet-18's time", value / theirs, "x", limit))
    return rows


def resnet18_to_layer3() -> nn.Module:
    """torchvision's ResNet-18 to the end of its third stage, random weights: what several later methods take features from."""
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    kept = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    return nn.Sequential(*(getattr(network, name) for name in kept)).eval().to(memory_format=torch.channels_last)


def exported(detector: DFR, images: torch.Tensor) -> Callable[[], Any]:
    """The same images through the exported detector, with as many threads as PyTorch has.

    Raises:
        DFRError: the packages for it are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        export(detector, Path(folder) / "part.onnx", {})
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(Path(folder) / "part.onnx", options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: images.numpy()})

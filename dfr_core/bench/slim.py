"""`dfr bench --only slim`: the embedded edition's DFR, from an image to its map, beside a light peer's bare network and onnxruntime.

Each candidate runs in a process of its own: what one leaves behind (threads of onnxruntime that wait busily, memory that the C library
gives back to the system after each image and takes anew for the next) would otherwise be counted as the next one's time.
"""

from __future__ import annotations

import subprocess
import sys
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

MODEL, EXPORTED = "model.safetensors", "model.onnx"


def slim(quick: bool) -> list[Row]:
    """One image at a time: milliseconds, frames a second, and of the peer's time; medians."""
    edition = "quick" if quick else "embedded"
    detector = DFR(DFR.of_edition(edition), device="cpu", progress=False).fit(normal_images(2 if quick else 16))
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder) / MODEL)
        names = list(CANDIDATES)
        try:
            export(detector, Path(folder) / EXPORTED, {})
        except DFRError as error:
            print(f"left out: {error}")
            names.remove(ONNX)
        seconds = {name: _in_a_process(name, folder, 3 if quick else 50) for name in names}
    rows = []
    for name, value in seconds.items():
        goal = {WHOLE: 100.0, ONNX: 1 / seconds[WHOLE]}.get(name)
        rows.append(Row("slim", f"{edition} edition", f"{name}: an image", 1000 * value, "ms"))
        rows.append(Row("slim", f"{edition} edition", f"{name}: frames a second", 1 / value, "fps", goal, True))
        if name != PEER:
            limit = 1.0 if name == WHOLE else None
            rows.append(Row("slim", f"{edition} edition", f"{name}: of ResNet-18's time", value / seconds[PEER], "x", limit))
    return rows


def _in_a_process(name: str, folder: str, repeats: int) -> float:
    """Median seconds of a candidate in a fresh process with as many threads as this one has."""
    command = [sys.executable, "-m", __spec__.name, name, folder, str(repeats), str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise DFRError("bench", f"measuring {name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return float(done.stdout)


# ------------------------------------------------------------------------------------------------------- candidates


def whole(folder: Path) -> Callable[[], Any]:
    """The saved detector, from an image to its map."""
    detector, image = DFR.load(folder / MODEL, device="cpu"), normal_images(1)
    return lambda: detector.anomaly_tensor(image)


def network(folder: Path) -> Callable[[], Any]:
    """The detector's network alone."""
    extractor, image = DFR.load(folder / MODEL, device="cpu").extractor, normal_images(1)
    return torch.inference_mode()(lambda: list(extractor.backbone.feature_maps(image, extractor.layers)))


def peer(folder: Path) -> Callable[[], Any]:
    """ResNet-18 to its third stage on the image as the detector's network gets it."""
    image = DFR.load(folder / MODEL, device="cpu").extractor.backbone.normalise(normal_images(1))
    resnet, image = resnet18_to_layer3(), image.contiguous(memory_format=torch.channels_last)
    return torch.inference_mode()(lambda: resnet(image))


def exported(folder: Path) -> Callable[[], Any]:
    """The exported detector, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(folder / EXPORTED, options, providers=["CPUExecutionProvider"])
    image = normal_images(1).numpy()
    return lambda: session.run(None, {INPUT: image})


def resnet18_to_layer3() -> nn.Module:
    """torchvision's ResNet-18 to the end of its third stage, random weights: what several later methods take features from."""
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    kept = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    return nn.Sequential(*(getattr(network, name) for name in kept)).eval().to(memory_format=torch.channels_last)


WHOLE, PEER, ONNX = "DFR, whole", "bare ResNet-18 to layer 3", "DFR, whole, in onnxruntime"
CANDIDATES = {WHOLE: whole, "its bare network": network, PEER: peer, ONNX: exported}


def _main(name: str, folder: str, repeats: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    print(alternate({name: CANDIDATES[name](Path(folder))}, int(repeats))[name])


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""`dfr export`: a model as one ONNX file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..errors import DFRError, Setting
from ..settings import sides
from .options import check_target

WORDS = "write a model as one ONNX file, for programs without PyTorch"
EPILOG = """\
The file holds network and autoencoder: uint8 images [N, 3, H, W] (RGB, at the model's image size, any N) in, anomaly maps
float32 [N, H, W] and the highest score of each image [N] out. Its metadata has the settings, the thresholds at FPR 0 and
0.005, and above which score an image is anomalous (docs/export.md has a program that uses them). Before it is written it is
compared with PyTorch. Needs onnx, onnxscript and onnxruntime (`pip install '.[export]'`).

example:
  dfr export leather.safetensors --out leather.onnx"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr export`."""
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write (.onnx)")
    parser.add_argument("--weights", metavar="NAME|FILE", help="where the network's weights are now (default: where they were for the fit)")


def main(args: argparse.Namespace) -> int:
    """Run `dfr export`."""
    out = Path(args.out)
    if out.suffix != ".onnx":
        raise DFRError(Setting("out"), f"{out} must end in .onnx")
    check_target("out", out)
    from ..files import load_tensors
    from ..methods import load_detector
    from ..methods.export import INPUT, OUTPUTS, export

    started = time.perf_counter()
    detector = load_detector(args.model, device="cpu", weights=args.weights, progress=False)
    try:
        difference = export(detector, out, load_tensors(args.model)[1])
    except DFRError as error:
        raise error if error.what else DFRError(args.model, error) from error
    height, width = sides(detector.settings.image_size)
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, {INPUT} uint8 [N, 3, {height}, {width}] -> {' and '.join(OUTPUTS)}, "
        f"{time.perf_counter() - started:.1f} s; differs from PyTorch by at most {difference:.1e} of the score"
    )
    return 0

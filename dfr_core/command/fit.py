"""`dfr fit`: a model from normal images."""

from __future__ import annotations

import argparse
import logging
import time
from contextlib import suppress
from pathlib import Path

from ..errors import DFRError, Setting
from .options import FPR, add_settings, check_target, chosen_data, data_arguments, device_argument, quiet_argument, settings_from

#: Measured on four photographs of leather: a quarter of the normal test pixels above a threshold meant for 0.5 %.
FEW = 10

WORDS = "fit a model to normal images"
EPILOG = """\
DATA is a data set in MVTec AD's layout (with --category), one category's folder, or a folder of your own photographs of
normal things (in it or in its folder 'normal'). Prints one line: the model, its size, seconds and thresholds.

examples:
  dfr fit data --category leather --out leather.safetensors
  dfr fit my-photographs --out mine.safetensors --seed 1
  dfr fit photographs/good --out part.safetensors --calibrate photographs/more-good
  dfr fit data --category tile --out tile.safetensors --edition paper --padding reflect --layers 1:16
  dfr fit data --category tile --out tile.safetensors --method ST-m
  dfr fit data --category tile --out tile.safetensors --preset released --checkpoint tile.ckpt --device cuda"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr fit`."""
    data_arguments(parser)
    parser.add_argument("--out", required=True, metavar="MODEL", help="file to write the model to, such as leather.safetensors")
    parser.add_argument("--checkpoint", metavar="FILE", help="keep the state of training there; run again to go on after an interruption")
    parser.add_argument("--calibrate", metavar="DIR", help="normal images that are not trained on, to take the thresholds from")
    parser.add_argument("--memory-gb", type=float, metavar="X", help="GiB that cached features may take (default: 40 %% of what is free)")
    device_argument(parser)
    quiet_argument(parser)
    add_settings(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr fit`."""
    settings = settings_from(args)
    out = Path(args.out)
    check_target("out", out)
    if args.checkpoint:
        check_target("checkpoint", Path(args.checkpoint))
        if Path(args.checkpoint).resolve() == out.resolve():
            raise DFRError(Setting("checkpoint"), "is the same file as --out", "name another one")
    data = chosen_data(args)
    _check_model_target(out)
    from ..data.arrays import as_images, white_among
    from ..methods import method

    # Read first: a mistake is told before the training.
    kept = as_images(args.calibrate, settings.image_size, white_among(data)) if args.calibrate else None
    started = time.perf_counter()
    detector = method(args.method)(settings, device=args.device, memory_gb=args.memory_gb, progress=not args.quiet)
    detector.fit(data, checkpoint=args.checkpoint)
    if kept is not None:
        detector.calibrate(kept)
    detector.save(out)
    if kept is None and len(data.train) < FEW:
        words = "%d training images are few, so more of a new normal image will lie above the threshold than the FPR says; %s"
        logging.getLogger("dfr").info(words, len(data.train), "keep some normal images for --calibrate")
    seconds = time.perf_counter() - started
    thresholds = f"threshold {detector.threshold(FPR):.6g} at FPR {FPR} ({detector.threshold(0):.6g} at 0)"
    thresholds += f", anomalous above {detector.verdict_threshold():.6g}"
    if detector.verdict_.rate:
        n = len(detector.verdict_.kept)
        thresholds += f" (good images like the {n} kept: at most 1 in {n + 1})"
    learnt = "".join(f"{name} {value}, " for name, value in detector.learnt().items())
    print(f"{out}: {detector.name} fitted to {len(data.train)} images, {learnt}{seconds:.1f} s, {thresholds}")
    return 0


def _check_model_target(path: Path) -> None:
    """An earlier model may be replaced; a photograph or anything else may not."""
    if not path.exists():
        return
    from ..files import load_tensors
    from ..methods.model_file import FORMAT

    with suppress(DFRError):
        if load_tensors(path)[1].get("format") == FORMAT:
            return
    raise DFRError(Setting("out"), f"{path} is there already and is not a model", "choose another name, or remove it")

"""`dfr distil`: make a slim VGG19 that has learnt, from a trained one and a folder of photographs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import DFRError, Setting
from .options import check_folder, check_target, quiet_argument

WORDS = "make a slim network that has learnt, from a trained one and photographs"
EPILOG = """\
The slim VGG19 learns to compute what the teacher computes on the photographs (docs/distilled.md). The package has one made so, weights
"distilled". A run that was killed goes on from the state in its cache.

examples:
  dfr distil --teacher imagenet --images photographs --cache cache --out slim.safetensors
  dfr fit data --category leather --out leather.safetensors --weights slim.safetensors --width 0.125"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr distil`."""
    parser.add_argument(
        "--teacher", required=True, metavar="imagenet|FILE",
        help="torchvision's VGG19, or a file of VGG19, VGG16 or EfficientNet-Lite0 (docs/distilled.md)",
    )  # fmt: skip
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of photographs to learn from, of anything")
    parser.add_argument("--out", required=True, metavar="FILE", help="weights to write (.safetensors); a report goes beside them (.json)")
    parser.add_argument("--cache", required=True, metavar="DIR", help="folder for what the teacher says (2 MB a crop) and for checkpoints")
    parser.add_argument("--width", type=float, default=0.125, metavar="W", help="scale of VGG19's channels (default 0.125)")
    parser.add_argument("--steps", type=int, default=12_000, metavar="N", help="optimiser steps (default 12000)")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="crops a step (default 4)")
    parser.add_argument("--learning-rate", type=float, default=0.03, metavar="X", help="Muon's peak (default 0.03)")
    parser.add_argument("--rotation", type=float, default=3.0, metavar="X", help="weight of the teacher's distances (default 3)")
    parser.add_argument("--crops", type=int, default=2000, metavar="N", help="different crops to learn from (default 2000)")
    parser.add_argument("--held-out", type=int, default=100, metavar="N", help="photographs that only measure (default 100)")
    parser.add_argument("--side", type=int, default=192, metavar="N", help="side of a crop in pixels, a multiple of 16 (default 192)")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is faster on processors that have it, far slower on others"
    )
    parser.add_argument("--start", metavar="FILE", help="begin with the student of another run's checkpoint (state-*.safetensors)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every random choice (default 0)")
    quiet_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr distil`."""
    _check(args)
    from ..distil import distil, save
    from ..distil.training import Plan

    names = ("width", "steps", "batch_size", "learning_rate", "rotation", "precision", "seed")
    plan = Plan(**{name: getattr(args, name) for name in names})
    sizes = {"n_crops": args.crops, "n_held_out": args.held_out, "side": args.side}
    result = distil(args.teacher, args.images, args.cache, plan, **sizes, start=args.start, progress=not args.quiet)
    checksum = save(result, args.out)
    print(f"{'layer':>5} {'teacher':>7} {'R2':>7}   on {result.report['photographs']['held out']} photographs held out")
    for layer, explained in result.report["R2 on held-out photographs"].items():
        print(f"{layer:>5} {result.report['pairs'][layer]:>7} {explained:>7.3f}")
    print(f"{args.out}: VGG19 at width {args.width:g}, {Path(args.out).stat().st_size / 1e6:.2f} MB, SHA-256 {checksum}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything long begins."""
    if Path(args.out).suffix != ".safetensors":
        raise DFRError(Setting("out"), f"{args.out} must end in .safetensors")
    check_target("out", Path(args.out))
    check_folder("cache", Path(args.cache))
    if not 0 < args.width <= 1:
        raise DFRError(Setting("width"), f"{args.width} is not in (0, 1]", "1 is the full VGG19")
    if not 0 < args.learning_rate < float("inf"):
        raise DFRError(Setting("learning_rate"), f"{args.learning_rate} is not a positive number")
    if not 0 <= args.rotation < float("inf"):
        raise DFRError(Setting("rotation"), f"{args.rotation} is not a weight of at least 0")
    for name, least in (("steps", 1), ("batch_size", 1), ("crops", 1), ("held_out", 1), ("side", 32), ("seed", 0)):
        if getattr(args, name) < least:
            raise DFRError(Setting(name), f"{getattr(args, name)} is not at least {least}")
    if args.side % 16:
        raise DFRError(Setting("side"), f"{args.side} is not a multiple of 16, by which the network shrinks an image")

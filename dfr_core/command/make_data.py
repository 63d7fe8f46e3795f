"""`dfr make-data`: synthetic categories in MVTec AD's layout."""

from __future__ import annotations

import argparse

from ..editions import EDITIONS
from .options import quiet_argument

WORDS = "make synthetic categories in MVTec AD's layout"
EPILOG = """\
examples:
  dfr make-data data
  dfr make-data data --categories leather,bottle --train 8 --good 2 --defect 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr make-data`."""
    embedded = EDITIONS["embedded"]
    parser.add_argument("folder", metavar="DIR", help="folder to make; a category that is there with the same numbers is left alone")
    parser.add_argument("--categories", metavar="A,B", help="which of MVTec AD's fifteen names (default: all)")
    numbers = (
        ("train", embedded.n_train, "normal images to train with"),
        ("good", embedded.n_good, "normal test images"),
        ("defect", embedded.n_defect, "test images of each kind of defect"),
        ("seed", 0, "seed of all drawings"),
    )
    for name, default, words in numbers:
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{words} (default {default})")
    quiet_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr make-data`."""
    from tqdm import tqdm

    from ..data.synthetic import CATEGORIES, defect_types, make_dataset

    names = list(CATEGORIES)
    if args.categories is not None:
        names = list(dict.fromkeys(name.strip() for name in args.categories.split(",")))
    for name in names:
        defect_types(name)  # a wrong name is reported before the first image is drawn
    for name in tqdm(names, desc="drawing", unit="category", disable=args.quiet, leave=False):
        make_dataset(args.folder, [name], n_train=args.train, n_good=args.good, n_defect=args.defect, seed=args.seed)
    print(f"{args.folder}: {', '.join(names)}; next: dfr fit {args.folder} --category {names[0]} --out {names[0]}.safetensors")
    return 0

"""`dfr reproduce`: the paper's figures and tables; the work is done in :mod:`dfr_core.lab.reproduce`."""

from __future__ import annotations

import argparse

WORDS = "make the figures and tables"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr reproduce`."""
    parser.add_argument("--edition", default=None, help="quick, embedded or paper (default: DFR_EDITION, else embedded)")
    parser.add_argument("--data", default=None, help="folder of MVTec AD (paper edition; default: DFR_DATA), or another one in its layout")
    parser.add_argument("--out", default=None, help="folder for figures and tables (default: figures, or figures-EDITION)")
    parser.add_argument("--results", default=None, help="folder of the records (default: results/EDITION)")
    parser.add_argument(
        "--only", nargs="+", default=None, metavar="ITEM",
        help="some items only: fig1 ... fig9, table1 ... table8, rivals, cost, claims, contact",
    )  # fmt: skip
    parser.add_argument("--categories", nargs="+", default=None, metavar="NAME", help="some categories only (default: all of the data set)")
    parser.add_argument("--seeds", type=int, default=None, help="seeds a measurement (default: 3 in the embedded edition, else 1)")
    parser.add_argument("--jobs", type=int, default=None, help="worker processes (default: one per core that may be used; 1 on a GPU)")
    parser.add_argument("--dask", default=None, metavar="ADDRESS", help="an existing Dask cluster that sees the same folders")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--weights", default=None, help="imagenet, distilled, untrained or a file (default: the edition's)")
    parser.add_argument("--epochs", type=int, default=None, help="override the number of epochs; said on every figure")
    parser.add_argument("--steps", type=int, default=None, help="override the number of optimiser steps; said on every figure")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured, and stop")


def main(args: argparse.Namespace) -> int:
    """Run `dfr reproduce`."""
    from ..figures.gallery import draw
    from ..figures.items import ITEMS
    from ..lab.reproduce import main

    return main(args, {name: item.needs for name, item in ITEMS.items()}, draw)

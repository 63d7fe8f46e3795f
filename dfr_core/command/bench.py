"""`dfr bench`: speed and memory; the work is done in :mod:`dfr_core.bench`."""

from __future__ import annotations

import argparse

WORDS = "measure speed and memory"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr bench`."""
    from ..bench import ONLY, OUT

    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto); cuda measures the GPU part")
    parser.add_argument("--out", default=OUT, metavar="DIR", help=f"folder for the tables and figures (default: {OUT})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, its figures mean nothing")
    parser.add_argument("--only", choices=ONLY, metavar="PART", help=f"one part: {', '.join(ONLY)}")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="repeat the timings; the table gives the median and all runs")
    parser.add_argument("--data", metavar="DIR", help="accuracy: also the categories in this folder (MVTec AD's layout)")


def main(args: argparse.Namespace) -> int:
    """Run `dfr bench`."""
    from ..bench import main

    return main(args)

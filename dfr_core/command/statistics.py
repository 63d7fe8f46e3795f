"""`dfr statistics`: a data set counted as in Table VII."""

from __future__ import annotations

import argparse
import json

WORDS = "count images, defects and regions as in Table VII"
EPILOG = """\
example:
  dfr statistics data"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr statistics`."""
    parser.add_argument("data", metavar="DATA", help="a folder in MVTec AD's layout")
    parser.add_argument("--categories", metavar="A,B", help="which (default: all there are)")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each category")


def main(args: argparse.Namespace) -> int:
    """Run `dfr statistics`."""
    from ..data import statistics

    rows = statistics(args.data, None if args.categories is None else [name.strip() for name in args.categories.split(",")])
    if args.json:
        for row in rows:
            print(json.dumps(row._asdict()))
        return 0
    print(f"{'category':<14}{'train':>8}{'test':>8}{'defects':>9}{'regions':>9}")
    for row in rows:
        print(f"{row.category:<14}{row.n_train:>8}{row.n_test:>8}{row.n_defect_types:>9}{row.n_regions:>9}")
    return 0

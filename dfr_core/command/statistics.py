"""`dfr statistics`: a data set counted as in Table VII, and what was read of it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.statistics import Survey

WORDS = "count images, defects and regions as in Table VII"
EPILOG = """\
Below the table it says for each category which levels (or labels, or indices) its masks hold, how much they mark, and, on
standard error, what lies there and is not used.

example:
  dfr statistics data"""

SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr statistics`."""
    parser.add_argument("data", metavar="DATA", help="a data set in MVTec AD's layout, one of its categories, or a folder of photographs")
    parser.add_argument("--categories", metavar="A,B", help="which (default: all there are)")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each category")


def main(args: argparse.Namespace) -> int:
    """Run `dfr statistics`."""
    from ..data import survey
    from ..data.notes import lines, tell

    surveys = survey(args.data, None if args.categories is None else [name.strip() for name in args.categories.split(",")])
    if args.json:
        for one in surveys:
            read = {"n_masks": one.n_masks, "n_marked": one.n_marked, "n_without_mask": one.n_without_mask}
            read |= {"mask_levels": {f"{level:g}": n for level, n in one.levels.items()}, "notes": lines(one.notes)}
            print(json.dumps(one.row._asdict() | read))
        return 0
    print(f"{'category':<14}{'train':>8}{'test':>8}{'defects':>9}{'regions':>9}")
    for row in (one.row for one in surveys):
        print(f"{row.category:<14}{row.n_train:>8}{row.n_test:>8}{row.n_defect_types:>9}{row.n_regions:>9}")
    for one in surveys:
        print(_read(one))
    for one in surveys:
        tell(one.notes)
    return 0


def _read(one: Survey) -> str:
    """What the masks of a category hold, in one line."""
    without = f"; {one.n_without_mask} defective test images without a mask" if one.n_without_mask else ""
    if not one.n_masks:
        return f"{one.row.category}: no masks{without}"
    levels = list(one.levels)
    shown = ", ".join(f"{level:g}" for level in levels[:SHOWN])
    more = f", ... ({len(levels)} in all, up to {levels[-1]:g})" if len(levels) > SHOWN else ""
    return f"{one.row.category}: {one.n_masks} masks, levels {shown}{more}, {one.n_marked} px marked{without}"

"""`dfr report`: what a model finds on test images, as one HTML file to look at and pass on."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import DFRError, Setting
from ..options import check_target, chosen_data, chosen_model, tested_arguments

WORDS = "write a report on a model and its test images (one HTML file)"
EPILOG = """\
DIR/index.html holds all that it shows, so it opens offline and can be sent as it is: ROC and PRO curves, scores with the thresholds, the
best and the worst images, a table of the defects found and missed, settings. Numbers are those of `dfr evaluate`, measured at the
model's size; images are shown in their own shape. Without masks the curves over pixels are left out, and it says so.

The file contains photographs of DATA, small: pass it on only if you may pass them on.

examples:
  dfr report leather.safetensors data --category leather --out report
  dfr report mine.safetensors my-photographs --test suspects --masks drawn --out report"""

#: Said when the memory does not suffice.
LESS_MEMORY = "test with fewer images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr report`."""
    tested_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the report, index.html; or the .html file itself")


def main(args: argparse.Namespace) -> int:
    """Run `dfr report`."""
    target = Path(args.out)
    target = target if target.suffix.lower() in (".html", ".htm") else target / "index.html"
    check_target("out", target)
    _check_not_foreign(target)
    data = chosen_data(args)
    from ...files import write_text
    from .make import report
    from .page import page

    detector = chosen_model(args)
    made = report(detector, data, args.fpr, Path(args.model).name)
    write_text(target, page(made))
    print(f"{target}: {', '.join(f'{number} {words}' for number, words in made.numbers)}")
    return 0


def _check_not_foreign(target: Path) -> None:
    """An earlier report may be replaced, anything else may not."""
    if target.exists():
        from .page import GENERATOR

        with target.open("rb") as file:
            if GENERATOR.encode() not in file.read(500):
                raise DFRError(Setting("out"), f"{target} is there already and is no report", "name another folder")

"""`dfr score`: anomaly maps, overlays and segmentations of images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DFRError
from .options import check_folder, chosen_model, fpr_argument, model_arguments

WORDS = "map the anomalies of images"
EPILOG = """\
for each image, in DIR:
  NAME_map.tif           the anomaly map as 16-bit grey: score = grey * scale. The threshold is at the
                         middle: grey levels above 32767 are scores above it; white is twice the threshold or more.
  NAME_overlay.jpg       the image, with heat where scores exceed the threshold and the segmentation outlined in blue; to look at
                         (JPEG of quality 95), while map and segmentation are exact
  NAME_segmentation.png  255 where the score exceeds the threshold, else 0
and then one line of JSON on standard output. The segmentation is put in place last, and an earlier one removed first: killed at any
moment, pictures with a segmentation are whole and of one run, and so are those that have their line.

Pictures have the photograph's own size and shape, turned as a viewer shows it; with --size model those at which the model sees it.
NAME is the image's name, with its folders in front where other results in DIR have
that name: results of one image never replace those of another, those of the same image are renewed.

The threshold lets a share FPR of the pixels of the normal training images pass as anomalous, so a few pixels above it are
no alarm. The verdict on the whole image is stricter: "anomalous" if its largest score exceeds every score of
the training images, and of those kept for `dfr fit --calibrate` (verdict_threshold). With n kept images at most one good image
in n + 1 is called anomalous, if it was taken as they were (false_alarms_at_most; null without any: nothing is promised).

Two numbers can be compared between models; scores cannot. "ratio" says how many times the verdict's threshold the largest score is:
above 1 is anomalous. "p_value" is a probability: of good images taken like the n kept ones at most so large a share scores as high;
it is never below 1 / (n + 1), and null without kept images, since the training images can promise nothing.

A missing image is a mistake: nothing is scored. One that cannot be read is reported ("error" instead of a score), the others are
scored, and at the end all such images are listed; the exit code is then 1, or 2 if there was no other. In a folder, masks, results
of an earlier `dfr score` and files of other kinds are passed over, and named.

examples:
  dfr score leather.safetensors photo.jpg --out scored
  dfr score leather.safetensors data/leather/test --out scored --fpr 0 > scores.jsonl"""

#: Said when the memory does not suffice.
LESS_MEMORY = "use --size model, or smaller photographs"
PARTLY, NOTHING = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr score`."""
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files, or folders (with all folders in them)")
    scoring_arguments(parser)


def scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the pictures go and how they are made, for `dfr watch` as well."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures; made if missing")
    words = "of the pictures: the photograph's own, or the model's (default photo)"
    parser.add_argument("--size", choices=("photo", "model"), default="photo", help=words)
    parser.add_argument("--compress", action="store_true", help="compress the map: up to half of it less on the disk, half as fast")
    fpr_argument(parser)
    model_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr score`."""
    from ..data.images import Seen, told, white_of
    from ..data.notes import tell
    from .places import find_images
    from .results import occupied, output_names
    from .scorer import Job, Scorer, in_order, pixels_of

    out = Path(args.out)
    check_folder("out", out)
    paths, passed = find_images(args.images, out)
    names = output_names(paths, occupied(out))
    detector = chosen_model(args)
    detector.threshold(args.fpr)  # a mistake in it is told before the notes
    tell(passed)
    white = max(filter(None, (detector.white_, white_of(paths))), default=None)
    scorer = Scorer(detector, out, args.fpr, args.size, args.compress, white)
    jobs = ((Job(path, name), pixels_of(path)) for path, name in zip(paths, names, strict=True))
    failures: list[DFRError] = []
    seen: list[Seen] = []
    try:
        for done in in_order(scorer, jobs):
            if done.error is not None:
                if len(paths) == 1:
                    raise done.error
                failures.append(done.error)
            else:
                seen.append(done.seen)
            print(json.dumps(done.row), flush=True)
    finally:  # also when the disk is full in the middle
        tell(told(seen, detector.white_))
        _list(failures)
    return 0 if not failures else PARTLY if seen else NOTHING


def _list(failures: Sequence[DFRError]) -> None:
    """What could not be scored, last on the screen: a line each, and one that counts them where they are several."""
    for error in failures:
        print(f"dfr: error: {' '.join(str(error).split())}", file=sys.stderr)
    if len(failures) > 1:
        print(f"dfr: error: {len(failures)} of what was named could not be scored", file=sys.stderr)

"""`dfr score`: anomaly maps, overlays and segmentations of images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import DFRError, Setting
from .options import check_folder, chosen_model, fpr_argument, model_arguments

WORDS = "map the anomalies of images"
EPILOG = """\
for each image, in DIR:
  NAME_map.png           the anomaly map as 16-bit grey: score = grey * scale. The threshold is at the
                         middle: grey levels above 32767 are scores above it; white is twice the threshold or more.
  NAME_overlay.png       the image, with heat where scores exceed the threshold and the segmentation outlined in blue
  NAME_segmentation.png  255 where the score exceeds the threshold, else 0
and one line of JSON on standard output. Pictures have the size at which the model sees an image (256 x 256), whatever the
photograph's own. NAME is the image's name, with its folder in front where two images have the same name.

The threshold lets a share FPR of the pixels of the normal training images pass as anomalous, so a few pixels above it are
no alarm. The verdict on the whole image is stricter: "anomalous" if its largest score exceeds every score of
the training images, and of those kept for `dfr fit --calibrate` (verdict_threshold). With n kept images at most one good image
in n + 1 is called anomalous, if it was taken as they were (false_alarms_at_most; null without any: nothing is promised).

examples:
  dfr score leather.safetensors photo.jpg --out scored
  dfr score leather.safetensors data/leather/test --out scored --fpr 0 > scores.jsonl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dfr score`."""
    parser.add_argument("model", metavar="MODEL", help="a file that `dfr fit` wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files, or folders (with all folders in them)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures; made if missing")
    fpr_argument(parser)
    model_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run `dfr score`."""
    from ..data import load_images
    from ..plotting import to_image
    from .pictures import GREY_THRESHOLD, WHITE, find_images, output_names, write_pictures

    out = Path(args.out)
    check_folder("out", out)
    paths = find_images(args.images, out)
    names = output_names(paths)
    _check_not_input(out, names, paths)
    detector = chosen_model(args)
    threshold, highest = detector.threshold(args.fpr), detector.verdict_threshold()
    batch = detector.extractor.batch
    for start in range(0, len(paths), batch):
        images = load_images(paths[start : start + batch], detector.settings.image_size)
        maps = detector.anomaly_tensor(images).cpu().numpy()
        for path, name, image, scores in zip(paths[start:], names[start:], images, maps, strict=False):
            written = write_pictures(out, name, to_image(image), scores, threshold)
            score = float(scores.max())
            line = {
                "file": str(path),
                "image_score": score,
                "verdict": "anomalous" if score > highest else "normal",
                "verdict_threshold": highest,
                "false_alarms_at_most": detector.verdict_.rate,
                "fpr": args.fpr,
                "threshold": threshold,
                "anomalous_share": round(float((scores > threshold).mean()), 6),
                "scale": 2 * threshold / WHITE,
                "grey_threshold": GREY_THRESHOLD,
                "size": list(scores.shape),
            }
            print(json.dumps(line | written), flush=True)
    return 0


def _check_not_input(out: Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    inputs = {path.resolve() for path in paths}
    for name in names:
        for kind in ("map", "overlay", "segmentation"):
            path = out / f"{name}_{kind}.png"
            if path.resolve() in inputs:
                raise DFRError(Setting("out"), f"would overwrite the image {path}", "name another folder for the results")

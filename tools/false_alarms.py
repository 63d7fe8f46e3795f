"""How often good images are called anomalous, and defects found, for 0, 3, 6, 10 and 30 calibration images (docs/choices.md).

    python tools/false_alarms.py                          the fifteen synthetic categories, embedded edition
    python tools/false_alarms.py --weights FILE           with another network
    python tools/false_alarms.py --data mvtec             categories in MVTec AD's layout instead

Each category is fitted once. Calibration images are drawn again and again from good ones that were not trained on, and the rest of
these is judged. "before": by the highest score of the calibration images, or without any of the training images; "now": by
:class:`dfr_core.methods.verdict.Verdict`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from dfr_core import DFR, edition
from dfr_core.data import available, load_category
from dfr_core.data.synthetic import CATEGORIES, defect_types, make_image
from dfr_core.methods.verdict import Verdict

COUNTS, DRAWS, GOOD = (0, 3, 6, 10, 30), 200, 60
Images = tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]


def synthetic(n_train: int) -> Iterator[Images]:
    """Name, images to train with, other good ones, defective ones."""

    def drawn(category: str, first: int, n: int, **more: str) -> list[np.ndarray]:
        return [make_image(category, first + k, **more)[0] for k in range(n)]

    for name in CATEGORIES:
        bad = [image for defect in defect_types(name) for image in drawn(name, 2000, 4, split="test", defect=defect)]
        yield name, *(_tensor(x) for x in (drawn(name, 0, n_train), drawn(name, 1000, GOOD), bad))


def photographed(root: str, n_train: int, size: int) -> Iterator[Images]:
    """The same of a data set's categories; which of the normal images are trained on is drawn."""
    for name in available(root):
        category = load_category(root, name)
        normal, (test, masks) = category.load_train(size), category.load_test(size)
        defective = masks.flatten(1).any(1)
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(normal)))
        yield name, normal[order[:n_train]], torch.cat([normal[order[n_train:]], test[~defective]]), test[defective]


def _tensor(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def row(training: torch.Tensor, good: torch.Tensor, bad: torch.Tensor) -> np.ndarray:
    """From the highest score of each image: % [of good called anomalous, of bad found], before and now, for each count: [2, 2, 5]."""
    random, found = np.random.default_rng(0), []
    for n in COUNTS:
        shares = []
        for _ in range(DRAWS if n else 1):
            order = torch.from_numpy(random.permutation(len(good)))
            kept, rest = good[order[:n]], good[order[n:]]
            limits = float((kept if n else training).max()), Verdict(training, kept).threshold
            shares.append([[float((x > limit).float().mean()) for limit in limits] for x in (rest, bad)])
        found.append(100 * np.mean(shares, axis=0))
    return np.stack(found, axis=-1)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--data")
    parser.add_argument("--train", type=int, default=16, help="images to train with (16)")
    args = parser.parse_args()
    settings = edition("embedded").settings
    settings = replace(settings, weights=args.weights) if args.weights else settings
    source = photographed(args.data, args.train, settings.image_size) if args.data else synthetic(args.train)
    counts = ", ".join(map(str, COUNTS))
    print(f"| category ({args.train} trained on) | before: {counts} kept | now | defects found, before | now |\n|---|---|---|---|---|")
    rows = []
    for name, *images in source:
        detector = DFR(settings, progress=False).fit(images[0])
        rows.append(row(*(torch.from_numpy(detector.image_score(x)) for x in images)))
        print(_line(name, rows[-1]), flush=True)
    print(_line("mean", np.mean(rows, axis=0)))
    print(_line("worst", np.max(rows, axis=0)))


def _line(name: str, values: np.ndarray) -> str:
    return f"| {name} | " + " | ".join(", ".join(f"{v:.1f}" for v in part) for part in values.reshape(4, -1)) + " |"


if __name__ == "__main__":
    main()

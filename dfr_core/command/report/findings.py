"""What a model finds on test images, image by image and defect by defect: the numbers of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data import GOOD, UNKNOWN, Sample
from ...regions import connected_regions

#: A defect of which at least this share is above the threshold counts as found; of which less is, as found in part.
FOUND_SHARE = 0.5


@dataclass(frozen=True)
class Finding:
    """One test image.

    Attributes:
        sample: which.
        index: its place among the test images.
        score: the largest of its anomaly map.
        ratio: how many times the verdict's threshold that is: above 1 is anomalous.
        share: of its pixels above the segmentation threshold, 0 to 1.
        regions: of each of its true defects (8-connected regions) the share above the segmentation threshold;
            None where no mask says what is true.
    """

    sample: Sample
    index: int
    score: float
    ratio: float
    share: float
    regions: tuple[float, ...] | None

    @property
    def anomalous(self) -> bool:
        """The verdict on the image."""
        return self.ratio > 1

    @property
    def known(self) -> bool:
        """Whether somebody said if the image is good."""
        return self.sample.defect != UNKNOWN

    @property
    def defective(self) -> bool:
        """Whether it is known not to be good."""
        return self.known and self.sample.defect != GOOD

    @property
    def found(self) -> tuple[int, int, int]:
        """How many of its defects are found, found in part, and missed."""
        shares = self.regions or ()
        found = sum(share >= FOUND_SHARE for share in shares)
        missed = sum(share == 0 for share in shares)
        return found, len(shares) - found - missed, missed


@dataclass(frozen=True)
class Kind:
    """The images of one kind of defect, counted.

    Attributes:
        name: the kind.
        images: how many; ``anomalous`` of them by the verdict.
        defects: how many of theirs are found, found in part, and missed; None where none are known.
    """

    name: str
    images: int
    anomalous: int
    defects: tuple[int, ...] | None


def findings(samples: Sequence[Sample], maps: np.ndarray, masks: np.ndarray | None, threshold: float, highest: float) -> list[Finding]:
    """Judge every test image.

    Args:
        samples: N of them.
        maps: their anomaly maps, float [N, h, w].
        masks: the truth, bool [N, h, w]; None: there is none.
        threshold: of the segmentation.
        highest: the verdict's.
    """
    shares = [None] * len(samples) if masks is None else _region_shares(masks, maps > threshold)
    found = []
    for k, sample in enumerate(samples):
        score = float(maps[k].max())
        ratio = score / highest if highest > 0 else float("inf") if score > 0 else 0.0
        found.append(Finding(sample, k, score, ratio, float((maps[k] > threshold).mean()), shares[k]))
    return found


def _region_shares(masks: np.ndarray, above: np.ndarray) -> list[tuple[float, ...]]:
    """Of each true region of each image, the share above the threshold."""
    labels, sizes = connected_regions(masks)
    hits = np.bincount(labels[above & masks], minlength=len(sizes) + 1)[1:]
    image = np.zeros(len(sizes), int)
    image[labels[masks] - 1] = np.nonzero(masks)[0]
    return [tuple((hits / sizes)[image == k].tolist()) for k in range(len(masks))]


def kinds(found: Sequence[Finding]) -> list[Kind]:
    """The findings counted by kind of defect, good images last."""
    names = sorted(dict.fromkeys(finding.sample.defect for finding in found), key=lambda name: name == GOOD)
    return [_counted(name, [finding for finding in found if finding.sample.defect == name]) for name in names]


def total(found: Sequence[Finding]) -> Kind | None:
    """All defective images as one row; None where there are not several kinds of them."""
    defective = [finding for finding in found if finding.defective]
    return _counted("all defects", defective) if len({finding.sample.defect for finding in defective}) > 1 else None


def _counted(name: str, found: Sequence[Finding]) -> Kind:
    masked = all(finding.regions is not None for finding in found) and any(finding.regions for finding in found)
    defects = tuple(map(sum, zip(*(finding.found for finding in found)))) if masked else None
    return Kind(name, len(found), sum(finding.anomalous for finding in found), defects)


def choices(found: Sequence[Finding], each: int = 4) -> list[tuple[str, str, list[Finding]]]:
    """The best and the worst images: (heading, words, images). No image is in two choices, and none of them is empty."""
    falling = sorted(found, key=lambda finding: -finding.ratio)
    defective = [finding for finding in falling if finding.defective]
    good = [finding for finding in falling if finding.known and not finding.defective]
    unknown = [finding for finding in falling if not finding.known]
    most = min(each, max(1, len(defective) // 2))  # of three defective images the worst must not be among the best
    best, rest = defective[:most], defective[most:]
    all_ = [
        ("Defects scored lowest", "Missed, or nearest to it.", rest[-each:][::-1]),
        ("Good images scored highest", "False alarms, or nearest to it.", good[:each]),
        ("Defects scored highest", "The clearest cases.", best),
        ("Images scored highest", "Nobody said whether they are good.", unknown[:each]),
        ("Images scored lowest", "Nobody said whether they are good.", unknown[each:][-each:][::-1]),
    ]
    return [choice for choice in all_ if choice[2]]

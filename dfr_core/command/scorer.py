"""What `dfr score` and `dfr watch` do with each photograph, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

from ..data.decode import head
from ..data.images import Seen, read_photograph, resized, to_tensor
from ..device import cores
from ..errors import DFRError
from ..methods.base import Detector
from .image_files import LONGEST
from .pictures import GREY_THRESHOLD, WHITE, at_size, write_pictures

J, R = TypeVar("J"), TypeVar("R")

#: Photographs at a time, at most; with more of them the memory would grow and the disk be the limit.
WORKERS = 4
#: Pixels of photographs that are held at a time, beyond the first.
PIXELS = 50_000_000


class Job(NamedTuple):
    """A photograph to be scored, and the name of its pictures."""

    path: Path
    name: str


@dataclass(frozen=True)
class Done:
    """What became of it.

    Attributes:
        row: what there is to say about it: scores, verdict, paths of the pictures, or the error; empty if the file has changed meanwhile.
        seen: what was seen in the file; None if it was not scored.
        error: why it could not be read.
    """

    job: Job
    row: dict[str, Any]
    seen: Seen | None = None
    error: DFRError | None = None


@dataclass(frozen=True)
class Scorer:
    """Reads a photograph, maps it and writes its pictures; any number of threads may call it at once.

    Attributes:
        detector: a fitted one.
        out: the folder for the pictures.
        fpr: of the segmentation threshold.
        size: of the pictures: ``"photo"`` or ``"model"``.
        compress: the map.
        white: white of grey levels of more than 8 bit, one for all photographs; None: each has its own.
        unchanged: says before anything is written whether the file is still the one that was to be read.
    """

    detector: Detector
    out: Path
    fpr: float
    size: str = "photo"
    compress: bool = False
    white: int | None = None
    unchanged: Callable[[Job], bool] = lambda job: True
    _mapping: Any = field(default_factory=Lock)

    def __call__(self, job: Job) -> Done:
        """Score one photograph; nothing is written if it cannot be read or has changed meanwhile.

        Raises:
            DFRError: the pictures cannot be written. A photograph that cannot be read is told in what is returned.
        """
        try:
            photograph = read_photograph(job.path, self.white)
            if self.size == "photo" and max(photograph.picture.size) > LONGEST:
                problem = f"a side is longer than {LONGEST} pixels, the most that an overlay (JPEG) can have"
                raise DFRError(job.path, problem, "use --size model, or cut it into pieces")
        except DFRError as error:
            return Done(job, {"file": str(job.path), "error": str(error)}, error=error)
        seen = resized(photograph.picture, self.detector.settings.image_size)
        scores = self._map(seen)
        if not self.unchanged(job):
            return Done(job, {})
        row = self._write(job, photograph.picture if self.size == "photo" else seen, scores)
        return Done(job, row, Seen(job.path, photograph.picture.size, photograph.white, photograph.turned, photograph.notes))

    def _map(self, seen: Image.Image) -> np.ndarray:
        """The anomaly map of a photograph at the model's size: float32 [h, w]."""
        image = to_tensor(np.asarray(seen))[None]
        with self._mapping if self.detector.device.type == "cuda" else nullcontext():  # a GPU has one queue of work
            return self.detector.anomaly_tensor(image)[0].cpu().numpy()

    def _write(self, job: Job, picture: Image.Image, scores: np.ndarray) -> dict[str, Any]:
        detector = self.detector
        score, highest, threshold = float(scores.max()), detector.verdict_threshold(), detector.threshold(self.fpr)
        scores = at_size(scores, picture.height, picture.width)
        written = write_pictures(self.out, job.name, job.path, picture, scores, threshold, self.compress)
        return {
            "file": str(job.path),
            "image_score": score,
            "ratio": score / highest if highest > 0 else None,
            "p_value": detector.verdict_.p_value(score),
            "verdict": "anomalous" if score > highest else "normal",
            "verdict_threshold": highest,
            "false_alarms_at_most": detector.verdict_.rate,
            "fpr": self.fpr,
            "threshold": threshold,
            "anomalous_share": round(np.count_nonzero(scores > threshold) / scores.size, 6),
            "scale": 2 * threshold / WHITE,
            "grey_threshold": GREY_THRESHOLD,
            "size": list(scores.shape),
        } | written


def pixels_of(path: Path) -> int:
    """Pixels of a photograph by the head of its file; 0 if it has none that can be read."""
    picture = head(path)
    return picture.width * picture.height if picture else 0


def in_order(work: Callable[[J], R], jobs: Iterable[tuple[J, int]]) -> Iterator[R]:
    """``work`` done on several jobs at a time, the results in the order of the jobs.

    Reading, mapping and writing set Python's lock free, so while one photograph is mapped others are read and written; each has one of
    the threads that torch would give to one image. The first error ends it; what was begun is finished, whatever happens.

    Args:
        jobs: each with its pixels, of which few are held at a time. Asked for the next one only when there is room.
    """
    workers = min(WORKERS, cores())
    waiting: deque[tuple[Future, int]] = deque()
    with _shared_threads(workers):
        pool = ThreadPoolExecutor(workers)
        try:
            for job, pixels in jobs:
                while waiting and (len(waiting) >= 3 * workers or sum(held for _, held in waiting) + pixels > PIXELS):
                    yield waiting.popleft()[0].result()
                waiting.append((pool.submit(work, job), pixels))
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _shared_threads(workers: int) -> Iterator[None]:
    """Torch's threads shared among the workers: were each to take all, they would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)

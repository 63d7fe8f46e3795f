"""`dfr bench --only folder`: `dfr score` on a folder of photographs, beside a loop that only reads, resizes and maps them one by one.

The command runs as people run it, in a process of its own; what it takes for one photograph (Python's start above all) is taken off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from ..data.images import read_photograph, resize_picture, to_tensor
from ..data.synthetic import make_image
from ..errors import DFRError
from ..methods.dfr import DFR
from .cpu import Row, normal_images
from .tools import alternate

BARE, ONE = "bare loop", "one photograph"
#: The command with its default options, and with pictures of the model's size.
COMMANDS: dict[str, tuple[str, ...]] = {"dfr score": (), "dfr score --size model": ("--size", "model")}
#: Of the bare loop's frames, what the command is to reach.
GOAL = 0.8


def folder(quick: bool) -> list[Row]:
    """Frames a second with photographs of two sizes, and the command's share of the bare loop's; each once (``--runs`` for more)."""
    edition, n, sides = ("quick", 4, (64, 96)) if quick else ("embedded", 200, (320, 1024))
    detector = DFR(DFR.of_edition(edition), device="cpu", progress=False).fit(normal_images(2 if quick else 16))
    rows = []
    with tempfile.TemporaryDirectory() as made:
        model = Path(made) / "model.safetensors"
        detector.save(model)
        for side in sides:
            paths = photographs(Path(made) / str(side), n + 1, side)
            runs = {BARE: lambda paths=paths: bare(detector, paths[1:]), ONE: lambda paths=paths: score(model, paths[:1])}
            runs |= {name: lambda paths=paths, more=more: score(model, paths, *more) for name, more in COMMANDS.items()}
            seconds = alternate(runs, 1, warm=False)
            case = f"{edition} edition, {n} photographs of {side} x {side * 3 // 4}"
            rows.append(Row("folder", case, f"{BARE}: frames a second", n / seconds[BARE], "fps"))
            for name in COMMANDS:
                rest = max(seconds[name] - seconds[ONE], 1e-9)  # tiny sizes are lost in the start
                rows.append(Row("folder", case, f"{name}: frames a second", n / rest, "fps"))
                rows.append(Row("folder", case, f"{name}: of the bare loop's frames", seconds[BARE] / rest, "x", GOAL, True))
    return rows


def photographs(folder: Path, n: int, side: int) -> list[Path]:
    """JPEG files of 4:3 in a folder, every other one of a leather with a cut in it."""
    folder.mkdir()
    paths = [folder / f"{k:03}.jpg" for k in range(n)]
    for k, path in enumerate(paths):
        image, _ = make_image("leather", k % 20, split="test", defect="cut" if k % 2 else None)
        Image.fromarray(image).resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def bare(detector: DFR, paths: list[Path]) -> None:
    """Read, resize and map photographs, with all of torch's threads; nothing is written."""
    for path in paths:
        image = resize_picture(read_photograph(path).picture, detector.settings.image_size)
        detector.anomaly_tensor(to_tensor(image)[None])


def score(model: Path, paths: list[Path], *more: str) -> None:
    """The command on photographs, with as many threads as torch has here.

    Raises:
        DFRError: it fails.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "dfr_core", "score", model, *paths, "--out", out, "--device", "cpu", *more]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=os.environ | threads)
    if done.returncode:
        raise DFRError("bench", f"`dfr score` failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")

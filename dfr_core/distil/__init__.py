"""Making a slim network that has learnt: a student VGG19 imitates a trained network on photographs (`dfr distil`).

DFR needs features that were learnt from many images (III-A), and the network that has them is large: 80 MB and a second an image on
a small machine. Distillation (Hinton, Vinyals and Dean, arXiv 1503.02531; by hints in the middle: Romero et al., arXiv 1412.6550)
trains a small network to predict what the large one computes; no labels are needed, any photographs will do.

:mod:`crops` says which pictures are shown, :mod:`teacher` and :mod:`targets` what is to be learnt from them, :mod:`student` what
learns, :mod:`training` how, and :func:`distil` here does all of it.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..backbones.vgg import VGG
from ..errors import DFRError, Setting
from ..files import save_tensors, sha256, write_text
from . import crops
from .student import equalise
from .targets import Source, Targets
from .teacher import load_teacher
from .training import Plan, held_out, run_of, train

EQUALISED_ON = 256  # crops that decide each channel's scale
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Result:
    """A distilled network and how it was made.

    Attributes:
        network: the plain slim VGG19, its weights rounded to half precision.
        report: teacher, photographs, settings, curve, what is left unexplained a layer; fit for JSON.
    """

    network: VGG
    report: dict[str, Any]


def distil(
    teacher: str,
    images: str | Path,
    cache: str | Path,
    plan: Plan,
    *,
    n_crops: int = 2000,
    n_held_out: int = 100,
    side: int = 192,
    start: str | Path | None = None,
    progress: bool = True,
) -> Result:
    """Train a slim VGG19 to imitate a teacher.

    Args:
        teacher: ``"imagenet"`` or a file, see :func:`.teacher.load_teacher`.
        images: a folder of photographs.
        cache: a folder for the teacher's targets (2 MB a crop) and the state of the training.
        plan: width, steps and the like.
        n_crops: crops to learn from.
        n_held_out: photographs that only measure, one crop each; at most a fifth of all.
        side: of a crop in pixels, a multiple of 16.
        start: the checkpoint of an earlier run (``state-....safetensors`` in its cache) to begin with, instead of random weights.
        progress: show progress bars, one for the teacher's targets and one for the student.

    Raises:
        DFRError: teacher, photographs or cache cannot be used.
    """
    network = load_teacher(teacher)
    if start is not None:
        plan = replace(plan, start=_fingerprint(Path(start)))
    training, measuring = crops.split(crops.photographs(images), n_held_out, plan.seed)
    named = f"{network.name} {network.fingerprint()}"
    source = Source(named, crops.fingerprint([*training, *measuring]), n_crops, len(measuring), side, plan.seed)
    targets = Targets(source, cache, network, training, measuring)
    with tqdm(total=n_crops + len(measuring), desc="teacher", unit="crop", disable=not progress) as bar:
        for done in targets.make():
            bar.update(done)
    started = time.monotonic()
    state = Path(cache) / f"state-{hashlib.sha256(run_of(plan, source).encode()).hexdigest()[:12]}.safetensors"
    student, curve = train(plan, targets, state, start and Path(start), progress)
    unexplained, turned = held_out(student, targets)
    plain = student.fold()
    dead = equalise(plain, (targets.batch([k])[0] for k in range(min(EQUALISED_ON, n_crops))))
    plain.stack.load_state_dict({name: tensor.half().float() for name, tensor in plain.stack.state_dict().items()})
    report = {
        "teacher": named,
        "photographs": {"fingerprint": source.photographs, "to learn from": len(training), "held out": len(measuring)},
        "crops": {"number": n_crops, "side": side},
        "plan": plan.identity(),
        "seconds of the last run": round(time.monotonic() - started),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "pairs": network.pairs(),
        "dead channels": dead,
        "R2 on held-out photographs": {layer: round(1 - float(u), 4) for layer, u in enumerate(unexplained, start=1)},
        "rotation loss on held-out photographs": {layer: round(float(v), 4) for layer, v in enumerate(turned, start=1)},
        "curve": _summary(curve),
    }
    return Result(plain, report)


def save(result: Result, out: str | Path) -> str:
    """Write the weights in half precision, and the report beside them as JSON; returns the weights file's SHA-256.

    Args:
        out: file for the weights (.safetensors), named as in torchvision's ``features``; the report takes its name, ending in .json.
    """
    out = Path(out)
    state: dict[str, Tensor] = {name: tensor.half() for name, tensor in result.network.stack.state_dict().items()}
    made = {key: value for key, value in result.report.items() if key not in _OF_THE_RUN}
    # One entry: safetensors writes several in an order that is another in every process.
    save_tensors(out, state, {"made": json.dumps({"network": "VGG19", "width": result.report["plan"]["width"], **made}, sort_keys=True)})
    checksum = sha256(out)
    write_text(out.with_suffix(".json"), json.dumps({"sha256": checksum, **result.report}, indent=1) + "\n")
    return checksum


#: Parts of the report that say how the computer was, not what was made: the same seed must give the same file.
_OF_THE_RUN = ("seconds of the last run", "curve", "threads", "torch")


def _fingerprint(path: Path) -> str:
    if not path.is_file():
        raise DFRError(Setting("start"), f"{path} is not a file", "name a checkpoint (state-....safetensors) of an earlier run")
    return sha256(path)[:16]


def _summary(curve: np.ndarray) -> dict[str, Any]:
    """The curve [steps, 2, L] as means over equal stretches."""
    parts = np.array_split(curve, min(_CURVE_POINTS, len(curve)))
    ends = np.cumsum([len(part) for part in parts])
    means = [part.mean(0) for part in parts]
    names = ("1 - R2 of each layer", "rotation loss of each layer")
    return {"step": ends.tolist()} | {name: [[round(float(v), 4) for v in mean[k]] for mean in means] for k, name in enumerate(names)}

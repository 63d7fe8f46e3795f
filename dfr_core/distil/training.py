"""The loop: a student learns the teacher's components, and can be killed at any moment.

Every random choice is a function of the seed and the step, so a run that goes on from its checkpoint ends with the same bits as one
that was never interrupted (on the same machine with the same number of threads, since sums are rounded in their order).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DFRError
from ..files import load_tensors, save_tensors
from .student import Student
from .targets import Targets

CHECKPOINT_SECONDS = 60.0
SETTLING = 64  # batches from which the normalisations take their statistics in the end
WARM_UP = 0.05  # share of the steps in which the learning rate rises
_ORDER = 5  # name of a random stream


@dataclass(frozen=True)
class Plan:
    """How a student is trained.

    Attributes:
        width: scale of VGG19's channels.
        steps, batch_size: optimiser steps, crops in each.
        learning_rate: AdamW's peak; it rises for a twentieth of the steps and falls to zero along a cosine.
        weight_decay: AdamW's.
        seed: of the first weights and of the order of the crops.
    """

    width: float = 0.125
    steps: int = 40_000
    batch_size: int = 8
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        rise = max(1, int(WARM_UP * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise))) / 2

    def crops(self, step: int, n: int) -> list[int]:
        """Which of ``n`` crops make up the batch of a step: all in random order, then all in another."""
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        return [int(_order(self.seed, place // n, n)[place % n]) for place in places]


def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(n)


def layer_losses(student: Student, images: Tensor, targets: dict[int, Tensor], pairs: dict[int, int]) -> Tensor:
    """What is not explained of the paired teacher layer, 1 - R^2, for each of the student's layers: [L].

    Args:
        images: uint8 [N, 3, H, W].
        targets: for each layer of the teacher [N, h', w', K], of unit total variance.
        pairs: layer of the student -> layer of the teacher.
    """
    predicted = student(images)
    # mse_loss averages over components, too; their variances sum to one.
    return torch.stack([F.mse_loss(p, targets[pairs[layer]]) * p.shape[-1] for layer, p in sorted(predicted.items())])


def train(
    plan: Plan, targets: Targets, checkpoint: Path | None = None, progress: Callable[[int, float], None] | None = None
) -> tuple[Student, np.ndarray]:
    """Train a student on targets that have been made.

    Args:
        checkpoint: a file to keep the state in; a run killed at any moment goes on from it.
        progress: called after each step with the number of steps done and the loss.

    Returns:
        The student in evaluation mode, and the loss of each layer at each step, float32 [steps, L].

    Raises:
        DFRError: a checkpoint of another run, or the loss is not finite.
    """
    pairs = targets.teacher.pairs()
    student = Student(plan.width, {layer: targets.components[pairs[layer]] for layer in pairs}, plan.seed)
    parameters = [p for p in student.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    curve = np.zeros((plan.steps, len(pairs)), dtype=np.float32)
    state = _State(checkpoint, json.dumps([asdict(plan), asdict(targets.source)], sort_keys=True))
    done = state.restore(student, optimiser, parameters, curve)
    student.train()
    for step, (images, maps) in enumerate(_batches(plan, targets, done), start=done):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        optimiser.zero_grad(set_to_none=True)
        losses = layer_losses(student, images, maps, pairs)
        losses.mean().backward()
        optimiser.step()
        curve[step] = losses.detach().numpy()
        if not np.isfinite(curve[step]).all():
            raise DFRError(f"distilling diverged at step {step} (the loss is not finite); lower --learning-rate")
        if progress:
            progress(step + 1, float(curve[step].mean()))
        if state.due() or step + 1 == plan.steps:
            state.save(step + 1, student, optimiser, parameters, curve)
    n = targets.source.n_training
    settling = (plan.crops(step, n) for step in range(min(SETTLING, plan.steps)))
    student.settle(targets.batch(numbers)[0] for numbers in settling)
    return student, curve


def _batches(plan: Plan, targets: Targets, done: int) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
    """The batches from step ``done`` on; the next is read while one is used."""
    n = targets.source.n_training

    def read(step: int) -> tuple[Tensor, dict[int, Tensor]]:
        return targets.batch(plan.crops(step, n))

    with ThreadPoolExecutor(1) as reader:
        waiting: Future | None = reader.submit(read, done) if done < plan.steps else None
        for step in range(done, plan.steps):
            batch = waiting.result()
            waiting = reader.submit(read, step + 1) if step + 1 < plan.steps else None
            yield batch


@torch.no_grad()
def held_out(student: Student, targets: Targets, batch_size: int = 8) -> np.ndarray:
    """1 - R^2 of each layer on the held-out crops, float [L]; the student in evaluation mode."""
    n, pairs = targets.source.n_held_out, targets.teacher.pairs()
    total = np.zeros(len(pairs))
    for first in range(0, n, batch_size):
        numbers = list(range(first, min(first + batch_size, n)))
        total += layer_losses(student, *targets.batch(numbers, held_out=True), pairs).numpy() * len(numbers)
    return total / n


class _State:
    """The checkpoint of a run: weights, optimiser, curve."""

    def __init__(self, path: Path | None, run: str) -> None:
        self.path, self.run = path, run
        self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last >= CHECKPOINT_SECONDS

    def save(self, step: int, student: Student, optimiser: torch.optim.Optimizer, parameters: list[Tensor], curve: np.ndarray) -> None:
        self.last = time.monotonic()
        if self.path is None:
            return
        tensors = {f"student.{name}": tensor for name, tensor in student.state_dict().items()}
        for k, parameter in enumerate(parameters):
            tensors |= {f"adam.{k}.{name}": value for name, value in optimiser.state[parameter].items()}
        save_tensors(self.path, tensors | {"curve": torch.from_numpy(curve[:step])}, {"run": self.run, "step": str(step)})

    def restore(self, student: Student, optimiser: torch.optim.Optimizer, parameters: list[Tensor], curve: np.ndarray) -> int:
        """Put a saved state back; returns the steps done."""
        if self.path is None or not self.path.exists():
            return 0
        tensors, about = load_tensors(self.path)
        if about.get("run") != self.run:
            raise DFRError(f"{self.path}: is the state of another run; delete it to start afresh")
        try:
            step = int(about["step"])
            student.load_state_dict({k.removeprefix("student."): v for k, v in tensors.items() if k.startswith("student.")})
            for k, parameter in enumerate(parameters):
                optimiser.state[parameter] = {name: tensors[f"adam.{k}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            curve[:step] = tensors["curve"].numpy()
        except (KeyError, ValueError, RuntimeError) as error:
            raise DFRError(f"{self.path}: a damaged checkpoint ({str(error).splitlines()[0]}); delete it to start afresh") from error
        return step

"""The loop: a student learns the teacher's components, and can be killed at any moment.

Every random choice is a function of the seed and the step, so a run that goes on from its checkpoint ends with the same bits as one
that was never interrupted (on the same machine with the same number of threads, since sums are rounded in their order).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import DFRError, Setting
from ..files import load_tensors, save_tensors
from ..methods.train import Checkpoint
from .muon import Muon
from .student import Student
from .targets import Source, Targets

CHECKPOINT_SECONDS = 60.0
LARGE = 32  # rows of a map that may be thinned
SETTLING = 64  # batches from which the normalisations take their statistics in the end
WARM_UP = 0.05  # share of the steps in which the learning rate rises
ADAM, DECAY = 0.1, 1e-3  # AdamW's learning rate as a share of Muon's; its weight decay
_ORDER = 5  # name of a random stream

Optimisers = tuple[torch.optim.Optimizer, ...]


@dataclass(frozen=True)
class Plan:
    """How a student is trained.

    Attributes:
        width: scale of VGG19's channels.
        steps, batch_size: optimiser steps, crops in each.
        learning_rate: Muon's peak; it rises for a twentieth of the steps and falls to zero along a cosine.
        rotation: weight of :func:`rotation_loss` beside the unexplained share.
        precision: of the convolutions while training: ``"fp32"``, or ``"bf16"``, which is faster on processors that have it
            (AVX512-BF16, AMX) and far slower on others.
        start: SHA-256 (16 hex digits) of the state that training begins with; empty: random weights.
        seed: of the first weights and of the order of the crops.
    """

    width: float = 0.125
    steps: int = 12_000
    batch_size: int = 4
    learning_rate: float = 0.03
    rotation: float = 3.0
    precision: str = "fp32"
    start: str = ""
    seed: int = 0

    def identity(self) -> dict[str, object]:
        """What tells this plan from others; without the start if there is none."""
        return {name: value for name, value in asdict(self).items() if value != ""}

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


def run_of(plan: Plan, source: Source) -> str:
    """Which run a state is of: the name of its file is made of it, so that runs can share a folder."""
    return json.dumps([plan.identity(), asdict(source)], sort_keys=True)


def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(n)


def layer_losses(
    student: Student,
    images: Tensor,
    maps: dict[int, Tensor],
    targets: Targets,
    precision: str = "fp32",
    offset: tuple[int, int] | None = None,
) -> Tensor:
    """How unlike the paired layer of the teacher each of the student's layers is: [2, L].

    First what its head leaves unexplained of the teacher's components, 1 - R^2; then :func:`rotation_loss`.

    Args:
        images: uint8 [N, 3, H, W].
        maps: for each layer of the teacher its components [N, h', w', K].
        precision: see :class:`Plan`.
        offset: see :func:`thinned`; None compares all positions.
    """
    pairs, lengths, losses = targets.teacher.pairs(), targets.lengths, []
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = student(images)
    for layer, features in sorted(found.items()):
        wanted = maps[pairs[layer]]
        features = thinned(_as_coarse_as(wanted, features), offset)
        wanted = thinned(wanted, offset).float()
        # mse_loss averages over components, too; their variances sum to one.
        unexplained = F.mse_loss(student.predicted(layer, features), wanted) * wanted.shape[-1]
        losses.append(torch.stack([unexplained, rotation_loss(features.flatten(0, 2), wanted.flatten(0, 2) * lengths[pairs[layer]])]))
    return torch.stack(losses, dim=1)


def _as_coarse_as(wanted: Tensor, features: Tensor) -> Tensor:
    """Means of features [N, h', w', c] over the positions of a coarser map [N, h'', w'', K]."""
    if features.shape[1:3] == wanted.shape[1:3]:
        return features
    return F.adaptive_avg_pool2d(features.permute(0, 3, 1, 2), wanted.shape[1:3]).permute(0, 2, 3, 1)


def thinned(maps: Tensor, offset: tuple[int, int] | None) -> Tensor:
    """Of large maps [N, h', w', C] every other row and column from an offset on: neighbours say nearly the same."""
    if offset is None or min(maps.shape[1:3]) < LARGE:
        return maps
    return maps[:, offset[0] :: 2, offset[1] :: 2]


def rotation_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """How far features are from being a rotated and scaled copy of others: 0 if they are one, at most 1.

    DFR measures distances between features (Eq. 4 and 5). A head may stretch some directions and shrink others, and then the student
    tells the teacher's features but not the teacher's distances. So this one may only turn: the orthogonal Procrustes problem
    (Schoenemann, 1966), solved anew for each batch by a singular value decomposition.

    Args:
        features: [M, c].
        wanted: [M, K].
    """
    features, wanted = features - features.mean(0), wanted - wanted.mean(0)
    cross = features.T @ wanted
    with torch.no_grad():  # at the best rotation the derivative with respect to it is zero
        u, _, vh = torch.linalg.svd(cross, full_matrices=False)
        rotation = u @ vh
    return 1 - (cross * rotation).sum() / (features.norm() * wanted.norm()).clamp(min=1e-12)


def train(
    plan: Plan, targets: Targets, checkpoint: Path, start: Path | None = None, progress: bool = True
) -> tuple[Student, np.ndarray]:
    """Train a student on targets that have been made.

    Args:
        checkpoint: a file to keep the state in; a run killed at any moment goes on from it.
        start: the checkpoint of another run, whose student to begin with (its fingerprint is ``plan.start``).
        progress: show a progress bar.

    Returns:
        The student in evaluation mode, and what :func:`layer_losses` was at each step, float32 [steps, 2, L].

    Raises:
        DFRError: a checkpoint of another run, or the loss is not finite.
    """
    pairs = targets.teacher.pairs()
    student = Student(plan.width, {layer: targets.components[pairs[layer]] for layer in pairs}, plan.seed)
    if start is not None:
        _begin_with(start, student)
    optimisers = _optimisers(student, plan)
    curve = np.zeros((plan.steps, 2, len(pairs)), dtype=np.float32)
    state = _State(checkpoint, run_of(plan, targets.source), CHECKPOINT_SECONDS)
    done = state.restore(student, optimisers, curve)
    student.train()
    bar = tqdm(_batches(plan, targets, done), desc="student", unit="step", initial=done, total=plan.steps, disable=not progress)
    for step, (images, maps) in enumerate(bar, start=done):
        for optimiser, share in zip(optimisers, (1, ADAM), strict=True):
            optimiser.param_groups[0]["lr"] = share * plan.rate(step)
            optimiser.zero_grad(set_to_none=True)
        losses = layer_losses(student, images, maps, targets, plan.precision, offset=divmod(step % 4, 2))
        (losses[0] + plan.rotation * losses[1]).mean().backward()
        for optimiser in optimisers:
            optimiser.step()
        curve[step] = losses.detach().numpy()
        if not np.isfinite(curve[step]).all():
            raise DFRError("", f"distilling diverged at step {step} (the loss is not finite)", "lower --learning-rate")
        bar.set_postfix_str(f"loss {curve[step, 0].mean():.3f}", refresh=False)
        if state.due() or step + 1 == plan.steps:
            state.save(step + 1, student, optimisers, curve)
    n = targets.source.n_training
    settling = (plan.crops(step, n) for step in range(min(SETTLING, plan.steps)))
    student.settle(targets.batch(numbers)[0] for numbers in settling)
    return student, curve


def _begin_with(start: Path, student: Student) -> None:
    """The weights of another run's checkpoint, not its optimisers."""
    tensors, _ = load_tensors(start)
    try:
        student.load_state_dict(_below("student", tensors))
    except RuntimeError as error:
        raise DFRError(
            Setting("start"),
            f"{start} is no checkpoint of a student of this width and teacher",
            "leave --start away",
        ) from error


def _optimisers(student: Student, plan: Plan) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the convolutions, AdamW for the normalisations and the heads."""
    weights = [convolution.weight for convolution in student.convolutions]
    others = [*student.norms.parameters(), *student.heads.parameters()]
    return Muon(weights, plan.learning_rate), torch.optim.AdamW(others, plan.learning_rate, weight_decay=DECAY, fused=True)


def _batches(plan: Plan, targets: Targets, done: int) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
    """The batches from step ``done`` on; the next is read while one is used."""
    n = targets.source.n_training

    def read(step: int) -> tuple[Tensor, dict[int, Tensor]]:
        return targets.batch(plan.crops(step, n))

    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(read, done)
        for step in range(done, plan.steps):
            batch, following = following.result(), reader.submit(read, step + 1)
            yield batch


@torch.no_grad()
def held_out(student: Student, targets: Targets, batch_size: int = 8) -> np.ndarray:
    """:func:`layer_losses` on the held-out crops, float [2, L]; the student in evaluation mode."""
    n = targets.source.n_held_out
    parts = [list(range(first, min(first + batch_size, n))) for first in range(0, n, batch_size)]
    losses = [len(part) * layer_losses(student, *targets.batch(part, held_out=True), targets).double().numpy() for part in parts]
    return np.sum(losses, axis=0) / n


class _State(Checkpoint):
    """The checkpoint of a run: weights, both optimisers, curve."""

    def save(self, step: int, student: Student, optimisers: Optimisers, curve: np.ndarray) -> None:
        self._last = time.monotonic()
        tensors = {f"student.{name}": tensor for name, tensor in student.state_dict().items()}
        for place, parameter, state in _states(optimisers):
            tensors |= {f"{place}.{name}": value for name, value in state[parameter].items()}
        save_tensors(self.path, tensors | {"curve": torch.from_numpy(curve[:step])}, {"state": json.dumps([self.run, step])})

    @torch.no_grad()
    def restore(self, student: Student, optimisers: Optimisers, curve: np.ndarray) -> int:
        """Put a saved state back; returns the steps done."""
        if not self.path.exists():
            return 0
        tensors, about = load_tensors(self.path)
        run, step = json.loads(about.get("state", "[null, 0]"))
        if run != self.run:
            raise DFRError(self.path, "is the state of another run", "delete it to start afresh")
        try:
            student.load_state_dict(_below("student", tensors))
            for place, parameter, state in _states(optimisers):
                found = _below(place, tensors)
                # The fused optimiser walks through memory, so its averages must lie there in the parameter's order.
                state[parameter] = {k: torch.empty_like(parameter).copy_(v) if v.shape == parameter.shape else v for k, v in found.items()}
            curve[:step] = tensors["curve"].numpy()
        except (KeyError, ValueError, RuntimeError) as error:
            raise DFRError(self.path, f"a damaged checkpoint ({str(error).splitlines()[0]})", "delete it to start afresh") from error
        return step


def _below(place: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a place, without it."""
    return {name.removeprefix(f"{place}."): tensor for name, tensor in tensors.items() if name.startswith(f"{place}.")}


def _states(optimisers: Optimisers) -> Iterator[tuple[str, Tensor, dict[Tensor, dict[str, Tensor]]]]:
    """For each trained parameter its place among them, itself, and its optimiser's states."""
    for o, optimiser in enumerate(optimisers):
        for k, parameter in enumerate(optimiser.param_groups[0]["params"]):
            yield f"optimiser.{o}.{k}", parameter, optimiser.state

"""Training the autoencoder on normal images (Sections III-C and IV-A4).

Every random choice is a function of (seed, epoch or step), so a run that was killed and goes on from its
checkpoint draws what it would have drawn, and on CPU ends with the same bits.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..device import full_precision
from ..errors import DFRError, Setting
from ..files import load_tensors, save_tensors
from ..settings import Settings
from .adam import Adam, Optimiser

log = logging.getLogger("dfr")
CHECKPOINT_SECONDS = 30.0
#: A loss that ends so many times above its start is worth a word. The start from PCA is hard to beat: a training that is too short to
#: (notebook 10's, of 125 steps) ended up to 1.8 times above it.
RISE = 2.0
_EPOCH, _POSITIONS = 1, 2  # names of random streams


class FeatureSource(Protocol):
    """Where training takes its features from: a cache, or the backbone itself."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def rows(self, images: Tensor, positions: Tensor | None) -> Tensor:
        """Features of images [B] at positions [B, P] (None: all), flattened to [B * P, ...]."""

    def batches(self) -> Iterator[Any]:
        """The features of all images in order, a few images at a time."""


@dataclass
class Progress:
    """What a training run tells while it goes on."""

    step: int
    steps: int
    loss: float


class ProgressBar:
    """A progress bar with loss and time left, in the terminal or a notebook; entered, it is a callback for :func:`train`.

    Args:
        what: is going on, in the caller's words.
        shown: False: nothing is drawn.
    """

    def __init__(self, what: str, shown: bool) -> None:
        shown = shown and not os.environ.get("DFR_QUIET")  # the notebooks of the course set it
        self.bar = tqdm(desc=what, unit="step", disable=not shown, leave=False)

    def __enter__(self) -> Callable[[Progress], None]:
        return self._tell

    def _tell(self, progress: Progress) -> None:
        self.bar.total = progress.steps
        self.bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
        self.bar.update(progress.step - self.bar.n)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


@dataclass
class Checkpoint:
    """Where to keep the state of a run, and what run it is (a checkpoint of another run is not used)."""

    path: Path
    run: str
    every_seconds: float = CHECKPOINT_SECONDS
    _begun: float = field(default_factory=lambda: time.monotonic())
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = self._begun

    def due(self) -> bool:
        """Whether so much time has gone since the last saving; in the beginning a run is saved after 1, 2, 4, ... seconds."""
        return time.monotonic() - self._last >= min(self.every_seconds, max(1.0, self._last - self._begun))

    def save(self, step: int, model: nn.Module, optimiser: Optimiser, losses: Tensor) -> None:
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
        for k, parameter in enumerate(optimiser.param_groups[0]["params"]):
            tensors |= {f"adam.{k}.{name}": value for name, value in optimiser.state[parameter].items()}
        save_tensors(self.path, tensors | {"losses": losses[:step]}, {"run": self.run, "step": str(step)})
        self._last = time.monotonic()

    def restore(self, model: nn.Module, optimiser: Optimiser, losses: Tensor) -> int:
        """Put a saved state back; returns the steps done, 0 if there is nothing to go on from.

        Raises:
            DFRError: the file is no checkpoint, or a damaged one.
        """
        if not self.path.exists():
            return 0
        tensors, about = load_tensors(self.path)
        if "run" not in about:
            raise DFRError(self.path, "not a checkpoint, so it is not overwritten", "name another file for the checkpoint")
        if about["run"] != self.run:
            log.warning("%s: checkpoint of another run; training starts afresh and will replace it", self.path)
            return 0
        try:
            return _restore(tensors, int(about["step"]), model, optimiser, losses)
        except (KeyError, ValueError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            raise DFRError(self.path, f"a damaged checkpoint ({reason})", "delete it to start afresh") from error


def _restore(tensors: dict[str, Tensor], step: int, model: nn.Module, optimiser: Optimiser, losses: Tensor) -> int:
    if not 0 <= step <= len(losses) or tensors["losses"].shape != (step,):
        raise ValueError(f"step {step} of {len(losses)} with {len(tensors['losses'])} losses")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for k, parameter in enumerate(optimiser.param_groups[0]["params"]):
        state = {name: tensors[f"adam.{k}.{name}"].to(parameter.device) for name in ("step", "exp_avg", "exp_avg_sq")}
        optimiser.state[parameter] = state  # Adam keeps its step count beside the parameters
    losses[:step] = tensors["losses"].to(losses.device)
    return step


def total_steps(settings: Settings, n_images: int) -> int:
    """Optimiser steps of a whole run."""
    return settings.steps or settings.epochs * math.ceil(n_images / settings.batch_size)


def learning_rate(settings: Settings, step: int, steps: int) -> float:
    """Adam's step size at ``step``: constant (IV-A4), or one cycle: up to the peak in 30 % of the run, then down."""
    if settings.schedule == "constant":
        return settings.learning_rate
    turn = 0.3 * steps
    rising = step < turn
    start, phase = (1 / 25, step / turn) if rising else (1e-4, (steps - step) / (steps - turn))
    return settings.learning_rate * (start + (1 - start) * (1 - math.cos(math.pi * min(1.0, phase))) / 2)


def batch(settings: Settings, n_images: int, n_positions: int, step: int) -> tuple[Tensor, Tensor | None]:
    """Which images, and which positions in them, step ``step`` trains on: int64 [B] and [B, P] (None: all)."""
    per_epoch = math.ceil(n_images / settings.batch_size)
    epoch, k = divmod(step, per_epoch)
    order = np.random.default_rng([settings.seed, _EPOCH, epoch]).permutation(n_images)
    images = torch.from_numpy(order[k * settings.batch_size : (k + 1) * settings.batch_size])
    if settings.positions is None or settings.positions >= n_positions:
        return images, None
    random = np.random.default_rng([settings.seed, _POSITIONS, step])
    drawn = [random.choice(n_positions, settings.positions, replace=False, shuffle=False) for _ in images]
    return images, torch.from_numpy(np.stack(drawn))


def reconstruction_loss(f: Tensor, reconstruction: Tensor, loss: str = "l2") -> Tensor:
    """Eq. 4, averaged over positions and images so that its size does not depend on how many there are.

    Args:
        f, reconstruction: [M, c_o].
        loss: ``"l2"``: mean of ||f - f-hat||_2; ``"squared"``: mean squared error (public code).
    """
    difference = f - reconstruction
    return difference.square().mean() if loss == "squared" else torch.linalg.vector_norm(difference, dim=-1).mean()


def train(
    model: nn.Module,
    source: FeatureSource,
    settings: Settings,
    loss: Callable[[nn.Module, Tensor], Tensor],
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> np.ndarray:
    """Fit ``model`` to the features of normal images with Adam (IV-A4).

    Args:
        model: the CAE, already on its device; changed in place and left in evaluation mode.
        source: features of the training images.
        loss: the loss of the model on a batch of features.
        checkpoint: if given, the state is saved there now and then, and a saved state is taken up.
        progress: called a few times a second.

    Returns:
        The loss curve, float32 [steps].

    Raises:
        DFRError: a checkpoint that cannot be used.
    """
    steps = total_steps(settings, len(source))
    optimiser = Adam(model.parameters(), settings.learning_rate)
    return descend(
        model,
        optimiser,
        steps,
        lambda step: learning_rate(settings, step, steps),
        lambda step: _gradient(model, source, settings, loss, step),
        checkpoint=checkpoint,
        progress=progress,
    )


def descend(
    model: nn.Module,
    optimiser: Optimiser,
    steps: int,
    rate: Callable[[int], float],
    gradient: Callable[[int], Tensor],
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> np.ndarray:
    """Take the steps of any training; :func:`train` says what is not said here.

    Args:
        model: changed in place and left in evaluation mode.
        optimiser: of its parameters, in one group.
        steps: of the whole run.
        rate: the step size at a step.
        gradient: the loss of a step, a number on the model's device; its gradient is left in the parameters. It may depend on the step
            and on the model's state alone, so that a run taken up again ends with the same bits.

    Returns:
        The loss curve, float32 [steps].
    """
    losses = torch.zeros(steps, device=next(model.parameters()).device)
    done = whole = checkpoint.restore(model, optimiser, losses) if checkpoint else 0
    model.train()
    told = 0.0
    try:
        for step in range(done, steps):
            for group in optimiser.param_groups:
                group["lr"] = rate(step)
            value = gradient(step)
            whole = 0  # until it is done, the state is that of no step
            optimiser.step()
            losses[step] = value  # stays on the device: reading it would make the GPU wait
            whole = step + 1
            if checkpoint and checkpoint.due():
                checkpoint.save(whole, model, optimiser, losses)
            if progress and (time.monotonic() - told > 0.25 or whole == steps):
                progress(Progress(whole, steps, float(losses[step])))
                told = time.monotonic()
    except BaseException:  # Ctrl-C above all
        if checkpoint and whole > done:
            with suppress(DFRError):  # the first mishap is the one to tell
                checkpoint.save(whole, model, optimiser, losses)
        raise
    model.eval()
    if checkpoint:
        checkpoint.save(steps, model, optimiser, losses)
    return losses.cpu().numpy()


def _gradient(
    model: nn.Module, source: FeatureSource, settings: Settings, loss: Callable[[nn.Module, Tensor], Tensor], step: int
) -> Tensor:
    """The loss on the batch of a step; its gradient is left in the model."""
    first = next(model.parameters())
    images, positions = batch(settings, len(source), source.shape[0] * source.shape[1], step)
    rows = source.rows(images.to(first.device), None if positions is None else positions.to(first.device))
    if settings.batch_norm and len(rows) < 2:
        raise DFRError(
            Setting("batch_norm"),
            "a batch of one regional feature has no spread",
            ("use more positions or a larger ", Setting("batch_size")),
        )
    model.zero_grad(set_to_none=True)
    with full_precision(first.device):
        value = loss(model, rows.to(first.dtype))
    value.backward()
    return value.detach()


def check_finite(curve: np.ndarray, rate: str = "learning_rate", of_what: str = "") -> None:
    """Raises DFRError, which names the setting of the step size, unless the losses of all steps are finite."""
    if not np.isfinite(curve).all():
        raise DFRError("", " ".join(filter(None, ("training", of_what, "diverged (the loss is not finite)"))), ("lower ", Setting(rate)))


def check_training(curve: np.ndarray, trivial: float) -> None:
    """Refuse what a training has spoilt; one that has not helped is told in the log.

    Args:
        curve: the losses of all steps.
        trivial: the loss of giving the mean for every feature.

    Raises:
        DFRError: the loss is not finite, or it has risen high and is in the end no better than that of the mean.
    """
    check_finite(curve)
    start, peak, end = float(curve[0]), float(curve.max()), float(np.median(curve[-max(1, len(curve) // 20) :]))
    useless = end > 0.95 * trivial
    if useless and peak > 10 * max(start, trivial):
        words = f"the loss began at {start:.3g}, rose to {peak:.3g} and ends at {end:.3g}; the mean for every feature has {trivial:.3g}"
        raise DFRError("", f"training diverged ({words})", ("lower ", Setting("learning_rate")))
    if useless:
        words = "the autoencoder has learnt next to nothing: the loss ends at %.3g, the mean for every feature has %.3g; train longer"
        log.warning(words, end, trivial)
    elif end > RISE * start:
        log.warning("training made it worse: the loss began at %.3g and ends at %.3g; lower the learning rate or train longer", start, end)


def run_name(settings: Settings, data: str, weights: str) -> str:
    """What a checkpoint belongs to: all settings, the training data and the backbone's weights."""
    return json.dumps({"settings": settings.to_json(), "data": data, "weights": weights}, sort_keys=True)

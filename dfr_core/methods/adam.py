"""Adam (Kingma and Ba, 2015; Section IV-A4), without what torch's own class loads.

``torch.optim.Adam`` imports torch's compiler when it is made, a fifth of a whole `dfr fit`. The arithmetic here is torch's own function,
so the bits are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam


class Optimiser(Protocol):
    """What a training asks of its optimiser; those of ``torch.optim`` have it, too."""

    param_groups: list[dict[str, Any]]
    state: dict[Tensor, dict[str, Tensor]]

    def step(self) -> object:
        """Change the parameters by their gradients."""


class Adam:
    """Adam in its usual form, with betas of 0.9 and 0.999; one pass over memory for each step.

    Args:
        parameters: each has a gradient when :meth:`step` is called.
        lr: the step size, afterwards ``param_groups[0]["lr"]``.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.param_groups = [{"params": list(parameters), "lr": lr}]
        self.state = {
            p: {"step": torch.zeros((), device=p.device), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            for p in self.param_groups[0]["params"]
        }

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their gradients."""
        group = self.param_groups[0]
        states = [self.state[p] for p in group["params"]]
        averages, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        adam(
            group["params"], [p.grad for p in group["params"]], averages, squares, [], steps,
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=group["lr"], weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip

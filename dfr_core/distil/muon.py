"""Muon (Jordan et al., 2024): momentum whose matrix is replaced by the nearest orthogonal one before each step.

Gradients of a convolution point in a few directions only; after orthogonalisation all directions move alike, so that a narrow network
learns in fewer steps. The nearest orthogonal matrix is approached by a Newton-Schulz iteration, which needs only products.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Of the quintic a x + b x^3 + c x^5 that pulls singular values towards one: chosen by Muon's authors for speed, not for exactness.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """[m, n] -> about U V', where matrix = U S V': all singular values between 0.7 and 1.2."""
    a, b, c = QUINTIC
    x = matrix / matrix.norm().clamp(min=1e-12)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(ROUNDS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """For weights of convolutions, read as matrices [c_out, c_in * k * k].

    Args:
        parameters: the weights.
        lr: length of a step: the weights' singular values change by about so much.
        momentum: of Nesterov's kind.
    """

    def __init__(self, parameters: list[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Move each weight along its orthogonalised momentum."""
        for group in self.param_groups:
            for weight in group["params"]:
                average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                direction = orthogonal(weight.grad.lerp(average, group["momentum"]).flatten(1))
                scale = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
                weight.add_(direction.view_as(weight), alpha=-group["lr"] * scale)

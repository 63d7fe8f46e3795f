"""The convolutional autoencoder of Section III-C and Table VIII, and its latent dimension (Appendix B).

Its convolutions are all 1 x 1: at every position the same linear map of the c_o channels. So the code
holds them as linear layers on the last axis, and a map [N, h_o, w_o, c_o] goes through as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DFRError, Setting

#: The layers of Table VIII that no ReLU follows: the code and the reconstruction.
WITHOUT_RELU = (3, 6)
#: Of :meth:`CAE.solve_last_layer`: rounds of reweighting, and how strongly a change is held back where the samples say little.
_ROUNDS, _RIDGE = 2, 1e-4


def layer_widths(c_o: int, c_d: int, hidden: str = "table-viii") -> tuple[int, ...]:
    """Output channels of the six layers of Table VIII.

    Args:
        c_o: dimension of a regional feature (Eq. 3).
        c_d: latent dimension.
        hidden: ``"table-viii"``: outer hidden layers of (c_o + c_d)/2; ``"released"``: (c_o + 2 c_d)/2.
    """
    outer = (c_o + c_d if hidden == "table-viii" else c_o + 2 * c_d) // 2
    return outer, 2 * c_d, c_d, 2 * c_d, outer, c_o


class CAE(nn.Module):
    """Table VIII: six 1 x 1 convolutions, ReLU after all but the third and the sixth.

    Args:
        c_o: channels in and out.
        c_d: latent dimension.
        hidden: see :func:`layer_widths`.
        batch_norm: batch normalisation before every ReLU (public code; not in the paper).
        seed: of the initialisation (torch's default for convolutions).
        outer: widths of the first and the fifth layer, instead of Table VIII's (see :mod:`dfr_core.methods.projected`).
    """

    def __init__(
        self,
        c_o: int,
        c_d: int,
        hidden: str = "table-viii",
        batch_norm: bool = False,
        seed: int = 0,
        *,
        outer: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.c_o, self.c_d = c_o, c_d
        widths = list(layer_widths(c_o, c_d, hidden))
        if outer:
            widths[0], widths[4] = outer
        stack: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, too
            c_in = c_o
            for number, c_out in enumerate(widths, start=1):
                stack.append(nn.Linear(c_in, c_out))
                if number not in WITHOUT_RELU:
                    stack += [nn.BatchNorm1d(c_out), nn.ReLU()] if batch_norm else [nn.ReLU()]
                c_in = c_out
        self.stack = nn.Sequential(*stack)

    def forward(self, f: Tensor) -> Tensor:
        """f [..., c_o] -> its reconstruction f-hat of the same shape."""
        return self.stack(f.reshape(-1, self.c_o)).view(f.shape)

    def initialise(self, how: str, samples: Tensor, outside: Tensor | None = None, loss: str = "l2") -> None:
        """Set the first weights from a sample of what is to be reconstructed.

        Args:
            how: ``"default"`` (they stay torch's), ``"centred"`` (:meth:`centre`), or ``"pca"`` (:meth:`start_from_pca`,
                then :meth:`solve_last_layer`).
            samples: [n, c_o].
            outside, loss: see :meth:`solve_last_layer`.
        """
        if how == "centred":
            self.centre(samples)
        elif how == "pca":
            self.start_from_pca(samples)
            self.solve_last_layer(samples, outside, loss)

    @torch.no_grad()
    def centre(self, samples: Tensor) -> None:
        """Shift the initial weights so that training starts from centred features of unit size.

        Afterwards the network computes m + s CAE_0((f - m) / s), where CAE_0 is what it computed before and
        m, s are mean and size of the samples [n, c_o]: the same architecture from another starting point.
        """
        mean = samples.mean(0)
        size = (samples - mean).square().mean().sqrt().clamp(min=1e-12)
        first, last = self.stack[0], self.stack[-1]
        first.weight /= size
        first.bias -= first.weight @ mean
        last.weight *= size
        last.bias.mul_(size).add_(mean)

    @torch.no_grad()
    def start_from_pca(self, samples: Tensor) -> None:
        """Set the initial weights so that the network computes PCA's reconstruction; training goes on from there.

        A ReLU network can carry a signed number z as the pair (relu(z), relu(-z)), and Table VIII's 2 c_d units
        around the code are just enough for c_d such pairs. The outer hidden layers carry the same pairs; their
        other units keep their random input weights and start unheard. Where an outer layer has fewer than 2 c_d
        units (c_o < 3 c_d), the last components have no room and start at zero.

        Args:
            samples: regional features [n, c_o].
        """
        weights = [m for m in self.stack if isinstance(m, nn.Linear)]
        pairs = min(self.c_d, weights[0].out_features // 2, weights[4].out_features // 2)
        basis = principal_components(samples, pairs).to(samples.dtype)
        split = torch.zeros(2 * self.c_d, self.c_d, device=samples.device)  # z -> (z, -z)
        split[: self.c_d].fill_diagonal_(1)
        split[self.c_d :].fill_diagonal_(-1)
        kept = torch.cat([torch.arange(pairs), self.c_d + torch.arange(pairs)]).to(samples.device)
        for layer in weights:
            layer.bias.zero_()
        weights[0].weight[: 2 * pairs] = torch.cat([basis, -basis])
        weights[1].weight.zero_()
        weights[1].weight[kept, torch.arange(2 * pairs)] = 1
        weights[2].weight.copy_(split.T)
        weights[3].weight.copy_(split)
        weights[4].weight[: 2 * pairs] = torch.eye(2 * self.c_d, device=samples.device)[kept]
        weights[5].weight.zero_()
        weights[5].weight[:, : 2 * pairs] = torch.cat([basis, -basis]).T
        self.centre(samples)

    @torch.no_grad()
    def solve_last_layer(self, f: Tensor, outside: Tensor | None = None, loss: str = "l2") -> None:
        """Set the last layer to its optimum on given features, the other layers as they are.

        Given what comes out of the fifth layer, the reconstruction is linear in the sixth one's weights. So mean
        squared error has its optimum in closed form, least squares; and the norm of Eq. 4 is the same with every
        feature weighted by one over its present error, repeated a few times. Neither loss can rise by it.

        Args:
            f: regional features [n, c_o], a sample of those of the training images.
            outside: squared error [n] that no weights can change (what a projection leaves out); None: nothing.
            loss: ``"l2"`` (Eq. 4) or ``"squared"``.
        """
        last = self.stack[-1]
        hidden = F.pad(self.stack[:-1](f), (0, 1), value=1.0)  # the bias is one more weight
        for _ in range(1 if loss == "squared" else _ROUNDS):
            missing = f - F.linear(hidden[:, :-1], last.weight, last.bias)
            weighted = hidden
            if loss == "l2":
                error = (missing.square().sum(-1) + (0 if outside is None else outside)).sqrt()
                weighted = hidden / error.clamp(min=1e-6 * error.mean() + 1e-12)[:, None]
            gram = (weighted.T @ hidden).double()
            gram.diagonal().add_(_RIDGE * gram.diagonal().mean() + 1e-12)
            change = torch.linalg.solve(gram, (weighted.T @ missing).double()).T.to(f.dtype)
            last.weight += change[:, :-1]
            last.bias += change[:, -1]

    def linear_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight [c_out, c_in] and bias [c_out] of the six layers, batch normalisation folded in (inference)."""
        layers: list[tuple[Tensor, Tensor]] = []
        for module in self.stack:
            if isinstance(module, nn.Linear):
                layers.append((module.weight, module.bias))
            elif isinstance(module, nn.BatchNorm1d):
                weight, bias = layers[-1]
                scale = module.weight * torch.rsqrt(module.running_var + module.eps)
                layers[-1] = (weight * scale[:, None], (bias - module.running_mean) * scale + module.bias)
        return layers

    def architecture(self) -> list[str]:
        """The rows of Table VIII for this autoencoder."""
        widths = [module.out_features for module in self.stack if isinstance(module, nn.Linear)]
        after = " BN; ReLU;" if any(isinstance(module, nn.BatchNorm1d) for module in self.stack) else " ReLU;"
        return [
            f"[layer {number}]: Conv. (1, 1, {width}), stride=1;{'' if number in WITHOUT_RELU else after}"
            for number, width in enumerate(widths, start=1)
        ]


def principal_components(samples: Tensor, k: int) -> Tensor:
    """The k leading principal directions of samples [n, c_o], orthonormal rows with a fixed sign: float64 [k, c_o]."""
    centred = samples.double() - samples.double().mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors.flip(1)[:, :k].T
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    return basis * largest.sign()


def latent_dimension(samples: Tensor, variance: float = 0.9) -> int:
    """c_d: how many principal components explain the given share of the variance (Appendix B).

    Args:
        samples: regional features [n, c_o].
        variance: share in (0, 1].

    Raises:
        DFRError: fewer than two samples, or samples that do not vary.
    """
    spectrum = explained_variance(samples)
    if variance >= 1:
        return len(spectrum)
    # The smallest number of components whose share is reached; the tolerance keeps 0.9 <= 0.9 true.
    return int((spectrum < variance - 1e-9).sum()) + 1


def explained_variance(samples: Tensor) -> Tensor:
    """Cumulated share of variance explained by 1, 2, ... principal components: float64 [min(n - 1, c_o)].

    Raises:
        DFRError: fewer than two samples, or samples that do not vary.
    """
    n, c_o = samples.shape
    if n < 2:
        raise DFRError(
            Setting("pca_samples"),
            "PCA needs at least two regional features",
            ("give more images or a larger ", Setting("pca_samples")),
        )
    centred = samples.double() - samples.double().mean(0)
    # The two products share their non-zero eigenvalues; take the smaller one.
    product = centred.T @ centred if c_o <= n else centred @ centred.T
    spectrum = torch.linalg.eigvalsh(product).flip(0).clamp(min=0)[: min(n - 1, c_o)]
    total = spectrum.sum()
    # Features are float32: of equal ones the rounding alone leaves a relative variance of about 1e-14.
    if not total > 1e-12 * samples.double().square().sum():
        raise DFRError("", "the training images give one and the same regional feature everywhere", "are they blank?")
    return (spectrum.cumsum(0) / total).cpu()

"""ST-p65 and ST-m: students imitate a teacher on normal images (Bergmann et al., arXiv 1911.02357, "Uninformed Students").

1. A teacher T describes patches of p = 17, 33 or 65 pixels by d numbers; :mod:`.teacher` says what it has learnt from. Its descriptors of
   the normal images are standardised: y = (T - mu) / sigma, mu and sigma of d numbers each.
2. M students S_1 ... S_M, networks like the teacher's with random first weights, regress y on normal images: the loss is
   mean over patches of |S_m - y|^2, over d. With ``readout=solved``, which the source does not have, the last, linear layer of each
   begins as the least squares over whole normal images, and is solved for once more when the others are trained: a few steps go far.
3. A patch is anomalous if they err, and if they disagree. With S the mean of the students,
       e = |S - y|^2                          (the regression error)
       v = 1/M sum over m of |S_m|^2 - |S|^2  (the predictive variance)
   and with the means and standard deviations of both over the patches of normal images
       score = (e - e_mean) / e_std + (v - v_mean) / v_std.
4. ST-p65 has p = 65; ST-m takes the mean of the scores for p = 17, 33 and 65.

Shapes: image [3, h, w]; T and S_m [d, h_o, w_o] with one patch in every ``stride`` pixels, in one pass (:mod:`.network`).

>>> e, v = regression_and_variance(torch.tensor([[3.0, 0.0]]), torch.tensor([[[1.0, 0.0]], [[1.0, 2.0]]]), dim=1)
>>> e, v
(tensor([5.]), tensor([1.]))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import scoring
from ...device import arithmetic
from ...errors import DFRError, Setting
from ..base import Detector
from ..train import Checkpoint, ProgressBar, check_finite, run_name, train
from .network import PatchNetwork, field, normalise
from .settings import STmSettings, STp65Settings, STSettings
from .teacher import Crops, teacher_of

BLOCK = 128  # patches along a side that are mapped at once: large images take no more memory than others
RIDGE = 1e-3  # of the mean square of what a readout reads: less of it takes weights so large that their decay is most of the loss
READ = 4  # images at most that readouts are solved over: thousands of patches each


def regression_and_variance(y: Tensor, students: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Step 3's e and v.

    Args:
        y: standardised descriptors of the teacher, d of them along ``dim``.
        students: [M, ...], each in the shape of y.
    """
    mean = students.mean(0)
    return (mean - y).square().sum(dim), (students - mean).square().mean(0).sum(dim)  # v: the same without cancellation


class Scale(nn.Module):
    """Teacher, students and what is normal, for patches of one size."""

    def __init__(self, teacher: PatchNetwork, students: list[PatchNetwork]) -> None:
        super().__init__()
        self.teacher, self.students = teacher, nn.ModuleList(students)
        self.register_buffer("mean", torch.zeros(teacher.dimension))
        self.register_buffer("std", torch.ones(teacher.dimension))
        self.register_buffer("normal", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))  # mean and standard deviation of e, then of v

    @classmethod
    def blank(cls, patch: int, settings: STSettings, teacher: PatchNetwork | None = None) -> Scale:
        """With students that know nothing."""
        shape = patch, settings.scale, settings.dimension
        generators = [torch.Generator().manual_seed((settings.seed * 100 + patch) * 100 + m) for m in range(settings.students + 1)]
        return cls(teacher or PatchNetwork(*shape, generators[-1]), [PatchNetwork(*shape, g) for g in generators[:-1]])

    def target(self, x: Tensor, stride: int) -> Tensor:
        """y of normalised pixels [N, 3, H, W]: [N, d, h_o, w_o]."""
        return (self.teacher(x, stride) - self.mean[:, None, None]) / self.std[:, None, None]

    def errors(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """e and v, each [N, h_o, w_o]."""
        return regression_and_variance(self.target(x, stride), torch.stack([s(x, stride) for s in self.students]), dim=1)

    def score(self, e: Tensor, v: Tensor) -> Tensor:
        """Both together, in standard deviations of normal images."""
        (e_mean, e_std), (v_mean, v_std) = self.normal
        return (e - e_mean) / e_std + (v - v_mean) / v_std


class Scales(nn.Module):
    """All sizes of patches; what ST has learnt.

    Args:
        scales: by size.
        stride: pixels from one patch to the next.
    """

    def __init__(self, scales: dict[int, Scale], stride: int) -> None:
        super().__init__()
        self.scales = nn.ModuleDict({str(patch): scale for patch, scale in scales.items()})
        self.stride, self.field = stride, max(field(patch) for patch in scales)

    def views(self, x: Tensor) -> Iterator[tuple[Scale, Tensor]]:
        """Each scale, and the part of the pixels [N, 3, H, W] that it sees: a patch has its middle in the middle of the largest."""
        for scale in self.scales.values():
            edge = self.edge(self.field) - self.edge(scale.teacher.field)
            end = self.field - scale.teacher.field - edge
            yield scale, x[..., edge : x.shape[-2] - end, edge : x.shape[-1] - end]

    def edge(self, size: int) -> int:
        """Pixels of the first patch that lie before the image, for a field of that size: its middle is that of the stride's first step."""
        return size // 2 - self.stride // 2

    def padded(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W], reflected at their borders so that there are H // stride x W // stride patches of the largest field.

        Raises:
            DFRError: an image is too small for it.
        """
        before, pads = self.edge(self.field), []
        for size in reversed(images.shape[-2:]):
            pads += [before, self.stride * (size // self.stride - 1) + self.field - before - size]
        if min(images.shape[-2:]) <= max(pads):
            raise DFRError(
                "", f"image of {tuple(images.shape[-2:])} pixels is too small for these patches", ("use a larger ", Setting("image_size"))
            )
        return F.pad(images.float(), pads, mode="reflect")

    def blocks(self, padded: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows and columns of patches, and the normalised pixels that these need, block by block."""
        rows, columns = ((size - self.field) // self.stride + 1 for size in padded.shape[-2:])
        for top in range(0, rows, BLOCK):
            for left in range(0, columns, BLOCK):
                spans = slice(top, min(rows, top + BLOCK)), slice(left, min(columns, left + BLOCK))
                pixels = (slice(self.stride * s.start, self.stride * (s.stop - 1) + self.field) for s in spans)
                yield *spans, normalise(padded[(..., *pixels)])

    def errors(self, image: Tensor) -> Tensor:
        """e and v of one image [1, 3, H, W] at every scale: [scales, 2, h_o, w_o]."""
        found = torch.empty((len(self.scales), 2, *(size // self.stride for size in image.shape[-2:])), device=image.device)
        for rows, columns, x in self.blocks(self.padded(image)):
            for k, (scale, view) in enumerate(self.views(x)):
                found[k, :, rows, columns] = torch.stack([part[0] for part in scale.errors(view, self.stride)])
        return found

    def score(self, errors: Tensor) -> Tensor:
        """Step 4: [scales, 2, ...] -> [...]."""
        return torch.stack([scale.score(e, v) for scale, (e, v) in zip(self.scales.values(), errors, strict=True)]).mean(0)

    @torch.no_grad()
    def solve_readouts(self, images: Tensor) -> None:
        """Give each student the last, linear layer of the least loss over all patches of images [N, 3, H, W], its others being as they are.

        Least squares, from the sums of h h^T and h y^T, h what that layer reads; a little ridge keeps idle channels at 0.
        """
        squares, products = defaultdict(float), defaultdict(float)
        for image in images:
            for _, _, x in self.blocks(self.padded(image[None])):
                for scale, view in self.views(x):
                    y = scale.target(view, self.stride)[0].flatten(1)
                    for student in scale.students:
                        h = student.columns(view, self.stride)[0]
                        squares[student] += (h @ h.T).double()
                        products[student] += (h @ y.T).double()
        for student, total in squares.items():
            ridge = RIDGE * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype, device=total.device)
            student.set_last(torch.linalg.solve(total + ridge, products[student]).float().T)

    def loss(self, crops: Tensor, decay: float) -> Tensor:
        """Step 2's loss over crops of padded images [B, 3, side, side], a mean over d, students and scales, and the weights' decay."""
        losses = []
        for scale, view in self.views(normalise(crops)):
            with torch.no_grad():
                y = scale.target(view, self.stride)
            losses += [(student(view, self.stride) - y).square().mean() for student in scale.students]
        return torch.stack(losses).mean() + decay / 2 * sum(p.square().sum() for p in self.parameters() if p.requires_grad)


class STp65(Detector):
    """Regress a teacher that knows more than normal images; where that fails, or students disagree, is an anomaly.

    Arguments, and what is there after fit, are those of :class:`~dfr_core.methods.base.Detector`. The model file holds teachers and
    students, so the pre-trained network is needed for fitting alone, and only where the teachers are not in the cache folder yet.
    """

    name = "ST-p65"
    settings_class = STp65Settings
    settings: STSettings
    _model: Scales | None

    def _learn(self, images: Tensor, data: str, checkpoint: Path | None) -> Tensor:
        s = self.settings
        with arithmetic("fp32", self.device):
            teachers = {patch: teacher_of(s, patch, self.device, self.progress) for patch in s.sizes}
            scales = {patch: Scale.blank(patch, s, teacher) for patch, teacher in teachers.items()}
            self._model = Scales(scales, s.stride).to(self.device)
            self._standardise(images)
            some = images[:: -(-len(images) // READ)]
            if s.readout == "solved":
                self._model.solve_readouts(some)
            self._train(images, data, checkpoint)
            if s.readout == "solved":
                self._model.solve_readouts(some)
            with torch.inference_mode():
                errors = torch.stack([self._model.errors(image[None]) for image in images])  # [N, scales, 2, h_o, w_o]
                for scale, found in zip(scales.values(), errors.unbind(1), strict=True):
                    e_v = found.transpose(0, 1).flatten(1)
                    scale.normal.copy_(torch.stack([e_v.mean(1), e_v.std(1).clamp(min=1e-12)], dim=1))
                return self._pixels(torch.stack([self._model.score(found) for found in errors]), images)

    @torch.no_grad()
    def _standardise(self, images: Tensor) -> None:
        """mu and sigma of step 1, from all patches of the normal images."""
        model, n = self._model, 0
        sums = [torch.zeros(2, self.settings.dimension, device=self.device, dtype=torch.double) for _ in model.scales]
        for image in images:
            for _, _, x in model.blocks(model.padded(image[None])):
                for total, (scale, view) in zip(sums, model.views(x), strict=True):
                    y = scale.teacher(view, model.stride).double()
                    total += torch.stack([y.sum((0, 2, 3)), y.square().sum((0, 2, 3))])
                n += y.shape[2] * y.shape[3]
        for (total, squares), scale in zip(sums, model.scales.values(), strict=True):
            scale.mean.copy_(total / n)
            scale.std.copy_((squares / n - (total / n).square()).clamp(min=1e-12).sqrt())

    def _train(self, images: Tensor, data: str, checkpoint: Path | None) -> None:
        s, model = self.settings, self._model
        padded = torch.cat([model.padded(image[None]).round().to(torch.uint8) for image in images])
        units = [(size - model.field) // s.stride + 1 for size in padded.shape[-2:]]
        side = s.stride * (min(s.crop or max(units), *units) - 1) + model.field
        state = Checkpoint(checkpoint, run_name(s, data, "")) if checkpoint else None
        with ProgressBar("training the students", self.progress) as tell:
            source, students = Crops(padded, side, s.stride), nn.ModuleList(scale.students for scale in model.scales.values())
            loss = lambda _, rows: model.loss(rows, s.weight_decay)  # noqa: E731
            self.loss_curve_ = train(students, source, s, loss, checkpoint=state, progress=tell)
        model.eval().requires_grad_(False)
        check_finite(self.loss_curve_)

    def _map(self, images: Tensor) -> Tensor:
        with arithmetic("fp32", self.device):
            scores = [self._model.score(self._model.errors(image[None].to(self.device))) for image in images]
            return self._pixels(torch.stack(scores), images)

    def _pixels(self, scores: Tensor, images: Tensor) -> Tensor:
        s = self.settings.stride
        return scoring.upsample(scores, tuple(images.shape[-2:]), kernel=s, stride=s)

    def _rebuilt(self, state: dict[str, Tensor], about: dict[str, str]) -> Scales:
        model = Scales({patch: Scale.blank(patch, self.settings) for patch in self.settings.sizes}, self.settings.stride)
        model.load_state_dict(state)
        return model


class STm(STp65):
    """The same with patches of three sizes, their scores averaged."""

    name = "ST-m"
    settings_class = STmSettings

"""A fitted DFR as one ONNX file, from an image's bytes to its anomaly map, for programs without PyTorch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import accumulate, pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import scoring
from ..errors import DFRError
from ..files import replacing
from ..regional import RegionalFeatures
from ..settings import sides
from .base import Detector
from .dfr import DFR
from .reconstructors import Reconstructor
from .whole import Whole

INPUT, OUTPUTS = "images", ("anomaly_map", "image_score")
#: The file is compared with PyTorch before it is written; a larger difference, as a share of the image's score, is an error. (Not of
#: each pixel's: where a reconstruction is good, f - f-hat is a small difference of large numbers, and float32 itself errs by 5e-5 of it.)
TOLERANCE = 1e-5


class Graph(nn.Module):
    """What the file computes: Eq. 1 to 5 of any number of images at once, with the parts that the detector has.

    Args:
        detector: fitted, on CPU.
    """

    def __init__(self, detector: DFR) -> None:
        super().__init__()
        extractor = detector.extractor
        self.settings, self.layers, self.generator = detector.settings, extractor.layers, extractor.generator
        self.backbone, self.model = extractor.backbone, detector.model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 [N, 3, H, W] -> anomaly maps float32 [N, H, W] and the highest score of each [N]."""
        s, size = self.settings, tuple(images.shape[-2:])
        features = self.generator(self.backbone.feature_maps(images, self.layers, s.keep_padding), size)
        regional = _errors(self.model, features, s.score)
        maps = scoring.upsample(regional, size, s.map_interpolation, s.kernel, s.stride)
        return maps, scoring.image_score(maps)


def _errors(model: Reconstructor, features: RegionalFeatures, score: str) -> Tensor:
    """Eq. 5 of all positions at once: [N, h_o, w_o].

    For the whole autoencoder as in :func:`~dfr_core.methods.whole.regional_scores`, its outer products at each map's own resolution (a
    sixth of the time), in operations that can be traced for any N: no loops over images, nothing in place.
    """
    if not isinstance(model, Whole):
        f = features.dense()
        return scoring.residual(f, model(f), score)
    first, *middle, last = model.stack
    maps = features.joined()
    ends = list(accumulate((m.data.shape[-1] for m in maps), initial=0))
    parts = [slice(*pair) for pair in pairwise(ends)]
    hidden = first.bias
    for m, part in zip(maps, parts, strict=True):
        hidden = hidden + m.expand(F.linear(m.data, first.weight[:, part]))
    rows = nn.Sequential(*middle)(hidden.flatten(0, 2))  # batch normalisation takes rows
    hidden = rows.view(*hidden.shape[:3], -1)
    pieces = (F.linear(hidden, last.weight[part], last.bias[part]) - m.expand() for m, part in zip(maps, parts, strict=True))
    squared = reduce(torch.add, (piece.square().sum(-1) for piece in pieces))
    return squared / model.c_o if score == "squared" else squared.sqrt()


def export(detector: Detector, out: str | Path, about: dict[str, str]) -> float:
    """Write a detector as one ONNX file: uint8 [N, 3, H, W] of the settings' size in, any N; maps and scores out.

    Args:
        detector: a fitted DFR on CPU.
        about: words for the file's metadata, such as those of the model file (:meth:`Detector.save`); settings and
            ``verdict_threshold`` are added.

    Returns:
        The largest difference of a pixel between onnxruntime and PyTorch, as a share of the image's score, in two images of noise.

    Raises:
        DFRError: a method that is not DFR, not fitted, packages that are missing, a model that PyTorch's exporter cannot write or
            onnxruntime computes otherwise, or a file that cannot be written.
    """
    if not isinstance(detector, DFR):
        raise DFRError("", f"a model of the method {detector.name}; only DFR can be exported", "score its images with `dfr score`")
    limit = detector.verdict_threshold()
    onnx, onnxruntime = _packages()
    shape = 2, 3, *sides(detector.settings.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = detector.anomaly_tensor(images)
    with torch.no_grad(), _quiet():
        graph = Graph(detector).eval()
        graph(images)  # the alignment's tables of this size are made now: while it is traced, their values cannot be looked at
        try:
            program = torch.onnx.export(
                graph, (images,), dynamo=True, verbose=False, input_names=[INPUT], output_names=[*OUTPUTS],
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise DFRError("", f"PyTorch's exporter cannot write this model ({cause})", "score its images with `dfr score`") from error
    proto = program.model_proto
    words = about | {"settings": detector.settings.to_json(), "verdict_threshold": json.dumps(limit)}
    onnx.helper.set_model_props(proto, words)
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0])
    difference = float(scoring.image_score((found - expected).abs()).div(scoring.image_score(expected)).max())
    if not difference <= TOLERANCE:
        raise DFRError(out, f"onnxruntime gives other scores than PyTorch (by {difference:.1g} of the highest), so nothing is written")
    with replacing(out) as temporary:
        temporary.write_bytes(content)
    return difference


def _packages():
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter writes with it)
    except ImportError as error:
        raise DFRError("export", f"needs {error.name}, which is not installed", "pip install onnx onnxscript onnxruntime") from None
    return onnx, onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own progress."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)

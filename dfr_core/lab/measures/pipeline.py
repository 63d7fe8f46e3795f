"""One defective image on its way through all stages (Figs. 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ... import scoring
from ...data import load_category
from ...device import arithmetic, pick_device
from ...methods.dfr import DFR
from ...receptive_field import conv_fields, regional_field
from ...regional import axis_operator

if TYPE_CHECKING:
    from ...settings import Settings
    from ..laboratory import Laboratory
    from ..plan import Wanted

#: The layers that are drawn: the last of each resolution that f{1:12} has.
DRAWN = (1, 4, 8, 12)


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Features, reconstruction, maps and segmentation of the image, and what its middle regional feature sees."""
    for record in wanted:
        settings = replace(lab.settings, layers=record.about["layers"])
        with arithmetic(settings.precision, pick_device(lab.device)):
            more, arrays = _measured(lab, settings, record.about["category"])
        yield record, more, arrays


def _measured(lab: Laboratory, settings: Settings, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    category = load_category(lab.root, name)
    detector = DFR(settings, device=lab.device, progress=False).fit(category)
    images, masks = category.load_test(settings.image_size)
    # The largest defect, so that a reader sees it at every stage.
    k = int(masks.flatten(1).sum(1).argmax())
    image, size = images[k : k + 1], tuple(images.shape[-2:])
    with torch.inference_mode():
        maps = dict(detector.extractor.backbone.feature_maps(image.to(detector.device), settings.layer_numbers))
        features = detector.extractor.generator(maps.items(), size)
        dense = features.dense()
        reconstruction = detector.reconstruct(dense)
        regional = detector.regional_anomaly_map(features)
        anomaly = scoring.upsample(regional, size, settings.map_interpolation, settings.kernel, settings.stride)[0]
    centre = (features.shape[0] // 2, features.shape[1] // 2)
    arrays, slices = _stages(maps, features, size)
    arrays |= {
        "image": image[0].permute(1, 2, 0).numpy(),
        "mask": masks[k].numpy(),
        "f": dense[0, :, :, slices].permute(2, 0, 1).cpu().numpy(),
        "reconstruction": reconstruction[0, :, :, slices].permute(2, 0, 1).cpu().numpy(),
        "regional_map": regional[0].cpu().numpy(),
        "anomaly_map": anomaly.cpu().numpy(),
        "segmentation": scoring.segment(anomaly, detector.threshold(0.005)).cpu().numpy(),
    }
    more = {
        "defect": category.test[k].defect,
        "position": list(centre),
        "regional_fields": _fields(detector, maps, size, centre),
        "c_o": detector.c_o_,
        "c_d": detector.c_d_,
        "thresholds": {"0": detector.threshold(0), "0.005": detector.threshold(0.005)},
    }
    return more, arrays


def _stages(maps: dict[int, torch.Tensor], features: Any, size: tuple[int, int]) -> tuple[dict[str, Any], list[int]]:
    """The strongest channels of the drawn layers, as they are, aligned and aggregated; and where the first of each is in f."""
    arrays, slices, offset = {}, [], 0
    for layer, phi in maps.items():
        strongest = phi[0].flatten(1).std(1).topk(min(3, phi.shape[1])).indices
        if layer in DRAWN:
            best = phi[:, strongest[:1]]
            arrays[f"phi_{layer}"] = phi[0, strongest].cpu().numpy()
            arrays[f"aligned_{layer}"] = torch.nn.functional.interpolate(best, size=size, mode="nearest")[0, 0].cpu().numpy()
            arrays[f"aggregated_{layer}"] = features.aggregated[layer].expand()[0, :, :, strongest[0]].cpu().numpy()
            slices.append(offset + int(strongest[0]))
        offset += phi.shape[1]
    return arrays, slices


def _fields(detector: DFR, maps: dict[int, torch.Tensor], size: tuple[int, int], centre: tuple[int, int]) -> list[list[int]]:
    """What the regional feature at ``centre`` sees through each layer: top, left, bottom, right in pixels."""
    settings, stack, found = detector.settings, conv_fields(detector.extractor.backbone.stack), []
    args = (settings.kernel, settings.stride, settings.interpolation)
    for layer, phi in maps.items():
        jump = detector.extractor.generator.jumps.get(layer)
        top, bottom = regional_field(axis_operator(phi.shape[2], size[0], *args, jump), centre[0], stack[layer - 1])
        left, right = regional_field(axis_operator(phi.shape[3], size[1], *args, jump), centre[1], stack[layer - 1])
        found.append([top, left, bottom, right])
    return found

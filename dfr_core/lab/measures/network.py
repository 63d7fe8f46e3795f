"""Receptive fields and channels of the network as built (Table I)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...backbones.weights import build_backbone
from ...receptive_field import conv_fields

if TYPE_CHECKING:
    from ..laboratory import Laboratory
    from ..plan import Wanted


def measure(lab: Laboratory, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, dict[str, Any], dict[str, Any]]]:
    """Size, jump and centre in pixels, and the number of channels, of every layer."""
    for record in wanted:
        width, network = record.about["width"], lab.settings.architecture
        fields = conv_fields(build_backbone(network.name, "untrained", width=width).stack)
        rows = [{"layer": k, "size": f.size, "jump": f.jump, "centre": f.centre} for k, f in enumerate(fields, start=1)]
        yield record, {"receptive_fields": rows, "channels": list(network.channels(width))}, {}

"""The distilled network in the repository is the one that its model card describes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open

from dfr_core.backbones.weights import build_backbone
from dfr_core.data.synthetic import make_image

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "dfr_core" / "backbones" / "distilled-vgg19.safetensors"


def test_the_card_names_the_file():
    data = WEIGHTS.read_bytes()
    card = (ROOT / "docs" / "distilled.md").read_text(encoding="utf-8")
    assert len(data) <= 3_000_000
    assert hashlib.sha256(data).hexdigest() in card
    assert f"{len(data):,} bytes" in card


def test_the_file_says_how_it_was_made():
    with safe_open(WEIGHTS, framework="pt") as file:
        made = json.loads(file.metadata()["made"])
    assert made["network"] == "VGG19" and made["width"] == 0.125 and made["teacher"].startswith("efficientnet-lite0")
    explained = list(made["R2 on held-out photographs"].values())
    assert min(explained[:10]) > 0.5 and min(explained) > 0  # the deep layers' teachers have seen more than they can


def test_every_layer_answers_to_images():
    """Not to every image: deep channels look for things that one picture need not show."""
    network = build_backbone("vgg19", "distilled", width=0.125, padding="reflect")
    pictures = [make_image(category, 0)[0] for category in ("carpet", "wood", "bottle", "pill", "zipper")]
    images = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])
    for _, phi in network.feature_maps(images, tuple(range(1, 17))):
        assert torch.isfinite(phi).all()
        assert (phi.amax((0, 2, 3)) > 0).float().mean() > 0.7

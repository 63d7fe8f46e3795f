"""Receptive fields against the paper's Table I and against what single pixels change."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import vgg19

from dfr_core.errors import DFRError
from dfr_core.receptive_field import (
    ReceptiveField,
    conv_fields,
    effective_receptive_field,
    effective_size,
    receptive_fields,
    regional_field,
)

TABLE_I = [3, 5, 10, 14, 24, 32, 40, 48, 68, 84, 100, 116, 156, 188, 220, 252]
SIDE = 64


def vgg19_features() -> nn.Sequential:
    """The layers alone: on this device they hold no weights, which would take a second to draw."""
    with torch.device("meta"):
        return vgg19(weights=None).features


@st.composite
def stacks(draw):
    """Up to four layers that keep positive what is positive, so that no effect of a pixel cancels."""
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
        padding = draw(st.integers(0, kernel // 2))
        kind = draw(st.sampled_from(["conv", "max", "average", "same", "padding", "relu"]))
        if kind == "conv":
            layers.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False))
        elif kind == "same":
            layers.append(nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation, bias=False))
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, padding, dilation))
        elif kind == "average":
            layers.append(nn.AvgPool2d(kernel, stride, padding))
        elif kind == "padding":
            layers.append(nn.ZeroPad2d(padding))
        else:
            layers.append(nn.Sequential(nn.ReLU(), nn.Identity()))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
    return nn.Sequential(*layers)


def rows_seen(network) -> torch.Tensor:
    """[rows of the map, rows of the image]: which rows a change of each image row reaches."""
    images = torch.eye(SIDE)[:, None, :, None].expand(SIDE, 1, SIDE, SIDE)
    with torch.no_grad():
        return (network(images) > 0).any(3)[:, 0].T


def assert_same_field(seen: torch.Tensor, interval: tuple[int, int]) -> None:
    first, stop = interval
    pixels = seen.nonzero().flatten().tolist()
    assert all(first <= pixel < stop for pixel in pixels)
    if first >= 0 and stop <= SIDE:
        assert (pixels[0], pixels[-1] + 1) == interval


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=60, deadline=None)
@given(stacks())
def test_fields_are_what_single_pixels_change(stack):
    field = receptive_fields(stack)[-1]
    for index, seen in enumerate(rows_seen(stack)):
        assert_same_field(seen, field.interval(index))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=40, deadline=None)
@given(stacks(), st.integers(1, 6), st.integers(1, 6), st.sampled_from(["nearest", "bilinear"]))
def test_regional_fields_are_what_single_pixels_change(stack, kernel, stride, mode):
    def regional(maps):
        return nn.functional.avg_pool2d(nn.functional.interpolate(maps, (SIDE, SIDE), mode=mode), kernel, stride)

    units = stack(torch.zeros(1, 1, SIDE, SIDE)).shape[2]
    columns = torch.eye(units)[:, None, :, None].expand(units, 1, units, units)
    matrix = regional(columns)[:, 0, :, 0].T  # [h_o, h_l]
    field = receptive_fields(stack)[-1]
    for index, seen in enumerate(rows_seen(nn.Sequential(stack, Function(regional)))):
        assert_same_field(seen, regional_field(matrix, index, field))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_vgg19_has_the_sizes_of_table_i():
    fields = conv_fields(vgg19_features())
    assert [field.size for field in fields] == TABLE_I
    assert [field.jump for field in fields] == [1] * 2 + [2] * 2 + [4] * 4 + [8] * 4 + [16] * 4
    assert [field.centre for field in fields] == [0.5] * 2 + [1.0] * 2 + [2.0] * 4 + [4.0] * 4 + [8.0] * 4


def test_one_field_for_each_layer_and_relu_keeps_it():
    features = vgg19_features()
    fields = receptive_fields(features)
    assert len(fields) == len(features)
    after_relu = [field for layer, field in zip(features, fields, strict=True) if isinstance(layer, nn.ReLU)]
    assert after_relu == conv_fields(features) == conv_fields(list(features)) == conv_fields(nn.Sequential(features))


def test_intervals_and_centres():
    pixel = ReceptiveField()
    assert pixel.interval(7) == (7, 8) and pixel.centre_of(7) == 7.5
    first, *_, last = conv_fields(vgg19_features())
    assert first.interval(0) == (-1, 2)
    assert last.interval(0) == (8 - 126, 8 + 126)
    assert last.interval(3) == (8 - 126 + 48, 8 + 126 + 48)


def test_regional_field_of_the_papers_operator():
    """A mean over 4 pixels of layer 1 sees 4 + 2 pixels; the features of a stretched map see what its unit sees."""
    first, *_, last = conv_fields(vgg19_features())
    mean = torch.eye(64).repeat_interleave(4, dim=1) / 4  # [64, 256]
    assert regional_field(mean, 5, first) == (19, 25)
    stretched = torch.eye(16).repeat_interleave(4, dim=0)  # [64, 16]
    assert regional_field(stretched, 5, last) == last.interval(1)


def test_effective_field_of_two_box_filters_is_a_triangle():
    boxes = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.Conv2d(2, 2, 3, bias=False))
    for layer in boxes:
        nn.init.ones_(layer.weight)
    field = effective_receptive_field(boxes, torch.rand(2, 3, 12, 11), (2, 3))
    triangle = torch.tensor([1.0, 2, 3, 2, 1])
    expected = torch.zeros(12, 11)
    expected[2:7, 3:8] = torch.outer(triangle, triangle) / 81
    torch.testing.assert_close(field, expected)
    centre = [conv_fields(boxes)[-1].centre_of(index) for index in (2, 3)]
    # The inner squares hold 9, 49 and 81 of 81.
    assert [effective_size(field, centre, share) for share in (0.1, 0.12, 0.6, 0.61, 0.95, 1)] == [1, 3, 3, 5, 5, 5]
    assert effective_size(field, (5, 5), 0.4) == 4  # around a corner of pixels: 25, then 64 of 81


@pytest.mark.parametrize("last", [8, 17])  # the ReLUs of layers 4 and 8
def test_effective_field_lies_within_the_theoretical_one(last):
    torch.manual_seed(0)
    stack = vgg19_features()[: last + 1].to_empty(device="cpu")
    for layer in stack:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    field = receptive_fields(stack)[-1]
    unit = 30 // field.jump
    with torch.no_grad():  # the caller's mode does not matter
        effective = effective_receptive_field(stack, torch.rand(1, 3, 64, 64), (unit, unit))
    first, stop = field.interval(unit)
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[max(first, 0) : stop, max(first, 0) : stop] = True
    assert effective.sum() == pytest.approx(1, abs=1e-5)
    assert (effective >= 0).all() and not effective[~inside].any()
    centre = (field.centre_of(unit),) * 2
    sizes = [effective_size(effective, centre, share) for share in (0.5, 0.95, 1)]
    assert 0 < sizes[0] < sizes[1] <= sizes[2] <= field.size


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: receptive_fields([nn.Conv2d(1, 1, (3, 1))]), "kernel_size"),
        (lambda: receptive_fields([nn.MaxPool2d(2, stride=(1, 2))]), "stride"),
        (lambda: conv_fields([nn.ZeroPad2d((0, 1, 0, 1))]), "padding"),
        (lambda: conv_fields([nn.Conv2d(1, 1, 3), nn.Linear(1, 1)]), "stack: Linear"),
        (lambda: receptive_fields([nn.ConvTranspose2d(1, 1, 3)]), "stack: ConvTranspose2d"),
        (lambda: regional_field(torch.eye(3), 3, ReceptiveField()), "no row 3"),
        (lambda: regional_field(torch.eye(3), -1, ReceptiveField()), "no row -1"),
        (lambda: regional_field(torch.zeros(3, 3), 1, ReceptiveField()), "all zero"),
        (lambda: effective_receptive_field(nn.Conv2d(3, 1, 3), torch.rand(1, 3, 5, 5), (3, 0)), "position: .3, 0. is not on"),
        (lambda: effective_receptive_field(torch.zeros_like, torch.rand(1, 3, 5, 5), (0, 0)), "network: its maps carry no"),
        (lambda: effective_receptive_field(lambda x: x * 0, torch.rand(1, 3, 5, 5), (0, 0)), "position: no pixel counts"),
        (lambda: effective_size(torch.ones(3, 3) / 9, (1.5, 1.5), 0), "share: 0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(DFRError, match=message):
        call()

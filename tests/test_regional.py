"""Section III-B: the fast regional features equal the literal ones, and never grow to the image's size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.errors import DFRError
from dfr_core.literal import regional_features
from dfr_core.regional import RESIZE, Generator, _axis, align, axis_operator, sum_expanded
from dfr_core.settings import INTERPOLATIONS

#: Largest relative error that counts as equal: sums of a few dozen terms, in another order.
LIMIT = {torch.float64: 1e-12, torch.float32: 1e-5}
largest = {torch.float64: 0.0, torch.float32: 0.0}
counted = {"cases": 0}


@pytest.fixture(scope="module", autouse=True)
def report():
    yield
    print(f"\nfast = literal in {counted['cases']} configurations, largest relative error", end=" ")
    print(", ".join(f"{str(dtype).removeprefix('torch.')} {error:.1e}" for dtype, error in largest.items()))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


@st.composite
def configurations(draw):
    """(image size, map sizes, kernel, stride, interpolation, images, dtype, seed)."""
    size = draw(st.tuples(st.integers(4, 72), st.integers(4, 72)) | st.sampled_from([(16, 16), (32, 32), (64, 64), (64, 32), (48, 64)]))
    kernel = draw(st.integers(1, min(size)) | st.integers(1, min(8, *size)))
    stride = draw(st.just(kernel) | st.integers(1, 9))
    vgg = st.tuples(st.integers(0, 2), st.sampled_from([0, 2])).map(  # halved by poolings; perhaps with a kept border
        lambda drawn: tuple(max(1, n >> drawn[0]) + drawn[1] for n in size)
    )
    arbitrary = st.tuples(st.integers(1, 80), st.integers(1, 80))
    map_sizes = draw(st.lists(vgg | arbitrary, min_size=1, max_size=4))
    return (
        size, map_sizes, kernel, stride, draw(st.sampled_from(INTERPOLATIONS)), draw(st.integers(1, 3)),
        draw(st.sampled_from([torch.float32, torch.float64])), draw(st.integers(0, 2**31)),
    )  # fmt: skip


def random_maps(map_sizes, n: int, dtype: torch.dtype, seed: int) -> list[tuple[int, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (layer, torch.randn(n, 1 + layer % 3, h, w, generator=generator, dtype=dtype)) for layer, (h, w) in enumerate(map_sizes, start=1)
    ]


@settings(max_examples=300)
@given(configurations())
@example(((64, 64), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)], 4, 4, "nearest", 2, torch.float32, 0))  # the paper's
@example(((64, 64), [(66, 66), (32, 32), (18, 18), (8, 8), (6, 6)], 4, 4, "bilinear-aligned", 2, torch.float32, 0))  # released
@example(((31, 50), [(31, 50), (15, 25), (7, 12), (3, 6)], 7, 3, "nearest", 2, torch.float64, 1))  # kernel > stride
@example(((31, 50), [(31, 50), (15, 25), (7, 12), (3, 6)], 2, 5, "bilinear", 2, torch.float64, 1))  # kernel < stride
@example(((33, 20), [(33, 20), (16, 10), (8, 5)], 1, 1, "nearest", 1, torch.float32, 2))  # no filter at all
@example(((33, 20), [(16, 10)], 20, 1, "bilinear", 1, torch.float32, 2))
def test_fast_equals_literal(configuration):
    size, map_sizes, kernel, stride, interpolation, n, dtype, seed = configuration
    maps = random_maps(map_sizes, n, dtype, seed)
    expected = regional_features([phi for _, phi in maps], size, kernel, stride, **RESIZE[interpolation])
    exact = regional_features([phi.double() for _, phi in maps], size, kernel, stride, **RESIZE[interpolation])
    generator = Generator(kernel, stride, interpolation)
    features = generator(iter(maps), size)
    dense = features.dense()

    found = dense.permute(0, 3, 1, 2)
    assert found.dtype == dtype
    error = relative_error(found.double(), exact)
    largest[dtype] = max(largest[dtype], error)
    counted["cases"] += 1
    assert error <= LIMIT[dtype]
    # The literal version adds kernel^2 numbers one after the other, and in float32 is itself off by their rounding.
    assert relative_error(found, expected) <= LIMIT[dtype] * max(1, kernel**2 / 100)

    # Every other way to read the features gives exactly what dense() gives.
    assert features.shape == generator.shape(size) == dense.shape[1:3]
    assert len(features) == n and features.c_o == dense.shape[-1]
    flat = dense.flatten(1, 2)
    some = torch.randint(0, flat.shape[1], (17,), generator=torch.Generator().manual_seed(seed))
    which = torch.arange(17) % n
    assert torch.equal(features.at(which, some), flat[which, some])
    assert torch.equal(features.take(torch.tensor([n - 1, 0])).dense(), dense[[n - 1, 0]])
    assert torch.equal(features.take(slice(0, 1)).dense(), dense[:1])
    last = [len(maps)]
    assert torch.equal(features.select(last).dense(), dense[..., -maps[-1][1].shape[1] :])
    for m in features.aggregated.values():
        assert m.expand().shape[:3] == (n, *features.shape)
        assert torch.equal(m.expand(2 * m.data), 2 * m.expand())  # what is linear in the map may be done before repeating


@pytest.mark.parametrize(
    ("map_size", "image_size", "what"), [(256, 256, "mean of 4"), (128, 256, "mean of 2"), (64, 256, "identity"), (32, 256, "copy by 2")]
)
def test_the_papers_setting_is_a_mean_or_a_copy(map_size, image_size, what):
    matrix = axis_operator(map_size, image_size)
    eye = torch.eye(64, dtype=torch.float64)
    expected = {
        "mean of 4": eye.repeat_interleave(4, 1) / 4,
        "mean of 2": eye.repeat_interleave(2, 1) / 2,
        "identity": eye,
        "copy by 2": torch.eye(32, dtype=torch.float64).repeat_interleave(2, 0),
    }[what]
    assert torch.equal(matrix, expected)


@given(st.integers(1, 60), st.integers(4, 60), st.integers(1, 4), st.integers(1, 6), st.sampled_from(INTERPOLATIONS))
def test_rows_of_the_operator_are_weights(map_size, image_size, kernel, stride, interpolation):
    matrix = axis_operator(map_size, image_size, kernel, stride, interpolation)
    assert (matrix >= 0).all()
    assert torch.allclose(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64), rtol=0, atol=1e-12)


def test_default_setting_holds_each_map_at_its_own_or_the_regional_size():
    """At 256 pixels: blocks 1 to 3 as 64 x 64, block 4 as 32 x 32, block 5 as 16 x 16; nothing at image size."""
    network = VGG(architecture("vgg19"), width=0.02)
    network.stack.apply(lambda m: torch.nn.init.constant_(m.weight, 0.01) if hasattr(m, "weight") else None)
    features = Generator()(network.feature_maps(torch.full((1, 3, 256, 256), 7, dtype=torch.uint8), tuple(range(1, 17))), (256, 256))
    sides = [m.data.shape[1] for m in features.aggregated.values()]
    assert sides == [64] * 8 + [32] * 4 + [16] * 4
    assert features.nbytes == sum(4 * c * side**2 for c, side in zip(network.architecture.channels(0.02), sides))
    assert features.nbytes < 0.6 * features.dense().numel() * 4
    assert features.shape == (64, 64)


def test_nothing_of_image_size_is_allocated(monkeypatch):
    """The fast path never calls the resize, and no intermediate has more values than its map had."""
    maps = random_maps([(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)], 2, torch.float32, 0)
    Generator()(maps, (64, 64))  # the small operators are made once
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                seen.append(result.numel() / result.shape[0])
            return result

    for layer, phi in maps:
        seen.clear()
        with Watch():
            Generator()([(layer, phi)], (64, 64))
        assert max(seen) <= phi[0].numel()


@given(sides=st.lists(st.sampled_from([2, 4, 8, 16, 32]), min_size=1, max_size=6), interpolation=st.sampled_from(INTERPOLATIONS))
def test_sum_of_maps_is_the_sum_of_what_they_are_repeated_to(sides, interpolation):
    generator = torch.Generator().manual_seed(0)
    maps = [(k, torch.randn(2, 3, side, side, generator=generator, dtype=torch.float64)) for k, side in enumerate(sides)]
    features = list(Generator(2, 2, interpolation)(maps, (32, 32)).aggregated.values())
    expected = sum(2 * m.expand() for m in features)
    assert torch.allclose(sum_expanded(features, (2 * m.data for m in features)), expected, rtol=0, atol=1e-12)
    cropped = [m.crop(3, 11) for m in features]  # a strip of the whole, which repeats its units unevenly
    found = sum_expanded(cropped, (2 * m.data for m in cropped))
    assert torch.allclose(found, expected[:, 3:11], rtol=0, atol=1e-12)


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.sampled_from([(32, 32), (32, 48), (30, 34)]),
    rows=st.sets(st.integers(0, 15), min_size=2, max_size=2).map(sorted),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
def test_adding_in_place_is_adding_what_a_map_is_repeated_to(sides, size, rows, interpolation):
    """Also where rows are not all repeated equally often: a size that is no multiple, or a strip that begins inside a repetition."""
    random = torch.Generator().manual_seed(0)
    maps = Generator(2, 2, interpolation)([(1, torch.randn(2, 3, *sides, generator=random, dtype=torch.float64))], size)
    m = maps.aggregated[1].crop(rows[0], min(rows[1], maps.shape[0]))
    whole = torch.randn(m.expand().shape, generator=random, dtype=torch.float64)
    expected = whole - 2 * m.expand()
    found = m.add_to(whole, m.data, -2)
    assert found is whole and torch.allclose(found, expected, rtol=0, atol=1e-12)


def test_constant_maps_stay_constant():
    for interpolation in INTERPOLATIONS:
        dense = Generator(5, 3, interpolation)([(1, torch.full((1, 2, 13, 9), 2.5))], (40, 37)).dense()
        assert torch.allclose(dense, torch.tensor(2.5))


def test_filter_larger_than_the_image_is_a_users_error():
    with pytest.raises(DFRError, match="kernel: 20 exceeds the image of 16 x 16 pixels"):
        Generator(20, 4)([(1, torch.zeros(1, 1, 16, 16))], (16, 16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients_flow_also_after_use_in_inference_mode(interpolation, dtype):
    axis_operator.cache_clear()
    _axis.cache_clear()
    for side in (32, 8, 5):
        with torch.inference_mode():
            Generator(4, 2, interpolation)([(1, torch.rand(1, 2, side, side, dtype=dtype))], (32, 32))
        phi = torch.rand(1, 2, side, side, dtype=dtype, requires_grad=True)
        dense = Generator(4, 2, interpolation)([(1, phi)], (32, 32)).dense()
        dense.sum().backward()
        assert torch.allclose(phi.grad.sum(), torch.tensor(float(dense.numel()), dtype=dtype))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size", "kernel", "stride"), [((64, 64), 4, 4), ((50, 37), 5, 2)])
def test_cuda_equals_cpu(interpolation, size, kernel, stride):
    maps = random_maps([size, (size[0] // 2, size[1] // 2), (8, 8), (5, 4)], 2, torch.float32, 3)
    expected = Generator(kernel, stride, interpolation)(maps, size).dense()
    found = Generator(kernel, stride, interpolation)([(layer, phi.cuda()) for layer, phi in maps], size)
    assert relative_error(found.dense().cpu(), expected) <= 1e-5
    which, places = torch.arange(5) % 2, torch.arange(5)
    assert torch.equal(found.at(which.cuda(), places.cuda()).cpu(), found.dense().cpu().flatten(1, 2)[which, places])


# ---- units stay where they have looked ---------------------------------------------------------------


def placed(maps, size, kernel, stride, interpolation, jumps) -> torch.Tensor:
    """Eq. 1-3 with maps that cover the pixels they were pooled from, and no others: [N, c_o, h_o, w_o]."""
    aligned = [align(phi, size, interpolation, jump) for phi, jump in zip(maps, jumps)]
    return torch.cat([torch.nn.functional.avg_pool2d(phi, kernel, stride) for phi in aligned], dim=1)


@given(
    st.tuples(st.integers(16, 80), st.integers(16, 80)), st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(1, 16), st.integers(1, 8), st.sampled_from(INTERPOLATIONS),
)  # fmt: skip
@example((127, 127), 8, 4, 4, "nearest")
@example((127, 127), 16, 16, 4, "bilinear")
def test_a_maps_units_lie_on_the_pixels_they_were_pooled_from(size, jump, kernel, stride, interpolation):
    """Pooling a ramp leaves each unit the middle of its pixels; aligned, it is off by half a unit at most (nearest), or not at all."""
    ramp = (torch.arange(size[0], dtype=torch.float64)[:, None] * torch.ones(size[1], dtype=torch.float64))[None, None]
    phi = torch.nn.functional.avg_pool2d(ramp, jump)
    generator = Generator(kernel, stride, interpolation, {1: jump})
    found = generator([(1, phi)], size).dense()[0, :, 0, 0]
    literal = placed([phi], size, kernel, stride, interpolation, [jump])[0, 0, :, 0]
    assert torch.allclose(found, literal, rtol=0, atol=1e-9)
    middles = torch.arange(len(found)).double() * stride + (kernel - 1) / 2
    covered = size[0] // jump * jump  # what is left over shows the last unit
    seen = middles + (kernel - 1) / 2 <= covered - 1
    assert ((found - middles)[seen].abs() <= jump / 2).all()
    inside = seen & (middles - (kernel - 1) / 2 >= jump / 2) & (middles + (kernel - 1) / 2 <= covered - 1 - jump / 2)
    if interpolation == "bilinear":
        assert torch.allclose(found[inside], middles[inside], rtol=0, atol=1e-9)


@given(st.integers(1, 8), st.sampled_from([1, 2, 4, 8]), st.sampled_from(INTERPOLATIONS))
def test_where_the_jump_divides_the_image_alignment_is_equation_1(units, jump, interpolation):
    size = units * jump
    kernel = min(4, size)
    assert torch.equal(axis_operator(units, size, kernel, 4, interpolation, jump), axis_operator(units, size, kernel, 4, interpolation))


def test_maps_of_the_network_are_not_stretched_at_odd_sizes(tiny):
    from dataclasses import replace

    from dfr_core.extract import Extractor

    extractor = Extractor(replace(tiny, image_size=63), torch.device("cpu"))
    images = torch.zeros(1, 3, 63, 63, dtype=torch.uint8)
    numbers = extractor.layers
    maps = dict(extractor.backbone.feature_maps(images, numbers))
    jumps = [extractor.backbone.architecture.layers[layer - 1].jump for layer in numbers]
    literal = placed(list(maps.values()), (63, 63), 4, 4, "nearest", jumps).permute(0, 2, 3, 1)
    assert torch.allclose(extractor(images).dense(), literal, rtol=1e-5, atol=1e-6)

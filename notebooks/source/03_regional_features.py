# %% [markdown]
# # 03 · Regional features
#
# **Paper:** Section III-B, Eq. 1-3, Fig. 3 · **Needs:** notebooks 01 and 02
#
# A network hands us many maps of one image. The first ones are large and know little of the surroundings; the last ones are small and
# know a lot. To judge one small piece of the image we want all of that at once: one long vector for each piece, holding what every
# layer says about it. This notebook builds that vector in three steps - align, aggregate, concatenate - and then asks how much it tells.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - align, aggregate and concatenate feature maps by hand, and state the shape after each step;
# - compute the size and the depth of the regional features for any image, mean filter and set of layers;
# - explain why a feature for a few pixels knows about a far larger area;
# - say how the core gets the same numbers without ever enlarging a map;
# - read a map of cosine similarities, and tell what adding a scale (the map of one more layer) changes in it.
#
# **Runtime:** about 10 s and 1000 MiB in the quick edition on 2 CPU cores, 1 minute in the paper edition on a GPU. Download: none.

# %%
from dfr_core.course import (
    check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict,
)

edition = start(3)
settings = edition.settings

# %% [markdown]
# ## The maps we start from (Section III-A)
#
# We take one test image, a hazelnut with a hole, and the maps $\phi_1 \dots \phi_L$ that notebook 02 made of it. Each is a ReLU output with
# $c_l$ channels of $h_l \times w_l$ units. The deeper the layer, the fewer units and the more channels.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from dfr_core.backbones.weights import build_backbone

layers = settings.layer_numbers
network = build_backbone(
    settings.backbone,
    settings.weights,
    width=settings.width,
    padding=settings.padding,
    last=layers[-1],
    seed=settings.seed,
)
nuts = edition.category("hazelnut")
images, masks = nuts.load_test(settings.image_size)
k = [sample.defect for sample in nuts.test].index("hole")
image, mask = images[k : k + 1], masks[k]
h, w = image.shape[-2:]

with torch.inference_mode():
    # phi_l: [c_l, h_l, w_l]
    maps = {layer: phi[0] for layer, phi in network.feature_maps(image, layers)}
rows = [(f"φ_{layer}", *phi.shape) for layer, phi in maps.items()]
print(table(rows, head=("map", "c_l", "h_l", "w_l")))

# %% [markdown] tags=["slide"]
# The maps cannot simply be stacked: their sizes differ. That is the problem of this section.
#
# ## Section III-B, Eq. 1: align
#
# Every map is resized to the image's own h x w; its channels stay as they are:
#
# $$\hat\phi_l(x) = \operatorname{resize}(\phi_l(x)), \qquad [c_l, h_l, w_l] \to [c_l, h, w] \qquad \text{(Eq. 1)}$$
#
# The paper resizes by nearest neighbours (IV-A3): each pixel copies the unit that lies over it. Counting from zero, pixel $i$ of $h$ takes
# unit $\lfloor i\, h_l / h \rfloor$. Nothing is blurred and nothing is invented; a unit of a coarse map becomes a square of equal pixels.


# %% tags=["slide-more", "no-code"]
def align(phi, h, w):
    """Eq. 1 by nearest neighbours: [c_l, h_l, w_l] -> [c_l, h, w]."""
    rows = torch.arange(h) * phi.shape[1] // h
    columns = torch.arange(w) * phi.shape[2] // w
    return phi[:, rows][:, :, columns]


aligned = {layer: align(phi, h, w) for layer, phi in maps.items()}
theirs = {
    layer: F.interpolate(phi[None], size=(h, w), mode="nearest")[0] for layer, phi in maps.items()
}
equal = all(torch.equal(aligned[layer], theirs[layer]) for layer in layers)
verdict("our alignment is torch's nearest-neighbour interpolation, for every layer", equal)
del theirs

chosen = [layer for layer in (2, 6, 12) if layer in maps]
titles = ["image", *(f"layer {layer}, mean over channels" for layer in chosen)]
show(
    image[0],
    *(aligned[layer].mean(0) for layer in chosen),
    titles=titles,
    width=3,
    alt="A hazelnut with a round hole, and the means of three layers over it: layer 2 as fine as the "
    "image, the hole's rim bright, layer 6 in small squares, the hole bright, layer 12 in squares of 8 "
    "pixels, the hole and the nut's edge bright.",
)

# %% [markdown] tags=["slide"]
# All of them now lie over the image pixel for pixel; the deeper the layer, the larger the squares of equal value.
#
# ## Section III-B, Eq. 2: aggregate
#
# A mean filter then slides over each aligned map:
#
# $$\bar\phi_l(x) = \operatorname{agg}(\hat\phi_l(x)), \qquad [c_l, h, w] \to [c_l, h_o, w_o] \qquad \text{(Eq. 2)}$$
#
# The paper's filter is 4 x 4 pixels with a stride of 4, so its places do not overlap: one regional feature stands for one block of
# pixels. For any filter and stride,
# $h_o = \lfloor (h - \text{kernel}) / \text{stride} \rfloor + 1$.


# %%
def aggregate(phi_hat, kernel, stride):
    """Eq. 2, one place at a time: [c_l, h, w] -> [c_l, h_o, w_o]."""
    h_o, w_o = ((size - kernel) // stride + 1 for size in phi_hat.shape[1:])
    out = torch.empty(len(phi_hat), h_o, w_o)
    for i in range(h_o):
        for j in range(w_o):
            top, left = i * stride, j * stride
            out[:, i, j] = phi_hat[:, top : top + kernel, left : left + kernel].mean((1, 2))
    return out


kernel, stride = settings.kernel, settings.stride
aggregated = {layer: aggregate(aligned[layer], kernel, stride) for layer in layers}
h_o, w_o = aggregated[layers[0]].shape[1:]
print(
    f"{h} x {w} pixels, filter {kernel} x {kernel}, stride {stride}: {h_o} x {w_o} regional features"
)

# %% [markdown]
# The core's version of both steps is `Generator`. It keeps its maps with the channels last, `[N, h_o, w_o, c_l]`, and does not write the
# copies of coarse maps out unless asked (`.expand()`; the reason comes below). So we reorder the axes before we compare.

# %%
from dfr_core.regional import Generator

paper = {"kernel": 4, "stride": 4, "h_o": 64}  # IV-A3, and the example at the end of III-B
generator = Generator(kernel, stride, "nearest")
apart = []
for layer, phi in maps.items():
    core = generator.aggregate(phi[None], (h, w)).expand()[0].permute(2, 0, 1)
    apart.append(float((core - aggregated[layer]).abs().max() / core.max()))
name = "the core's aggregation equals ours, for every layer"
verdict(name, max(apart) < 1e-4, f"{max(apart):.0e} apart")
verdict("filter and stride are the paper's", (kernel, stride) == (paper["kernel"], paper["stride"]))
verdict("and so is the size of the regional feature map", h_o == w_o == paper["h_o"])

# %% [markdown] tags=["slide-more"]
# ## Section III-B, Eq. 3: concatenate
#
# $$f(x) = \operatorname{cat}\bigl(\bar\phi_1(x), \bar\phi_2(x), \dots, \bar\phi_L(x)\bigr), \qquad c_o = \sum_l c_l \qquad \text{(Eq. 3)}$$
#
# Now all maps have one size and can be stacked. At each position (i, j) stands one long vector f(i, j): the **regional feature**. Here f
# has its channels first, as PyTorch's maps do; from notebook 04 on they are last, as in the core.

# %%
f = torch.cat(list(aggregated.values()))
features = generator([(layer, phi[None]) for layer, phi in maps.items()], (h, w))
channels = sum(len(phi) for phi in maps.values())
verdict("c_o is the sum of the channels", f.shape[0] == features.c_o == channels)
dense = features.dense()[0].permute(2, 0, 1)
apart = float((dense - f).abs().max() / f.max())
verdict("the core's regional features equal ours", apart < 1e-4, f"{apart:.0e} apart")
print("f(x):", tuple(f.shape))

# %% [markdown]
# ## Fig. 3: what one regional feature sees
#
# A regional feature is *about* a block of 4 x 4 pixels, but it is *made from* far more: each of its parts looks through the receptive
# field of its layer (notebook 01). The paper calls these sizes the scales of the feature. Here they are for the regional feature in the
# middle of the hole, row i and column j.

# %%
from dfr_core.receptive_field import conv_fields, regional_field
from dfr_core.regional import axis_operator

rows, columns = mask.nonzero(as_tuple=True)
i, j = int(rows.float().mean()) // stride, int(columns.float().mean()) // stride
theory = conv_fields(network.stack)
fields = {}  # layer -> for each regional feature of an axis the first pixel that it sees, and one past the last
for layer, phi in maps.items():
    operator = axis_operator(phi.shape[1], h)  # alignment and aggregation in one, see below
    fields[layer] = [regional_field(operator, k, theory[layer - 1]) for k in range(h_o)]

# %% tags=["slide", "no-code"]
figure, (left, right) = plt.subplots(1, 2, figsize=(14, 7))
left.imshow(image[0].permute(1, 2, 0))
for k, layer in enumerate(layers):
    (top, bottom), (first, last) = fields[layer][i], fields[layer][j]
    colour, side = plt.cm.plasma(k / (len(layers) - 1)), last - first
    corner = (first - 0.5, top - 0.5)
    left.add_patch(plt.Rectangle(corner, side, bottom - top, fill=False, color=colour, lw=2))
    right.barh(layer, len(maps[layer]), color=colour)
    right.text(len(maps[layer]) + 1, layer, f"sees {side} x {side} pixels", va="center", fontsize=12)
left.set_axis_off()
right.set(title=f"f({i}, {j}): {len(f)} numbers", xlabel="how many from this layer", ylabel="layer")
right.set(yticks=layers, xlim=(0, 100))
picture(
    "Left the hazelnut with twelve nested square frames around its hole, from 6 pixels to nearly half of "
    "the image; right a bar for each of the twelve layers in the colour of its frame: how many numbers of "
    "the vector come from it, 8 from layer 1 and 64 from layer 12, and how much it sees."
)

# %% [markdown]
# From the innermost frame outwards: the same place seen by deeper and deeper layers. This is why the features are called multi-scale,
# and why one vector can hold both the grain of a surface and the shape around it.
#
# ## Why aggregate? Two reasons the paper gives
#
# **It smooths.** A mean over a block changes less under noise than its pixels do. We add camera noise to the image and compare how
# much the aligned and the aggregated maps change, relative to their size. Only maps with several units a block can profit.
# Do layers 3 and 4, with four units a block, profit as much as layers 1 and 2, with sixteen?

# %%
# Camera noise with a standard deviation of 4 of the 255 grey levels, as of a camera in dim light.
noise = 4 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
noisy = (image + noise).round().clamp(0, 255).byte()


def change(a, b):
    """Relative change of a map, in per cent."""
    return 100 * float((a - b).double().norm() / a.double().norm())


before, after = {}, {}
with torch.inference_mode():
    for layer, phi in network.feature_maps(noisy, layers):
        pair = aligned[layer], align(phi[0], h, w)
        before[layer] = change(*pair)
        after[layer] = change(*(F.avg_pool2d(phi_hat, 4) for phi_hat in pair))
rows = [(k, f"{before[k]:.0f} %", f"{after[k]:.0f} %") for k in layers]
print(table(rows, head=("layer", "aligned", "aggregated")))

fine = [layer for layer in layers if maps[layer].shape[1] > h_o]
ratio = {layer: after[layer] / before[layer] for layer in layers}
sixteen, four = (sorted(ratio[k] for k in some) for some in (fine[:2], fine[2:]))
spread = f"{sixteen[0]:.2f} and {sixteen[-1]:.2f}"
verdict("means of sixteen change about a quarter as much", 0.18 < sixteen[0] < sixteen[-1] < 0.35, spread)
spread = f"{four[0]:.2f} and {four[-1]:.2f}"
verdict("means of four about half as much", 0.4 < four[0] < four[-1] < 0.6, spread)
coarse = [ratio[k] for k in layers if k not in fine]
verdict("coarse maps change as before", np.allclose(coarse, 1, atol=1e-3))

# %% [markdown]
# The first two layers have a unit for each pixel, the next two one for four pixels: there the mean takes noise away. Means of
# independent noise would shrink to a quarter and to a half, and about so it is; layer 2 keeps a little more, for its neighbours share some
# noise, since their receptive fields overlap. From layer 5 on a block lies within one unit, its mean is the unit itself, and aggregation
# changes nothing.
#
# **It sets the size.** The stride decides how many regional features there are, and everything after this step costs in proportion.

# %%
choices = [(4, 4), (8, 8), (1, 1)]
shapes = [Generator(k, s).shape((h, w)) for k, s in choices]
rows = [
    (f"filter {k}, stride {s}", rows, columns, rows * columns)
    for (k, s), (rows, columns) in zip(choices, shapes)
]
print(table(rows, head=("", "h_o", "w_o", "regional features")))

# %% [markdown]
# The last row is the pixel-wise representation of which the paper speaks: as many features as pixels.
#
# ## The same numbers without enlarging anything
#
# Eq. 1 to the letter is wasteful: it copies each unit of a coarse map many times, only to average the copies. But resizing and mean
# filtering are linear, and they treat rows and columns alike. So for each channel both together are two small matrices, $\bar\phi = R\,\phi\,C^\top$: $R$ of
# `[h_o, h_l]` for the rows and $C$ of `[w_o, w_l]` for the columns, the same one in a square image. The core asks for that matrix
# (`axis_operator`) and looks at it. Here are its first eight rows for maps of three sizes:

# %%
operators = {size: axis_operator(size, h, kernel, stride) for size in (256, 64, 32)}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), width_ratios=[2.2, 1, 1])
for axis, (size, matrix) in zip(axes, operators.items()):
    axis.imshow(matrix[:8, : 8 * size // 64], cmap="cividis", vmin=0, vmax=0.5)
    axis.set(title=f"{size} units → {h_o}", xlabel="unit of the map", ylabel="regional feature")
    axis.xaxis.set_major_locator(plt.MultipleLocator(4 if size == 256 else 2))
figure.tight_layout()
picture(
    "Three small matrices: for 256 units each row is a grey bar over four units, for 64 units a yellow "
    "diagonal, for 32 units yellow steps, two rows to a unit."
)

# %% [markdown]
# Blue is zero. Left to right: a mean over four units (each entry is one quarter), no change, and a copy (two regional features read the
# same unit; the entries are one). A copy need not be made
# before somebody reads it, so the core keeps coarse maps as they are. What that saves:

# %%
mean_of_four = torch.eye(h_o).repeat_interleave(4, 1) / 4
copy = torch.eye(32).repeat_interleave(2, 0)
verdict("a map of 256 units: means of four", torch.allclose(operators[256].float(), mean_of_four))
verdict("a map of 64 units: no change", torch.equal(operators[64].float(), torch.eye(h_o)))
verdict("a map of 32 units: every unit twice", torch.equal(operators[32].float(), copy))
aligned_bytes = sum(4 * len(phi) * h * w for phi in maps.values())
mib = [size / 2**20 for size in (aligned_bytes, features.nbytes)]
print(f"aligned maps: {mib[0]:.0f} MiB an image; kept by the core: {mib[1]:.1f} MiB")
part = features.nbytes / aligned_bytes
verdict("the core holds less than a twentieth", part < 1 / 20, f"{part:.1%}")

# %% [markdown]
# ## Are the features telling? Cosine similarity
#
# Two regional features are alike if they point the same way:
#
# $$\cos\bigl(f(i, j), f(k, m)\bigr) = \frac{f(i, j) \cdot f(k, m)}{\lVert f(i, j)\rVert \; \lVert f(k, m)\rVert}$$
#
# ReLU outputs are never negative, so all of them point roughly the same way. We take the mean feature of the image off first: what is
# left is what makes a place different. (This is for looking
# only; DFR itself compares a feature with its reconstruction.)


# %%
def cosine_to(f, i, j):
    """Cosine of f(i, j) to every regional feature, one at a time: [c_o, h_o, w_o] -> [h_o, w_o]."""
    here = f[:, i, j]
    out = torch.empty(f.shape[1:])
    for k in range(f.shape[1]):
        for m in range(f.shape[2]):
            out[k, m] = here @ f[:, k, m] / (here.norm() * f[:, k, m].norm())
    return out


different = f - f.mean((1, 2), keepdim=True)
naive = cosine_to(different, i, j)

from dfr_core.widgets import cosine

prepared = cosine.centred(cosine.prepare(features))
fast = cosine.similarity(prepared, i, j, layers)
apart = float(abs(fast - naive.numpy()).max())
verdict("the widget's function gives the same map", apart < 1e-3, f"{apart:.0e} apart")
verdict("a feature is like itself", np.isclose(fast[i, j], 1, atol=1e-4))

# %% [markdown]
# Which places are like the middle of the hole? First with the four shallowest scales, of which none is wider than 16 pixels.

# %% tags=["slide", "no-code"]
predict(
    "3.1",
    "To the four shallowest scales, which places are like the middle of the hole?",
    "none but the hole's own",
    "the black background",
    "the whole nut",
)

# %% tags=["slide", "no-code"]
from IPython.display import Image

from dfr_core.plotting import png

photograph, few = image[0].permute(1, 2, 0).numpy(), layers[:4]
shallow = cosine.similarity(prepared, i, j, few)
hole = F.max_pool2d(mask[None].float(), 4)[0] > 0
ground = (F.avg_pool2d(image[0].float().mean(0)[None], 4)[0] < 50) & ~hole
places = {"none but the hole's own": hole, "the black background": ground, "the nut": ~ground & ~hole}


def alike(cos):
    """The share of each kind of place that is like the hole's middle."""
    return [float((torch.from_numpy(cos)[where] > 0.3).float().mean()) for where in places.values()]


first = alike(shallow)
outcome("3.1", 1 if first[1] > 0.5 else 2 if first[2] > 0.5 else 0, "Black is black, in a small view.")
Image(
    png(cosine.draw(photograph, shallow, i, j, (*fields[few[-1]][i], *fields[few[-1]][j]))),
    alt="Left the nut with a cross-hair and a tiny square on its hole; right the similarity to that "
    "place: the black background is as bright as the hole's middle, the nut is dark.",
)

# %% [markdown]
# Shallow scales look at little more than the block itself, and black in a hole is black as in the background. Now with all twelve:

# %% tags=["slide", "no-code"]
second = alike(fast)
rows = [(name, f"{a:.0%}", f"{b:.0%}") for name, a, b in zip(("hole", "background", "nut"), first, second)]
print(table(rows, head=("places like the hole's middle", "layers 1-4", "layers 1-12")))
verdict("of the background hardly any is like the hole now", second[1] < 0.2 < first[1], second[1])
verdict("of the hole itself at least twice that share", second[0] > 2 * second[1], second[0])
verdict("and of the nut none or nearly none", second[2] < 0.02, second[2])
Image(
    png(cosine.draw(photograph, fast, i, j, (*fields[layers[-1]][i], *fields[layers[-1]][j]))),
    alt="Left the nut with a large square around its hole, what layer 12 sees; right the similarity: "
    "bright at the hole's middle only, less bright around the nut; background and nut are dim.",
)

# %% [markdown]
# With all twelve scales the hole's middle is like the places next to it and like little else, at most the ground close to the nut: the
# vector also holds what surrounds a place, and black amid brown is not black amid black.
#
# ## Try it
#
# Move the position over the image. Which places does each scale set find alike? Try `1:2`, then `12`, then `1:12`, then `1,6,12`.
# The sky-blue frame is what the deepest of the chosen layers sees. Arrow keys move a slider; Enter takes a layer set.

# %%
cosine.build(image[0].permute(1, 2, 0).numpy(), features, fields, i, j)

# %% [markdown]
# ## Why train at all?
#
# Can we turn this into a detector? Call a position *typical* if its feature points the way of the image's mean feature - this time of
# the features as they are. Nothing is trained, no normal image needed. For each of two images: the truth, how typical each place is, and,
# for comparison, the errors of a DFR that was trained on normal images, as notebooks 04 and 05 explain.


# %%
from dfr_core import DFR


def chance(low, places):
    """The chance that a place of the defect has a lower value than another place (ROC-AUC)."""
    return float((low[places][:, None] < low[~places][None]).float().mean())


found = {}
seen = {
    "hazelnut": "A hazelnut with a hole, the truth, and two maps, both brightest at the hole.",
    "bottle": "A bottle from above with a large break in its rim; the untypical places are the rings of the "
    "whole rim; in the error of the trained detector the break is the brightest.",
}
for name, kind in (("hazelnut", "hole"), ("bottle", "broken_large")):
    category = edition.category(name)
    k = [sample.defect for sample in category.test].index(kind)
    one, truth = (part[k : k + 1] for part in category.load_test(settings.image_size))
    detector = DFR(settings).fit(category)
    regional = detector.extractor(one)
    f_one = regional.dense()[0]
    typical = F.cosine_similarity(f_one, f_one.mean((0, 1)), dim=-1).cpu()
    error = detector.regional_anomaly_map(regional)[0].cpu()
    at = F.max_pool2d(truth.float(), 4)[0] > 0
    brightest = at.flatten()[typical.argmin()], at.flatten()[error.argmax()]
    found[name] = chance(typical, at), chance(-error, at), *brightest
    titles = [name, "truth", "untypical (bright)", "error of a trained DFR"]
    show(one[0], truth[0], -typical, error, titles=titles, width=3, alt=seen[name])

# %%
for name, (untrained, trained, before, after) in found.items():
    print(f"{name}: the most untypical place is", "in the defect" if before else "not in the defect")
    spread = f"{untrained:.2f} untrained, {trained:.2f} trained"
    verdict("  after training the brightest place is in the defect", after and trained > max(untrained, 0.95), spread)

# %% [markdown]
# The numbers are the chance that a place of the defect stands out more than another place: 0.5 is guessing.
# Where a defect is the strangest thing in its image, no training is needed: the hole's edge is the brightest spot of its map. But the rings
# on the rim of the bottle are rare in the image, too, and yet normal; they outshine the break, of which much is dark.
# Only somebody who has seen other bottles can know that rims are like this. So one has to learn from normal images which features are
# normal, and notebook 04 does. How much is gained over the distance from the mean normal feature, on all fifteen categories, stands in [the
# benchmark](../benchmarks/accuracy.md): from next to nothing (hazelnut, screw) to all there is (on bottle, grid and tile that distance guesses).

# %% [markdown]
# ### Exercise 3.1 · How many regional features?
#
# Someone wants at least n rows of regional features. Predict first: for 65 rows instead of 64 of 256 pixels, must the stride of the 4 x 4
# filter become larger or smaller than 4? Then turn the formula for h_o around: write the largest stride that still gives n rows (n ≥ 2).


# %%
def largest_stride(size, kernel, n):
    """The largest stride at which a filter fits at least n times into so many pixels."""
    # BEGIN SOLUTION
    return (size - kernel) // (n - 1)
    # END SOLUTION


cases = [(256, 4, 64), (256, 4, 65), (256, 8, 30), (100, 7, 3), (6, 5, 2)]
check(
    "3.1", largest_stride, lambda g: sealed("3.1", "55514e3162d8")([g(*case) for case in cases]),
    "n filters start at 0, stride, ..., (n - 1) · stride, and the last one must end within the image",
    probe=cases[0],
)

# %% [markdown]
# ### Exercise 3.2 · One regional feature, nothing enlarged
#
# Predict first: which unit of a 32 x 32 map does position (10, 11) of the 64 x 64 regional features read? Then write a function that
# gives one layer's part of f(i, j) from φ_l directly, for square maps with as many, more or fewer units than there are regional features.


# %%
def part(phi, i, j, h_o=64):
    """One layer's part of f(i, j): [c_l, n, n] -> [c_l]; n is a multiple of h_o or divides it."""
    # BEGIN SOLUTION
    n = phi.shape[1]
    if n >= h_o:
        b = n // h_o
        return phi[:, i * b : (i + 1) * b, j * b : (j + 1) * b].mean((1, 2))
    return phi[:, i * n // h_o, j * n // h_o]
    # END SOLUTION


fine, same, coarse = (torch.arange(2.0 * n * n).reshape(2, n, n) ** 0.5 for n in (8, 4, 2))
check(
    "3.2", part,
    lambda g: sealed("3.2", "33d043fe6c8c")(
        [g(m, i, j, 4).tolist() for m in (fine, same, coarse) for i, j in ((0, 0), (1, 2), (3, 3))]
    ),
    "more units: a mean over a block of them; fewer: position i reads unit ⌊i · n / h_o⌋",
    probe=(fine, 0, 0, 4),
)

# %% [markdown]
# ### Exercise 3.3 · Cosine similarity without loops
#
# Predict first: what does the map show at (i, j) itself? Then write `cosine_to` without a loop, for features stored as the core stores
# them, with the channels last.


# %%
def cosine_fast(f, i, j):
    """Cosine of f[i, j] and every f[k, m]: [h_o, w_o, c_o] -> [h_o, w_o]."""
    # BEGIN SOLUTION
    unit = F.normalize(f, dim=-1)
    return unit @ unit[i, j]
    # END SOLUTION


small = torch.tensor([[[1.0, 0.0], [3.0, 4.0]], [[-2.0, 0.0], [5.0, 12.0]]])
check(
    "3.3", cosine_fast,
    lambda g: sealed("3.3", "23bb1ea1801c")((g(small, 0, 1) * 1000).round().tolist()),
    "divide every vector by its length (F.normalize), then one product with the vector at (i, j)",
    probe=(small, 0, 1),
    draw=lambda g: show(
        g(different.permute(1, 2, 0), i, j),
        width=4,
        alt="The similarity to the hole's middle once more, computed by the exercise.",
    ),
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# The geometry is the paper's to the pixel: 64 x 64 regional features of 4 x 4 pixels, and the scales of Table I. The depth is not: the paper's
# network has the full VGG19's channels; in the small editions ours has an eighth of them, and so has the vector.
#
# ## Five questions

# %%
quiz(3, [
    ("Why can the maps of a network not simply be stacked?",
     ["they differ in size", "they have negative values", "there are too many"], 0,
     "Eq. 1 brings them to one size."),
    ("What does one regional feature stand for?",
     ["one pixel", "a block of 4 × 4 pixels", "the field of the deepest layer"], 1,
     "It is about the block, and made from all that its layers see around it."),
    ("Which layers does the mean of Eq. 2 smooth?",
     ["all", "the deepest", "those with several units a block"], 2,
     "From layer 5 on a block lies within one unit."),
    ("Why was the hole like the background to shallow scales, and unlike it to all?",
     ["deep scales see what is around a place", "deep scales see finer detail", "shallow scales see no black"],
     0, "Black amid brown against black amid black."),
    ("An untrained cosine finds the hole. Why is that not enough?",
     ["it is too slow", "what is rare in one image may be normal", "it needs masks"], 1,
     "The rings on a bottle's rim are rare and normal."),
])

# %% [markdown]
# ## Summary
#
# - Eq. 1 lays all maps over the image, Eq. 2 averages them over blocks of pixels, Eq. 3 stacks them: one vector a block.
# - A regional feature stands for a small block and knows as much of its surroundings as its deepest layer sees.
# - Aggregation smooths the finest maps and sets how many features there are.
# - Alignment and aggregation are one small matrix an axis; the core never makes the large maps.
#
# ## Deviations
#
# The paper aligns by nearest neighbours. The authors' public code interpolates bilinearly, corner to corner, and keeps the border that
# reflection padding adds to some maps. Both are settings here; how much the first one alone changes the features:

# %%
from dfr_core import literal
from dfr_core.regional import RESIZE
from dfr_core.lab.deviations import DEVIATIONS

rows = [row[:3] for row in DEVIATIONS if row[0] in ("interpolation", "keep_padding")]
print(table(rows, head=("setting", "paper", "public code")))

batch = [phi[None] for phi in maps.values()]
nearest = literal.regional_features(batch, (h, w), kernel, stride)[0]
bilinear = literal.regional_features(batch, (h, w), kernel, stride, **RESIZE["bilinear-aligned"])[0]
apart = float((nearest - f).abs().max() / f.max())
verdict("Eq. 1-3 to the letter, in the core, equal ours", apart < 1e-4, f"{apart:.0e} apart")
print(f"relative change with the public code's interpolation: {change(nearest, bilinear):.0f} %")

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep feature reconstruction for unsupervised anomaly segmentation. 2020 (arXiv 2012.07122),
#   Section III-B.
# - K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition. ICLR 2015 (VGG19).

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
from dfr_core.course import check, show, start, table, verdict

edition = start(3)
settings = edition.settings

# %% [markdown]
# ## The maps we start from (Section III-A)
#
# We take one test image of leather with a defect, and the maps φ_1 ... φ_L that notebook 02 made of it. Each is a ReLU output with
# c_l channels of h_l x w_l units. The deeper the layer, the fewer units and the more channels.

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
images, masks = edition.category("leather").load_test(settings.image_size)
image, mask = images[:1], masks[0]
h, w = image.shape[-2:]

with torch.inference_mode():
    # phi_l: [c_l, h_l, w_l]
    maps = {layer: phi[0] for layer, phi in network.feature_maps(image, layers)}
rows = [(f"φ_{layer}", *phi.shape) for layer, phi in maps.items()]
print(table(rows, head=("map", "c_l", "h_l", "w_l")))

# %% [markdown]
# The maps cannot simply be stacked: their sizes differ. That is the problem of this section.
#
# ## Section III-B, Eq. 1: align
#
# Every map is resized to the image's own h x w; its channels stay as they are:
#
#     φ̂_l(x) = resize(φ_l(x))          [c_l, h_l, w_l] → [c_l, h, w]          (Eq. 1)
#
# The paper resizes by nearest neighbours (IV-A3): each pixel copies the unit that lies over it. Counting from zero, pixel i of h takes
# unit ⌊i · h_l / h⌋. Nothing is blurred and nothing is invented; a unit of a coarse map becomes a square of equal pixels.


# %%
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
show(image[0], *(aligned[layer].mean(0) for layer in chosen), titles=titles, width=2.6)

# %% [markdown]
# All of them now lie over the image pixel for pixel; the deeper the layer, the larger the squares of equal value.
#
# ## Section III-B, Eq. 2: aggregate
#
# A mean filter then slides over each aligned map:
#
#     φ̄_l(x) = agg(φ̂_l(x))             [c_l, h, w] → [c_l, h_o, w_o]          (Eq. 2)
#
# The paper's filter is 4 x 4 pixels with a stride of 4, so its places do not overlap: one regional feature stands for one block of
# pixels. For any filter and stride, h_o = ⌊(h − kernel) / stride⌋ + 1.


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
equal = []
for layer, phi in maps.items():
    core = generator.aggregate(phi[None], (h, w)).expand()[0].permute(2, 0, 1)
    equal.append(
        core.shape == aggregated[layer].shape and torch.allclose(core, aggregated[layer], atol=1e-4)
    )
verdict("the core's aggregation equals ours, for every layer", all(equal))
verdict("filter and stride are the paper's", (kernel, stride) == (paper["kernel"], paper["stride"]))
verdict("and so is the size of the regional feature map", h_o == w_o == paper["h_o"])

# %% [markdown]
# ## Section III-B, Eq. 3: concatenate
#
#     f(x) = cat(φ̄_1(x), φ̄_2(x), ..., φ̄_L(x))          c_o = Σ c_l          (Eq. 3)
#
# Now all maps have one size and can be stacked. At each position (i, j) stands one long vector f(i, j): the **regional feature**. Here f
# has its channels first, as PyTorch's maps do; from notebook 04 on they are last, as in the core.

# %%
f = torch.cat(list(aggregated.values()))
features = generator([(layer, phi[None]) for layer, phi in maps.items()], (h, w))
channels = sum(len(phi) for phi in maps.values())
verdict("c_o is the sum of the channels", f.shape[0] == features.c_o == channels)
dense = features.dense()[0].permute(2, 0, 1)
verdict("the core's regional features equal ours", torch.allclose(dense, f, atol=1e-4))
print("f(x):", tuple(f.shape))

# %% [markdown]
# ## Fig. 3: what one regional feature sees
#
# A regional feature is *about* a block of 4 x 4 pixels, but it is *made from* far more: each of its parts looks through the receptive
# field of its layer. The paper calls these sizes the scales of the feature (Table I). A part that averages several units sees a
# little more than one unit does; the core's `regional_field` counts that in.

# %%
from dfr_core.paper_numbers import TABLE_I
from dfr_core.receptive_field import conv_fields, regional_field
from dfr_core.regional import axis_operator

theory = {layer: conv_fields(network.stack)[layer - 1] for layer in layers}
fields = {}
for layer, phi in maps.items():
    operator = axis_operator(phi.shape[1], h)  # alignment and aggregation in one, see below
    fields[layer] = [regional_field(operator, k, theory[layer]) for k in range(h_o)]
widths = {layer: fields[layer][32][1] - fields[layer][32][0] for layer in layers}
rows = [(layer, TABLE_I[layer], theory[layer].size, widths[layer]) for layer in layers]
print(table(rows, head=("layer", "Table I", "one unit sees", "the regional feature sees")))
verdict("receptive fields as in Table I", all(row[1] == row[2] for row in rows))

# %% [markdown]
# In a picture, for the regional feature in the middle. Its rows and columns have the number 32, and `fields[layer][32]` holds the first
# pixel that it sees and one past the last.

# %%

figure, axis = plt.subplots(figsize=(6.4, 6.4))
axis.imshow(image[0].permute(1, 2, 0))
for k, layer in enumerate(layers):
    first, last = fields[layer][32]
    colour = plt.cm.viridis(k / len(layers))
    corner, side = (first - 0.5, first - 0.5), last - first
    axis.add_patch(plt.Rectangle(corner, side, side, fill=False, color=colour, lw=1.5))
    if layer in (4, 8, 9, 10, 12):  # the smallest frames have no room for a name
        axis.text(first + 2, first + 7, layer, color=colour, fontsize=8)
axis.set_axis_off()
plt.show()

# %% [markdown]
# From the innermost frame outwards: the same place seen by deeper and deeper layers. This is why the features are called multi-scale,
# and why one vector can hold both the grain of a surface and the shape around it.
#
# ## Why aggregate? Two reasons the paper gives
#
# **It smooths.** A mean over a block changes less under noise than its pixels do. We add camera noise to the image and compare how
# much the aligned and the aggregated maps change, relative to their size. Only maps with several units a block can profit.
# *Predict first:* do layers 3 and 4, with four units a block, profit as much as layers 1 and 2, with sixteen?

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
verdict("means of sixteen units change less than half as much", max(ratio[1], ratio[2]) < 0.5)
verdict("means of four less, too, but not by half", all(0.5 < ratio[k] < 0.9 for k in fine[2:]))
verdict(
    "coarse maps change as before",
    np.allclose([ratio[k] for k in layers if k not in fine], 1, atol=1e-3),
)

# %% [markdown]
# The first two layers have a unit for each pixel, the next two one for four pixels: there the mean takes noise away. Means of
# independent noise would shrink to a quarter and to a half; what is left beyond that is noise that the four neighbours share, since their
# receptive fields overlap, and the ReLU, which turns noise about zero into noise above zero. From
# layer 5 on a block lies within one unit, its mean is the unit itself, and aggregation changes nothing.
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
# filtering are linear, and they treat rows and columns alike. So for each channel both together are two small matrices, φ̄ = R φ Cᵀ: R of
# [h_o, h_l] for the rows and C of [w_o, w_l] for the columns, the same one in a square image. The core asks for that matrix
# (`axis_operator`) and looks at it. Here are its first eight rows for maps of three sizes:

# %%
operators = {size: axis_operator(size, h, kernel, stride) for size in (256, 64, 32)}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), width_ratios=[2.2, 1, 1])
for axis, (size, matrix) in zip(axes, operators.items()):
    axis.imshow(matrix[:8, : 8 * size // 64], cmap="cividis", vmin=0, vmax=0.5)
    axis.set_title(f"{size} units → {h_o}")
    axis.set(xlabel="unit of the map", ylabel="regional feature")
    axis.xaxis.set_major_locator(plt.MultipleLocator(4 if size == 256 else 2))
figure.tight_layout()
plt.show()

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
verdict("the core holds less than a twentieth", features.nbytes * 20 < aligned_bytes)

# %% [markdown]
# ## Are the features telling? Cosine similarity
#
# Two regional features are alike if they point the same way:
#
#     cos(f(i, j), f(k, m)) = f(i, j) · f(k, m) / (‖f(i, j)‖ ‖f(k, m)‖)
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


rows, columns = mask.nonzero(as_tuple=True)
i, j = int(rows.float().mean()) // stride, int(columns.float().mean()) // stride  # the defect's middle
different = f - f.mean((1, 2), keepdim=True)
naive = cosine_to(different, i, j)

from dfr_core.widgets import cosine

prepared = cosine.centred(cosine.prepare(features))
fast = cosine.similarity(prepared, i, j, layers)
verdict("the widget's function gives the same map", np.allclose(fast, naive.numpy(), atol=1e-3))
verdict("a feature is like itself", np.isclose(fast[i, j], 1, atol=1e-4))

# %% [markdown]
# ## Try it
#
# Move the position over the image. Which places does each scale set find alike? Try `1:2`, then `12`, then `1:12`, then `1,6,12`.
# The sky-blue frame is what the deepest of the chosen layers sees. Arrow keys move a slider; Enter takes a layer set.

# %%
cosine.build(image[0].permute(1, 2, 0).numpy(), features, fields, i, j)

# %% [markdown]
# Two settings without the widget, at the defect. First with the four shallowest scales:

# %%
from IPython.display import Image

from dfr_core.plotting import png

picture, few = image[0].permute(1, 2, 0).numpy(), layers[:4]
shallow = cosine.similarity(prepared, i, j, few)
Image(png(cosine.draw(picture, shallow, i, j, (*fields[few[-1]][i], *fields[few[-1]][j]))))

# %% [markdown]
# Shallow scales look at little more than the block itself, so they find blocks of equal brightness all over the image. Now with all:

# %%
seen = (*fields[layers[-1]][i], *fields[layers[-1]][j])
verdict("other scales, another map", not np.allclose(shallow, fast, atol=0.1))
elsewhere = cosine.similarity(prepared, i, w_o - 1 - j, layers)
verdict("another position, another map", not np.allclose(elsewhere, fast, atol=0.1))
at_defect = F.max_pool2d(mask[None].float(), 4)[0] > 0
alike = torch.from_numpy(fast) > 0.3
shares = [float(alike[place].float().mean()) for place in (at_defect, ~at_defect)]
verdict("most of the defect's places are like its middle", shares[0] > 0.5)
verdict("of the others less than one in five", shares[1] < 0.2)
with_few = torch.from_numpy(shallow)[~at_defect] > 0.3
verdict("and less than with the four shallowest scales", shares[1] < with_few.float().mean())
Image(png(cosine.draw(picture, fast, i, j, seen)))

# %% [markdown]
# With all twelve scales far fewer places stay alike; those of the defect, here a stain, are among them, because the vector also holds
# what a larger piece of leather around it looks like, and nowhere else is it that of a stain.
#
# Can we turn this into a detector? Call a position *typical* if its feature points the way of the image's mean feature - this time of
# the features as they are. *Predict first:* will it find the stain on leather? The flake in the bottle?


# %%
def typicality(image):
    """How typical each place of an image [1, 3, h, w] is of it: [h_o, w_o]."""
    with torch.inference_mode():
        f = generator(network.feature_maps(image, layers), image.shape[-2:]).dense()[0]
    return F.cosine_similarity(f, f.mean((0, 1)), dim=-1)


def chance(typical, places):
    """The chance that a place of the defect is less typical than another one (ROC-AUC)."""
    return float((typical[places][:, None] < typical[~places][None]).float().mean())


# %%
bottles = edition.category("bottle")
k = [sample.defect for sample in bottles.test].index("contamination")
bottle, flake = (part[k : k + 1] for part in bottles.load_test(settings.image_size))
found = {}
for name, picture, truth in (("leather", image, mask), ("bottle", bottle, flake[0])):
    typical = typicality(picture)
    found[name] = chance(typical, F.max_pool2d(truth[None].float(), 4)[0] > 0)
    show(picture[0], truth, typical, titles=[name, "truth", "typical (bright: very)"], width=2.6)
print({name: f"{value:.1f}" for name, value in found.items()})
verdict("on leather the defect is far less typical than the rest", found["leather"] > 0.9)
verdict("on the bottle that is little better than guessing", found["bottle"] < 0.75)

# %% [markdown]
# This is anomaly detection without any training, and on an even texture it works: the stain is the darkest spot of its map. It fails
# where normal places differ. The reflections on the rim of the bottle are rare in the image, yet normal, and their places are darker in the map than the
# flake's. So one has to learn from normal images which features are normal. Notebook 04 does.

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
    "3.1",
    largest_stride,
    lambda g: all(
        Generator(k, g(size, k, n)).shape((size, size))[0] >= n
        and Generator(k, g(size, k, n) + 1).shape((size, size))[0] < n
        for size, k, n in cases
    ),
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


places = [(layer, i, j) for layer in layers for i, j in ((0, 0), (10, 11), (63, 40), (31, 32))]
check(
    "3.2",
    part,
    lambda g: all(
        torch.allclose(g(maps[k], i, j), aggregated[k][:, i, j], atol=1e-4) for k, i, j in places
    ),
    "more units: a mean over a block of them; fewer: position i reads unit ⌊i · n / h_o⌋",
    probe=(maps[layers[0]], 0, 0),
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


last = different.permute(1, 2, 0)
check(
    "3.3",
    cosine_fast,
    lambda g: torch.allclose(g(last, i, j), naive, atol=1e-3),
    "divide every vector by its length (F.normalize), then one product with the vector at (i, j)",
    probe=(last, i, j),
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# The geometry is the paper's to the pixel. The depth depends on the network's width, which the edition chooses; the paper's network
# has the full VGG19's channels.

# %%
full = settings.architecture.feature_dimension(settings.layers)  # at full width
largest = theory[layers[-1]].size, TABLE_I[layers[-1]]
comparison = [
    ("h_o x w_o", f"{h_o} x {w_o}", "64 x 64", h_o - paper["h_o"]),
    ("pixels a feature stands for", f"{h // h_o} x {w // w_o}", "4 x 4", h // h_o - 4),
    (f"largest scale of f_{{{settings.layers}}}", *largest, largest[0] - largest[1]),
    (f"c_o of f_{{{settings.layers}}}", features.c_o, full, features.c_o - full),
]
print(table(comparison, head=("", "ours", "paper", "difference")))

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
verdict("Eq. 1-3 to the letter, in the core, equal ours", torch.allclose(nearest, f, atol=1e-4))
print(f"relative change with the public code's interpolation: {change(nearest, bilinear):.0f} %")

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep feature reconstruction for unsupervised anomaly segmentation. 2020 (arXiv 2012.07122),
#   Section III-B.
# - K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition. ICLR 2015 (VGG19).

# %% [markdown]
# # 01 · Receptive fields
#
# **Paper:** Section III-A, Table I, Fig. 3 · **Needs:** notebook 00, convolution and pooling
#
# DFR describes a spot of an image at many scales, from a few pixels around it to nearly the whole picture. It gets these
# scales for free: the deeper a layer of a network, the more of the image each of its units sees. How much exactly? That is
# the unit's **receptive field**, and this notebook computes it in three ways: by a formula, by poking pixels, and by
# gradients, which tell a more modest story.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - compute the receptive field of any stack of convolutions and poolings, and reproduce Table I,
# - say where on the image a given unit of a given layer looks, and whether it looks beyond the border,
# - measure an effective receptive field, and explain why it is smaller than the theoretical one,
# - say what a regional feature (Fig. 3) sees at each scale.
#
# **Runtime:** about 12 s and 700 MiB in the quick edition on 2 CPU cores, two minutes in the paper edition on a GPU. Download: none
# in the quick edition.

# %%
from dfr_core.course import (
    check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict,
)

edition = start(1)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.backbones.weights import build_backbone
from dfr_core.paper_numbers import TABLE_I
from dfr_core.plotting import SKY, to_image
from dfr_core.receptive_field import conv_fields, effective_receptive_field, regional_field
from dfr_core.widgets import receptive_field as widget

# %% [markdown] tags=["slide"]
# ## Section III-A: the size of a field
#
# A unit of the first 3 × 3 convolution sees 3 × 3 pixels. A unit of the second sees 3 × 3 units of the first. Those are
# neighbours one pixel apart, so together they see 5 × 5 pixels. After a 2 × 2 pooling with stride 2, neighbours are *two*
# pixels apart, and the next convolution adds twice as much. Two numbers are enough to keep the books, the size `r` of a
# field and the *jump* `j`, the distance in pixels between the fields of neighbouring units. A layer with kernel `k` and
# stride `s` makes of them
#
# $$r \leftarrow r + (k - 1)\,j, \qquad j \leftarrow s\,j,$$
#
# starting from the pixel itself, $r = 1$ and $j = 1$.
#
# VGG19 has five blocks of 2, 2, 4, 4 and 4 convolutions (3 × 3, stride 1) with a pooling between blocks.


# %% tags=["slide-more"]
def vgg_fields(blocks=(2, 2, 4, 4, 4)):
    """Receptive field and jump after each convolution of a VGG."""
    r, j, found = 1, 1, []
    for b, convolutions in enumerate(blocks):
        if b > 0:
            r, j = r + (2 - 1) * j, 2 * j  # max pooling 2 x 2, stride 2
        for _ in range(convolutions):
            r = r + (3 - 1) * j  # convolution 3 x 3, stride 1
            found.append((r, j))
    return found


sizes = [r for r, j in vgg_fields()]

# %%
print(table([("side of the field [pixels]", *sizes)], ("layer", *TABLE_I)))
verdict("our formula gives the paper's Table I, all sixteen", sizes == list(TABLE_I.values()))

# %% [markdown]
# The paper numbers the layers 1 to 16, and so does this course. From 3 pixels for layer 1 the field grows to 252 for layer
# 16: nearly all of an image of 256 pixels. The core does the same arithmetic by walking along a real network:

# %%
network = build_backbone(
    "vgg19",
    edition.settings.weights,
    width=edition.settings.width,
    padding="zeros",
    seed=edition.settings.seed,
)
fields = conv_fields(network.stack)
verdict(
    "the core walks to the same sizes and jumps", [(f.size, f.jump) for f in fields] == vgg_fields()
)

# %% [markdown]
# ## Is the formula true? Poke pixels
#
# Take a network of VGG19's shape in which nothing can cancel: all weights positive, all inputs zero but one lit pixel. A
# unit answers if and only if that pixel is in its field. So light the pixels of a column one after the other and ask one
# unit of each layer which of them it noticed. Shapes: `lit` is `[pixel, 3, H, W]`, one image for each lit row. `H` is large enough
# for the whole field of a unit of layer 16; `W` is as small as four poolings allow.

# %%
H, W = 272, 16
lit = torch.zeros(H, 3, H, W)
lit[range(H), :, range(H), 0] = 1
poked = VGG(architecture("vgg19"), width=1 / 64, padding="zeros")
for parameter in poked.stack.parameters():
    parameter.data.fill_(1 if parameter.ndim == 4 else 0)

# %%
noticed = []
for layer, phi in poked.feature_maps(lit, tuple(range(1, 17))):
    unit = H // fields[layer - 1].jump // 2  # in the middle
    rows = (phi[:, 0, unit, 0] > 0).nonzero().flatten()
    noticed.append((int(rows[0]), int(rows[-1]) + 1))
counted = [b - a for a, b in noticed]
verdict("every unit notices as many pixels as Table I says", counted == sizes, f"{counted}")

# %% [markdown]
# ## Where a unit looks
#
# The poking also says *where* the field lies. That takes a third number, the start `b` of the field of unit 0. Padding by `p` moves
# it outwards at each layer, `j` being the jump before that layer:
#
# $$b \leftarrow b - p\,j, \qquad \text{starting from } b = 0.$$
#
# Unit `u` then sees the pixels from `b + u · j` to `b + u · j + r − 1`; the core's `interval(u)` gives the first of them and one
# past the last. Fields are not cut off at the border of the image: there a unit looks into the padding.

# %%
middle = [f.interval(H // f.jump // 2) for f in fields]
verdict("the core says where, as found by poking", middle == noticed)

# %% [markdown]
# Here are the fields of one unit of every layer, all over the same spot of the image. This is
# [Fig. 3](../figures/fig3.png) seen from the side:
# one place, many scales, each nested in the next.

# %% tags=["slide", "no-code"]
pixel = 128
figure, axis = plt.subplots(figsize=(10, 4.5))
for layer, field in enumerate(fields, start=1):
    first, last = field.interval(pixel // field.jump)
    axis.barh(layer, last - first, left=first, height=0.7, color=SKY)
axis.axvspan(0, 256, color="0.93", zorder=0)
axis.axvline(pixel, color="k", lw=0.8)
axis.set(xlabel="row of the image [pixels]", ylabel="layer", yticks=range(1, 17))
axis.text(2, 1, "image", color="0.4")
picture(
    "Sixteen horizontal bars around the same pixel, one a layer: 3 pixels wide for layer 1, ever wider "
    "above it, and for layer 16 nearly as wide as the grey image, beyond whose right edge it reaches."
)

# %% [markdown]
# Layer 16 reaches beyond the image (grey) even from its middle. How many units of a layer look at image pixels only?

# %%
size, rows = 256, []
for layer in (1, 4, 8, 12, 16):
    field = fields[layer - 1]
    units = size // field.jump
    inside = sum(field.interval(u)[0] >= 0 and field.interval(u)[1] <= size for u in range(units))
    rows.append(
        (layer, f"{units} × {units}", f"{inside} × {inside}", f"{100 * inside**2 / units**2:.0f} %")
    )
print(table(rows, ("layer", "units", "inside", "share")))

# %% [markdown]
# At layer 12, the deepest that the paper uses in most of its tables, only 32 % of the units are free of padding. What
# padding puts there matters: notebook 02 looks at it, notebook 08 measures what it costs.

# %% [markdown]
# ## Not all pixels count the same: effective fields
#
# The field says which pixels *can* matter. How much does each matter? Take the derivative of a unit by every pixel (Luo et
# al., 2016). Let $\phi_l$ be the output of layer $l$, `[c, h, w]`, and
# $a = \sum_c \phi_l[c, \text{row}, \text{column}]$ what one unit answers, all its channels together. The effect of pixel `p` of the image `x` is
#
# $$E(p) = \left|\frac{\partial a}{\partial x(p)}\right|,$$
#
# summed over colours and images, and scaled to sum 1.
#
# A pixel in the middle reaches the unit along many paths through the layers, one at the edge along a single path. So the
# middle should count more.

# %%
images = edition.category("cable").load_train(256)[:2]
inputs = network.normalise(images).requires_grad_()  # [2, 3, 256, 256]
phi = dict(network.feature_maps(inputs, (12,)))[12]  # [2, c_12, 32, 32]
answer = phi[:, :, 16, 16].sum()  # a, of both images
(gradient,) = torch.autograd.grad(answer, inputs)
naive = gradient.abs().sum((0, 1))
naive = naive / naive.sum()  # [256, 256]

# %%
core = effective_receptive_field(
    lambda x: dict(network.feature_maps(x, (12,)))[12], network.normalise(images), (16, 16)
)
apart = float((naive - core).abs().max())
verdict("our gradient equals the core's", apart < 1e-6, f"{apart:.0e} apart")
first, last = fields[11].interval(16)
outside = float(1 - core[first:last, first:last].sum())
verdict("nothing outside the theoretical field", abs(outside) < 1e-5, f"{outside:.0e}")

# %% [markdown]
# Now for all layers. `measure` does what we just did, sixteen times, and also finds the smallest square around the field's centre
# that holds 95 % of the effect. It cannot be larger than the theoretical field. How much smaller is it?

# %% tags=["slide", "no-code"]
predict(
    "1.1",
    "Layer 16 can see 252 pixels. How wide is the square that holds 95 % of the effect on its unit?",
    "nearly all of the 252 pixels",
    "something like half of them",
    "less than a tenth of them",
)

# %% tags=["slide", "no-code"]
measured = widget.measure(network, images)
effective = [m.size for m in measured]
share = effective[-1] / sizes[-1]
right = 0 if share > 0.9 else 2 if share < 0.1 else 1
outcome("1.1", right, "The field grows with every layer, what counts in it more slowly.")
smaller = all(e < t for e, t in zip(effective[4:], sizes[4:]))
ends = f"layer 5: {effective[4]} of {sizes[4]}, layer 16: {effective[-1]} of {sizes[-1]}"
verdict("from layer 5 on the effective field is smaller than the theoretical one", smaller, ends)

figure, axis = plt.subplots(figsize=(10, 4.5))
axis.plot(range(1, 17), sizes, "o-", label="theoretical (Table I)")
axis.plot(range(1, 17), effective, "s-", label="95 % of the effect")
axis.set(xlabel="layer", ylabel="side of the field [pixels]", xticks=range(1, 17))
axis.legend()
picture(
    "Two curves over the sixteen layers. They all but coincide up to layer 4; then the theoretical field "
    "rises to 252 pixels and the square with 95 % of the effect to little more than half of that."
)

# %% [markdown]
# The two curves part as the layers get deeper. Deep layers look at large areas, but mostly at the middle of them. That is
# good news for segmentation: a unit of layer 12 does know roughly where a scratch is.

# %%
chosen = (4, 8, 12, 16)
show(
    *(np.sqrt(measured[k - 1].effect) for k in chosen),
    titles=[f"layer {k}: {sizes[k - 1]} px" for k in chosen],
    width=3,
    alt="Four fields enlarged to one size: layer 4 reaches to its edges, layers 8 and 12 are bright only in "
    "the middle; layer 16 shows a dim disc, the cable, with brighter patches in it.",
)

# %% [markdown]
# Each picture is one theoretical field, enlarged to the same width, each on its own colour scale (square roots, so that the faint
# outskirts can be seen). The grain is which ReLUs are on in these two images. Look past it: layer 4 uses nearly all of its
# field; the deeper ones are bright in the middle and fade towards the edge, because fewer and fewer paths lead there. In layer 16
# the round outline of the cable shows through: how much a pixel counts depends on the image as well as on its place.

# %% [markdown]
# ## Section III-B, Fig. 3: what a regional feature sees
#
# DFR aligns the maps by nearest-neighbour resizing to the image (Eq. 1) and averages 4 × 4 pixels (Eq. 2). So the regional
# feature number `i` along an axis mixes the units under pixels `4 i` to `4 i + 3`: four units of layer 1, two of layer 3, one
# of layer 5, and from layer 9 on the *same* unit as its neighbour.


# %%
def seen_by_region(i, field, size=256):
    """First pixel and one past the last that regional feature i sees through one layer."""
    units = [pixel // field.jump for pixel in range(4 * i, 4 * i + 4)]  # nearest-neighbour resizing
    return field.interval(units[0])[0], field.interval(units[-1])[1]


regions = [seen_by_region(32, field) for field in fields]
print(table([("unit", *sizes), ("region", *(b - a for a, b in regions))], ("layer", *range(1, 17))))

# %%
from dfr_core.regional import axis_operator

operators = [
    axis_operator(256 // field.jump, 256) for field in fields
]  # [64, h_l]: Eq. 1 and 2 along one axis
core = [regional_field(matrix, 32, field) for matrix, field in zip(operators, fields)]
verdict("the same as from the core's operator of Eq. 1 and 2", core == regions)

# %% [markdown]
# A regional feature stands for a square of 4 × 4 pixels, but it knows that square's surroundings at every scale. Its first
# channels see a square 6 pixels wide. What its last ones see depends on the layers that are used: 116 pixels with layers 1 to 12,
# as in this course's small editions, 252 with all sixteen. So the vectors beside a defect know of it, too, and the outlines in notebook 00
# were wider than the defects.

# %% [markdown]
# ## See it: any layer, any place
#
# First without a widget, one setting: layer 8 over the pixel in row 100 and column 60.

# %% tags=["slide", "no-code"]
photograph = to_image(images[0].numpy())
panel, text = widget.draw(photograph, measured[7], layer=8, row=100, column=60)
show(
    panel[:, :256],
    panel[:, 260:],
    titles=("blue: field, orange: the unit's own pixels", "how much each pixel counts"),
    width=4.6,
    alt="Left the cable with a blue square between two wires, the field, and a tiny orange one in its "
    "middle; right a glowing patch that fills only the middle of that square.",
)
print(text.split(" Right:")[0])

# %% [markdown]
# Now choose yourself: click on the small picture, or use the keyboard; Tab moves between the controls, the arrow keys move a
# slider. Find the place and the shallowest layer whose unit sees one whole wire, insulation included, and say what else it cannot
# help seeing; then go to the border and read the share of padding in the line of text.

# %%
widget.build(photograph, measured)

# %% [markdown]
# ### Exercise 1.1: one layer more
#
# *Predict first:* suppose VGG19 went on with another pooling and another 3 × 3 convolution, its layer 17. Would its field be
# larger than the image? Then compute its side in pixels and put it into `layer_17`. Expect more than the 252 of layer 16.

# %%
layer_17 = None
# BEGIN SOLUTION
layer_17 = vgg_fields((2, 2, 4, 4, 4, 1))[-1][0]
# END SOLUTION
check(
    "1.1",
    layer_17,
    sealed("1.1", "7c23eecf65ea"),
    "take the last pair of vgg_fields() and apply the rules of r and j twice more",
)

# %% [markdown]
# ### Exercise 1.2: any stack, dilation too
#
# A *dilated* convolution leaves gaps of `d − 1` units between its taps, so a kernel of `k` taps spans `(k − 1) d + 1` units.
# Write `receptive_field(layers)` for a list of `(kernel, stride, dilation)`. *Predict first:* do three 3 × 3 convolutions with
# dilations 1, 2 and 4 see more or less than 3 × 3, pool, 3 × 3, pool, 3 × 3? Expect sizes that differ by 3.


# %%
def receptive_field(layers):
    """Side in pixels of the field after all layers, each (kernel, stride, dilation)."""
    # BEGIN SOLUTION
    r, j = 1, 1
    for kernel, stride, dilation in layers:
        r, j = r + (kernel - 1) * dilation * j, stride * j
    return r
    # END SOLUTION


dilated = [(3, 1, 1), (3, 1, 2), (3, 1, 4)]
pooled = [(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1)]
others = [[(1, 1, 1)], [(7, 2, 1), (3, 2, 1), (3, 1, 1)], [(3, 2, 2), (5, 1, 3)]]
check(
    "1.2",
    receptive_field,
    lambda f: sealed("1.2", "9a0638701867")([f(layers) for layers in (dilated, pooled, *others)]),
    "r grows by (k - 1) d j, and only then j by s",
    probe=(dilated,),
    draw=lambda f: print(f"dilated: {f(dilated)} pixels, pooled: {f(pooled)} pixels"),
)

# %% [markdown]
# ### Exercise 1.3: a layer for a defect
#
# A missing wire is a defect about 60 pixels wide. Which is the first layer whose *theoretical* field is at least as wide, and
# which the first whose *effective* field is? *Predict first:* how many layers apart are they? Set `layers_for_60` to the two
# numbers, from `sizes` and `effective`. Expect the second to be the larger.

# %%
layers_for_60 = None
# BEGIN SOLUTION
layers_for_60 = tuple(
    1 + next(k for k, side in enumerate(sides) if side >= 60) for sides in (sizes, effective)
)
# END SOLUTION


def both(pair):
    """The two curves once more, with the answer on them."""
    figure, axis = plt.subplots(figsize=(9, 3.5))
    for sides, layer in zip((sizes, effective), pair):
        axis.plot(range(1, 17), sides, "-")
        axis.plot(layer, sides[layer - 1], "ko")
    axis.axhline(60, ls=":", color="0.5")
    axis.set(xlabel="layer", ylabel="side of the field [pixels]", xticks=range(1, 17))
    picture("The two curves and a line at 60 pixels; on each a dot where it first reaches the line.")


check(
    "1.3",
    layers_for_60,
    lambda pair: all(
        max(sides[: k - 1]) < 60 <= sides[k - 1]
        for k, sides in zip(pair, (sizes, effective), strict=True)
    ),
    "layers count from 1, list positions from 0",
    draw=both,
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# The paper's Table I is arithmetic, and ours agrees in every layer, so there is nothing to subtract. What the paper does not say is how
# much of each field counts; that depends on the weights, and here it is for this edition's. With other weights the last two columns
# change; Table I does not.

# %% tags=["nbval-ignore-output"]
rows = [
    (k, TABLE_I[k], effective[k - 1], f"{effective[k - 1] / TABLE_I[k]:.0%}")
    for k in (1, 4, 8, 12, 16)
]
print(table(rows, ("layer", "Table I [pixels]", "95 % of the effect [pixels]", "share")))

# %% [markdown]
# ## Five questions

# %%
quiz(1, [
    ("Two 3 × 3 convolutions, stride 1, one after the other. What does a unit of the second see?",
     ["3 × 3 pixels", "5 × 5 pixels", "9 × 9 pixels"], 1, "r = 1 + 2 + 2."),
    ("What does a pooling with stride 2 change for all layers behind it?",
     ["each adds twice as many pixels", "each adds half as many", "nothing"], 0,
     "The jump doubles, and a layer adds (k - 1) j."),
    ("Why does a unit in the middle of layer 16 see padding in an image of 256 pixels?",
     ["its field is wider than the image", "fields lie 16 pixels apart, and none falls inside",
      "VGG19 crops the image"], 1, "It would have to begin at one of the first five pixels; none does."),
    ("Why do pixels at the edge of a field count less?",
     ["they are darker", "the kernels are small there", "fewer paths lead from them to the unit"], 2,
     "One path from a corner, very many from the middle."),
    ("Which of these changes when the network has other weights of the same shape?",
     ["the theoretical field", "the effective field", "the jump"], 1,
     "The other two are arithmetic on kernels and strides."),
])

# %% [markdown]
# ## Summary
#
# - `r ← r + (k − 1) j` and `j ← s j` give Table I; poking pixels confirms it.
# - Deep units look beyond the border from most places, so what padding does matters.
# - Effective fields are smaller than theoretical ones, and the middle counts most.
# - A regional feature mixes several units of shallow layers and shares one unit of deep layers with its neighbours.
#
# ## Deviations
#
# In the quick and embedded editions gradients are those of a network of an eighth of the width, distilled from ImageNet features
# (`docs/distilled.md`). Table I does not depend on weights or width.
#
# ## References
#
# - DFR, arXiv 2012.07122, Section III-A and III-B.
# - W. Luo, Y. Li, R. Urtasun, R. Zemel: *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, 2016.
# - K. Simonyan, A. Zisserman: *Very Deep Convolutional Networks for Large-Scale Image Recognition* (VGG), arXiv 1409.1556.

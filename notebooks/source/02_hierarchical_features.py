# %% [markdown]
# # 02 · Hierarchical features
#
# **Paper:** Section III-A, Fig. 2; Section IV-C2 for the padding · **Needs:** notebook 01
#
# DFR never looks at pixels when it judges an image. It looks at what a classification network makes of them: the sixteen
# feature maps φ_1 to φ_16 behind VGG19's convolutions. Shallow maps are nearly as fine as the image and hold edges and
# grain; deep ones are coarse and hold arrangements. This notebook computes them by hand, looks at them, and finds the place
# where they go wrong: the border.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - compute VGG19's maps with plain convolutions, and give the shape of each,
# - follow an image through the four stages of Fig. 2, with the shape after each,
# - write zero and reflection padding, and say what each claims about the world outside the picture,
# - predict how far padding reaches into a map, from its receptive field.
#
# **Runtime:** about 6 s and 700 MiB in the quick edition on 2 CPU cores, a minute in the paper edition on a GPU. Download: none
# in the quick edition.

# %%
from dfr_core.course import check, show, start, table, verdict

edition = start(2)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.weights import build_backbone
from dfr_core.plotting import to_image
from dfr_core.receptive_field import conv_fields
from dfr_core.widgets import hierarchy as widget

# %% [markdown]
# ## Section III-A: the maps by hand
#
# Let `x` be the image, `[3, h, w]`. Layer `l` convolves and rectifies:
#
#     φ_l(x) = max(0, W_l ∗ φ_{l−1}(x) + b_l)            [c_l, h_l, w_l],  φ_0(x) = normalise(x)
#
# `normalise` makes of 8-bit pixels what the network's weights expect: numbers from 0 to 1 here, in the paper's VGG19 also minus the
# mean and divided by the spread of ImageNet's colours. Between blocks a pooling keeps the largest of 2 × 2 of `φ_{l−1}` first.
# The weights are frozen: DFR never trains this network. Here is one image and the network with zero padding, the way it was
# trained for classification.

# %%
settings = edition.settings
image = edition.category("cable").load_train(256)[:1]  # uint8 [1, 3, 256, 256]
weights = {"width": settings.width, "seed": settings.seed}
network = build_backbone("vgg19", settings.weights, padding="zeros", **weights)
convolutions = [m for m in network.stack if isinstance(m, torch.nn.Conv2d)]


# %%
def maps_by_hand(x, convolutions, blocks=(2, 2, 4, 4, 4)):
    """phi_1 ... phi_16 of a normalised image [1, 3, h, w]."""
    maps, layers = [], iter(convolutions)
    for b, number in enumerate(blocks):
        if b > 0:
            x = F.max_pool2d(x, 2)  # [1, c, h / 2, w / 2]
        for _ in range(number):
            layer = next(layers)
            x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))  # [1, c_l, h_l, w_l]
            maps.append(x)
    return maps


phi = maps_by_hand(network.normalise(image), convolutions)

# %%
core = dict(network.feature_maps(image, tuple(range(1, 17))))
verdict(
    "our sixteen maps equal the core's",
    all(torch.allclose(phi[k - 1], core[k], rtol=1e-4, atol=1e-5) for k in core),
)

# %% [markdown]
# The core gives the maps one by one, as they are computed, so that a caller can shrink a map before the next takes memory. Their
# shapes, at this edition's width of the network and at full width:

# %%
shapes = [tuple(m.shape[1:]) for m in phi]
vgg19 = architecture("vgg19")
full = vgg19.channels()
rows = [
    (k, shapes[k - 1][0], full[k - 1], f"{shapes[k - 1][1]} × {shapes[k - 1][2]}")
    for k in (1, 2, 3, 4, 5, 8, 9, 12, 13, 16)
]
print(table(rows, ("layer", "channels here", "full width", "units")))

# %% [markdown]
# Each pooling halves the grid; each block but the last doubles the channels. One unit of layer 12 stands for 8 × 8 pixels and
# has 512 numbers to say what is there, at full width.

# %% [markdown]
# ## What is in them
#
# One channel of six layers, bright where the answer is strong. The picture is an object with fine structure: a cable with
# three insulated wires, cut across.


# %%
def strongest(m):
    """The channel of a map [1, c, h, w] that varies most over the image: [h, w]."""
    return m[0, m[0].flatten(1).std(1).argmax()].numpy()


chosen = (1, 3, 5, 8, 12, 16)
pictures = [to_image(image[0].numpy())] + [strongest(phi[k - 1]) for k in chosen[:3]]
show(*pictures, titles=["image"] + [f"layer {k}" for k in chosen[:3]], width=2.3)

# %%
show(
    *(strongest(phi[k - 1]) for k in chosen[3:]),
    titles=[f"layer {k}" for k in chosen[3:]],
    width=2.3,
)

# %% [markdown]
# Shallow maps could almost be photographs. By layer 8 single strands melt into bundles; at layer 16 there are 16 × 16 units
# left, each seeing nearly the whole picture (notebook 01). *From details to the whole*: that is what the paper calls
# hierarchical.
#
# What becomes of a small defect? Blacken a dot of 6 × 6 pixels and ask each layer how many of its units notice.

# %%
dotted = image.clone()
dotted[:, :, 125:131, 60:66] = 0
after = dict(network.feature_maps(dotted, chosen))
noticed = {k: (after[k] - core[k]).abs().amax(1) > 1e-4 * core[k].max() for k in chosen}
shares = [float(noticed[k].float().mean()) for k in chosen]
verdict(
    "the deeper the layer, the larger the share of its units that notice", shares == sorted(shares)
)

# %%
show(
    *(noticed[k][0].numpy() for k in chosen[1:]),
    titles=[f"layer {k}" for k in chosen[1:]],
    width=2,
    colours="gray",
)

# %% [markdown]
# White units notice. To a shallow layer the dot is a local event, seen sharply; to a deep one it is a change of the scene,
# seen from afar. A detector that hears all layers learns both *where* and *in what surroundings*.

# %% [markdown]
# ## Fig. 2: where these maps go
#
# The maps are the first of four stages. Their shapes tell the rest of the story, which the next notebooks derive:

# %%
c_o = vgg19.feature_dimension(settings.layers, settings.width)
stages = [
    ("image", "3 × 256 × 256", ""),
    ("1 hierarchical features", "c_l × h_l × w_l", "notebook 02"),
    ("2 regional features f", f"{c_o} × 64 × 64", "notebook 03"),
    ("3 reconstruction of f", f"{c_o} × 64 × 64", "notebook 04"),
    ("4 anomaly map", "256 × 256", "notebook 05"),
]
print(table(stages, ("stage", "shape", "where")))
verdict(
    "c_o is the sum of the channels of the chosen layers",
    c_o == sum(shapes[k - 1][0] for k in settings.layer_numbers),
)

# %% [markdown]
# ## Section IV-C2: what the padding invents
#
# A 3 × 3 convolution at the border needs pixels that are not there. *Zero padding* writes zeros there. Around the image that is
# black to our untrained network, which takes pixels as 0 to 1, but the mean colour of ImageNet to the paper's VGG19, which
# subtracts that first; behind the first layer it says that nothing answers outside. *Reflection padding* says that outside is what
# is inside, mirrored:
#
#     zeros:    0 | a b c d | 0            reflect:    b | a b c d | c
#
# By hand, along one axis of a row:


# %%
def padded(row, mode):
    """A row [w] with one element more on either side: [w + 2]."""
    if mode == "zeros":
        return torch.cat([torch.zeros(1), row, torch.zeros(1)])
    return torch.cat([row[1:2], row, row[-2:-1]])  # not the border itself, its neighbour


row = torch.arange(1.0, 6.0)
print("zeros:  ", padded(row, "zeros").int().tolist())
print("reflect:", padded(row, "reflect").int().tolist())
verdict(
    "as torch reflects",
    torch.equal(padded(row, "reflect"), F.pad(row[None], (1, 1), mode="reflect")[0]),
)

# %% [markdown]
# Now two networks with the same weights, one with either padding. How far apart are their maps?

# %%
networks = {
    padding: build_backbone("vgg19", settings.weights, padding=padding, **weights)
    for padding in widget.PADDINGS
}
leather = edition.category("leather").load_train(256)[:1]
zeros, reflect = (widget.all_maps(networks[padding], leather[0]) for padding in widget.PADDINGS)
difference = {
    k: np.abs(zeros[k] - reflect[k]).max(0) for k in zeros
}  # the largest over channels: [h_l, w_l]

# %%
show(*(difference[k] for k in chosen[2:]), titles=[f"layer {k}" for k in chosen[2:]], width=2.3)

# %% [markdown]
# A frame that widens with depth until, at layer 16, little is left inside it. The image is plain leather, the same everywhere; still
# the zero-padded network sees something special along its border. A detector trained on such maps meets border vectors
# rarely, models them badly, and raises false alarms there (notebook 08).

# %% [markdown]
# ## How wide is the frame? Notebook 01 knows
#
# The two networks differ in the padding alone. So a unit whose receptive field lies inside the image cannot tell them
# apart, and a unit whose field leaves it may.


# %%
def inside(field, units, size=256):
    """Which units of an axis see image only: bool [units]."""
    return np.array(
        [field.interval(u)[0] >= 0 and field.interval(u)[1] <= size for u in range(units)]
    )


clean = {}
for layer, field in enumerate(conv_fields(network.stack), start=1):
    ok = inside(field, len(difference[layer]))
    clean[layer] = ok[:, None] & ok[None, :]

# %%
tolerance = {k: 1e-4 * zeros[k].max() for k in zeros}
untouched = all(difference[k][clean[k]].max(initial=0) <= tolerance[k] for k in zeros)
verdict("units that see image only have the same value with either padding", untouched)
touched = all((difference[k][~clean[k]] > tolerance[k]).mean() > 0.5 for k in zeros)
verdict("most of the others do not", touched)

# %%
rows = [
    (k, f"{(~clean[k]).sum()} of {clean[k].size}", f"{100 * (~clean[k]).mean():.0f} %")
    for k in (1, 4, 8, 12, 16)
]
print(table(rows, ("layer", "units that see padding", "share")))

# %% [markdown]
# At layer 12 more than two thirds of the units see some padding, but most of them little. The *profile* of the difference
# shows how it fades: its mean over all units at the same distance from the border.

# %%
figure, axis = plt.subplots(figsize=(7, 3))
for layer in (4, 8, 12):
    d = difference[layer] / difference[layer].max()
    end = np.minimum(np.arange(len(d)), np.arange(len(d))[::-1])  # to the nearer end
    distance = np.minimum.outer(end, end)  # and so to the nearest border
    profile = [d[distance == k].mean() for k in range(len(d) // 2)]
    pixels = np.arange(len(profile)) * 256 / len(d)
    (line,) = axis.plot(pixels, profile, "o-", ms=3, label=f"layer {layer}")
    axis.axvline(pixels[clean[layer].any(1).argmax()], ls=":", color=line.get_color())
axis.set(xlabel="distance from the border [pixels]", ylabel="mean / largest difference")
axis.legend()
plt.show()

# %% [markdown]
# A dotted line stands at the first units that see no padding: by the receptive field, all trace of it must end there. Deep layers
# carry the border further in, yet most of the difference is gone well before the line: the effective receptive field again.
#
# ## See it: any layer, any channel, either padding
#
# First one setting without a widget: layer 12, channel 5. Left with zero padding, in the middle with reflection, right their
# difference, all on one colour scale.

# %%
maps = {"zeros": zeros, "reflect": reflect}
picture, text = widget.draw(maps, layer=12, channel=5)
show(
    *(picture[:, left : left + 256] for left in (0, 260, 520)),
    titles=("zero padding", "reflection padding", "difference"),
    width=2.6,
)
top = max(zeros[12][5].max(), reflect[12][5].max())
apart = np.abs(zeros[12][5] - reflect[12][5]) > 0.01 * top
verdict("every unit that differs sees padding", not apart[clean[12]].any())

# %% [markdown]
# Now browse. Look for a channel that is black (a filter that never answers), for one that only answers at the border, and for the
# layer from which on you could no longer tell the texture.

# %%
widget.build(leather[0], networks)

# %% [markdown]
# ### Exercise 2.1: how long is a regional feature?
#
# Stage 2 puts the channels of all chosen layers one after the other. *Predict first:* at full width, is `c_o` for layers 1 to 12
# a few hundred or a few thousand? Then compute it from `full` into `c_o_full`. Expect a number that says why the paper calls it
# "usually very large".

# %%
c_o_full = None
# BEGIN SOLUTION
c_o_full = sum(full[:12])
# END SOLUTION
check(
    "2.1",
    c_o_full,
    lambda c: c == vgg19.feature_dimension("1:12"),
    "add up the channels of the first twelve layers",
)

# %% [markdown]
# ### Exercise 2.2: pad a picture
#
# `padded` pads a row. Write `reflect_pad` for a whole map `[h, w]` and any number `p` of pixels, with indexing only. *Predict
# first:* which element of the map stands in the upper left corner of the padded one? Expect it to come from inside the map, not
# from its border.


# %%
def reflect_pad(m, p):
    """A map [h, w] with p mirrored rows and columns on each side: [h + 2 p, w + 2 p]."""
    # BEGIN SOLUTION
    rows, columns = ([*range(p, 0, -1), *range(n), *range(n - 2, n - 2 - p, -1)] for n in m.shape)
    return m[rows][:, columns]
    # END SOLUTION


square = torch.arange(30.0).reshape(5, 6)
expected = F.pad(square[None, None], (2, 2, 2, 2), mode="reflect")[0, 0]
check(
    "2.2",
    reflect_pad,
    lambda f: torch.equal(f(square, 2), expected),
    "the border itself is not repeated",
    probe=(square, 2),
)

# %% [markdown]
# ### Exercise 2.3: which layers are safe?
#
# A colleague wants to use zero padding and simply not look at a margin of 32 pixels around the image. *Predict first:* up to which
# layer does no unit under the rest of the image see padding? Compute it into `safe_layer`, from `conv_fields(network.stack)`.
# Expect the first layer of a block.

# %%
safe_layer = None
# BEGIN SOLUTION
margin = 32
safe = [field.interval(margin // field.jump)[0] >= 0 for field in conv_fields(network.stack)]
safe_layer = sum(safe)
# END SOLUTION
def under_the_rest(layer, margin=32):
    """Which units under the image without its margin see image only: bool, from `clean` above."""
    m = margin * len(clean[layer]) // 256
    return clean[layer][m:-m, m:-m]


check(
    "2.3",
    safe_layer,
    lambda k: under_the_rest(k).all() and not under_the_rest(k + 1).all(),
    "unit 32 // jump is the first under the rest; where does its field start?",
)

# %% [markdown]
# ## Ours, the paper's, the difference

# %%
rows = [
    ("convolutional layers", len(convolutions), 16),
    ("blocks", len(vgg19.blocks), 5),
    ("units of layer 12", f"{shapes[11][1]} × {shapes[11][2]}", "32 × 32"),
    ("channels of layer 12", shapes[11][0], 512),
]
print(table(rows, ("", "ours", "paper")))

# %% [markdown]
# The grid is the paper's; the number of channels is this edition's. The paper reports its Tables II to IV with zero padding and
# finds reflection better by about one percent (Table V). The quick and embedded editions therefore reflect.
#
# ## Summary
#
# - Sixteen maps, five grid sizes; the network is frozen and never trained for this task.
# - Fine and local at the start, coarse and contextual at the end.
# - Padding reaches exactly as far as the receptive field, but most of its effect stays near the border.
#
# ## Deviations
#
# In the quick and embedded editions the weights are random and the width is one eighth, so channels mean less than those of a
# trained network. Shapes and padding behave the same.
#
# ## References
#
# - DFR, arXiv 2012.07122, Sections III-A and IV-C2.
# - K. Simonyan, A. Zisserman: VGG, arXiv 1409.1556.

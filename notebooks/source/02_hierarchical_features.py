# %% [markdown]
# # 02 · Hierarchical features
#
# **Paper:** Section III-A; Section IV-C2 for the padding, IV-B for what is learnt · **Needs:** notebook 01
#
# DFR never looks at pixels when it judges an image. It looks at what a classification network makes of them: the sixteen
# feature maps φ_1 to φ_16 behind VGG19's convolutions. Shallow maps are nearly as fine as the image and hold edges and
# grain; deep ones are coarse and hold arrangements. This notebook computes them by hand, looks at them, finds the place
# where they go wrong, the border, and asks what the network must have learnt for all this to work.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - compute VGG19's maps with plain convolutions, and give the shape of each,
# - say how the trace of a small defect spreads and fades from layer to layer,
# - write zero and reflection padding, and say what each claims about the world outside the picture,
# - predict how far padding reaches into a map, from its receptive field,
# - say what features that were learnt are worth beside random ones, and where random ones do as well.
#
# **Runtime:** about 30 s and 1000 MiB in the quick edition on 2 CPU cores, a minute in the paper edition on a GPU. Download: none
# in the quick edition.

# %%
from dfr_core.course import (
    check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict,
)

edition = start(2)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.weights import build_backbone
from dfr_core.plotting import heat, outline, to_image
from dfr_core.receptive_field import conv_fields
from dfr_core.widgets import hierarchy as widget

# %% [markdown]
# ## Section III-A: the maps by hand
#
# Let `x` be the image, `[3, h, w]`. Layer `l` convolves and rectifies:
#
# $$\phi_l(x) = \max\bigl(0,\; W_l * \phi_{l-1}(x) + b_l\bigr), \qquad \phi_0(x) = \operatorname{normalise}(x),$$
#
# with $c_l$ channels of $h_l \times w_l$ units.
#
# `normalise` makes of 8-bit pixels what the network's weights expect: numbers from 0 to 1, minus the
# mean and divided by the spread of ImageNet's colours. Between blocks a pooling keeps the largest of 2 × 2 units of $\phi_{l-1}$ first.
# The weights are frozen: DFR never trains this network. Here is one image, and the network with zero padding, the way VGG19 was
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
apart = max(float((phi[k - 1] - core[k]).abs().max() / core[k].max()) for k in core)
verdict("our sixteen maps equal the core's", apart < 1e-4, f"{apart:.0e} apart")

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
# A map has many channels. To see them at once we take the three directions in which its vectors vary most over the image (principal
# components, notebook 04) as red, green and blue: units of one colour have much the same to say. The picture is an object with fine
# structure: a cable with three insulated wires, cut across. For these pictures we take reflection padding; why is the subject of a later
# section.


# %%
def in_colours(m):
    """A map [1, c, h, w] as a picture [h, w, 3]: its three leading principal components."""
    vectors = m[0].flatten(1).T  # [h w, c]
    vectors = vectors - vectors.mean(0)
    three = vectors @ torch.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -3:].flip(1)
    low, high = three.quantile(0.02, dim=0), three.quantile(0.98, dim=0)
    colours = ((three - low) / (high - low)).clamp(0, 1)
    return (255 * colours).byte().view(*m.shape[2:], 3).numpy()


every, chosen = tuple(range(1, 17)), (1, 5, 8, 12, 16)
mirrored = build_backbone("vgg19", settings.weights, padding="reflect", **weights)
before = dict(mirrored.feature_maps(image, every))
show(
    to_image(image[0].numpy()),
    *(in_colours(before[k]) for k in chosen[:2]),
    titles=["image", *(f"layer {k}" for k in chosen[:2])], width=3.6,
    alt="A cable cut across; layer 1 still shows every copper strand and its highlight; layer 5 outlines "
    "strands and rings in several colours.",
)
show(
    *(in_colours(before[k]) for k in chosen[2:]), titles=[f"layer {k}" for k in chosen[2:]], width=3.6,
    alt="Layer 8 shows each wire as one speckled patch with a ring; layer 12 coarse coloured regions where wires, "
    "filling and background are; layer 16 large blocks, three bright ones for the wires.",
)

# %% [markdown]
# The first layer is nearly the image, strand by strand. By layer 8 the strands have become a speckle inside the rings of each wire; layer 12
# tells wire from filling from background; at layer 16 there are 16 × 16 units left, each seeing nearly the whole picture (notebook 01).
# *From details to the whole*: that is what the paper calls hierarchical.
#
# What becomes of a defect on its way down? Blacken a square and ask how much each unit's vector changes, as a share of the spread that
# such vectors have over this image.

# %%
predict(
    "2.1",
    "A dot of 6 × 6 pixels turns black. How strong is its strongest trace in layer 16, beside that in layer 1?",
    "about as strong",
    "about half as strong",
    "less than a tenth as strong",
)


# %%
def trace(side):
    """What a black square of this side changes: layer -> [h_l, w_l]."""
    spoilt = image.clone()
    rows, columns = (slice(m - side // 2, m + side // 2) for m in (128, 63))
    spoilt[:, :, rows, columns] = 0
    after = dict(mirrored.feature_maps(spoilt, every))
    spread = {k: before[k][0].flatten(1).std(1).norm() for k in every}
    return {k: (after[k] - before[k])[0].norm(dim=0) / spread[k] for k in every}


traces = {"dot, 6 pixels": trace(6), "square, 60 pixels": trace(60)}
peaks = {name: [float(signal[k].max()) for k in every] for name, signal in traces.items()}
dot, square = peaks.values()
left = dot[-1] / dot[0]
right = 0 if left > 0.75 else 2 if left < 0.1 else 1
outcome("2.1", right, "It spreads, and on the way the rest of the scene drowns it.")
verdict("the dot's trace fades to less than a tenth", left < 0.1, f"{dot[0]:.1f} to {dot[-1]:.2f}")
sizes = f"{square[-1]:.2f} against {dot[-1]:.2f}"
verdict("in layer 16 the square's is more than five times the dot's", square[-1] > 5 * dot[-1], sizes)

# %%
def left_half(m):
    """The half of a map [n, n] in whose middle the dot lies: [n / 2, n / 2]."""
    n = len(m)
    return m[n // 4 : 3 * n // 4, : n // 2]


show(
    *(heat(left_half(traces["dot, 6 pixels"][k].numpy()), 0, 1) for k in chosen),
    titles=[f"layer {k}: at most {dot[k - 1]:.1f}" for k in chosen],
    width=2.4,
    alt="Five maps of what the dot changes, on one scale: a bright point in layer 1, a larger one in "
    "layers 5 and 8, a dim blur in layer 12, next to nothing in layer 16.",
)
figure, axis = plt.subplots(figsize=(9, 3.6))
for name, values in peaks.items():
    axis.semilogy(every, values, "o-", label=name)
axis.set(xlabel="layer", ylabel="strongest change / spread", xticks=every)
axis.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
axis.legend()
picture(
    "Two curves over the sixteen layers on a logarithmic scale: the dot's falls by more than a factor of "
    "twenty from the first layer to the last, the large square's falls more slowly and ends ten times above."
)

# %% [markdown]
# To a shallow layer the dot is an event: sharp, small, and nearly four times the spread. On the way down it spreads and
# fades until it is lost in what the scene contains anyway. So small defects are the business of shallow layers. Why then have deep ones?
# The second curve says it: what is large loses weight, too, but in the last layer it still changes a vector by nearly twice the
# spread, and only units of layer 9 or deeper see it whole, with what stands around it. A detector that hears all layers has both.

# %% [markdown]
# ## Section IV-C2: what the padding invents
#
# A 3 × 3 convolution at the border needs pixels that are not there. *Zero padding* writes zeros there. Around the image that is
# the mean colour of ImageNet, which `normalise` has subtracted; behind the first layer it says that nothing answers outside. *Reflection padding* says that outside is what
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
by_torch = F.pad(row[None], (1, 1), mode="reflect")[0]
verdict("as torch reflects", torch.equal(padded(row, "reflect"), by_torch))

# %% [markdown]
# Now two networks with the same weights, one with either padding. How far apart are their maps?

# %%
networks = {
    padding: build_backbone("vgg19", settings.weights, padding=padding, **weights)
    for padding in widget.PADDINGS
}
carpet = edition.category("carpet").load_train(256)[:1]
zeros, reflect = (widget.all_maps(networks[padding], carpet[0]) for padding in widget.PADDINGS)
difference = {k: np.abs(zeros[k] - reflect[k]).max(0) for k in zeros}  # over channels: [h_l, w_l]

show(
    *(difference[k] for k in chosen[1:]),
    titles=[f"layer {k}" for k in chosen[1:]],
    width=2.8,
    alt="Four maps of the difference between the paddings: a bright frame along the border, thin in "
    "layers 5 and 8, wider in layer 12, and in layer 16 most of the map.",
)

# %% [markdown]
# A frame that widens with depth (each map has its own colour scale); at layer 16 it takes up most of the map. The image is a woven carpet,
# much the same everywhere; still the zero-padded network sees something special along its border. A detector trained on such maps meets border vectors
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
apart = {k: difference[k] / zeros[k].max() for k in zeros}
most = max(apart[k][clean[k]].max(initial=0) for k in zeros)
verdict("units that see image only have one value with either padding", most < 1e-4, f"{most:.0e}")
least = min((apart[k][~clean[k]] > 1e-4).mean() for k in zeros)
verdict("most of the others do not", least > 0.5, f"{least:.0%} of them, or more")

strong = {k: difference[k] > difference[k].max() / 4 for k in zeros}
rows = [(k, f"{(~clean[k]).mean():.0%}", f"{strong[k].mean():.0%}") for k in (1, 4, 8, 12, 16)]
print(table(rows, ("layer", "see padding", "differ by a quarter of the largest difference or more")))

# %% [markdown]
# At layer 12 more than two thirds of the units see some padding, but far fewer are changed much: the difference is strong along the border
# and fades inwards, as an effective field fades towards its edge. How far it reaches into an anomaly map, notebook 08 measures.
#
# ## See it: any layer, any channel, either padding
#
# First one setting without a widget. Some channels of layer 12 answer to nothing here but the border of the padding; one of them, with
# zero padding, with reflection padding, and the difference, all on one colour scale.

# %%
maps = {"zeros": zeros, "reflect": reflect}
loudest = {name: layers[12].max((1, 2)) for name, layers in maps.items()}  # of each channel
silent = ((loudest["zeros"] > 0.1) & (loudest["reflect"] < 0.01)).nonzero()[0]
channels = len(loudest["zeros"])
name = "some channels answer to nothing but the border of the padding"
verdict(name, len(silent) > 2, f"{len(silent)} of {channels}")

channel = silent[zeros[12][silent].mean((1, 2)).argmax()]
panel, text = widget.draw(maps, layer=12, channel=int(channel))
show(
    *(panel[:, left : left + 256] for left in (0, 260, 520)),
    titles=("zero padding", "reflection padding", "difference"),
    width=3.6,
    alt="One channel of layer 12: with zero padding bright along the top of the map, dimmer along the other sides and black inside, with "
    "reflection padding black, so the difference is the same as the first.",
)

# %% [markdown]
# On this carpet such channels stay silent but for the frame that zeros draw. This one answers above all to the upper border: to the network
# the edge of the picture looks like the edge of an object.
#
# Now browse. Look for a channel that is black (a filter that never answers), for one that only answers at the border, and for the
# layer from which on you could no longer tell the texture.

# %%
widget.build(carpet[0], networks)

# %% [markdown]
# ## Section IV-B: what the network must have learnt
#
# The paper finds that methods with features transferred from ImageNet "show more potential" than those that learn theirs from scratch
# on the normal images. Why should a network that was made to tell dogs from cars know anything about carpets? We try the two ends: the same architecture, width and
# images, the same DFR after it, once with weights that are **random** and once with weights that **learnt** (distilled from
# ImageNet features). Three categories: a woven texture and two objects.
#
# One setting has to differ. The bottleneck `c_d` is as wide as the number of principal components that keep a given share of the
# variance (notebook 04). Nine tenths of the variance of random features is light and shade, so the share of the learnt ones would keep next to
# nothing else; the random ones get 99 %, and with it a *wider* bottleneck.

# %%
predict(
    "2.2",
    "On one of these three random features find about as many of the defective pixels (ROC-AUC) as learnt ones. Which?",
    "carpet (stains, cuts, holes in a weave)",
    "pill (colours, cracks, imprint)",
    "transistor (bent leads, misplaced on its board)",
)

# %%
from dataclasses import replace

from dfr_core import DFR
from dfr_core.settings import Settings

slim = settings if settings.weights == "distilled" else Settings.of_edition("embedded")
networks_tried = {"random": replace(slim, weights="untrained", variance=0.99), "learnt": slim}
examples = {"carpet": "color", "pill": "pill_type", "transistor": "misplaced"}  # a defect each


def try_network(settings, name):
    """Fit and score one category: ROC-AUC, PRO-AUC, the example's map, divided by its threshold."""
    category = edition.category(name)
    detector = DFR(settings).fit(category)
    result = detector.evaluate(category)
    k = [sample.defect for sample in category.test].index(examples[name])
    image, mask = (part[k : k + 1] for part in category.load_test(settings.image_size))
    scores = detector.anomaly_map(image)[0] / detector.threshold(0.005)
    return result["roc_auc"], result["pro_auc"], image[0], mask[0].numpy(), scores


tried = {
    (name, kind): try_network(s, name) for name in examples for kind, s in networks_tried.items()
}

# %% tags=["nbval-ignore-output"]
rows = [
    (name, kind, *(f"{number:.2f}" for number in tried[name, kind][:2])) for name, kind in tried
]
print(table(rows, ("category", "weights", "ROC-AUC", "PRO-AUC")))

# %%
gain = {n: tried[n, "learnt"][0] - tried[n, "random"][0] for n in examples}
outcome("2.2", int(np.argmin(list(gain.values()))), "The maps below say why.")
verdict("on the carpet learnt is better by more than 0.1", gain["carpet"] > 0.1, gain["carpet"])
verdict("and on the pill", gain["pill"] > 0.1, gain["pill"])
verdict("but not on the transistor", abs(gain["transistor"]) < 0.05, gain["transistor"])
by_region = tried["transistor", "learnt"][1] - tried["transistor", "random"][1]
verdict("there learnt is ahead by PRO-AUC, region by region", by_region > 0.03, by_region)

# %% [markdown]
# The maps of one defect each, divided by the detector's threshold, so that their colours can be compared: the scale ends at twice
# the threshold. True defects are outlined in orange.

# %%
seen = {
    "carpet": "A faint stain on a carpet; with random features the map is even, with learnt ones the "
    "stain stands out.",
    "pill": "A pill of the wrong colour; with random features only its rim is bright, with learnt ones "
    "the whole pill.",
    "transistor": "A transistor askew on its board, the whole part outlined; with random features its hole and its leads "
    "are blurred bright patches, with learnt ones edges and leads are bright and the black body is not.",
}
for name, kind in examples.items():
    _, _, panel, mask, _ = tried[name, "random"]
    maps_of = [heat(tried[name, weights_][4], 0, 2) for weights_ in networks_tried]
    marked = outline(to_image(panel.numpy()), mask, width=2)
    titles = (f"{name}: {kind}", *networks_tried)
    show(marked, *maps_of, titles=titles, width=3.4, alt=seen[name])

# %% [markdown]
# The stain on the carpet: to random features it is lost in the weave, whose light and dark they measure; learnt ones see that
# the threads have another colour. The pill of the wrong colour: with random features the rim is bright, as it is on every pill, with
# learnt ones the whole pill is. The misplaced transistor is a draw. Its defect is the whole part, most of it smooth and black, which
# neither network finds odd. Learnt features answer to its edges and leads; random ones, which measure little but light and shade, light up
# all around the leads. Counted in pixels that comes to the same; where small regions count as much as large ones (PRO-AUC, notebook 06)
# learnt ones are ahead. So the paper's sentence holds: in the embedded edition learnt features are better
# in twelve of the fifteen categories, in six of them by more than 0.1; in wood and transistor the two are level, in the zipper random
# ones are ahead by 0.01 ([all the numbers](../benchmarks/accuracy.md)).
#
# The third column of this experiment needs VGG19 at full width with ImageNet's weights, which do not come with the course. Where they are
# installed (`dfr info` says), add `"ImageNet": replace(slim, weights="imagenet", width=1)` to `networks_tried`; it takes minutes.

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
    sealed("2.1", "28e0c96e6404"),
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


check(
    "2.2",
    reflect_pad,
    lambda f: sealed("2.2", "9befca0a0640")([f(torch.arange(30.0).reshape(5, 6), p) for p in (1, 2, 4)]),
    "the border itself is not repeated",
    probe=(torch.arange(30.0).reshape(5, 6), 2),
    draw=lambda f: show(
        f(carpet[0].float().mean(0), 100),
        width=4.5,
        colours="gray",
        alt="The carpet in grey with a mirrored margin of 100 pixels: no seam, but its slanting bands turn back.",
    ),
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
check(
    "2.3",
    safe_layer,
    sealed("2.3", "a016529c26e6"),
    "unit 32 // jump is the first under the rest; where does its field start?",
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# Layers, blocks and grids are VGG19's, as the shapes above show; at an eighth of its width c_o is an eighth, too. The paper gives no number
# for this section that could be subtracted. It reports its Tables II to IV with zero padding and
# finds reflection better by about one percent (Table V). The quick and embedded editions therefore reflect.

# %% [markdown]
# ## Five questions

# %%
quiz(2, [
    ("Which layers notice a spot of a few pixels most?",
     ["shallow ones", "deep ones", "all alike"], 0, "Its trace fades on the way down."),
    ("What do deep layers have that shallow ones lack?",
     ["finer grids", "a view of large things and their surroundings", "fewer channels"], 1,
     "One unit of layer 12 sees 116 pixels."),
    ("What does zero padding say about the world behind the border of a deep map?",
     ["it goes on as before", "it is mirrored", "nothing answers there"], 2,
     "Zeros behind a ReLU mean that no filter has found anything."),
    ("A unit's receptive field lies inside the image. What do the two paddings change in it?",
     ["nothing", "a little", "its sign"], 0, "It never sees a padded element."),
    ("Do learnt features beat random ones in every category?",
     ["yes", "no, but in most", "no, random ones win in most"], 1,
     "In the embedded edition in twelve of fifteen; in the others they are about level."),
])

# %% [markdown]
# ## Summary
#
# - Sixteen maps, five grid sizes; the network is frozen and never trained for this task.
# - Fine and local at the start, coarse and contextual at the end.
# - Padding reaches exactly as far as the receptive field, but most of its effect stays near the border.
# - Features that were learnt elsewhere tell a pattern from its fault; where light and shade tell enough, random ones nearly do too.
#
# ## Deviations
#
# In the quick and embedded editions the width is one eighth and the weights are distilled: the network imitates the maps of one that was
# trained on ImageNet, and explains more than half of their variance in layers 1 to 10, less in layers 11 and 12, whose models are much
# deeper layers (`docs/distilled.md` has the numbers). Shapes and padding behave the same.
# The paper compares with methods that learn from scratch (autoencoders, GANs); our "random" has not learnt at all.
#
# ## References
#
# - DFR, arXiv 2012.07122, Sections III-A and IV-C2.
# - K. Simonyan, A. Zisserman: VGG, arXiv 1409.1556.

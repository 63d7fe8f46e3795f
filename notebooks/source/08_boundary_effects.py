# %% [markdown]
# # 08 · Boundary effects
#
# **Paper:** Section IV-C2, Fig. 9, Table V · **Needs:** notebooks 01 to 05
#
# A convolution at the border of an image asks for pixels that do not exist. VGG19 answers with zeros. Its pixels
# are normalised, so zero is the mean colour of the photographs it learnt from: a flat frame that nobody photographed. A detector that
# has learnt what carpet looks like then meets carpet beside a flat frame, finds it odd, and says so. This notebook follows that frame
# from the first convolution to the metrics, and replaces it with a mirror.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - compute what zero and reflection padding do to a convolution at the border;
# - say which part of each map of VGG19 the padding can reach, from its receptive field alone;
# - measure the error profile of a detector across the border, and read false alarms off it;
# - predict for which images the padding hardly matters, and test the prediction;
# - state what Table V of the paper shows, and what it does not.
#
# **Runtime:** about 20 s and 900 MiB in the quick edition on 2 CPU cores, minutes a category on a GPU in the paper edition.
# Download: none.

# %%
from dfr_core.course import check, hint, outcome, picture, predict, quiz, sealed, start

edition = start(8)

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch

from dfr_core import DFR
from dfr_core.backbones.weights import build_backbone
from dfr_core.course import show, table, verdict
from dfr_core.metrics import border_distance, evaluation, roc_auc
from dfr_core.paper_numbers import TABLE_V
from dfr_core.plotting import BLUE, RED, heat, outline, to_image
from dfr_core.backbones.architecture import architecture
from dfr_core.widgets import boundary

# %% [markdown]
# ## One convolution at the border (IV-C2)
#
# Take the simplest signal there is, a constant one, and the simplest filter, the mean of three neighbours:
#
# $$y(i) = \tfrac13\,\bigl(x(i-1) + x(i) + x(i+1)\bigr)$$
#
# In the middle nothing happens. At the two ends one neighbour is missing, and somebody has to make it up: zero padding makes it 0,
# reflection padding copies the value on the other side.


# %%
def filtered(x, mode):
    """The mean of three neighbours, [n] -> [n]; mode "constant" pads with a zero, "reflect" with the mirror image."""
    padded = np.pad(x, 1, mode=mode)
    return np.array([padded[i : i + 3].mean() for i in range(len(x))])


signal = np.full(12, 0.6)
by_zeros, by_mirror = filtered(signal, "constant"), filtered(signal, "reflect")
print("zeros:  ", by_zeros[:3].round(2), "...")
print("reflect:", by_mirror[:3].round(2), "...")

# %% [markdown]
# Zeros turn the first value from 0.6 into 0.4, though the signal does not change there at all. The mirror leaves a constant a
# constant. (Notebook 02 shows the same inside the network, where torch's convolutions do the padding.)
#
# ## How far the frame reaches (III-A, Table I)
#
# A unit is touched by the padding when its receptive field crosses the border of the image. If m of the n units along an axis have a
# field that stays inside, the share of the map that is touched is
#
# $$\text{share} = 1 - (m/n)^2.$$
#
# That is a thin line for the first layer, and most of the map for the twelfth.

# %%
settings = edition.settings
size = settings.image_size
networks = {
    mode: build_backbone(
        "vgg19", settings.weights, width=settings.width, padding=mode, last=12, seed=settings.seed
    )
    for mode in ("zeros", "reflect")
}
layers = architecture("vgg19").layers  # layers[k - 1] is layer k


def inside(k):
    """For each unit along one axis of layer k's map: does its field stay inside the image? bool [n]."""
    ends = [layers[k - 1].interval(i) for i in range(architecture("vgg19").side(k, size))]
    return np.array([first >= 0 and last <= size for first, last in ends])


rows = []
for k in (1, 4, 8, 12):
    stays = inside(k)
    rows.append((f"layer {k}", layers[k - 1].size, len(stays), f"{1 - stays.mean() ** 2:.0%}"))
print(table(rows, head=("", "field [pixels]", "units a side", "touched by padding")))

# %% [markdown]
# Table I's fields of 3, 14, 48 and 116 pixels: at layer 12 the padding *can* reach 68 % of the map, as counted unit by unit in
# notebook 02. Does it? We
# run the same image through both paddings and look where the two maps differ at all. The prediction from the receptive field is an
# upper limit: outside it, the maps must agree.

# %%
category = edition.category("carpet")
train = category.load_train(size)
test, masks = category.load_test(size)
maps = {}
with torch.inference_mode():
    for mode, network in networks.items():
        maps[mode] = {k: phi[0] for k, phi in network.feature_maps(test[:1], (1, 4, 8, 12))}
difference = {k: (maps["zeros"][k] - maps["reflect"][k]).abs().amax(0) for k in maps["zeros"]}

# %%
for k in (1, 4, 8, 12):
    keep, whole = torch.from_numpy(inside(k)), maps["zeros"][k].max()
    rest, most = (float(d.max() / whole) for d in (difference[k][keep][:, keep], difference[k]))
    sizes = f"they differ by {rest:.0e} of the largest value there, by {most:.0%} at the border"
    verdict(f"layer {k}: beyond the reach of the padding both maps agree", rest <= 1e-4, sizes)
show(
    *[heat((difference[k] / difference[k].max()).numpy() ** 0.5) for k in (1, 4, 8, 12)],
    titles=[f"layer {k}: {difference[k].shape[0]} units a side" for k in (1, 4, 8, 12)],
    width=3,
    alt="Where the two paddings give different maps: in layer 1 a hairline along the border, in layers 4 "
    "and 8 wider frames, in layer 12 a frame that leaves only the middle black.",
)

# %% [markdown]
# Bright is where zero and mirror differ (root scale): a hairline in layer 1, a frame of growing width below it, strongest at the
# very border. That is the effective receptive field of notebook 01 again: far pixels of a field count, but little.

# %% [markdown]
# ### Exercise 8.1 Predict: from which layer on is it the majority?
#
# From which layer on can the padding reach more than half of the map? Guess from the table above first: layer 8 is below one half,
# layer 12 above it. Then count with `inside`.

# %%
answer = None
# BEGIN SOLUTION
answer = next(k for k in range(1, 13) if 1 - inside(k).mean() ** 2 > 0.5)
# END SOLUTION
check(
    "8.1",
    answer,
    sealed("8.1", "052ddb47f58a"),
    "inside(k).mean() is the quotient m/n of the formula, whose square must fall below one half",
)

# %% [markdown]
# ## From features to anomaly maps (Fig. 9)
#
# Features near a zero-padded border are a minority, and no two of them are alike: how much of the frame is in a field depends on how
# near the border is, and on which side. But every training image has the same frame of zeros, so the autoencoder may learn it, as
# it learns the carpet. Does it? We train twice, with nothing changed but the padding.

# %%
predict(
    "8.1",
    "With zero padding in training and test: how do the outer 8 pixels of a good carpet score?",
    "as the middle: the frame has been learnt",
    "a little higher, by less than a half",
    "at least half as high again as the middle",
)


# %%
def fit(images, mode, layers=settings.layers):
    """A detector of this edition with one of the two paddings."""
    return DFR(replace(settings, padding=mode, layers=layers)).fit(images)


detectors = {mode: fit(train, mode) for mode in ("zeros", "reflect")}
anomaly = {mode: detector.anomaly_map(test) for mode, detector in detectors.items()}

# %%
normal = ~masks.flatten(1).any(1).numpy()
names = [sample.defect for sample in category.test]
defect = names.index("cut")
pictures = [outline(to_image(test[defect]), masks[defect].numpy(), width=2)]
low, high = (f(f(m[defect].ravel()) for m in anomaly.values()) for f in (min, max))
pictures += [heat(anomaly[mode][defect], low, high) for mode in ("zeros", "reflect")]
show(
    *pictures,
    titles=("input, orange: truth", "zero padding", "reflection padding"),
    width=4,
    alt="A carpet with an outlined cut, and two anomaly maps on one scale. The cut is by far the brightest place of "
    "both. With zero padding a dim frame runs around the map, some 20 pixels wide; with reflection it is narrower.",
)
for mode in ("zeros", "reflect"):
    row, column = np.unravel_index(anomaly[mode][defect].argmax(), (size, size))
    print(f"{mode}: the highest score lies in the defect:", bool(masks[defect][row, column]))

# %% [markdown]
# This is one row of the paper's Fig. 9 on synthetic carpet, both maps on one colour scale. With zeros a frame is lit, most
# of all in the corners, where two of its sides meet; with the mirror it is narrower, not gone. But the cut outshines both.
# The autoencoder has learnt the frame in part: its narrow code goes to the majority of places first.

# %% [markdown]
# ## The error profile across the border
#
# One picture is an anecdote. Average the anomaly maps of *normal* test images over rings of equal distance from the border, and
# divide by the mean of the middle (at least a quarter of the image away from any border):
#
# $$\text{ratio}(d) = \frac{\text{mean of } \hat A \text{ over pixels at distance } d}{\text{mean of } \hat A \text{ over the middle}}$$
#
# A detector that treats the border like everything else has ratio 1 everywhere.


# %%
def ring_ratio(maps, first, last):
    """Mean score at distance first <= d < last from the border, over that of the middle; maps [N, h, w]."""
    n = maps.shape[1]
    near = np.minimum(np.arange(n), n - 1 - np.arange(n))
    distance = np.minimum(near[:, None], near[None, :])
    ring, middle = (distance >= first) & (distance < last), distance >= n // 4
    return maps[:, ring].mean() / maps[:, middle].mean()


for mode in ("zeros", "reflect"):
    naive = [
        ring_ratio(anomaly[mode][normal], d, d + boundary.STEP)
        for d in range(0, size // 2, boundary.STEP)
    ]
    core = boundary.profile(anomaly[mode][normal])[1]
    verdict(f"{mode}: the naive rings equal the core's profile", np.allclose(naive, core))

# %%
fig, axis = plt.subplots(figsize=(7, 4))
for mode, colour in (("zeros", RED), ("reflect", BLUE)):
    axis.plot(
        *boundary.profile(anomaly[mode][normal]),
        color=colour,
        marker="o",
        markersize=3,
        label=boundary.LOOKS[mode][1],
    )
axis.axhline(1, color="grey", linewidth=0.8)
axis.set(
    xlabel="distance from the border [pixels]",
    ylabel="mean score, 1 = middle",
    title="Normal carpet: error profile",
)
axis.legend()
picture(
    "Mean score over distance from the border. Both curves start a third above one in the outermost ring. With zero "
    "padding the curve comes down to one almost 30 pixels inside, with reflection after some 15."
)

# %%
rings = {mode: boundary.profile(m[normal])[1] for mode, m in anomaly.items()}
outer = {mode: float(ratio[0]) for mode, ratio in rings.items()}
deep = {mode: float(ratio[1:4].mean()) for mode, ratio in rings.items()}
right = 2 if outer["zeros"] > 1.5 else 1 if outer["zeros"] > 1.1 else 0
outcome("8.1", right, "The frame is in every training image, and still it is reproduced worst.")
verdict("zero padding: the outer ring scores higher than the middle", outer["zeros"] > 1.2, outer["zeros"])
verdict("reflection: so does its outer ring", outer["reflect"] > 1.2, outer["reflect"])
sizes = f"{deep['zeros']:.2f} and {deep['reflect']:.2f} times the middle"
less = abs(deep["reflect"] - 1) < 2 / 3 * (deep["zeros"] - 1)
verdict("8 to 32 pixels inside, reflection takes a third of the excess away or more", less, sizes)

# %% [markdown]
# With zeros the profile is raised over some two dozen outer pixels, with the mirror over half of that. A field sees
# the border from half its width away, so what is raised that deep is the work of the larger fields.
# That is the mechanism which the paper proposes for its Fig. 9, and here we may say more than "one cause may be": padding is
# the only thing that differs between the two curves. What they share, the outermost ring, the mirror does not cure; a weave that
# turns back at the border may be as odd as one that ends.

# %% [markdown]
# ## Try it
#
# Switch the padding and the image. Tab moves between the controls, the space bar ticks the box. Look for a defect near the border:
# with zeros, can you tell where the defect ends and the frame begins? Below the widget stands one setting without it, a good
# carpet with zeros.

# %%
images = np.stack([to_image(image) for image in test])
boundary.build(images, anomaly, masks.numpy(), names, first=defect)

# %%
good = names.index("good")
low, high = (f(f(m.ravel()) for m in anomaly.values()) for f in (min, max))
axes = boundary.chart(max(2.0, 1.05 * boundary.profile(anomaly["zeros"][good])[1].max()))
show(
    boundary.draw(axes, "zeros", images[good], anomaly["zeros"][good], masks[good].numpy(), low, high),
    width=10,
    alt="The widget on a good carpet with zero padding: a carpet without any defect, its anomaly map with a "
    "dim frame, and the profile that rises to a third above the middle towards the border.",
)

# %% [markdown]
# ### Exercise 8.2 Where are the brightest normal pixels?
#
# Take the 1 % highest scores among the normal test images under zero padding. What share of them lies in the outer 32 pixels? The
# outer 32 pixels make up 44 % of the image (cell below), so without a boundary effect you would expect about that. Write
# `share_near_border(maps, margin)`: of the highest 1 % of all scores, the share at a distance below `margin`. A right answer
# prints it for both paddings.

# %%
distance = border_distance(size, size)
print(f"outer 32 pixels: {(distance < 32).mean():.0%} of the image")


def share_near_border(maps, margin):
    """Of the highest 1 % of the scores in maps [N, h, w], the share closer to the border than margin pixels."""
    # BEGIN SOLUTION
    high = maps >= np.quantile(maps, 0.99)
    return (high & (distance < margin)).sum() / high.sum()
    # END SOLUTION


# One border row is bright: 0.39 of the highest 1 %; the rest of them lies in the middle.
toy = np.zeros((1, size, size))
toy[0, 0, :] = 1
check(
    "8.2",
    share_near_border,
    lambda g: abs(g(toy + distance * 1e-9, 32) - 0.39) < 0.02 and g(distance[None] * -1.0, 32) == 1,
    "np.quantile gives the limit; combine two masks with &",
    probe=(toy, 32),
    draw=lambda g: print(*(f"{mode}: {g(m[normal], 32):.0%}" for mode, m in anomaly.items()), sep=", "),
)

# %% [markdown]
# ## Does it matter for the metrics? (Table V)
#
# ROC-AUC counts every normal pixel that outscores an anomalous one. A frame of high scores is a frame of such pixels, so both
# metrics could suffer, and PRO-AUC, which stops at a low FPR, more: a frame bright enough could alone use up the false positives
# it allows. Is it bright enough?

# %%
areas = {mode: evaluation(torch.from_numpy(m), masks) for mode, m in anomaly.items()}
gain = {
    metric: areas["reflect"][metric] - areas["zeros"][metric] for metric in ("roc_auc", "pro_auc")
}
for metric, value in gain.items():
    sizes = f"{areas['zeros'][metric]:.3f} to {areas['reflect'][metric]:.3f}"
    verdict(f"carpet: reflection changes {metric} by less than 0.02", abs(value) < 0.02, sizes)

# %% [markdown]
# Hardly: the frame is a third brighter than the middle, the cut much more. This edition's carpet gains about what the paper's textures
# do or less, with two other seeds as well; the embedded edition's carpet gains nothing. These autoencoders start from a PCA, which
# has seen the frame; notebook 11 starts at random, trains as briefly, and pays more for it.
#
# ## Which images suffer?
#
# In layer 1 zero padding continues the image with the mean colour, in all later layers with "no activation". If the colour decided, an
# image whose border is close to the mean colour would hardly notice the padding. Our textures are close to it, our objects lie on
# black, bright or white ground. Layers 1:8, to save time.

# %%
predict(
    "8.2",
    "Who gains more from the mirror, in the mean of three categories each?",
    "textures, whose border is close to the mean colour",
    "objects, whose ground is far from it",
    "both alike, to 0.02",
)


# %%
vgg19 = architecture("vgg19")
mean, std = np.array(vgg19.mean), np.array(vgg19.std)


def compare(name):
    """How far a category's border is from the mean colour (in standard deviations), and its gain in PRO-AUC by the mirror."""
    data = edition.category(name)
    images, (tests, truth) = data.load_train(size), data.load_test(size)
    frame = images.permute(0, 2, 3, 1).numpy()[:, border_distance(size, size) < 8] / 255
    distance = np.abs((frame.mean((0, 1)) - mean) / std).mean()
    zeros, reflect = (
        evaluation(fit(images, mode, "1:8").anomaly_tensor(tests).cpu(), truth)["pro_auc"]
        for mode in ("zeros", "reflect")
    )
    return distance, reflect - zeros


textures = {name: compare(name) for name in ("leather", "carpet", "wood")}
objects = {name: compare(name) for name in ("hazelnut", "screw", "bottle")}

# %%
fig, axis = plt.subplots(figsize=(7, 4))
for group, colour, label in ((textures, RED, "textures"), (objects, BLUE, "objects")):
    axis.plot(*zip(*group.values()), "o", color=colour, label=label)
    for name, place in group.items():
        axis.annotate(name, place, xytext=(5, 3), textcoords="offset points")
axis.axhline(0, color="grey", linewidth=0.8)
axis.set(
    xlabel="border's distance from the mean colour",
    ylabel="gain in PRO-AUC",
    title="Who needs the mirror?",
)
axis.legend()
picture(
    "Six categories, the border's distance from the mean colour to the right, the gain in PRO-AUC upwards. "
    "Carpet, at the left, gains a little more than 0.01; all others lie within 0.01 of zero, three of them below it."
)
far, gains = np.transpose([*textures.values(), *objects.values()])
print("the farther from the mean colour, the larger the gain:", np.corrcoef(far, gains)[0, 1] > 0)
means = [np.mean([g for _, g in group.values()]) for group in (textures, objects)]
alike = abs(means[0] - means[1]) < 0.02
outcome("8.2", 2 if alike else int(means[0] < means[1]), "Neither group needs the mirror for its metric.")
sizes = f"{means[0]:.3f} against {means[1]:.3f}"
verdict("textures and objects gain alike in the mean, to 0.02", alike, sizes)

# %% [markdown]
# Compare with your prediction. The far colour of the objects' ground does no harm: bottle, the farthest, even loses by the mirror. Two
# more seeds say the same of carpet and bottle, and next to nothing of the four others; with $f_{1:12}$ carpet alone still gains. So it is
# two categories that speak here, not two groups. With all fifteen of them, three seeds and $f_{1:12}$ the embedded edition finds the
# groups the other way round: in PRO-AUC textures lose 0.006 by the mirror, objects gain 0.008
# ([the claims on reflection padding](../figures/claims.md)). The paper's gain on textures is not found there. Its Table V:
# textures gain 0.011; objects go from 0.898 to 0.899, a gain of 0.001, while their ROC-AUC gains 0.008.

# %%
for (group, metric), (zeros, reflect) in TABLE_V.items():
    print(f"Table V, {group}, {metric}: {zeros:.3f} -> {reflect:.3f}, gain {reflect - zeros:.3f}")

# %% [markdown]
# ### Exercise 8.3 Cut the border off instead
#
# A cheaper cure for the metric, not for the map: leave the outer pixels out. Write `roc_inside(maps, masks, margin)`, the ROC-AUC
# over the pixels at least `margin` from the border. Think first: will the zero-padded detector gain much more from a margin of 32
# than the mirrored one? And what does one lose who ships such a detector?


# %%
def roc_inside(maps, truth, margin):
    """ROC-AUC of maps [N, h, w] against truth [N, h, w] without the outer margin pixels."""
    # BEGIN SOLUTION
    inside = slice(margin, maps.shape[1] - margin)
    return roc_auc(maps[:, inside, inside], truth[:, inside, inside])
    # END SOLUTION


random = np.random.default_rng(8)
toys, lies = random.integers(0, 9, (2, 16, 16)), random.random((2, 16, 16)) < 0.3
check(
    "8.3",
    roc_inside,
    lambda g: sealed("8.3", "669551d26db8")([g(toys, lies, margin) for margin in (0, 2, 5)]),
    "slice rows and columns from margin to n - margin",
    probe=(toys, lies, 2),
)

# %%
truth, keep = masks.numpy(), distance >= 32  # another way than the one asked for
change = {
    mode: roc_auc(m[:, keep], truth[:, keep]) - areas[mode]["roc_auc"] for mode, m in anomaly.items()
}
sizes = f"{change['zeros']:+.3f} against {change['reflect']:+.3f}"
verdict("without the border both gain a hundredth or more", min(change.values()) > 0.01, sizes)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# Different data and another network: heights cannot be compared, directions can. What does reflection change? The paper's row is the
# mean over five textures; ours is one synthetic texture; in the embedded edition five of them gain nothing (see the claims). A change
# of at most 0.005 counts as none.


# %%
def says(change):
    """A change in words."""
    return "no change" if abs(change) <= 0.005 else "better" if change > 0 else "worse"


rows = []
for metric in ("roc_auc", "pro_auc"):
    zeros, reflect = TABLE_V["textures", metric]
    ours, paper = says(gain[metric]), says(reflect - zeros)
    same = "none" if ours == paper else "differs"
    rows.append((metric, f"{ours} ({gain[metric]:+.3f})", f"{paper} ({reflect - zeros:+.3f})", same))
print(table(rows, head=("reflection instead of zeros", "ours", "paper", "difference")))

# %% [markdown]
# ## Five questions

# %%
quiz(8, [
    ("Zero means black to a person. What does it mean to VGG19 at its input?",
     ["black", "the mean colour of the photographs it learnt from", "white"], 1,
     "Pixels are normalised first: the mean is subtracted."),
    ("Why does padding reach two thirds of layer 12, though each convolution pads by one unit only?",
     ["the fields are 116 pixels wide", "the maps are small", "poolings repeat the border"], 0,
     "Whatever field crosses the border of the image has padding in it."),
    ("Every training image has the frame. Why does it still score higher than the middle?",
     ["the threshold is too low", "a narrow code goes to the majority of places", "the images differ there"], 1,
     "Border features are few and of many kinds; the code has no room for them."),
    ("What makes us sure that zero padding makes the raised profile wider?",
     ["the paper says so", "it is highest in the corners", "nothing else was changed between the two curves"], 2,
     "One change at a time is what allows the word because."),
    ("A detector leaves the outer 32 pixels out of its evaluation. What is lost?",
     ["nothing", "defects at the border are never found", "speed"], 1,
     "The metric improves and the product gets worse: 44 % of the image is not looked at."),
])

# %% [markdown]
# ## Summary
#
# - Zero padding adds a flat frame that the image does not have; every unit whose receptive field crosses the border
#   sees it, 68 % of the map by layer 12.
# - The autoencoder reconstructs that minority worse than the rest, so the frame scores higher on normal images: the profile shows it.
# - The mirror makes the frame narrower; its outermost ring stays. A frame a third above the middle is dim beside a defect, so
#   the metrics hardly change, on textures and on objects.
# - Six dots can show an order of two groups that more categories turn round.
# - Table V's "about 1 percent" is right for three of its four means; PRO-AUC on objects gains 0.001.

# %% [markdown]
# ## Deviations
#
# - Our slim network has an eighth of VGG19's channels. Like the paper's it was trained with zero padding and takes normalised pixels,
#   so zero means the same colour; how strongly it answers to the frame need not be the same.
# - The public code always pads with reflection, and keeps the mirrored pixel in some maps (notebook 11); the paper's Tables II to
#   IV use zeros.

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation. arXiv 2012.07122, Section IV-C2.
# - M. A. Islam, S. Jia, N. D. B. Bruce: How Much Position Information Do Convolutional Neural Networks Encode? ICLR 2020. Zero
#   padding tells a network where it is.

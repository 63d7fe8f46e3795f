# %% [markdown]
# # 04 · The autoencoder
#
# **Paper:** Section III-C, Eq. 4, IV-A3, IV-A4, Table VIII, Appendix B · **Needs:** notebook 03
#
# A regional feature is a long vector, but normal features do not fill the space of all long vectors: they keep to a small part of it.
# An autoencoder learns that part. It squeezes each feature through a narrow code and rebuilds it. Normal features survive the squeeze,
# since the code was made for them. A feature from a defect does not fit into it, and comes out wrong. How narrow must the code be?
#
# ## Goals
#
# After this notebook you can
#
# - build the autoencoder of Table VIII from its two sizes, and say why its convolutions need no neighbours;
# - find the latent dimension with PCA, and say what share of the variance it keeps;
# - write the loss of Eq. 4, and tell it from the mean squared error;
# - read a loss curve, and say how much of the reconstruction is PCA's and how much was learnt;
# - see in a feature's channels which of them a defect spoils;
# - say what goes wrong when the code is too narrow, and test whether too wide a code does harm as well.
#
# **Runtime:** about 40 s and 1050 MiB in the quick edition on 2 CPU cores, 1 hour in the paper edition on a GPU. Download: none.

# %%
from dfr_core.course import (
    check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict,
)

edition = start(4)
settings = edition.settings

# %% [markdown]
# ## What the autoencoder is given
#
# The regional features of normal images, computed once and kept: the backbone is frozen, so they never change. From them a random sample
# is drawn, which PCA will look at.

# %%
import logging
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from dfr_core import DFR
from dfr_core.device import memory_budget
from dfr_core.extract import feature_source, sample
from dfr_core.plotting import BLUE, ORANGE, RED, outline, png

category = edition.category("carpet")
train_images = category.load_train(settings.image_size)
size = tuple(train_images.shape[-2:])
detector = DFR(settings)
source = feature_source(detector.extractor, train_images, memory_budget(detector.device))
samples = sample(source, settings.pca_samples, settings.seed).cpu()  # [n, c_o]
n, c_o = samples.shape
print(
    f"{len(source)} normal images, {n:,} regional features drawn from them, each with {c_o} channels"
)

logging.getLogger("dfr").setLevel(logging.ERROR)  # one training below is meant to do badly

# %% [markdown]
# ## Section III-C: only 1 x 1 convolutions
#
# A 1 x 1 convolution looks at one position only and mixes its channels. So it is one and the same linear map, applied to every regional
# feature by itself; neighbours do not meet. They need not: each feature has seen its surroundings through the backbone (notebook 03).
# That is why the core may store the layers as plain linear ones.
#
# ## Table VIII: the architecture
#
# Six layers, written here as the paper's table has them. Two numbers fix everything: the depth c_o of the features, and the latent
# dimension c_d. Layers 3 and 6 have no ReLU, so code and output may be negative. Is it the core's? We copy the core's weights into ours,
# layer by layer, linear into 1 x 1 convolutions, and feed both the same features.

# %%
table_8 = [  # output channels, and whether a ReLU follows
    (lambda c_o, c_d: (c_o + c_d) // 2, True),
    (lambda c_o, c_d: 2 * c_d, True),
    (lambda c_o, c_d: c_d, False),
    (lambda c_o, c_d: 2 * c_d, True),
    (lambda c_o, c_d: (c_o + c_d) // 2, True),
    (lambda c_o, c_d: c_o, False),
]


def autoencoder(c_o, c_d):
    """Table VIII to the letter, as 1 x 1 convolutions: [N, c_o, h_o, w_o] -> the same."""
    layers, c_in = [], c_o
    for width, relu in table_8:
        layers.append(nn.Conv2d(c_in, width(c_o, c_d), kernel_size=1, stride=1))
        layers += [nn.ReLU()] if relu else []
        c_in = width(c_o, c_d)
    return nn.Sequential(*layers)


# %% tags=["slide", "no-code"]
from dfr_core.methods.cae import CAE, layer_widths

core, ours = CAE(c_o, 40, seed=settings.seed), autoencoder(c_o, 40)
convolutions = [layer for layer in ours if isinstance(layer, nn.Conv2d)]
for convolution, (weight, bias) in zip(convolutions, core.linear_layers(), strict=True):
    convolution.weight.data = weight.data[:, :, None, None]
    convolution.bias.data = bias.data

f = samples[:64].view(1, 8, 8, c_o)
with torch.no_grad():
    apart = float((core(f).permute(0, 3, 1, 2) - ours(f.permute(0, 3, 1, 2))).abs().max())
verdict("the core's autoencoder computes what Table VIII says", apart < 1e-3, f"{apart:.0e} apart")

widths = [width(3456, 200) for width, _ in table_8]  # the full network, for example
verdict("and has its widths", tuple(widths) == layer_widths(3456, 200))
figure, axis = plt.subplots(figsize=(9, 3.2))
axis.bar(["f", *(f"layer {k}" for k in range(1, 7))], [3456, *widths], color=BLUE)
axis.set(ylabel="channels", title="Table VIII for c_o = 3456 and c_d = 200")
picture("Seven bars, wide at both ends and narrow in the middle: 3456 channels, then fewer down to 200, and back.")

# %% [markdown]
# An hourglass: wide features, a narrow waist at layer 3, wide again. All that passes the waist is c_d numbers a position.
#
# ## Appendix B: how narrow? PCA answers
#
# Principal component analysis finds the directions in which features vary most. Its k leading components explain the share
#
# $$\operatorname{share}(k) = \frac{\sigma_1^2 + \dots + \sigma_k^2}{\sigma_1^2 + \sigma_2^2 + \dots}$$
#
# of the variance, $\sigma$ being the singular values of the centred samples. The paper takes as c_d the smallest k that explains nine tenths.

# %% tags=["slide", "no-code"]
from dfr_core.methods.cae import explained_variance, latent_dimension

some = samples[:2000].double()
centred = some - some.mean(0)
_, sigma, components = torch.linalg.svd(centred, full_matrices=False)
share = sigma.square().cumsum(0) / sigma.square().sum()
by_hand = next(k for k in range(1, len(share) + 1) if share[k - 1] >= 0.9)  # the paper's share
apart = float((explained_variance(some) - share).abs().max())
verdict("the core's explained variance is that of the singular values", apart < 1e-6, f"{apart:.0e} apart")
same = latent_dimension(some, 0.9) == by_hand
verdict("and its latent dimension the first to explain enough", same, by_hand)

spectrum = explained_variance(samples).numpy()
shares = sorted({0.5, 0.8, 0.9, 0.97, 0.99, settings.variance})
dimensions = {share: int((spectrum < share - 1e-9).sum()) + 1 for share in shares}
figure, axis = plt.subplots(figsize=(9, 3.6))
axis.semilogx(range(1, len(spectrum) + 1), spectrum)
axis.axhline(settings.variance, ls="--", color=ORANGE, label=f"the share wanted, {settings.variance:.0%}")
axis.plot(dimensions[settings.variance], settings.variance, "o", color=RED)
axis.set(xlabel="latent dimension", ylabel="explained variance", ylim=(0, 1.05))
axis.legend(loc="lower right")
picture(
    "A curve that climbs from a fifth at one component to nine tenths at about thirty, marked by a dot, "
    "and then creeps up to one."
)
print(table([(f"{share:.0%}", dimensions[share]) for share in shares], head=("explained", "c_d")))

# %% [markdown]
# A few components explain half, and then the curve creeps: on this logarithmic axis every bit more of variance costs a multiple of the
# components. Variance is not the same as use: how bright a place is, for one, varies much and says little about defects.
# The small editions keep the paper's share. 97 % would take three times as many channels and gains next to nothing over five categories
# ([the network](../docs/distilled.md)). What other dimensions do is tried below.
#
# ### PCA is an autoencoder too
#
# Project on k components and back: that is an autoencoder without ReLUs, and the best linear one there is. What it loses is exactly the
# variance that it does not explain.

# %%
for k in (1, 10, 100):
    rebuilt = centred @ components[:k].T @ components[:k]
    lost = float((centred - rebuilt).square().sum() / centred.square().sum())
    unexplained = 1 - float((sigma[:k] ** 2).sum() / (sigma**2).sum())
    name = f"with {k} components the loss is the unexplained share"
    verdict(name, np.isclose(lost, unexplained), lost)

# %% [markdown]
# ## Section III-C, Eq. 4: the loss
#
# $$L_\text{rec} = \sum_i \sum_j \bigl\lVert f(i, j) - \hat f(i, j) \bigr\rVert_2 \qquad \text{(Eq. 4)}$$
#
# At each position the length of the error, summed over positions. Lengths, not squares. The formula sums, the paper's sentence before
# it says "averaged"; the core averages, so that the number does not depend on how many positions there are. The gradient's direction
# is the same. To compute it by hand we take features and what an autoencoder that is not trained yet makes of them. And how
# does it differ from squares? Look at the pull on each position's reconstruction, that is, the gradient of the loss.

# %%
from dfr_core.methods.train import reconstruction_loss

f, f_hat = samples[:256].view(16, 16, c_o), core(samples[:256]).detach().view(16, 16, c_o)
L_rec = 0.0
for i in range(16):
    for j in range(16):
        L_rec += float(((f[i, j] - f_hat[i, j]) ** 2).sum()) ** 0.5

mean = float(reconstruction_loss(f.flatten(0, 1), f_hat.flatten(0, 1)))
apart = abs(256 * mean / L_rec - 1)
verdict("the core's loss is Eq. 4 by the positions", apart < 1e-3, f"{apart:.0e} apart")
verdict("the setting is the paper's: not squared", settings.loss == "l2")


def pulls(loss):
    """Length of the gradient at each position, the largest set to 1."""
    guess = f_hat.flatten(0, 1).clone().requires_grad_()
    reconstruction_loss(f.flatten(0, 1), guess, loss).backward()
    lengths = guess.grad.norm(dim=1)
    return lengths / lengths.max()


weakest, lengths = float(pulls("l2").min()), (f - f_hat).flatten(0, 1).norm(dim=1)
verdict("Eq. 4 pulls at every position alike", weakest > 0.99, f"the weakest pull is {weakest:.3f}")
squared = pulls("squared")
proportional = torch.allclose(squared, lengths / lengths.max(), rtol=1e-3)
weakest = f"the weakest pull is {float(squared.min()):.2f}"
verdict("the squared error pulls in proportion to the error", proportional, weakest)

# %% [markdown]
# So with squares a few badly rebuilt features dominate the training; with lengths every position counts the same. That matters where some
# normal places are much harder than others, as the rim of a bottle is beside its smooth ground: squares would spend the narrow code on the
# rim first. Lengths divide its attention evenly over the image, at the price of a rim that stays less well rebuilt.
#
# ## Section IV-A4: training
#
# Adam, batches of four images, normal images only. The paper takes all positions of these images at each step; the small editions draw
# some of them anew each time, as many from each image as the banner says. Here we take four times the edition's steps, enough to see what
# training does, and train from two starts: torch's random one (the paper names none), and the edition's own, built on PCA. A third training
# stops after the edition's own steps.
#
# Table VIII can represent PCA: $x = \max(0, x) - \max(0, -x)$, so two ReLU units carry one signed number, and layers 2 and 4 have just the
# 2 c_d units that c_d of them need. Units of layer 5 that are left over keep random weights. Then layer 6, which is linear, is set to
# its optimum by least squares: with such units to look at, it predicts from the code some of what PCA leaves out.

# %%
predict(
    "4.1",
    "From rebuilding every feature as the mean one to the trained autoencoder the loss falls. "
    "How much of that way does PCA go, without training?",
    "about a third",
    "about two thirds",
    "nearly all of it",
)

# %%
longer = replace(settings, steps=4 * settings.steps if settings.steps else None)
detector = DFR(longer).use_extractor(detector.extractor)
random_start = DFR(replace(longer, initialisation="default")).use_extractor(detector.extractor)
short = DFR(settings).use_extractor(detector.extractor)
for one in (random_start, short, detector):
    one.fit_features(source, "notebook 04", size)
print("the edition starts from:", settings.initialisation)
found = dimensions[settings.variance]
verdict("both have the latent dimension of PCA", random_start.c_d_ == detector.c_d_ == found)
outer = layer_widths(c_o, detector.c_d_)[0]
print(f"units of layer 5 that PCA leaves over: {max(0, outer - 2 * detector.c_d_)} of {outer}")

# %%
from dfr_core.methods.cae import principal_components


def ways(fitted, normal):
    """Ways to rebuild features, from the simplest to the trained autoencoder."""
    mean, axes = normal.mean(0), principal_components(normal, fitted.c_d_).to(normal.dtype)
    start = CAE(c_o, fitted.c_d_, seed=settings.seed).to(normal.device)
    start.initialise("pca", normal)
    return {
        "mean": lambda f: mean.expand_as(f),
        "PCA": lambda f: mean + (f - mean) @ axes.T @ axes,
        "start": start,
        "trained": fitted.reconstruct,
    }


images, masks = category.load_test(settings.image_size)
normal_images = images[~masks.flatten(1).any(1)]
new = torch.cat([detector.extractor(one[None]).dense()[0].flatten(0, 1) for one in normal_images])
old = samples.to(detector.device)
losses = {}
with torch.no_grad():
    more = {"edition's steps": short.reconstruct, "random start": random_start.reconstruct}
    for name, rebuild in (ways(detector, old) | more).items():
        losses[name] = [float((f - rebuild(f)).norm(dim=1).mean()) for f in (old, new)]

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.2))
axes[0].semilogy(random_start.loss_curve_, label="random start", color=ORANGE, lw=1)
axes[0].set_yticks([0.2, 0.5, 1, 2, 4], ["0.2", "0.5", "1", "2", "4"])
axes[0].minorticks_off()
for axis in axes:
    axis.plot(detector.loss_curve_, label=f"start: {settings.initialisation}", color=BLUE, lw=1)
    axis.axhline(losses["PCA"][0], ls="--", color="black", label="PCA of the same dimension")
    axis.axhline(losses["start"][0], ls=":", color="black", label="the start, over all samples")
    axis.set(xlabel="step", ylabel="loss (Eq. 4, mean)")
axes[0].legend()
axes[1].set_title("the same without the random start")
figure.tight_layout()
picture(
    "Two charts of the loss over the steps. Left, from a random start it falls steeply from 5 and levels "
    "off above the line of PCA. Right, enlarged, from the solved start: after a jump in the "
    "first steps it climbs for some 150 steps, nearly to the line of PCA, then falls far below the line of the start."
)

# %% tags=["nbval-ignore-output"]
rows = [(name, *(f"{loss:.3f}" for loss in both)) for name, both in losses.items()]
print(table(rows, head=("loss (Eq. 4, mean)", "training images", "new normal images")))

# %%
mean, pca, solved, trained, _, random_end = (np.array(both) for both in losses.values())
way = float(((mean - pca) / (mean - trained)).min())
outcome("4.1", 2 if way > 0.85 else 1 if way > 0.5 else 0, "On the training images and on new ones.")
verdict("most of the way is PCA's", way > 0.85, f"{way:.0%} or more")
verdict("solving the last layer gets below PCA", all(solved < pca), f"{1 - (solved / pca).max():.0%}")
below = 1 - float((trained / solved).max())
verdict("training gets below its start, by a twentieth or more", below > 0.05, f"{below:.0%}")
print("from a random start training ends", "above" if all(random_end > pca) else "below", "PCA")

# %% [markdown]
# Read the table from the top. Nearly all of the way from the mean to the trained autoencoder is PCA's, and needs no training. Solving the last layer
# takes off about a tenth, training about another tenth, on the training images and on new ones: that is what the network has learnt
# beyond straight lines. It is real, and it is not much.
#
# The curve shows how it comes about. A step sees few positions, so the curve is ragged. The step size grows, then falls
# (`schedule` in the table of settings below). While it grows, the loss gets worse, since the start was a good one; while it falls, the loss
# comes down and passes under both lines. The edition's own, fewer steps gain part of that, as the table says. From a random start
# the loss falls steeply, then slowly, and ends above what PCA reaches at once. The paper has 700 epochs for it.
#
# ## Does it fail on defects?
#
# The point of it all: normal features must come out well, others must not. Here is the idea of the whole method in one picture. We take a
# carpet with a hole and two places of it: the one of median error inside the hole, and the one of median error far from it. Each strip below is
# one feature, a channel beside the other, layer 1 at the left; the mean normal feature is subtracted and the rest divided by the channel's
# usual spread, so that white is what is usual, and the darkest red and blue are three spreads above and below it, or more.

# %%
pick = [sample.defect for sample in category.test].index("hole")
image, mask = images[pick], masks[pick]
anomaly_map = detector.anomaly_map(image[None])[0]
ratio = float(anomaly_map[mask.numpy()].mean() / anomaly_map[~mask.numpy()].mean())
verdict("the hole is rebuilt worse than the rest", ratio > 1.5, f"{ratio:.1f} times the error")

with torch.no_grad():
    seen = detector.extractor(image[None]).dense()[0].flatten(0, 1).cpu()  # [h_o w_o, c_o]
    rebuilt = detector.reconstruct(seen.to(detector.device)).cpu()
errors = (seen - rebuilt).norm(dim=1)
side = int(len(seen) ** 0.5)
inside = nn.functional.adaptive_avg_pool2d(mask[None].float(), side)[0].flatten()
near = nn.functional.max_pool2d(inside.view(1, side, side), 31, stride=1, padding=15).flatten()
places = {}
for name, here in (("normal place", near == 0), ("defective place", inside == 1)):
    where = here.nonzero()[:, 0]
    places[name] = int(where[errors[where].argsort()[len(where) // 2]])
usual, spread = samples.mean(0), samples.std(0).clamp(min=1e-6)
strips = {
    name: {"f": seen[k] - usual, "its reconstruction": rebuilt[k] - usual, "the difference": seen[k] - rebuilt[k]}
    for name, k in places.items()
}

# %% tags=["slide", "no-code"]
figure = plt.figure(figsize=(14, 7))
grid = figure.add_gridspec(6, 3, hspace=0.6)
axis = figure.add_subplot(grid[:, 0])
axis.imshow(outline(image.permute(1, 2, 0).numpy(), mask.numpy(), width=2))
for name, k in places.items():
    y, x = (settings.stride * (v + 0.5) for v in divmod(k, side))
    axis.plot(x, y, "o", color="white", mec="black", ms=10)
    at = {"xytext": (0, -20 if name == "normal place" else 10), "textcoords": "offset points"}
    word = {"color": "white", "weight": "bold", "ha": "right" if x > size[1] / 2 else "left"}
    axis.annotate(name, (x, y), fontsize=12, **at, **word)
axis.set_axis_off()
for row, (name, what) in enumerate((n, w) for n in strips for w in strips[n]):
    axis = figure.add_subplot(grid[row, 1:])
    strip = (strips[name][what] / spread)[None]
    axis.imshow(strip, cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto", interpolation="nearest")
    axis.set_title(f"{name}: {what}", fontsize=12, loc="left", pad=2)
    axis.set(yticks=[], xticks=[])
picture(
    "Left a carpet with a hole and two places marked. Right three strips of coloured bars for each: at the "
    "normal place all are pale and the difference is white but for a few bars; at the defective place feature and "
    "reconstruction are dark red and blue, and many such bars are left in the difference, most at the right."
)
lengths = {name: float(three["the difference"].norm()) for name, three in strips.items()}
more = lengths["defective place"] / lengths["normal place"]
verdict("at the defective place at least twice as much is left over", more > 2, f"{more:.1f} times")

# %% [markdown]
# Read it downwards. At the normal place the second strip repeats the first, and the third is what is left over. The same three strips of the
# hole have stronger colours, the more so to the right, in the deep layers: the feature of the defective place is unlike any normal one in most of
# their channels. Much of it the autoencoder redraws all the same,
# since PCA's directions reach there, too; but what it leaves over is stronger and lies in many channels at once, while at the normal
# place little is left but in a few channels. The length of such a difference is the score (notebook 05). There it is
# taken without the division by the spread, so the strongest channels count more than they seem to in this picture.
#
# ## What does training buy?
#
# Three ways to judge the same features: how far they are from the mean normal feature; how much of them PCA with the same c_d does not
# rebuild; how much the autoencoder does not, at its start and trained. The first two need no training. Three categories,
# chosen because their answers differ; [the benchmark](../benchmarks/accuracy.md) has all fifteen.


# %%
from dfr_core import scoring
from dfr_core.metrics import evaluation


def compare(name):
    """Anomaly maps of all test images, each way; the masks; the images."""
    one = edition.category(name)
    fitted = DFR(longer).use_extractor(detector.extractor)
    train = one.load_train(settings.image_size)
    normal = feature_source(fitted.extractor, train, memory_budget(fitted.device))
    fitted.fit_features(normal, name, size)
    rebuilds = ways(fitted, sample(normal, settings.pca_samples, settings.seed).clone())
    test, truth = one.load_test(settings.image_size)
    maps = {way: [] for way in rebuilds}
    with torch.no_grad():
        for image in test:
            f = fitted.extractor(image[None]).dense()
            for way, rebuild in rebuilds.items():
                maps[way].append((f - rebuild(f)).norm(dim=-1).cpu())
    maps = {way: torch.cat(A) for way, A in maps.items()}
    how = settings.map_interpolation
    return {way: scoring.upsample(A, size, how) for way, A in maps.items()}, truth, test


compared = {name: compare(name) for name in ("wood", "bottle", "cable")}

# %% tags=["nbval-ignore-output"]
found = {}
for name, (maps, truth, _) in compared.items():
    found[name] = {way: evaluation(A, truth) for way, A in maps.items()}
rows = [
    (name, *(f"{m['roc_auc']:.2f} / {m['pro_auc']:.2f}" for m in each.values()))
    for name, each in found.items()
]
print(table(rows, head=("ROC-AUC / PRO-AUC", "mean", "PCA", "start", "trained")))
roc = {name: [m["roc_auc"] for m in each.values()] for name, each in found.items()}

# %%
mean, pca, start, trained = roc["wood"]
verdict("wood: the mean alone reaches more than 0.85", mean > 0.85, mean)
verdict("and the autoencoder adds less than 0.005 to PCA", trained - pca < 0.005, trained - pca)
mean, pca, start, trained = roc["bottle"]
verdict("bottle: the mean guesses, below 0.6", mean < 0.6, mean)
verdict("PCA adds more than 0.35 to it", pca - mean > 0.35, pca - mean)
mean, pca, start, trained = roc["cable"]
verdict("cable: the autoencoder adds more than 0.05 to PCA", trained - pca > 0.05, trained - pca)
half = (start - pca) / (trained - pca)
verdict("more than half of that by its start, the solved last layer", half > 0.5, f"{half:.0%}")

# %% tags=["slide", "no-code"]
maps, truth, test = compared["cable"]
names = [sample.defect for sample in edition.category("cable").test]
kinds = [names.index(kind) for kind in ("missing_wire", "cable_swap")]
figure, axes = plt.subplots(len(kinds), 5, figsize=(10, 2 * len(kinds)), squeeze=False)
for row, k in zip(axes, kinds):
    row[0].imshow(outline(test[k].permute(1, 2, 0).numpy(), truth[k].numpy(), width=2))
    for axis, (way, A) in zip(row[1:], maps.items()):
        axis.imshow(A[k], vmin=float(A.min()), vmax=float(A[:, ::4, ::4].quantile(0.995)))
        axis.set_title(way, fontsize=12)
for axis in axes.flat:
    axis.set_axis_off()
figure.tight_layout()
picture(
    "Two cables in section, a defect outlined on each, and four maps of each. In the mean's the sheath and the "
    "wires outshine everything; from PCA to the start to the trained autoencoder they grow dimmer beside the "
    "empty insulation; at the cable of the wrong colour no map is brighter than at the others."
)

# %% [markdown]
# Three answers. Wood's features keep close to their mean: the mean finds most of its defects, PCA nearly all, and training adds nothing. On the
# bottle the mean guesses, since the rings of its rim are far from it, normal as they are; PCA's directions describe them, and little is left
# to gain. Cable is where the autoencoder is worth its name: its wires, normal but hard to rebuild, rival the defects in PCA's map. The autoencoder
# rebuilds them better, and the empty insulation stands out. More than half of that gain is the least squares of the
# start, which use layer 5's random units; the steps of Adam add the rest. It is no cure: a cable of the wrong colour, the last row, shows in
# no map.
#
# Over all fifteen categories in the embedded edition (the link above) the trained autoencoder has a higher ROC-AUC than PCA in fourteen; wood
# is the exception. On cable and toothbrush it gains most, on wood, hazelnut and leather next to nothing.
#
# ## The latent dimension
#
# Two dangers one can argue for: too narrow a code rebuilds nothing well, so a defect might not stand out from badly rebuilt normal
# places; too wide a code might copy everything, defects too. We train one autoencoder for each of a few dimensions, shortly and on
# few images, and look at a faint stain, to see whether either shows. (The widest code starts as PCA's nearly perfect copy; a short training can only disturb it, and
# the package would warn of that.)

# %%
predict(
    "4.2",
    "The widest code tried below has 256 numbers for a feature of 432. What becomes of the ROC-AUC?",
    "it falls to guessing: the code copies defects, too",
    "it falls by a tenth or so",
    "it hardly falls, or even rises",
)

# %%
from dfr_core.metrics import roc_auc
from dfr_core.widgets import latent

large = int(masks.flatten(1).sum(1).argmax())  # the largest defect, a stain
image, mask = images[large], masks[large]
few = feature_source(detector.extractor, train_images[:4], memory_budget(detector.device))
steps = settings.steps // 2 if settings.steps else 1000
tried, areas = [], {}
for c_d in (1, 4, 16, 64, min(256, c_o)):
    one = DFR(replace(settings, latent_dim=c_d, steps=steps)).use_extractor(detector.extractor)
    one.fit_features(few, "notebook 04, few images", size)
    maps = one.anomaly_tensor(images).cpu()
    areas[c_d] = roc_auc(maps, masks)
    tried.append(latent.summarise(c_d, spectrum, maps[large].numpy(), mask.numpy()))

# %%
fall = areas[64] - areas[max(areas)]
outcome("4.2", 2 if fall < 0.03 else 1 if areas[max(areas)] > 0.6 else 0, "It has not learnt to copy what it never saw.")
ends = f"error {tried[0].anomalous:.2f} to {tried[-1].anomalous:.2f}"
verdict("a wide code rebuilds the defect better, too", tried[-1].anomalous < tried[0].anomalous, ends)
ratio = {one.c_d: one.anomalous / one.normal for one in tried}
titles = [f"c_d = {c_d}: ratio {r:.2f}" for c_d, r in ratio.items()]
alt = "Five anomaly maps of a carpet with a stain at its left edge: with a code of 1 only the weave is seen, "
alt += "with 4 the stain can be guessed, with 16 and 64 it is seen, with 256 it is clear."
show(*(one.anomaly_map for one in tried), titles=titles, width=2.2, alt=alt)
verdict("the narrowest code misses the defect", ratio[1] < 1.1, ratio[1])
verdict("the ratio rises with c_d up to 64", ratio[1] < ratio[4] < ratio[16] < ratio[64], ratio[64])
steps_up = areas[1] + 0.1 < areas[4] < areas[16] < areas[64]
verdict("and so does ROC-AUC", steps_up, f"{areas[1]:.2f} to {areas[64]:.2f}")
slower = areas[64] - areas[16] < (areas[16] - areas[4]) / 2
verdict("by less than half as much from 16 to 64 as from 4 to 16", slower, areas[64] - areas[16])
verdict("the widest code loses nothing, but gains a little", 0 < -fall < 0.05, -fall)

# %% [markdown]
# Above each map stand c_d and the ratio of the two errors, at the defect and elsewhere. Both errors fall together when the code
# grows, but a threshold is set by the normal errors and falls with them, so what matters is the ratio. The first danger is real: with one
# channel every thread is rebuilt badly, and the defect drowns in them. More channels are better, but ever less so; the paper's nine tenths
# of the variance, here 30 channels, lie where little is left to gain. The second danger does not show: even the widest code, trained on normal
# features only, loses nothing. Mind what was tried: one category, a short training on four images, begun at PCA's solution. A long training from a
# random start, as in the paper, may behave otherwise; nothing here says so.
#
# ## Try it
#
# Move the latent dimension. Left, the variance that as many principal components explain; then the error at the defect and elsewhere;
# right, the anomaly map, each on its own colour scale. Which dimensions would do for *this* defect?
# Below the widget stands one setting without it.

# %%
photograph = image.permute(1, 2, 0).numpy()
latent.build(tried, spectrum, photograph, mask.numpy(), settings.variance)

# %%
from IPython.display import Image

charts = latent.charts(tried, spectrum, settings.variance)
alt = "Charts of the explained variance and of the errors at the defect and elsewhere over c_d, a line at "
alt += "64; the carpet with its stain, and the anomaly map with the stain bright and outlined."
Image(png(latent.draw(*charts, tried[3], photograph, mask.numpy())), alt=alt)

# %% [markdown]
# ### Exercise 4.1 · Where are the parameters?
#
# Predict first: which two of the six layers hold most of the weights? Then count all weights and biases of Table VIII.


# %%
def parameters(c_o, c_d):
    """Weights and biases of the autoencoder of Table VIII."""
    # BEGIN SOLUTION
    widths = [c_o, (c_o + c_d) // 2, 2 * c_d, c_d, 2 * c_d, (c_o + c_d) // 2, c_o]
    return sum(a * b + b for a, b in zip(widths, widths[1:]))
    # END SOLUTION


check(
    "4.1", parameters, lambda g: sealed("4.1", "92eb588096ab")([g(432, 40), g(100, 7), g(11, 3)]),
    "a layer from a to b channels has a · b weights and b biases; the input of a layer is the output of the one before",
    probe=(11, 3), draw=lambda g: print(f"in the paper, with c_d = 200, say: {g(3456, 200):,}"),
)

# %% [markdown]
# ### Exercise 4.2 · The latent dimension from a spectrum
#
# The variances along the principal components are given, from the largest down. Predict first, without code: for 6, 2, 1, 1 and a share
# of nine tenths, is it two, three or four? Then write the rule, and ask it.


# %%
def components_for(variances, share):
    """The smallest number of leading components that explain at least this share."""
    # BEGIN SOLUTION
    return int((np.cumsum(variances) / np.sum(variances) < share - 1e-9).sum()) + 1
    # END SOLUTION


cases = [([5, 3, 1, 1], 0.8), ([5, 3, 1, 1], 0.81), ([9, 1], 0.5), ([1, 1, 1, 1], 0.75), ([4, 1], 1.0)]
check(
    "4.2", components_for, lambda g: sealed("4.2", "9d922f48ae91")([g(*case) for case in cases]),
    "cumulate, divide by the total, and find the first that is not below the share; mind that it counts from one",
    probe=cases[0], draw=lambda g: print("the carpet:", g(np.diff(spectrum, prepend=0), 0.9)),
)

# %% [markdown]
# ### Exercise 4.3 · Eq. 4 without loops
#
# Predict first: if all errors double, what happens to Eq. 4, and what to the mean squared error? Then write Eq. 4, the sum, for features
# with the channels last.


# %%
def loss(f, f_hat):
    """Eq. 4: two arrays [h_o, w_o, c_o] -> one number."""
    # BEGIN SOLUTION
    return (f - f_hat).square().sum(-1).sqrt().sum()
    # END SOLUTION


one, other = torch.arange(24.0).view(2, 3, 4), torch.ones(2, 3, 4)
check(
    "4.3", loss,
    lambda g: sealed("4.3", "55f1eb1a742a")([round(float(g(one, s * other)), 2) for s in (0, 1, 3)]),
    "square, sum over channels, take the root - only then sum over positions", probe=(one, other),
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# The architecture is the paper's. How long and on what it is trained, the edition decides; the paper edition has the paper's values.

# %%
from dfr_core.settings import paper

names = ("hidden", "batch_norm", "loss", "variance", "batch_size", "learning_rate", "schedule")
rows = []
for name in (*names, "initialisation", "epochs", "steps", "positions"):
    mine, paper_value = getattr(settings, name), getattr(paper(), name)
    mine = "-" if name == "epochs" and settings.steps else mine  # so many steps instead
    shown = "-" if paper_value is None else paper_value
    rows.append((name, mine, shown, "" if mine == paper_value else "differs"))
print(table(rows, head=("setting", "ours", "paper", "")))
verdict("architecture and loss are the paper's", all(not row[3] for row in rows[:3]))

# %% [markdown]
# ## Five questions

# %%
quiz(4, [
    ("Why may the autoencoder look at one position at a time?",
     ["neighbours are equal", "each feature has seen its surroundings already", "it is faster on a GPU"], 1,
     "The backbone did the looking around."),
    ("What does the ReLU-free layer 3 hold?",
     ["the code of c_d numbers", "the mean feature", "the anomaly score"], 0, "All that passes the waist."),
    ("How does Eq. 4 differ from the mean squared error?",
     ["it ignores small errors", "large errors pull in proportion", "every position pulls alike"], 2,
     "The gradient of a length has length one."),
    ("On which of the three categories did training buy most?",
     ["wood", "bottle", "cable"], 2, "Its wires are normal but hard to rebuild."),
    ("The widest code rebuilds defects better. Why did the ROC-AUC not fall?",
     ["it rebuilds normal places better as well", "the ROC-AUC does not look at defects", "the code was too narrow"], 0,
     "Both errors fall, and their ratio stays."),
])

# %% [markdown]
# ## Summary
#
# - The autoencoder treats every regional feature by itself: six linear maps, four ReLUs, a narrow waist.
# - PCA says how narrow: as many channels as principal components needed for a share of the variance.
# - The loss is the length of the error, so every position pulls alike.
# - Trained on normal features only, it rebuilds those well and others badly; notebook 05 turns that into a segmentation.
#
# ## Deviations
#
# Where the authors' public code parts from the paper in this step. All are settings of `dfr_core.Settings`:

# %%
from dfr_core.lab.deviations import DEVIATIONS

rows = [
    row[:3]
    for row in DEVIATIONS
    if row[0] in ("hidden", "batch_norm", "loss", "epochs", "pca_images")
]
print(table(rows, head=("setting", "paper", "public code")))

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep feature reconstruction for unsupervised anomaly segmentation. 2020 (arXiv 2012.07122), Section III-C
#   and Appendix B.
# - D. P. Kingma, J. Ba: Adam: a method for stochastic optimization. ICLR 2015.

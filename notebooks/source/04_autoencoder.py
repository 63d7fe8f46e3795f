# %% [markdown]
# # 04 · The autoencoder
#
# **Paper:** Section III-C, Eq. 4, IV-A3, IV-A4, Table VIII, Appendix B · **Needs:** notebook 03
#
# A regional feature is a long vector, but normal features do not fill the space of all long vectors: they keep to a small part of it.
# An autoencoder learns that part. It squeezes each feature through a narrow code and rebuilds it. Normal features survive the squeeze,
# since the code was made for them. A feature from a defect does not fit into it, and comes out wrong. How narrow must the code be?

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - build the autoencoder of Table VIII from its two sizes, and say why its convolutions need no neighbours;
# - find the latent dimension with PCA, and say what share of the variance it keeps;
# - write the loss of Eq. 4, and tell it from the mean squared error;
# - read a loss curve, and compare it with what PCA reaches without any training;
# - say what might go wrong when the code is too narrow or too wide, and test whether it does.
#
# **Runtime:** about 15 s and 1000 MiB in the quick edition on 2 CPU cores, 1 hour in the paper edition on a GPU. Download: none.

# %%
from dfr_core.course import check, start, table, verdict

edition = start(4)
settings = edition.settings

# %% [markdown]
# ## What the autoencoder is given
#
# The regional features of normal images, computed once and kept: the backbone is frozen, so they never change. From them a random sample
# is drawn, which PCA will look at.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from dfr_core import DFR
from dfr_core.device import memory_budget
from dfr_core.extract import feature_source, sample
from dfr_core.plotting import BLUE, ORANGE, RED

category = edition.category("leather")
train_images = category.load_train(settings.image_size)
size = tuple(train_images.shape[-2:])
detector = DFR(settings)
source = feature_source(detector.extractor, train_images, memory_budget(detector.device))
samples = sample(source, settings.pca_samples, settings.seed).cpu()  # [n, c_o]
n, c_o = samples.shape
print(
    f"{len(source)} normal images, {n:,} regional features drawn from them, each with {c_o} channels"
)

# %% [markdown]
# ## Section III-C: only 1 x 1 convolutions
#
# A 1 x 1 convolution looks at one position only and mixes its channels. So it is one and the same linear map, applied to every regional
# feature by itself; neighbours do not meet. They need not: each feature has seen its surroundings through the backbone (notebook 03).
# That is why the core may store the layers as plain linear ones.

# %%
convolution = nn.Conv2d(6, 4, kernel_size=1)
linear = nn.Linear(6, 4)
linear.weight.data = convolution.weight.data[:, :, 0, 0]
linear.bias.data = convolution.bias.data
x = torch.randn(1, 6, 5, 5, generator=torch.Generator().manual_seed(0))
same = torch.allclose(convolution(x).permute(0, 2, 3, 1), linear(x.permute(0, 2, 3, 1)), atol=1e-5)
verdict("a 1 x 1 convolution is a linear layer on the channels", same)

# %% [markdown]
# ## Table VIII: the architecture
#
# Six layers, written here as the paper's table has them. Two numbers fix everything: the depth c_o of the features, and the latent
# dimension c_d. Layers 3 and 6 have no ReLU, so code and output may be negative.

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


# %% [markdown]
# Is this the core's? We copy the core's weights into ours, layer by layer, and feed both the same features.

# %%
from dfr_core.methods.cae import CAE, layer_widths

core, ours = CAE(c_o, 40, seed=settings.seed), autoencoder(c_o, 40)
convolutions = [layer for layer in ours if isinstance(layer, nn.Conv2d)]
for convolution, (weight, bias) in zip(convolutions, core.linear_layers(), strict=True):
    convolution.weight.data = weight.data[:, :, None, None]
    convolution.bias.data = bias.data

f = samples[:64].view(1, 8, 8, c_o)
with torch.no_grad():
    equal = torch.allclose(
        core(f).permute(0, 3, 1, 2), ours(f.permute(0, 3, 1, 2)), rtol=1e-3, atol=1e-4
    )
verdict("the core's autoencoder computes what Table VIII says", equal)

widths = [width(3456, 200) for width, _ in table_8]  # the full network, for example
verdict("and has its widths", tuple(widths) == layer_widths(3456, 200))
figure, axis = plt.subplots(figsize=(6.4, 2.4))
axis.bar(["f", *(f"layer {k}" for k in range(1, 7))], [3456, *widths], color=BLUE)
axis.set(ylabel="channels", title="Table VIII for c_o = 3456 and c_d = 200")
plt.show()

# %% [markdown]
# An hourglass: wide features, a narrow waist at layer 3, wide again. All that passes the waist is c_d numbers a position.

# %% [markdown]
# ## Appendix B: how narrow? PCA answers
#
# Principal component analysis finds the directions in which features vary most. Its k leading components explain the share
#
#     share(k) = (σ_1² + ... + σ_k²) / (σ_1² + σ_2² + ...)
#
# of the variance, σ being the singular values of the centred samples. The paper takes as c_d the smallest k that explains nine tenths.

# %%
from dfr_core.methods.cae import explained_variance, latent_dimension

some = samples[:2000].double()
centred = some - some.mean(0)
_, sigma, components = torch.linalg.svd(centred, full_matrices=False)
share = sigma.square().cumsum(0) / sigma.square().sum()
wanted = 0.9  # the paper's
by_hand = next(k for k in range(1, len(share) + 1) if share[k - 1] >= wanted)
verdict(
    "the core's explained variance is that of the singular values",
    torch.allclose(explained_variance(some), share, atol=1e-6),
)
verdict(
    "and its latent dimension the first to explain enough",
    latent_dimension(some, wanted) == by_hand,
)

# %%
spectrum = explained_variance(samples).numpy()
shares = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
dimensions = {share: int((spectrum < share - 1e-9).sum()) + 1 for share in shares}
figure, axis = plt.subplots(figsize=(6.4, 2.8))
axis.semilogx(range(1, len(spectrum) + 1), spectrum)
for share, whose, style in ((0.9, "the paper's", "--"), (settings.variance, "this edition's", ":")):
    axis.axhline(share, ls=style, color=ORANGE, label=f"{whose} share, {share:.0%}")
    axis.plot(dimensions[share], share, "o", color=RED)
axis.set(xlabel="latent dimension", ylabel="explained variance", ylim=(0, 1.05))
axis.legend(loc="lower right")
plt.show()
print(table([(f"{share:.0%}", dimensions[share]) for share in shares], head=("explained", "c_d")))

# %% [markdown]
# The first component alone explains more than half, and then the curve creeps: on this logarithmic axis every bit more of variance
# costs a multiple of the components. Variance is not the same as use: what all places share, such as how bright they are, varies much
# and says little about defects, and an untrained network answers to it most. So the small editions ask for more than the paper's
# share.

# %% [markdown]
# ### PCA is an autoencoder too
#
# Project on k components and back: that is an autoencoder without ReLUs, and the best linear one there is. What it loses is exactly the
# variance that it does not explain.

# %%
for k in (1, 10, 100):
    rebuilt = centred @ components[:k].T @ components[:k]
    lost = float((centred - rebuilt).square().sum() / centred.square().sum())
    verdict(
        f"with {k} components the loss is the unexplained share",
        np.isclose(lost, 1 - float((sigma[:k] ** 2).sum() / (sigma**2).sum())),
    )

# %% [markdown]
# ## Section III-C, Eq. 4: the loss
#
#     L_rec = Σ_i Σ_j ‖ f(i, j) − f̂(i, j) ‖₂          (Eq. 4)
#
# At each position the length of the error, summed over positions. Lengths, not squares. The formula sums, the paper's sentence before
# it says "averaged"; the core averages, so that the number does not depend on how many positions there are. The gradient's direction
# is the same. To compute it by hand we take features and what an autoencoder that is not trained yet makes of them.

# %%
from dfr_core.methods.train import reconstruction_loss

f, f_hat = samples[:256].view(16, 16, c_o), core(samples[:256]).detach().view(16, 16, c_o)
L_rec = 0.0
for i in range(16):
    for j in range(16):
        L_rec += float(((f[i, j] - f_hat[i, j]) ** 2).sum()) ** 0.5

mean = float(reconstruction_loss(f.flatten(0, 1), f_hat.flatten(0, 1)))
verdict("the core's loss is Eq. 4 by the positions", np.isclose(mean, L_rec / 256, rtol=1e-3))
verdict("the setting is the paper's: not squared", settings.loss == "l2")

# %% [markdown]
# What is the difference? Look at the pull on each position's reconstruction, that is, the gradient of the loss.


# %%
def pulls(loss):
    """Length of the gradient at each position, the largest set to 1."""
    guess = f_hat.flatten(0, 1).clone().requires_grad_()
    reconstruction_loss(f.flatten(0, 1), guess, loss).backward()
    lengths = guess.grad.norm(dim=1)
    return lengths / lengths.max()


verdict("Eq. 4 pulls at every position alike", pulls("l2").min() > 0.99)
lengths = (f - f_hat).flatten(0, 1).norm(dim=1)
proportional = torch.allclose(pulls("squared"), lengths / lengths.max(), rtol=1e-3)
verdict("the squared error pulls in proportion to the error", proportional)

# %% [markdown]
# So with squares a few badly rebuilt features dominate the training; with lengths every position counts the same.

# %% [markdown]
# ## Section IV-A4: training
#
# Adam, batches of four images, normal images only. The paper takes all positions of these images at each step; the small editions draw
# some of them anew each time, as many from each image as the banner says. We train twice with the edition's settings: once from torch's
# random start (the paper names none), and once from the edition's own, built on PCA's reconstruction; the text below the picture explains it.

# %%
random_start = DFR(replace(settings, initialisation="default")).use_extractor(detector.extractor)
random_start.fit_features(source, "notebook 04", size)
detector.fit_features(source, "notebook 04", size)
print("the edition starts from:", settings.initialisation)
verdict(
    "the loss falls to less than a third",
    random_start.loss_curve_[-5:].mean() < random_start.loss_curve_[0] / 3,
)
found = dimensions[settings.variance]
verdict("both have the latent dimension of PCA", random_start.c_d_ == detector.c_d_ == found)

# %%
from dfr_core.methods.cae import principal_components

centred = samples - samples.mean(0)
basis = principal_components(samples, detector.c_d_).float()
pca_error = float((centred - centred @ basis.T @ basis).norm(dim=1).mean())
figure, axis = plt.subplots(figsize=(6.4, 2.8))
axis.semilogy(random_start.loss_curve_, label="random start")
axis.semilogy(detector.loss_curve_, label=f"start: {settings.initialisation}")
axis.axhline(pca_error, ls="--", color="black", label="PCA of the same dimension")
axis.set(xlabel="step", ylabel="loss (Eq. 4, mean)")
axis.legend()
plt.show()
gained = detector.loss_curve_[-5:].mean() < pca_error
print("training from PCA's reconstruction ends", "below" if gained else "above", "PCA's error")
outer = layer_widths(c_o, detector.c_d_)[0]
print(f"units of layer 5 that PCA leaves over: {max(0, outer - 2 * detector.c_d_)} of {outer}")

# %% [markdown]
# From a random start the loss falls steeply, then slowly, and a short training does not reach PCA's error. The small editions start
# from PCA's reconstruction. Table VIII can represent it: x = max(0, x) − max(0, −x), so two ReLU units carry one signed number, and
# layers 2 and 4 have just the 2 c_d units that c_d of them need. Units of layer 5 that are left over (the last line says how many;
# a wide code leaves none) keep random weights. Then layer 6, which is linear, is set to its optimum by least squares: with such units
# to look at, it predicts from the code some of what PCA leaves out.
#
# While the step size grows, the loss gets worse; while it falls, the loss comes down again. The first line says whether it came out
# below PCA's error. Where it has not, training has spoilt what the start could do, and more of it is needed: the paper has 700 epochs.

# %% [markdown]
# ## Does it fail on defects?
#
# The point of it all: normal features must come out well, others must not.

# %%
images, masks = category.load_test(settings.image_size)
pick = int(masks.flatten(1).sum(1).argmax())  # the largest defect
image, mask = images[pick], masks[pick]
anomaly_map = detector.anomaly_map(image)[0]
error = {"defect": anomaly_map[mask.numpy()].mean(), "elsewhere": anomaly_map[~mask.numpy()].mean()}
verdict("the defect is rebuilt worse than the rest", error["defect"] > 1.5 * error["elsewhere"])

# %% [markdown]
# ## The latent dimension
#
# Two dangers one can argue for: too narrow a code rebuilds nothing well, so a defect might not stand out from badly rebuilt normal
# places; too wide a code might copy everything, defects too. We train one autoencoder for each of a few dimensions, shortly and on
# few images, to see whether either shows.

# %%
from dfr_core.widgets import latent

few = feature_source(detector.extractor, train_images[:4], memory_budget(detector.device))
steps = settings.steps // 2 if settings.steps else 1000
tried = []
for c_d in (1, 4, 16, 64, min(256, c_o)):
    one = DFR(replace(settings, latent_dim=c_d, steps=steps)).use_extractor(detector.extractor)
    one.fit_features(few, "notebook 04, few images", size)
    tried.append(latent.summarise(c_d, spectrum, one.anomaly_map(image)[0], mask.numpy()))

# %% [markdown]
# ## Try it
#
# Move the latent dimension. Left, the variance that as many principal components explain; then the error at the defect and elsewhere;
# right, the anomaly map, each on its own colour scale. Which dimensions would do for *this* defect?

# %%
picture = image.permute(1, 2, 0).numpy()
latent.build(tried, spectrum, picture, mask.numpy(), settings.variance)

# %% [markdown]
# One setting without the widget:

# %%
from IPython.display import Image

from dfr_core.plotting import png

verdict("more latent channels rebuild normal places better", tried[-1].normal < tried[0].normal)
verdict("but the defect, too", tried[-1].anomalous < tried[0].anomalous)
ratios = [t.anomalous / t.normal for t in tried]
verdict("it stands out at every dimension", min(ratios) > 1.5)
verdict("the ratio of the two stays within a factor of two", max(ratios) < 2 * min(ratios))
charts = latent.charts(tried, spectrum, settings.variance)
Image(png(latent.draw(*charts, tried[2], picture, mask.numpy())))

# %% [markdown]
# Both errors fall together, and so does their difference. But a threshold is set by the normal errors and falls with them, so what
# matters is the ratio, and that changes little. Neither danger shows here, not even at the narrowest code: on this texture and its
# largest defect the method is not sensitive to c_d, and a simple rule such as PCA's will do. One defect is no proof for others.

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


cases = [(432, 40), (100, 7), (11, 3)]
check(
    "4.1",
    parameters,
    lambda g: all(g(*case) == sum(p.numel() for p in CAE(*case).parameters()) for case in cases),
    "a layer from a to b channels has a · b weights and b biases; the input of a layer is the output of the one before",
    probe=cases[0],
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
    explained = np.cumsum(variances) / np.sum(variances)
    return int((explained < share - 1e-9).sum()) + 1
    # END SOLUTION


cases = [
    ([5, 3, 1, 1], 0.8, 2),
    ([5, 3, 1, 1], 0.81, 3),
    ([9, 1], 0.5, 1),
    ([1, 1, 1, 1], 0.75, 3),
    ([4, 1], 1.0, 2),
]
check(
    "4.2",
    components_for,
    lambda g: all(g(variances, share) == k for variances, share, k in cases),
    "cumulate, divide by the total, and find the first that is not below the share; mind that it counts from one",
    probe=cases[0][:2],
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


check(
    "4.3",
    loss,
    lambda g: (
        np.isclose(float(g(f, f_hat)), L_rec, rtol=1e-3)
        and np.isclose(float(g(2 * f, 2 * f_hat)), 2 * L_rec, rtol=1e-3)
    ),
    "square, sum over the channels, take the root - and only then sum over the positions",
    probe=(f, f_hat),
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
# ## Summary
#
# - The autoencoder treats every regional feature by itself: six linear maps, four ReLUs, a narrow waist.
# - PCA says how narrow: as many channels as principal components needed for a share of the variance.
# - The loss is the length of the error, so every position pulls alike.
# - Trained on normal features only, it rebuilds those well and others badly; notebook 05 turns that into a segmentation.

# %% [markdown]
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

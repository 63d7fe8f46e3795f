# %% [markdown] tags=["slide"]
# # 00 · Start here
#
# **Paper:** abstract, Section I, Fig. 1 · **Needs:** convolutional networks, a little PyTorch
#
# A factory makes thousands of good parts a day and hardly a bad one. So a camera can be shown what *good* looks like as
# often as you please, but nobody can show it every scratch, hole and stain that may come. **Unsupervised anomaly
# segmentation** learns from the good images alone and then marks, pixel by pixel, what does not fit. This course takes one
# such method apart, DFR (*Deep Feature Reconstruction*, Yang, Shi and Qi, arXiv 2012.07122), until nothing about it is a
# black box.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - fit a detector to normal images and ask it for an anomaly map and a segmentation,
# - say in one sentence each what its four stages do,
# - tell what the edition banner means, and check your set-up with `dfr info`,
# - find the notebook that derives any part of the method.
#
# **Runtime:** about 25 s and 1000 MiB in the quick edition on 2 CPU cores, an hour in the paper edition on a GPU. Download: none
# in the quick edition.

# %% [markdown]
# ## Set-up
#
# Every notebook begins with this cell. The line it prints, the *banner*, says what made the results below it. There are
# three editions of one and the same code:
#
# | edition | images | network | for |
# |---|---|---|---|
# | `quick` | a few synthetic ones a category | VGG19 at 1/8 width, distilled from ImageNet features | seconds; what you see saved in these notebooks |
# | `embedded` | more of them, longer training | the same | minutes; the default of `dfr` and of Python code |
# | `paper` | MVTec AD, which you must download | VGG19 trained on ImageNet | a GPU; the numbers of the paper |
#
# Choose with the environment variable `DFR_EDITION` before you start Jupyter. In another edition than `quick` your numbers differ from the
# saved ones. The last parts of the banner say which convolutional layers of the network are used, how long the autoencoder is trained
# (*steps* of so many images x so many places drawn in each; the paper edition counts epochs), and the seed of every random draw.
#
# Some helpers come with it. `verdict(claim, test, size)` prints *yes* and what was measured. Where a claim does not hold it stops the notebook;
# in another edition than the saved one it says so and goes on. `show` draws pictures side by side. `check` judges an exercise: *not attempted*,
# *right*, or *not yet*; then `hint("0.1")` helps. In an exercise put your code where the cell says so and run it again. `predict` asks
# what you expect *before* a cell shows it: choose, press *lock*, and find your prediction beside the outcome. `quiz` closes a notebook.

# %%
from dfr_core.course import (
    check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict,
)

edition = start(0)

# %% [markdown]
# ## A detector in five lines
#
# The images are made by a program that ships with the course: boards of wood, some with a stain, a hole, a knot, a scratch. Only
# the normal ones are shown to the detector.

# %% tags=["slide"]
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from dfr_core import DFR

wood = edition.category("wood")
detector = DFR(edition.settings).fit(wood)  # normal images only
images, masks = wood.load_test(edition.settings.image_size)
maps = detector.anomaly_map(images)
found = detector.segment(images)

# %% [markdown]
# `images` are 8-bit pictures `[N, 3, H, W]`, `maps` one score for every pixel `[N, H, W]`, `found` yes or no for every pixel. The
# `masks` are the truth: nothing above looked at them. We need them only to see how well it went.

# %%
kinds = [sample.defect for sample in wood.test]
print("training images:", len(wood.train))
print("test images:    ", tuple(images.shape), "of the kinds", ", ".join(sorted(set(kinds))))
verdict("one score a pixel", maps.shape == (len(images), *images.shape[-2:]), str(maps.shape))

# %% [markdown]
# Each row below: a test image, the true defect outlined in orange, the segmentation in blue, which are the pixels above a threshold;
# then its anomaly map, bright where anomalous, on one colour scale for all rows. The threshold comes from the
# training images alone, set so that a share of 0.005 of their pixels may lie above it; the colour scale ends at twice that.

# %% tags=["slide", "no-code"]
from dfr_core.plotting import FOUND, heat, outline, to_image


def show_rows(kinds, seen, images, masks, maps, found, top):
    """A row for the first image of each kind: truth and segmentation, map. `seen` says what is seen."""
    for kind, alt in seen.items():
        k = kinds.index(kind)
        image = to_image(images[k].numpy())
        both = outline(outline(image, masks[k].numpy(), width=2), found[k], FOUND, 2)
        show(both, heat(maps[k], 0, top), titles=(kind, "anomaly map"), width=3.6, alt=alt)


limit = detector.threshold(0.005)
seen = {
    "hole": "A board with a small round hole; the blue outline encloses it with a wide margin, and the map is "
    "dim but for a bright disc there.",
    "scratch": "A board with a forked scratch; the blue outline follows it at some distance; in the "
    "map it is a bright band.",
    "liquid": "A board with a dark stain at its upper edge; it is outlined whole, and the map is bright "
    "there, brightest along the stain's rim.",
    "good": "A good board; the map is dim everywhere, and the segmentation marks a few specks.",
}
show_rows(kinds, seen, images, masks, maps, found, 2 * limit)

# %% [markdown]
# The map lights up where the wood is unlike all the wood seen before, although no defect was ever shown. Two things to
# notice: the blue outline is wider than the defect (notebook 01 says why), and the good board has some blue as well, small specks:
# one pixel in two hundred was allowed to be wrong. Here are all kinds, and two numbers.

# %%
for kind, truth, blue in zip(kinds, masks.numpy(), found):
    if truth.any():
        marked = blue[truth].mean()
        verdict(f"{kind} is found, nearly whole", marked > 0.9, f"{marked:.0%} of it is marked")
roc = detector.evaluate(wood)["roc_auc"]
verdict("defective pixels score higher than normal ones, nearly always", roc > 0.97, roc)
# A hair above the threshold: a pixel that lies on it may fall to either side by rounding.
above = (detector.anomaly_map(wood) > limit * (1 + 1e-4)).mean()
name = "at most 0.5 % of the training pixels lie above the threshold"
verdict(name, above <= 0.005, f"{above:.2%}")

# %% [markdown]
# The number before the last is the *ROC-AUC*, the chance that a random defective pixel scores above a random normal one: 0.5 is
# guessing, 1 is perfect. Notebook 06 takes it apart. The last verdict is no
# discovery: the threshold was chosen so (notebook 05). It only says that the code does what was asked.

# %% [markdown]
# ## Where it is harder
#
# Now a cable cut across, three wires in a sheath. In one image a whole wire is missing; anybody sees that. Will the detector?

# %% tags=["slide", "no-code"]
predict(
    "0.1",
    "A wire is missing. How much of the place where it should be will the segmentation mark?",
    "nearly all of it",
    "a part of it",
    "hardly any of it",
)

# %% tags=["slide", "no-code"]
cable = edition.category("cable")
other = DFR(edition.settings).fit(cable)
cut, truth = cable.load_test(edition.settings.image_size)
names = [sample.defect for sample in cable.test]
scores, blue = other.anomaly_map(cut), other.segment(cut)
pictures = {}
for kind in ("missing_cable", "good"):
    k = names.index(kind)
    pictures[kind] = outline(to_image(cut[k].numpy()), truth[k].numpy(), width=2)
    pictures[kind] = outline(pictures[kind], blue[k], FOUND, 2)
absent = names.index("missing_cable")
show(
    pictures["missing_cable"],
    heat(scores[absent], 0, 2 * other.threshold(0.005)),
    pictures["good"],
    titles=("missing_cable", "its anomaly map", "a good cable"),
    width=3.6,
    alt="A cable with two wires and an empty dark place, which the map shows as an evenly bright disc, but of "
    "which only some pieces are marked; and a good cable, on whose copper strands some blue specks are marked.",
)
marked = blue[absent][truth[absent].numpy()].mean()
right = 0 if marked > 0.8 else 2 if marked < 0.2 else 1
outcome("0.1", right, f"{marked:.0%} of the missing wire's place is marked.")

# %%
worse = other.evaluate(cable)["roc_auc"]
verdict("on cables the ROC-AUC is lower than on wood", worse < roc - 0.01, f"{worse:.2f} against {roc:.2f}")
deep = DFR(replace(edition.settings, layers="1:16")).fit(cable)  # four layers more
whole = deep.segment(cut)[absent][truth[absent].numpy()].mean()
verdict("with all sixteen layers most of the place is marked", whole > 0.6, f"{whole:.0%}")

# %% [markdown]
# The detector asks of each spot whether it can reproduce what is *there*; smooth and
# dark is easily reproduced, here as in the filling between the wires. That something else *ought* to be there it knows only through
# the deep layers, which see a larger piece. With layers 1 to 12 the whole place lights up, but only some of it above the threshold, which
# is high: the copper strands, never twice in the same order, score as much on good cables. Layers 13 to 16 see a whole
# wire and its neighbours; with them most of the place is found.
# In the paper, on photographs and with the full network, cables are among the harder categories as well:

# %%
from dfr_core.paper_numbers import TABLE_II

for name in ("wood", "cable"):
    print(f"{name} in the paper's Table II, layers 1:12:", TABLE_II[name][-2])

# %% [markdown]
# ## What happened: four stages
#
# This is the paper's Fig. 2, measured: one image of a hazelnut with a print on its way through the four stages. (It was made in the
# embedded edition, as its last line says; all figures of the paper are in [figures](../figures/README.md).)

# %% tags=["slide", "no-code"]
from IPython.display import Image
from PIL import Image as File

from dfr_core.plotting import png

Image(
    png(np.asarray(File.open("../figures/fig2.png").convert("RGB").reduce(2))),
    alt="From left to right: a hazelnut with a print, maps of four layers of the network, the same maps "
    "on one grid and stacked, the autoencoder and its reconstruction, and from the difference of the two "
    "stacks the anomaly map, bright at the print, and its segmentation.",
)

# %% [markdown]
# The whole method fits on one page of code: `dfr_core/literal.py` says it as the paper does, slowly and with nothing hidden. The
# rest of the package, the *core*, computes the same with less time and memory. We go through that page with one image, and compare.
#
# **1 · Hierarchical features** (III-A). The image passes through VGG19, a classification network. The outputs of its
# convolutional layers are kept, here of the first twelve of sixteen: shallow ones see edges and grain, deep ones see larger
# structures.

# %%
import inspect

import torch

from dfr_core import literal

settings = edition.settings
network = detector.extractor.backbone  # frozen: nobody trains it here
x = network.normalise(images[:1])
phi = literal.hierarchical_features(network.stack, x, settings.layer_numbers[-1])
print(
    table(
        [(k, *phi[k - 1].shape[1:]) for k in (1, 5, 12)], ("layer", "channels", "rows", "columns")
    )
)

# %% [markdown]
# **2 · Regional features** (III-B). All those maps are brought to one grid. Now each small square of the image has one long
# vector that describes it at every scale at once. These are the paper's Eq. 1 to 3, as code:

# %%
print(inspect.getsource(literal.regional_features))
size = images.shape[-2:]
f = literal.regional_features(phi, size)
print("f(x):", tuple(f.shape))
core = detector.extractor(images[:1]).dense().movedim(-1, 1)  # the core keeps channels last
apart = float((f - core).abs().max() / f.abs().max())
verdict("the core makes the same vectors", apart < 1e-3, f"{apart:.0e} apart")

# %% [markdown]
# **3 · Reconstruction** (III-C). A small autoencoder is trained on the vectors of the normal images: squeeze each through
# a bottleneck of `c_d` numbers and get it back. It becomes good at normal vectors only.

# %%
print(inspect.getsource(literal.autoencoder))
cae = literal.autoencoder(detector.c_o_, detector.c_d_)
shapes = [p.squeeze().shape for p in cae.parameters()]
verdict("the core's has the same layers", shapes == [p.shape for p in detector.model.parameters()])
narrow = f"{detector.c_d_} of {detector.c_o_}"
verdict("c_d is less than a fifth of the vector's length c_o", 5 * detector.c_d_ < detector.c_o_, narrow)

# %% [markdown]
# **4 · Scoring and segmentation** (III-D). A vector that comes back wrong is unlike the normal ones. The error is the
# anomaly score, enlarged to the image; a threshold makes it a segmentation.


# %%
def trained(f):
    """The autoencoder that our detector has trained: [N, c_o, h_o, w_o] -> the same."""
    return detector.reconstruct(f.movedim(1, -1)).movedim(-1, 1)


for function in (literal.error, literal.anomaly_map, literal.threshold):
    print(inspect.getsource(function))
by_hand = literal.anomaly_map(trained, f, size)[0].numpy()
apart = abs(by_hand - maps[0]).max() / maps[0].max()
verdict("the core's map is the same", apart < 1e-3, f"{apart:.0e} apart")
normal = torch.from_numpy(detector.anomaly_map(wood))
apart = abs(literal.threshold(normal) / limit - 1)
verdict("and so is its threshold", apart < 1e-4, f"{apart:.0e} apart")

# %% [markdown]
# That is the method. `features` below is stage 2 once more, as the core hands it out.

# %%
features = detector.extractor(images[:1])
rows = [
    ("1 layers of VGG19", len(edition.settings.layer_numbers)),
    ("2 grid of regional features", f"{features.shape[0]} × {features.shape[1]}"),
    ("2 length of a vector, c_o", detector.c_o_),
    ("4 size of the anomaly map", f"{maps.shape[1]} × {maps.shape[2]}"),
]
print(table(rows, ("stage", "here")))

# %% [markdown]
# ### Exercise 0.1: predict, then count
#
# The grid of regional features has one vector for every little square of the image. *Before you compute:* how many pixels
# high and wide is such a square? Then set `side` with code, from `images` and `features`. Expect a small power of two.

# %%
side = None
# BEGIN SOLUTION
side = images.shape[-1] // features.shape[1]
# END SOLUTION
check(
    "0.1",
    side,
    sealed("0.1", "9039650d9a9d"),
    "divide the image's side by the grid's side",
)

# %% [markdown]
# ### Exercise 0.2: which image is worst?
#
# One score an image is often enough: pass or reject. The paper scores pixels only; this package takes the largest score of the
# image's anomaly map. Write `image_scores`. *Before you run it:* which kinds of image should get the lowest scores? A right answer
# draws the scores of all test images.


# %%
def image_scores(maps):
    """Anomaly maps [N, h, w] -> one score an image [N]."""
    # BEGIN SOLUTION
    return maps.max(axis=(1, 2))
    # END SOLUTION


def bars(f):
    """The scores of the test images, one bar each, lowest first."""
    scores = f(maps)
    order = scores.argsort()
    figure, axis = plt.subplots(figsize=(9, 3))
    axis.bar([f"{k}: {kinds[k]}" for k in order], scores[order])
    axis.set(ylabel="score of the image")
    picture("One bar a test image, sorted by score; the kind of each stands below its bar.")


example = np.array([[[1, 5], [2, 3]], [[0, -1], [7, 2]], [[-4, -2], [-3, -1]]])
check(
    "0.2",
    image_scores,
    lambda f: sealed("0.2", "8ac887168c6b")(f(example)),
    "the maximum over rows and columns",
    probe=(maps,),
    draw=bars,
)

# %% [markdown]
# ## Map of the course
#
# Click on a notebook to open it.
#
# | | notebook | question | the paper's |
# |---|---|---|---|
# | **the network** | [01 Receptive fields](01_receptive_fields.ipynb) | What part of the image does a unit of a deep layer see? | Table I |
# | | [02 Hierarchical features](02_hierarchical_features.ipynb) | What is in the maps, and what must the network have learnt? | III-A |
# | | [03 Regional features](03_regional_features.ipynb) | How do maps of five sizes become one vector a region? | III-B, Fig. 3 |
# | **the detector** | [04 The autoencoder](04_autoencoder.ipynb) | What can a bottleneck not reproduce, and what does training buy? | III-C, Table VIII |
# | | [05 Scoring and segmentation](05_scoring_and_segmentation.ipynb) | Where to put the threshold without seeing a defect? | III-D, Fig. 4 |
# | **how good it is** | [06 Metrics](06_metrics.ipynb) | What do ROC and PRO reward, and when do they disagree? | Tables II, III |
# | | [07 Scale ablation](07_scale_ablation.ipynb) | Which layers are worth having? | Figs. 5-8, Table IV |
# | | [08 Boundary effects](08_boundary_effects.ipynb) | Why do borders of images look anomalous? | Fig. 9, Table V |
# | | [09 Speed](09_speed.ipynb) | Where do time and memory go? | Table VI |
# | **beyond** | [10 Your own photographs](10_your_photographs.ipynb) | Does it work on what you bring, or paint? | |
# | | [11 Paper against code](11_paper_against_code.ipynb) | What did the authors do that the paper does not say? | |
# | | [12 Why not pixels?](12_why_not_pixels.ipynb) | Why features, and not the pixels themselves? | IV-B |
#
# Notebooks 01 to 05 follow the paper's Section III and build on each other; from 06 on they can be read in any order.

# %% [markdown]
# ## Is everything there?
#
# `dfr info` prints what this machine has and what is missing for which edition. This is a part of it; it depends on your machine, so
# yours differs from what is saved here. For all of it, with advice, run `dfr info` in a terminal.

# %% tags=["nbval-ignore-output"]
from dfr_core.command.info import as_text, collect

report = collect()
shown = ("dfr-lab", "python", "torch", "numpy")
versions = {name: report["versions"][name] for name in shown}
part = as_text({"edition": report["edition"], "versions": versions, "advice": []})
print(part.removesuffix("nothing is missing"))
print("`dfr info` would go on with advice on what is missing:", "advice" in report)

# %% [markdown]
# ## Five questions

# %%
quiz(0, [
    ("What does DFR learn from?",
     ["good images and masks of defects", "good images only", "one image of each kind of defect"], 1,
     "Masks serve only to measure how well it went."),
    ("What does the threshold rest on?",
     ["the masks of the test images", "the scores of the training images", "the ROC curve"], 1,
     "It is set so that 0.5 % of the training pixels lie above it; no defect is needed."),
    ("Why is the outline of the hole wider than the hole?",
     ["the threshold is too low", "the colour scale ends too early", "features beside the hole see it too"], 2,
     "Each vector describes a square with its surroundings, at several scales."),
    ("Why is only a part of the missing wire's place marked?",
     ["what is there is easily reproduced", "the place is too large", "its mask is wrong"], 0,
     "Dark and smooth is normal between the wires; that a wire should be there, only deep channels know."),
    ("A detector has a ROC-AUC of 0.5. What does that mean?",
     ["half the defects are found", "half the pixels are right", "its scores order pixels by chance"], 2,
     "A defective pixel then scores above a normal one as often as below."),
])

# %% [markdown]
# ## Summary
#
# - Train on normal images only; score every region by how badly an autoencoder reproduces its features; threshold.
# - `DFR(settings).fit(...)`, `.anomaly_map(...)`, `.segment(...)`, `.evaluate(...)` is the whole interface.
# - The banner says what made a result. Never compare numbers of different editions.
#
# ## Deviations
#
# In the quick and embedded editions the network has an eighth of VGG19's channels; it was not trained on ImageNet's labels but has learnt
# to imitate a network that was (*distillation*, `docs/distilled.md`). The images are synthetic, training takes seconds. The numbers
# show how the method behaves, not how good it is on photographs. The paper edition has none of these deviations.
#
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: *DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation*, arXiv 2012.07122.
# - P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: *MVTec AD*, CVPR 2019.

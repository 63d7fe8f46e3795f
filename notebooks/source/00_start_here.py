# %% [markdown]
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
# | `embedded` | more of them, longer training | the same | minutes; the default when you run a notebook |
# | `paper` | MVTec AD, which you must download | VGG19 trained on ImageNet | a GPU; the numbers of the paper |
#
# Choose with the environment variable `DFR_EDITION` before you start Jupyter. In another edition than `quick` your numbers differ from the
# saved ones. The last parts of the banner say which convolutional layers of the network are used, how long the autoencoder is trained
# (*steps* of so many images x so many places drawn in each; the paper edition counts epochs), and the seed of every random draw.
#
# Three helpers come with it. `verdict(claim, test)` prints *yes*, or stops the notebook where a claim does not hold, which can happen once
# you change a setting. `show` draws pictures side by side. `check` judges an exercise: *not attempted*, *right*, or *not yet* with a hint.
# In an exercise put your code where the cell says so and run it again; write your prediction down first.

# %%
from dfr_core.course import check, show, start, verdict

edition = start(0)

# %% [markdown]
# ## A detector in five lines
#
# The images are made by a program that ships with the course: boards of wood, some with a stain, a hole, a knot, a scratch. Only
# the normal ones are shown to the detector.

# %%
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
verdict("one score a pixel", maps.shape == (len(images), *images.shape[-2:]))

# %% [markdown]
# Each row below: a test image with the true defect outlined in orange, its anomaly map (bright is anomalous, one colour
# scale for all rows), and the segmentation outlined in blue: the pixels above a threshold. The threshold comes from the
# training images alone, set so that a share of 0.005 of their pixels may lie above it; the colour scale ends at twice that.

# %%
from dfr_core.plotting import FOUND, heat, outline, to_image


def show_rows(kinds, wanted, images, masks, maps, found, top):
    """One row of pictures for the first image of each kind: the truth, the map, the segmentation."""
    for k in map(kinds.index, wanted):
        image = to_image(images[k].numpy())
        pictures = (
            outline(image, masks[k].numpy(), width=2),
            heat(maps[k], 0, top),
            outline(image, found[k], FOUND, 2),
        )
        show(*pictures, titles=(kinds[k], "anomaly map", "segmentation"), width=2.9)


limit = detector.threshold(0.005)
show_rows(kinds, ("hole", "scratch", "liquid", "good"), images, masks, maps, found, 2 * limit)

# %% [markdown]
# The map lights up where the wood is unlike all the wood seen before, although no defect was ever shown. Two things to
# notice: the blue outline is wider than the defect (notebook 01 says why), and the good board has some blue as well, small specks and a
# strip along the border: one pixel in two hundred was allowed to be wrong. Here are all kinds, and two numbers.

# %%
for kind, truth, blue in zip(kinds, masks.numpy(), found):
    if truth.any():
        print(f"{kind}:", "found, at least in part" if (truth & blue).any() else "missed")
result = detector.evaluate(wood)
verdict("defective pixels score higher than normal ones, nearly always", result["roc_auc"] > 0.95)
# A hair above the threshold: a pixel that lies on it may fall to either side by rounding.
flagged = (detector.anomaly_map(wood) > limit * (1 + 1e-4)).mean()
verdict("at most 0.5 % of the training pixels lie above the threshold", flagged <= 0.005)

# %% [markdown]
# The first verdict is about *ROC-AUC*, the chance that a random defective pixel scores above a random normal one: 0.5 is
# guessing, 1 is perfect. Notebook 06 takes that number apart. The second is no
# discovery: the threshold was chosen so (notebook 05). It only says that the code does what was asked.

# %% [markdown]
# ## Where it fails
#
# Now a cable cut across, three wires in a sheath. In the first row anybody sees what is wrong; the second cable is good. *Before you
# run it:* will the detector mark the place?

# %%
cable = edition.category("cable")
other = DFR(edition.settings).fit(cable)
cut, truth = cable.load_test(edition.settings.image_size)
names = [sample.defect for sample in cable.test]
scores, blue = other.anomaly_map(cut), other.segment(cut)
show_rows(names, ("missing_cable", "good"), cut, truth, scores, blue, 2 * other.threshold(0.005))

# %%
worse = other.evaluate(cable)
verdict("on cables the ROC-AUC is lower than on wood", worse["roc_auc"] < result["roc_auc"])
absent = names.index("missing_cable")
inside = truth[absent].numpy()
print(f"of the missing wire's place {blue[absent][inside].mean():.0%} is marked")

# %% [markdown]
# A wire is missing, and its place is hardly marked. The detector asks of each spot whether it can reproduce what is *there*; smooth and
# dark is easily reproduced, here as in the filling between the wires. That something else *ought* to be there it knows only through
# the deep layers, which see a larger piece. Meanwhile the copper strands, never twice in the same order, score high on the good
# cable too. In the paper, on photographs and with the full network, cables are among the harder categories as well:

# %%
from dfr_core.paper_numbers import TABLE_II

for name in ("wood", "cable"):
    print(f"{name} in the paper's Table II, layers 1:12:", TABLE_II[name][-2])

# %% [markdown]
# ## What happened: four stages
#
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
from dfr_core.course import table

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
verdict("the core makes the same vectors", torch.allclose(f, core, rtol=1e-3, atol=1e-3))

# %% [markdown]
# **3 · Reconstruction** (III-C). A small autoencoder is trained on the vectors of the normal images: squeeze each through
# a bottleneck of `c_d` numbers and get it back. It becomes good at normal vectors only.

# %%
print(inspect.getsource(literal.autoencoder))
cae = literal.autoencoder(detector.c_o_, detector.c_d_)
shapes = [p.squeeze().shape for p in cae.parameters()]
verdict("the core's has the same layers", shapes == [p.shape for p in detector.model.parameters()])
verdict("c_d is far smaller than the vector's length c_o", 3 * detector.c_d_ < detector.c_o_)

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
verdict("the core's map is the same", abs(by_hand - maps[0]).max() < 1e-3 * maps[0].max())
normal = torch.from_numpy(detector.anomaly_map(wood))
verdict("and so is its threshold", abs(literal.threshold(normal) / limit - 1) < 1e-4)

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
    lambda s: s * features.shape[0] == images.shape[-2],
    "divide the image's side by the grid's side",
)

# %% [markdown]
# ### Exercise 0.2: which image is worst?
#
# One score an image is often enough: pass or reject. The paper scores pixels only; this package takes the largest score of the
# image's anomaly map. Write `image_scores`. *Before you run it:* which kinds of image should get the lowest scores? Then look:
# `list(zip(kinds, image_scores(maps)))`.


# %%
def image_scores(maps):
    """Anomaly maps [N, h, w] -> one score an image [N]."""
    # BEGIN SOLUTION
    return maps.max(axis=(1, 2))
    # END SOLUTION


core = detector.image_score(images)
check(
    "0.2",
    image_scores,
    lambda f: abs(f(maps) - core).max() < 1e-4 * core.max(),
    "the maximum over rows and columns",
    probe=(maps,),
)

# %% [markdown]
# ## Map of the course
#
# | notebook | question |
# |---|---|
# | [01 Receptive fields](01_receptive_fields.ipynb) | What part of the image does a unit of a deep layer see? |
# | [02 Hierarchical features](02_hierarchical_features.ipynb) | What is in the maps, and what does padding put there? |
# | [03 Regional features](03_regional_features.ipynb) | How do maps of five sizes become one vector a region? |
# | [04 The autoencoder](04_autoencoder.ipynb) | What can a bottleneck not reproduce, and how narrow should it be? |
# | [05 Scoring and segmentation](05_scoring_and_segmentation.ipynb) | Where to put the threshold without seeing a defect? |
# | [06 Metrics](06_metrics.ipynb) | What do ROC and PRO reward, and when do they disagree? |
# | [07 Scale ablation](07_scale_ablation.ipynb) | Which layers are worth having? |
# | [08 Boundary effects](08_boundary_effects.ipynb) | Why do borders of images look anomalous? |
# | [09 Speed](09_speed.ipynb) | Where do time and memory go? |
# | [10 Your own photographs](10_your_photographs.ipynb) | Does it work on what you bring, or paint? |
# | [11 Paper against code](11_paper_against_code.ipynb) | What did the authors do that the paper does not say? |
#
# Notebooks 01 to 05 follow the paper's Section III in order; 06 to 09 its Section IV; they can be read in any order after that.

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

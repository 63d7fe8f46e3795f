# %% [markdown]
# # 06 · Metrics
#
# **Paper:** Section IV-A5, Tables II and III · **Needs:** notebook 05
#
# A threshold is a choice, and a fair comparison of methods must not depend on it. So metrics look at all thresholds at once. The ROC
# curve counts pixels; the PRO curve counts defects. The difference matters: a large defect has a thousand times the pixels of a small
# one, and a method that finds the large one and misses ten small ones looks splendid in pixels. This notebook computes both by hand.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - compute the area under the ROC curve by comparing pairs of pixels, ties included;
# - draw both curves by sweeping a threshold;
# - count connected regions, and say why it matters whether corners connect;
# - compute PRO-AUC up to a false positive rate of 0.3 with a plain loop;
# - tell from a score map, before computing, which of the two metrics it pleases.
#
# **Runtime:** about 10 s and 800 MiB in the quick edition on 2 CPU cores, 40 minutes in the paper edition on a GPU. Download: none.

# %%
from dfr_core.course import check, start, table, verdict

edition = start(6)
settings = edition.settings

# %% [markdown]
# ## A small example to count by hand
#
# A score map of 24 x 24 pixels with three defective patches. Two of them touch at a corner, which will matter later. Scores are rounded,
# so that many of them are equal: ties are where metric code goes wrong.

# %%
import matplotlib.pyplot as plt
import numpy as np

from dfr_core.plotting import BLUE, HEAT

side = 24
mask = np.zeros((side, side), dtype=bool)
mask[3:9, 3:9] = True  # a large square ...
mask[9:12, 9:12] = True  # ... a smaller one that touches its corner ...
mask[17:19, 4:7] = True  # ... and a small one on its own
random = np.random.default_rng(4)
scores = 0.2 + 0.15 * random.standard_normal((side, side))
scores[3:9, 3:9] += 0.5  # found well
scores[9:12, 9:12] += 0.1  # hardly found
scores[17:19, 4:7] += 0.2
scores = scores.round(2)
print(
    f"{mask.sum()} anomalous and {(~mask).sum()} normal pixels, {len(np.unique(scores))} different scores"
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(6, 3))
for axis, picture, name in zip(axes, (mask, scores), ("ground truth", "scores")):
    axis.imshow(picture, cmap=HEAT)
    axis.set_title(name)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# ## Section IV-A5: ROC-AUC as a game of pairs
#
# Draw one anomalous and one normal pixel. How often does the anomalous one have the higher score? That probability *is* the area under
# the ROC curve:
#
#     ROC-AUC = P(score of anomalous > score of normal) + ½ P(both equal)
#
# 0.5 is guessing, 1 is perfect. No threshold appears, and the scale of the scores does not matter, only their order.

# %%
from dfr_core.metrics import pro_auc, pro_curve, roc_auc, roc_curve

wins = 0.0
for anomalous in scores[mask]:
    for normal in scores[~mask]:
        wins += 1.0 if anomalous > normal else 0.5 if anomalous == normal else 0.0
by_pairs = wins / (mask.sum() * (~mask).sum())
verdict("the core's ROC-AUC is the share of pairs won", np.isclose(roc_auc(scores, mask), by_pairs))
print(f"ROC-AUC {by_pairs:.4f}")

# %% [markdown]
# ## The curve itself
#
# Lower a threshold from above the highest score to the lowest. At each stop note the **false positive rate** (share of normal pixels
# called anomalous) and the **true positive rate** (share of anomalous ones found). Pixels of equal score pass together, and the curve
# joins the two stops by a straight line.


# %%
def sweep(scores, mask, found):
    """FPR and ``found(called)`` for every threshold, from the highest down."""
    x, y = [0.0], [0.0]
    for v in np.unique(scores)[::-1]:
        called = scores >= v
        x.append(called[~mask].mean())
        y.append(found(called))
    return np.array(x), np.array(y)


def area(x, y, limit=1.0):
    """Area under a rising curve up to x = limit, by the limit."""
    k = int((x <= limit).sum())
    if k < len(x):  # cut the piece that crosses the limit
        part = (limit - x[k - 1]) / (x[k] - x[k - 1])
        x, y = np.append(x[:k], limit), np.append(y[:k], y[k - 1] + part * (y[k] - y[k - 1]))
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() / limit)


roc = sweep(scores, mask, lambda called: called[mask].mean())
verdict(
    "the area under the swept curve is the share of pairs won", np.isclose(area(*roc), by_pairs)
)
x, y = roc_curve(scores, mask)
verdict("the core's curve has the same area", np.isclose(area(x, y), by_pairs))

# %% [markdown]
# ## What is one defect? Connected regions
#
# PRO counts defects. But a mask has only pixels. A defect is a **connected region**: pixels that touch. Along their sides only
# (4-connectivity), or at their corners too (8-connectivity)? A thin diagonal scratch answers the question: with sides only, it would
# fall apart into dozens of defects of one pixel. So corners count, here as in the data set's own evaluation.


# %%
def regions(mask, neighbours):
    """Lists of pixels that touch along sides (4) or at corners too (8), by flooding."""
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    steps = [(a, b) for a, b in steps if (a, b) != (0, 0) and (neighbours == 8 or a * b == 0)]
    left, found = {tuple(p) for p in np.argwhere(mask).tolist()}, []
    while left:
        flood = [left.pop()]
        for y, x in flood:  # the list grows while we walk along it
            for a, b in steps:
                if (y + a, x + b) in left:
                    left.remove((y + a, x + b))
                    flood.append((y + a, x + b))
        found.append(flood)
    return found


eight, four = regions(mask, 8), regions(mask, 4)
print(f"8-connectivity: {len(eight)} regions of {sorted(map(len, eight))} pixels")
print(f"4-connectivity: {len(four)} regions of {sorted(map(len, four))} pixels")

# %%
from dfr_core.regions import connected_regions

labels, sizes = connected_regions(mask[None])
verdict("the core finds the 8-connected regions", sorted(sizes.tolist()) == sorted(map(len, eight)))
verdict(
    "a scratch of single diagonal steps is one defect",
    len(connected_regions(np.eye(9, dtype=bool)[None])[1]) == 1,
)
ring = np.pad(np.zeros((3, 3), dtype=bool), 1, constant_values=True)
verdict(
    "a hole in a defect is not filled", connected_regions(ring[None])[1].tolist() == [ring.sum()]
)

# %% [markdown]
# ## Section IV-A5: PRO-AUC
#
# At each threshold, for each region, the share of it that is found; then the mean over regions. Every region has one vote, be it large
# or small:
#
#     PRO(v) = 1/R Σ_r |found pixels of region r| / |region r|
#
# The curve is drawn over the same false positive rate and used up to 0.3 only: beyond that a segmentation is of no use to anybody. The
# area is divided by 0.3, so that perfect is 1 again.


# %%
def mean_overlap(called, found):
    """Mean over regions of the share that is called anomalous."""
    return np.mean([np.mean([called[p] for p in region]) for region in found])


limit = 0.3  # the paper's
pro = sweep(scores, mask, lambda called: mean_overlap(called, eight))
by_loop = area(*pro, limit)
core = pro_auc(scores[None], mask[None])
print(f"PRO-AUC {by_loop:.4f}")
verdict("the core's PRO-AUC is the loop's", np.isclose(core, by_loop))
verdict(
    "the core's curve has the same area",
    np.isclose(area(*pro_curve(scores[None], mask[None], limit), limit), by_loop),
)

# %% [markdown]
# Would the other connectivity do as well? On this mask it splits the touching squares, and the small one, hardly found, gets a vote of
# its own:

# %%
other = area(*sweep(scores, mask, lambda called: mean_overlap(called, four)), limit)
print(f"with 4-connectivity: {other:.4f}")
verdict("connectivity changes the number", abs(other - by_loop) > 0.02)
verdict("so does the limit", abs(area(*pro) - by_loop) > 0.02)

# %%
figure, axis = plt.subplots(figsize=(5, 3.6))
axis.plot(*roc, label="ROC: all pixels alike")
axis.plot(*pro, label="PRO: all regions alike")
axis.axvline(limit, color="grey", ls="--", label="limit of PRO-AUC")
axis.set(xlabel="false positive rate", ylabel="share found", xlim=(0, 1), ylim=(0, 1.02))
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# ROC runs above PRO: most anomalous pixels are in the region that is found well, but it has only one vote of two.
#
# ### All test images together
#
# The paper's false positive rate is "the percentage of pixels within all testing images". So normal images belong to it, too, though
# they have no region of their own. A normal image that is as noisy as the first but scores higher throughout costs:

# %%
normal_image = 0.4 + 0.15 * random.standard_normal((side, side))
stack, masks = np.stack([scores, normal_image]), np.stack([mask, np.zeros_like(mask)])
pooled = sweep(stack, masks, lambda called: mean_overlap(called[0], eight))
verdict(
    "the core pools the pixels of all images",
    np.isclose(pro_auc(stack, masks), area(*pooled, limit)),
)
verdict("a normal image with high scores lowers PRO-AUC", pro_auc(stack, masks) < core - 0.02)

# %% [markdown]
# ## Why PRO?
#
# Four score maps made by hand, over one large and two small defects. The first finds all; the second only the large one; the third only
# the small ones; the fourth finds all, but a normal spot scores as high. `score_map` takes the scores of the large defect, of the two
# small ones and of the normal spot, then the noise; everything else scores 0.2.

# %%
from dfr_core.widgets import hand_made

truth = hand_made.truth()
stories = {
    "finds all": hand_made.score_map(0.9, 0.9, 0.9, 0.2, 0.1),
    "misses the small ones": hand_made.score_map(0.9, 0.2, 0.2, 0.2, 0.1),
    "misses the large one": hand_made.score_map(0.2, 0.9, 0.9, 0.2, 0.1),
    "finds all and a false spot": hand_made.score_map(0.9, 0.9, 0.9, 0.9, 0.1),
}
measured = {name: hand_made.measure(story, truth) for name, story in stories.items()}
rows = [(name, f"{m['roc_auc']:.2f}", f"{m['pro_auc']:.2f}") for name, m in measured.items()]
print(table(rows, head=("a map that", "ROC-AUC", "PRO-AUC")))

# %%
large, small = measured["misses the small ones"], measured["misses the large one"]
verdict("ROC-AUC forgives two missed defects of three", large["roc_auc"] > 0.9)
verdict("PRO-AUC does not", large["pro_auc"] < 0.5)
verdict(
    "missing only the large one: ROC-AUC is harsh, PRO-AUC is not",
    small["roc_auc"] < small["pro_auc"],
)

# %% [markdown]
# ROC-AUC answers "how many pixels", PRO-AUC "how many defects". A factory that must not ship a scratch asks the second. That is why the
# paper reports both.

# %% [markdown]
# ## Try it
#
# Make a score map by hand: a score for each defect and for the normal spot, and noise on everything. Which slider moves which curve?
# The upright line is the limit of PRO-AUC.

# %%
hand_made.build()

# %% [markdown]
# One setting without the widget: the map that misses the small defects.

# %%
from IPython.display import Image

from dfr_core.plotting import png

story = stories["misses the small ones"]
x, y = pro_curve(story[None], truth[None])
verdict(
    "one defect of three is found before any false alarm",
    np.isclose(y[x == 0].max(), 1 / 3, atol=0.02),
)
Image(png(hand_made.draw(hand_made.base_chart(), story, truth)))

# %% [markdown]
# ## A real detector
#
# Now the metrics for DFR on a category. `evaluate` gives both areas, and the image-level ROC-AUC of notebook 05's image score.

# %%
from dfr_core import DFR

category = edition.category("leather")
detector = DFR(settings).fit(category)
test_images, test_masks = (array.numpy() for array in category.load_test(settings.image_size))
test_maps = detector.anomaly_map(test_images)
result = detector.evaluate(category)
print(result["counts"])
verdict(
    "evaluate gives these two functions",
    np.isclose(result["roc_auc"], roc_auc(test_maps, test_masks), atol=1e-3),
)
verdict(
    "and PRO-AUC up to 0.3",
    np.isclose(result["pro_auc"], pro_auc(test_maps, test_masks, limit=0.3), atol=1e-3),
)

# %%
figure, axis = plt.subplots(figsize=(5, 3.6))
axis.plot(*roc_curve(test_maps, test_masks, max_points=300), label="ROC")
axis.plot(*pro_curve(test_maps, test_masks, max_points=300), label="PRO")
axis.axvline(limit, color="grey", ls="--")
axis.set(xlabel="false positive rate", ylabel="share found", title="DFR on leather")
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# Where the curves rise steeply at the left, defects are found at almost no cost. A slowly rising part further right is what the
# detector hardly sees: more and more normal pixels are called anomalous before its turn comes. Which of the two curves is the higher
# one depends on which defects those are. So we ask at one threshold, at which a twentieth of the normal pixels is called anomalous:

# %%
called = test_maps > np.quantile(test_maps[~test_masks], 0.95)
pixels, found = {}, {}
for sample, one, anomalous in zip(category.test, called, test_masks):
    if anomalous.any():
        pixels.setdefault(sample.defect, []).append(anomalous.sum())
        found.setdefault(sample.defect, []).append(one[anomalous].mean())
share = {name: np.sum(counts) / test_masks.sum() for name, counts in pixels.items()}
mean = {name: np.mean(values) for name, values in found.items()}
rows = [(name, f"{share[name]:.0%}", f"{10 * round(10 * mean[name])} %") for name in share]
print(table(rows, head=("defect", "of all defective pixels", "found, about")))
largest = max(share, key=share.get)
verdict(
    "the kind with the most pixels is found less well than the mean kind",
    mean[largest] < np.mean([*mean.values()]),
)
rest = [n for n, sample in enumerate(category.test) if sample.defect != largest]
with_roc, with_pro = (metric(test_maps, test_masks) for metric in (roc_auc, pro_auc))
gain_roc = roc_auc(test_maps[rest], test_masks[rest]) - with_roc
gain_pro = pro_auc(test_maps[rest], test_masks[rest]) - with_pro
verdict("without that kind both metrics rise, ROC-AUC the more", gain_roc > gain_pro > 0)
print("the higher one here:", "PRO-AUC" if with_pro > with_roc else "ROC-AUC")

# %% [markdown]
# One kind has more of the defective pixels than any other, and it is the one that is found least completely: its middle stands out, its
# thin ends do not (notebook 05). ROC-AUC hears of it more than PRO-AUC, which counts regions and has its vote among the others. That can
# be enough to put PRO-AUC above ROC-AUC, as the last line says. Had the detector missed the small defects instead, ROC-AUC would be
# clearly the higher one. Which is it in the paper?
#
# ## Tables II and III
#
# How far apart are the two metrics in the paper's own results? We plot them against each other for f_{1:12}, one point a category;
# categories with the same two numbers lie on each other, and only those with a wide gap or a low ROC-AUC are named.

# %%
from dfr_core.paper_numbers import TABLE_II, TABLE_II_COLUMNS, TABLE_III, TABLE_III_COLUMNS

paper_roc = {name: row[TABLE_II_COLUMNS.index("1:12")] for name, row in TABLE_II.items()}
paper_pro = {name: row[TABLE_III_COLUMNS.index("1:12")] for name, row in TABLE_III.items()}
figure, axis = plt.subplots(figsize=(5.4, 4))
axis.plot([0.7, 1], [0.7, 1], color="grey", ls="--", label="both equal")
for name in paper_roc:
    axis.plot(paper_roc[name], paper_pro[name], "o", color=BLUE)
    if paper_roc[name] - paper_pro[name] > 0.05 or paper_roc[name] < 0.9:
        axis.annotate(
            name, (paper_roc[name], paper_pro[name]), (4, -10), textcoords="offset points"
        )
axis.set(xlabel="ROC-AUC (Table II)", ylabel="PRO-AUC (Table III)")
axis.legend(loc="upper left")
plt.show()

# %%
gaps = {name: round(paper_roc[name] - paper_pro[name], 2) for name in paper_roc}
lower = [name for name, gap in gaps.items() if gap > 0]
worst = sorted(gaps, key=gaps.get)[-3:]
print(
    f"PRO-AUC is the lower one in {len(lower)} of {len(gaps)} categories; largest gaps:",
    ", ".join(f"{n} {gaps[n]}" for n in worst),
)

# %% [markdown]
# PRO-AUC is nearly always the lower one there. The table alone does not say why; missing small defects is one
# way to get there, as the hand-made maps show. And it ranks the categories differently: a point to the right of another may lie below it.
# A claim such as "better than" should name the metric.

# %% [markdown]
# ### Exercise 6.1 · Pairs without loops
#
# Predict first: if every score is replaced by its negative, what becomes of the ROC-AUC? Then compute it from pairs, ties counting
# half, without a Python loop, and try.


# %%
def auc_from_pairs(anomalous, normal):
    """Share of pairs in which the anomalous score is higher, ties counting half: arrays [P] and [Q]."""
    # BEGIN SOLUTION
    difference = anomalous[:, None] - normal[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
    # END SOLUTION


check(
    "6.1",
    auc_from_pairs,
    lambda g: (
        np.isclose(g(scores[mask], scores[~mask]), by_pairs)
        and np.isclose(g(np.ones(3), np.ones(4)), 0.5)
    ),
    "anomalous[:, None] against normal[None, :] compares all pairs; add half the share of equal ones",
    probe=(scores[mask], scores[~mask]),
)

# %% [markdown]
# ### Exercise 6.2 · The overlap of every region
#
# Predict first, from the small example's picture: at a threshold of 0.5, which of its two (8-connected) regions is found to the larger
# part? Then write the function, and ask it: `overlaps(scores >= 0.5, labels[0])`. `labels`, from the core's `connected_regions`, has
# 1, 2, ... for the regions and 0 for normal pixels.


# %%
def overlaps(called, labels):
    """The share of each region that is called anomalous, in the order of the labels: a list."""
    # BEGIN SOLUTION
    return [float(called[labels == r].mean()) for r in range(1, labels.max() + 1)]
    # END SOLUTION


check(
    "6.2",
    overlaps,
    lambda g: (
        np.allclose(g(np.array([True, False, True, True]), np.array([1, 1, 2, 0])), [0.5, 1])
        and np.isclose(np.mean(g(scores >= 0.5, labels[0])), mean_overlap(scores >= 0.5, eight))
    ),
    "for r = 1, 2, ...: the mean of called over the pixels where labels == r",
    probe=(scores >= 0.5, labels[0]),
)

# %% [markdown]
# ### Exercise 6.3 · The worth of nothing
#
# A detector gives the same score to every pixel. Its curve is one straight line from (0, 0) to (1, 1). Predict with pencil and paper:
# what is its PRO-AUC up to 0.3, after the division by 0.3? It is neither 0 nor a half.

# %%
worth_of_nothing = None
# BEGIN SOLUTION
worth_of_nothing = 0.3 * 0.3 / 2 / 0.3
# END SOLUTION
check(
    "6.3",
    worth_of_nothing,
    lambda value: np.isclose(value, pro_auc(np.ones((1, side, side)), mask[None])),
    "the area under the line up to 0.3 is a triangle of base 0.3 and height 0.3",
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# What can be compared here is the definition, and it is the paper's. The numbers cannot: a drawn leather is not MVTec AD's, and a
# difference between two data sets says nothing about either method. So they stand beside each other, each with its data, and nothing is
# subtracted. The last digit of ours may differ from processor to processor.

# %% tags=["nbval-ignore-output"]
rows = [
    ("ours, " + edition.data, f"{result['roc_auc']:.2f}", f"{result['pro_auc']:.2f}"),
    ("the paper, MVTec AD", f"{paper_roc['leather']:.2f}", f"{paper_pro['leather']:.2f}"),
]
print(table(rows, head=("leather", "ROC-AUC", "PRO-AUC")))
print("our network:", edition.network)

# %% [markdown]
# ## Summary
#
# - ROC-AUC is the chance that an anomalous pixel outscores a normal one; ties count half.
# - PRO-AUC gives each connected region one vote and stops at a false positive rate of 0.3.
# - Corners connect, holes stay holes, all test images share one false positive rate.
# - A large defect found well hides small ones missed in ROC-AUC, not in PRO-AUC.
#
# ## Deviations
#
# None from the paper in the definitions. The core computes both areas exactly: every score is a threshold, ties are joined by a line,
# and the curve is interpolated at the limit. Code that samples evenly spaced thresholds instead is off, the more the fewer they are and
# the longer the tails of the scores. Here with very few, to make it plain:

# %%
few = np.linspace(scores.max(), scores.min(), 12)  # thresholds, evenly spaced
x = np.array([0.0] + [(scores >= v)[~mask].mean() for v in few])
y = np.array([0.0] + [mean_overlap(scores >= v, eight) for v in few])
verdict("a dozen thresholds give another PRO-AUC", abs(area(x, y, limit) - by_loop) > 0.001)

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep feature reconstruction for unsupervised anomaly segmentation. 2020 (arXiv 2012.07122), Section IV-A5.
# - P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: Uninformed students: student-teacher anomaly detection with discriminative latent
#   embeddings. CVPR 2020 (the paper's reference for PRO).

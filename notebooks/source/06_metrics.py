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
from dfr_core.course import check, hint, outcome, picture, predict, quiz, sealed, show, start, table, verdict

edition = start(6)
settings = edition.settings

# %% [markdown]
# ## A small example to count by hand
#
# A score map of 24 x 24 pixels with three defective patches. Two of them touch at a corner, which will matter later. Scores are rounded,
# so that many of them are equal: ties are where metric code goes wrong.

# %% tags=["slide", "no-code"]
import matplotlib.pyplot as plt
import numpy as np

from dfr_core.plotting import BLUE, RED, heat, outline, to_image

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
show(
    mask,
    scores,
    titles=("ground truth", "scores: bright is anomalous"),
    width=4,
    alt="Left the true mask: a large square, a smaller one touching its corner, a small bar apart. Right "
    "the noisy scores: the large square stands out, the other two are hard to see.",
)

# %% [markdown]
# ## Section IV-A5: ROC-AUC as a game of pairs
#
# Draw one anomalous and one normal pixel. How often does the anomalous one have the higher score? That probability *is* the area under
# the ROC curve:
#
# $$\text{ROC-AUC} = P(a > n) + \tfrac12\,P(a = n), \qquad a, n: \text{scores of an anomalous and of a normal pixel}.$$
#
# 0.5 is guessing, 1 is perfect. No threshold appears, and the scale of the scores does not matter, only their order.

# %%
from dfr_core.metrics import pro_auc, pro_curve, roc_auc, roc_curve

wins = 0.0
for anomalous in scores[mask]:
    for normal in scores[~mask]:
        wins += 1.0 if anomalous > normal else 0.5 if anomalous == normal else 0.0
by_pairs = wins / (mask.sum() * (~mask).sum())
core = roc_auc(scores, mask)
verdict("the core's ROC-AUC is the share of pairs won", np.isclose(core, by_pairs), f"{core:.4f}")

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
for whose, curve in (("the swept curve", roc), ("the core's curve", roc_curve(scores, mask))):
    under = area(*curve)
    verdict(f"{whose} has the area that the pairs gave", np.isclose(under, by_pairs), f"{under:.4f}")

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

# %% [markdown] tags=["slide"]
# ## Section IV-A5: PRO-AUC
#
# At each threshold v, for each of the R regions, the share of it that is found; then the mean over regions. Every region has one vote, be it large
# or small:
#
# $$\text{PRO}(v) = \frac1R \sum_{r=1}^{R} \frac{|\{p \in r : A(p) \ge v\}|}{|r|}$$
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
verdict("the core's PRO-AUC is the loop's", np.isclose(core, by_loop), f"{core:.4f}")
under = area(*pro_curve(scores[None], mask[None], limit), limit)
verdict("the core's curve has the same area", np.isclose(under, by_loop), f"{under:.4f}")

# %% [markdown]
# Would the other connectivity do as well? On this mask it splits the touching squares, and the small one, hardly found, gets a vote of
# its own:

# %%
other = area(*sweep(scores, mask, lambda called: mean_overlap(called, four)), limit)
sizes = f"{by_loop:.2f} with corners, {other:.2f} without"
verdict("connectivity changes the number", abs(other - by_loop) > 0.02, sizes)
sizes = f"{by_loop:.2f} up to 0.3, {area(*pro):.2f} up to 1"
verdict("so does the limit", abs(area(*pro) - by_loop) > 0.02, sizes)

# %% tags=["slide-more", "no-code"]
def both_curves(roc, pro, title):
    """ROC and PRO over the false positive rate, with the limit of PRO-AUC."""
    _, axis = plt.subplots(figsize=(7, 4))
    axis.plot(*roc, label="ROC: all pixels alike")
    axis.plot(*pro, color=RED, label="PRO: all regions alike")
    axis.axvline(limit, color="grey", ls="--", label="limit of PRO-AUC")
    axis.set(xlabel="false positive rate", ylabel="share found", xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title(title)
    axis.legend(loc="lower right")


both_curves(roc, pro, "The small example")
picture(
    "Both curves rise to one; up to a false positive rate of about one half the ROC curve runs clearly "
    "above the PRO curve. A dashed line marks the rate of 0.3, where PRO-AUC stops."
)

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
together = pro_auc(stack, masks)
verdict("the core pools the pixels of all images", np.isclose(together, area(*pooled, limit)))
sizes = f"{core:.2f} without it, {together:.2f} with it"
verdict("a normal image with high scores lowers PRO-AUC", together < core - 0.02, sizes)

# %% [markdown]
# ## Why PRO?
#
# Four score maps made by hand, over one large and two small defects. The first finds all; the second only the large one; the third only
# the small ones; the fourth finds all, but a normal spot scores as high. `score_map` takes the scores of the large defect, of the two
# small ones and of the normal spot, then the noise; everything else scores 0.2.

# %% tags=["slide", "no-code"]
predict(
    "6.1",
    "A map finds the large defect perfectly and nothing of the two small ones. What is its ROC-AUC?",
    "about 0.33: one defect of three",
    "about 0.65",
    "above 0.9",
)

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

# %% tags=["slide", "no-code"]
large, small = measured["misses the small ones"], measured["misses the large one"]
right = 2 if large["roc_auc"] > 0.9 else 1 if large["roc_auc"] > 0.5 else 0
pixels = (hand_made.scene()[0].sum() / truth.sum()).round(2)
outcome("6.1", right, f"The large defect has {pixels:.0%} of the anomalous pixels.")
verdict("PRO-AUC does not forgive it", large["pro_auc"] < 0.5, large["pro_auc"])
verdict(
    "missing only the large one: ROC-AUC is harsh, PRO-AUC is not",
    small["roc_auc"] < small["pro_auc"],
    f"{small['roc_auc']:.2f} against {small['pro_auc']:.2f}",
)

# %% [markdown]
# ROC-AUC answers "how many pixels", PRO-AUC "how many defects". A factory that must not ship a scratch asks the second. That is why the
# paper reports both. (In print its sentence about this reads "simple per-pixel segmentation metrics such as PRO-AUC may fail"; the
# sense asks for ROC-AUC there. Notebook 11 lists such slips.)
#
# ## Try it
#
# Make a score map by hand: a score for each defect and for the normal spot, and noise on everything. Which slider moves which curve?
# The upright line is the limit of PRO-AUC. Below the widget stands one setting without it: the map that misses the small defects.

# %%
hand_made.build()

# %% tags=["slide", "no-code"]
story = stories["misses the small ones"]
x, y = pro_curve(story[None], truth[None])
found = y[x == 0].max()
verdict("one defect of three is found before any false alarm", np.isclose(found, 1 / 3, atol=0.02), found)
show(
    hand_made.draw(hand_made.base_chart(), story, truth),
    width=9,
    alt="A map made by hand: the large disc is bright, the two small outlined defects are invisible in the "
    "noise. Beside it the curves: ROC begins above 0.9, PRO at one third.",
)

# %% [markdown]
# ## A real detector
#
# Now the metrics for DFR, on pills. `evaluate` gives both areas, and the image-level ROC-AUC of notebook 05's image score.

# %%
from dfr_core import DFR

category = edition.category("pill")
detector = DFR(settings).fit(category)
test_images, test_masks = (array.numpy() for array in category.load_test(settings.image_size))
test_maps = detector.anomaly_map(test_images)
result = detector.evaluate(category)
print(result["counts"])
with_roc, with_pro = (metric(test_maps, test_masks) for metric in (roc_auc, pro_auc))
agree = np.isclose([result["roc_auc"], result["pro_auc"]], [with_roc, with_pro], atol=1e-3)
verdict("evaluate gives these two functions", agree.all(), f"{with_roc:.3f} and {with_pro:.3f}")

# %%
both_curves(roc_curve(test_maps, test_masks, 300), pro_curve(test_maps, test_masks, 1.0, 300), "Pills")
picture(
    "DFR on pills. The ROC curve rises almost at once to 0.9; the PRO curve lies below it, jumps by a sixth to 0.85 "
    "at a false positive rate of about 0.02, then creeps up to one."
)
print("regions of", *sorted(connected_regions(test_masks)[1].tolist()), "pixels")

# %% [markdown]
# Where the curves rise steeply at the left, defects are found at almost no cost. The slowly rising part of PRO is what the detector
# hardly sees: more and more normal pixels are called anomalous before its turn comes. A jump is a region so small that it is found
# all at once; the smallest one here has as many votes as the largest. Which defects are hardly seen? We ask at one
# threshold, at which a twentieth of the normal pixels is called anomalous:

# %%
called = test_maps > np.quantile(test_maps[~test_masks], 0.95)
pixels, found = {}, {}
for sample, one, anomalous in zip(category.test, called, test_masks):
    if anomalous.any():
        pixels.setdefault(sample.defect, []).append(anomalous.sum())
        found.setdefault(sample.defect, []).append(one[anomalous].mean())
share = {name: np.sum(counts) / test_masks.sum() for name, counts in pixels.items()}
mean = {name: np.mean(values) for name, values in found.items()}
rows = [(name, f"{share[name]:.1%}", f"{10 * round(10 * mean[name])} %") for name in share]
print(table(rows, head=("defect", "of all defective pixels", "found, about")))
largest, missed = max(share, key=share.get), min(mean, key=mean.get)
verdict("one kind has most of the pixels", share[largest] > 0.5, f"{largest}, {share[largest]:.0%}")
sizes = f"{missed}, {share[missed]:.1%} of the pixels, {mean[missed]:.0%} found"
verdict("the kind found least is a small one", share[missed] < 0.1, sizes)

# %%
k = [sample.defect for sample in category.test].index(missed)
top = test_maps[[sample.defect == "good" for sample in category.test]].max()
show(
    outline(to_image(test_images[k]), test_masks[k], width=2),
    heat(test_maps[k], 0, top),
    titles=(f"{missed}; orange: the truth", "scores, up to the highest of a good pill"),
    width=4,
    alt="A pill with a wrong letter, outlined, and its anomaly map: the letter does not stand out; the whole pill is "
    "mottled, and the brightest spots lie where nothing is wrong.",
)

# %% [markdown]
# A pill of the wrong kind has most of all defective pixels and is found completely; the wrong imprint has a few of them and is hardly
# found: its strokes are ordinary strokes, only they say something else. ROC-AUC scarcely hears of the imprint; for PRO-AUC it is one
# of half a dozen votes. That is how a detector comes to 0.99 in one metric and 0.91 in the other, and why a single number is no verdict.
# It need not go this way: the hand-made map that misses the large defect has the higher PRO-AUC. Which is it in the paper?
#
# ## Tables II and III
#
# How far apart are the two metrics in the paper's own results? We plot them against each other for f_{1:12}, one point a category;
# categories with the same two numbers lie on each other, and only those with a wide gap or a low ROC-AUC are named.

# %%
from dfr_core.paper_numbers import TABLE_II, TABLE_II_COLUMNS, TABLE_III, TABLE_III_COLUMNS

paper_roc = {name: row[TABLE_II_COLUMNS.index("1:12")] for name, row in TABLE_II.items()}
paper_pro = {name: row[TABLE_III_COLUMNS.index("1:12")] for name, row in TABLE_III.items()}
figure, axis = plt.subplots(figsize=(6.5, 4.5))
axis.plot([0.7, 1], [0.7, 1], color="grey", ls="--", label="both equal")
for name in paper_roc:
    axis.plot(paper_roc[name], paper_pro[name], "o", color=BLUE)
    if paper_roc[name] - paper_pro[name] > 0.05 or paper_roc[name] < 0.9:
        axis.annotate(
            name, (paper_roc[name], paper_pro[name]), (4, -10), textcoords="offset points"
        )
axis.set(xlabel="ROC-AUC (Table II)", ylabel="PRO-AUC (Table III)")
axis.legend(loc="upper left")
picture(
    "The paper's fifteen categories as points, ROC-AUC to the right, PRO-AUC upwards. All but the transistor "
    "lie on or below the diagonal; zipper, tile and cable lie farthest below it."
)

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
#
# ### Exercise 6.1 · Pairs without loops
#
# Think first: if every score is replaced by its negative, what becomes of the ROC-AUC? Then compute it from pairs, ties counting
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
    lambda g: sealed("6.1", "6da685e31908")([g(scores[mask], scores[~mask]), g(np.ones(3), np.ones(4))]),
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
    lambda g: sealed("6.2", "f2348bc80fff")([g(scores >= v, labels[0]) for v in (0.3, 0.5)]),
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
    sealed("6.3", "e44e0732e675"),
    "the area under the line up to 0.3 is a triangle of base 0.3 and height 0.3",
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# What can be compared here is the definition, and it is the paper's. The numbers cannot: a drawn pill is not MVTec AD's, and a
# difference between two data sets says nothing about either method. So they stand beside each other, each with its data, and nothing is
# subtracted. The last digit of ours may differ from processor to processor.

# %% tags=["nbval-ignore-output"]
rows = [
    ("ours, " + edition.data, f"{result['roc_auc']:.2f}", f"{result['pro_auc']:.2f}"),
    ("the paper, MVTec AD", f"{paper_roc['pill']:.2f}", f"{paper_pro['pill']:.2f}"),
]
print(table(rows, head=("pill", "ROC-AUC", "PRO-AUC")))
print("our network:", edition.network)

# %% [markdown]
# ## Five questions

# %%
quiz(6, [
    ("Every score of a detector is squared (all are positive). What becomes of its ROC-AUC?",
     ["it rises", "nothing", "it falls"], 1,
     "Only the order of the scores counts, and squaring positive numbers keeps it."),
    ("Why do touching corners count as connected?",
     ["otherwise a thin diagonal scratch would be dozens of defects", "it is faster", "it raises PRO-AUC"], 0,
     "Its pixels touch at their corners only."),
    ("Why does PRO-AUC stop at a false positive rate of 0.3?",
     ["the curve is not defined beyond it", "every defect is found by then", "what lies beyond is of no use to anybody"], 2,
     "A segmentation that marks more than three tenths of what is normal helps nobody."),
    ("ROC-AUC 0.96, PRO-AUC 0.43. What has probably happened?",
     ["small defects are missed", "the large defect is missed", "the normal images are noisy"], 0,
     "In pixels small defects hardly count, in regions each has a whole vote."),
    ("A good image with high scores is added to the test set. What does PRO-AUC do?",
     ["nothing, it has no region", "it rises", "it falls"], 2,
     "Its pixels belong to the false positive rate that all images share."),
])

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
rough = area(x, y, limit)
sizes = f"{rough:.3f} instead of {by_loop:.3f}"
verdict("a dozen thresholds give another PRO-AUC", abs(rough - by_loop) > 0.001, sizes)

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep feature reconstruction for unsupervised anomaly segmentation. 2020 (arXiv 2012.07122), Section IV-A5.
# - P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: Uninformed students: student-teacher anomaly detection with discriminative latent
#   embeddings. CVPR 2020 (the paper's reference for PRO).

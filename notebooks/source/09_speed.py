# %% [markdown]
# # 09 · Speed: where time and memory go
#
# **Paper:** Section IV-C3, Table VI · **Needs:** notebooks 03 to 05
#
# The paper reports 100 images a second. Is that fast, and what would make it faster? Seconds depend on the machine; operations and
# bytes do not. So we count first, find the stage that costs most, save what can be saved without changing a single score, and only
# then look at a clock. In the end the count judges Table VI itself.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - count the operations of a convolution and of the whole pipeline by hand;
# - name the stage that pays for most of the arithmetic, and the one that pays for most of the memory;
# - explain two savings that leave every score as it was, and prove that they do;
# - test a published speed against what its hardware can do.
#
# **Runtime:** about 8 s and 800 MiB in the quick edition on 2 CPU cores, minutes on a GPU in the paper edition. Download: none.

# %%
from dfr_core.course import check, hint, outcome, picture, predict, quiz, sealed, start

edition = start(9)

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from dfr_core import DFR, literal
from dfr_core.backbones.architecture import architecture
from dfr_core.course import show, table, verdict
from dfr_core.methods import flops
from dfr_core.methods.cae import CAE
from dfr_core.paper_numbers import REFINING, TABLE_VI, TABLE_VI_DEVICE
from dfr_core.plotting import BLUE, GREEN
from dfr_core.regional import Generator
from dfr_core.scoring import residual
from dfr_core.widgets import stages

# %% [markdown]
# ## Counting a convolution (III-A)
#
# A 3 × 3 convolution makes c_out numbers at each of h × w places; each is a sum of 9 · c_in products. A multiplication and an
# addition count as two operations (FLOP):
#
# $$\text{flops}(l) = 2 \cdot h_l\, w_l \cdot 9 \cdot c_{l-1}\, c_l$$
#
# Poolings halve h and w (a quarter of the places), while the channels double (four times the products): so most layers cost alike.


# %%
vgg19 = architecture("vgg19")


def conv_flops(layer, size=256):
    """Operations of layer 1..16 of VGG19 at full width for one image."""
    c = [3, *vgg19.channels()]
    side = size // 2 ** sum(layer > last for last in vgg19.poolings)
    return 2 * side * side * 9 * c[layer - 1] * c[layer]


naive = [conv_flops(layer) for layer in range(1, 17)]
core = [vgg19.conv_flops(layer) for layer in range(1, 17)]
verdict("the count equals the core's, layer by layer", naive == core)
print(
    f"VGG19 to layer 12: {sum(naive[:12]) / 1e9:.0f} GFLOP; to layer 16: {sum(naive) / 1e9:.0f} GFLOP"
)

# %% [markdown]
# Is the formula what the machine does? torch can count for itself. We let it watch the edition's own network:

# %%
settings = replace(edition.settings, layers="1:12")
train = edition.category("screw").load_train(settings.image_size)
detector = DFR(settings).fit(train)
image = train[:1].to(detector.device)
with torch.inference_mode(), FlopCounterMode(display=False) as counter:
    maps = dict(detector.extractor.backbone.feature_maps(image, tuple(range(1, 13))))
counted = counter.get_total_flops()
formula = vgg19.flops("1:12", settings.image_size, settings.width)
verdict("torch counts the same", counted == formula, f"{counted / 1e9:.2f} GFLOP at this width")

# %%
fig, axis = plt.subplots(figsize=(8, 3.6))
axis.bar(range(1, 17), np.array(naive) / 1e9, color=BLUE)
axis.set(
    xlabel="layer",
    ylabel="GFLOP",
    title="VGG19 at full width, one image of 256 x 256",
    xticks=range(1, 17),
)
picture(
    "Bars for the sixteen layers. The first is tiny; the other eleven up to layer 12 cost 4.8 GFLOP, or half "
    "as much where the channels have just doubled; layers 13 to 16 cost 1.2 each."
)
print(
    f"cheapest and dearest of layers 2 to 12: {min(naive[1:12]) / 1e9:.1f} and {max(naive[1:12]) / 1e9:.1f} GFLOP"
)

# %% [markdown]
# Layer 12 lies behind eleven others. So $f_{12}$, a single scale, pays for the backbone exactly as much as $f_{1:12}$: leaving small scales
# out saves nothing here.
#
# ## Counting the autoencoder (III-C, Table VIII)
#
# Six 1 × 1 convolutions at h_o × w_o = 64 × 64 places. Between layers of a and b channels:
#
# $$\text{flops} = 2 \cdot 64 \cdot 64 \cdot a\, b.$$
#
# c_d is not in the paper (it depends on the data set, by PCA); we take 200 at full width. This edition's own detector has found its
# c_d by PCA; in the small editions it is about a tenth of c_o. The paper calls its autoencoder "deep yet efficient".

# %%
predict(
    "9.1",
    "At full width the twelve layers of VGG19 cost 46 GFLOP. And the autoencoder of f{1:12}?",
    "about a tenth of that",
    "about the same",
    "more than twice as much",
)


# %%
def cae_flops(c_o, c_d, places=64 * 64):
    """Operations of Table VIII's autoencoder for one image."""
    outer = (c_o + c_d) // 2
    sizes = [c_o, outer, 2 * c_d, c_d, 2 * c_d, outer, c_o]
    return sum(2 * places * a * b for a, b in zip(sizes, sizes[1:]))


c_o = vgg19.feature_dimension("1:12")
whole, backbone = cae_flops(c_o, 200) / 1e9, sum(naive[:12]) / 1e9
right = 2 if whole > 2 * backbone else 1 if whole > backbone / 2 else 0
outcome("9.1", right, f"c_o = {c_o}: autoencoder {whole:.0f} GFLOP, backbone {backbone:.0f} GFLOP.")
verdict("the count equals the core's", 1e9 * whole == flops.cae_flops(c_o, 200))

# %%
with torch.inference_mode(), FlopCounterMode(display=False) as counter:
    CAE(detector.c_o_, detector.c_d_)(torch.zeros(64 * 64, detector.c_o_))
own_cae = cae_flops(detector.c_o_, detector.c_d_)
same = counter.get_total_flops() == own_cae
verdict("torch counts the same for this edition's own", same, f"{own_cae / 1e9:.2f} GFLOP")

# %% [markdown]
# 117 against 46: the "deep yet efficient CAE" is the bill, not the deep network. Its first and last layers hold almost all of it,
# since they touch all 3456 channels.
#
# ### Exercise 9.1 What does one more scale cost?
#
# Going from $f_{1:12}$ to $f_{1:16}$ adds four of the widest layers. Does the backbone or the autoencoder pay more for it? Guess, then
# write `growth(first, second)`, how many times as many operations the autoencoder (c_d = 200) needs for the second layer set
# as for the first. Use `vgg19.feature_dimension` and `cae_flops`.


# %%
def growth(first, second):
    """Autoencoder operations of layer set second over those of first, such as growth("1:12", "1:16")."""
    # BEGIN SOLUTION
    before, after = (vgg19.feature_dimension(layers) for layers in (first, second))
    return cae_flops(after, 200) / cae_flops(before, 200)
    # END SOLUTION


check(
    "9.1",
    growth,
    lambda g: sealed("9.1", "e49e797e4ad6")([g("1:12", "1:16"), g("12", "1:12")]),
    "vgg19.feature_dimension gives c_o",
    probe=("1:12", "1:16"),
)

# %% [markdown]
# ## Counting bytes (III-B)
#
# Arithmetic is one bill, memory the other. Eq. 1 to the letter blows every map up to the size of the image, in float32:
#
# $$\text{bytes of Eq. 1} = 4 \cdot 256 \cdot 256 \cdot c_o, \qquad \text{bytes of } f = 4 \cdot 64 \cdot 64 \cdot c_o.$$
#
# But a map of 32 × 32 units has no more to say at 64 × 64 than at 32 × 32: its copy need not exist. Kept at their own size, the
# same features take

# %%
own = sum(c * min(64, vgg19.side(layer)) ** 2 for layer, c in zip(range(1, 13), vgg19.channels()))
rows = [
    ("maps aligned to the image (Eq. 1)", 256 * 256 * c_o),
    ("f written out (Eq. 3)", 64 * 64 * c_o),
    ("coarse maps kept coarse", own),
]
print(
    table(
        [(name, f"{4 * numbers / 2**20:.0f}") for name, numbers in rows],
        head=("f{1:12} of one image", "MiB"),
    )
)

# %% [markdown]
# 864 MiB for one image, of which 30 are information. The core never makes the big tensor. That it makes the same features is no
# matter of trust:

# %%
n = settings.image_size
with torch.inference_mode():
    written = literal.regional_features(list(maps.values()), (n, n))  # Eq. 1-3 to the letter
    features = Generator()(list(maps.items()), (n, n))
off = float((written.permute(0, 2, 3, 1) - features.dense()).abs().max())
verdict("literal and lean features are equal", off < 1e-5, off)
formula = sum(m.shape[1] * min(n // 4, m.shape[2]) ** 2 for m in maps.values())
size = f"{features.nbytes / 2**20:.1f} MiB at this width"
verdict("and take the bytes that the formula says", features.nbytes == 4 * formula, size)

# %% [markdown]
# ## A saving in arithmetic: let the first layer come first
#
# Layer 1 of the autoencoder is a 1 × 1 convolution: the same linear map W at every place. Replicating a map (nearest neighbour,
# from 32 × 32 to 64 × 64) copies places. Linear map and copy commute, so the map can be taken *before* the copy, at a quarter of
# the places:
#
# $$W \cdot \text{replicate}(\phi) = \text{replicate}(W \cdot \phi)$$

# %%
phi = torch.randn(32, 32, 64, generator=torch.Generator().manual_seed(9))
W = torch.randn(10, 64, generator=torch.Generator().manual_seed(10))
copied = phi.repeat_interleave(2, 0).repeat_interleave(2, 1)  # [64, 64, 64]
late = copied @ W.T
early = (phi @ W.T).repeat_interleave(2, 0).repeat_interleave(2, 1)
off = float((late - early).abs().max())
verdict("linear map and replication commute", off < 1e-4, off)
print("places computed: late", 64 * 64, "early", 32 * 32)

# %%
with torch.inference_mode():
    f = features.dense()
    to_the_letter = residual(f, detector.model(f))  # Eq. 5
    lean = detector.regional_anomaly_map(features)
off = float(((to_the_letter - lean).abs() / to_the_letter).max())
verdict("the anomaly map is the same, to a thousandth", off < 1e-3, off)
for s in ("1:12", "1:16"):
    whole = flops.cae_flops(vgg19.feature_dimension(s), 200)
    share = flops.first_layer_saving(vgg19, s, 200) / whole
    print(f"f{{{s}}} at full width: {share:.0%} of the autoencoder's operations saved")

# %% [markdown]
# A fifth to almost a third of the largest bill, for free. The last layer cannot be treated alike: it *makes* all channels at all places.
# To save there one must change the method (the `projection` extension of notebook 07 does).
#
# ### Exercise 9.2 Which maps pay less?
#
# Only maps coarser than 64 × 64 gain. How many of the layers 1 to 16 are those? Guess; then write `saved(layer)`: the share of the
# places that the early order saves for one layer, 0 for layers at least as fine as 64 × 64.


# %%
def saved(layer):
    """Share of the 64 x 64 places of autoencoder layer 1 that need not be computed for a VGG19 layer's map."""
    # BEGIN SOLUTION
    side = min(64, vgg19.side(layer))
    return 1 - side**2 / 64**2
    # END SOLUTION


check(
    "9.2",
    saved,
    lambda g: sealed("9.2", "5181b7637bd5")([g(k) for k in range(1, 17)]),
    "vgg19.side(layer) gives the units a side",
    probe=(9,),
)

# %% [markdown]
# ## All stages side by side
#
# Choose a layer set and a latent dimension; tick the box to compute lean. All numbers are counted for the full network and one
# image, so they are the same on every machine. *Memory written* is what a stage makes and holds. Below the widget stands one setting
# without it, both ways.

# %%
stages.build()

# %%
literal_way, lean_way = (stages.stages("1:12", 200, lean=lean) for lean in (False, True))
short = ("to the letter", "alignment stands out"), ("lean", "all bars are short")
for way, (title, seen) in zip((literal_way, lean_way), short):
    show(
        stages.draw(way, 130, 950),  # the ends of both scales: the same for both pictures
        titles=(title,),
        width=11.5,
        alt=f"Two bars for each of five stages, computed {title}. Arithmetic: the autoencoder's bar is by "
        f"far the longest, then VGG19's. Memory: {seen}.",
    )
largest = max(literal_way, key=lambda part: part.flops)
share = largest.flops / sum(part.flops for part in literal_way)
verdict("most arithmetic goes into the autoencoder", largest.name == "autoencoder", f"{share:.0%}")
peaks = [max(part.nbytes for part in way) / 2**20 for way in (literal_way, lean_way)]
sizes = f"{peaks[0]:.0f} against {peaks[1]:.0f} MiB"
verdict("lean writes less than a tenth at its peak", peaks[1] < peaks[0] / 10, sizes)

# %% [markdown]
# ## On this machine
#
# Now the clock. The bars below are this computer's, on the edition's own network; they are the one thing here that will differ from
# what you see in print. Where counted and timed shares disagree, a stage moves many bytes for few operations, or the network is too
# small to keep the processor busy. Counted first, for comparison:

# %%
share = own_cae / (own_cae + counted)
words = "counted: more than half of this edition's arithmetic is the autoencoder's"
verdict(words, share > 0.5, f"{share:.0%}")

# %% tags=["nbval-ignore-output"]
seconds = stages.measure(detector, image)
fig, axis = plt.subplots(figsize=(8, 3))
axis.barh(list(seconds)[::-1], [1000 * s for s in list(seconds.values())[::-1]], color=GREEN)
axis.set(
    xlabel="milliseconds for one image (best of three)",
    title=f"{1 / sum(seconds.values()):.0f} images a second here",
)
picture(
    "Horizontal bars, milliseconds on this machine: VGG19, align and aggregate, autoencoder with score, "
    "and upsampling, which is hardly visible."
)

# %% [markdown]
# ## What Table VI asks of its GPU (IV-C3)
#
# The paper used a GTX 1080 Ti. Its peak in float32 is 2 operations × 3584 units × 1.582 GHz (boost). A program cannot exceed the
# peak; good convolutions reach perhaps half to two thirds. Multiply the paper's images a second by the operations of one image:

# %%
peak = 2 * 3584 * 1.582e9
print(f"{TABLE_VI_DEVICE}: {peak / 1e12:.1f} TFLOP/s at most")
rows = []
for s, fps in zip(REFINING, TABLE_VI["fps"]):
    work = vgg19.flops(s) + flops.cae_flops(vgg19.feature_dimension(s), 200)
    rows.append(
        (
            f"f{{{s}}}",
            f"{work / 1e9:.0f}",
            fps,
            f"{fps * work / 1e12:.1f}",
            f"{fps * work / peak:.0%}",
        )
    )
print(table(rows, head=("", "GFLOP an image", "paper's fps", "TFLOP/s", "of the peak")))

# %% [markdown]
# More than the whole peak for four of the five sets. Does it hang on our guess of c_d? Take the smallest possible code, a single
# number. And if every convolution ran by Winograd's method, which needs 2.25 times fewer products? And with everything at once?

# %%
code_of_one = flops.cae_flops(c_o, 1)
whole = flops.cae_flops(c_o, 200) - flops.first_layer_saving(vgg19, "1:12", 200)
ways = {
    "c_d = 1": vgg19.flops("1:12") + code_of_one,
    "c_d = 1, Winograd (2.25)": vgg19.flops("1:12") / 2.25 + code_of_one,
    "c_d = 200, Winograd's larger tiles (4), first layer first": vgg19.flops("1:12") / 4 + whole,
}
asked = {name: 100 * work / peak for name, work in ways.items()}
print(table([(name, f"{share:.0%}") for name, share in asked.items()], head=("100 fps", "of the peak")))
first, second, everything = asked.values()
verdict("the first two exceed the peak, the last does not", min(first, second) > 1 > everything)

# %% [markdown]
# So a program that does what the paper writes, operation by operation in float32, cannot have had this speed from an image to its
# anomaly map. With every saving at once (the last line) it would stay just below the peak, far above what good convolutions reach: not
# impossible on paper, hardly what was run. Perhaps asynchronous calls were timed without waiting for the GPU, perhaps only part of
# the pipeline; the paper does not say, and we do not know. What can be used of Table VI is its *order*.
#
# ### Exercise 9.3 An honest bound
#
# Write `most_fps(layers, peak)`: the images a second that a GPU of this peak cannot exceed (c_d = 200, to the letter: backbone plus
# autoencoder). The last column of the table above tells you roughly what it must say for $f_{1:12}$.


# %%
def most_fps(layers, peak):
    """Images a second that a program working to the letter cannot exceed at this peak in FLOP/s."""
    # BEGIN SOLUTION
    return peak / (vgg19.flops(layers) + flops.cae_flops(vgg19.feature_dimension(layers), 200))
    # END SOLUTION


check(
    "9.3",
    most_fps,
    lambda g: sealed("9.3", "79344bf45d53")([g("12", 1e13), g("1:12", 1e13)]),
    "peak divided by the operations of one image",
    probe=("12", peak),
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# Images a second cannot be compared across machines; cost relative to $f_{12}$ can. Ours is counted, the paper's timed:


# %%
def cost(s):
    """Operations of one image for a layer set at full width."""
    return vgg19.flops(s) + flops.cae_flops(vgg19.feature_dimension(s), 200)


rows = []
for s, fps in zip(REFINING, TABLE_VI["fps"]):
    ours, paper = cost(s) / cost("12"), TABLE_VI["fps"][0] / fps
    rows.append((f"f{{{s}}}", f"{ours:.2f}", f"{paper:.2f}", f"{ours - paper:+.2f}"))
print(table(rows, head=("cost, f{12} = 1", "ours", "paper", "difference")))

# %% [markdown]
# The order agrees; the paper's costs grow far slower than the operations do, as if something with a fixed cost dominated its timing.
#
# ## Five questions

# %%
quiz(9, [
    ("A pooling halves both sides and the channels double. What does the next convolution cost?",
     ["as much as before", "a quarter", "four times as much"], 0,
     "A quarter of the places, four times the products. (Where only its outputs have doubled yet: half.)"),
    ("What does one save in the backbone by using f{12} instead of f{1:12}?",
     ["eleven twelfths", "about a half", "nothing"], 2,
     "Layer 12 needs the outputs of all layers before it."),
    ("Why does the autoencoder cost more than the deep network?",
     ["it is deeper", "its outer layers touch all 3456 channels at 4096 places", "it is trained longer"], 1,
     "Its cost grows with the square of c_o."),
    ("Why may the first layer of the autoencoder come before the replication?",
     ["a linear map of a copy is a copy of the linear map", "replication is exact", "it is small"], 0,
     "They commute, so no score changes."),
    ("Table VI asks for 144 % of its GPU's peak. What follows?",
     ["the paper is wrong about its metrics", "the timing cannot be from image to map, to the letter", "nothing"], 1,
     "No program exceeds the peak; something was left out of the timing or of the arithmetic."),
])

# %% [markdown]
# ## Summary
#
# - One image of $f_{1:12}$ costs 163 GFLOP at c_d = 200: 46 in VGG19, 117 in the autoencoder.
# - Eq. 1 to the letter writes 864 MiB; the same information fits into 30.
# - A linear layer commutes with replication: a fifth or more of the autoencoder is saved, and no score changes.
# - To the letter, Table VI asks more of its GPU than its peak, whatever c_d; its order is sound, its height is hardly end to end.

# %% [markdown]
# ## Deviations
#
# - c_d = 200 at full width is our assumption. That work to the letter exceeds the peak does not depend on it.
# - The clock is read on the edition's network (slim, VGG19 at an eighth of its width, in the small editions), one image at a time.
# - The peak is the maker's figure at boost clock.

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation. arXiv 2012.07122, Section IV-C3.
# - A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks. CVPR 2016 (Winograd's method).
# - NVIDIA: GeForce GTX 1080 Ti, specifications (3584 units, 1582 MHz boost).

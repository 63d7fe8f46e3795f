# %% [markdown]
# # 10 · Your own photographs
#
# **Paper:** Section III-D, Section IV-A4 (the method at work; no figure of its own) · **Needs:** notebooks 00 and 05
#
# The paper's data set is one of fifteen things somebody else photographed. Yours is on your phone. This notebook takes a folder of
# JPEG files as a camera writes them, fits a detector to it, scores suspicious pictures, keeps the detector in a file, and then
# hands you a brush: paint a defect on a faultless image and see whether the detector minds.

# %% [markdown]
# ## Goals
#
# After this notebook you can
#
# - lay out a folder of photographs so that `load_photographs` finds what is normal, what is to be tested, and where its defects
#   are;
# - say what happens to a photograph on its way into the network;
# - fit, choose a threshold from normal images alone, score, save and load;
# - find by experiment the smallest and the faintest defect that your detector sees;
# - name a change that is no defect and still raises the alarm.
#
# **Runtime:** about 12 s and 800 MiB in the quick edition on 2 CPU cores, minutes on a GPU in the paper edition. Download: none.

# %%
from dfr_core.course import check, start

edition = start(10)

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from safetensors import safe_open
from scipy.ndimage import binary_dilation

from dfr_core import DFR, DFRError, load_photographs
from dfr_core.course import show, table, verdict
from dfr_core.data import load_images, read_image
from dfr_core.paper_numbers import TABLE_VII
from dfr_core.plotting import BLUE, FOUND, RED, heat, outline, to_image
from dfr_core.data.synthetic import make_image
from dfr_core.widgets import paint

# %% [markdown]
# ## A folder of photographs
#
# You have none at hand? We make some: synthetic leather, cut to the shape of a camera's picture and saved as JPEG. The layout is
# the simplest there is. Only `normal` is needed; without `test` there is nothing to score yet, without `masks` nothing to measure
# with.
#
#     photographs/
#         normal/   00.jpg 01.jpg ...        good pieces, nothing else
#         test/     fold.jpg good0.jpg ...   what you want judged
#         masks/    fold.png ...              white where the defect is (only if you want metrics)
#
# Names mean nothing: a test picture is a defect if `masks` holds a mask of its name, and good if it does not; without the folder
# `masks` nobody said, and all are unknown. To use your own, name your folder in the next cell, `yours = Path("photographs")`,
# and run the whole notebook: nothing is written into it. What is claimed of the synthetic pictures is then only printed for yours.

# %%
yours = None
workshop = Path(tempfile.mkdtemp())  # whatever this notebook writes, it writes here
folder = yours or workshop / "photographs"


def claim(name, holds):
    """A claim about the synthetic photographs must hold; of yours it only prints what came out."""
    verdict(name, holds) if yours is None else print(f"{name}: {'yes' if holds else 'no'}")


def photograph(pixels, path, upright=False):
    """Save [256, 256, 3] as a 400 x 300 picture; an upright one is stored lying, with a note which way is up (EXIF)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = (
        Image.fromarray(pixels).crop((0, 0, 256, 192)).resize((400, 300), Image.Resampling.BICUBIC)
    )
    exif = Image.Exif()
    if upright:
        exif[0x0112] = 6  # "turn me by a quarter clockwise"
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    picture.save(path, quality=92, exif=exif)


# %%
def make_photographs(folder):
    """Ten normal ones; three good ones and three defects to test with."""
    for index in range(10):
        pixels, _ = make_image("leather", index)
        photograph(pixels, folder / "normal" / f"{index:02d}.jpg", upright=index == 3)
    for index in range(3):
        pixels, _ = make_image("leather", index, split="test")
        photograph(pixels, folder / "test" / f"good{index}.jpg")
    for defect, index in (("fold", 25), ("glue", 25), ("poke", 24)):
        pixels, mask = make_image("leather", index, split="test", defect=defect)
        photograph(pixels, folder / "test" / f"{defect}.jpg")
        (folder / "masks").mkdir(exist_ok=True)
        drawn = Image.fromarray(mask.astype(np.uint8) * 255).crop((0, 0, 256, 192))
        drawn.resize((400, 300), Image.Resampling.NEAREST).save(folder / "masks" / f"{defect}.png")  # no soft edges


if yours is None:
    make_photographs(folder)
category = load_photographs(folder)
print(len(category.train), "normal;", len(category.test), "to test:")
print(*(f"{sample.path.name} ({sample.defect})" for sample in category.test), sep=", ")

# %% [markdown]
# ## What the network gets (IV-A4)
#
# "The images are resized to the size of 256 × 256 pixels and their channels are triplicated if gray images are encountered": that
# is all the paper says. A photograph of 400 × 300 pixels is squeezed, not cropped, so that no corner goes unseen. In a cell:

# %%
size = edition.settings.image_size
first = Image.open(category.train[0])
print("stored:", first.size, first.mode)
naive = np.asarray(first.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
claim(
    "the naive reading equals read_image",
    np.array_equal(naive, read_image(category.train[0], size)),
)

# %%
show(
    np.asarray(first),
    naive,
    titles=("as photographed", f"as the network sees it: {size} x {size}"),
    width=3.6,
)

# %% [markdown]
# Squeezing is harmless as long as *all* your photographs have one shape: what is normal is learnt squeezed as well. Mixing upright
# and lying pictures of a directed material (wood, fabric) would not be harmless.
#
# A phone held upright stores the picture lying and adds a note (EXIF) which way is up. We make such a file.
# Programs that ignore the note see a turned image; `read_image` does not:

# %%
turned = workshop / "turned.jpg"
photograph(make_image("leather", 3)[0], turned, upright=True)
ignored = np.asarray(
    Image.open(turned).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
).astype(float)
upright = Image.fromarray(make_image("leather", 3)[0]).crop((0, 0, 256, 192))
wanted = np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR)).astype(float)
ours, theirs = (np.abs(image - wanted).mean() for image in (read_image(turned, size), ignored))
verdict(
    "read_image turns the picture: its error is less than half of the other's", ours < theirs / 2
)

# %% [markdown]
# Folders that people fill hold surprises. Every mistake is answered in one line that names the file and says what to do:

# %%
broken = workshop / "broken"
broken.mkdir()
(broken / "holiday.jpg").write_text("this is not a picture")
try:
    load_photographs(broken).load_train(size)
except DFRError as mistake:
    print(str(mistake).replace(str(workshop), "..."))

# %% [markdown]
# ## Fit
#
# Nothing but normal images is needed; that is the point of the method. One line, then the loss to see that training has settled
# (Eq. 4). (In the small editions the autoencoder starts from PCA and a least-squares fit, so the loss starts low, climbs while the step
# size grows, and comes down again. In a run this short it may well end above where it began: that start is hard to beat, and each point
# is one small batch. So do not read it as progress; the maps below are the test.)

# %%
detector = DFR(edition.settings).fit(category)
fig, axis = plt.subplots(figsize=(5, 2.6))
axis.plot(detector.loss_curve_)
axis.set(xlabel="step", ylabel="loss (Eq. 4)", title="Training the autoencoder", ylim=(0, None))
plt.show()
end = detector.loss_curve_[-5:].mean()
print("the loss ends below its peak:", bool(end < 0.9 * detector.loss_curve_.max()))

# %% [markdown]
# ## A threshold without a single defect (III-D)
#
# Nobody showed the detector a defect, so the threshold T can only come from what is normal: the smallest T such that at most a
# share FPR of the normal pixels lies above it. Naively: sort all scores of the normal images and count down.

# %%
scores = np.sort(detector.anomaly_map(category), axis=None)[
    ::-1
]  # a Category stands for its normal images
for fpr in (0, 0.005):
    allowed = int(fpr * scores.size)
    limit = scores[allowed]
    print(f"FPR {fpr}: {allowed:,} of {scores.size:,} normal pixels may exceed T")
    verdict(
        "the naive threshold equals the detector's",
        np.isclose(limit, detector.threshold(fpr), rtol=1e-4),
    )

# %% [markdown]
# The paper shows FPR 0 and 0.005 (Fig. 4). With 0 no normal *training* pixel raises an alarm: right for a verdict on whole images.
# With 0.005 the outlines of a defect are fuller, and a few specks of good leather are marked: right for looking closer.

# %%
files = [sample.path for sample in category.test] or list(category.train)
test = load_images(files, size).numpy()
maps = detector.anomaly_map(test)
name = [path.stem for path in files]
odd = int(maps.max((1, 2)).argmax())  # the most suspicious picture
marked = outline(to_image(test[odd]), maps[odd] > detector.threshold(0.005), FOUND, width=2)
show(
    to_image(test[odd]),
    heat(maps[odd]),
    marked,
    titles=("test photograph", "anomaly map", "found at FPR 0.005"),
    width=3,
)

# %% [markdown]
# ## One verdict for each photograph
#
# An image is called anomalous when its highest score exceeds T for FPR 0. With masks we can also say how well the *pixels* are
# ranked:

# %%
verdicts = detector.image_score(test) / detector.threshold(0)
fig, axis = plt.subplots(figsize=(5, 2.4))
colours = {"good": BLUE, "unknown": "grey"}  # any other word is a defect's
kind = [sample.defect for sample in category.test] or ["good"] * len(files)
axis.barh(range(len(files)), verdicts, color=[colours.get(word, RED) for word in kind])
axis.set_yticks(range(len(files)), name)
axis.axvline(1, color="black", linewidth=1)
axis.set(
    xlabel="highest score / threshold at FPR 0",
    title="Right of the line: anomalous; orange: has a defect",
)
plt.show()

# %%
if yours is None:
    truth = category.load_test(size)[1].numpy()
    found = dict(zip(name, verdicts))
    claim("fold and poke are called anomalous", min(found["fold"], found["poke"]) > 1)
    glue = name.index("glue")
    above = maps[glue][truth[glue]] > detector.threshold(0)
    print("any pixel of the glue above T at FPR 0:", bool(above.any()))
if category.defects and "unknown" not in category.defects:  # masks say where the defects are
    ranked = detector.evaluate(category)["roc_auc"]
    claim("all the same, pixels are ranked better than by chance", ranked > 0.6)

# %% [markdown]
# Even the glue, dull on dull, has pixels above the largest score of the good leather. That threshold is the score of the oddest good
# pixel in the folder, so it can be wrong both ways: one odd "normal" photograph lifts it, and small defects go unseen; and with ten
# photographs a new good one easily exceeds it. Are there blue bars right of the line? `dfr fit --calibrate` is for them.

# %% [markdown]
# ## Keep it
#
# A detector is kept in one safetensors file: numbers and words, no code, nothing that runs when it is opened. The backbone is not
# in it, only its fingerprint.

# %%
file = workshop / "leather.safetensors"
detector.save(file)
again = DFR.load(file)
verdict("the loaded detector gives the same maps", np.array_equal(again.anomaly_map(test), maps))
with safe_open(file, framework="np") as opened:
    print("words in the file:", ", ".join(sorted(opened.metadata())))

# %% [markdown]
# Whoever opens the file next year finds with what settings, on what data and in which versions it was made. The same from a
# terminal, for a thousand photographs:
#
#     dfr fit photographs --out leather.safetensors
#     dfr score leather.safetensors photographs/test --out scored
#     dfr evaluate leather.safetensors photographs

# %% [markdown]
# ## Paint a defect
#
# Drag the mouse over the left picture; when you let go, the map on the right follows. Without a mouse: choose row and column with
# the arrow keys, then press *Place a dab*. Blue outlines what exceeds the threshold at FPR 0. Things to try: a hair (brush 1), a
# stain in almost the colour of the leather, white chalk, a stroke that continues a crease.
#
# Below the widget stands one stroke without it: chalk, 8 pixels wide. The blue area comes out wider than the paint. It must: a
# regional feature beside the stroke has the stroke in its receptive field (notebook 01), so it is odd as well.

# %%
clean = [to_image(image) for image, word in zip(test, kind) if word == "good"]
clean = clean or [to_image(x) for x in category.load_train(size)[:3]]  # no test image known to be good
limit = detector.threshold(0)
score = lambda image: detector.anomaly_map(image)[0]  # noqa: E731 · [h, w, 3] -> [h, w]


paint.build(clean, score, limit, [f"good piece {k}" for k in range(len(clean))])

# %%
chalk = paint.stroke(clean[0], [(70, 90), (120, 130), (190, 120)], (240, 240, 240), 8)
chalk_map = score(chalk)
drawn = paint.draw(chalk_map, limit, 0, 2 * limit)
show(clean[0], chalk, drawn, titles=("normal", "painted", "anomaly map, blue: above T"), width=3)
painted = (chalk != clean[0]).any(-1)
claim("most of the chalk is found", (chalk_map > limit)[painted].mean() > 0.5)
near = binary_dilation(painted, iterations=16)
claim("the highest score lies within 16 pixels of the chalk", near.flat[chalk_map.argmax()])

# %% [markdown]
# ### Exercise 10.1 How much too wide?
#
# Write `blur(painted, found)`: the number of found pixels divided by the number of painted ones, such as
# `blur(painted, chalk_map > limit)`. Predict whether it shrinks or grows when the brush gets wider, and why; then repaint and see.


# %%
def blur(painted, found):
    """Area found, in units of the area painted; both bool [h, w]."""
    # BEGIN SOLUTION
    return found.sum() / painted.sum()
    # END SOLUTION


square, halo = np.zeros((2, 32, 32), bool)
square[10:14, 10:14], halo[8:16, 8:16] = True, True
check(
    "10.1", blur, lambda g: g(square, halo) == 4, "both masks have a .sum()", probe=(square, halo)
)

# %% [markdown]
# ## How small may it be?
#
# Dabs of chalk, of dark dye and of the leather's own mean colour, from one pixel up, always in the middle of the image. We note the
# highest score within the paint, over the threshold. Predict before you run on: which of the three is found at the smallest width,
# and is each of them found at all?

# %%
dyes = {
    "chalk": (240, 240, 240),
    "dark dye": (43, 26, 16),
    "its own mean": tuple(int(v) for v in clean[0].mean((0, 1))),
}
widths = (1, 2, 4, 8, 16, 32)


def peak(colour, width):
    """Highest score within a dab in the middle of the image, over the threshold."""
    dabbed = paint.stroke(clean[0], [(size // 2, size // 2)], colour, width)
    touched = (dabbed != clean[0]).any(-1)
    return float(score(dabbed)[touched].max() / limit) if touched.any() else 0.0


peaks = {name: [peak(colour, width) for width in widths] for name, colour in dyes.items()}

# %%
fig, axis = plt.subplots(figsize=(5.5, 3.2))
for (dye, values), marker in zip(peaks.items(), "os^"):
    axis.plot(widths, values, marker=marker, label=dye)
axis.axhline(1, color="black", linewidth=1)
axis.set(xscale="log", yscale="log", xlabel="width of the dab [pixels]", ylabel="highest score / T")
axis.set_xticks(widths, widths)
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
plt.show()
claim("a wide dab of chalk is found", peaks["chalk"][-1] > 1.2)
claim("at 32 pixels chalk scores higher than dark dye", peaks["chalk"][-1] > peaks["dark dye"][-1])
print("found in the leather's own mean colour at 32 pixels:", peaks["its own mean"][-1] > 1)

# %% [markdown]
# ### Exercise 10.2 The smallest dab
#
# A flat patch in the leather's mean colour is, to a person, a defect: the grain is missing. The printed line says whether this slim
# network sees it; in the quick edition it lets it pass.
#
# Write `smallest(colour)`: the smallest width in `widths` with `peak(...) > 1`, or None if there is none. Then predict it for a dye
# halfway between chalk and the leather's mean, and try.


# %%
def smallest(colour):
    """The smallest width in widths at which a dab of this colour exceeds the threshold."""
    # BEGIN SOLUTION
    return next((width for width in widths if peak(colour, width) > 1), None)
    # END SOLUTION


# %%
expected = [next((w for w, v in zip(widths, peaks[dye]) if v > 1), None) for dye in dyes]
check(
    "10.2",
    smallest,
    lambda g: [g(colour) for colour in dyes.values()] == expected,
    "go through widths from the left, stop at the first peak above 1",
    probe=(dyes["chalk"],),
)

# %% [markdown]
# ## What is no defect and still raises the alarm
#
# Open the curtain: the same good leather, every pixel multiplied by one factor. The detector knows only the light of the training
# photographs. A network that learnt from photographs in all sorts of light bears some of it: the curve stays flat around 1, then rises
# steeply. The remedies are dull and work: fix lamp and exposure, or show the detector the light that may occur.

# %%
factors = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
lit = np.stack([(clean[0] * factor).clip(0, 255).astype(np.uint8) for factor in factors])
alarm = (detector.anomaly_map(lit) > limit).mean((1, 2))
fig, axis = plt.subplots(figsize=(5, 2.6))
axis.plot(factors, alarm, marker="o")
axis.set(
    xlabel="brightness factor", ylabel="share of pixels above T", title="No defect, only light"
)
plt.show()
claim("unchanged light: less than 1 % above T", alarm[factors.index(1.0)] < 0.01)
print("half as bright again: more than half of the image above T:", bool(alarm[-1] > 0.5))

# %% [markdown]
# ### Exercise 10.3 Show it more light
#
# Write `relight(images, factors)`: every image at every brightness, uint8 [len(factors) · N, h, w, 3], clipped to 0..255. Predict
# before you try: what does fitting to such images do to the threshold, and so to faint defects? Then, with
# `train = category.load_train(size).permute(0, 2, 3, 1).numpy()`, fit `DFR(edition.settings)` to `relight(train, (0.8, 1, 1.3))` and
# draw the curve above again, with the new detector's own `threshold(0)`.


# %%
def relight(images, factors):
    """Images uint8 [N, h, w, 3] at every brightness: uint8 [len(factors) * N, h, w, 3]."""
    # BEGIN SOLUTION
    return np.concatenate(
        [(images * float(factor)).clip(0, 255).astype(np.uint8) for factor in factors]
    )
    # END SOLUTION


# %%
grey = np.full((2, 4, 4, 3), 200, np.uint8)
wanted = np.concatenate([grey // 2, np.full_like(grey, 255)])
check(
    "10.3",
    relight,
    lambda g: np.array_equal(g(grey, (0.5, 2)), wanted),
    "multiply as float, clip, then turn to uint8; np.concatenate the results",
    probe=(grey, (0.5, 2)),
)

# %% [markdown]
# ## Ours, the paper's, the difference
#
# There is no table of the paper to compare with here. What differs is what went in:

# %%
s = edition.settings
length = f"{s.steps} steps" if s.steps else f"{s.epochs} epochs"
rows = [
    ("normal images", len(category.train), f"{TABLE_VII['leather'][0]} (leather)"),
    ("image size", s.image_size, 256),
    ("training", length, "700 epochs"),
    ("backbone", f"{s.weights}, width {s.width:g}", "imagenet, width 1"),
    ("padding", s.padding, "zeros"),
]
print(table(rows, head=("", "ours", "paper")))

# %% [markdown]
# ## Summary
#
# - A folder of normal photographs is all it takes; rotation notes, shapes and grey images are dealt with, mistakes are named.
# - The threshold comes from normal images; FPR 0 for a verdict, 0.005 for a closer look.
# - A model file tells how it was made, and gives the same maps when loaded.
# - The anomaly map is wider than the defect by about a receptive field; small and faint defects fall below what good material
#   already scores.
# - Light is not a defect, but to this detector it looks like one.

# %% [markdown]
# ## Deviations
#
# - The photographs here are synthetic. The paper uses MVTec AD's, taken under fixed light; nothing above is a statement about
#   those.
# - The paper does not say how images are resized; ours is bilinear with antialiasing, and squeezes what is not square.
# - An image-wise verdict (the highest score) is not in the paper, which segments pixels only.

# %% [markdown]
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation. arXiv 2012.07122, Sections III-D
#   and IV-A4.
# - ipycanvas, the canvas that is painted on: https://ipycanvas.readthedocs.io

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
# - say what less light does to defects, and to good pieces;
# - name a change that is no defect and still raises the alarm.
#
# **Runtime:** about 12 s and 800 MiB in the quick edition on 2 CPU cores, minutes on a GPU in the paper edition. Download: none.

# %%
from dfr_core.course import check, hint, outcome, picture, predict, quiz, sealed, start

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
#         test/     cut.jpg good0.jpg ...    what you want judged
#         masks/    cut.png ...              white where the defect is (only if you want metrics)
#
# Names mean nothing: a test picture is a defect if `masks` holds a mask of its name, and good if it does not; without the folder
# `masks` nobody said, and all are unknown. To use your own, name your folder in the next cell, `yours = Path("photographs")`,
# and run the whole notebook: nothing is written into it. What is claimed of the synthetic pictures is then only printed for yours.

# %%
yours = None
workshop = Path(tempfile.mkdtemp())  # whatever this notebook writes, it writes here
folder = yours or workshop / "photographs"


def claim(name, holds, size=None):
    """A claim about the synthetic photographs must hold; of yours it only prints what came out."""
    said = f"{name}: {'yes' if holds else 'no'}" + ("" if size is None else f" ({size})")
    verdict(name, holds, size) if yours is None else print(said)


def seen(words):
    """What is seen in a picture of the synthetic photographs; of yours nobody has written it yet."""
    return words if yours is None else "The same as in the text, of your own photographs."


def photograph(pixels, path, upright=False):
    """Save [256, 256, 3] as a 400 x 300 picture; an upright one is stored lying, with a note which way is up (EXIF)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    taken = Image.fromarray(pixels).crop((0, 0, 256, 192))
    taken = taken.resize((400, 300), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if upright:
        exif[0x0112] = 6  # "turn me by a quarter clockwise"
        taken = taken.transpose(Image.Transpose.ROTATE_90)
    taken.save(path, quality=92, exif=exif)


# %%
def make_photographs(folder):
    """Ten normal ones; eight good ones and four defects to test with."""
    for index in range(10):
        pixels, _ = make_image("leather", index)
        photograph(pixels, folder / "normal" / f"{index:02d}.jpg", upright=index == 3)
    for index in range(8):
        pixels, _ = make_image("leather", index, split="test")
        photograph(pixels, folder / "test" / f"good{index}.jpg")
    for defect, index in (("color", 24), ("cut", 25), ("glue", 25), ("poke", 24)):
        pixels, mask = make_image("leather", index, split="test", defect=defect)
        photograph(pixels, folder / "test" / f"{defect}.jpg")
        (folder / "masks").mkdir(exist_ok=True)
        drawn = Image.fromarray(mask.astype(np.uint8) * 255).crop((0, 0, 256, 192))
        drawn = drawn.resize((400, 300), Image.Resampling.NEAREST)  # no soft edges
        drawn.save(folder / "masks" / f"{defect}.png")


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
same = np.array_equal(naive, read_image(category.train[0], size))
claim("the naive reading equals read_image", same)
titles = "as photographed", f"as the network sees it: {size} x {size}"
show(np.asarray(first), naive, titles=titles, width=4.5,
    alt="The same photograph twice: in its own format, and squeezed from the sides to a square.",
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
sizes = f"{ours:.1f} against {theirs:.1f} grey values"
verdict("read_image turns the picture: its error is less than half", ours < theirs / 2, sizes)

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
# Nothing but normal images is needed; that is the point of the method. One line, then the loss (Eq. 4). In the small editions the
# autoencoder starts from PCA and a least-squares fit, so the loss starts low, climbs while the step size grows, and comes down again. In
# a run this short it ends about where it began: that start is hard to beat. So do not read it as progress; the maps below are the test.

# %%
detector = DFR(edition.settings).fit(category)
fig, axis = plt.subplots(figsize=(7, 3))
axis.plot(detector.loss_curve_)
axis.set(xlabel="step", ylabel="loss (Eq. 4)", title="Training the autoencoder", ylim=(0, None))
picture(
    "The loss over the steps: from where it begins it climbs by a quarter within the first fifty steps "
    "and then falls steadily, to about where it began."
)
end = detector.loss_curve_[-5:].mean() / detector.loss_curve_.max()
claim("the loss ends below its peak", end < 0.9, f"{end:.2f} of the peak")

# %% [markdown]
# ## A threshold without a single defect (III-D)
#
# Nobody showed the detector a defect, so the threshold T can only come from what is normal (notebook 05): the smallest T such that at
# most a share FPR of the normal pixels lies above it. The paper shows FPR 0 and 0.005 (Fig. 4). With 0 no normal *training* pixel
# raises an alarm: right for a verdict on whole images. With 0.005 the outlines of a defect are fuller, and a few specks of good
# leather are marked: right for looking closer. (For a stricter promise on new photographs: `dfr fit --calibrate`.)

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
    width=4,
    alt=seen("The most suspicious photograph, with a drop of glue at the left; its anomaly map, bright there and "
        "faint elsewhere; and the outline of what is found: wide around the drop, and a few specks, most at the border."),
)

# %% [markdown]
# ## One verdict for each photograph
#
# An image is called anomalous when its highest score exceeds T for FPR 0. With masks we can also say how well the *pixels* are
# ranked:

# %% tags=["slide", "no-code"]
verdicts = detector.image_score(test) / detector.threshold(0)
fig, axis = plt.subplots(figsize=(7, 4))
colours = {"good": BLUE, "unknown": "grey"}  # any other word is a defect's
kind = [sample.defect for sample in category.test] or ["good"] * len(files)
axis.barh(range(len(files)), verdicts, color=[colours.get(word, RED) for word in kind])
axis.set_yticks(range(len(files)), name)
axis.axvline(1, color="black", linewidth=1)
axis.set(
    xlabel="highest score / threshold at FPR 0",
    title="Right of the line: anomalous; orange: has a defect",
)
picture(seen("A bar for each photograph. Those with a defect reach beyond the line at one, the stain only just; "
    "the eight good ones all end before it, the nearest by two hundredths."))

# %%
if yours is None:
    found = dict(zip(name, verdicts))
    faintest = min(found["cut"], found["glue"], found["poke"])
    claim("cut, glue and poke are called anomalous", faintest > 1, f"at least {faintest:.1f} T")
    print("so is the stain:", bool(found["color"] > 1))
false = sum(v > 1 for v, word in zip(verdicts, kind) if word == "good")
if "good" in kind:
    print(f"good photographs over the line: {false} of {kind.count('good')}")
if category.defects and "unknown" not in category.defects:  # masks say where the defects are
    ranked = detector.evaluate(category)["roc_auc"]
    claim("the pixels are ranked almost without a fault", ranked > 0.98, f"ROC-AUC {ranked:.3f}")

# %% [markdown]
# No good photograph lies over the line, but some come close. One beyond it would be no accident: T is the score of the oddest pixel
# of ten good photographs, and a new good one is the oddest of eleven once in eleven times. More good photographs, kept apart for this (`dfr fit --calibrate`), make that
# rarer. And the rule can be wrong the other way: one odd "normal" photograph lifts T, and small defects go unseen. The stain is not far
# from that.

# %% [markdown]
# ## Keep it
#
# A detector is kept in one safetensors file: numbers and words, no code, nothing that runs when it is opened. The backbone is not
# in it, only its fingerprint.

# %%
file = workshop / "leather.safetensors"
detector.save(file)
again = DFR.load(file)
same = np.array_equal(again.anomaly_map(test), maps)
verdict("the loaded detector gives the same maps", same, f"{file.stat().st_size / 2**10:.0f} KiB on disk")
with safe_open(file, framework="np") as opened:
    print("words in the file:", ", ".join(sorted(opened.metadata())))

# %% [markdown]
# Whoever opens the file next year finds with what settings, on what data and in which versions it was made. The same from a
# terminal, for a thousand photographs:
#
#     dfr fit photographs --out leather.safetensors
#     dfr score leather.safetensors photographs/test --out scored
#     dfr evaluate leather.safetensors photographs
#
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
clean = (clean or [to_image(x) for x in category.load_train(size)])[:3]  # if none is known to be good
limit = detector.threshold(0)
score = lambda image: detector.anomaly_map(image)[0]  # noqa: E731 · [h, w, 3] -> [h, w]


paint.build(clean, score, limit, [f"good piece {k}" for k in range(len(clean))])

# %% tags=["slide", "no-code"]
chalk = paint.stroke(clean[0], [(70, 90), (120, 130), (190, 120)], (240, 240, 240), 8)
chalk_map = score(chalk)
drawn = paint.draw(chalk_map, limit, 0, 2 * limit)
show(
    clean[0],
    chalk,
    drawn,
    titles=("normal", "painted", "anomaly map, blue: above T"),
    width=4,
    alt=seen("A good piece, the same with a bent stroke of chalk, and its anomaly map: a bright band along the "
        "stroke, outlined in blue, several times as wide as the stroke."),
)
painted = (chalk != clean[0]).any(-1)
share = (chalk_map > limit)[painted].mean()
claim("most of the chalk is found", share > 0.5, f"{share:.0%} of it")
near = binary_dilation(painted, iterations=16)
claim("the highest score lies within 16 pixels of the chalk", near.flat[chalk_map.argmax()])

# %% [markdown]
# ### Exercise 10.1 How much too wide?
#
# Write `blur(painted, found)`: the number of found pixels divided by the number of painted ones, such as
# `blur(painted, chalk_map > limit)`. Will it shrink or grow when the brush gets wider, and why? Repaint and see.


# %%
def blur(painted, found):
    """Area found, in units of the area painted; both bool [h, w]."""
    # BEGIN SOLUTION
    return found.sum() / painted.sum()
    # END SOLUTION


square, halo = np.zeros((2, 32, 32), bool)
square[10:14, 10:14], halo[8:16, 8:16] = True, True
check("10.1", blur, lambda g: sealed("10.1", "1594fd4c5dc0")([g(square, halo), g(square, halo & False)]),
    "both masks have a .sum()", probe=(square, halo),
    draw=lambda g: print(f"The chalk's: {g(painted, chalk_map > limit):.1f}"))

# %% [markdown]
# ## How small may it be?
#
# Dabs of chalk, of dark dye and of the leather's own mean colour, from one pixel up, always in the middle of the image. We note the
# highest score within the paint, over the threshold. A flat patch in the leather's mean colour is, to a person, a defect: the grain is
# missing.

# %%
predict(
    "10.1",
    "A flat round patch, 32 pixels wide, of the leather's mean colour: which score does it reach?",
    "above the threshold, but below chalk's",
    "above it, and above chalk's",
    "below it: the detector lets it pass",
)

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


peaks = {dye: [peak(colour, width) for width in widths] for dye, colour in dyes.items()}
flat, loud = peaks["its own mean"][-1], peaks["chalk"][-1]
right = 2 if flat <= 1 else 1 if flat > loud else 0
outcome("10.1", right, f"It reaches {flat:.1f} T, chalk {loud:.0f} T.")

# %%
fig, axis = plt.subplots(figsize=(7, 4))
for (dye, values), marker in zip(peaks.items(), "os^"):
    axis.plot(widths, values, marker=marker, label=dye)
axis.axhline(1, color="black", linewidth=1)
axis.set(xscale="log", yscale="log", xlabel="width of the dab [pixels]", ylabel="highest score / T")
axis.set_xticks(widths, widths)
axis.set_yticks((0.5, 1, 2, 5), (0.5, 1, 2, 5))
axis.minorticks_off()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
picture(seen("Highest score over the width of the dab, both axes logarithmic. Chalk lies above the line at "
    "every width, dark dye from 4 pixels up, the leather's own mean colour only at 32."))
dark = peaks["dark dye"][-1]
claim("at 32 pixels chalk scores higher than dark dye", loud > dark, f"{loud:.0f} T against {dark:.1f} T")
narrow = peaks["its own mean"][-2]
claim("the flat patch is found at 32 pixels, not at 16", narrow < 0.9 and flat > 1.1, f"{flat:.1f} T against {narrow:.1f} T")
half = size // 2
across = score(paint.stroke(clean[0], [(half, half)], dyes["its own mean"], 32))[half] / limit
middle, rim = across[half - 4 : half + 4].mean(), across[half + 12 : half + 16].mean()
claim("the flat patch scores more in its middle than at its rim", middle > rim, f"{middle:.2f} T against {rim:.2f} T")

# %% [markdown]
# ### Exercise 10.2 The smallest dab
#
# A small patch without grain is no alarm: between its creases leather is smooth as well, so that is *easily* reconstructed, and the
# score is what reconstruction leaves. Only in the middle of a wide one, where larger fields see no crease either, does the score rise.
#
# Write `smallest(widths, values)`: the smallest width whose value exceeds 1, or None if none does; widths rise. Then ask it about the
# three dyes, and about one of your own with `[peak(colour, width) for width in widths]`.


# %%
def smallest(widths, values):
    """The smallest width whose value exceeds 1, None if there is none."""
    # BEGIN SOLUTION
    return next((width for width, value in zip(widths, values) if value > 1), None)
    # END SOLUTION


toys = ((1, 2, 4), (0.5, 1.2, 3)), ((1, 2), (0.1, 1.0)), ((3, 5, 9), (2, 0.5, 7))
check("10.2", smallest, lambda g: sealed("10.2", "de37f085cc3a")([g(*toy) for toy in toys]),
    "the first pair whose value is above 1", probe=toys[0],
    draw=lambda g: print({dye: g(widths, values) for dye, values in peaks.items()}))

# %% [markdown]
# ## Less light
#
# Somebody draws the curtain. We multiply every pixel by a factor below 1: defects as they are, and a good piece, in less and less
# light.

# %%
predict(
    "10.2",
    "At six tenths of the light: what happens to the highest scores, compared with full light?",
    "all rise: dark photographs are unlike the training's",
    "the good piece's rises, the defects' fall",
    "all fall: the contrast falls",
)

# %%
factors = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
watched = [i for i, word in enumerate(kind) if word not in colours] or list(maps.max((1, 2)).argsort())
subjects = {name[i]: to_image(test[i]) for i in watched[-4:]} | {"a good piece": clean[0]}
light = {}
for word, image in subjects.items():
    lit = np.stack([(image * factor).astype(np.uint8) for factor in factors])
    light[word] = detector.image_score(lit) / limit

# %%
fig, axis = plt.subplots(figsize=(7, 4))
for word, values in light.items():
    axis.plot(factors, values, "o--" if word == "a good piece" else "o-", label=word)
axis.axhline(1, color="black", linewidth=1)
axis.set(xlabel="brightness factor", ylabel="highest score / T", ylim=(0, None))
axis.legend()
picture(seen("Highest score over the brightness factor, for four defects and, dashed, a good piece. From 1 down to "
    "0.8 they fall, the stain to below the line; at 0.3 all, the good piece too, are above it, at one height."))
good, *others = light.pop("a good piece"), *light.values()
good_change, *changes = [v[3] / v[-1] for v in (good, *others)]
right = 0 if min(good_change, *changes) > 1 else 1 if good_change > 1 else 2
outcome("10.2", right, f"A defect keeps {min(changes):.0%} to {max(changes):.0%} of its score.")
faint = min(v[3] for v in others)
claim("at six tenths the faintest defect lies well below the line", faint < 0.9, f"{faint:.1f} T")
claim("at three tenths even the good piece lies above it", good[0] > 1.1, f"{good[0]:.1f} T")

# %% [markdown]
# Darker is not simply odder. A pixel's distance from its surroundings shrinks with the light, so every defect loses score, and the
# faint stain (`color`), close to the line in full light, sinks well below it without any alarm. Only when the light is almost gone does
# the picture as a whole become unlike what was learnt, and then everything is above the line, good or bad. The first is the dangerous
# half: nobody notices.
#
# ## What is no defect and still raises the alarm
#
# Open the curtain: the same good leather, every pixel multiplied by one factor. The detector knows only the light of the training
# photographs. A network that learnt from photographs in all sorts of light bears some of it, and then the alarm rises steeply. The remedies are dull and work: fix lamp and exposure, or show the detector the light that may occur.

# %%
factors = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
lit = np.stack([(clean[0] * factor).clip(0, 255).astype(np.uint8) for factor in factors])
alarm = (detector.anomaly_map(lit) > limit).mean((1, 2))
fig, axis = plt.subplots(figsize=(7, 3.4))
axis.plot(factors, alarm, marker="o")
axis.set(xlabel="brightness factor", ylabel="share of pixels above T", title="No defect, only light")
picture(seen("The share of a good piece's pixels above the threshold: nearly zero up to 1.3, then steeply up."))
claim("unchanged light: less than 1 % above T", alarm[0] < 0.01, f"{alarm[0]:.1%}")
claim("half as bright again: more than 3 % above T", alarm[-1] > 0.03, f"{alarm[-1]:.0%}")

# %% [markdown]
# ### Exercise 10.3 Show it more light
#
# Write `relight(images, factors)`: every image at every brightness, uint8 [len(factors) · N, h, w, 3], clipped to 0..255. What does
# fitting to such images do to the threshold, and so to faint defects? Guess; then, with
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


grey = np.random.default_rng(10).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
check(
    "10.3",
    relight,
    lambda g: sealed("10.3", "b4688c1cae6d")(g(grey, (0.5, 1, 2))),
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
# ## Five questions

# %%
quiz(10, [
    ("Ten good photographs set the threshold for FPR 0. How often is a new good one over the line?",
     ["never", "about once in eleven", "about once in two hundred"], 1,
     "Each of the eleven is the oddest equally often, if all were taken alike."),
    ("Why may photographs be squeezed to a square?",
     ["what is normal is learnt squeezed as well", "the network undoes it", "defects are round"], 0,
     "It must be the same for all: one shape, one orientation."),
    ("The outline is wider than the chalk. Why?",
     ["the threshold is too low", "features beside the stroke see it, too", "the paint is blurred"], 1,
     "Their receptive fields reach into it."),
    ("A smooth patch of the leather's own colour is found at 32 pixels, not at 16. Why?",
     ["its colour is darker", "its mask is missing", "small smooth spots are normal"], 2,
     "Leather is smooth between its creases; that a crease is missing only larger fields see."),
    ("The lamp ages and gives two thirds of its light. What should worry you most?",
     ["missed defects", "false alarms", "nothing"], 0,
     "Scores fall with the contrast: faint defects sink below the line, and no alarm says so."),
])

# %% [markdown]
# ## Summary
#
# - A folder of normal photographs is all it takes; rotation notes, shapes and grey images are dealt with, mistakes are named.
# - The threshold comes from normal images; FPR 0 for a verdict, 0.005 for a closer look.
# - A model file tells how it was made, and gives the same maps when loaded.
# - The anomaly map is wider than the defect by about a receptive field; small and faint defects fall below what good material
#   already scores.
# - With ten good photographs about one new good one in eleven lies over the line.
# - Less light lowers the score of defects; much less, or much more, raises that of good pieces.
#
# ## Deviations
#
# - The photographs here are synthetic. The paper uses MVTec AD's, taken under fixed light; nothing above is a statement about
#   those.
# - The paper does not say how images are resized; ours is bilinear with antialiasing, and squeezes what is not square.
# - An image-wise verdict (the highest score) is not in the paper, which segments pixels only.
#
# ## References
#
# - J. Yang, Y. Shi, Z. Qi: DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation. arXiv 2012.07122, Sections III-D
#   and IV-A4.
# - ipycanvas, the canvas that is painted on: https://ipycanvas.readthedocs.io

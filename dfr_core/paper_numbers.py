"""Every number of the paper's Tables I to VIII, as data, with its source.

Source: J. Yang, Y. Shi, Z. Qi, "DFR: Deep Feature Reconstruction for Unsupervised Anomaly Segmentation",
arXiv 2012.07122. These are facts about the paper, none of them was measured here. Numbers have the paper's two
or three decimals; categories have the names of MVTec AD's folders.

What the printed tables say that a reader may trip over is in :func:`remarks`.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "arXiv 2012.07122"

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = ("bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw", "toothbrush", "transistor", "zipper")
CATEGORIES = TEXTURES + OBJECTS

#: Layer sets with more and larger scales (Figures 1 and 5 to 8).
GROWING = ("1:2", "1:4", "1:8", "1:12", "1:16")
#: Layer sets with more small scales (Tables IV and VI).
REFINING = ("12", "9:12", "5:12", "3:12", "1:12")

#: The seven baselines and the paper's reference for each.
BASELINES: dict[str, str] = {
    "AE-ssim": "[9]",
    "AE-l2": "[9]",
    "AnoGAN": "[33]",
    "VAE-grad": "[34]",
    "CNN-FD": "[25]",
    "ST-p65": "[8]",
    "ST-m": "[8]",
}
#: Whence the paper took their numbers (Section IV-B).
BASELINE_SOURCES = {"roc_auc": "[7] and [34]", "pro_auc": "[8]"}

#: Table I: layer -> receptive field of VGG19 in pixels.
TABLE_I: dict[int, int] = dict(zip(range(1, 17), (3, 5, 10, 14, 24, 32, 40, 48, 68, 84, 100, 116, 156, 188, 220, 252), strict=True))

#: Table II, ROC-AUC. The last two columns are DFR's.
TABLE_II_COLUMNS = ("AE-ssim", "AE-l2", "AnoGAN", "VAE-grad", "CNN-FD", "1:12", "1:16")
TABLE_II: dict[str, tuple[float, ...]] = {
    "carpet": (0.87, 0.59, 0.54, 0.74, 0.72, 0.96, 0.97),
    "grid": (0.94, 0.90, 0.58, 0.96, 0.59, 0.98, 0.98),
    "leather": (0.78, 0.75, 0.64, 0.93, 0.87, 0.99, 0.98),
    "tile": (0.59, 0.51, 0.50, 0.65, 0.93, 0.86, 0.87),
    "wood": (0.73, 0.73, 0.62, 0.84, 0.91, 0.94, 0.93),
    "bottle": (0.93, 0.86, 0.86, 0.92, 0.78, 0.95, 0.97),
    "cable": (0.82, 0.86, 0.78, 0.91, 0.79, 0.88, 0.92),
    "capsule": (0.94, 0.88, 0.84, 0.92, 0.84, 0.98, 0.99),
    "hazelnut": (0.97, 0.95, 0.87, 0.98, 0.72, 0.98, 0.99),
    "metal_nut": (0.89, 0.86, 0.76, 0.91, 0.82, 0.90, 0.93),
    "pill": (0.91, 0.85, 0.87, 0.93, 0.68, 0.96, 0.97),
    "screw": (0.96, 0.96, 0.80, 0.95, 0.87, 0.99, 0.99),
    "toothbrush": (0.82, 0.93, 0.90, 0.98, 0.77, 0.98, 0.99),
    "transistor": (0.90, 0.86, 0.80, 0.92, 0.66, 0.75, 0.80),
    "zipper": (0.88, 0.77, 0.78, 0.87, 0.76, 0.96, 0.96),
}
TABLE_II_MEAN = (0.86, 0.82, 0.74, 0.89, 0.78, 0.94, 0.95)

#: Table III, PRO-AUC up to an FPR of 0.3.
TABLE_III_COLUMNS = ("AE-ssim", "AnoGAN", "CNN-FD", "ST-p65", "ST-m", "1:12", "1:16")
TABLE_III: dict[str, tuple[float, ...]] = {
    "carpet": (0.65, 0.20, 0.47, 0.70, 0.88, 0.93, 0.93),
    "grid": (0.85, 0.23, 0.18, 0.82, 0.95, 0.93, 0.93),
    "leather": (0.56, 0.38, 0.64, 0.82, 0.95, 0.97, 0.97),
    "tile": (0.18, 0.18, 0.80, 0.91, 0.95, 0.79, 0.79),
    "wood": (0.61, 0.39, 0.62, 0.73, 0.91, 0.93, 0.91),
    "bottle": (0.83, 0.62, 0.74, 0.92, 0.93, 0.92, 0.93),
    "cable": (0.48, 0.38, 0.56, 0.87, 0.82, 0.77, 0.81),
    "capsule": (0.86, 0.31, 0.31, 0.92, 0.97, 0.96, 0.97),
    "hazelnut": (0.92, 0.70, 0.84, 0.94, 0.97, 0.97, 0.97),
    "metal_nut": (0.60, 0.32, 0.36, 0.90, 0.94, 0.87, 0.90),
    "pill": (0.83, 0.78, 0.46, 0.94, 0.96, 0.96, 0.96),
    "screw": (0.89, 0.47, 0.28, 0.93, 0.94, 0.95, 0.96),
    "toothbrush": (0.78, 0.75, 0.15, 0.86, 0.93, 0.93, 0.93),
    "transistor": (0.73, 0.55, 0.63, 0.70, 0.67, 0.77, 0.79),
    "zipper": (0.67, 0.47, 0.70, 0.99, 0.95, 0.89, 0.90),
}
TABLE_III_MEAN = (0.69, 0.45, 0.52, 0.86, 0.91, 0.90, 0.91)


class Comparison(NamedTuple):
    """Table II or III: its number, names of the columns, category -> numbers, and the printed row of means."""

    number: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    mean: tuple[float, ...]


#: Metric -> the table it is printed in.
COMPARISONS = {
    "roc_auc": Comparison("II", TABLE_II_COLUMNS, TABLE_II, TABLE_II_MEAN),
    "pro_auc": Comparison("III", TABLE_III_COLUMNS, TABLE_III, TABLE_III_MEAN),
}

#: Table IV, zero padding: (group, metric) -> values for REFINING.
TABLE_IV: dict[tuple[str, str], tuple[float, ...]] = {
    ("textures", "roc_auc"): (0.922, 0.938, 0.940, 0.941, 0.945),
    ("textures", "pro_auc"): (0.877, 0.897, 0.903, 0.906, 0.909),
    ("objects", "roc_auc"): (0.916, 0.930, 0.929, 0.930, 0.933),
    ("objects", "pro_auc"): (0.868, 0.889, 0.892, 0.892, 0.898),
}

#: Table V, f{1:12}: (group, metric) -> (zero padding, reflection padding).
TABLE_V: dict[tuple[str, str], tuple[float, float]] = {
    ("textures", "roc_auc"): (0.945, 0.955),
    ("textures", "pro_auc"): (0.909, 0.920),
    ("objects", "roc_auc"): (0.933, 0.941),
    ("objects", "pro_auc"): (0.898, 0.899),
}

#: Table VI, reflection padding, GTX 1080 Ti: row -> values for REFINING; means over all categories.
TABLE_VI: dict[str, tuple[float, ...]] = {
    "fps": (159, 148, 116, 111, 100),
    "roc_auc": (0.926, 0.942, 0.941, 0.942, 0.946),
    "pro_auc": (0.875, 0.895, 0.899, 0.900, 0.906),
}
TABLE_VI_DEVICE = "NVIDIA GeForce GTX 1080 Ti"

#: Table VII: category -> (training images, test images, anomaly types, anomalous regions).
TABLE_VII: dict[str, tuple[int, int, int, int]] = {
    "carpet": (280, 117, 5, 97),
    "grid": (264, 78, 5, 170),
    "leather": (245, 124, 5, 99),
    "tile": (230, 117, 5, 86),
    "wood": (247, 79, 5, 168),
    "bottle": (209, 83, 3, 68),
    "cable": (224, 150, 8, 151),
    "capsule": (219, 132, 5, 114),
    "hazelnut": (391, 110, 4, 136),
    "metal_nut": (220, 115, 4, 132),
    "pill": (267, 167, 7, 245),
    "screw": (320, 160, 5, 135),
    "toothbrush": (60, 42, 1, 66),
    "transistor": (213, 100, 4, 44),
    "zipper": (240, 151, 7, 177),
}
TABLE_VII_TOTAL = (3629, 1725, 73, 1888)

#: Table VIII: width of each 1 x 1 convolution, in words, and whether a ReLU follows it.
TABLE_VIII: tuple[tuple[str, bool], ...] = (
    ("(c_o + c_d)/2", True),
    ("2 c_d", True),
    ("c_d", False),
    ("2 c_d", True),
    ("(c_o + c_d)/2", True),
    ("c_o", False),
)

#: What the printed tables say that a reader may trip over: the tables it concerns, and a sentence.
REMARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("II", "III", "VII"), "In print 'Objects' stands one row too high, beside Wood, which Section IV-C1 counts as a texture."),
    (("II", "III", "VII"), "'Meta Nut' is MVTec AD's metal_nut."),
    (("II",), "Section IV-B speaks of '7 object and 5 texture data categories'; the tables have ten objects."),
    (("III",), "There is no column of AE-l2, although Section IV-B names it when it speaks of this table."),
    (("III",), "Bold face misses the best of Zipper (ST-p65, 0.99) and marks a second number of Cable (CNN-FD, 0.56)."),
    (("IV",), "The text of Section IV-C1 leaves out f{3:12}."),
    (("V",), "The text speaks of 'about 1 percent' for both groups; PRO-AUC on objects gains 0.001 in print."),
    (("IV-A5",), "'Per-pixel segmentation metrics such as PRO-AUC may fail' is said of ROC-AUC; PRO-AUC counts regions."),
    (("VI",), "The printed rates ask for more arithmetic a second than the named GPU has in fp32, so they are hardly end to end."),
)


def remarks(table: str) -> list[str]:
    """What to know about one of the paper's tables (``"III"``)."""
    return [sentence for tables, sentence in REMARKS if table in tables]

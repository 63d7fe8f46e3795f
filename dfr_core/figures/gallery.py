"""Every figure and table from records, and the gallery's page (``figures/README.md``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import claims
from . import drawing
from . import tables
from ..errors import DFRError
from ..files import write_text
from .measured import Indexed, Missing

if TYPE_CHECKING:
    from ..records import Records

log = logging.getLogger("dfr")

#: item -> (heading, a sentence that says what to see, alt text; empty for tables), in the gallery's order.
ITEMS: dict[str, tuple[str, str, str]] = {
    "contact": (
        "The data", "All categories, a normal image and one of every kind of defect, as the method gets them.",
        "Rows of small images, one row a category: a normal one, then one for each kind of defect; orange bars at two edges show where.",
    ),
    "table7": ("Table VII", "How many images, kinds of defect and anomalous regions each category has.", ""),
    "fig2": (
        "Figure 2", "The four stages of the method, drawn with the maps one defective image really has on its way.",
        "From left to right, joined by arrows: image, stacks of feature maps, regional features, autoencoder, anomaly map, segmentation.",
    ),
    "fig3": (
        "Figure 3", "How feature maps of different depth become one regional feature, and what part of the image it sees.",
        "An image with four nested squares; for four layers the feature map, the resized and the averaged one, joined into a volume.",
    ),
    "table1": ("Table I", "The receptive field of each of the sixteen layers, computed from the network as built.", ""),
    "table8": ("Table VIII", "The autoencoder as it was built for the measured numbers of channels.", ""),
    "fig1": (
        "Figure 1", "Anomaly maps of a few defects with more and larger scales from left to right.",
        "Rows of images with an outlined defect; beside each, five anomaly maps for the layer sets 1:2, 1:4, 1:8, 1:12 and 1:16.",
    ),
    "fig4": (
        "Figure 4", "One defect of every category, its anomaly map, and its segmentation at two thresholds.",
        "For each category five panels: input, ground truth in red, anomaly map, and segmentations for an FPR of 0 and 0.005.",
    ),
    "table2": ("Table II", "ROC-AUC by category: the paper's DFR and baselines, and what was measured here.", ""),
    "table3": ("Table III", "PRO-AUC by category: the paper's DFR and baselines, and what was measured here.", ""),
    **{
        f"fig{n}": (
            f"Figure {n}", f"{metric} of every {kind} category as more and larger scales take part; the thick line is their mean.",
            f"Lines of {metric} over five layer sets from 1:2 to 1:16, one for each {kind} category, and a thick black one for their mean.",
        )
        for n, metric, kind in ((5, "ROC-AUC", "object"), (6, "PRO-AUC", "object"), (7, "ROC-AUC", "texture"), (8, "PRO-AUC", "texture"))
    },
    "table4": ("Table IV", "What small scales add to the large one of layer 12, on average.", ""),
    "fig9": (
        "Figure 9", "Scores along the border of textures, with zero and with reflection padding: maps, and means by distance.",
        "For each texture input, ground truth and two anomaly maps, zero and reflection padding; scores by distance from the border.",
    ),
    "table5": ("Table V", "Mean metrics with zero and with reflection padding.", ""),
    "table6": ("Table VI", "Frames a second on the device at hand, and mean metrics, for five layer sets.", ""),
    "claims": ("Claims", "Every claim of the paper's experiments, the measurement that tests it here, and a verdict.", ""),
}  # fmt: skip

_LINKS = {"md": "table", "svg": "SVG", "csv": "CSV"}
_NAMES = {"contact": "contact_sheet"}  # item -> name of its files, where they differ


def draw(records: Records, out: Path, only: set[str] | None = None) -> list[Path]:
    """Write figures, tables and the gallery's page; the same records give the same bytes.

    Items whose records are missing are skipped, and named on the page.

    Args:
        records: what was measured.
        out: folder, made if missing.
        only: names of items (:data:`ITEMS`); None draws all. Others are left as they are.

    Returns:
        the files written, the page last.

    Raises:
        DFRError: there is no such item, or the folder cannot be written to.
    """
    out, records = Path(out), Indexed(records)
    for item in sorted(only or ()):
        if item not in ITEMS:
            raise DFRError(f"only: {item!r} is not a figure or table; choose from {', '.join(ITEMS)}")
    written: list[Path] = []
    absent: dict[str, str] = {}
    for item, make in _makers().items():
        if only is None or item in only:
            try:
                written += make(records, out)
            except Missing as missing:
                absent[item] = str(missing)
                log.warning("%s: not drawn, it needs %s", item, missing)
    write_text(out / "README.md", _page(records, out, absent))
    return [*written, out / "README.md"]


def _makers() -> dict[str, Callable[[Records, Path], list[Path]]]:
    drawn, tabled = drawing.functions(), {**tables.functions(), "claims": claims.table}

    def figure(item: str) -> Callable[[Records, Path], list[Path]]:
        def make(records: Records, out: Path) -> list[Path]:
            with drawing.style():
                return drawing.save(drawn[item](records), out, _NAMES.get(item, item))

        return make

    def table(item: str) -> Callable[[Records, Path], list[Path]]:
        return lambda records, out: tables.save(tabled[item](records), out, item)

    return {item: figure(item) if item in drawn else table(item) for item in ITEMS}


def _page(records: Records, out: Path, absent: dict[str, str]) -> str:
    lines = ["# Every figure and table of the paper, from measurements made here", ""]
    lines += ["Made from records by `dfr reproduce` (`make figures`); do not edit.", ""]
    if why := tables.not_comparable(records):
        lines += [f"**{why}**", ""]
    for item, (heading, sentence, alt) in ITEMS.items():
        name = _NAMES.get(item, item)
        there = [suffix for suffix in ("png", "svg", "md", "csv") if (out / f"{name}.{suffix}").is_file()]
        if item in absent or not there:
            continue
        links = " · ".join(f"[{_LINKS[suffix]}]({name}.{suffix})" for suffix in there if suffix in _LINKS)
        lines += [f"## {heading}", "", f"{sentence} ({links})", ""]
        if alt:
            lines += [f"![{alt}]({name}.png)", ""]
    if absent:
        lines += ["## Missing", "", *(f"- {ITEMS[item][0]}: needs {what}" for item, what in absent.items()), ""]
    return "\n".join(lines)

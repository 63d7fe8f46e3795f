"""Every figure and table: what it is called, what to see in it, what it is drawn from, and which function draws it.

To add one, write its function and one entry here; the plan, the page and the command line follow. Functions are named, not
imported: planning needs no matplotlib. A figure's function takes :class:`dfr_core.records.Records` and returns a
:class:`dfr_core.figures.drawing.Drawing`, a table's a :class:`dfr_core.figures.table.Table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..lab.trial import OWN, Needs, Setting
from ..paper_numbers import BASELINES, GROWING, REFINING


@dataclass(frozen=True)
class Item:
    """A figure or a table.

    Attributes:
        name: what it is asked for by, ``fig1`` or ``table1``.
        heading: on the page.
        sentence: what to see.
        function: ``module:function`` inside :mod:`dfr_core.figures`.
        needs: what it is drawn from.
        alt: the picture in words; empty for a table.
        file: name of its files.
    """

    name: str
    heading: str
    sentence: str
    function: str
    needs: Needs
    alt: str = ""
    file: str = ""

    @property
    def files(self) -> str:
        """Name of its files, without a suffix."""
        return self.file or self.name

    def make(self) -> Callable[..., Any]:
        """The function that draws it."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(f"{__package__}.{module}"), function)


def _needs(trainings: Iterable[Setting] = (), *kinds: str) -> Needs:
    return Needs(frozenset(trainings), frozenset(kinds))


def _own(*layers: str) -> set[Setting]:
    return {(one, OWN) for one in layers}


_REFLECT: set[Setting] = {(layers, "reflect") for layers in REFINING}
_PADDINGS: set[Setting] = {("1:12", "zeros"), ("1:12", "reflect")}
_RIVALS: set[Setting] = {("1:12", OWN, name) for name in BASELINES}
_MAIN = _needs(_own("1:12", "1:16") | _RIVALS)


def _curves(number: int, metric: str, kind: str) -> Item:
    return Item(
        f"fig{number}", f"Figure {number}",
        f"{metric} of every {kind} category as more and larger scales take part; the thick line is their mean.",
        f"curves:fig{number}", _needs(_own(*GROWING)),
        f"Lines of {metric} over five layer sets from 1:2 to 1:16, one for each {kind} category, and a thick black one for their mean.",
    )  # fmt: skip


_ALL = (
    Item(
        "contact", "The data", "All categories, a normal image and one of every kind of defect, as the method gets them.",
        "maps:contact", _needs((), "images"),
        "Rows of small images, one row a category: a normal one, then one for each kind of defect; orange bars at two edges show where.",
        "contact_sheet",
    ),
    Item(
        "table7", "Table VII", "How many images, kinds of defect and anomalous regions each category has.",
        "tables_built:table7", _needs((), "statistics"),
    ),
    Item(
        "fig2", "Figure 2", "The four stages of the method, drawn with the maps one defective image really has on its way.",
        "pipeline:fig2", _needs((), "pipeline"),
        "From left to right, joined by arrows: image, stacks of feature maps, regional features, autoencoder, anomaly map, segmentation.",
    ),
    Item(
        "fig3", "Figure 3", "How feature maps of different depth become one regional feature, and what part of the image it sees.",
        "pipeline:fig3", _needs((), "pipeline"),
        "An image with four nested squares; for four layers the feature map, the resized and the averaged one, joined into a volume.",
    ),
    Item(
        "table1", "Table I", "The receptive field of each of the sixteen layers, computed from the network as built.",
        "tables_built:table1", _needs((), "network"),
    ),
    Item("table8", "Table VIII", "The autoencoder as it was built for the measured numbers of channels.", "tables_built:table8", _MAIN),
    Item(
        "fig1", "Figure 1", "Anomaly maps of a few defects with more and larger scales from left to right.",
        "maps:fig1", _needs(_own(*GROWING), "images"),
        "Rows of images with an outlined defect; beside each, five anomaly maps for the layer sets 1:2, 1:4, 1:8, 1:12 and 1:16.",
    ),
    Item(
        "fig4", "Figure 4", "One defect of every category, its anomaly map, and its segmentation at two thresholds.",
        "maps:fig4", _needs(_own("1:12"), "images"),
        "For each category five panels: input, ground truth in red, anomaly map, and segmentations for an FPR of 0 and 0.005.",
    ),
    Item("table2", "Table II", "ROC-AUC by category: the paper's DFR and baselines, and what was measured here.", "tables:table2", _MAIN),
    Item("table3", "Table III", "PRO-AUC by category: the paper's DFR and baselines, and what was measured here.", "tables:table3", _MAIN),
    Item(
        "rivals", "DFR and the methods it is compared with", "One defect of every category, and the anomaly map of each method.",
        "maps:rivals", _needs(_own("1:12") | _RIVALS, "images"),
        "For each category the input with the defect outlined, then the anomaly maps of seven methods, and last that of DFR.",
    ),
    Item(
        "cost", "What a map costs", "Mean PRO-AUC against milliseconds an image, for DFR's layer sets and the methods it is compared with.",
        "curves:cost", _needs(_REFLECT | _RIVALS, "speed", "rival_speed"),
        "Points over a logarithmic axis of milliseconds: round ones for five layer sets of DFR, square ones for seven other methods.",
    ),
    _curves(5, "ROC-AUC", "object"),
    _curves(6, "PRO-AUC", "object"),
    _curves(7, "ROC-AUC", "texture"),
    _curves(8, "PRO-AUC", "texture"),
    Item(
        "table4", "Table IV", "What small scales add to the large one of layer 12, on average.",
        "tables:table4", _needs(_own(*REFINING)),
    ),
    Item(
        "fig9", "Figure 9", "Scores along the border of textures, with zero and with reflection padding: maps, and means by distance.",
        "maps:fig9", _needs(_PADDINGS, "images"),
        "For each texture input, ground truth and two anomaly maps, zero and reflection padding; scores by distance from the border.",
    ),
    Item("table5", "Table V", "Mean metrics with zero and with reflection padding.", "tables:table5", _needs(_PADDINGS)),
    Item(
        "table6", "Table VI", "Frames a second on the device at hand, and mean metrics, for five layer sets.",
        "tables:table6", _needs(_REFLECT, "speed"),
    ),
    Item(
        "claims", "Claims", "Every claim of the paper's experiments, the measurement that tests it here, and a verdict.",
        "claims:table", _needs(_own(*GROWING, *REFINING) | _REFLECT | _RIVALS, "network", "speed", "rival_speed"),
    ),
)  # fmt: skip

#: Name -> item, in the page's order.
ITEMS: dict[str, Item] = {item.name: item for item in _ALL}

"""The claims of the paper's experiments, each with the measurement that tests it here and a verdict.

How a verdict is reached is said in :mod:`.verdicts` and, in short, in :data:`RULE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..lab.trial import OWN
from ..records import Records
from . import judgements as judge
from . import rivals
from .measured import METRICS, Missing, evidence, not_comparable, stamp
from .table import Table
from .verdicts import FAILS, HOLDS, UNKNOWN


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        sentence: what it says.
        source: section, table or figure.
        printed: the paper's own numbers for it.
        measure: records -> outcome; raises :class:`Missing`.
    """

    sentence: str
    source: str
    printed: str
    measure: Callable[[Records], judge.Outcome]


def _by_each(sentence: str, sources: Sequence[str], printed: Sequence[str], judgement: Callable[[str], Callable]) -> list[Claim]:
    """The same claim by ROC-AUC and by PRO-AUC."""
    parts = zip(METRICS.items(), sources, printed, strict=True)
    return [Claim(f"{sentence}, by {name}.", source, number, judgement(metric)) for (metric, name), source, number in parts]


_O, _Z, _R = OWN, "zeros", "reflect"
_BOTH = tuple(METRICS)

#: In the paper's order.
CLAIMS: tuple[Claim, ...] = (
    Claim("VGG19's receptive field grows from 3 to 252 pixels over its 16 layers.", "III-A, Table I", "3 to 252", judge.grows),
    Claim("The CAE compresses the features into a space of low dimension (here: less than half of c_o).", "III-C", "none", judge.latent),
    Claim("The threshold for an FPR of 0 on the training images leaves other normal images clean, too.", "III-D, implied", "none",
          judge.unseen("0")),
    Claim("The threshold for an FPR of 0.005 gives that rate on other normal images, too (within a factor of two).", "III-D, implied",
          "none", judge.unseen("0.005")),
    Claim("DFR outperforms the reconstruction-based baselines and is on par with ST-m.", "IV-B, Tables II, III",
          "0.95 to 0.89; 0.91 to 0.91", rivals.outperforms),
    Claim("DFR is above AE-ssim, AnoGAN and CNN-FD in every category, by PRO-AUC.", "IV-B, Table III", "15 of 15", rivals.everywhere),
    Claim("Methods on transferred features (DFR, ST-m, ST-p65) beat those that learn from scratch, on average.", "IV-B",
          "PRO-AUC 0.86 to 0.91 against 0.45 and 0.69", rivals.transferred),
    Claim("CNN-FD has the transferred features, but a shallow model: it falls behind DFR and ST.", "IV-B",
          "PRO-AUC 0.52 against 0.86 to 0.91", rivals.shallow),
    Claim("Several scales are better than one for ST, too: ST-m is above ST-p65 on average.", "IV-B, Table III", "0.86 to 0.91",
          rivals.scales),
    Claim("ST passes an image through several networks; DFR through one, and is faster.", "IV-B", "none", rivals.several_networks),
    *_by_each("All 16 scales are better on average than the first 12", ("IV-B, Table II", "IV-B, Table III"),
              ("0.94 to 0.95", "0.90 to 0.91"), lambda metric: judge.gains(("1:12", _O), ("1:16", _O), [metric], ["all"])),
    *_by_each("Objects benefit from more and larger scales on average ({1:2} to {1:16})", ("IV-C1, Fig. 5", "IV-C1, Fig. 6"),
              ["in the figure"] * 2, lambda metric: judge.gains(("1:2", _O), ("1:16", _O), [metric], ["objects"])),
    *_by_each("Every object category benefits", ("IV-C1, Fig. 5", "IV-C1, Fig. 6"), ["10 of 10"] * 2,
              lambda metric: judge.each(metric, "objects", ("1:2", _O), ("1:16", _O))),
    Claim("Textures benefit on average, too, by both metrics.", "IV-C1, Figs. 7, 8", "in the figures",
          judge.gains(("1:2", _O), ("1:16", _O), _BOTH, ["textures"])),
    Claim("On wood ROC-AUC rises with more scales while PRO-AUC falls.", "IV-C1, Figs. 7, 8", "in the figures", judge.wood),
    *_by_each(f"Textures saturate at {{1:8}} or {{1:12}} (at most {judge.FLAT} more after it)", ("IV-C1, Fig. 7", "IV-C1, Fig. 8"),
              ["in the figure"] * 2, judge.saturates),
    Claim("Textures need fewer and smaller scales than objects: they gain less beyond {1:8}.", "IV-C1", "in the figures",
          judge.objects_need_more),
    *_by_each(f"Small scales add a little to {{12}} (more than 0, less than {judge.SMALL})", ["IV-C1, Table IV"] * 2,
              ("+0.023, +0.017", "+0.032, +0.030"),
              lambda metric: judge.gains(("12", _O), ("1:12", _O), [metric], ["textures", "objects"], judge.SMALL)),
    Claim(f"f{{12}} alone is satisfactory (ROC-AUC above {judge.SATISFACTORY}).", "IV-C1, Table IV", "0.922, 0.916", judge.satisfactory),
    Claim("With zero padding, scores near the border of textures are too high.", "IV-C2, Fig. 9", "in the figure", judge.zero_border),
    Claim("Reflection padding relieves the boundary effects.", "IV-C2, Fig. 9", "in the figure", judge.healed),
    *_by_each("Reflection padding improves textures by about 0.01", ["IV-C2, Table V"] * 2, ("+0.010", "+0.011"),
              lambda metric: judge.gains(("1:12", _Z), ("1:12", _R), [metric], ["textures"])),
    *_by_each("Reflection padding improves objects by about 0.01", ["IV-C2, Table V"] * 2, ("+0.008", "+0.001"),
              lambda metric: judge.gains(("1:12", _Z), ("1:12", _R), [metric], ["objects"])),
    Claim("Fewer scales are faster.", "IV-C3, Table VI", "159 to 100 fps", judge.faster),
    Claim(f"Fewer scales cost little ({{1:12}} gains between 0 and {judge.SMALL} over {{12}}).", "IV-C3, Table VI", "+0.020, +0.031",
          judge.gains(("12", _R), ("1:12", _R), _BOTH, ["all"], judge.SMALL)),
    Claim("About 100 frames a second or more with 12 scales.", "IV-C3, Table VI", "100 fps", judge.hundred),
)  # fmt: skip

RULE = (
    "A verdict comes from one paired number a seed and the 95 % interval (Student) of their mean, in brackets: it holds if the "
    "interval lies on the claimed side of the bound, does not hold if it lies on the other, and cannot be told if the bound is "
    "inside, if there is one seed, or if records are missing. A claim of several parts needs all of them. Of single timings a "
    "factor of 1.1 between two, and of 1.5 to a bound, counts. 'About 0.01' is judged by its sign; its size is there to read."
)


def outcomes(records: Records) -> list[tuple[Claim, judge.Outcome]]:
    """Every claim with what the records say about it.

    Raises:
        Missing: they say nothing about any claim.
    """
    records, found = evidence(records), []
    for claim in CLAIMS:
        try:
            found.append((claim, claim.measure(records)))
        except Missing as missing:
            found.append((claim, judge.Outcome(f"not measured: needs {missing}", UNKNOWN)))
    if not any(outcome.used for _, outcome in found):
        raise Missing("records of any experiment")
    return found


def table(records: Records) -> Table:
    """All claims as a table."""
    found = outcomes(records)
    used = list({id(r): r for _, outcome in found for r in outcome.used}.values())
    rows = [[k, c.sentence, c.source, c.printed, o.text, o.verdict] for k, (c, o) in enumerate(found, start=1)]
    count = {verdict: sum(o.verdict == verdict for _, o in found) for verdict in (HOLDS, FAILS, UNKNOWN)}
    why = not_comparable(used)
    notes = [f"**{why} The same goes for the verdicts: they are about this data and this network.**"] if why else []
    notes += [RULE, "Verdicts: " + ", ".join(f"{verdict} {n}" for verdict, n in count.items()) + "."]
    header = ["no.", "claim", "where", "paper's numbers", "measured here", "verdict"]
    return Table("Claims of the paper", header, rows, stamp(used), notes)

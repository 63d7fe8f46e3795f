"""What the records say about the paper's claims: one function a kind of claim, ``measure(records) -> Outcome``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import paper_numbers as paper
from ..lab.trial import OWN, Setting
from ..records import Record, Records
from .measured import GROUPS, METRICS, Missing, cube, nice, only, timings, training
from .verdicts import FAILS, FASTER, HOLDS, UNKNOWN, above, below, every, interval, timed

#: The paper's words "a small margin" and "small degradations" as a number: its own are 0.017 to 0.032.
SMALL = 0.05
#: More than this beyond {1:12} is no saturation.
FLAT = 0.005
#: "Satisfactory" as a number: the paper's f{12} has ROC-AUC 0.916 and 0.922.
SATISFACTORY = 0.9
_RING = 8  # cells from the border that zero padding is expected to disturb: 32 pixels


@dataclass(frozen=True)
class Outcome:
    """What a measurement says about a claim.

    Attributes:
        text: the numbers, in a sentence.
        verdict: one of the three.
        used: the records.
    """

    text: str
    verdict: str
    used: tuple[Record, ...] = ()


@dataclass(frozen=True)
class _Pair:
    """A paired comparison: one number a seed for each of two settings, and the differences by category."""

    first: np.ndarray  # [seeds]
    second: np.ndarray  # [seeds]
    categories: tuple[str, ...]
    by_category: np.ndarray  # [seeds, categories]
    used: tuple[Record, ...]
    remark: str

    @property
    def gain(self) -> np.ndarray:
        return self.second - self.first

    def words(self) -> str:
        ups = int((self.by_category.mean(0) > 0).sum())
        means = f"{self.first.mean():.3f} to {self.second.mean():.3f}"
        return f"{means}, {spread(self.gain)}; up in {ups} of {len(self.categories)}{self.remark}"


def _pair(records: Records, metric: str, before: Setting, after: Setting, members: Sequence[str]) -> _Pair:
    found = cube(records, metric, [before, after], members)
    low, high = found.values[:, :, 0], found.values[:, :, 1]
    used = tuple(training(records, [before, after], found.categories))
    return _Pair(low.mean(1), high.mean(1), found.categories, high - low, used, _partly(found.categories, members))


def _partly(present: Sequence[str], wanted: Sequence[str]) -> str:
    return "" if len(present) == len(wanted) else f" (of the {len(wanted)} there are {len(present)})"


def spread(values: Sequence[float], form: str = "+.3f") -> str:
    """The mean of one number a seed, with its 95 % interval where there are several."""
    mean, low, high = interval(values)
    return f"{mean:{form}} " + ("(one seed)" if len(values) < 2 else f"[{low:{form}}, {high:{form}}]")


def waiting(judge: Callable[..., Outcome]) -> Callable[..., Callable[[Records], Outcome]]:
    """A judgement that takes choices beside the records: called with the choices, it waits for the records."""
    return lambda *choices: lambda records: judge(records, *choices)


@waiting
def gains(
    records: Records, before: Setting, after: Setting, metrics: Sequence[str], groups: Sequence[str], most: float | None = None
) -> Outcome:
    """Measure "``after`` is better than ``before``" for every metric and group; ``most``: and by no more than this."""
    texts, verdicts, used = [], [], []
    for metric in metrics:
        for group in groups:
            pair = _pair(records, metric, before, after, GROUPS[group])
            where = f"{METRICS[metric]}, {'all categories' if group == 'all' else group}"
            texts.append(f"{where}: {pair.words()}")
            verdicts.append(above(pair.gain))
            if most is not None:
                verdicts.append(below(pair.gain, most))
            used += pair.used
    return Outcome("; ".join(texts), every(verdicts), tuple(used))


@waiting
def each(records: Records, metric: str, group: str, before: Setting, after: Setting) -> Outcome:
    """Measure "every category is better with ``after``"."""
    pair = _pair(records, metric, before, after, GROUPS[group])
    verdicts = [above(pair.by_category[:, k]) for k in range(len(pair.categories))]
    changes = pair.by_category.mean(0)
    worst, best = int(changes.argmin()), int(changes.argmax())
    text = f"{(changes > 0).sum()} of {len(changes)} rise, "
    text += f"{verdicts.count(HOLDS)} beyond the seeds' spread, {verdicts.count(FAILS)} fall beyond it; "
    text += f"from {changes[worst]:+.3f} ({nice(pair.categories[worst])}) to {changes[best]:+.3f} ({nice(pair.categories[best])})"
    return Outcome(text + pair.remark, every(verdicts), pair.used)


@waiting
def saturates(records: Records, metric: str) -> Outcome:
    """Measure "textures gain no more after {1:8} or {1:12}" (IV-C1, Figs. 7 and 8)."""
    settings = [(layers, OWN) for layers in ("1:2", "1:8", "1:12", "1:16")]
    found = cube(records, metric, settings, GROUPS["textures"])
    means = found.values.mean(1)  # [seeds, settings]
    later = means[:, 3] - means[:, 1:3].max(1)
    text = ", ".join(f"{{{layers}}} {m:.3f}" for (layers, _), m in zip(settings, means.mean(0)))
    text += "; {1:16} less the better of the two before: "
    verdict = every([below(later, FLAT), above(means[:, 1:3].max(1) - means[:, 0])])
    return Outcome(text + spread(later), verdict, tuple(training(records, settings, found.categories)))


def objects_need_more(records: Records) -> Outcome:
    """Objects gain more beyond {1:8} than textures (IV-C1)."""
    settings = [("1:8", OWN), ("1:16", OWN)]
    objects, textures = (cube(records, "roc_auc", settings, GROUPS[g]) for g in ("objects", "textures"))
    shared = sorted(set(objects.seeds) & set(textures.seeds))
    if not shared:
        raise Missing("objects and textures of one seed")
    gain = [{s: float((v[:, 1] - v[:, 0]).mean()) for s, v in zip(c.seeds, c.values)} for c in (objects, textures)]
    values = [gain[0][s] - gain[1][s] for s in shared]
    text = f"ROC-AUC from {{1:8}} to {{1:16}}: objects {spread(list(gain[0].values()))}, textures {spread(list(gain[1].values()))}; "
    return Outcome(text + f"difference {spread(values)}", above(values), tuple(training(records, settings)))


def wood(records: Records) -> Outcome:
    """On wood one metric rises and the other falls (IV-C1)."""
    parts = [_pair(records, metric, ("1:2", OWN), ("1:16", OWN), ("wood",)) for metric in METRICS]
    text = "; ".join(f"{METRICS[m]} {p.first.mean():.3f} to {p.second.mean():.3f}, {spread(p.gain)}" for m, p in zip(METRICS, parts))
    return Outcome(text, every([above(parts[0].gain), below(parts[1].gain)]), parts[0].used)


def satisfactory(records: Records) -> Outcome:
    """Layer 12 alone is satisfactory (IV-C1, Table IV)."""
    found = cube(records, "roc_auc", [("12", OWN)], paper.CATEGORIES)
    means = found.values[:, :, 0].mean(1)
    text = f"mean ROC-AUC {spread(means, '.3f')}{_partly(found.categories, paper.CATEGORIES)}"
    return Outcome(text, above(means, SATISFACTORY), tuple(training(records, [("12", OWN)])))


def _border(records: Records) -> tuple[np.ndarray, np.ndarray, list[Record]]:
    """Excess of the score near the border, by seed: with zero padding, with reflection."""
    settings = [("1:12", "zeros"), ("1:12", "reflect")]
    found = cube(records, "roc_auc", settings, GROUPS["textures"])  # for what is complete
    used = [r for r in training(records, settings, found.categories) if r.about["seed"] in found.seeds]
    excess: dict[tuple[str, int], list[float]] = {}
    for record in used:
        profile = np.asarray(record.arrays.get("border_profile", ()), float)
        if not profile.size:
            raise Missing("border profiles (normal test images) of the textures")
        excess.setdefault((record.about["padding"], record.about["seed"]), []).append(float(profile[:_RING].mean() - 1))
    zeros, reflect = (np.array([np.mean(excess[p, s]) for s in found.seeds]) for p in ("zeros", "reflect"))
    return zeros, reflect, used


def zero_border(records: Records) -> Outcome:
    """Zero padding raises scores near the border of textures (IV-C2, Fig. 9)."""
    zeros, _, used = _border(records)
    text = f"score within 32 pixels of the border over that of the inner half, minus one: {spread(zeros)}"
    return Outcome(text, above(zeros), tuple(used))


def healed(records: Records) -> Outcome:
    """Reflection padding relieves it (IV-C2, Fig. 9)."""
    zeros, reflect, used = _border(records)
    fall = abs(zeros) - abs(reflect)
    text = f"excess near the border: zeros {zeros.mean():+.3f}, reflection {reflect.mean():+.3f}; its size falls by {spread(fall)}"
    return Outcome(text, above(fall), tuple(used))


def _fps(records: Records) -> tuple[dict[str, float], list[Record]]:
    used = [record for layers in paper.REFINING for record in timings(records, layers)]
    rates: dict[str, list[float]] = {}
    for record in used:
        rates.setdefault(record.about["layers"], []).append(record.about["fps"])
    if set(rates) != set(paper.REFINING):
        raise Missing("speed records of all five layer sets")
    return {layers: float(np.mean(rates[layers])) for layers in paper.REFINING}, used


def faster(records: Records) -> Outcome:
    """Fewer scales are faster (IV-C3, Table VI)."""
    fps, used = _fps(records)
    steps = [a / b for a, b in zip(list(fps.values()), list(fps.values())[1:])]
    if fps["12"] >= FASTER * fps["1:12"] and min(steps) > 1 / FASTER:
        verdict = HOLDS
    else:
        verdict = FAILS if fps["12"] * FASTER <= fps["1:12"] else UNKNOWN
    text = ", ".join(f"{{{layers}}} {rate:.1f}" for layers, rate in fps.items())
    text += f" frames a second on {used[0].about.get('device', 'this device')}"
    return Outcome(text, verdict, tuple(used))


def hundred(records: Records) -> Outcome:
    """A hundred frames a second with twelve scales (IV-C3, Table VI)."""
    fps, used = _fps(records)
    text = f"{fps['1:12']:.1f} frames a second on {used[0].about.get('device', 'this device')}"
    return Outcome(text, timed(fps["1:12"], 100), tuple(used))


@waiting
def unseen(records: Records, fpr: str) -> Outcome:
    """Measure the share of normal test pixels above the threshold; on the training images it is right by construction."""
    used = [r for r in training(records, [("1:12", OWN)]) if r.about.get("normal_fpr")]
    if not used:
        raise Missing("false positive rates on normal test images (1:12)")
    by_seed: dict[int, list[float]] = {}
    for record in used:
        by_seed.setdefault(record.about["seed"], []).append(record.about["normal_fpr"][fpr])
    means = [float(np.mean(shares)) for _, shares in sorted(by_seed.items())]
    text = f"{100 * np.mean(means):.3g} % of the pixels of normal test images"
    if fpr == "0":
        clean = sum(r.about["normal_fpr"][fpr] == 0 for r in used)
        return Outcome(f"{text}; none in {clean} of {len(used)} trainings", HOLDS if clean == len(used) else FAILS, tuple(used))
    text += f" (by seed {', '.join(f'{100 * m:.3g}' for m in means)})"
    return Outcome(text, every([above(means, float(fpr) / 2), below(means, float(fpr) * 2)]), tuple(used))


def latent(records: Records) -> Outcome:
    """The code is small beside the features (III-C, Appendix B)."""
    used = training(records, [("1:12", OWN)])
    if not used:
        raise Missing("training records of 1:12")
    shares = [r.about["c_d"] / r.about["c_o"] for r in used]
    sizes = [r.about["c_d"] for r in used]
    text = f"f{{1:12}}: c_d from {min(sizes)} to {max(sizes)} of c_o = {used[0].about['c_o']}, at most {max(shares):.0%}"
    return Outcome(text, HOLDS if max(shares) < 0.5 else FAILS, tuple(used))


def grows(records: Records) -> Outcome:
    """Receptive fields as printed (Table I)."""
    record = only(records, "network")
    sizes = [row["size"] for row in record.about["receptive_fields"]]
    verdict = HOLDS if sizes == list(paper.TABLE_I.values()) else FAILS
    return Outcome(f"{sizes[0]} to {sizes[-1]} pixels, {'all 16 as printed' if verdict == HOLDS else 'not as printed'}", verdict, (record,))

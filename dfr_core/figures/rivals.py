"""The claims of Section IV-B: DFR beside the methods that the paper compares it with.

A rival is measured with one seed and DFR with several, so a difference has one number for each seed of DFR, to the
rival's mean; the rival's own spread is in no interval, and the words say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..lab.trial import OWN, Setting
from .judgements import Outcome, spread
from .measured import GROUPS, METRICS, RIVAL, Evidence, Missing, by_seed, nice, timings, training
from .verdicts import FAILS, FASTER, HOLDS, above, below, every

#: "On par" as a number.
PAR = 0.02
#: Those that learn images from scratch; those on transferred features that are not shallow; the one that DFR is on par with.
SCRATCH, STUDENTS, EQUAL = ("AE-ssim", "AE-l2", "AnoGAN", "VAE-grad"), ("ST-p65", "ST-m"), "ST-m"
SHALLOW = "CNN-FD"
_OURS: Setting = ("1:16", OWN)


def outperforms(records: Evidence) -> Outcome:
    """DFR, {1:16}, above the methods that reconstruct images, and on par with ST-m, by both metrics. Means over all."""
    texts, verdicts = [], []
    for metric in METRICS:
        for name in (*SCRATCH, EQUAL):
            lead = _lead(records, metric, _OURS, name).mean(1)
            texts.append(_words(metric, "DFR", name, lead))
            verdicts += [above(lead)] if name != EQUAL else [above(lead, -PAR), below(lead, PAR)]
    return _outcome(records, texts, every(verdicts), _OURS, *SCRATCH, EQUAL)


def everywhere(records: Evidence) -> Outcome:
    """DFR, {1:16}, above AE-ssim, AnoGAN and CNN-FD of Table III in each category, by PRO-AUC."""
    names = ("AE-ssim", "AnoGAN", SHALLOW)
    texts, verdicts = [], []
    for name in names:
        lead = _lead(records, "pro_auc", _OURS, name)
        behind = ", ".join(nice(c) for c, values in zip(GROUPS["all"], lead.T) if values.mean() <= 0)
        ahead = int((lead.mean(0) > 0).sum())
        texts.append(f"above {name} in {ahead} of {lead.shape[1]}{f', not {behind}' if behind else ''}")
        verdicts += [above(values) for values in lead.T]
    return _outcome(records, texts, every(verdicts), _OURS, *names)


def transferred(records: Evidence) -> Outcome:
    """The lowest mean of DFR, ST-m and ST-p65 above the highest of the methods that learn from scratch, by both metrics."""
    texts, verdicts = [], []
    for metric in METRICS:
        of_st = {name: _mean(records, metric, name) for name in STUDENTS}
        best = max(SCRATCH, key=lambda name: _mean(records, metric, name))
        ours = _lead(records, metric, _OURS, best).mean(1)
        weakest = min(STUDENTS, key=of_st.__getitem__)
        texts.append(f"{_words(metric, 'DFR', best, ours)}; {weakest} to {best} {of_st[weakest] - _mean(records, metric, best):+.3f}")
        verdicts += [above(ours), HOLDS if of_st[weakest] > _mean(records, metric, best) else FAILS]
    return _outcome(records, texts, every(verdicts), _OURS, *SCRATCH, *STUDENTS)


def shallow(records: Evidence) -> Outcome:
    """CNN-FD below ST-p65, ST-m and DFR, {1:16}, on average by both metrics."""
    texts, verdicts = [], []
    for metric in METRICS:
        lead, theirs = _lead(records, metric, _OURS, SHALLOW).mean(1), _mean(records, metric, SHALLOW)
        texts.append(_words(metric, "DFR", SHALLOW, lead))
        verdicts.append(above(lead))
        for name in STUDENTS:
            texts.append(f"{name} {_mean(records, metric, name) - theirs:+.3f}")
            verdicts.append(HOLDS if _mean(records, metric, name) > theirs else FAILS)
    return _outcome(records, texts, every(verdicts), _OURS, SHALLOW, *STUDENTS)


def scales(records: Evidence) -> Outcome:
    """ST-m above ST-p65 on average, by PRO-AUC."""
    single, several = (_mean(records, "pro_auc", name) for name in STUDENTS)
    text = f"{METRICS['pro_auc']}: ST-p65 {single:.3f}, ST-m {several:.3f}, {several - single:+.3f}"
    return _outcome(records, [text], HOLDS if several > single else FAILS, None, *STUDENTS)


def several_networks(records: Evidence) -> Outcome:
    """DFR, {1:12}, is faster than ST-m."""
    ours = timings(records, "1:12")
    if not ours or EQUAL not in records.speeds:
        raise Missing(f"speed records of 1:12 and {EQUAL}")
    fps, theirs = float(np.mean([r.about["fps"] for r in ours])), records.speeds[EQUAL].about["fps"]
    text = f"{fps:.1f} frames a second, {EQUAL} {theirs:.1f}"
    return Outcome(text, HOLDS if fps > FASTER * theirs else FAILS, (*ours, records.speeds[EQUAL]))


def _lead(records: Evidence, metric: str, ours: Setting, name: str) -> np.ndarray:
    """DFR minus a rival: [DFR's seeds, categories].

    Raises:
        Missing: a category lacks either.
    """
    found = [(by_seed(records, metric, c, *ours), by_seed(records, metric, c, *RIVAL, name)) for c in GROUPS["all"]]
    seeds = sorted(set.intersection(*(set(dfr) for dfr, _ in found)))
    if not seeds or not all(rival for _, rival in found):
        raise Missing(f"trainings of all categories by {name} and by DFR f{{{ours[0]}}}")
    return np.array([[dfr[seed] - np.mean(list(rival.values())) for dfr, rival in found] for seed in seeds])


def _mean(records: Evidence, metric: str, name: str) -> float:
    found = [by_seed(records, metric, c, *RIVAL, name) for c in GROUPS["all"]]
    if not all(found):
        raise Missing(f"trainings of all categories by {name}")
    return float(np.mean([np.mean(list(values.values())) for values in found]))


def _words(metric: str, ours: str, name: str, lead: np.ndarray) -> str:
    return f"{METRICS[metric]}, {ours} to {name}: {spread(lead)}"


def _outcome(records: Evidence, texts: Sequence[str], verdict: str, ours: Setting | None, *names: str) -> Outcome:
    used = training(records, [*([ours] if ours else []), *((*RIVAL, name) for name in names)])
    seeds = {record.about["seed"] for record in used if record.about["method"] in names}
    return Outcome("; ".join(texts) + (f" (baselines: {len(seeds)} seed{'s' if len(seeds) > 1 else ''})"), verdict, tuple(used))

"""`dfr reproduce`: plan what is missing, measure it, draw (Section IV).

Local processes through joblib by default, a Dask cluster on request; the records are the same. The only
state is the folder of records, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DFRError

if TYPE_CHECKING:
    from ..editions import Edition


def main(args: argparse.Namespace) -> int:
    """Run `dfr reproduce`."""
    from .experiments import NEEDS, Job, plan, run_job, speed_jobs

    lab = _laboratory(args)
    items = set(args.only or NEEDS)
    if unknown := sorted(items - set(NEEDS)):
        raise DFRError(f"--only: {unknown[0]!r} is not one of {', '.join(NEEDS)}")
    seeds = args.seeds if args.seeds is not None else (3 if lab.edition.name.split()[0] == "embedded" else 1)
    if seeds < 1:
        raise DFRError(f"--seeds: {seeds} is not at least 1")
    jobs = plan(lab, items, _categories(lab.root, args.categories), seeds)
    speed = speed_jobs(lab, items, jobs)
    keys = [key for job in (*jobs, *speed) for key in job.keys]
    missing = [key for key in keys if not lab.store.has(key)]
    print(
        f"{lab.edition.name} edition: {len(keys)} records wanted, {len(keys) - len(missing)} there, {len(missing)} to measure",
        file=sys.stderr,
    )
    if args.dry_run:
        return 0
    todo: list[Job] = [job for job in jobs if not all(map(lab.store.has, job.keys))]
    with _Progress(lab, [*todo, *speed]):
        _run_all(lab, todo, args)
        for job in speed:
            run_job(lab, job)
    from ..figures.gallery import draw  # matplotlib is not needed before

    records = lab.store.load(keys)
    out = Path(args.out or ("figures" if lab.edition.name == "embedded" else f"figures-{lab.edition.name}"))
    files = draw(records, out, items if args.only else None)
    print(f"{len(files)} files in {out}; look at {out / 'README.md'}", file=sys.stderr)
    return 0


def _laboratory(args: argparse.Namespace):
    from ..device import pick_device
    from ..editions import current_edition, edition
    from .experiments import Laboratory

    chosen = edition(args.edition) if args.edition else current_edition()
    changes = {name: getattr(args, name) for name in ("weights", "epochs", "steps") if getattr(args, name) is not None}
    if "epochs" in changes and "steps" in changes:
        raise DFRError("--steps: given beside --epochs, and both say how long to train; give one of them")
    if "epochs" in changes:
        changes["steps"] = None  # the slim editions count steps, which would override the epochs asked for
    settings = replace(chosen.settings, **changes)
    if settings.epochs != chosen.settings.epochs or settings.steps != chosen.settings.steps:
        count, unit = (settings.steps, "step") if settings.steps else (settings.epochs, "epoch")
        length = f"{count} {unit}{'' if count == 1 else 's'}"
        chosen = replace(chosen, name=f"{chosen.name} ({length})")
    root = Path(args.data) if args.data else chosen.data_root()
    chosen = replace(chosen, data=_data_in_words(root, chosen))
    cuda = pick_device(args.device).type == "cuda"
    jobs = args.jobs or (1 if cuda else os.cpu_count() or 1)
    if jobs < 1:
        raise DFRError(f"--jobs: {jobs} is not at least 1")
    args.jobs = jobs
    results = Path(args.results or Path("results") / chosen.name.split()[0])
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return Laboratory(chosen, settings, root.resolve(), results.resolve(), args.device, threads)


def _data_in_words(root: Path, edition: Edition) -> str:
    """What the figures call the data: an edition's own name for them only where they are what it says."""
    from ..data import all_categories, load_category
    from ..data.synthetic import STAMP
    from ..paper_numbers import TABLE_VII

    found = all_categories(root)
    if all((root / name / STAMP).exists() for name in found):
        return "synthetic data"
    if all(name in TABLE_VII and len(load_category(root, name).train) == TABLE_VII[name][0] for name in found):
        return "MVTec AD"
    return f"data in {root.name}"


def _categories(root: Path, wanted: list[str] | None) -> tuple[str, ...]:
    from ..data import all_categories

    found = all_categories(root)
    if unknown := sorted(set(wanted or ()) - set(found)):
        raise DFRError(f"--categories: {unknown[0]!r} is not in {root}; there are {', '.join(found)}")
    return tuple(c for c in found if not wanted or c in wanted)


def _run_all(lab, jobs: list, args: argparse.Namespace) -> None:
    """Spread the jobs over processes or a cluster."""
    import joblib

    from .experiments import run_job

    if not jobs:
        return
    if args.dask:
        try:
            from distributed import Client
        except ImportError:
            raise DFRError("--dask: needs the package `distributed`; install dfr-lab[dask]") from None
        try:
            client = Client(args.dask, timeout="10s")
        except (OSError, ValueError) as error:
            raise DFRError(f"--dask: no scheduler answers at {args.dask} ({error}); start one with `dask scheduler`") from error
        # The cluster's workers compute with one thread each, like local ones.
        lab = replace(lab, threads=1)
        backend = joblib.parallel_config(backend="dask", wait_for_workers_timeout=30)
    else:
        client, backend = nullcontext(), joblib.parallel_config(backend="loky", n_jobs=args.jobs)
    with client, backend:
        joblib.Parallel(batch_size=1)(joblib.delayed(run_job)(lab, job) for job in jobs)


class _Progress:
    """One bar over all records, weighted by cost. It watches the folder, so it sees every worker's results."""

    def __init__(self, lab, jobs: list) -> None:
        self.store = lab.store
        self.waiting = {key: cost for job in jobs for _, key, cost in job.records if not lab.store.has(key)}
        self.stop = threading.Event()

    def __enter__(self) -> None:
        from tqdm.auto import tqdm

        total = sum(self.waiting.values())
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}"
        self.bar = tqdm(total=total, desc="measuring", bar_format=form, disable=not self.waiting)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.stop.wait(0.5):
            self._look()

    def _look(self) -> None:
        done = [key for key in self.waiting if self.store.has(key)]
        self.bar.update(sum(self.waiting.pop(key) for key in done))
        if done:
            self.bar.set_postfix_str(f"{len(self.waiting)} records to go", refresh=False)

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._look()
        self.bar.close()

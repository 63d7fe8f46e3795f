"""`dfr reproduce`: plan what is missing, measure it, have it drawn (Section IV).

Local processes through joblib by default, a Dask cluster on request; the records are the same. The only
state is the folder of records, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DFRError
from .trial import Needs

if TYPE_CHECKING:
    from .laboratory import Laboratory
    from .plan import Job


def main(args: argparse.Namespace, items: Mapping[str, Needs], draw: Callable[..., list[Path]]) -> int:
    """Run `dfr reproduce`.

    Args:
        args: parsed options.
        items: what each figure and table needs; a laboratory knows of figures no more than this.
        draw: (records, folder, names of items or None for all, protocol) -> files written.
    """
    from .plan import plan, speed_jobs
    from .worker import run_job

    lab = laboratory(args)
    names = set(args.only or items)
    if unknown := sorted(names - set(items)):
        raise DFRError("--only", f"{unknown[0]!r} is not one of {', '.join(items)}")
    seeds = args.seeds if args.seeds is not None else lab.edition.seeds
    if seeds < 1:
        raise DFRError("--seeds", f"{seeds} is not at least 1")
    needs = Needs.union(items[name] for name in names)
    categories = _categories(lab.root, args.categories)
    jobs = plan(lab, needs, categories, seeds)
    speed = speed_jobs(lab, needs, jobs, categories)
    keys = [key for job in (*jobs, *speed) for key in job.keys]
    missing = [key for key in keys if not lab.store.has(key)]
    counts = f"{len(keys)} records wanted, {len(keys) - len(missing)} there, {len(missing)} to measure"
    print(f"{lab.edition.title} edition: {counts}", file=sys.stderr)
    if args.dry_run:
        return 0
    todo = [job for job in jobs if not all(map(lab.store.has, job.keys))]
    with _progress(lab, [*todo, *speed]):
        _run_all(lab, todo, args)
        for job in speed:
            run_job(lab, job)
    committed = lab.edition.name == "embedded" and not lab.edition.note  # the figures in git are those of this edition as it is
    out = Path(args.out or ("figures" if committed else f"figures-{lab.edition.title}"))
    files = draw(lab.store.load(keys), out, names if args.only else None, lab.protocol)
    print(f"{len(files)} files in {out}; look at {out / 'README.md'}", file=sys.stderr)
    return 0


def laboratory(args: argparse.Namespace) -> Laboratory:
    """The laboratory that the options ask for; ``args.jobs`` is filled in.

    Raises:
        DFRError: options that contradict one another, or a data set that is not there.
    """
    from ..device import cores, pick_device
    from ..editions import current_edition, edition
    from ..methods import one_length
    from .laboratory import Laboratory

    chosen = edition(args.edition) if args.edition else current_edition()
    changes = {name: getattr(args, name) for name in ("weights", "epochs", "steps") if getattr(args, name) is not None}
    settings = replace(chosen.settings, **one_length(changes))
    if settings.epochs != chosen.settings.epochs or settings.steps != chosen.settings.steps:
        count, unit = (settings.steps, "step") if settings.steps else (settings.epochs, "epoch")
        chosen = replace(chosen, note=f"{count} {unit}{'' if count == 1 else 's'}")
    root = Path(args.data) if args.data else chosen.data_root()
    data, synthetic, mvtec = _data(root)
    chosen = replace(chosen, data=data)
    cuda = pick_device(args.device).type == "cuda"
    jobs = (1 if cuda else cores()) if args.jobs is None else args.jobs
    if jobs < 1:
        raise DFRError("--jobs", f"{jobs} is not at least 1", f"leave it out for one worker per core ({cores()})")
    args.jobs = jobs
    results = Path(args.results or Path("results") / chosen.name)
    threads = max(1, cores() // jobs)
    return Laboratory(chosen, settings, root.resolve(), results.resolve(), args.device, threads, synthetic, mvtec)


def _data(root: Path) -> tuple[str, bool, bool]:
    """What a data set is, by what is in it: in words, whether it is synthetic, and whether it is the paper's."""
    from ..data import all_categories, load_category
    from ..data.synthetic import STAMP
    from ..paper_numbers import TABLE_VII

    found = all_categories(root)
    if all((root / name / STAMP).exists() for name in found):
        return "synthetic data", True, False
    if all(name in TABLE_VII and len(load_category(root, name).train) == TABLE_VII[name][0] for name in found):
        return "MVTec AD", False, True
    return f"data in {root.name}", False, False


def _categories(root: Path, wanted: list[str] | None) -> tuple[str, ...]:
    from ..data import all_categories

    found = all_categories(root)
    if unknown := sorted(set(wanted or ()) - set(found)):
        raise DFRError("--categories", f"{unknown[0]!r} is not in {root}", f"there are {', '.join(found)}")
    return tuple(c for c in found if not wanted or c in wanted)


def _run_all(lab: Laboratory, jobs: list[Job], args: argparse.Namespace) -> None:
    """Spread the jobs over processes or a cluster."""
    import joblib

    from .worker import run_job

    if not jobs:
        return
    if args.dask:
        try:
            from distributed import Client
        except ImportError:
            raise DFRError("--dask", "needs the package `distributed`", "install dfr-lab[dask]") from None
        try:
            client = Client(args.dask, timeout="10s")
        except (OSError, ValueError) as error:
            raise DFRError("--dask", f"no scheduler answers at {args.dask} ({error})", "start one with `dask scheduler`") from error
        # The cluster's workers compute with one thread each, like local ones.
        lab = replace(lab, threads=1)
        backend = joblib.parallel_config(backend="dask", wait_for_workers_timeout=30)
    else:
        client, backend = nullcontext(), joblib.parallel_config(backend="loky", n_jobs=args.jobs)
    with client, backend:
        here = None if args.dask else os.getpid()
        joblib.Parallel(batch_size=1)(joblib.delayed(run_job)(lab, job, parent=here) for job in jobs)


@contextmanager
def _progress(lab: Laboratory, jobs: list[Job]) -> Iterator[None]:
    """One bar over all records, weighted by cost. It watches the folder, so it sees every worker's results."""
    from tqdm.auto import tqdm

    waiting = {record.key: record.cost for job in jobs for record in job.records if not lab.store.has(record.key)}
    form, stop = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}", threading.Event()
    with tqdm(total=sum(waiting.values()), desc="measuring", bar_format=form, disable=not waiting) as bar:

        def watch() -> None:
            ended = False
            while not ended:
                ended = stop.wait(0.5)  # one more look at the end
                done = [key for key in waiting if lab.store.has(key)]
                bar.update(sum(waiting.pop(key) for key in done))
                bar.set_postfix_str(f"{len(waiting)} records to go", refresh=False)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

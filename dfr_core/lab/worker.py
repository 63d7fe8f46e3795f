"""What a worker does with a job: measure what is missing, and keep each record as soon as it is there."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from functools import lru_cache
from importlib import import_module

import torch

from ..records import Record
from .code import PACKAGE
from .laboratory import Laboratory
from .plan import Job


def run_job(lab: Laboratory, job: Job, parent: int | None = None) -> None:
    """Make the records of a job that are not there yet.

    Args:
        parent: process that this one works for; when it ends, in whatever way, this one does, too.
    """
    if parent is not None and parent != os.getpid():  # with one job joblib starts no worker
        _end_with(parent)
    missing = [record for record in job.records if not lab.store.has(record.key)]
    if not missing:
        return
    lab = replace(lab, method=job.method or lab.method)
    measure = import_module(f"{PACKAGE.name}.{lab.measured_in(job.kind)}").measure
    threads = torch.get_num_threads()
    torch.set_num_threads(lab.threads)
    try:
        for wanted, more, arrays in measure(lab, missing):
            lab.store.put(wanted.key, Record(lab.about(job.kind, **wanted.about, **more), arrays))
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _end_with(parent: int) -> None:
    """A signal, or kill -9, reaches the parent alone; without this its workers would go on for minutes, and nobody would wait for them."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)  # what is half done is not kept anyway; records are written whole

    if os.getppid() == parent:
        threading.Thread(target=watch, daemon=True, name="ends with its parent").start()

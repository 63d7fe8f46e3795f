"""What a worker does with a job: measure what is missing, and keep each record as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch

from ..records import Record
from .laboratory import Laboratory
from .plan import Job


def run_job(lab: Laboratory, job: Job, tell: Callable[[str], None] | None = None) -> None:
    """Make the records of a job that are not there yet."""
    missing = [record for record in job.records if not lab.store.has(record.key)]
    if not missing:
        return
    measure = import_module(f"{__package__}.measures.{job.kind}").measure
    threads = torch.get_num_threads()
    torch.set_num_threads(lab.threads)
    try:
        for wanted, more, arrays in measure(lab, missing):
            lab.store.put(wanted.key, Record(lab.about(job.kind, **wanted.about, **more), arrays))
            if tell:
                tell(wanted.key)
    finally:
        torch.set_num_threads(threads)

"""For nbval: the kernels run as the saved outputs were made, in the quick edition on one core."""

from __future__ import annotations

import os


def pytest_configure(config):
    """Set what the kernels inherit; --nbval-lax compares nothing, so there the reader's own edition may stay."""
    if not config.getoption("nbval_lax", False):
        os.environ["DFR_EDITION"] = "quick"
    os.environ.setdefault("DFR_EDITION", "quick")
    os.environ["DFR_STRICT"] = "1"  # a claim that does not hold is an error, in every edition
    os.environ["OMP_NUM_THREADS"] = "1"

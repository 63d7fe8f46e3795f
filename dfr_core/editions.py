"""One code path, three sizes: what `quick`, `embedded` and `paper` mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DFRError, Setting
from .settings import Settings

if TYPE_CHECKING:
    from .data import Category

EDITION_VARIABLE = "DFR_EDITION"
DATA_VARIABLE = "DFR_DATA"
CACHE_VARIABLE = "DFR_CACHE"


@dataclass(frozen=True)
class Edition:
    """A size of the laboratory.

    Attributes:
        name: ``quick``, ``embedded`` or ``paper``.
        settings: the method's choices in it.
        n_train, n_good, n_defect: synthetic images per category: training, normal test, test per defect type;
            zero for the paper edition, whose images are MVTec AD's.
        data: in words.
        network: in words.
        seeds: how many a measurement is made with.
        note: what was overridden, in words.
    """

    name: str
    settings: Settings
    n_train: int
    n_good: int
    n_defect: int
    data: str
    network: str
    seeds: int = 1
    note: str = ""

    @property
    def title(self) -> str:
        """The name with what was overridden, for people; nothing is decided by it."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def synthetic(self) -> bool:
        return self.n_train > 0

    def banner(self) -> str:
        """One line that says which edition made what follows."""
        s = self.settings
        steps = f"{s.steps} steps of {s.batch_size} x {s.positions} positions" if s.steps else f"{s.epochs} epochs"
        return f"{self.title} edition · {self.data} · {self.network} · layers {s.layers} · {steps} · seed {s.seed}"

    def data_root(self, categories: tuple[str, ...] | None = None) -> Path:
        """Where its data set is; synthetic categories (default: all) are made there when first asked for.

        Raises:
            DFRError: the paper edition without ``DFR_DATA``.
        """
        if not self.synthetic:
            root = os.environ.get(DATA_VARIABLE)
            if not root:
                raise DFRError(
                    DATA_VARIABLE,
                    "the paper edition needs MVTec AD",
                    "set it to the data set's folder (see `dfr fetch-data --help`)",
                )
            return Path(root)
        from .data.synthetic import CATEGORIES, make_dataset

        root = cache_folder() / f"synthetic-{self.name}"
        make_dataset(root, categories or CATEGORIES, n_train=self.n_train, n_good=self.n_good, n_defect=self.n_defect)
        return root

    def category(self, name: str) -> Category:
        """One category of its data set."""
        from .data import load_category

        return load_category(self.data_root((name,)), name)


def cache_folder() -> Path:
    """Where generated data are kept: ``DFR_CACHE``, else the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dfr-lab"


# What an untrained network and minutes on a laptop ask for, each measured (see docs/choices.md).
_SLIM = Settings(
    weights="untrained",
    width=0.125,
    padding="reflect",
    variance=0.99,  # nine tenths of the variance of untrained features is light and shade: c_d would be 1 or 2
    initialisation="pca",
    pca_samples=4096,
    learning_rate=2e-3,
    schedule="onecycle",
    positions=32,
    steps=250,
)

EDITIONS = {
    "quick": Edition("quick", Settings(**{**_SLIM.__dict__, "steps": 125}), 8, 2, 1, "synthetic data", "untrained VGG19, 1/8 width"),
    "embedded": Edition("embedded", _SLIM, 16, 4, 4, "synthetic data", "untrained VGG19, 1/8 width", seeds=3),
    "paper": Edition("paper", Settings(), 0, 0, 0, "MVTec AD", "ImageNet VGG19, full width"),
}


def edition(name: str) -> Edition:
    """The edition of a name.

    Raises:
        DFRError: there is none of that name.
    """
    if name not in EDITIONS:
        raise DFRError(Setting("edition"), f"{name!r} is not one of {', '.join(EDITIONS)}")
    return EDITIONS[name]


def current_edition() -> Edition:
    """The edition that the environment variable ``DFR_EDITION`` names; embedded without it.

    Raises:
        DFRError: the variable names none.
    """
    name = os.environ.get(EDITION_VARIABLE) or "embedded"
    if name not in EDITIONS:
        raise DFRError(EDITION_VARIABLE, f"{name!r} is not one of {', '.join(EDITIONS)}")
    return EDITIONS[name]

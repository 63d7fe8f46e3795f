"""One code path, three sizes: what `quick`, `embedded` and `paper` mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DFRError
from .settings import EDITION_VARIABLE, Settings, current_edition_name  # noqa: F401 (the variable's name is asked for here)

if TYPE_CHECKING:
    from .data import Category

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
        seeds: how many a measurement is made with.
        note: what was overridden, in words.
    """

    name: str
    settings: Settings
    n_train: int
    n_good: int
    n_defect: int
    data: str
    seeds: int = 1
    note: str = ""

    @property
    def title(self) -> str:
        """The name with what was overridden, for people; nothing is decided by it."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def synthetic(self) -> bool:
        return self.n_train > 0

    @property
    def network(self) -> str:
        """The network in words."""
        from .backbones.weights import in_words

        return in_words(self.settings)

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


EDITIONS = {
    "quick": Edition("quick", Settings.of_edition("quick"), 8, 2, 1, "synthetic data"),
    "embedded": Edition("embedded", Settings.of_edition("embedded"), 16, 4, 4, "synthetic data", seeds=3),
    "paper": Edition("paper", Settings.of_edition("paper"), 0, 0, 0, "MVTec AD"),
}


def edition(name: str) -> Edition:
    """The edition of a name.

    Raises:
        DFRError: there is none of that name.
    """
    Settings.of_edition(name)
    return EDITIONS[name]


def current_edition() -> Edition:
    """The edition that the environment variable ``DFR_EDITION`` names; embedded without it.

    Raises:
        DFRError: the variable names none.
    """
    return EDITIONS[current_edition_name()]

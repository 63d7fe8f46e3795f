"""Where the course can be opened online: the buttons of the notebooks and of the README, and the lines that set a notebook up there.

The repository's address stands in one place, the line ``repository-code`` of CITATION.cff.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@lru_cache
def repository() -> str:
    """The public address of the repository, without the host: ``OWNER/NAME``."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    return re.search(r'^repository-code: "https://github\.com/([\w.-]+/[\w.-]+)"$', text, re.MULTILINE)[1]


def buttons(name: str) -> str:
    """Links, in markdown, that open a notebook in Colab and in Binder."""
    colab = f"https://colab.research.google.com/github/{repository()}/blob/main/notebooks/{name}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{repository()}/main?labpath=notebooks%2F{name}.ipynb"
    return f"[Open in Colab]({colab}) · [Open in Binder]({binder})"


def set_up() -> str:
    """Lines of a notebook's first cell of code: where the course is not installed, as on Colab, they install it."""
    return (
        "import importlib.util\n\n"
        'if not importlib.util.find_spec("dfr_core"):  # on Colab\n'
        f'    %pip install -q "dfr-lab @ git+https://github.com/{repository()}"\n\n'
    )

"""What is told about files that are used otherwise than one may think, or not at all: one line for each reason."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("dfr")

SHOWN = 12


class Note(NamedTuple):
    """One file or folder, and what there is to say about it.

    Attributes:
        path: which.
        why: what happened to it and what to do, without its name.
    """

    path: Path
    why: str


def lines(notes: Iterable[Note]) -> list[str]:
    """One line for each reason and folder: ``FOLDER/: 3 entries: REASON: a.mov, b.mov, c.mov``; a single file is named by its path."""
    groups: dict[tuple[Path, str], list[str]] = {}
    for note in notes:
        path = Path(note.path)
        groups.setdefault((path.parent, note.why), []).append(path.name)
    found = []
    for (folder, why), names in groups.items():
        if len(names) == 1:
            found.append(f"{folder / names[0]}: {why}")
        else:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            found.append(f"{folder}{os.sep}: {len(names)} entries: {why}: {', '.join(names[:SHOWN])}{more}")
    return found


def tell(notes: Iterable[Note]) -> None:
    """Log them as warnings: on standard error of the command, and in Python unless logging says otherwise."""
    for line in lines(notes):
        log.warning("%s", line)

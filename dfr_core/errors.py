"""The one exception a user is meant to read, in three parts: what it is about, the problem, how to mend it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A setting or option named in a message: an argument in Python, a flag on the command line.

    Attributes:
        name: as in Python, such as ``"image_size"``.
        value: what it should be set to, if the message says so; ``...`` leaves that to the reader.

    >>> print(Setting("image_size"), Setting("weights", "untrained"), Setting("width", 1), Setting("masks", ...))
    image_size weights='untrained' width=1 masks=
    """

    name: str
    value: Any = None

    def __str__(self) -> str:
        if self.value is None:
            return self.name
        return f"{self.name}={'' if self.value is ... else repr(self.value)}"


#: What a message is made of: words, and things that are not the same words everywhere (a path, a setting, another error).
Piece = str | os.PathLike | Setting | ValueError
Part = Piece | tuple[Piece, ...]


class DFRError(ValueError):
    """A mistake in what the user gave: a file, an option, a data set.

    The message is one line, ``what: problem; mend``. The command line prints it and exits with code 2; it never shows
    a traceback for it. A part is words, a path, a :class:`Setting`, the error underneath, or a tuple of these, so that
    whoever prints the message can spell settings and paths in their own way (:meth:`line`).

    Attributes:
        what: the file, option, setting or argument it is about; empty where there is none to name.
        problem: what is wrong with it.
        mend: what to do; empty where the problem says it already.

    >>> error = DFRError(Setting("kernel"), ("exceeds ", Setting("image_size"), " 64"), "choose a smaller mean filter")
    >>> str(error)
    'kernel: exceeds image_size 64; choose a smaller mean filter'
    >>> error.line(lambda piece: f"--{piece.name.replace('_', '-')}")
    '--kernel: exceeds --image-size 64; choose a smaller mean filter'
    """

    def __init__(self, what: Part, problem: Part, mend: Part = "") -> None:
        super().__init__(what, problem, mend)  # all three, so that it survives the way back from a worker process
        self.what, self.problem, self.mend = what, problem, mend

    def line(self, spell: Callable[[Any], str] = str) -> str:
        """The message in one line; ``spell`` gives the words for each piece that is not words already."""
        what, problem, mend = (_words(part, spell) for part in (self.what, self.problem, self.mend))
        said = "; ".join(filter(None, (problem, mend)))
        return ": ".join(filter(None, (what, said)))

    def __str__(self) -> str:
        return self.line()


def _words(part: Part, spell: Callable[[Any], str]) -> str:
    if isinstance(part, tuple):
        return "".join(_words(piece, spell) for piece in part)
    if isinstance(part, DFRError):
        return part.line(spell)
    return part if isinstance(part, str) else spell(part)

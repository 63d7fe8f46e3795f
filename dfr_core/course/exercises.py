"""What judges: exercises with hints on demand, answers under seal, and claims that must hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..editions import current_edition
from ..errors import DFRError

#: The edition whose outputs are saved in the notebooks.
SAVED_EDITION = "quick"
#: Set by the tests: a claim that does not hold stops the notebook in every edition.
STRICT_VARIABLE = "DFR_STRICT"
_hints: dict[str, str] = {}
_judged: dict[str, str] = {}


def check(
    label: str,
    answer: Any,
    test: Callable[[Any], Any],
    hint: str,
    probe: Sequence[Any] = (),
    draw: Callable[[Any], Any] | None = None,
) -> None:
    """Judge an exercise; prints one line: not attempted, right, or not yet. The hint waits for :func:`hint`.

    Args:
        label: of the exercise, such as ``"3.1"``.
        answer: a value or a function; None or ``...`` is not attempted, and so is a function that returns None
            for ``probe``.
        test: says of the answer whether it is right; whatever it or the answer raises is reported, not raised.
        hint: what to think of if it is not.
        probe: arguments to try an answer with that is a function; without any it is not tried.
        draw: shows a right answer's result, such as ``lambda f: show(f(image), alt="...")``; called with the answer.
    """
    _hints[label] = hint
    judgement = _judged[label] = _judgement(answer, test, probe)
    print(f"Exercise {label}: {judgement}")
    if judgement == "right":
        if draw:
            draw(answer)
    elif judgement != "not attempted":
        print(f'For a hint run: hint("{label}")')


def hint(label: str) -> None:
    """Print the hint of an exercise whose check has run.

    Raises:
        DFRError: there is no such exercise, or its check has not run.
    """
    if label not in _hints:
        known = ", ".join(_hints) or "none yet"
        raise DFRError(f"exercise {label}", "its check has not run", f"run the cell with its check first; those that have run: {known}")
    print(f"Hint {label}: {_hints[label]}")


def passed(label: str) -> bool:
    """Was the last answer to an exercise right? What nbgrader's checks assert."""
    return _judged.get(label) == "right"


def _judgement(answer: Any, test: Callable[[Any], Any], probe: Sequence[Any]) -> str:
    if answer is None or answer is ...:
        return "not attempted"
    try:
        if callable(answer) and len(probe):
            result = answer(*probe)
            if result is None or result is ...:
                return "not attempted"
        right = bool(test(answer))
    except Exception as error:  # a learner's code may raise anything
        reason = " ".join(str(error).split())
        return f"not yet ({type(error).__name__}{': ' + reason if reason else ''})"
    return "right" if right else "not yet"


def seal(label: str, value: Any) -> str:
    """A digest of an answer, to write into the check of an exercise so that the answer cannot be read there.

    Args:
        label: of the exercise; it salts the digest.
        value: a number, a text, None, or nested lists, tuples or arrays of these; six digits of a number count.
    """
    return hashlib.sha256(f"{label}: {_digits(value)}".encode()).hexdigest()[:12]


def sealed(label: str, digest: str) -> Callable[[Any], bool]:
    """A test for :func:`check` (or a part of one): is a value the one that :func:`seal` made this digest of?"""
    return lambda value: seal(label, value) == digest


def _digits(value: Any) -> str:
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, (list, tuple)) or np.ndim(value):
        return "[" + " ".join(_digits(part) for part in value) + "]"
    return f"{float(value) + 0.0:.6g}"  # + 0.0: no minus before a zero


def verdict(name: str, ok: Any, size: float | str | None = None) -> None:
    """Print ``name: yes``, and how large what was measured is. A claim that does not hold stops the notebook.

    In another edition than the one whose outputs are saved a claim may fail for no fault of the reader's: there it is said and the
    notebook goes on, unless the environment variable ``DFR_STRICT`` is set, as the tests do.

    Args:
        name: the claim.
        ok: whether it holds.
        size: what was measured: a number, of which two digits are shown, or words. The comparison of notebooks leaves it out.

    Raises:
        AssertionError: it does not hold.
    """
    measured = "" if size is None else f" (measured: {_short(size)})"
    if bool(ok):
        print(f"{name}: yes{measured}")
        return
    edition = current_edition().name
    if edition == SAVED_EDITION or os.environ.get(STRICT_VARIABLE):
        raise AssertionError(f"{name}: no{measured}")
    print(f"{name}: NO{measured}. It holds in the {SAVED_EDITION} edition, whose numbers are saved; this is the {edition} edition.")


def _short(size: float | str) -> str:
    return size if isinstance(size, str) else f"{float(f'{float(size):.2g}'):g}"

"""The one error a user reads: what, problem and mend stay apart until somebody prints them."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

from dfr_core import errors
from dfr_core.errors import DFRError, Setting

CORE = Path(errors.__file__).parent


def test_the_sentence_is_made_of_the_parts_that_are_there():
    assert str(DFRError("masks", "no anomalous pixel", "add some")) == "masks: no anomalous pixel; add some"
    assert str(DFRError("share", "2 is not in (0, 1]")) == "share: 2 is not in (0, 1]"
    assert str(DFRError("", "not fitted", "call fit")) == "not fitted; call fit"
    assert str(DFRError(Path("a.png"), "no such image")) == "a.png: no such image"
    error = DFRError(Setting("width"), ("exists for ", Setting("width", 1)), "use that")
    assert (error.what, error.problem, error.mend) == (Setting("width"), ("exists for ", Setting("width", 1)), "use that")


def test_whoever_prints_it_spells_paths_settings_and_the_error_underneath():
    problem = ("second mask for ", Path("/scratch/leather/b.png"))
    inner = DFRError(Path("/scratch/leather/a.png"), problem, ("or set ", Setting("stride", 2)))
    outer = DFRError(Path("leather.tar"), ("not whole (", inner, ")"))
    assert str(outer) == "leather.tar: not whole (/scratch/leather/a.png: second mask for /scratch/leather/b.png; or set stride=2)"
    short = outer.line(lambda piece: piece.name if isinstance(piece, Path) else f"<{piece}>")
    assert short == "leather.tar: not whole (a.png: second mask for b.png; or set <stride=2>)"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (Setting("image_size"), "image_size"),
        (Setting("weights", "untrained"), "weights='untrained'"),
        (Setting("width", 1), "width=1"),
        (Setting("masks", ...), "masks="),
        (Setting("keep_padding", False), "keep_padding=False"),
    ],
)
def test_a_setting_is_said_as_in_python(setting, said):
    assert str(setting) == said


def test_an_error_comes_back_whole_from_a_worker_process():
    error = DFRError(Setting("layers"), "'99' is not within 1:16", ("set ", Setting("layers", "1:12")))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.what, again.mend) == (str(error), error.what, error.mend)


def test_every_error_in_the_core_says_what_and_which_problem_apart():
    """A whole sentence as one argument could not be spelled for the command line."""
    whole = [
        f"{path.relative_to(CORE)}:{node.lineno}"
        for path in sorted(CORE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "DFRError" and len(node.args) < 2
    ]
    assert whole == []

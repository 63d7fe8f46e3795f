"""The course's checker, verdicts, tables and pictures."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dfr_core import course
from dfr_core.editions import edition


def said(capsys, *args, **kwargs):
    course.check("9.1", *args, **kwargs)
    return capsys.readouterr().out


def double(x):
    return 2 * x


def stub(x):
    """Nothing yet."""


@pytest.mark.parametrize(
    ("answer", "probe"), [(None, ()), (..., ()), (stub, (3,)), (lambda x: ..., (3,))], ids=["none", "dots", "stub", "stub with dots"]
)
def test_what_is_not_attempted(capsys, answer, probe):
    assert said(capsys, answer, lambda a: True, "hint", probe=probe) == "Exercise 9.1: not attempted\n"


def test_right_and_not_yet(capsys):
    assert said(capsys, 4, lambda a: a == 4, "hint") == "Exercise 9.1: right\n"
    assert said(capsys, 5, lambda a: a == 4, "count again") == "Exercise 9.1: not yet. Hint: count again\n"
    assert said(capsys, double, lambda f: f(3) == 6, "twice", probe=(1,)) == "Exercise 9.1: right\n"
    assert said(capsys, double, lambda f: f(3) == 9, "thrice", probe=(1,)) == "Exercise 9.1: not yet. Hint: thrice\n"


def test_zero_false_and_empty_answers_are_answers(capsys):
    for answer in (0, False, "", [], np.zeros(3)):
        assert "right" in said(capsys, answer, lambda a: True, "hint")
        assert "not yet" in said(capsys, answer, lambda a: False, "hint")


def test_a_learners_error_is_told_in_one_line_and_not_raised(capsys):
    def broken(x):
        raise ValueError("two\nlines")

    assert said(capsys, broken, lambda f: True, "mind x", probe=(1,)) == "Exercise 9.1: not yet (ValueError: two lines). Hint: mind x\n"
    assert said(capsys, "text", lambda a: a.shape == 3, "an array").startswith("Exercise 9.1: not yet (AttributeError: ")
    assert said(capsys, double, lambda f: True, "one argument", probe=(1, 2)).startswith("Exercise 9.1: not yet (TypeError: ")
    ambiguous = said(capsys, np.ones(3), lambda a: a == 1, "a single number")
    assert ambiguous.startswith("Exercise 9.1: not yet (ValueError: ") and ambiguous.count("\n") == 1


def test_a_verdict_that_does_not_hold_stops_the_notebook(capsys):
    course.verdict("one is one", np.bool_(True))
    assert capsys.readouterr().out == "one is one: yes\n"
    with pytest.raises(AssertionError, match="one is two: no"):
        course.verdict("one is two", False)


def test_tables_are_aligned():
    text = course.table([("c_o", 432), ("grid", "64 × 64")], ("", "here"))
    assert text == "         here\n----  -------\nc_o       432\ngrid  64 × 64"


def test_start_prints_the_banner_and_silences_the_bars(capsys, monkeypatch):
    monkeypatch.setenv("DFR_EDITION", "quick")
    monkeypatch.delenv(course.QUIET_VARIABLE, raising=False)
    with plt.rc_context():
        assert course.start(3) is edition("quick")
        assert plt.rcParams["figure.dpi"] == course.STYLE["figure.dpi"]
    assert capsys.readouterr().out == f"Notebook 3 · {edition('quick').banner()}\n"
    from dfr_core.methods.train import ProgressBar

    bar = ProgressBar("training the CAE", True)
    assert bar.bar.disable
    monkeypatch.delenv(course.QUIET_VARIABLE)


def test_show_takes_pictures_and_maps(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    course.show(np.zeros((3, 8, 16), np.uint8), np.zeros((8, 16)), titles=("picture",))
    figure = plt.gcf()
    assert [axis.get_title() for axis in figure.axes] == ["picture", ""]
    assert figure.axes[0].get_images()[0].get_array().shape == (8, 16, 3)
    plt.close(figure)

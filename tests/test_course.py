"""The course's exercises, verdicts, predictions, closing questions, tables and pictures."""

from __future__ import annotations

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ipywidgets")
from dfr_core import course
from dfr_core.course import questions
from dfr_core.course.exercises import seal
from dfr_core.editions import edition
from dfr_core.errors import DFRError


def said(capsys, *args, **kwargs):
    course.check("9.1", *args, **kwargs)
    return capsys.readouterr().out


def double(x):
    return 2 * x


def stub(x):
    """Nothing yet."""


# ---- exercises -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "probe"), [(None, ()), (..., ()), (stub, (3,)), (lambda x: ..., (3,))], ids=["none", "dots", "stub", "stub with dots"]
)
def test_what_is_not_attempted(capsys, answer, probe):
    assert said(capsys, answer, lambda a: True, "hint", probe=probe) == "Exercise 9.1: not attempted\n"


NOT_YET = 'Exercise 9.1: not yet\nFor a hint run: hint("9.1")\n'


def test_right_and_not_yet(capsys):
    assert said(capsys, 4, lambda a: a == 4, "hint") == "Exercise 9.1: right\n"
    assert said(capsys, 5, lambda a: a == 4, "count again") == NOT_YET
    assert said(capsys, double, lambda f: f(3) == 6, "twice", probe=(1,)) == "Exercise 9.1: right\n"
    assert said(capsys, double, lambda f: f(3) == 9, "thrice", probe=(1,)) == NOT_YET


def test_a_hint_is_shown_on_demand_only(capsys):
    assert "count again" not in said(capsys, 5, lambda a: a == 4, "count again")
    course.hint("9.1")
    assert capsys.readouterr().out == "Hint 9.1: count again\n"
    with pytest.raises(DFRError, match=r"exercise 99\.1: its check has not run; run the cell with its check first"):
        course.hint("99.1")


def test_zero_false_and_empty_answers_are_answers(capsys):
    for answer in (0, False, "", [], np.zeros(3)):
        assert "right" in said(capsys, answer, lambda a: True, "hint")
        assert "not yet" in said(capsys, answer, lambda a: False, "hint")


def test_a_learners_error_is_told_in_one_line_and_not_raised(capsys):
    def broken(x):
        raise ValueError("two\nlines")

    assert said(capsys, broken, lambda f: True, "mind x", probe=(1,)).startswith("Exercise 9.1: not yet (ValueError: two lines)\n")
    assert said(capsys, "text", lambda a: a.shape == 3, "an array").startswith("Exercise 9.1: not yet (AttributeError: ")
    assert said(capsys, double, lambda f: True, "one argument", probe=(1, 2)).startswith("Exercise 9.1: not yet (TypeError: ")
    ambiguous = said(capsys, np.ones(3), lambda a: a == 1, "a single number")
    assert ambiguous.startswith("Exercise 9.1: not yet (ValueError: ") and ambiguous.count("\n") == 2


def test_only_a_right_answer_draws_its_result(capsys):
    drawn = []
    for answer in (None, 5, 4):
        said(capsys, answer, lambda a: a == 4, "hint", draw=drawn.append)
    assert drawn == [4]


def test_a_seal_tells_answers_apart_and_hides_them():
    digest = seal("4.1", [1, 2.5, [3]])
    test = course.sealed("4.1", digest)
    assert test([1, 2.5, [3]]) and test((1.0, 2.5000001, np.array([3]))), "six digits count, not the kind of number"
    assert not test([1, 2.51, [3]]) and not test([1, 2.5, 3]) and not test([1, 2.5])
    assert not course.sealed("4.2", digest)([1, 2.5, [3]]), "another exercise, another salt"
    assert seal("4.1", -0.0) == seal("4.1", 0)


# ---- verdicts ------------------------------------------------------------------------------------------------------------


def test_a_verdict_says_yes_and_how_much(capsys, monkeypatch):
    monkeypatch.setenv("DFR_EDITION", "quick")
    course.verdict("one is one", np.bool_(True))
    course.verdict("close", True, 0.12345)
    course.verdict("many", True, np.float32(1234.5))
    course.verdict("both", True, "0.9 against 0.7 (of 1)")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["one is one: yes", "close: yes (measured: 0.12)"]
    assert lines[2:] == ["many: yes (measured: 1200)", "both: yes (measured: 0.9 against 0.7 (of 1))"]


@pytest.mark.parametrize(("name", "strict", "stops"), [("quick", "", True), ("quick", "1", True), ("embedded", "1", True)])
def test_a_verdict_that_does_not_hold_stops_the_notebook(monkeypatch, name, strict, stops):
    monkeypatch.setenv("DFR_EDITION", name)
    monkeypatch.setenv("DFR_STRICT", strict)
    with pytest.raises(AssertionError, match=r"^one is two: no \(measured: 1\)$"):
        course.verdict("one is two", False, 1)


def test_a_learner_of_another_edition_is_told_and_goes_on(capsys, monkeypatch):
    monkeypatch.setenv("DFR_EDITION", "embedded")
    monkeypatch.delenv("DFR_STRICT", raising=False)
    course.verdict("one is two", False, 1)
    expected = "one is two: NO (measured: 1). It holds in the quick edition, whose numbers are saved; this is the embedded edition.\n"
    assert capsys.readouterr().out == expected


# ---- predictions and closing questions -----------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    """What is displayed."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **extra: found.append((thing, extra)))
    monkeypatch.setattr(questions, "_asked", {})
    return found


def plain(widget):
    return widget._repr_mimebundle_()["text/plain"]


def test_a_prediction_prints_as_a_question(shown, capsys):
    course.predict("9.1", "How many?", "one", "two")
    assert plain(shown[0][0]) == "Prediction 9.1: How many?\n  a) one\n  b) two"
    course.outcome("9.1", 1, "There are two.")
    assert capsys.readouterr().out == "Prediction 9.1: not predicted\nOutcome: b) two\nThere are two.\n"


@pytest.mark.parametrize(("chosen", "words"), [(0, "you said a) one, but it is not"), (1, "you said b) two, and so it is")])
def test_a_locked_prediction_stands_beside_the_outcome(shown, capsys, chosen, words):
    course.predict("9.1", "How many?", "one", "two")
    asked = shown[0][0]
    assert asked.lock.disabled, "nothing is chosen yet"
    asked.buttons.index = chosen
    asked.lock.click()
    assert asked.buttons.disabled and asked.lock.disabled and asked.name(chosen) in asked.said.value
    course.predict("9.1", "How many?", "one", "two")
    assert shown[1][0] is asked, "the cell run again does not unlock it"
    course.outcome("9.1", 1, "There are two.")
    assert capsys.readouterr().out.startswith(f"Prediction 9.1: {words}\n")


def test_after_the_outcome_nothing_can_be_locked(shown, capsys):
    course.predict("9.1", "How many?", "one", "two")
    course.outcome("9.1", 0, "One.")
    assert shown[0][0].buttons.disabled and shown[0][0].lock.disabled
    course.predict("9.1", "How many?", "one", "two")
    assert not shown[1][0].buttons.disabled, "run again it can be predicted anew"


def test_predictions_that_cannot_be(shown):
    with pytest.raises(DFRError, match=r"prediction 9\.9: it has not been asked"):
        course.outcome("9.9", 0, "")
    with pytest.raises(DFRError, match="two or more choices"):
        course.predict("9.1", "How many?", "one")
    course.predict("9.1", "How many?", "one", "two")
    for right in (2, -1):
        with pytest.raises(DFRError, match="none of its 2"):
            course.outcome("9.1", right, "")


FIVE = [(f"Is {k} <odd>?", ("yes", "no"), k % 2, f"because of {k}") for k in range(5)]


def test_a_quiz_is_judged_in_the_page(shown):
    course.quiz(9, FIVE)
    other, asked, *_ = shown[0][0].questions
    asked.buttons.index = 0
    assert "Not this one" in asked.said.value and "because" not in asked.said.value
    asked.buttons.index = 1
    assert "Right: because of 1" in asked.said.value
    assert not other.said.value, "each question on its own"


def test_a_quiz_in_print_has_its_answers_in_a_fold_only(shown):
    course.quiz(9, FIVE)
    bundle = shown[0][0]._repr_mimebundle_()
    assert bundle["text/plain"].splitlines()[:4] == ["Closing questions 9", "1. Is 0 <odd>?", "  a) yes", "  b) no"]
    assert "because" not in bundle["text/plain"]
    before, fold = bundle["text/html"].split("<details>")
    assert "because" not in before and "Is 0 &lt;odd&gt;?" in before
    assert fold.count("<li>") == 5 and "<li>b) no. because of 1</li>" in fold


def test_quizzes_that_cannot_be(shown):
    with pytest.raises(DFRError, match="it has 4 questions; give 5"):
        course.quiz(9, FIVE[:4])
    with pytest.raises(DFRError, match="Question 1: choice 7 is none of its 2"):
        course.quiz(9, [("Why?", ("a", "b"), 7, "so"), *FIVE[1:]])


# ---- set-up, tables, pictures --------------------------------------------------------------------------------------------


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


def drawn(shown):
    """(pixels, alt text, plain text) of each picture shown."""
    for data, extra in shown:
        image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        yield image, extra["metadata"]["image/png"]["alt"], data["text/plain"]


def test_show_takes_pictures_and_maps_and_keeps_what_is_said_of_them(shown):
    for _ in range(2):
        course.show(np.zeros((3, 8, 16), np.uint8), np.zeros((8, 16)), alt="Two black boxes.", titles=("picture",))
    (first, alt, text), _ = drawn(shown)
    assert first.width > 2 * first.height and alt == "Two black boxes." and text == "Picture: Two black boxes."
    assert shown[0] == shown[1], "the same figure gives the same bytes"
    assert not plt.get_fignums(), "closed, so that it is not shown twice"


def test_a_figure_of_a_cell_is_shown_with_what_is_said_of_it(shown, monkeypatch):
    sizes = []
    for dpi in ("72", "144"):
        monkeypatch.setenv("DFR_DPI", dpi)
        plt.subplots(figsize=(3, 2))[1].plot([1, 2])
        course.picture("A line that rises.")
    for image, alt, _ in drawn(shown):
        sizes.append(image.width)
        assert alt == "A line that rises."
    assert abs(sizes[1] / sizes[0] - 2) < 0.03, "sharper on slides"


def test_a_picture_without_words_or_figure_is_an_error(shown):
    plt.close("all")
    with pytest.raises(DFRError, match="no figure is open"):
        course.picture("Nothing.")
    for alt in ("", "  "):
        with pytest.raises(DFRError, match="say in one sentence"):
            course.show(np.zeros((4, 4)), alt=alt)
    plt.close("all")
    assert not shown

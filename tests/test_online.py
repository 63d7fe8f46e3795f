"""What opens the course online: buttons, the first cell, Binder's files, and widgets without ipycanvas."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
pytest.importorskip("jupytext")
import build  # noqa: E402
import online  # noqa: E402
from assignment import assignment  # noqa: E402

NAMES = [path.stem for path in build.sources()]


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_opens_online_and_sets_itself_up_there(name):
    notebook = build.read_source(build.SOURCES / f"{name}.py")
    assert notebook.cells[0].source.endswith(online.buttons(name))
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert first.startswith(online.set_up()) and "start(" in first
    assert f"{online.repository()}/blob/main/notebooks/{name}.ipynb" in online.buttons(name)
    assert f"notebooks%2F{name}.ipynb" in online.buttons(name)


def test_the_readme_has_the_buttons_of_the_first_notebook():
    assert online.buttons(NAMES[0]) in (ROOT / "README.md").read_text(encoding="utf-8"), "CITATION.cff has another repository-code"


def test_the_first_lines_install_the_course_only_where_it_is_missing(tmp_path):
    from IPython.core.inputtransformer2 import TransformerManager

    code = TransformerManager().transform_cell(online.set_up())
    shell = "type('Shell', (), {'run_line_magic': lambda _, *a: calls.append(a)})()"
    calls = f"calls = []\nget_ipython = lambda: {shell}\n{code}\nprint(calls)"
    for folder, wanted in ((ROOT, "[]"), (tmp_path, "[('pip', 'install -q \"dfr-lab @ git+")):
        # -S: without the packages of this machine, as where the course is not installed
        command = [sys.executable, "-S", "-c", calls]
        said = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)
        assert said.stdout.startswith(wanted), said


def test_binder_installs_the_course_with_a_small_torch():
    text = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)
    assert "--torch-backend cpu" in text and "-c constraints.txt" in text and "[notebooks]" in text


def test_without_ipycanvas_the_sliders_paint(monkeypatch):
    pytest.importorskip("ipywidgets")
    from dfr_core.widgets import canvas, paint

    monkeypatch.setattr(canvas, "ipycanvas", None)
    image = np.full((32, 32, 3), 200, np.uint8)
    made = paint.build([image], lambda x: (x != 200).any(-1).astype(float), threshold=0.5)
    before, shown = made.canvas.value, made.image.value
    made.controls["dab"].click()
    assert made.canvas.value != before and made.image.value != shown and made.map.max() == 1
    made.controls["clear"].click()
    assert made.canvas.value == before


# ---- nbgrader ------------------------------------------------------------------------------------------------------------

SOLVED = """a = None
# BEGIN SOLUTION
a = 4
# END SOLUTION
b = 2
check("9.1", a, lambda x: x == b + b, "count")"""


def graded(*sources):
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(sources)]
    return assignment(nbformat.v4.new_notebook(cells=cells)).cells


@pytest.mark.parametrize("sources", [[SOLVED], SOLVED.split("b = 2")])
def test_an_exercise_becomes_a_cell_to_solve_and_a_cell_that_grades(sources):
    answer, check = graded(*sources)
    assert answer.source.splitlines() == ["a = None", "### BEGIN SOLUTION", "a = 4", "### END SOLUTION"]
    assert answer.metadata.nbgrader.solution and not answer.metadata.nbgrader.grade
    assert check.metadata.nbgrader.grade and check.metadata.nbgrader.points == 1 and check.metadata.nbgrader.locked
    assert 'check("9.1"' in check.source and check.source.endswith('assert passed("9.1")')
    assert answer.metadata.nbgrader.grade_id != check.metadata.nbgrader.grade_id


@pytest.mark.parametrize(("answer", "right"), [("a = 4", True), ("a = 5", False), ("a = None", False)])
def test_the_grading_cell_fails_unless_the_answer_is_right(answer, right):
    pytest.importorskip("ipywidgets")
    scope = {}
    exec(f"from dfr_core.course import check\n{answer}\nb = 2", scope)
    (_, check) = graded(SOLVED)
    try:
        exec(check.source, scope)
        assert right
    except AssertionError:
        assert not right


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_of_the_course_is_one_point(name):
    notebook = assignment(build.read_source(build.SOURCES / f"{name}.py"))
    nbformat.validate(notebook)
    grades = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    answers = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    labels = [re.search(r'passed\("(.+)"\)', cell.source)[1] for cell in grades]
    assert labels == [f"{int(name[:2])}.{k}" for k in range(1, len(labels) + 1)] and len(answers) == len(grades) >= 2
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)

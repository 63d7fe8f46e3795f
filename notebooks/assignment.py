"""A notebook of the course as an assignment of nbgrader, made from the same solution marks.

nbgrader's own tools take it from there: `nbgrader generate_assignment` removes the solutions, `nbgrader autograde` runs the checks.
"""

from __future__ import annotations

import re

import nbformat

_CHECK = re.compile(r'^check\(\s*"(\d+\.\d+)"', re.MULTILINE)
_MARK = re.compile(r"^([ \t]*)# (BEGIN|END) SOLUTION$", re.MULTILINE)


def assignment(solved: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The solved notebook with nbgrader's marks: a cell to solve and a locked cell worth one point for each exercise.

    A cell that holds both a solution and its check becomes two.
    """
    made = nbformat.from_dict(solved)
    made.cells = []
    for cell in solved.cells:
        source, label = cell.source, _CHECK.search(cell.source)
        if cell.cell_type == "code" and "# BEGIN SOLUTION" in source:
            end = list(_MARK.finditer(source))[-1].end() if label else len(source)
            text = _MARK.sub(r"\1### \2 SOLUTION", source[:end].rstrip())
            made.cells.append(_cell(text, f"{cell.id}-answer", solution=True))
            source = source[end:].strip()
        elif not label:
            made.cells.append(cell)
            continue
        if label:
            text = f'from dfr_core.course import passed\n\n{source}\nassert passed("{label[1]}")'
            made.cells.append(_cell(text, f"{cell.id}-check", grade=True))
    return made


def _cell(source: str, name: str, solution: bool = False, grade: bool = False) -> nbformat.NotebookNode:
    marks = {"schema_version": 3, "grade_id": name, "solution": solution, "grade": grade, "locked": not solution, "task": False}
    if grade:
        marks["points"] = 1
    return nbformat.v4.new_code_cell(source, id=name, metadata={"nbgrader": marks})

"""The notebooks of the course: complete, true to their sources, run, comparable, and written by the same rules."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
import build  # noqa: E402
import gallery  # noqa: E402

NAMES = (
    "00_start_here",
    "01_receptive_fields",
    "02_hierarchical_features",
    "03_regional_features",
    "04_autoencoder",
    "05_scoring_and_segmentation",
    "06_metrics",
    "07_scale_ablation",
    "08_boundary_effects",
    "09_speed",
    "10_your_photographs",
    "11_paper_against_code",
    "12_why_not_pixels",
)
MAX_LINES = 25
MAX_IGNORED = 2
MAX_BYTES = 1_500_000
EXERCISE = re.compile(r"^Exercise (\d+\.\d+): (.*)$", re.MULTILINE)

each = pytest.mark.parametrize("name", NAMES)


def source(name):
    return build.read_source(build.SOURCES / f"{name}.py")


def saved(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def printed(cells):
    """All text that cells gave: printed, shown, or raised."""
    texts = []
    for cell in cells:
        for output in cell.outputs:
            texts.append(output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue") or "")
    return "\n".join(texts)


def judgements(cells):
    return dict(EXERCISE.findall(printed(cells)))


# ---- complete, and true to the sources -----------------------------------------------------------------------------------


def test_no_notebook_is_missing_and_none_is_unlisted():
    assert tuple(path.stem for path in sorted(build.SOURCES.glob("*.py"))) == NAMES
    assert tuple(path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))) == NAMES


@each
def test_the_students_copy_fits_its_source(name):
    assert build.stripped(saved(name)) == build.stripped(build.student_copy(source(name))), "run make notebooks"


@each
def test_nothing_saved_changes_from_run_to_run(name):
    notebook = saved(name)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert set(output.get("data", {})) <= {"text/plain", "text/html", "image/png"}
            assert set(output.get("metadata", {})) <= {"image/png"}
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_BYTES
    assert str(ROOT) not in text and str(Path.home()) not in text, "a folder of the machine it was run on"


@each
def test_figures_are_shown_with_what_is_said_of_them(name):
    for cell in code_cells(source(name)):
        assert "plt.show(" not in cell.source, "picture(alt) takes its place"
    for cell in code_cells(saved(name)):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert re.fullmatch(r"\S[^\n]{10,}\.", alt), f"{cell.id}: a picture without a sentence that says what is seen: {alt!r}"


def test_a_solution_is_taken_out_whole():
    solved = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "a = None\n# BEGIN SOLUTION\na = 1\n# END SOLUTION\ndef f():\n    # BEGIN SOLUTION\n    x\n    # END SOLUTION"
            )
        ]
    )
    assert build.student_copy(solved).cells[0].source == "a = None\n# your code here\ndef f():\n    # your code here"
    assert "a = 1" in solved.cells[0].source, "the source itself stays whole"
    with pytest.raises(ValueError, match="without its partner"):
        build.student_copy(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("# BEGIN SOLUTION\na = 1")]))


# ---- run, and comparable -------------------------------------------------------------------------------------------------


@each
def test_every_cell_was_run_in_order_in_the_quick_edition(name):
    cells = code_cells(saved(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "nbval compares nothing without counts"
    first = printed(cells[:1])
    assert first.startswith(f"Notebook {int(name[:2])} · quick edition · "), "the first cell prints the edition's banner"


@each
def test_the_students_copy_attempts_no_exercise(name):
    cells = code_cells(saved(name))
    asked = re.findall(r"""\bcheck\(\s*["'](\d+\.\d+)["']""", "\n".join(cell.source for cell in cells))
    assert 2 <= len(asked) <= 3 and asked == [f"{int(name[:2])}.{k}" for k in range(1, len(asked) + 1)]
    assert judgements(cells) == dict.fromkeys(asked, "not attempted")
    headings = re.findall(r"^### Exercise (\d+\.\d+)", "\n".join(prose(saved(name))), re.MULTILINE)
    assert headings == asked


def wrong(cell_source):
    """The code of an exercise with a wrong solution instead of the right one."""

    def replacement(match):
        if match[1]:  # inside a function
            return f'{match[1]}return "wrong"'
        names = re.findall(r"^(\w+) = (?:None|\.\.\.)$", cell_source[: match.start()], re.MULTILINE)
        assert names, f"no stub `name = None` stands before this solution:\n{cell_source}"
        return "\n".join(f'{name} = "wrong"' for name in names)

    return build._SOLUTION.sub(replacement, cell_source)


PASTED = re.compile(r"^Exercise \S+ takes: .*$", re.MULTILINE)


def pairs(exercises, checks):
    """(code of an exercise, code of its check), in order; they may be one cell."""
    assert len(exercises) == len(checks)
    return zip(exercises, checks)


def try_pasting(exercise, check):
    """Code that gives every expression of the check's cell as the answer, and prints those that are judged right."""
    tree = ast.parse(build._SOLUTION.sub("", check))
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check"]
    call.keywords = [k for k in call.keywords if k.arg != "draw"]
    answer = call.args[1].id
    found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.expr) and not isinstance(node, ast.Starred | ast.Lambda)}
    (head, *_) = re.findall(rf"^def {answer}\(.*\):$", exercise, re.MULTILINE) or [f"{answer} ="]
    texts = [f"{head} return {e}" if head.startswith("def") else f"{head} {e}" for e in sorted(found - {answer, ast.unparse(call)})]
    return f"""
import contextlib, io
for _text in {texts!r}:
    _scope, _said = dict(globals()), io.StringIO()
    with contextlib.redirect_stdout(_said), contextlib.suppress(Exception):
        exec(_text, _scope)
        exec({ast.unparse(call)!r}, _scope)
    if ": right" in _said.getvalue():
        print("Exercise", {call.args[0].value!r}, "takes:", _text)
"""


def test_an_expression_that_passes_when_pasted_is_seen():
    exercise = "def double(x):\n    # BEGIN SOLUTION\n    return 2 * x\n    # END SOLUTION"
    for test, passes in (("lambda f: f(x) == x + x", 1), ("lambda f: [f(k) for k in (1, 2)] == [2, 4]", 0)):
        code = try_pasting(exercise, f"x = 3\ncheck('9.1', double, {test}, 'hint', probe=(x,))")
        said = subprocess.run(
            [sys.executable, "-c", f"from dfr_core.course import check\nx = 3\ndef double(x): return 2 * x\n{code}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert len(PASTED.findall(said)) == passes, said


@each
def test_right_solutions_are_right_and_wrong_ones_are_not(name):
    notebook = source(name)
    exercises = [cell.source for cell in code_cells(notebook) if "# BEGIN SOLUTION" in cell.source]
    checks = [cell.source for cell in code_cells(notebook) if re.search(r"^check\(", cell.source, re.MULTILINE)]
    n = len(notebook.cells)
    notebook.cells += [nbformat.v4.new_code_cell(try_pasting(e, c), id=f"pasted-{k}") for k, (e, c) in enumerate(pairs(exercises, checks))]
    m = len(notebook.cells)
    for number, text in enumerate([wrong(text) for text in exercises] + [text for text in checks if text not in exercises]):
        notebook.cells.append(nbformat.v4.new_code_cell(text, id=f"wrong-{number}"))
    build.run(notebook)
    right = judgements(code_cells(nbformat.v4.new_notebook(cells=notebook.cells[:n])))
    assert right == dict.fromkeys(judgements(code_cells(saved(name))), "right")
    found = judgements(code_cells(nbformat.v4.new_notebook(cells=notebook.cells[m:])))
    assert set(found) == set(right)
    assert all(text.startswith("not yet") for text in found.values()), found
    assert not PASTED.findall(printed(code_cells(notebook))), "an expression of the check cell passes as the answer"


@each
def test_little_is_left_out_of_the_comparison(name):
    ignored = 0
    for cell in source(name).cells:
        tags = set(cell.metadata.get("tags", ()))
        assert tags <= {"nbval-ignore-output", "raises-exception", "slide", "slide-more", "no-code"}, "no other tag is used here"
        ignored += "nbval-ignore-output" in tags
        assert "NBVAL" not in cell.source, "a comment in teaching code; use a tag"
        assert not ("raises-exception" in tags and "start(" in cell.source)
    assert ignored <= MAX_IGNORED


def strict(path):
    """pytest --nbval on one notebook, as `make test` calls it."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(path.parent)]
    command += ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(NOTEBOOKS / "sanitize.cfg"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=path.parent)


def small_notebook(path, *results):
    """A notebook that prints 1 + 1, with the given text saved as what it printed, and a figure."""
    cells = []
    for count, (code, text) in enumerate(results, start=1):
        output = nbformat.v4.new_output("stream", name="stdout", text=text)
        cells.append(nbformat.v4.new_code_cell(code, execution_count=count, outputs=[output]))
    build.write(nbformat.v4.new_notebook(cells=cells, metadata=source(NAMES[0]).metadata), path)
    return path


FIELDS = (
    "from dfr_core.receptive_field import conv_fields\nfrom dfr_core.backbones.weights import build_backbone\n"
    "print(conv_fields(build_backbone('vgg19', 'untrained', width=0.01).stack)[11].size)"
)


def test_strict_comparison_passes_a_right_notebook_and_fails_a_wrong_one(tmp_path):
    right = strict(small_notebook(tmp_path / "right.ipynb", ("print(1 + 1)", "2\n"), (FIELDS, "116\n")))
    assert right.returncode == 0 and "2 passed" in right.stdout, right.stdout
    wrong = strict(small_notebook(tmp_path / "wrong.ipynb", ("print(1 + 1)", "2\n"), (FIELDS, "115\n")))
    assert wrong.returncode == 1 and "1 failed" in wrong.stdout and "1 passed" in wrong.stdout, wrong.stdout


def test_every_rule_of_the_sanitize_file_is_kept():
    text = (NOTEBOOKS / "sanitize.cfg").read_text(encoding="utf-8")
    sections = re.split(r"^\[.+\]$", text, flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        assert re.search(r"^regex: \S", section, re.MULTILINE) and re.search(r"^replace: \S", section, re.MULTILINE), (
            "nbval silently drops a rule without both"
        )


# ---- written by the same rules -------------------------------------------------------------------------------------------


@each
def test_the_template_of_a_lesson(name):
    notebook = source(name)
    texts = prose(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    header = texts[0].splitlines()
    assert re.fullmatch(rf"# {name[:2]} · \S.*", header[0])
    assert header[2].startswith("**Paper:** ") and "**Needs:** " in texts[0]
    all_prose = "\n".join(texts)
    for heading in ("## Goals", "## Ours, the paper's, the difference", "## Summary", "## Deviations", "## References"):
        if name == NAMES[0] and heading.startswith("## Ours"):
            continue
        assert heading in all_prose, f"no {heading}"
    first = code_cells(notebook)[0].source
    assert f"start({int(name[:2])})" in first and "from dfr_core.course import" in first
    assert "verdict(" in "\n".join(cell.source for cell in code_cells(notebook))


@each
def test_sizes(name):
    notebook = source(name)
    assert (12 if name == NAMES[0] else 28) <= len(notebook.cells) <= 48
    lines = [sum(1 for line in cell.source.splitlines() if line.strip()) for cell in code_cells(notebook)]
    assert max(lines) <= MAX_LINES
    assert 3 <= statistics.median(lines) <= 11
    code = sum(  # questions, alt texts and other sentences in quotation marks are no code
        len(re.findall(r"\w+", re.sub(r'"[^"]*"', "", line).split("#")[0]))
        for cell in code_cells(build.student_copy(notebook))
        if not cell.source.startswith(("predict(", "quiz("))  # questions are prose
        for line in cell.source.splitlines()
    )
    words = sum(len(re.findall(r"\w+", text)) for text in prose(notebook))
    assert words >= 0.9 * code, f"{words} words of prose for {code} words of code"


@each
def test_prose_needs_no_network_and_no_browser_tricks(name):
    for text in prose(source(name)):
        assert re.sub(r"`[^`]*`", "", text).count("$") % 2 == 0, "a formula without its end"
        bare = re.sub(r"`[^`]*`|^(?: {4}).*$", "", text, flags=re.MULTILINE)
        assert not re.search(r"<\s*/?\w+[^>]*>", bare), "no raw HTML"
        assert "![" not in bare, "pictures are made by cells"
        for target in re.findall(r"\]\(([^)#]+)\)", bare):
            if not target.startswith("http"):
                assert (NOTEBOOKS / target).exists() or Path(target).stem in NAMES, f"{target}: a link to nowhere"


@each
def test_the_runtime_line_is_true(name):
    line = re.search(r"^\*\*Runtime:\*\* about (\d+) s and (\d+) MiB in the quick edition", "\n".join(prose(source(name))), re.MULTILINE)
    assert line, "the line `**Runtime:** about N s and N MiB in the quick edition ...`"
    assert re.search(r"Download:", "\n".join(prose(source(name))))
    measured = build.timings()[name]
    seconds, mebibytes = int(measured["seconds"]), int(measured["peak_mib"])
    assert seconds / 3 - 5 <= int(line[1]) <= 3 * seconds + 5
    assert mebibytes / 2 <= int(line[2]) <= 2 * mebibytes or mebibytes == 0


def test_the_gallery_opens_offline_and_its_pages_link_to_each_other(tmp_path):
    page = gallery.page(NOTEBOOKS / f"{NAMES[0]}.ipynb", gallery.exporter())
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']([^"']*)|url\(["']?([^"')]*)|import\(?["' ]+([^"')]*)""", page)
    assert not [target for found in loaded for target in found if re.match(r"(https?:)?//", target)]
    assert f'href="{NAMES[1]}.html"' in page
    assert not re.search(r'href="[^":]*\.ipynb', page), "only the buttons, which lead elsewhere, name notebooks"
    alts = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,', page)
    assert len(alts) >= 3 and all(alts), "the pictures are in the page, with what is said of them"
    with pytest.raises(ValueError, match="would load"):
        remote = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell('<img src="https://example.org/a.png">')])
        nbformat.write(remote, tmp_path / "remote.ipynb")
        gallery.page(tmp_path / "remote.ipynb", gallery.exporter())


def test_the_page_for_teachers_has_the_measured_times_and_all_answers():
    text = build.TEACHING.read_text(encoding="utf-8")
    assert text == build.with_table(text), "run make notebooks"
    assert tuple(build.timings()) == NAMES
    for name in NAMES:
        for exercise in judgements(code_cells(saved(name))):
            assert f"| {exercise} |" in text, f"no answer to exercise {exercise}"


# ---- numbers in the prose are computed -----------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?!\w)(\s?%)?")
_LIST = r"\s+[\d.]+(?:(?:\s*[-–,]\s*|,?\s+(?:and|to|or)\s+)[\d.]+)*"
_NAMES_OF_THINGS = [
    re.compile(r"^\*\*Runtime:\*\*.*?(?:\n\n|\Z)", re.MULTILINE | re.DOTALL),
    re.compile(r"^## References.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL),
    re.compile(r"^# \d\d · ", re.MULTILINE),
    re.compile(r"\[\d\d [^\]]*\]"),
    re.compile(r"\]\([^)]*\)|https?://\S+"),
    re.compile(r"\b\d{4}\.\d{5}\b"),
    re.compile(r"\b\d+:\d+\b"),
    re.compile(r"(?:\bEqs?\.|\bFigs?\.|\b(?:Equation|Figure|Table|Section|Appendix|[Nn]otebook|Exercise|[Ll]ayer|[Ss]eed|Step)s?)" + _LIST),
    re.compile(r"\b[IVX]+-[A-Z]\d*"),
    re.compile(r"(?<![\d.,])(?:19|20)\d\d(?![\d.,]\d)"),
    re.compile(r"^\s*\d+\. ", re.MULTILINE),
]


def prose_numbers(text):
    """The numbers of a text that a reader may take for results: (as written, values any of which makes it true)."""
    for pattern in _NAMES_OF_THINGS:
        text = pattern.sub(" ", text)
    for whole, fraction, percent in _NUMBER.findall(text):
        value = float(whole.replace(",", "") + fraction)
        if fraction or value >= 10:
            yield whole + fraction, {value, value / 100} if percent else {value}


def known_numbers(notebook):
    """All numbers in code, in saved output, and in strings of a notebook."""
    text = "\n".join([cell.source for cell in code_cells(notebook)] + [printed(code_cells(notebook))])
    text = re.sub(r"(?<=\d)[_,](?=\d{3})", "", text)
    written = re.findall(r"(\d+(?:\.\d+)?)(e-?\d+)?", text)
    return {float(number) for number, _ in written} | {float(number + exponent) for number, exponent in written}


@each
def test_every_number_in_the_prose_is_computed(name):
    notebook = saved(name)
    known = known_numbers(notebook)
    unknown = [
        written
        for text in prose(notebook)
        for written, values in prose_numbers(text)
        if not any(abs(v - k) < 1e-9 for v in values for k in known)
    ]
    assert not unknown, f"{unknown}: in the prose, but in no cell's code or output"


def test_the_check_of_numbers_sees_them():
    def found(text):
        return [written for written, _ in prose_numbers(text)]

    assert found("a score of 0.83 on 1,024 units, 32 % of them; 5 are bad") == ["0.83", "1,024", "32"]
    assert found("Table II, layers 1 to 12, layers 4, 8 and 12, Eq. 1-3, notebook 11, IV-C2, VGG19, f_{1:16}, in 2016") == []
    assert found("layer 12 has 512 channels") == ["512"]
    assert found("## References\n\n- pages 120 to 130") == []
    assert found("about 50, 60 and 70 pixels") == ["50", "60", "70"]

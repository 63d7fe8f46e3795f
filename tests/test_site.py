"""The site: its pages, links and accessibility, and the documents that are only there for it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

import browser as tools
import pytest

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tools")]
pytest.importorskip("latex2mathml", reason="latex2mathml not installed (run: make setup)")
import build  # noqa: E402
import rendering  # noqa: E402
from site_check import problems  # noqa: E402

GOOD = '<a href="b.html#there">b</a> <a href="https://example.org">elsewhere</a> <img src="data:image/png;base64,xx">'


def test_a_whole_folder_of_pages_has_no_problems(tmp_path):
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<p id="there"><a href="a.html">a</a> <a href="#there">here</a></p>')
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ('<a href="c.html">c</a>', "c.html leads nowhere"),
        ('<a href="b.html#here">b</a>', "no such place"),
        ('<a href="#here">b</a>', "no such place"),
        ('<img src="none.png">', "none.png leads nowhere"),
        ('<script src="https://example.org/a.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "from elsewhere"),
    ],
)
def test_each_kind_of_problem_is_seen(tmp_path, page, words):
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.html").write_text('<p id="there">')
    (found,) = problems(tmp_path)
    assert words in found and found.startswith("a.html: ")


def test_formulas_are_mathml_outside_of_code_only():
    made = rendering.with_mathml("so $c_o$ and $$f = g$$ but `cost $5 or $6`\n```\necho $HOME $PATH\n```")
    assert made.count("<math") == 2 and 'display="block"' in made
    assert "`cost $5 or $6`" in made and "echo $HOME $PATH" in made
    page = rendering.markdown("so $c_o$, `$a$`\n\n$$f = g$$")
    assert page.count("<math") == 2 and "$a$" in page and page.count("$") == 2


def glossary():
    """(symbols, names in the code) of each row of the glossary's first table."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("## Words")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| $")]
    return [(row[0], re.findall(r"`([^`]+)`", row[5])) for row in rows]


def test_the_glossary_names_what_is_in_the_code():
    assert len(glossary()) >= 15
    from dfr_core import DFR
    from dfr_core.backbones.vgg import VGG
    from dfr_core.regional import Generator
    from dfr_core.settings import Settings

    known = {"DFR": DFR, "VGG": VGG, "Generator": Generator, "Settings": Settings}
    for symbol, names in glossary():
        assert names, f"{symbol}: it is nowhere in the code"
        for name in names:
            first, _, rest = name.partition(".")
            if first in known:
                found = hasattr(known[first], rest) or rest in getattr(known[first], "__dataclass_fields__", {}) or rest.endswith("_")
                assert found, name
            else:
                path, _, last = name.rpartition(".")
                module = importlib.import_module(f"dfr_core.{path or name}")
                assert not path or hasattr(module, last) or importlib.import_module(f"dfr_core.{name}"), name


def test_all_notebooks_are_on_the_concept_map():
    text = (ROOT / "docs" / "concept_map.md").read_text(encoding="utf-8")
    assert set(re.findall(r"notebooks/(\w+)\.ipynb", text)) == {path.stem for path in build.sources()}


# ---- the site itself -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs not installed (run: make setup)")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings not installed (run: make setup)")
    import make_site

    out = tmp_path_factory.mktemp("site")
    assert make_site.main(["--out", str(out)]) == 0, "dead links, or mkdocs complains"
    return out


def test_the_site_has_every_notebook_module_and_solution(site):
    assert len(list((site / "course").glob("[0-9]*.html"))) == len(build.sources())
    names = {path.stem for path in (ROOT / "dfr_core").iterdir() if path.suffix in ("", ".py")} - {"__init__", "__main__", "__pycache__"}
    left_out = {"command", "paper_numbers"}  # a terminal's, and numbers only
    assert names - {path.stem for path in (site / "api").glob("*.html")} <= left_out
    assert "anomaly_map" in (site / "api" / "methods.html").read_text(encoding="utf-8")
    solved = (site / "solutions.html").read_text(encoding="utf-8")
    exercises = {
        exercise
        for source in build.sources()
        for cell in build.read_source(source).cells
        for exercise in re.findall(r"^### (Exercise \d+\.\d+)", cell.source, re.MULTILINE)
    }
    assert len(exercises) > 30 and all(f"<summary>{exercise}" in solved for exercise in exercises)
    assert "SOLUTION" not in solved


@pytest.mark.browser
@pytest.mark.skipif(bool(tools.missing()), reason=tools.missing() or "everything is here")
def test_no_page_has_a_violation_of_accessibility(site):
    # One of each kind, because the checker takes seconds a page: DFR_ALL_PAGES=1 looks at all of them.
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python not installed (run: make setup)")
    kinds = ("index", "teaching", "glossary", "solutions", "figures/index", "figures/table2", "api/methods", "course/index")
    kinds += ("course/03_regional_features", "course/10_your_photographs")
    pages = sorted(site.rglob("*.html")) if os.environ.get("DFR_ALL_PAGES") else [site / f"{kind}.html" for kind in kinds]
    found = []
    with tools.browser() as running:
        page = running.new_page(viewport={"width": 1280, "height": 720})
        for path in pages:
            page.goto(path.as_uri())
            answer = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response
            for kind in answer["violations"]:
                found.append(f"{path.relative_to(site)}: {kind['id']}, {len(kind['nodes'])} times: {kind['nodes'][0]['html'][:160]}")
    assert not found, "\n".join(found)

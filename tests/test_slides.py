"""The deck of slides: which cells, what is on them, and how it moves in a browser."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import browser as tools
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
pytest.importorskip("latex2mathml", reason="latex2mathml not installed (run: make setup)")
import build  # noqa: E402
import online  # noqa: E402
import slides  # noqa: E402


def cell(kind, source, *tags, outputs=()):
    made = getattr(nbformat.v4, f"new_{kind}_cell")(source, id=f"c{len(source)}", metadata={"tags": list(tags)})
    if outputs:
        made.outputs = list(outputs)
    return made


PICTURE = nbformat.v4.new_output("display_data", {"image/png": "aWJt", "text/plain": "Picture"}, metadata={"image/png": {"alt": 'A "b".'}})
PRINTED = nbformat.v4.new_output("stream", name="stdout", text="Prediction 3.1: not predicted\nOutcome: a) 1 < 2\n")
NOTEBOOK = nbformat.v4.new_notebook(
    cells=[
        cell("markdown", "# 03 · Title"),
        cell("markdown", f"## Part `one`\n\nSaid aloud.\n\n$$f = g$$\n\n- a point\n\n{online.buttons('03_title')}", "slide"),
        cell("code", "print(1 < 2)", "slide-more", outputs=[PRINTED]),
        cell("markdown", "## Part two\n\nNot tagged."),
        cell("code", "picture('A b.')", "slide", "no-code", outputs=[PICTURE]),
    ]
)


def test_tagged_cells_become_slides_under_their_heading():
    first, second = slides.slides("03_title", NOTEBOOK)
    assert (first.title, second.title) == ("Part `one`", "Part two")
    assert len(first.notes) == 1 and "Said aloud" in first.notes[0] and not any("Said aloud" in part for part in first.parts)
    shown = "".join(first.parts)
    assert "<math" in shown and "a point" in shown and "1 &lt; 2" in shown and "print" in shown
    assert "Colab" not in shown and "not predicted" not in shown, "what is of no use in a room"
    assert second.parts == ['<img alt="A &quot;b&quot;." src="data:image/png;base64,aWJt">'], "no code, and what is said of the picture"
    with pytest.raises(ValueError, match="no slide has begun"):
        slides.slides("03_title", nbformat.v4.new_notebook(cells=[cell("code", "1", "slide-more")]))


def test_the_deck_loads_nothing_and_escapes_what_it_shows():
    page = slides.deck(slides.slides("03_title", NOTEBOOK))
    assert page.count("<section") == 2 and "Part one" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)|@import|url\(""", page)


def test_one_lecture_has_about_thirty_slides_each_named_for_the_teacher():
    made = []
    for source in slides.in_order(build.sources()):
        notebook = build.student_copy(build.read_source(source))
        made += slides.slides(source.stem, notebook) if slides.chosen(notebook) else []
    assert 24 <= len(made) <= 36
    text = build.TEACHING.read_text(encoding="utf-8")
    assert text == slides.with_slides(text, made), "run notebooks/slides.py --table"


@pytest.fixture(scope="module")
def course():
    """The slides of the course, with the outputs that are saved."""
    made = slides.saved()
    assert made, "run make notebooks"
    return made


@pytest.mark.browser
@pytest.mark.skipif(bool(tools.missing()), reason=tools.missing() or "everything is here")
def test_the_deck_moves_with_the_arrow_keys_and_every_slide_fits(course, tmp_path):
    (tmp_path / "index.html").write_text(slides.deck(course), encoding="utf-8")
    with tools.browser() as running:
        page = running.new_page(viewport={"width": 1280, "height": 720})
        page.goto((tmp_path / "index.html").as_uri())
        where = page.locator("#where")
        cut = []
        for k in range(1, len(course) + 1):
            assert where.inner_text().startswith(f"{k} / {len(course)} · notebook ")
            over = page.evaluate("(() => { const b = document.querySelector('.now .body'); return b.scrollHeight - b.clientHeight })()")
            small = page.evaluate("parseFloat(document.querySelector('.now .body').style.zoom || '100')")
            cut += [f"slide {k}: {over} pixels too high, zoom {small} %"] if over > 1 or small < 55 else []
            page.keyboard.press("ArrowRight")
        assert not cut, "\n".join(cut)
        page.keyboard.press("ArrowLeft")
        assert where.inner_text().startswith(f"{len(course) - 1} /")
        page.keyboard.press("Home")
        page.keyboard.press("n")
        assert where.inner_text().startswith("1 /") and "notes" in page.locator("main").get_attribute("class")

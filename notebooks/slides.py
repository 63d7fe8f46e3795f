"""One deck of slides for a lecture, from the cells of the notebooks that are tagged for it.

    python notebooks/slides.py [--out FILE]    run those notebooks, with sharp figures, and write the deck
    python notebooks/slides.py --table         only renew the table of slides in TEACHING.md

A cell tagged `slide` begins a slide, one tagged `slide-more` goes on with it; with `no-code` only what the cell gave is shown.
Headings, formulas, lists and tables of a markdown cell are on the slide; its sentences are the speaker's notes (key N), or the slide's
text where it has nothing else.
The deck is one file that opens without a network; arrow keys move in it.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import build
import nbformat
import online
from bs4 import BeautifulSoup
from nbconvert.filters import Highlight2HTML
from pygments.formatters import HtmlFormatter
from rendering import markdown

from dfr_core.files import write_text

HERE = Path(__file__).parent
SLIDE, MORE, NO_CODE = "slide", "slide-more", "no-code"
#: Dots per inch of the figures: twice the notebooks'.
DPI = "144"


@dataclass
class Slide:
    """One slide: its parts as HTML, and what the speaker says."""

    notebook: str
    cell: str
    title: str
    parts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def in_order(notebooks: list[Path]) -> list[Path]:
    """Notebooks in the lecture's order: 12, which asks what features are for, right after 00."""
    return sorted(notebooks, key=lambda path: (path.stem[:2] != "00", path.stem[:2] != "12", path.stem))


def saved() -> list[Slide]:
    """The slides with the outputs that are saved in the notebooks."""
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in in_order(list(HERE.glob("[0-9][0-9]_*.ipynb")))}
    return [slide for name, notebook in notebooks.items() if chosen(notebook) for slide in slides(name, notebook)]


def tags(cell: nbformat.NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def chosen(notebook: nbformat.NotebookNode) -> bool:
    """Is any cell of it for the slides?"""
    return any(SLIDE in tags(cell) for cell in notebook.cells)


def slides(name: str, notebook: nbformat.NotebookNode) -> list[Slide]:
    """The slides of one notebook, in its order.

    Raises:
        ValueError: a cell goes on with a slide before one has begun.
    """
    made: list[Slide] = []
    title = name
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (headings := re.findall(r"^#{1,3} (.+)$", cell.source, re.MULTILINE)):
            title = headings[-1]
        if SLIDE in tags(cell):
            made.append(Slide(name, cell.id, title))
        elif MORE not in tags(cell):
            continue
        if not made:
            raise ValueError(f"{name}, {cell.id}: tagged {MORE}, but no slide has begun")
        if cell.cell_type == "markdown":
            _say(cell.source.replace(online.buttons(name), ""), made[-1])
        else:
            made[-1].parts += ([] if NO_CODE in tags(cell) else [_code(cell.source)]) + [_output(o) for o in cell.outputs]
    return made


def _say(source: str, slide: Slide) -> None:
    """A markdown cell: its sentences to the notes, the rest, without headings, onto the slide."""
    for part in BeautifulSoup(markdown(source), "html.parser").find_all(recursive=False):
        if part.name in ("h1", "h2", "h3"):
            continue
        formula_only = part.find("math", display="block")
        (slide.notes if part.name == "p" and not formula_only else slide.parts).append(str(part))


def _code(source: str) -> str:
    return f'<div class="code">{Highlight2HTML()(source, language="python")}</div>'


def _output(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        alt = output.metadata.get("image/png", {}).get("alt", "")
        return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data["image/png"].strip()}">'
    text = output.get("text") or data.get("text/plain") or f"{output.get('ename')}: {output.get('evalue')}"
    text = re.sub(r"^Prediction \S+: not predicted\n", "", text)  # the room predicts
    return f"<pre>{html.escape(text.rstrip())}</pre>"


STYLE = """
html, body { margin: 0; height: 100%; overflow: hidden; background: #333; font: 26px/1.4 sans-serif; color: #1a1a1a }
main { width: 1280px; height: 720px; position: absolute; transform-origin: 0 0; background: #fff; overflow: hidden }
section { display: none; position: absolute; inset: 0; padding: 28px 48px 52px; box-sizing: border-box; flex-direction: column }
section.now { display: flex }
h2 { font-size: 36px; line-height: 1.2; margin: 0 0 14px }
.body { flex: 1; min-height: 0; display: flex; flex-direction: column; gap: 12px; align-items: flex-start; overflow: hidden }
.pictures { flex: 1; width: 100%; min-height: 260px; display: grid; gap: 8px 16px; grid-auto-rows: minmax(0, 1fr);
  grid-template-columns: minmax(0, 1fr) }
.pictures.many { grid-template-columns: repeat(2, minmax(0, 1fr)) }
.pictures img { width: 100%; height: 100%; min-height: 0; object-fit: contain }
.beside { flex-direction: row } .beside .pictures { height: 100%; min-width: 0 }
.beside pre { flex: 0 0 420px } .words > pre { font-size: 28px; line-height: 1.5 } .words > p { margin: 0 }
.body > * { max-width: 100% }
pre { margin: 0; font: 19px/1.35 monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.code { background: #f5f5f5; padding: 8px 14px; width: 100%; box-sizing: border-box }
.body > pre { border-left: 4px solid #0072B2; padding-left: 12px }
table { border-collapse: collapse; font-size: 22px } td, th { padding: 3px 14px; text-align: left; border-bottom: 1px solid #bbb }
.anchor-link { display: none }
aside { display: none; position: absolute; left: 0; right: 0; bottom: 0; max-height: 50%; overflow: auto; padding: 12px 48px 52px;
  background: #1a1a1a; color: #fff; font-size: 20px } aside code { color: #fff } aside a { color: #9cf }
main.notes section.now aside { display: block }
footer { position: absolute; left: 48px; right: 48px; bottom: 10px; font-size: 16px; display: flex; gap: 12px; align-items: center;
  color: #595959; z-index: 1 }
footer span { flex: 1 } footer button { font: inherit; min-width: 44px; min-height: 30px }
main.notes footer { color: #fff }
@media print { html, body { overflow: visible; background: #fff } main { position: static; height: auto; transform: none !important }
  section { display: flex; position: relative; height: 720px; break-after: page }
  footer { display: none } @page { size: 1280px 720px; margin: 0 } }
"""
SCRIPT = """
const main = document.querySelector('main'), all = [...document.querySelectorAll('section')], where = document.getElementById('where');
let now = 0;
function fit(body) {
  body.style.zoom = '';
  for (let size = 100; size >= 40 && (body.scrollHeight > body.clientHeight || [...body.querySelectorAll('pre')].some(
    p => p.scrollWidth > p.clientWidth)); size -= 5) body.style.zoom = size + '%';
}
for (const body of document.querySelectorAll('.body')) { // a picture taller than wide has its words beside it
  const images = body.querySelectorAll('img');
  if (images.length === 1) images[0].decode().catch(() => {}).then(() => {
    body.classList.toggle('beside', images[0].naturalHeight > images[0].naturalWidth);
    go(now);
  });
}
function go(to) {
  now = Math.max(0, Math.min(all.length - 1, to));
  all.forEach((s, k) => s.classList.toggle('now', k === now));
  fit(all[now].querySelector('.body'));
  where.textContent = `${now + 1} / ${all.length} · ${all[now].dataset.from}`;
  history.replaceState(null, '', '#' + (now + 1));
}
function scale() {
  const by = Math.min(innerWidth / 1280, innerHeight / 720);
  main.style.transform = `translate(${(innerWidth - 1280 * by) / 2}px, ${(innerHeight - 720 * by) / 2}px) scale(${by})`;
}
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -Infinity, End: Infinity };
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key === ' ' && event.target.matches('button'))) return;
  if (event.key in keys) { event.preventDefault(); go(now + keys[event.key]); }
  if (event.key === 'n' || event.key === 'N') main.classList.toggle('notes');
});
document.getElementById('back').onclick = () => go(now - 1);
document.getElementById('on').onclick = () => go(now + 1);
document.getElementById('notes').onclick = () => main.classList.toggle('notes');
addEventListener('resize', scale);
addEventListener('hashchange', () => go(Number(location.hash.slice(1)) - 1 || 0));
scale();
go(Number(location.hash.slice(1)) - 1 || 0);
"""


def deck(made: list[Slide]) -> str:
    """All slides as one page of HTML that loads nothing."""
    sections = [
        f'<section data-from="notebook {slide.notebook[:2]}, {slide.cell}" aria-label="Slide {k}">'
        f'<h2>{html.escape(_bare(slide.title))}</h2>'
        f'{_body(slide)}<aside aria-label="Notes">{"".join(slide.notes)}</aside></section>'
        for k, slide in enumerate(made, start=1)
    ]
    colours = HtmlFormatter(style="xcode").get_style_defs(".code")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>The DFR laboratory: slides</title>'
        f"<style>{STYLE}{colours}</style></head><body><main>{''.join(sections)}"
        '<footer><span id="where" aria-live="polite"></span><button id="back" aria-label="previous slide">←</button>'
        '<button id="on" aria-label="next slide">→</button><button id="notes">notes</button></footer></main>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _body(slide: Slide) -> str:
    """What is on a slide: pictures that follow each other share the place that text leaves."""
    parts = slide.parts or slide.notes
    shown = []
    for picture, group in groupby(parts, lambda part: part.startswith("<img")):
        together = list(group)
        many = " many" if len(together) > 1 else ""
        shown.append(f'<div class="pictures{many}">{"".join(together)}</div>' if picture else "".join(together))
    words = "" if any(part.startswith(("<img", '<div class="code"')) for part in parts) else " words"
    return f'<div class="body{words}">{"".join(shown)}</div>'


def _bare(title: str) -> str:
    return re.sub(r"[`*$]", "", title)


def table(made: list[Slide]) -> str:
    """The slides as a table in markdown: number, notebook, cell, title."""
    rows = [
        f"| {k} | [{s.notebook[:2]}](notebooks/{s.notebook}.ipynb) | {s.cell} | {_bare(s.title)} |" for k, s in enumerate(made, start=1)
    ]
    return "\n".join(["| slide | notebook | cell | title |", "|---|---|---|---|", *rows])


def with_slides(text: str, made: list[Slide]) -> str:
    """The page for teachers with the table of slides put in its place."""
    return re.sub(
        r"<!-- slides -->.*?<!-- end of slides -->",
        lambda _: f"<!-- slides -->\n{table(made)}\n<!-- end of slides -->",
        text,
        flags=re.DOTALL,
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the deck, or only the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "slides" / "index.html", help="file (default: slides/index.html)")
    parser.add_argument("--table", action="store_true", help="run nothing, only renew the table in TEACHING.md")
    options = parser.parse_args(arguments)
    made: list[Slide] = []
    for source in in_order(build.sources()):
        notebook = build.student_copy(build.read_source(source))
        if not chosen(notebook):
            continue
        if not options.table:
            seconds, _ = build.run(notebook, DFR_DPI=DPI)
            print(f"{source.stem}: {seconds:.0f} s", flush=True)
        made += slides(source.stem, notebook)
    write_text(build.TEACHING, with_slides(build.TEACHING.read_text(encoding="utf-8"), made))
    if not options.table:
        write_text(options.out, deck(made))
        print(f"{len(made)} slides: open {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

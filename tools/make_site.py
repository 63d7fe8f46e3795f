"""Make the site: one static folder with the course, figures, the API's reference and the teacher's pages. It opens without a network.

    python tools/make_site.py [--slides FILE] [--out DIR]

The pages are the repository's own documents, their links turned to where things lie in the site; the API's come from the docstrings
(mkdocstrings), the solutions from the marks in the notebooks' sources, the course from the notebooks as they are saved.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import build  # noqa: E402
import gallery  # noqa: E402
import slides  # noqa: E402
from rendering import with_mathml  # noqa: E402
from site_check import problems  # noqa: E402

PAGES = ROOT / ".pages"
#: Documents -> where they lie in the site; the order is that of the menu.
DOCUMENTS = {
    "README.md": "index.md",
    "TEACHING.md": "teaching.md",
    "docs/glossary.md": "glossary.md",
    "docs/concept_map.md": "concept_map.md",
    "figures/README.md": "figures/index.md",
    "docs/choices.md": "choices.md",
    "docs/distilled.md": "distilled.md",
    "docs/fidelity.md": "fidelity.md",
    "docs/handed_over.md": "handed_over.md",
    "docs/export.md": "export.md",
    "docs/benchmark_notes.md": "benchmark_notes.md",
    "benchmarks/bench.md": "benchmarks/bench.md",
    "benchmarks/accuracy.md": "benchmarks/accuracy.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
#: The modules of each page of the API's reference; a folder stands for all that is in it.
API = ("data", "backbones", "regional", "extract", "methods", "scoring", "metrics", "settings", "editions", "receptive_field", "records")
API += ("regions", "tiles", "literal", "plotting", "errors", "files", "device", "figures", "lab", "course", "widgets", "bench", "distil")
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)((?:#[^)]*)?\))")
_EXTRA = """
a { color: #00528a; text-decoration: underline } .navbar a { text-decoration: none } code { color: #1a1a1a; overflow-wrap: anywhere }
td code { overflow-wrap: break-word }
.bs-sidebar .nav > li > a, .bs-sidebar a.nav-link { color: #00528a }
img { max-width: 100% } table { display: block; overflow-x: auto } .headerlink { opacity: 0.01 }
.headerlink:focus, :hover > .headerlink { opacity: 1 }
math[display="block"] { margin: 1em 0 } .doc-label { font-size: 0.7em } .footer, footer { color: #4d4d4d }
"""


def gather(pages: Path) -> None:
    """Write all that mkdocs reads into an empty folder: documents, figures, API, solutions."""
    if pages.exists():
        shutil.rmtree(pages)
    pages.mkdir(parents=True)
    for source, target in DOCUMENTS.items():
        _write(pages / target, turned(ROOT / source, target))
    for file in (ROOT / "figures").iterdir():
        if file.suffix in (".png", ".svg", ".csv"):
            shutil.copy(file, pages / "figures" / file.name)
        elif file.suffix == ".md" and file.name != "README.md":
            _write(pages / "figures" / file.name, turned(file, f"figures/{file.name}"))
    for name in API:
        _write(pages / "api" / f"{name}.md", _api(name))
    _write(pages / "api" / "index.md", "# API\n\n" + "\n".join(f"- [dfr_core.{name}]({name}.md)" for name in API) + "\n")
    _write(pages / "solutions.md", solutions())
    _write(pages / "extra.css", _EXTRA)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def turned(source: Path, target: str) -> str:
    """A document with its formulas as MathML and its links as they are in the site.

    A notebook becomes its page, a document its place, a module its page of the API, any other file a copy in ``files``.
    """

    def turn(match: re.Match[str]) -> str:
        if "://" in match[2]:
            return match[0]
        file = (source.parent / match[2]).resolve()
        return match[1] + os.path.relpath(_place(file.relative_to(ROOT).as_posix()), Path(target).parent) + match[3]

    return with_mathml(_LINK.sub(turn, source.read_text(encoding="utf-8")))


def _place(name: str) -> str:
    if name in DOCUMENTS:
        return DOCUMENTS[name]
    if name.endswith(".ipynb"):
        return f"course/{Path(name).stem}.html"
    if name.startswith("figures/"):
        return name
    if name.startswith("dfr_core/"):
        return f"api/{Path(name).parts[1].removesuffix('.py')}.md"
    place = f"files/{name}" if "." in Path(name).name else f"files/{name}.txt"  # a browser shows it instead of saving it
    (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, PAGES / place)
    return place


def _api(name: str) -> str:
    """A page of the reference: a module, or a folder's modules one after the other."""
    path = ROOT / "dfr_core" / name
    if not path.is_dir():
        return f"# dfr_core.{name}\n\n::: dfr_core.{name}\n"
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in sorted(path.rglob("*.py")) if file.stem != "__init__"]
    return f"# dfr_core.{name}\n\n" + "\n".join(f"::: {module}\n" for module in modules)


def solutions() -> str:
    """The solved exercises of all notebooks, from the marks in their sources, each in a fold."""
    lines = ["# Solutions", "", "Try first. Several answers can be right; these are the course's own.", ""]
    for source in build.sources():
        notebook = build.read_source(source)
        lines.append(f"## [{notebook.cells[0].source.splitlines()[0].lstrip('# ')}](course/{source.stem}.html)")
        title = ""
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and (found := re.search(r"^### (Exercise \d+\.\d+.*)$", cell.source, re.MULTILINE)):
                title = found[1]
            elif "# BEGIN SOLUTION" in cell.source:
                code = re.sub(r"^[ \t]*# (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.MULTILINE)
                code = re.split(r"^check\(", code, flags=re.MULTILINE)[0].rstrip()
                fold = f'<details markdown="1"><summary>{with_mathml(title)}</summary>'
                lines += ["", fold, "", "```python", code, "```", "", "</details>"]
        lines.append("")
    return "\n".join(lines)


def _finished(page: str, of_a_notebook: bool) -> str:
    """A page with what scrolls made reachable by the keyboard; a notebook's with a way home, and its links to documents turned to pages."""
    if of_a_notebook:
        page = re.sub(r'href="\.\./([\w./-]+)\.md', lambda m: f'href="../{_place(f"{m[1]}.md").removesuffix(".md")}.html', page)
        home = '<a href="../index.html">The DFR laboratory</a>'
        page = page.replace('<a href="index.html">All', f'{home} · <a href="index.html">All', 1)
        page = page.replace("</h1>\n<p>Every", f"</h1>\n<p>{home}. Every", 1)
    page = re.sub(r":(?:mod|class|func|meth|data|attr):(?=\s*<code)", "", page)  # how the docstrings name things
    return re.sub(r"<(pre|table)>", r'<\1 tabindex="0">', page)


def main(arguments: list[str] | None = None) -> int:
    """Gather the pages, run mkdocs over them, add the course and the slides, and look for dead links; how many there are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder (default: site)")
    parser.add_argument("--slides", type=Path, help="the deck that make slides wrote (default: one with the figures as they are saved)")
    options = parser.parse_args(arguments)
    gather(PAGES)
    # mkdocs checks links among its own pages; those to the course lead to pages that gallery.py writes, so they must be there first.
    gallery.main(["--out", str(PAGES / "course")])
    deck = options.slides.read_text(encoding="utf-8") if options.slides else slides.deck(slides.saved())
    _write(PAGES / "slides" / "index.html", deck)
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--clean", "--site-dir", str(options.out)]
    made = subprocess.run(command, cwd=ROOT, check=False)
    if made.returncode:
        return made.returncode
    (options.out / "404.html").unlink()  # its links begin at the root of a server
    for page in options.out.rglob("*.html"):
        page.write_text(_finished(page.read_text(encoding="utf-8"), page.parent.name == "course"), encoding="utf-8")
    found = problems(options.out)
    print(*found, sep="\n", file=sys.stderr)
    print(f"{len(list(options.out.rglob('*.html')))} pages, {len(found)} dead links: open {options.out / 'index.html'}")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())

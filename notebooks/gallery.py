"""All notebooks, as they were run, as static HTML that opens without a network.

python notebooks/gallery.py [--out DIR]
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from rendering import PageExporter

from dfr_core.files import write_text

HERE = Path(__file__).parent
INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The DFR course</title>
<style>body {{ font: 1.1em/1.6 sans-serif; max-width: 40em; margin: 3em auto }} ul {{ list-style: none; padding: 0 }}</style>
</head><body><h1>The DFR course</h1>
<p>Every notebook as it was run, in the quick edition.</p>
<ul>
{items}
</ul>
</body></html>
"""
#: Long lines of code wrap, so that nothing is cut off in print; colours that are dark enough to read (WCAG's 4.5 to 1).
WRAP = """<style>.highlight pre { white-space: pre-wrap; overflow-wrap: anywhere } main > p { margin: 1em }
body main a, body .jp-RenderedHTMLCommon a:not(.anchor-link) { text-decoration: underline }
:root { --jp-mirror-editor-number-color: #006400; --jp-mirror-editor-operator-color: #7a00cc; --jp-mirror-editor-comment-color: #2f6363;
--jp-cell-prompt-not-active-opacity: 1; --jp-cell-prompt-not-active-font-color: #555; --jp-cell-inprompt-font-color: #555;
--jp-cell-outprompt-font-color: #8a4b2f }
body .jp-InputPrompt, body .jp-OutputPrompt { opacity: 1; color: #555 } body .highlight .ow { color: #7a00cc }
body .highlight :is(.mi, .mf, .mh, .mb, .mo) { color: #006400 } body .highlight :is(.c1, .c, .cm) { color: #2f6363 }</style>"""
_REMOTE = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["'](?:https?:)?//[^"']+["']|@import|url\(["']?https?:""")


def exporter() -> HTMLExporter:
    """nbconvert's HTML exporter, with nothing loaded from elsewhere."""
    made = PageExporter()
    made.mathjax_url = made.require_js_url = made.mermaid_js_url = made.jquery_url = made.widget_renderer_url = ""
    made.embed_images = True
    return made


def page(path: Path, made: HTMLExporter) -> str:
    """One notebook as HTML, its links to other notebooks pointing at their pages."""
    notebook = nbformat.read(path, as_version=4)
    body, _ = made.from_notebook_node(notebook, resources={"metadata": {"name": path.stem, "path": str(path.parent)}})
    body = re.sub(r"""<script[^>]*\bsrc=["']["'][^>]*>\s*</script>""", "", body)
    body = re.sub(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", "", body, flags=re.DOTALL)
    body = re.sub(r"<script type=\"module\">.*?mermaid.*?</script>", "", body, flags=re.DOTALL)
    body = body.replace("</head>", WRAP + "</head>", 1).replace("<main>", '<main><p><a href="index.html">All notebooks</a></p>', 1)
    body = re.sub(r'href="(?:\./)?([0-9]{2}_\w+)\.ipynb"', r'href="\1.html"', body)
    if found := _REMOTE.search(body):
        raise ValueError(f"{path.name}: its page would load {found[0][:120]}")
    return body


def title(path: Path) -> str:
    """The title of a notebook: its first line."""
    return nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")


def main(arguments: list[str] | None = None) -> int:
    """Write the pages and an index."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "gallery", help="folder (default: gallery)")
    options = parser.parse_args(arguments)
    notebooks = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    made = exporter()
    for path in notebooks:
        write_text(options.out / f"{path.stem}.html", page(path, made))
    items = "\n".join(f'<li><a href="{path.stem}.html">{html.escape(title(path))}</a></li>' for path in notebooks)
    write_text(options.out / "index.html", INDEX.format(items=items))
    print(f"{len(notebooks)} notebooks: open {options.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

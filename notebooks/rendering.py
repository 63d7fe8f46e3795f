"""How cells become HTML that needs no network: formulas as MathML, pictures with what is said of them. For pages, slides and the site."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

#: nbconvert's own template leaves out what a picture's metadata says to those who do not see it.
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block data_png -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}" src="data:image/png;base64,{{ output.data['image/png'] }}">
</div>
{%- endblock data_png -%}
"""
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)


def mathml(formula: str, block: bool = False) -> str:
    """A formula in LaTeX as MathML, which browsers draw by themselves and readers of the screen can say."""
    return convert(formula.strip(), display="block" if block else "inline")


def with_mathml(markdown: str) -> str:
    """Markdown whose formulas, outside of code, are MathML: for writers of HTML that know no LaTeX."""
    parts = _CODE.split(markdown)
    parts[::2] = [_MATH.sub(lambda m: mathml(m[1] or m[2], bool(m[1])), part) for part in parts[::2]]
    return "".join(parts)


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return mathml(body, block=True)

    def multiline_math(self, text: str) -> str:
        return mathml(text, block=True)

    def inline_math(self, body: str) -> str:
        return mathml(body)


def markdown(source: str) -> str:
    """A markdown cell as HTML, as nbconvert writes it, its formulas as MathML."""
    return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=False, anchor_link_text="¶")).render(source)


class PageExporter(HTMLExporter):
    """nbconvert's exporter of whole pages with these two changes."""

    def __init__(self) -> None:
        super().__init__(template_name="lab", raw_template=TEMPLATE)

    @pass_context
    def markdown2html(self, _context: Any, source: str) -> str:
        """The filter that the template calls for markdown cells."""
        return markdown(source)

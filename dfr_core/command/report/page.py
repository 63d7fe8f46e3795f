"""The report as one HTML file: no script, no font, no picture from anywhere else."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ... import __version__
from .charts import Chart
from .findings import FOUND_SHARE, Finding, Kind

#: By this an earlier report is known.
GENERATOR = '<meta name="generator" content="dfr report">'

_CSS = """
:root { color-scheme: light; --ink: #1a1a1a; --muted: #595959; --line: #d9d9d9; --blue: #0072b2; --orange: #a85f00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem clamp(0.8rem, 3vw, 3rem) 3rem; color: var(--ink); background: #fff;
  font: clamp(1rem, 0.9rem + 0.35vw, 1.35rem)/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7em; line-height: 1.2; margin: 0.6em 0 0.2em; overflow-wrap: anywhere; }
h2 { font-size: 1.3em; margin: 1.8em 0 0.3em; border-top: 2px solid var(--line); padding-top: 0.6em; }
h3 { font-size: 1.05em; margin: 1.2em 0 0.2em; }
p { margin: 0.3em 0 0.8em; max-width: 65em; }
.stamp, figcaption, .note { color: var(--muted); font-size: 0.85em; overflow-wrap: anywhere; }
.numbers, .charts, .pictures { display: grid; gap: 1rem; margin: 0; padding: 0; list-style: none; }
.numbers { grid-template-columns: repeat(auto-fit, minmax(min(100%, 8.5em), 1fr)); }
.numbers li { border: 1px solid var(--line); border-radius: 0.4em; padding: 0.5em 0.8em; }
.numbers b { display: block; font-size: 1.5em; line-height: 1.2; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; min-width: 0; }
.charts img { width: 100%; max-width: 44rem; height: auto; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0.3rem; align-items: start; }
.pair img { width: 100%; height: auto; display: block; }
.verdict { font-weight: 600; color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3em 0.8em; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child, table.words th, table.words td { text-align: left; }
table.words td + td, table:not(.words) td:first-child { overflow-wrap: anywhere; }
@media (max-width: 32rem) { table { font-size: 0.78em; } th, td { padding: 0.3em 0.25em; } }
thead th { border-bottom: 2px solid var(--ink); }
summary { cursor: pointer; font-weight: 600; padding: 0.4em 0; }
@media print { details { display: block; } figure, tr { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Shown:
    """One image of the report.

    Attributes:
        finding: what was found on it.
        photograph, overlay: JPEG files; the first with its true defects outlined, the second with what was found.
    """

    finding: Finding
    photograph: bytes
    overlay: bytes


@dataclass(frozen=True)
class Report:
    """All that stands on the page, in its order.

    Attributes:
        title: one line.
        stamp: whose numbers these are, in one line.
        notes: what a reader must know of the data, sentences; may be empty.
        numbers: (number, what it is).
        charts: the charts.
        galleries: (heading, words, images).
        kinds: rows of the table of defects; the total, if there is one, is the last.
        found: all images.
        settings: (name, value) of the table at the end.
    """

    title: str
    stamp: str
    notes: Sequence[str]
    numbers: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    galleries: Sequence[tuple[str, str, Sequence[Shown]]]
    kinds: Sequence[Kind]
    found: Sequence[Finding]
    settings: Sequence[tuple[str, str]]


def page(report: Report) -> str:
    """The whole file."""
    title = html.escape(report.title)
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8">{GENERATOR}',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{_CSS}</style></head><body>',
        f'<header><h1>{title}</h1><p class="stamp">{html.escape(report.stamp)}</p>',
        *(f"<p>{html.escape(note)}</p>" for note in report.notes),
        "</header><main>",
        f'<ul class="numbers">{"".join(f"<li><b>{html.escape(n)}</b>{html.escape(words)}</li>" for n, words in report.numbers)}</ul>',
        "<h2>Defects found and missed</h2>",
        _kinds(report.kinds),
        "<h2>Curves and scores</h2>",
        f'<div class="charts">{"".join(map(_chart, report.charts))}</div>',
        "<h2>Images</h2>",
        "<p>Left the photograph, its true defects outlined in orange where a mask says them. Right the same photograph with heat where "
        "scores exceed the segmentation threshold, from dark just above it to yellow at three times as much, outlined in blue.</p>",
        *(_gallery(*gallery) for gallery in report.galleries),
        "<h2>All images</h2>",
        f"<details><summary>{len(report.found)} images, the highest score first</summary>{_images(report.found)}</details>",
        "<h2>Settings</h2>",
        _table(("what", "value"), report.settings, "words"),
        f'</main><footer><p class="note">Made by dfr report of dfr-lab {__version__}. Deep Feature Reconstruction, '
        "arXiv 2012.07122.</p></footer></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _kinds(kinds: Sequence[Kind]) -> str:
    masks = any(kind.defects for kind in kinds)
    rows = [(k.name, str(k.images), str(k.anomalous)) + tuple(map(str, k.defects or "–––")) * masks for k in kinds]
    words = "Images are counted, then those called anomalous: when the largest score exceeds the verdict's threshold."
    if masks:
        words += " Then their defects, 8-connected regions of the masks, as the segmentation has them: found when "
        words += f"{FOUND_SHARE:.0%} or more of one is above its threshold, in part when less is, missed when nothing is."
    header = ("kind", "images", "anomalous") + ("found", "in part", "missed") * masks
    return f"<p>{html.escape(words)}</p>{_table(header, rows)}"


def _images(found: Sequence[Finding]) -> str:
    rows = []
    for finding in sorted(found, key=lambda finding: -finding.ratio):
        parts = "" if finding.regions is None else " / ".join(map(str, finding.found))
        verdict = "anomalous" if finding.anomalous else "normal"
        rows.append((_name(finding), finding.sample.defect, f"{finding.ratio:.3f}", verdict, f"{finding.share:.2%}", parts))
    return _table(("image", "kind", "ratio", "verdict", "pixels marked", "defects found / in part / missed"), rows)


def _table(header: Iterable[str], rows: Iterable[Sequence[str]], css: str = "numbers-table") -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _chart(chart: Chart) -> str:
    name, words = html.escape(chart.name), html.escape(chart.words)
    return f"<figure><h3>{name}</h3>{_image(chart.svg, 'svg+xml', chart.alt)}<figcaption>{words}</figcaption></figure>"


def _gallery(heading: str, words: str, images: Sequence[Shown]) -> str:
    figures = "".join(map(_pair, images))
    return f'<h3>{html.escape(heading)}</h3><p>{html.escape(words)}</p><div class="pictures">{figures}</div>'


def _pair(shown: Shown) -> str:
    finding = shown.finding
    name, kind = _name(finding), finding.sample.defect
    truth = "true defects outlined" if finding.regions else "no defect outlined"
    photograph = _image(shown.photograph, "jpeg", f"Photograph {name}, {kind}, {truth}.")
    overlay = _image(shown.overlay, "jpeg", f"The same with {finding.share:.1%} of its pixels marked as anomalous.")
    return f'<figure><div class="pair">{photograph}{overlay}</div><figcaption>{_caption(finding)}</figcaption></figure>'


def _caption(finding: Finding) -> str:
    right = not finding.known or finding.anomalous == finding.defective
    verdict = ("anomalous" if finding.anomalous else "normal") + ("" if right else ", which is wrong")
    words = f'{html.escape(_name(finding))}: <span class="verdict">{verdict}</span>, {finding.ratio:.2f} times the verdict\'s threshold'
    if finding.regions:
        shares = ", ".join(f"{share:.0%}" for share in finding.regions[:6]) + (", ..." if len(finding.regions) > 6 else "")
        words += f"; marked of {'its defect' if len(finding.regions) == 1 else 'each defect'}: {shares}"
    return words


def _name(finding: Finding) -> str:
    path = finding.sample.path
    return f"{path.parent.name}/{path.name}"


def _image(content: bytes, kind: str, alt: str) -> str:
    return f'<img alt="{html.escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'

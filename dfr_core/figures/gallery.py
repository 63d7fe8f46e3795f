"""Every figure and table from records, and the gallery's page (``figures/README.md``)."""

from __future__ import annotations

import logging
from pathlib import Path

from ..errors import DFRError, Setting
from ..files import write_text
from ..lab.trial import Protocol
from ..records import Records
from .items import ITEMS, Item
from .measured import Evidence, Missing, not_comparable

log = logging.getLogger("dfr")

_LINKS = {"md": "table", "svg": "SVG", "csv": "CSV"}


def draw(records: Records, out: Path, only: set[str] | None = None, protocol: Protocol | None = None) -> list[Path]:
    """Write figures, tables and the gallery's page; the same records give the same bytes.

    Items whose records are missing are skipped, and named on the page.

    Args:
        records: what was measured.
        out: folder, made if missing.
        only: names of items (:data:`dfr_core.figures.items.ITEMS`); None draws all. Others are left as they are.
        protocol: whose records are drawn; None where there is but one.

    Returns:
        the files written, the page last.

    Raises:
        DFRError: there is no such item, the records are of several protocols, or the folder cannot be written to.
    """
    for name in sorted(only or ()):
        if name not in ITEMS:
            raise DFRError(Setting("only"), f"{name!r} is not a figure or table", f"choose from {', '.join(ITEMS)}")
    out, records = Path(out), Evidence(records, protocol)
    written: list[Path] = []
    absent: dict[str, str] = {}
    for name, item in ITEMS.items():
        if only is None or name in only:
            try:
                written += _made(item, records, out)
            except Missing as missing:
                absent[name] = str(missing)
                log.warning("%s: not drawn, it needs %s", name, missing)
    write_text(out / "README.md", _page(records, out, absent))
    return [*written, out / "README.md"]


def _made(item: Item, records: Records, out: Path) -> list[Path]:
    if not item.alt:
        from .table import save

        return save(item.make()(records), out, item.files)
    from . import drawing

    with drawing.style():
        return drawing.save(item.make()(records), out, item.files)


def _page(records: Records, out: Path, absent: dict[str, str]) -> str:
    lines = ["# Every figure and table of the paper, from measurements made here", ""]
    lines += ["Made from records by `dfr reproduce` (`make figures`); do not edit.", ""]
    if why := not_comparable(records):
        lines += [f"**{why}**", ""]
    for item in ITEMS.values():
        name = item.files
        there = [suffix for suffix in ("png", "svg", "md", "csv") if (out / f"{name}.{suffix}").is_file()]
        if item.name in absent or not there:
            continue
        links = " · ".join(f"[{_LINKS[suffix]}]({name}.{suffix})" for suffix in there if suffix in _LINKS)
        lines += [f"## {item.heading}", "", f"{item.sentence} ({links})", ""]
        if item.alt:
            lines += [f"![{item.alt}]({name}.png)", ""]
    if absent:
        lines += ["## Missing", "", *(f"- {ITEMS[name].heading}: needs {what}" for name, what in absent.items()), ""]
    return "\n".join(lines)

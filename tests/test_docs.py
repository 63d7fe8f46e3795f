"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from dfr_core.editions import EDITIONS
from dfr_core.lab.deviations import DEVIATIONS
from dfr_core.settings import Settings, paper, released

ROOT = Path(__file__).resolve().parent.parent


def test_the_deviations_are_written_down_once():
    text = (ROOT / "docs" / "choices.md").read_text()
    for row in DEVIATIONS:
        assert "| `{}` | {} | {} | {} |".format(*row) in text
    assert len(re.findall(r"^\| `", text, re.M)) == len(DEVIATIONS)


def test_the_released_preset_differs_in_what_the_table_names_and_nothing_else():
    differing = {name for name, value in vars(released()).items() if value != getattr(paper(), name)}
    assert differing == {name for name, *_ in DEVIATIONS}


def test_links_in_the_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "figures" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target.strip()).exists(), f"{document.name}: {target}"


def test_the_readme_tells_the_editions_truly():
    text = (ROOT / "README.md").read_text()
    assert f"synthetic, {EDITIONS['quick'].n_train} images a category" in text and f"{EDITIONS['quick'].settings.steps} steps" in text
    assert f"synthetic, {EDITIONS['embedded'].n_train} images a category" in text and f"{EDITIONS['embedded'].settings.steps} steps" in text
    assert EDITIONS["paper"].settings == Settings()


def test_five_lines_of_python_run(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(code.strip().splitlines()) == 5
    exec(code.replace("embedded", "quick"), {})


def test_no_registry_or_workplace_names():
    words = ["py" + "pi.org", "files." + "pythonhosted", "registry." + "npm", "conda" + ".anaconda.org", "download." + "pytorch"]
    ours = ("dfr_core", "docs", "figures", "notebooks", "tests", "tools")  # not the environment, which has 100,000 files
    for file in [*ROOT.glob("*"), *(found for folder in ours for found in (ROOT / folder).rglob("*"))]:
        if file.suffix in {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".cff", ".cfg"}:
            text = file.read_text(errors="ignore")
            assert not [w for w in words if w in text], file

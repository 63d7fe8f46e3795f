"""Make the students' notebooks from their solved sources and run them.

    python notebooks/build.py                 all notebooks
    python notebooks/build.py 03 04           some of them, by number or name
    python notebooks/build.py --solved DIR    the solved versions, run, into DIR
    python notebooks/build.py --check         only say whether the notebooks fit their sources
    python notebooks/build.py --nbgrader DIR  the assignments of an nbgrader course, into DIR

A source (notebooks/source/NN_name.py) is a script in jupytext's percent format and holds the solutions. In the student's
copy everything from `# BEGIN SOLUTION` to `# END SOLUTION` is `# your code here`. Notebooks are run in the quick edition
on one core, and saved without anything that would change from run to run.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import online
from assignment import assignment
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from dfr_core.files import replacing, write_text

HERE = Path(__file__).parent
SOURCES = HERE / "source"
TIMINGS = HERE / "timings.csv"
TEACHING = HERE.parent / "TEACHING.md"
#: A cell may take so many seconds.
TIMEOUT = 300
_SOLUTION = re.compile(r"^([ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION$", re.MULTILINE | re.DOTALL)
#: Formats of output that are kept; a widget's view is not, since it means nothing without the kernel that made it.
_KEPT = ("text/plain", "text/html", "image/png")


def sources(names: list[str] = ()) -> list[Path]:
    """The source files, all or those whose name begins with one of ``names``."""
    files = sorted(SOURCES.glob("[0-9][0-9]_*.py"))
    if not names:
        return files
    chosen = [file for file in files if any(file.stem.startswith(Path(name).stem) for name in names)]
    for name in names:
        if not any(file.stem.startswith(Path(name).stem) for file in files):
            sys.exit(f"{name}: there is no such source in {SOURCES}; there are {', '.join(file.stem for file in files)}")
    return chosen


def read_source(path: Path) -> nbformat.NotebookNode:
    """The solved notebook of a source, without outputs, with cell ids that stay, and with what opens it online."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    notebook.cells[0].source += f"\n\n{online.buttons(path.stem)}"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = online.set_up() + first.source
    return notebook


def student_copy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without its solutions."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = _SOLUTION.sub(r"\1# your code here", cell.source)
            if "SOLUTION" in cell.source:
                raise ValueError(f"{cell.id}: a BEGIN SOLUTION or END SOLUTION without its partner:\n{cell.source}")
    return copy


def run(notebook: nbformat.NotebookNode, folder: Path = HERE, **variables: str) -> tuple[float, int]:
    """Run a notebook in place, in the quick edition; seconds, and the kernel's peak memory in MiB (0 if unknown).

    ``variables`` are more environment variables of the kernel.
    """
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    environment = {**os.environ, "DFR_EDITION": "quick", "DFR_STRICT": "1", "OMP_NUM_THREADS": "1", **variables}
    started = time.perf_counter()
    with client.setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        seconds = time.perf_counter() - started
        peak = _peak_memory(client)
    _tidy(notebook)
    return seconds, peak


def _peak_memory(client: NotebookClient) -> int:
    process = getattr(client.km.provisioner, "pid", None)
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # not Linux
        return 0
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def _tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop what changes from run to run, join the pieces of printed text, number the cells."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        outputs: list[nbformat.NotebookNode] = []
        for output in cell.outputs:
            if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
                continue
            if "data" in output:
                output.data = {kind: data for kind, data in output.data.items() if kind in _KEPT}
                alt = output.metadata.get("image/png", {}).get("alt")
                output.metadata = {"image/png": {"alt": alt}} if alt else {}
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "error":
                output.traceback = [f"{output.ename}: {output.evalue}"]  # the rest names folders of this machine
            outputs.append(output)
        cell.outputs = outputs


def stripped(notebook: nbformat.NotebookNode) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """What a notebook says, without what it printed: (kind, id, source, tags) of each cell."""
    return [(cell.cell_type, cell.id, cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Save a notebook, whole or not at all."""
    nbformat.validate(notebook)
    with replacing(path) as temporary:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def note_timing(name: str, seconds: float, peak: int) -> None:
    """Keep what a notebook took in timings.csv, and show it in TEACHING.md."""
    rows = timings()
    rows[name] = {"notebook": name, "seconds": f"{seconds:.0f}", "peak_mib": str(peak)}
    with replacing(TIMINGS) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("notebook", "seconds", "peak_mib"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))
    write_text(TEACHING, with_table(TEACHING.read_text(encoding="utf-8")))


def timings() -> dict[str, dict[str, str]]:
    """What each notebook took when last run: name -> its row of timings.csv."""
    if not TIMINGS.exists():
        return {}
    with TIMINGS.open(encoding="utf-8") as file:
        return {row["notebook"]: row for row in csv.DictReader(file)}


def with_table(text: str) -> str:
    """The page for teachers with the table of timings put in its place."""
    lines = ["| notebook | seconds | peak memory [MiB] |", "|---|---|---|"]
    lines += [f"| [{name}](notebooks/{name}.ipynb) | {row['seconds']} | {row['peak_mib']} |" for name, row in timings().items()]
    table = "\n".join(["<!-- timings -->", *lines, "<!-- end of timings -->"])
    return re.sub(r"<!-- timings -->.*?<!-- end of timings -->", lambda _: table, text, flags=re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the number of notebooks that fail, or with --check do not fit their sources."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="which, by number or name; all without any")
    parser.add_argument("--solved", type=Path, metavar="DIR", help="write the solved versions, run, into this folder")
    parser.add_argument("--check", action="store_true", help="run nothing, only compare the notebooks with their sources")
    parser.add_argument("--nbgrader", type=Path, metavar="DIR", help="run nothing, write the assignments of an nbgrader course")
    options = parser.parse_args(arguments)
    failed = 0
    for source in sources(options.names):
        solved = read_source(source)
        if options.nbgrader:
            write(assignment(solved), options.nbgrader / "source" / source.stem / f"{source.stem}.ipynb")
            continue
        target = HERE / f"{source.stem}.ipynb"
        if options.check:
            same = target.exists() and stripped(nbformat.read(target, as_version=4)) == stripped(student_copy(solved))
            failed += not same
            print(f"{target.name}: {'fits its source' if same else 'differs from its source; run make notebooks'}")
            continue
        notebook = solved if options.solved else student_copy(solved)
        try:
            seconds, peak = run(notebook)
        except CellExecutionError as error:
            print(f"{target.name}: a cell fails; nothing is written\n{error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        if options.solved:
            target = options.solved / target.name
        else:
            note_timing(source.stem, seconds, peak)
        write(notebook, target)
        print(f"{target.name}: {seconds:.0f} s, {peak} MiB, {target.stat().st_size / 2**10:.0f} KiB", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

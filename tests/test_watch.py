"""`dfr watch`: whatever happens in the folder and to the process, every good photograph has exactly one whole result."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfr_core import DFR, DFRError
from dfr_core.command import main
from dfr_core.command.arrivals import Arrivals
from dfr_core.command.journal import NAME, Journal, Version, remove_leftovers
from dfr_core.command.results import PICTURES, mark_of
from dfr_core.command.scorer import Scorer, in_order
from dfr_core.data.listing import mark_in

SMALL = ["--weights", "untrained", "--width", "0.05", "--layers", "1:3", "--image-size", "64", "--steps", "2", "--positions", "16"]
MADE = ["model", 0.005, "photo"]


def content(seed: int, kind: str = "png", size: tuple[int, int] = (40, 30)) -> bytes:
    """The bytes of a photograph of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("watch")
    (root / "good").mkdir()
    for k in range(2):
        (root / f"good/{k}.png").write_bytes(content(k, size=(64, 64)))
    assert main(["fit", str(root / "good"), "--out", str(root / "model.safetensors"), *SMALL]) == 0
    return root / "model.safetensors"


# --------------------------------------------------------------------------------------- look by look, in this process


class Watch:
    """A watched folder, look by look."""

    def __init__(self, root: Path, detector: DFR, made: list = MADE, out: str = "out") -> None:
        self.folder, self.out = root / "in", root / out
        self.folder.mkdir(exist_ok=True)
        self.journal, self.stop = Journal(self.out, made), []
        self.arrivals = Arrivals(self.folder, self.out, self.journal, self.stop)
        self.scorer = Scorer(detector, self.out, 0.005, "photo", unchanged=self.arrivals.unchanged)

    def look(self, times: int = 2) -> list[str]:
        """Names of the files that had a line."""
        lines = []
        for _ in range(times):
            lines += [self.arrivals.finished(done) for done in in_order(self.scorer, self.arrivals.jobs())]
        return [Path(line["file"]).name + (" unread" if "error" in line else "") for line in lines if line]

    def put(self, name: str, what: bytes | int) -> Path:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content(what) if isinstance(what, int) else what)
        return self.folder / name

    def again(self, made: list = MADE) -> Watch:
        """The process has ended and begins anew."""
        self.journal.close()
        return Watch(self.folder.parent, self.scorer.detector, made)


@pytest.fixture
def watch(model, tmp_path) -> Iterator[Watch]:
    made = Watch(tmp_path, DFR.load(model))
    yield made
    made.journal.close()


@pytest.fixture
def said(caplog, capsys) -> Callable[[], list[str]]:
    """The lines on standard error since the last call."""

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records] + capsys.readouterr().err.splitlines()
        caplog.clear()
        return found

    return lines


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / NAME).read_text().splitlines() if line]


def test_a_photograph_is_scored_once_it_is_whole(watch, said):
    whole = content(1)
    watch.put("a.png", whole[:500])
    assert watch.look(1) == []
    watch.put("a.png", whole[:900])
    assert watch.look(1) == []
    watch.put("a.png", whole)
    assert watch.look(1) == [] and watch.look(1) == ["a.png"] and watch.look(3) == [] and said() == []


def test_its_result_is_that_of_dfr_score(watch, model, tmp_path, capsys):
    watch.put("a.png", 1)
    watch.look()
    (row,) = rows(watch.out)
    assert main(["score", str(model), row["file"], "--out", str(tmp_path / "scored")]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row.items() >= {name: value for name, value in line.items() if name not in PICTURES}.items()
    assert all(Path(row[picture]).read_bytes() == Path(line[picture]).read_bytes() for picture in PICTURES)
    assert (row["place"], row["made"], row["sha256"]) == ("a.png", MADE, hashlib.sha256(content(1)).hexdigest())


def test_a_half_written_file_is_named_once_and_scored_when_it_is_finished(watch, said):
    whole = content(1)
    path = watch.put("a.png", whole[:700])
    assert watch.look(4) == ["a.png unread"]
    lines = said()
    assert len(lines) == 1 and "a.png: the image is damaged or cut short" in lines[0]
    path.write_bytes(whole)
    assert watch.look(3) == ["a.png"] and said() == []


def test_garbage_is_named_once_for_each_of_its_versions(watch, said):
    watch.put("a.png", b"no image")
    watch.put("b.png", b"")
    watch.put("note.txt", b"x")
    watch.put("c.png", 3)
    assert watch.look(5) == ["a.png unread", "b.png unread", "c.png"]
    assert sorted(line.partition(str(watch.folder))[2].split(":")[0] for line in said()) == ["/a.png", "/b.png", "/note.txt"]
    watch.put("a.png", b"still no image")
    assert watch.look(3) == ["a.png unread"] and len(said()) == 1


def test_deleted_before_and_after_it_was_scored(watch, said):
    watch.put("a.png", 1)
    assert watch.look(1) == []
    late = watch.put("b.png", 2)
    assert watch.look(1) == ["a.png"]
    late.unlink()
    assert watch.look(2) == [] and said() == [f"{late}: gone (deleted or renamed) before it could be scored"]
    (watch.folder / "a.png").unlink()
    assert watch.look(3) == [] and said() == [] and len(rows(watch.out)) == 1


def test_deleted_while_it_is_being_scored(watch, said, monkeypatch):
    path, real = watch.put("a.png", 1), Scorer._map

    def delete(self, picture):
        path.unlink()
        return real(self, picture)

    watch.look(1)
    monkeypatch.setattr(Scorer, "_map", delete)
    assert watch.look(2) == [] and not list(watch.out.glob("*_*")) and len(said()) == 1


def test_changed_while_it_is_being_scored(watch, said, monkeypatch):
    path, real = watch.put("a.png", 1), Scorer._map

    def change(self, picture):
        path.write_bytes(content(2, size=(50, 20)))
        return real(self, picture)

    watch.look(1)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "_map", change)
        assert watch.look(1) == [] and not list(watch.out.glob("*_*"))
    assert watch.look(3) == ["a.png"] and [row["size"] for row in rows(watch.out)] == [[20, 50]] and said() == []


def test_renamed_and_copied(watch, said):
    path = watch.put("a.png", 1)
    watch.look()
    path.rename(watch.folder / "b.png")
    shutil.copy(watch.folder / "b.png", watch.folder / "c.png")
    assert watch.look(4) == []
    words = f": the same photograph as {path}, which is scored already"
    assert said() == [f"{watch.folder / name}{words}" for name in ("b.png", "c.png")]
    (watch.folder / "c.png").unlink()
    assert watch.look(2) == [] and said() == []


def test_twins_that_arrive_together(watch, said):
    watch.put("a.png", 1)
    watch.put("b.png", 1)
    assert watch.look(4) == ["a.png"] and len(said()) == 1 and len(rows(watch.out)) == 1


def test_a_twin_is_scored_when_the_first_one_has_become_another(watch):
    first, second = watch.put("a.png", 1), watch.put("b.png", 1)
    watch.look(3)
    first.write_bytes(content(2))
    os.utime(first, ns=(1, 1))
    assert watch.look(4) == ["a.png", "b.png"] and second.exists()


def test_a_photograph_that_changes_is_scored_again_under_its_name(watch):
    path = watch.put("a.png", 1)
    watch.look()
    path.write_bytes(content(2, size=(50, 20)))
    assert watch.look(3) == ["a.png"]
    assert len(list(watch.out.glob("a_*"))) == 3 and [row["size"] for row in rows(watch.out)] == [[30, 40], [20, 50]]
    os.utime(path)
    assert watch.look(3) == [], "touched, but the same bytes"


def test_equal_names_in_two_folders_and_in_two_cases(watch):
    for name in ("x/a.png", "y/a.png", "y/A.PNG"):
        watch.put(name, sum(name.encode()))
    assert len(watch.look()) == 3 and len({row["map"].casefold() for row in rows(watch.out)}) == 3


def test_results_are_never_taken_for_photographs(model, tmp_path, caplog):
    watch = Watch(tmp_path, DFR.load(model), out="in/results")
    watch.put("a.png", 1)
    assert watch.look(4) == ["a.png"]
    shutil.copy(watch.out / "a_overlay.jpg", watch.folder / "a_overlay.jpg")
    shutil.copy(watch.out / "a_overlay.jpg", watch.folder / "b_overlay.jpg")
    assert watch.look(4) == [] and "a picture that `dfr score` wrote" in caplog.text
    watch.journal.close()


def test_a_restart_goes_on(watch, said):
    for k in range(3):
        watch.put(f"{k}.png", k)
    watch.look()
    again = watch.again()
    again.put("3.png", 3)
    assert again.look(3) == ["3.png"] and said() == []
    Path(rows(again.out)[0]["segmentation"]).unlink()
    assert again.look(2) == [], "results may be moved away"
    again = again.again()
    assert again.look() == ["0.png"], "but what has none at the start gets one"
    again.put("1.png", 11)
    again = again.again()
    assert again.look(3) == ["1.png"]
    other = again.again(["another model", 0.005, "photo"])
    assert sorted(other.look(3)) == ["0.png", "1.png", "2.png", "3.png"] and said() == []
    other.journal.close()


def test_a_row_that_was_cut_short_is_no_row(watch):
    watch.put("a.png", 1)
    watch.put("b.png", 2)
    watch.look()
    watch.journal.close()
    whole = (watch.out / NAME).read_bytes()
    for cut in (1, 40, len(whole.splitlines()[1])):
        (watch.out / NAME).write_bytes(whole[:-cut])
        again = watch.again()
        assert again.look(3) == (["b.png"] if cut > 1 else [])
        assert again.look(1) == [] and again.again().look(3) == []
        again.journal.close()


@pytest.mark.skipif(os.name == "nt", reason="the lock is one of POSIX")
def test_two_watchers_of_one_folder(watch):
    with pytest.raises(DFRError, match="out: another `dfr watch` writes to .*name another folder"):
        Journal(watch.out, MADE)


def test_a_disk_that_takes_part_of_a_row(watch, monkeypatch):
    class Full:
        def write(self, line: bytes) -> int:
            return 3

    monkeypatch.setattr(watch.journal, "_file", Full())
    with pytest.raises(DFRError, match=f"{NAME}: cannot be written .*; make room on the disk"):
        watch.journal.add({}, "a.png", Version(1, 2), "0")
    monkeypatch.undo()


def test_leave_what_is_there(watch):
    old = watch.put("a.png", 1)
    watch.arrivals.leave_what_is_there()
    watch.put("b.png", 2)
    assert watch.look(3) == ["b.png"]
    old.write_bytes(content(3))
    assert watch.look(3) == ["a.png"]


def test_a_folder_that_is_away_for_a_while(watch, said):
    watch.put("a.png", 1)
    watch.look()
    watch.folder.rename(watch.folder.with_name("away"))
    assert watch.look(4) == []
    assert [line for line in said() if "gone" not in line] == [f"{watch.folder}: no such folder (photographs to score); looked for again"]
    watch.folder.with_name("away").rename(watch.folder)
    watch.put("b.png", 2)
    assert watch.look(3) == ["b.png"] and said() == []


def test_nothing_is_begun_after_the_signal(watch):
    for k in range(9):
        watch.put(f"{k}.png", k)
    watch.look(1)
    lines = []
    for done in in_order(watch.scorer, watch.arrivals.jobs()):
        watch.stop.append(signal.SIGTERM)
        lines.append(watch.arrivals.finished(done))
    assert 0 < len(lines) < 9 and len(rows(watch.out)) == len(lines) == len(list(watch.out.glob("*_segmentation.png")))


def test_leftovers(tmp_path):
    for name in (".dfr-x.png", "a_map.png", ".other"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other", "a_map.png"]


MISTAKES = {
    "no folder": (["nowhere"], "nowhere: no such folder; name the one where photographs arrive"),
    "a file": (["file"], "file: is not a folder"),
    "results among the photographs": (["in", "--out", "in"], "--out: in is the folder of the images"),
    "no time": (["in", "--interval", "0"], "--interval: 0.0 is not a number of seconds above 0"),
    "NaN": (["in", "--interval", "nan"], "--interval: nan is not"),
    "FPR": (["in", "--fpr", "0.5"], "--fpr: 0.5 is not in [0, 0.05]"),
    "no model": (["in", "--model", "none"], "none: no such file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("file").touch()
    (folder, *options), words = MISTAKES[mistake]
    capsys.readouterr()
    assert main(["watch", folder, "--model", str(model), "--out", "out", *options]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"dfr: error: {words}") and not list(Path().rglob("*.png"))


# -------------------------------------------------------------------------------------------- two hundred, five kills


class Process:
    """`dfr watch` in a process of its own: a copy of this one, which has imported everything."""

    def __init__(self, root: Path, model: Path, number: int) -> None:
        self.out, self.err = root / f"{number}.out", root / f"{number}.err"
        arguments = ["watch", str(root / "in"), "--model", str(model), "--out", str(root / "out"), "--interval", "0.03"]
        self.process = multiprocessing.get_context("fork").Process(target=self._run, args=(arguments,))
        self.process.start()

    def _run(self, arguments: list[str]) -> None:
        for number, file in ((1, self.out), (2, self.err)):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 (pytest has its own)
        code = main(arguments)
        sys.stdout.flush()
        os._exit(code)

    def end(self, how: signal.Signals) -> None:
        os.kill(self.process.pid, how)
        self.process.join(20)
        assert self.process.exitcode == (-how if how == signal.SIGKILL else 0), self.err.read_text()


class Feeder(threading.Thread):
    """Drops photographs in odd ways; ``good`` are the contents that are there, whole, at the end."""

    def __init__(self, folder: Path, n: int, seconds: float) -> None:
        super().__init__()
        self.folder, self.n, self.pause = folder, n, seconds / n
        self.good: set[str] = set()
        self.garbage: list[Path] = []

    def run(self) -> None:
        later: list[tuple[int, Callable[[], object]]] = []
        for k in range(self.n):
            for due, act in list(later):
                if due <= k:
                    act()
                    later.remove((due, act))
            later += [(k + delay, act) for delay, act in self.drop(k)]
            time.sleep(self.pause)
        for _, act in later:
            act()

    def drop(self, k: int) -> list[tuple[int, Callable[[], object]]]:
        kind = "jpeg" if k % 3 == 0 else "png"
        path, whole = self.folder / f"{'deep/' if k % 5 == 0 else ''}{k:03d}.{kind}", content(k, kind)
        good = hashlib.sha256(whole).hexdigest()
        path.parent.mkdir(exist_ok=True)
        way = k % 9
        if way == 5:  # no image, or one that is never finished
            path.write_bytes(b"garbage" if k % 2 else whole[: len(whole) // 2])
            self.garbage.append(path)
            return []
        if way == 6:  # deleted soon
            path.write_bytes(whole)
            return [(k % 3, path.unlink)]
        self.good.add(good)
        if way == 1:  # half-written for a while
            path.write_bytes(whole[: len(whole) // 3])
            return [(3, lambda: path.write_bytes(whole))]
        if way == 2:  # under another name until it is whole
            part = path.with_suffix(".part")
            part.write_bytes(whole)
            return [(2, lambda: part.rename(path))]
        path.write_bytes(whole)
        if way == 3:  # renamed
            return [(k % 4, lambda: path.rename(path.with_name(f"renamed{k}.{kind}")))]
        if way == 4:  # copied
            return [(k % 4, lambda: shutil.copy(path, path.with_name(f"copy{k}.{kind}")))]
        if way == 7:  # replaced by another photograph
            other = content(1000 + k, kind)
            self.good.discard(good)
            self.good.add(hashlib.sha256(other).hexdigest())
            return [(k % 6, lambda: path.write_bytes(other))]
        return []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and fork are others on Windows")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_two_hundred_photographs_and_five_kills(model, tmp_path, request):
    (tmp_path / "in").mkdir()
    feeder = Feeder(tmp_path / "in", 200, seconds=4)
    runs = [Process(tmp_path, model, 0)]
    request.addfinalizer(lambda: [run.process.kill() for run in runs])
    feeder.start()
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL), start=1):
        time.sleep(0.7)
        runs[-1].end(how)
        runs.append(Process(tmp_path, model, number))
    feeder.join()
    out, deadline = tmp_path / "out", time.monotonic() + 60
    while not feeder.good <= {row["sha256"] for row in rows(out)} and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    runs[-1].end(signal.SIGTERM)

    found = rows(out)
    counts = Counter(row["sha256"] for row in found)
    assert feeder.good <= set(counts), "every good photograph has a result"
    assert set(counts.values()) == {1}, "and none is scored twice"
    newest = {row["place"]: row for row in found}
    assert len({row["map"] for row in newest.values()}) == len(newest)
    for row in newest.values():
        grey, overlay, found_ = (np.asarray(Image.open(row[picture])) for picture in PICTURES)
        assert grey.shape == found_.shape == overlay.shape[:2] == (30, 40) and np.array_equal(grey > row["grey_threshold"], found_ == 255)
        assert {mark_in(Path(row[picture])) for picture in PICTURES} == {mark_of(Path(row["file"]))}
    assert not list(out.glob(".dfr-*")), "nothing half-written is left"
    printed = [json.loads(line) for run in runs for line in run.out.read_text().splitlines() if line.endswith("}")]
    assert {row["sha256"] for row in printed if "sha256" in row} <= set(counts)
    for run in runs:
        lines = run.err.read_text().splitlines()
        assert len(lines) == len(set(lines)), "what is said is said once"
    for path in feeder.garbage:
        assert sum(f"{path}: " in line for line in lines) == 1, "the last run names all that is garbage"

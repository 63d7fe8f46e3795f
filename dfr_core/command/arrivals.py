"""What arrives in a watched folder: which photographs are whole and new, and what there is to say about the rest, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.images import told
from ..data.listing import Listing, list_images, mark_in
from ..data.notes import Note, tell
from ..errors import DFRError
from ..files import sha256
from .journal import Journal, Version
from .places import inside
from .results import PICTURES, mark_of, output_names, target
from .scorer import Done, Job, pixels_of

WHAT = "photographs to score"
GONE = "gone (deleted or renamed) before it could be scored"


class Arrivals:
    """Looks into the folder, hands out what is to be scored, and takes what became of it.

    Args:
        folder: the watched one.
        out: where the results go; what lies there is never taken for a photograph.
        journal: of the results that are whole.
        stop: nothing more is handed out once something is in it.
        white: that the model was trained with.
    """

    def __init__(self, folder: Path, out: Path, journal: Journal, stop: Sequence[object], white: int | None = None) -> None:
        self.folder, self.out, self.journal, self.stop, self.white = folder, out, journal, stop, white
        self._before: dict[Path, Version] = {}  # at the last look
        self._passed_before: set[Note] = set()
        self._told: set[Note] = set()
        self._settled: dict[Path, Version] = {}  # cannot be read, or is not wanted: until it changes
        self._twins: dict[Path, Version] = {}
        self._digests: dict[Path, tuple[Version, str]] = {}
        self._begun: dict[Path, tuple[Version, str]] = {}
        self._names: dict[str, Path] = {}
        self._trouble = ""
        self._out_within = inside(out, folder)

    # ---- looking -------------------------------------------------------------------------------------

    def leave_what_is_there(self) -> None:
        """Score none of the photographs that lie there now, unless they change."""
        self._look()
        self._settled |= self._before

    def jobs(self) -> Iterator[tuple[Job, int]]:
        """What is to be scored after one more look, each with its pixels."""
        for path, version in self._look():
            if self.stop:
                return
            if self._settled.get(path) == version or self.journal.has(self._place(path), version):
                continue
            digest = self._digest(path, version)
            if digest is None or any(digest == begun for _, begun in self._begun.values()):
                continue  # it is changing, or its twin is being scored: the next look will tell
            twin = self.journal.place_of(digest)
            if twin is not None:
                self._twins[path] = version
                if twin != self._place(path):
                    self._say(Note(path, f"the same photograph as {self.folder / twin}, which is scored already"))
                continue
            self._begun[path] = version, digest
            yield Job(path, self._name(path)), pixels_of(path)

    def unchanged(self, job: Job) -> bool:
        """Whether the file is still what was handed out."""
        return Version.of(job.path) == self._begun[job.path][0]

    def _look(self) -> list[tuple[Path, Version]]:
        """The photographs that are as they were at the last look."""
        try:
            listing = list_images(self.folder, WHAT)
        except DFRError as error:  # the disk is away, or a folder vanished while it was being listed
            if str(error) == self._trouble:
                self._say(Note(Path(str(error.what)), f"{error.problem}; looked for again"))
            self._trouble = str(error)
            return []
        self._trouble = ""
        there = (path for path in listing.images if not self._result(path))
        now = {path: version for path in there if (version := Version.of(path)) is not None}
        self._say_passed(listing)
        for path, version in self._before.items():
            known = version in (self._settled.get(path), self._twins.get(path)) or self.journal.has(self._place(path), version)
            if path not in now and not known:
                self._say(Note(path, GONE))
        ready = [(path, version) for path, version in now.items() if self._before.get(path) == version]
        self._before = now
        for kept in (self._settled, self._twins, self._digests):
            for path in kept.keys() - now.keys():
                del kept[path]
        return ready

    def _result(self, path: Path) -> bool:
        return self._out_within and inside(path, self.out)

    def _digest(self, path: Path, version: Version) -> str | None:
        """SHA-256 of this version of a file; None if it is another one by now."""
        if path not in self._digests or self._digests[path][0] != version:
            try:
                digest = sha256(path)
            except OSError as error:
                if path.exists():
                    self._unread(path, version, DFRError(path, f"cannot be read ({error.strerror or error})", "check its permissions"))
                return None
            if Version.of(path) != version:
                return None
            self._digests[path] = version, digest
        return self._digests[path][1]

    def _place(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _name(self, path: Path) -> str:
        """A name for the pictures that no other photograph's have."""

        def taken(name: str, path: Path) -> bool:
            held = (target(self.out, name, picture) for picture in PICTURES)
            by_another = self._names.get(name.casefold(), path) != path
            return by_another or any(mark_in(file) != mark_of(path) for file in held if file.exists())

        (name,) = output_names([path], taken)
        self._names[name.casefold()] = path
        return name

    # ---- what became of it ---------------------------------------------------------------------------

    def finished(self, done: Done) -> dict[str, Any] | None:
        """Keep the row of a photograph whose pictures are written; the line to print, None if there is nothing to say yet.

        Raises:
            DFRError: the row cannot be written.
        """
        version, digest = self._begun.pop(done.job.path)
        if done.error is not None:
            return self._unread(done.job.path, version, done.error) if done.job.path.exists() else None
        if done.seen is None:  # it changed while it was read
            return None
        row = self.journal.add(done.row, self._place(done.job.path), version, digest)
        tell(told([done.seen], self.white))
        return row

    # ---- saying --------------------------------------------------------------------------------------

    def _unread(self, path: Path, version: Version, error: DFRError) -> dict[str, Any] | None:
        """A file that cannot be read: said once for each version of it that stays."""
        if Version.of(path) != version:
            return None
        self._settled[path] = version
        print(f"dfr: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return {"file": str(path), "error": str(error)}

    def _say(self, note: Note) -> None:
        if note not in self._told:
            self._told.add(note)
            tell([note])

    def _say_passed(self, listing: Listing) -> None:
        """What is no photograph, if it was there at the last look as well."""
        passed = [note for note in listing.unused_masks() if not self._result(note.path)]
        new = [note for note in passed if note in self._passed_before and note not in self._told]
        self._told.update(new)
        tell(new)
        self._passed_before = set(passed)

"""`scores.jsonl`, what `dfr watch` knows of the photographs whose results are whole: a row each, written last, so that it is the mark."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DFRError, Setting
from .results import PICTURES

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "scores.jsonl"


class Version(NamedTuple):
    """Of a file: its size in bytes, and when it was written, in nanoseconds."""

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Version | None:
        """Of a file as it is now; None if it is not there."""
        with suppress(OSError):
            found = path.stat()
            return cls(found.st_size, found.st_mtime_ns)
        return None


class Journal:
    """The rows in a folder of results. Rows are only ever added; the last one of a photograph counts, if its pictures are there.

    That is looked at when the journal is opened. Later they may be moved to wherever results are kept.

    A row has, beside what `dfr score` says, ``place`` (of the photograph in the watched folder), ``bytes``, ``modified_ns`` and
    ``sha256`` (of its file), and ``made`` (by what model, threshold and size of pictures).

    Args:
        out: the folder; made if missing.
        made: as in the rows; those made otherwise do not count.

    Raises:
        DFRError: the file cannot be written, or another process is watching for this folder.
    """

    def __init__(self, out: Path, made: list[Any]) -> None:
        self.path, self.made = out / NAME, made
        self._rows: dict[str, dict[str, Any]] = {}
        self._places: dict[str, str] = {}  # by SHA-256
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            self._lock()
            content = self.path.read_bytes()
            if content and not content.endswith(b"\n"):  # killed in the middle of a row: its photograph is scored again
                self._file.write(b"\n")
        except OSError as error:
            raise DFRError(self.path, f"cannot be written ({error.strerror or error})", "choose another folder") from error
        for line in content.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a row cut short
                self._take(json.loads(line))
        pictures = {path.name for path in out.iterdir()}
        self._rows = {place: row for place, row in self._rows.items() if Path(row["segmentation"]).name in pictures}  # put in place last

    def _lock(self) -> None:
        if fcntl:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DFRError(Setting("out"), f"another `dfr watch` writes to {self.path.parent}", "name another folder") from None

    def close(self) -> None:
        """Give the file free."""
        self._file.close()

    def _take(self, row: dict[str, Any]) -> None:
        if row["made"] == self.made and {"bytes", "modified_ns", *PICTURES} <= row.keys():
            self._rows[row["place"]] = row
            self._places[row["sha256"]] = row["place"]

    def add(self, row: dict[str, Any], place: str, version: Version, digest: str) -> dict[str, Any]:
        """Write the row of a photograph whose pictures are in place; what was written.

        Raises:
            DFRError: the disk is full, or gone.
        """
        row = row | {"place": place, "bytes": version.size, "modified_ns": version.modified, "sha256": digest, "made": self.made}
        line = json.dumps(row).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk took part of a row")
        except OSError as error:
            raise DFRError(self.path, f"cannot be written ({error.strerror or error})", "make room on the disk") from error
        self._take(row)
        return row

    def has(self, place: str, version: Version) -> bool:
        """Whether this version of a photograph has its result."""
        row = self._rows.get(place)
        return row is not None and (row["bytes"], row["modified_ns"]) == version

    def place_of(self, digest: str) -> str | None:
        """The photograph with this SHA-256 that has its result."""
        place = self._places.get(digest, "")
        return place if self._rows.get(place, {}).get("sha256") == digest else None


def remove_leftovers(out: Path) -> None:
    """Remove what a killed process left half-written among the results (:func:`dfr_core.files.replacing` names it so)."""
    with suppress(OSError):
        for path in out.glob(".dfr-*"):
            path.unlink()

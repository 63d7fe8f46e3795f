"""Measurements kept as small files, and found again only by what they were measured with.

A record is a JSON file and, beside it, the arrays a figure needs (npz without pickles). Its name ends in
a hash of everything the result depends on: the experiment, all settings, the images' bytes, the
backbone's weights and the code that measured it. Change one of them and the old record is not found.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DFRError
from .files import replacing, write_text


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes:
        about: what was measured, with what, and the numbers; JSON values only.
        arrays: what does not fit a line of text.
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Records(list[Record]):
    """Records to choose from by what they are about."""

    def where(self, **about: Any) -> Records:
        """Those whose ``about`` has these values."""
        return Records(r for r in self if all(r.about.get(k) == v for k, v in about.items()))


class Store:
    """A folder of records."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def has(self, key: str) -> bool:
        """Is the record complete? The JSON file is written last."""
        return (self.folder / f"{key}.json").is_file()

    def put(self, key: str, record: Record) -> None:
        """Write a record; killed in the middle, it is not there."""
        if record.arrays:
            with replacing(self.folder / f"{key}.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **record.arrays)
        write_text(self.folder / f"{key}.json", json.dumps(record.about, indent=1, sort_keys=True) + "\n")

    def get(self, key: str) -> Record:
        """Read a record.

        Raises:
            DFRError: not there, or damaged.
        """
        file = self.folder / f"{key}.json"
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            arrays = {}
            if file.with_suffix(".npz").exists():
                with np.load(file.with_suffix(".npz"), allow_pickle=False) as archive:
                    arrays = dict(archive)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DFRError(file, f"cannot be read as a record ({error})", "delete it and run again") from error
        return Record(about, arrays)

    def load(self, keys: Iterable[str]) -> Records:
        """The records of these keys that are there."""
        return Records(self.get(key) for key in keys if self.has(key))


def key_of(name: str, **depends_on: Any) -> str:
    """A readable name ending in a hash of all the result depends on."""
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{name.replace(':', '-').replace(',', '+')}-{digest}"


def file_fingerprint(files: Iterable[Path]) -> str:
    """Hash of the names and bytes of files, read in threads: [16 hex digits]."""
    files = sorted(files)

    def digest(file: Path) -> str:
        try:
            return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
        except OSError as error:
            raise DFRError(file, f"cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(8) as pool:
        parts: Iterator[str] = pool.map(digest, files)
        return hashlib.sha256("".join(f"{f.parent.name}/{f.name}:{d};" for f, d in zip(files, parts)).encode()).hexdigest()[:16]

"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import DFRError

_asking = threading.Lock()


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it over ``path`` when the block ends well.

    The rename is atomic, so a reader sees the old file or the new one, and a process killed in the
    middle leaves the old one. Missing parent folders are made.

    Raises:
        DFRError: the folder cannot be written to, or the disk is full.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[str | os.PathLike]) -> Iterator[list[Path]]:
    """:func:`replacing` for files that belong together: all are put in place, once all are whole, or none is.

    The last one is the mark of a whole set: an earlier one is removed first, and the new one put in place last. So if the process is
    killed in between, there is no last file, never one beside others that are not of its set.

    Raises:
        DFRError: as :func:`replacing`; it names the file that was at fault, where the system says which.
    """
    targets = [Path(path) for path in paths]
    temporaries: list[Path] = []
    waiting: list[tuple[Path, Path]] = []
    target = targets[0]
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                target.lstat()  # a name longer than the system takes is met here, before any work
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            # The temporary name owes nothing to the file's own, which may be as long as names can be.
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".dfr-", suffix=target.suffix[:16])
            os.close(handle)
            temporaries.append(Path(name))
        yield temporaries
        # mkstemp makes private files; a result is meant to be read by whoever may read the folder.
        for temporary in temporaries:
            temporary.chmod(_permissions())
        waiting = list(zip(temporaries, targets, strict=True))
        if len(targets) > 1:
            targets[-1].unlink(missing_ok=True)
        while waiting:
            temporary, target = waiting[0]
            os.replace(temporary, target)
            del waiting[0]
    except OSError as error:
        waiting = []
        known_as = dict(zip(map(str, temporaries), targets))  # a person does not know the temporary names
        culprit = known_as.get(str(error.filename), target)
        raise DFRError(culprit, f"cannot be written ({error.strerror or error})", _mend(error)) from error
    finally:
        for temporary, path in waiting:  # Ctrl-C between two renames: the set is whole, so the rest follows
            with suppress(OSError):
                os.replace(temporary, path)
        for temporary in temporaries:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _permissions() -> int:
    """What a new file may be, by the process's umask; that can only be asked by setting it, so threads must take turns."""
    with _asking:
        umask = os.umask(0)
        os.umask(umask)
    return 0o666 & ~umask


def _mend(error: OSError) -> str:
    """What helps against an error of writing: a full disk wants something else than a name that is too long."""
    return {
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.ENOSPC: "make room, or choose a disk with free space",
        errno.EDQUOT: "make room, or choose a disk with free space",
        errno.EISDIR: "name a file that is no folder",
        errno.ENOTDIR: "one of the folders in its name is a file; name another place",
        errno.EEXIST: "one of the folders in its name is a file; name another place",
        errno.EACCES: "choose a folder with write permission",
        errno.EPERM: "choose a folder with write permission",
        errno.EROFS: "choose a folder with write permission on another disk",
    }.get(error.errno or 0, "choose a folder with write permission and free space")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(source: str | os.PathLike | BinaryIO) -> str:
    """SHA-256 of a file, or of what is left of an open one, read block by block: 64 hexadecimal digits."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as stream:
            return sha256(stream)
    digest = hashlib.sha256()  # Python 3.10 has no hashlib.file_digest
    while block := source.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    """Write tensors and a few words about them as one safetensors file, atomically; the same ones give the same bytes."""
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, about)
    # The library writes the words in an order that differs from run to run. The header is its length (8 bytes) and JSON, by the
    # format's definition; the tensors' places count from its end, so it may become longer (spaces fill it up to whole 8 bytes).
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(about.items()))
    words = json.dumps(dict(sorted(header.items())), separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        file.write(memoryview(content)[end:])


def load_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and words from a safetensors file; no code from the file is run.

    Raises:
        DFRError: no such file, or not a whole safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise DFRError(path, "a folder, not a file" if path.is_dir() else "no such file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DFRError(path, f"not a whole safetensors file ({error})", "it may be truncated or of another kind") from error

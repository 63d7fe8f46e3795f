"""MVTec AD: what it is and where to get it, and unpacking an archive that is already there (Section IV-A1).

Nothing is downloaded: the dataset's owner asks for a form to be filled in and the direct links change often.
:func:`fetch_data` writes a note that says what to do, checks the archive's SHA-256, and unpacks it so that a
folder ``directory/leather`` is either whole or absent.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from tqdm.auto import tqdm

from ..errors import DFRError
from ..files import sha256, write_text
from ..paper_numbers import CATEGORIES
from .decode import PathLike
from .folders import GOOD, load_category

README_NAME = "README-MVTec-AD.md"
DATASET_NAME = "mvtec_anomaly_detection"
ARCHIVE_NAME = f"{DATASET_NAME}.tar.xz"
ARCHIVE_BYTES = 5_264_982_680
PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
SUFFIXES = (".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar")

# No checksum published by MVTec is known to us. This one stands in the dataset module of the public library anomalib, and several
# people who have the archive report the same for their own copy, with the size above.
SHA256 = {ARCHIVE_NAME: "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"}

# Files at the top of the archive that must stay with the data: the licence asks for it.
PAPERS = ("license.txt", "readme.txt")
SCRATCH = ".dfr-unpacking-"
STALE_SECONDS = 24 * 3600
NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

README = f"""\
# MVTec AD

MVTec AD (Bergmann et al.) is a set of 5354 photographs of fifteen kinds of things seen in industry: five textures
(carpet, grid, leather, tile, wood) and ten objects (bottle, cable, capsule, hazelnut, metal nut, pill, screw,
toothbrush, transistor, zipper). The 3629 training images show no defect. The 1725 test images show both sound and
defective items, 73 kinds of defects in all, and every defect has a mask. DFR is evaluated on it (Section IV).

## Get it

1. Open <{PAGE}>, accept the terms there, and download the whole dataset
   ({ARCHIVE_BYTES / 1e9:.1f} GB) or single categories. Direct links to the files change from time to time; this page has the current ones.
2. Put the archive, with its name unchanged, into this folder:
   `{ARCHIVE_NAME}`, or for single categories `leather.tar.xz` and the like.
3. Run `dfr fetch-data` with this folder again. It verifies the archive and unpacks it here, one folder a category.

Categories that are already unpacked are left as they are. When all is unpacked the archive may be deleted.

## What to expect

| | |
|---|---|
| file | `{ARCHIVE_NAME}` |
| size | {ARCHIVE_BYTES} bytes |
| SHA-256 | `{SHA256[ARCHIVE_NAME]}` |

The checksum is not MVTec's own (we know of none): it stands in the dataset module of the public library anomalib, and
several people report it for the copy that they downloaded. For the archives of single categories no checksum
is known; they are unpacked only with `--accept-unverified`, after you have made sure where they come from.

## Licence

Copyright 2019 MVTec Software GmbH. Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0),
<https://creativecommons.org/licenses/by-nc-sa/4.0/>: name the authors, no commercial use, share what you make of it alike.
This covers pictures made from the images, too. The file `license.txt` in the archive stays with the data.

## Cite

P. Bergmann, M. Fauser, D. Sattlegger, and C. Steger, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised
Anomaly Detection", IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR), 2019, doi:10.1109/CVPR.2019.00982.

Without this dataset: `dfr make-data` makes synthetic categories in the same layout.
"""


@dataclass(frozen=True)
class FetchReport:
    """What :func:`fetch_data` found and did.

    Attributes:
        directory: the folder of the data; give it to ``dfr fit``.
        readme: the note that was written there.
        archives: the archives that were found.
        verified: something was unpacked now, and only from archives whose checksum is known and right.
        unverified: archives unpacked now although no checksum of them is known.
        unpacked: categories unpacked now.
        present: categories found unpacked already and left alone.
        ignored: other tar files in the folder, whose names are not MVTec AD's.
    """

    directory: Path
    readme: Path
    archives: tuple[Path, ...] = ()
    verified: bool = False
    unverified: tuple[Path, ...] = ()
    unpacked: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.readme}: says where to get MVTec AD, its licence and its checksum"]
        if not self.archives:
            lines.append(f"{self.directory}: no archive here yet; put {ARCHIVE_NAME} here and run this again")
        lines += [f"{archive}: no checksum known, unpacked unverified" for archive in self.unverified]
        if self.verified:
            lines.append("checksum verified")
        if self.unpacked:
            lines.append(f"unpacked: {', '.join(self.unpacked)}")
        if self.present:
            lines.append(f"already there, left alone (remove a folder to unpack it again): {', '.join(self.present)}")
        lines += [f"{path}: ignored, its name is not one of MVTec AD's archives" for path in self.ignored]
        return "\n".join(lines)


def fetch_data(
    directory: PathLike, *, accept_unverified: bool = False, checksums: Mapping[str, str] = SHA256, progress: bool = True
) -> FetchReport:
    """Write what MVTec AD needs into ``directory``; verify and unpack an archive that is already there.

    Args:
        directory: made if it is missing. Looked for in it: ``mvtec_anomaly_detection.tar.xz`` and, if that is not
            there, single categories such as ``leather.tar.xz`` (also .txz, .tar.gz, .tgz, .tar).
        accept_unverified: unpack archives whose checksum is not known. One whose checksum is known and wrong is
            never unpacked.
        checksums: SHA-256 in hexadecimal by file name.
        progress: show progress bars.

    Returns:
        what was found and done; ``str()`` of it is what the command prints.

    Raises:
        DFRError: the folder cannot be written to, a checksum is wrong, or unknown and not accepted, the archive is
            damaged or unsafe or holds no category, or the disk is full. Nothing half-unpacked is left.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise DFRError(directory, "is a file, not a folder", "name a folder for the data")
    readme = directory / README_NAME
    write_text(readme, README)
    archives, ignored = _find_archives(directory)
    present = [name for archive in archives for name in _expected(archive) if (directory / name).exists()]
    # An archive whose categories are all there has done its work: no need to read its gigabytes again.
    pending = [archive for archive in archives if not set(_expected(archive)) <= set(present)]
    unverified = tuple(archive for archive in pending if archive.name not in checksums)
    if unverified and not accept_unverified:
        names = ", ".join(str(path) for path in unverified)
        raise DFRError(names, "no checksum known", "to unpack it unverified add --accept-unverified (accept_unverified=True)")
    # All are verified before the first is unpacked.
    for archive in pending:
        if archive not in unverified:
            _verify(archive, checksums[archive.name], progress)
    unpacked = tuple(name for archive in pending for name in _unpack(archive, directory, progress))
    verified = bool(unpacked) and not unverified
    return FetchReport(directory, readme, archives, verified, unverified, unpacked, tuple(dict.fromkeys(present)), ignored)


def _stem(path: Path) -> str:
    """``leather`` for ``leather.tar.xz``; empty for what is not an archive."""
    return next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), "")


def _find_archives(directory: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """MVTec AD's archives (the whole one, else the single categories) and other tar files."""
    try:
        found = sorted(path for path in directory.iterdir() if _stem(path) and not path.name.startswith(".") and path.is_file())
    except OSError as error:
        raise DFRError(directory, f"cannot be read ({error.strerror or error})", "check the folder's permissions") from error
    whole = sorted((path for path in found if _stem(path) == DATASET_NAME), key=lambda path: path.name != ARCHIVE_NAME)
    archives = whole[:1] or [path for path in found if _stem(path) in CATEGORIES]
    return tuple(archives), tuple(path for path in found if _stem(path) not in (*CATEGORIES, DATASET_NAME))


def _expected(archive: Path) -> tuple[str, ...]:
    """The categories that an archive should hold, by its name."""
    return CATEGORIES if _stem(archive) == DATASET_NAME else (_stem(archive),)


def _bar(archive: Path, what: str, progress: bool) -> dict[str, Any]:
    """How a progress bar over an archive looks."""
    size = archive.stat().st_size
    return {"total": size, "desc": f"{what} {archive.name}", "unit": "B", "unit_scale": True, "unit_divisor": 1000, "disable": not progress}


def _verify(archive: Path, expected: str, progress: bool) -> None:
    try:
        with archive.open("rb") as file, tqdm.wrapattr(file, "read", **_bar(archive, "verify", progress)) as watched:
            found = sha256(watched)
    except OSError as error:
        raise DFRError(archive, f"cannot be read ({error.strerror or error})", "check the file's permissions") from error
    if found != expected.lower():
        size = archive.stat().st_size
        raise DFRError(archive, f"wrong checksum: SHA-256 {found} ({size} bytes), expected {expected}", "delete it and download it again")


def _member_path(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    """The member's path below the archive's root.

    The dataset is plain files and folders. Whatever else an archive can hold (links, devices, absolute paths, ways out
    of the folder) is refused, on every Python version alike: this is stricter than tarfile's own ``data`` filter,
    which Python 3.10 need not have.
    """
    path = PurePosixPath(member.name)
    windows = PureWindowsPath(member.name)
    unsafe = path.is_absolute() or windows.drive or windows.root or ".." in path.parts or ".." in windows.parts or "\0" in member.name
    if unsafe or not (member.isfile() or member.isdir()):
        kind = "a path outside the folder" if unsafe else "a link or a device"
        raise DFRError(archive, f"holds {kind} ({member.name!r}), so nothing was unpacked", f"download it again from {PAGE}")
    return path


def _category_of(path: PurePosixPath, archive: Path) -> str | None:
    """The category a member belongs to: the folder above train, test or ground_truth."""
    above = (_stem(archive), *path.parts)
    return next((above[k] for k, part in enumerate(path.parts) if part in ("train", "test", "ground_truth")), None)


def _unpack(archive: Path, directory: Path, progress: bool) -> list[str]:
    """Unpack into a scratch folder beside the goal, check, then rename each category; returns the new ones."""
    _remove_stale(directory)
    again = f"nothing was unpacked; download it again from {PAGE}"
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=directory, ignore_cleanup_errors=True) as scratch:
            root = Path(scratch) / _stem(archive)  # the scratch folder itself is private, this one gets the usual permissions
            root.mkdir()
            skipped = _extract(archive, root, directory, progress)
            folders = _category_folders(root)
            if not folders and not skipped:
                raise DFRError(archive, "holds no category with a folder train/good", again)
            for folder in folders.values():
                _check_category(archive, folder)
            _move(root, folders, directory)
            return list(folders)
    except DFRError:
        raise
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise DFRError(archive, f"damaged or cut short ({reason})", again) from error
    except OSError as error:
        if error.errno is None:  # from a decompressor, not from the system
            raise DFRError(archive, f"damaged ({error})", again) from error
        if error.errno in NO_SPACE:
            raise _no_space(archive, directory) from error
        raise DFRError(archive, f"cannot be unpacked into {directory} ({error.strerror})", "check permissions and free space") from error


def _move(root: Path, folders: dict[str, Path], directory: Path) -> None:
    """Rename what was unpacked to where it belongs; each category appears as a whole."""
    for paper in PAPERS:
        for source in (root / paper, root / DATASET_NAME / paper):
            if root not in folders.values() and source.is_file() and not (directory / paper).exists():
                os.replace(source, directory / paper)
    for category, folder in folders.items():
        os.replace(folder, directory / category)


def _opened(raw: BinaryIO) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=raw, mode="r:*")
    except tarfile.ReadError as error:  # its own words are a line for every format that tarfile tried
        raise tarfile.ReadError("it does not read as a tar archive; perhaps a web page was saved instead") from error


def _extract(archive: Path, root: Path, directory: Path, progress: bool) -> bool:
    """Write the archive's files below ``root``; True if some belong to categories that ``directory`` has already."""
    skipped = False
    room = shutil.disk_usage(directory).free
    size = archive.stat().st_size
    if room < size:  # PNG does not compress further, so the archive's size is a lower bound
        raise _no_space(archive, directory)
    with archive.open("rb") as raw, tqdm(**_bar(archive, "unpack", progress)) as bar, _opened(raw) as tar:
        for member in tar:
            bar.update(raw.tell() - bar.n)
            path = _member_path(member, archive)
            if member.isdir() or path.name.startswith("._") or "__MACOSX" in path.parts:
                continue
            category = _category_of(path, archive)
            if category is not None and (directory / category).exists():
                skipped = True
                continue
            room -= member.size
            if room < 0:
                raise _no_space(archive, directory)
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
            if target.stat().st_size != member.size:
                raise tarfile.ReadError(f"unexpected end of {member.name}")
        bar.update(size - bar.n)
    if archive.name.endswith(".tar"):
        _check_end(archive)
    return skipped


def _no_space(archive: Path, directory: Path) -> DFRError:
    return DFRError(directory, f"no space left to unpack {archive.name} ({archive.stat().st_size} bytes)", "free some and run this again")


def _check_end(archive: Path) -> None:
    """A tar file ends with zeros; one that was cut between two members reads as whole otherwise."""
    with archive.open("rb") as raw:
        raw.seek(-min(1024, archive.stat().st_size), os.SEEK_END)
        if any(raw.read()):
            raise tarfile.ReadError("no end mark")


def _category_folders(root: Path) -> dict[str, Path]:
    """Folders with ``train/good``: the archive's root itself, or one or two folders below it."""
    if (root / "train" / GOOD).is_dir():
        return {root.name: root}
    folders = sorted(good.parent.parent for depth in ("*", "*/*") for good in root.glob(f"{depth}/train/{GOOD}") if good.is_dir())
    return {folder.name: folder for folder in folders}


def _check_category(archive: Path, folder: Path) -> None:
    try:
        if missing := load_category(folder).without_mask:
            raise DFRError(missing[0].path, "has no mask", "the archive is to hold ground_truth")
    except DFRError as error:
        # The scratch folder is gone by the time this is read: paths are told from the category on.
        reason = error.line(lambda piece: str(piece.relative_to(folder.parent)) if isinstance(piece, Path) else str(piece))
        raise DFRError(archive, f"not a whole category ({reason})", f"nothing was unpacked; download it again from {PAGE}") from error


def _remove_stale(directory: Path) -> None:
    """Remove scratch folders of runs that were killed a day ago or more."""
    for old in directory.glob(f"{SCRATCH}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)

"""MVTec AD's note, checksums and archives: only small archives made here, nothing is downloaded."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import tarfile
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfr_core.data import fetch, load_category
from dfr_core.data.fetch import ARCHIVE_NAME, README_NAME, fetch_data
from dfr_core.errors import DFRError


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def category_files(name: str = "leather", prefix: str = "") -> dict[str, bytes]:
    """A small category as {path in the archive: bytes}."""
    mask = io.BytesIO()
    Image.new("L", (8, 8), 255).save(mask, "PNG")
    files = {
        "train/good/000.png": png(1),
        "test/good/000.png": png(2),
        "test/cut/000.png": png(3),
        "ground_truth/cut/000_mask.png": mask.getvalue(),
        "readme.txt": b"read me",
    }
    return {f"{prefix}{name}/{path}" if name else f"{prefix}{path}": content for path, content in files.items()}


def pack(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "w:xz" if path.name.endswith("xz") else "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return path


def sums(path: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def fetch_quietly(directory: Path, **options) -> fetch.FetchReport:
    return fetch_data(directory, progress=False, **options)


def visible(directory: Path) -> set[str]:
    """Everything in the folder, hidden or not, but for the note and archives."""
    return {path.name for path in directory.iterdir() if path.name != README_NAME and ".t" not in path.name.removesuffix(".txt")}


def test_the_note_says_everything(tmp_path):
    report = fetch_quietly(tmp_path / "new" / "folder")
    text = report.readme.read_text()
    for fact in (
        "mvtec.com/company/research/datasets/mvtec-ad",
        "CC BY-NC-SA 4.0",
        "Bergmann",
        "CVPR",
        "2019",
        ARCHIVE_NAME,
        fetch.SHA256[ARCHIVE_NAME],
        "5264982680",
        "--accept-unverified",
    ):
        assert fact in text
    assert report.archives == ()
    assert not report.verified
    assert "no archive here yet" in str(report)


def test_the_checksum_is_one():
    assert re.fullmatch("[0-9a-f]{64}", fetch.SHA256[ARCHIVE_NAME])


@pytest.mark.parametrize("prefix", ["", "./", "mvtec_anomaly_detection/"])
def test_the_whole_archive(tmp_path, prefix):
    files = category_files("leather", prefix) | category_files("metal_nut", prefix) | {f"{prefix}license.txt": b"CC BY-NC-SA"}
    archive = pack(tmp_path / ARCHIVE_NAME, files)
    report = fetch_quietly(tmp_path, checksums=sums(archive))
    assert report.archives == (archive,)
    assert report.verified
    assert report.unpacked == ("leather", "metal_nut")
    assert visible(tmp_path) == {"leather", "metal_nut", "license.txt"}
    assert load_category(tmp_path, "leather").load_test(8)[1].any()
    assert (tmp_path / "leather" / "readme.txt").read_bytes() == b"read me"
    assert "checksum verified" in str(report)
    assert "unpacked: leather, metal_nut" in str(report)


@pytest.mark.parametrize("suffix", [".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar"])
@pytest.mark.parametrize("inside", ["leather", ""])
def test_single_categories(tmp_path, suffix, inside):
    archive = pack(tmp_path / f"leather{suffix}", category_files(inside))
    with pytest.raises(DFRError, match=f"leather{re.escape(suffix)}: no checksum known.*--accept-unverified"):
        fetch_quietly(tmp_path)
    assert visible(tmp_path) == set()
    report = fetch_quietly(tmp_path, accept_unverified=True)
    assert report.unverified == (archive,)
    assert not report.verified
    assert report.unpacked == ("leather",)
    assert "no checksum known, unpacked unverified" in str(report)
    assert load_category(tmp_path, "leather").defects == ("cut",)
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "leather").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_known_single_category_needs_no_flag(tmp_path):
    archive = pack(tmp_path / "leather.tar.xz", category_files())
    known = {name: value.upper() for name, value in sums(archive).items()}
    assert fetch_quietly(tmp_path, checksums=known).verified


def test_several_categories_and_a_second_run(tmp_path):
    pack(tmp_path / "leather.tar.xz", category_files())
    pack(tmp_path / "other.tar.gz", {"x": b""})
    first = fetch_quietly(tmp_path, accept_unverified=True)
    assert first.unpacked == ("leather",)
    assert first.ignored == (tmp_path / "other.tar.gz",)
    marker = tmp_path / "leather" / "mine.txt"
    marker.write_text("kept")
    pack(tmp_path / "tile.tar.gz", category_files("tile"))
    second = fetch_quietly(tmp_path, accept_unverified=True)
    assert (second.unpacked, second.present) == (("tile",), ("leather",))
    third = fetch_quietly(tmp_path)  # nothing left to do, so nothing left to accept
    assert (third.unpacked, third.present, third.verified) == ((), ("leather", "tile"), False)
    assert "left alone" in str(third)
    assert marker.read_text() == "kept"


def test_the_whole_archive_adds_what_is_missing(tmp_path):
    archive = pack(tmp_path / ARCHIVE_NAME, category_files("leather") | category_files("tile"))
    (tmp_path / "leather").mkdir()
    report = fetch_quietly(tmp_path, checksums=sums(archive))
    assert (report.unpacked, report.present) == (("tile",), ("leather",))
    assert not any((tmp_path / "leather").iterdir())


def test_clutter_of_other_systems_is_not_unpacked(tmp_path):
    files = category_files() | {"leather/train/good/._000.png": b"x", "__MACOSX/leather/a": b"x"}
    archive = pack(tmp_path / "leather.tar.gz", files)
    fetch_quietly(tmp_path, checksums=sums(archive))
    assert not list(tmp_path.rglob("._*"))
    assert not list(tmp_path.rglob("__MACOSX"))


def test_scratch_of_a_killed_run_is_removed(tmp_path):
    old, young = tmp_path / f"{fetch.SCRATCH}old", tmp_path / f"{fetch.SCRATCH}young"
    for folder in (old, young):
        (folder / "leather").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * fetch.STALE_SECONDS,) * 2)
    pack(tmp_path / "leather.tar.xz", category_files())
    fetch_quietly(tmp_path, accept_unverified=True)
    assert not old.exists()
    assert young.exists()  # perhaps another run's


def test_progress_bars(tmp_path, capsys):
    archive = pack(tmp_path / "leather.tar.xz", category_files())
    fetch_data(tmp_path, checksums=sums(archive))
    shown = capsys.readouterr().err
    assert "verify leather.tar.xz" in shown
    assert "unpack leather.tar.xz" in shown


# ---------------------------------------------------------------------------------------------- bad input


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    return member


def without(part: str) -> dict[str, bytes]:
    return {name: content for name, content in category_files().items() if part not in name}


def cut(path: Path, keep: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])


def cut_between_members(path: Path) -> None:
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:end])


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 8] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 8])
    path.write_bytes(bytes(whole))


BAD_ARCHIVES = {
    "empty file": ("leather.tar.xz", lambda p: p.write_bytes(b""), "damaged"),
    "a web page": ("leather.tar.xz", lambda p: p.write_text("<html>404</html>"), "damaged or cut short .*a web page was saved"),
    "cut xz": ("leather.tar.xz", lambda p: (pack(p, category_files()), cut(p, 0.5)), "damaged or cut short"),
    "cut gz": ("leather.tar.gz", lambda p: (pack(p, category_files()), cut(p, 0.5)), "damaged or cut short"),
    "cut tar": ("leather.tar", lambda p: (pack(p, category_files()), cut(p, 0.3)), "damaged or cut short"),
    "cut tar between members": ("leather.tar", lambda p: (pack(p, category_files()), cut_between_members(p)), "no end mark"),
    "wrong bytes in xz": ("leather.tar.xz", lambda p: (pack(p, category_files()), flip(p)), "damaged"),
    "wrong bytes in gz": ("leather.tar.gz", lambda p: (pack(p, category_files()), flip(p)), "damaged|not a whole category"),
    "no category": ("leather.tar.xz", lambda p: pack(p, {"a/b.txt": b"x"}), "holds no category"),
    "no members": ("leather.tar.xz", lambda p: pack(p, {}), "holds no category"),
    "no training images": ("leather.tar.xz", lambda p: pack(p, without("000") | {"leather/train/good/a.txt": b""}), "not a whole category"),
    "no masks": ("leather.tar.xz", lambda p: pack(p, without("ground_truth")), "not a whole category .*has no mask"),
    "absolute path": ("leather.tar", lambda p: pack(p, category_files() | {"/tmp/dfr-evil": b"x"}), "'/tmp/dfr-evil'"),
    "way out": ("leather.tar", lambda p: pack(p, category_files() | {"../evil": b"x"}), "'../evil'"),
    "way out inside": ("leather.tar", lambda p: pack(p, category_files() | {"leather/../../evil": b"x"}), "outside the folder"),
    "drive": ("leather.tar", lambda p: pack(p, category_files() | {"C:\\evil": b"x"}), "outside the folder"),
    "way out by backslash": ("leather.tar", lambda p: pack(p, category_files() | {"a\\..\\..\\evil": b"x"}), "outside the folder"),
    "symbolic link": ("leather.tar", lambda p: pack(p, category_files(), link("leather/evil", "/etc")), "a link or a device"),
    "hard link": ("leather.tar", lambda p: pack(p, category_files(), link("leather/b", "/etc/x", tarfile.LNKTYPE)), "a link or a device"),
    "device": ("leather.tar", lambda p: pack(p, category_files(), special("leather/evil", tarfile.CHRTYPE)), "a link or a device"),
    "pipe": ("leather.tar", lambda p: pack(p, category_files(), special("leather/evil", tarfile.FIFOTYPE)), "a link or a device"),
    "file where a folder is": ("leather.tar", lambda p: pack(p, category_files() | {"leather/readme.txt/a": b"x"}), "cannot be unpacked"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_bad_archive(tmp_path, kind):
    name, make, message = BAD_ARCHIVES[kind]
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder / name)
    with pytest.raises(DFRError, match=message) as caught:
        fetch_quietly(folder, accept_unverified=True)
    assert str(folder / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fetch.SCRATCH not in str(caught.value)
    assert visible(folder) == set()  # nothing half-unpacked is left
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_wrong_checksum_names_both(tmp_path):
    archive = pack(tmp_path / ARCHIVE_NAME, category_files())
    with pytest.raises(DFRError) as caught:
        fetch_quietly(tmp_path, accept_unverified=True)  # the flag is for unknown checksums, not for wrong ones
    message = str(caught.value)
    assert sums(archive)[ARCHIVE_NAME] in message
    assert fetch.SHA256[ARCHIVE_NAME] in message
    assert str(archive) in message
    assert visible(tmp_path) == set()


def test_nothing_is_unpacked_before_all_is_verified(tmp_path):
    good, bad = (pack(tmp_path / f"{name}.tar.xz", category_files(name)) for name in ("carpet", "leather"))
    with pytest.raises(DFRError, match="leather.tar.xz: wrong checksum"):
        fetch_quietly(tmp_path, checksums=sums(good) | {bad.name: "0" * 64})
    assert visible(tmp_path) == set()


def test_a_bad_category_stops_the_whole_archive(tmp_path):
    archive = pack(tmp_path / ARCHIVE_NAME, category_files("carpet") | without("ground_truth"))
    with pytest.raises(DFRError, match="leather/test/cut/000.png"):
        fetch_quietly(tmp_path, checksums=sums(archive))
    assert visible(tmp_path) == set()


def test_target_is_a_file(tmp_path):
    target = tmp_path / "data"
    target.write_text("x")
    with pytest.raises(DFRError, match="data: is a file"):
        fetch_quietly(target)
    with pytest.raises(DFRError, match="cannot be written"):
        fetch_quietly(target / "below")


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("free", ["too little for the archive", "enough for the archive"])
def test_no_space_foreseen(tmp_path, monkeypatch, free):
    archive = pack(tmp_path / "leather.tar.xz", category_files() | {"leather/big.txt": bytes(100_000)})
    room = archive.stat().st_size + (1000 if free == "enough for the archive" else -1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, room))
    with pytest.raises(DFRError, match="no space left to unpack leather.tar.xz") as caught:
        fetch_quietly(tmp_path, accept_unverified=True)
    assert str(tmp_path) in str(caught.value)
    assert visible(tmp_path) == set()


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "cannot be unpacked")])
def test_no_space_met(tmp_path, monkeypatch, number, message):
    pack(tmp_path / "leather.tar.xz", category_files())

    def fail(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(DFRError, match=message):
        fetch_quietly(tmp_path, accept_unverified=True)
    assert visible(tmp_path) == set()


def test_unreadable_archive(tmp_path, monkeypatch):
    archive = pack(tmp_path / "leather.tar.xz", category_files())
    known = sums(archive)
    real = Path.open

    def refuse(self, *args, **kwargs):
        if self == archive:
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    for options in ({"checksums": known}, {"accept_unverified": True}):
        with pytest.raises(DFRError, match="leather.tar.xz: .*Permission denied"):
            fetch_quietly(tmp_path, **options)

"""Files are written whole or not at all, and read without running anything from them."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from dfr_core.errors import DFRError
from dfr_core.files import load_tensors, replacing, replacing_all, save_tensors, sha256, write_text

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def test_text_is_written_with_missing_folders_and_accents(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "naïve ≤ 1\n")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "naïve ≤ 1\n"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    file = tmp_path / "kept.txt"
    file.write_text("old")
    with pytest.raises(KeyError), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old" and temporary.parent == file.parent and temporary.suffix == ".txt"
    assert file.read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others on Windows")
def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others on Windows")
def test_threads_that_write_leave_the_umask_alone(tmp_path):
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda k: write_text(tmp_path / f"{k}", "x"), range(400)))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_a_set_is_marked_by_its_last_file(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for words in ("old", "new"):
        with replacing_all(paths) as temporaries:
            for temporary in temporaries:
                temporary.write_text(words)
                assert [path.exists() for path in paths] == [words == "new"] * 3, "untouched until all are whole"
    assert [path.read_text() for path in paths] == ["new"] * 3 and len(list(tmp_path.iterdir())) == 3


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    targets = [tmp_path / "file" / "below.txt", tmp_path / "folder"]
    if not ROOT:
        (tmp_path / "locked").mkdir(mode=0o500)
        targets.append(tmp_path / "locked" / "a.txt")
    for target in targets:
        with pytest.raises(DFRError, match="cannot be written") as caught:
            write_text(target, "x")
        assert str(target) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "locked") == ["file", "folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_is_a_users_error(tmp_path):
    with pytest.raises(DFRError, match="cannot be written .*No space left"), replacing(tmp_path / "a.txt"), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_while_tensors_are_written(tmp_path, monkeypatch):
    opened = Path.open

    monkeypatch.setattr(Path, "open", lambda self, mode: opened(Path("/dev/full"), mode))
    with pytest.raises(DFRError, match="model.safetensors: cannot be written .*No space left"):
        save_tensors(tmp_path / "model.safetensors", {"a": torch.zeros(1)}, {})
    assert not list(tmp_path.iterdir())


def test_tensors_and_words_survive(tmp_path):
    transposed = torch.arange(6.0).reshape(2, 3).T
    tensors = {
        "a": transposed,
        "b": torch.tensor(3),
        "empty": torch.zeros(0),
        "grad": torch.ones(2, requires_grad=True),
        "u": torch.tensor([1], dtype=torch.uint8),
    }
    save_tensors(tmp_path / "a.safetensors", tensors, {"word": "ä"})
    found, about = load_tensors(tmp_path / "a.safetensors")
    assert about == {"word": "ä"} and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)


WRITER = """
import sys, torch
from dfr_core.files import save_tensors
words = {f"word {k}": "\u00e4" * k for k in range(20)}
kinds = (torch.float32, torch.float64, torch.uint8, torch.bfloat16, torch.bool)
tensors = {f"{k}": torch.arange(float(k)).to(kind) for k, kind in enumerate(kinds)}
for number in (1, 2):
    save_tensors(f"{sys.argv[1]}-{number}", tensors, words)
    words, tensors = dict(reversed(words.items())), dict(reversed(tensors.items()))
"""


def test_the_same_content_is_the_same_bytes_in_every_process(tmp_path):
    for name in "ab":
        subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / name)], check=True)
    assert len({sha256(file) for file in tmp_path.iterdir()}) == 1 and len(list(tmp_path.iterdir())) == 4


def test_another_library_reads_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    tensors = {"b": torch.arange(3.0), "a": torch.zeros(2, 5, dtype=torch.uint8), "c": torch.zeros(0)}
    save_tensors(tmp_path / "x", tensors, {})
    found = load_file(tmp_path / "x")
    assert found.keys() == tensors.keys() and all((found[name] == tensors[name].numpy()).all() for name in tensors)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, pickle.dumps([1, 2, 3])])
def test_what_is_not_a_whole_safetensors_file(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(DFRError, match="not a whole safetensors file") as caught:
        load_tensors(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_anywhere(tmp_path):
    file = tmp_path / "a.safetensors"
    save_tensors(file, {"a": torch.arange(100.0)}, {"word": "x"})
    whole = file.read_bytes()
    for length in range(0, len(whole), 31):
        file.write_bytes(whole[:length])
        with pytest.raises(DFRError, match="not a whole safetensors file"):
            load_tensors(file)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DFRError, match="nothing: no such file"):
        load_tensors(tmp_path / "nothing")
    with pytest.raises(DFRError, match="a folder, not a file"):
        load_tensors(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 20) + 1])
def test_sha256_is_that_of_all_the_bytes(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256(tmp_path / "f") == sha256(str(tmp_path / "f")) == sha256(io.BytesIO(content)) == expected

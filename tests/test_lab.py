"""What a record is called and what it depends on: whole identities, and the code that is really imported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dfr_core.data import Category, Sample
from dfr_core.editions import edition
from dfr_core.errors import DFRError
from dfr_core.figures.items import ITEMS
from dfr_core.lab import code
from dfr_core.lab.code import PACKAGE, closure, code_version, imports
from dfr_core.lab.laboratory import OF_A_METHOD, Laboratory
from dfr_core.lab.measures.thresholds import judged
from dfr_core.lab.trial import Needs, Protocol, Trial
from dfr_core.metrics import border_profile
from dfr_core.settings import Settings

KINDS = ("training", "images", "statistics", "network", "pipeline", "speed", "rival_speed")
#: Modules beside those of the kinds: a rival's training, and what both trainings say.
SHARED = ("rival", "thresholds")


# ------------------------------------------------------------------------------------------------ identity


def test_a_trial_is_the_whole_identity():
    protocol = Protocol.of(Settings(weights="untrained", width=0.125))
    assert (protocol.method, protocol.backbone, protocol.weights, protocol.width) == ("DFR", "vgg19", "untrained", 0.125)
    trial = protocol.trial("wood", 3, "1:12", "zeros")
    changes = {"method": "other", "backbone": "vgg16", "weights": "imagenet", "width": 1.0, "category": "tile", "seed": 4, "layers": "12"}
    others = {replace(trial, **{name: value}) for name, value in (changes | {"padding": "reflect"}).items()}
    assert len(others) == 8 and trial not in others
    assert Trial.read(vars(trial) | {"metrics": {}}) == trial and Protocol.read(vars(trial)) == protocol
    assert protocol.trial("wood", 3, "1:12", "zeros", "other") == replace(trial, method="other")


def test_a_record_that_does_not_say_what_it_is_of():
    with pytest.raises(DFRError, match="kind training: does not say its weights"):
        Trial.read({"kind": "training", "method": "DFR", "backbone": "vgg19"})


def test_needs_add_up():
    some = [Needs(frozenset({("12", "zeros")}), frozenset({"images"})), Needs(frozenset({("1:2", "zeros")}))]
    assert Needs.union(some) == Needs(frozenset({("12", "zeros"), ("1:2", "zeros")}), frozenset({"images"}))
    assert Needs.union([]) == Needs()


def test_only_methods_that_there_are(tmp_path):
    with pytest.raises(DFRError, match="method: 'XYZ' is not one of DFR"):
        Laboratory(edition("quick"), Settings(), tmp_path, tmp_path, method="XYZ")


# --------------------------------------------------------------------------------------------- code version


def version(folder: Path, *modules: str) -> str:
    return code_version.__wrapped__(*modules, package=folder)


def package(folder: Path, **files: str) -> Path:
    for name, source in files.items():
        file = (folder / "pack").joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return folder / "pack"


def test_code_version_sees_code_but_not_comments(tmp_path):
    base = version(package(tmp_path, train='def f():\n    """Doc."""\n    return 1\n'), "train")
    assert version(package(tmp_path, train='# why\ndef f():\n    """Other words."""\n\n    return 1\n'), "train") == base
    assert version(package(tmp_path, train='def f():\n    """Doc."""\n    return 2\n'), "train") != base


def test_code_version_is_the_same_in_every_python(tmp_path):
    """Newer versions of Python add empty fields to the syntax tree."""
    source = "def f(x: int = 1) -> str:\n    return f'{x!r:>3}'\n\n\nclass A:\n    pass\n"
    assert version(package(tmp_path, train=source), "train") == "253f6f68dd40"


def test_imports_are_found_however_they_are_written(tmp_path):
    source = """
from __future__ import annotations
import os, pack.a
from . import b
from .room import c, CONSTANT
from .room.d import name
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from . import never
def f():
    from pack.e import g
"""
    folder = package(tmp_path, m=source, a="", b="", room__c="from .. import f", room__d="", e="", f="", never="")
    (folder / "room" / "__init__.py").write_text("CONSTANT = 1")
    assert imports("m", folder) == {"a", "b", "room", "room.c", "room.d", "e"}
    assert closure("m", package=folder) == ("a", "b", "e", "f", "m", "room", "room.c", "room.d")


def test_a_module_that_is_newly_imported_counts(tmp_path):
    before = version(package(tmp_path, m="from . import a", a="x = 1", b="y = 1"), "m")
    assert version(package(tmp_path, b="y = 2"), "m") == before
    imported = version(package(tmp_path, a="from . import b\nx = 1"), "m")
    assert imported != before and version(package(tmp_path, b="y = 3"), "m") != imported


@pytest.fixture
def copied(tmp_path) -> Path:
    """The package's code, to be changed."""
    return Path(shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")))


def versions(folder: Path, monkeypatch) -> dict[str, str]:
    """Code version of every kind of record, with the code of a folder."""
    lab = Laboratory(edition("quick"), Settings(), folder, folder)
    monkeypatch.setattr("dfr_core.lab.laboratory.code_version", lambda *modules: version(folder, *modules))
    return {kind: lab.code(kind) for kind in KINDS}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("figures/items.py", "_ALL = (\n", '_ALL = (\n    Item("fig0", "Figure 0", "New.", "maps:fig0", _needs((), "images")),\n'),
        ("figures/tables.py", "Table IV: layer sets", "Table IV: sets of layers"),
        ("lab/deviations.py", "DEVIATIONS: tuple[tuple[str, str, str, str], ...] = (", 'DEVIATIONS = (("a", "b", "c", "d"),'),
        ("lab/reproduce.py", 'desc="measuring"', 'desc="busy"'),
        ("lab/plan.py", 'SHOWN = "hazelnut"', 'SHOWN = "wood"'),
        ("methods/__init__.py", "METHODS: dict[str, str] = {", 'METHODS: dict[str, str] = {"New": "dfr_core.methods.new:New", '),
    ],
)
def test_what_is_drawn_said_or_planned_makes_no_record_stale(copied, monkeypatch, file, old, new):
    before = versions(copied, monkeypatch)
    text = (copied / file).read_text()
    assert old in text
    (copied / file).write_text(text.replace(old, new))
    (copied / "methods" / "new.py").write_text("class New:\n    pass\n")
    assert versions(copied, monkeypatch) == before


def test_a_change_of_the_metrics_makes_all_trainings_stale(copied, monkeypatch):
    before = versions(copied, monkeypatch)
    with (copied / "metrics.py").open("a") as file:
        file.write("\nLIMIT = 0.31\n")
    after = versions(copied, monkeypatch)
    assert after["training"] != before["training"]
    assert {kind for kind in KINDS if after[kind] == before[kind]} == {"images", "statistics", "network"}


def test_a_change_of_the_method_makes_what_it_measured_stale(copied, monkeypatch):
    before = versions(copied, monkeypatch)
    with (copied / "methods" / "dfr.py").open("a") as file:
        file.write("\nMORE = 1\n")
    after = versions(copied, monkeypatch)
    assert {kind for kind in KINDS if after[kind] != before[kind]} == set(OF_A_METHOD)


def test_measurements_know_neither_plans_nor_words():
    for kind in KINDS + SHARED:
        found = closure(f"lab.measures.{kind}")
        assert {name for name in found if name.startswith("lab.")} <= {f"lab.measures.{k}" for k in KINDS + SHARED}
        assert not [name for name in found if name.startswith(("figures", "command", "widgets", "bench", "course"))]
    assert len(code_version("lab.measures.training")) == 12
    assert {file.stem for file in (Path(code.__file__).parent / "measures").glob("[!_]*.py")} == set(KINDS + SHARED)


def test_every_kind_that_an_item_needs_is_measured():
    assert {kind for item in ITEMS.values() for kind in item.needs.kinds} <= set(KINDS)


# ------------------------------------------------------------------------------------------- border profile


def test_border_profile_finds_a_border():
    maps = np.ones((2, 16, 16), np.float32)
    maps[:, 0] = maps[:, -1] = maps[:, :, 0] = maps[:, :, -1] = 3
    np.testing.assert_allclose(border_profile(maps), [3] + [1] * 7)
    np.testing.assert_allclose(border_profile(maps, step=8), [1 + 2 * 60 / 256])


def test_what_the_thresholds_find_is_counted():
    class Fixed:
        settings = Settings()

        def threshold(self, fpr: float) -> float:
            return {0.0: 2.0, 0.005: 1.0}[fpr]

    samples = [Sample(Path("x"), None, defect) for defect in ("good", "good", "cut", "cut", "cut")]
    maps, masks = torch.zeros(5, 4, 4), torch.zeros(5, 4, 4, dtype=torch.bool)
    maps[0, 0, 0] = 1.5
    masks[2:, 1, 1] = True
    maps[2, 1, 1], maps[3, 1, 1], maps[4, 2, 2] = 3.0, 1.5, 9.0  # found, found at 0.005 only, only beside the defect
    found = judged(Fixed(), maps, masks, Category("x", (), tuple(samples)), 7)
    assert found["thresholds"] == {"0": 2.0, "0.005": 1.0} and found["touched"] == {"0": [1, 3], "0.005": [2, 3]}
    assert found["counts"] == {"images": 5, "anomalous_images": 3, "anomalous_regions": 3, "train_images": 7}
    assert found["normal_fpr"] == pytest.approx({"0": 0.0, "0.005": 1 / 32})

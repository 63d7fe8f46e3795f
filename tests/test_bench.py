"""`dfr bench`: it runs, compares equal things, and says honestly what it found. Nothing here is timed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

from dfr_core import DFR, bench
from dfr_core.backbones.architecture import architecture
from dfr_core.backbones.vgg import VGG
from dfr_core.bench import accuracy, cpu, folder, growth, slim
from dfr_core.bench.cpu import Row, normal_images
from dfr_core.bench.tools import PeakMemory, alternate
from dfr_core.bench.variants import Variants, peak_memory
from dfr_core.command.bench import add_arguments
from dfr_core.editions import edition
from dfr_core.errors import DFRError
from dfr_core.methods.cae import CAE
from dfr_core.methods.export import export
from dfr_core.methods.flops import cae_flops


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("layers", ["1:6", "1:12", "12"])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_variants_compute_the_same(layers, batch):
    v = Variants(layers, batch, 64, c_d=6, width=0.05)
    dense = v.run("dense_features")()
    torch.testing.assert_close(dense, v.run("literal_features")().permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(v.run("compact_features")().dense(), dense)
    torch.testing.assert_close(v.run("score")(), v.run("literal_score")(), rtol=1e-5, atol=1e-7)
    assert v.run("projected")().shape == (batch, 64, 64)


def test_flops_and_bytes_are_those_of_the_layers():
    vgg19 = architecture("vgg19")
    assert vgg19.flops("1:12") == pytest.approx(46e9, rel=0.02)  # the figure of the literature for 256 x 256
    network = VGG(vgg19, 0.1, last=5)
    convolutions = [m for m in network.stack if isinstance(m, torch.nn.Conv2d)]
    sides = (32, 32, 16, 16, 8)
    by_hand = sum(2 * c.weight.numel() * side**2 for c, side in zip(convolutions, sides, strict=True))
    assert vgg19.flops("1:5", 32, 0.1) == by_hand
    maps = sum(2 * c * side**2 for c, side in zip(vgg19.channels(0.1), sides, strict=False))
    assert vgg19.bytes_moved("5", 32, 0.1) == 3 * 32**2 + 4 * (maps + sum(c.weight.numel() for c in convolutions))
    assert cae_flops(30, 4, 10) == 2 * 10 * sum(w.numel() for w, _ in CAE(30, 4).linear_layers())


def test_variants_are_run_in_turn():
    order: list[str] = []
    found = alternate({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab") and set(found) == {"a", "b"}


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark of memory is read from Linux's /proc")
def test_peak_memory_counts_what_was_freed_again():
    with PeakMemory() as peak:
        torch.ones(16 * 2**20)  # 64 MiB, gone at once
    assert 60 <= peak.mib <= 80


def test_the_extension_s_goal_is_for_the_network_that_its_accuracy_is_known_of():
    rows = cpu._projected(quick=True)
    assert {row.name: row.goal for row in rows} == {"score: of the backbone's time": None, "projected: of the backbone's time": 1.35}
    assert all(row.value > 0 and row.case == "VGG16, layers 1:10, batch 1" for row in rows)


def test_the_table_shows_goals_and_what_missed_them():
    rows = [
        Row("score", "a", "speed", 3.0, "x", 3.2, True),
        Row("score", "a", "memory", 0.2, "x", 0.35),
        Row("score", "a", "time", 1.5, "s"),
    ]
    dictionaries = [
        {
            "part": r.part,
            "case": r.case,
            "figure": r.name,
            "unit": r.unit,
            "goal": r.goal,
            "least": r.least,
            "value": r.value,
            "runs": [r.value],
        }
        for r in rows
    ]
    about = {"date": "2026-01-01T00:00:00", "processor": "P", "cores": 2, "threads": 2, "torch": "2", "load": [0.1, None], "quick": False}
    text = bench.table(about, dictionaries)
    assert "| a | speed | 3 | ≥ 3.2 | **missed** |" in text and "| a | memory | 0.2 | ≤ 0.35 | reached |" in text
    assert "| a | time | 1.5 s |  |  |" in text
    assert "missed" not in bench.table({**about, "quick": True}, dictionaries), "tiny sizes are no verdict"


def test_a_part_is_measured_and_written(tmp_path, capsys):
    assert bench.main(arguments("--quick", "--only", "metrics", "--runs", "2", "--out", str(tmp_path / "b"), "--device", "cpu")) == 0
    written = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert all(len(row["runs"]) == 2 for row in written["rows"]) and len(written["about"]["load"]) == 3
    assert (tmp_path / "b" / "metrics.md").read_text() in capsys.readouterr().out


def test_growth_is_drawn_with_its_floor_and_the_slim_default_beside_the_paper_s_network(tmp_path, monkeypatch):
    points = {"c_d": [{"c_d": 4}, {"c_d": 8}], "width": [{"width": 1 / 16, "c_d": 4}, {"width": 1 / 8, "c_d": 8}]}
    monkeypatch.setattr(growth, "QUICK", {name: (name, some) for name, some in points.items()})
    numbers = growth.run(tmp_path, quick=True)
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"
    assert [row["at"] for row in numbers["panels"]["c_d"]] == [4, 8]
    for row in numbers["panels"]["c_d"]:
        assert set(row) == {"at", "floor", *growth.TIME} and all(value > 0 for value in row.values())
    assert ["slim_score" in row for row in numbers["panels"]["width"]] == [False, True], "the slim default has one width"


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark of memory is read from Linux's /proc")
def test_memory_is_that_of_the_variant_asked_for():
    small, large = (peak_memory("projected", layers="1:4", side=side, width=0.1, padding="reflect", c_d=4) for side in (64, 256))
    assert small < large


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--runs", "0"), "runs: 0"), (("--only", "cuda", "--device", "cpu"), "needs a GPU"), (("--device", "abacus"), "device: 'abacus'")],
)
def test_mistakes_are_told(words, message, tmp_path):
    with pytest.raises(DFRError, match=message):
        bench.main(arguments("--out", str(tmp_path / "b"), *words))
    assert not (tmp_path / "b").exists()


def test_accuracy_compares_every_variant_on_the_same_images(tmp_path):
    tiny = replace(edition("quick").settings, image_size=64, steps=2, pca_samples=200, learning_rate=1e-4)
    category = edition("quick").category("leather")
    found = accuracy.compare(category, tiny, torch.device("cpu"))
    assert set(found) == set(accuracy.ALL)
    assert all(0 <= metrics[name] <= 1 for metrics in found.values() for name in accuracy.METRICS)
    rows = [{"category": "leather", "synthetic": True, "seed": seed, **found} for seed in (0, 1)]
    text = accuracy.table(rows, edition("quick").banner())
    assert "| mean, synthetic | all |" in text and text.count("| synthetic leather |") == 2


def test_the_slim_part_has_the_peer_and_the_exported_model_beside_it():
    rows = slim.slim(quick=True)
    found = {row.name.rpartition(": ")[0] for row in rows}
    assert {"DFR, whole", "its bare network", "bare ResNet-18 to layer 3"} <= found
    assert all(row.value > 0 for row in rows)
    assert slim.resnet18_to_layer3()(torch.zeros(1, 3, 64, 64)).shape == (1, 256, 4, 4)


def test_a_candidate_whose_process_fails_is_named(tmp_path):
    with pytest.raises(DFRError, match="measuring DFR, whole failed: .*no such file"):
        slim._in_a_process(slim.WHOLE, str(tmp_path), 1)


def test_the_folder_part_runs_the_command_on_photographs(tmp_path):
    rows = folder.folder(quick=True)
    assert [row.goal for row in rows if row.unit == "x"] == [folder.GOAL] * 4 and all(row.value > 0 for row in rows)
    paths = folder.photographs(tmp_path / "p", 2, 64)
    assert [Image.open(path).size for path in paths] == [(64, 48)] * 2
    with pytest.raises(DFRError, match="`dfr score` failed: .*no such file"):
        folder.score(tmp_path / "none.safetensors", paths)


def test_candidates_of_the_slim_part_map_the_same_image_alike(tmp_path):
    detector = DFR(replace(edition("quick").settings, steps=2, layers="1:4"), device="cpu", progress=False).fit(normal_images(2))
    detector.save(tmp_path / slim.MODEL)
    expected = detector.anomaly_tensor(normal_images(1))
    torch.testing.assert_close(slim.CANDIDATES[slim.WHOLE](tmp_path)(), expected)
    assert [phi.shape[1] for _, phi in slim.network(tmp_path)()] == list(architecture("vgg19").channels(0.125)[:4])
    pytest.importorskip("onnxscript")
    export(detector, tmp_path / slim.EXPORTED, {})
    assert torch.allclose(torch.from_numpy(slim.exported(tmp_path)()[0]), expected, rtol=0, atol=1e-4 * float(expected.max()))

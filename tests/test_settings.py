"""Settings: layer sets, the paper's and the public code's choices, and what cannot be."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfr_core import editions, settings
from dfr_core.errors import DFRError
from dfr_core.lab.deviations import DEVIATIONS
from dfr_core.settings import Settings, paper, released


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1:12", tuple(range(1, 13))), ("12", (12,)), ("9:12", (9, 10, 11, 12)), ("1,5,12", (1, 5, 12)),
        (" 3 , 1:2,2 ", (1, 2, 3)), ("16,1", (1, 16)), ("4:4", (4,)),
    ],
)  # fmt: skip
def test_layer_sets(text, numbers):
    assert Settings(layers=text).layer_numbers == numbers


@given(st.sets(st.integers(1, 16), min_size=1))
def test_any_list_of_layers(numbers):
    assert Settings(layers=",".join(map(str, numbers))).layer_numbers == tuple(sorted(numbers))


@pytest.mark.parametrize("text", ["", "0", "17", "0:3", "1:17", "12:1", "a", "1-12", "1:", ":3", "1,,2", "1.5", "1:2:3", "-1", "None"])
def test_what_is_no_layer_set(text):
    with pytest.raises(DFRError, match="^layers: ") as caught:
        Settings(layers=text)
    assert "\n" not in str(caught.value)


def test_defaults_are_the_papers():
    """IV-A3, IV-A4 and Appendix B."""
    s = paper()
    assert s == Settings()
    assert (s.image_size, s.backbone, s.weights, s.width, s.padding, s.layers) == (256, "vgg19", "imagenet", 1.0, "zeros", "1:12")
    assert (s.interpolation, s.kernel, s.stride, s.keep_padding) == ("nearest", 4, 4, False)
    assert (s.latent_dim, s.variance, s.hidden, s.batch_norm) == (None, 0.9, "table-viii", False)
    assert (s.loss, s.score, s.map_interpolation) == ("l2", "l2", "bilinear")
    assert (s.learning_rate, s.schedule, s.batch_size, s.positions, s.epochs, s.steps) == (1e-4, "constant", 4, None, 700, None)
    assert (s.projection, s.precision, s.initialisation) == (None, "fp32", "default")
    assert paper(layers="12").layers == "12"


def test_every_deviation_of_the_public_code_is_one_setting():
    ours, theirs = asdict(paper()), asdict(released())
    assert sorted(name for name, *_ in DEVIATIONS) == sorted(name for name in ours if ours[name] != theirs[name])
    assert released(epochs=3, seed=2) == replace(released(), epochs=3, seed=2)
    assert all(len(row) == 4 and all(row) for row in DEVIATIONS)


def test_settings_survive_json():
    s = released(layers="1,5", seed=7, projection=32)
    assert Settings.from_dict(json.loads(s.to_json())) == s
    assert "\n" not in s.to_json()


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 3


BAD = [
    ("image_size", 0), ("image_size", 1.5), ("image_size", "256"), ("image_size", True), ("image_size", None),
    ("backbone", "vgg"), ("backbone", "VGG19"), ("backbone", None), ("backbone", ["vgg19"]),
    ("weights", ""), ("weights", None), ("weights", 3),
    ("width", 0), ("width", 1.1), ("width", -1), ("width", float("nan")), ("width", "1"), ("width", None), ("width", True),
    ("padding", "same"), ("padding", None), ("padding", []), ("layers", "1:17"), ("layers", ""), ("layers", None),
    ("interpolation", "bicubic"), ("kernel", 0), ("kernel", 257), ("stride", 0), ("stride", -4),
    ("keep_padding", True), ("keep_padding", "no"), ("batch_norm", "no"), ("batch_norm", 1), ("batch_norm", None),
    ("latent_dim", 0), ("latent_dim", 2.0), ("variance", 0), ("variance", 1.1), ("variance", float("nan")), ("variance", "0.9"),
    ("pca_samples", 0), ("pca_images", 0), ("hidden", "wide"), ("initialisation", "zero"), ("loss", "l1"), ("score", "l1"),
    ("map_interpolation", "nearest"),
    ("learning_rate", 0), ("learning_rate", -1e-4), ("learning_rate", float("inf")), ("learning_rate", float("nan")),
    ("learning_rate", "x"),
    ("schedule", "cosine"), ("batch_size", 0), ("positions", 0), ("epochs", 0), ("steps", 0), ("steps", 1.0), ("solve_samples", 0),
    ("projection", 0), ("precision", "fp16"), ("seed", -1), ("seed", 0.5), ("seed", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_impossible_values_are_named(name, value):
    with pytest.raises(DFRError, match=f"^{name}: ") as caught:
        Settings(**{name: value})
    assert "\n" not in str(caught.value)


def test_every_setting_refuses_something():
    assert {name for name, _ in BAD} == {field.name for field in fields(Settings)}


def test_unknown_settings_are_told_with_the_known_ones():
    with pytest.raises(DFRError, match="^sterps: no such setting; known are .*steps"):
        Settings.from_dict({"sterps": 3})


# ---- editions ----------------------------------------------------------------------------------------


def test_three_editions():
    assert list(editions.EDITIONS) == ["quick", "embedded", "paper"]
    assert editions.edition("paper").settings == Settings()
    assert not editions.edition("paper").synthetic and editions.edition("quick").synthetic
    assert editions.edition("quick").settings.steps < editions.edition("embedded").settings.steps
    for name, found in editions.EDITIONS.items():
        banner = found.banner()
        assert banner.startswith(f"{name} edition") and "layers 1:12" in banner and "\n" not in banner
    assert "700 epochs" in editions.edition("paper").banner()


def test_the_environment_names_the_edition(monkeypatch):
    monkeypatch.delenv("DFR_EDITION", raising=False)
    assert editions.current_edition().name == "embedded"
    monkeypatch.setenv("DFR_EDITION", "quick")
    assert editions.current_edition().name == "quick"
    monkeypatch.setenv("DFR_EDITION", "huge")
    with pytest.raises(DFRError, match="DFR_EDITION: 'huge' is not one of quick, embedded, paper"):
        editions.current_edition()
    with pytest.raises(DFRError, match="'huge' is not one of"):
        editions.edition("huge")


def test_paper_edition_asks_for_its_data(monkeypatch, tmp_path):
    monkeypatch.delenv("DFR_DATA", raising=False)
    with pytest.raises(DFRError, match="DFR_DATA: .* MVTec AD"):
        editions.edition("paper").data_root()
    monkeypatch.setenv("DFR_DATA", str(tmp_path))
    assert editions.edition("paper").data_root() == tmp_path


def test_quick_edition_makes_its_data_once(monkeypatch, tmp_path):
    monkeypatch.setenv("DFR_CACHE", str(tmp_path))
    category = editions.edition("quick").category("leather")
    assert len(category.train) == editions.edition("quick").n_train
    assert {sample.defect for sample in category.test} > {"good"}
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    editions.edition("quick").category("leather")
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DFR_CACHE", str(tmp_path / "a"))
    assert editions.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("DFR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert editions.cache_folder() == tmp_path / "dfr-lab"


def test_names_of_the_package_load_lazily():
    import dfr_core

    assert dfr_core.Settings is settings.Settings
    assert {"DFR", "Settings", "load_category"} <= set(dir(dfr_core))
    for name in dfr_core.__all__:
        assert getattr(dfr_core, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dfr_core.nothing

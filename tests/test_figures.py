"""Figures, tables and claims are pure functions of records; the paper's numbers are consistent with one another."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from dfr_core import data
from dfr_core import paper_numbers as paper
from dfr_core.errors import DFRError
from dfr_core.figures import claims, drawing, gallery, measured, tables, verdicts
from dfr_core.figures.items import ITEMS
from dfr_core.lab.trial import Protocol
from dfr_core.records import Record, Records

ZEROS = dict.fromkeys((*paper.GROWING, *paper.REFINING), "zeros")
SETTINGS = [(layers, "zeros") for layers in ZEROS] + [(layers, "reflect") for layers in paper.REFINING]
COMMON = {
    "edition": "test",
    "data": "synthetic data",
    "network": "untrained VGG19, 1/8 width",
    "method": "DFR",
    "backbone": "vgg19",
    "weights": "untrained",
    "width": 0.125,
    "synthetic": True,
    "mvtec": False,
    "trained": False,
    "created": "2026-01-02",
    "device": "a device",
}
SHOWN = ("leather", "wood", "bottle")


def quality(category: str, layers: str, padding: str, seed: int) -> float:
    """More and larger scales are better, reflection is better, categories and seeds differ a little."""
    scales = 0.002 * len(range(*_ends(layers))) + 0.01 * int(layers.split(":")[-1])
    return 0.7 + scales + 0.01 * (padding == "reflect") + 0.001 * paper.CATEGORIES.index(category) + 0.0005 * seed


def _ends(layers: str) -> tuple[int, int]:
    low, _, high = layers.partition(":")
    return int(low), int(high or low) + 1


def trained(category: str, layers: str, padding: str, seed: int, metric: float) -> Record:
    rng = np.random.default_rng([paper.CATEGORIES.index(category), *map(ord, layers), len(padding), seed])
    excess = 1.5 if padding == "zeros" else 0.02
    about = {
        "kind": "training", "category": category, "layers": layers, "padding": padding, "seed": seed,
        "metrics": {"roc_auc": metric, "pro_auc": metric - 0.1, "image_roc_auc": 0.5}, "c_o": 40, "c_d": 7,
        "thresholds": {"0": 1.0, "0.005": 0.8}, "normal_fpr": {"0": 0.0, "0.005": 0.005 + 1e-5 * seed},
        "touched": {"0": [3, 8], "0.005": [7, 8]},
        "architecture": [f"[layer {k}]: Conv. (1, 1, {k}), stride=1;" for k in range(1, 7)], "settings": {"variance": 0.9},
    }  # fmt: skip
    profile = np.ones(8, np.float32) + excess * (1 + 0.01 * seed) * np.exp(-np.arange(8, dtype=np.float32))
    return Record(COMMON | about, {"maps": rng.random((3, 16, 16), np.float32), "border_profile": profile})


def trainings(seeds: int, categories=paper.CATEGORIES, metric=quality) -> Records:
    return Records(trained(c, layers, p, s, metric(c, layers, p, s)) for c in categories for layers, p in SETTINGS for s in range(seeds))


def rivals(value: float, *names: str) -> Records:
    """Trainings of other methods, seed 0, with the same ROC-AUC everywhere (PRO-AUC is 0.1 less); their maps have the images' size."""
    found = [Record(r.about, {"maps": np.kron(r.arrays["maps"], np.ones((4, 4)))}) for r in trainings(1, metric=lambda *_: value)]
    return Records(Record(r.about | {"method": name, "smaller": {"steps": [5, 5000]}}, r.arrays) for name in names for r in found)


def rival_speeds(fps: float) -> Records:
    about = {"kind": "rival_speed", "category": "hazelnut", "seed": 0, "fps": fps, "batch": 1, "load": 0.1}
    return Records(Record(COMMON | about | {"method": name}) for name in paper.BASELINES)


def others(categories=SHOWN) -> Records:
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 64, 64), bool)
    masks[1, 8:20, 30:40] = masks[2, 0:9, 0:9] = True
    found = [
        Record(
            COMMON | {"kind": "images", "category": c, "defects": ["good", "cut", "hole"]},
            {"images": rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8), "masks": masks},
        )
        for c in categories
    ]
    rows = [{"category": c, "n_train": 3, "n_test": 4, "n_defect_types": 2, "n_regions": 5} for c in paper.CATEGORIES]
    found.append(Record(COMMON | {"kind": "statistics", "rows": rows}))
    fields = [{"layer": k, "size": size, "jump": 1, "centre": 0.5} for k, size in paper.TABLE_I.items()]
    found.append(Record(COMMON | {"kind": "network", "receptive_fields": fields, "channels": list(range(16))}))
    for k, layers in enumerate(paper.REFINING):
        about = {"kind": "speed", "layers": layers, "padding": "reflect", "seed": 0, "fps": 9.0 - k, "batch": 1, "load": 0.1, "c_o": 40}
        found.append(Record(COMMON | about))
    arrays = {"image": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), "mask": masks[1], "segmentation": masks[2]}
    for layer, side in ((1, 64), (4, 32), (8, 16), (12, 8)):
        arrays |= {f"phi_{layer}": rng.random((3, side, side)), f"aligned_{layer}": rng.random((64, 64))}
        arrays |= {f"aggregated_{layer}": rng.random((16, 16))}
    arrays |= {"f": rng.random((4, 16, 16)), "reconstruction": rng.random((4, 16, 16))}
    arrays |= {"regional_map": rng.random((16, 16)), "anomaly_map": rng.random((64, 64))}
    about = {
        "kind": "pipeline",
        "category": "hazelnut",
        "position": [8, 8],
        "regional_fields": [[30 - k, 30 - k, 34 + k, 34 + k] for k in range(12)],
    }
    found.append(Record(COMMON | about | {"c_o": 40, "c_d": 7, "seed": 0}, arrays))
    return Records(found)


@pytest.fixture(scope="module")
def records() -> Records:
    return Records(trainings(2) + others())


@pytest.fixture(scope="module")
def everything(records) -> Records:
    return Records(records + rivals(0.5, *paper.BASELINES) + rival_speeds(4.0))


@pytest.fixture(scope="module")
def drawn(everything, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    return out, gallery.draw(everything, out)


# ------------------------------------------------------------------------------------- the paper's numbers


def test_categories_are_the_datasets():
    assert paper.CATEGORIES == data.CATEGORIES and paper.TEXTURES == data.TEXTURES
    for table in (paper.TABLE_II, paper.TABLE_III, paper.TABLE_VII):
        assert tuple(table) == paper.CATEGORIES


@pytest.mark.parametrize(
    ("table", "columns", "mean"),
    [(paper.TABLE_II, paper.TABLE_II_COLUMNS, paper.TABLE_II_MEAN), (paper.TABLE_III, paper.TABLE_III_COLUMNS, paper.TABLE_III_MEAN)],
)
def test_columns_have_the_printed_means(table, columns, mean):
    for k, name in enumerate(columns):
        assert np.mean([row[k] for row in table.values()]) == pytest.approx(mean[k], abs=0.0101), name
    assert {name for name in columns if ":" not in name} <= set(paper.BASELINES)


def test_table_vii_adds_up():
    assert tuple(map(sum, zip(*paper.TABLE_VII.values()))) == paper.TABLE_VII_TOTAL
    assert sum(paper.TABLE_VII_TOTAL[:2]) == 5354  # Section IV-A1


def test_the_papers_tables_agree_with_one_another():
    for metric, table in (("roc_auc", paper.TABLE_II), ("pro_auc", paper.TABLE_III)):
        for group in ("textures", "objects"):
            zero, _ = paper.TABLE_V[group, metric]
            assert paper.TABLE_IV[group, metric][-1] == zero
            k = paper.TABLE_II_COLUMNS.index("1:12")
            assert np.mean([table[c][k] for c in measured.GROUPS[group]]) == pytest.approx(zero, abs=0.006)
        # Table VI is of reflection padding: 5 textures and 10 objects.
        mean = (5 * paper.TABLE_V["textures", metric][1] + 10 * paper.TABLE_V["objects", metric][1]) / 15
        assert paper.TABLE_VI[metric][-1] == pytest.approx(mean, abs=0.001)


def test_table_i_is_what_the_code_computes():
    from dfr_core.backbones.architecture import architecture

    assert [layer.size for layer in architecture("vgg19").layers] == list(paper.TABLE_I.values())


def test_remarks_belong_to_tables():
    assert any("Meta Nut" in r for r in paper.remarks("III")) and not paper.remarks("I")
    assert {t for names, _ in paper.REMARKS for t in names} <= {"I", "II", "III", "IV", "IV-A5", "V", "VI", "VII", "VIII"}


# ------------------------------------------------------------------------------------------------- drawing


def test_everything_is_drawn(drawn):
    out, files = drawn
    assert {f.name for f in files} == {f.name for f in out.iterdir()}
    figures, texts = ([item for item in ITEMS.values() if bool(item.alt) == drawn] for drawn in (True, False))
    assert len(figures) == 12 and len(texts) == 9
    for name in ["contact_sheet" if item.name == "contact" else item.name for item in figures]:
        for suffix in ("png", "svg", "csv"):
            assert 0 < (out / f"{name}.{suffix}").stat().st_size < 600_000
    for name in [item.name for item in texts]:
        assert (out / f"{name}.md").is_file() and (out / f"{name}.csv").is_file()
    page = (out / "README.md").read_text()
    for item in ITEMS.values():
        assert f"## {item.heading}\n" in page and item.sentence in page
        assert f"![{item.alt}](" in page or not item.alt
    assert "Missing" not in page


def test_every_file_of_numbers_carries_the_stamp(drawn):
    out, _ = drawn
    for path in out.glob("*.csv"):
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        assert rows and all(row["stamp"] == rows[0]["stamp"] for row in rows), path
        for part in ("test edition", "synthetic data", "untrained VGG19", "records of 2026-01-02"):
            assert part in rows[0]["stamp"], path
        assert None not in rows[0], f"{path}: a row is longer than the header"
    for path in out.glob("table*.md"):
        assert path.read_text().rstrip().splitlines()[-1].startswith("*test edition · synthetic data")
    assert "seeds 0, 1" in (out / "fig5.csv").read_text()


def test_a_figure_shows_its_stamp(records, tmp_path):
    with drawing.style():
        made = ITEMS["fig7"].make()(records)
        drawing.save(made, tmp_path, "fig7")
    shown = " ".join(text.get_text().replace("\n", " ") for text in made.figure.texts)
    assert made.stamp in shown


def test_differences_on_synthetic_data_are_explained(drawn):
    out, _ = drawn
    for name in ("table2.md", "table3.md", "table4.md", "table5.md", "table6.md", "claims.md", "README.md"):
        assert "says nothing about the paper's numbers" in (out / name).read_text()


def test_same_records_same_bytes_in_any_order(everything, drawn, tmp_path):
    out, _ = drawn
    shuffled = Records(everything[k] for k in np.random.default_rng(1).permutation(len(everything)))
    items = {"fig2", "cost", "fig4", "fig6", "fig9", "table2", "table6", "table8", "claims"}
    for path in gallery.draw(shuffled, tmp_path, items):
        if path.name != "README.md":
            assert path.read_bytes() == (out / path.name).read_bytes(), path.name


def test_nothing_is_drawn_from_nothing(tmp_path):
    files = gallery.draw(Records(), tmp_path)
    assert [f.name for f in files] == ["README.md"] == [f.name for f in tmp_path.iterdir()]
    page = files[0].read_text()
    for item in ITEMS.values():
        assert f"- {item.heading}: needs " in page and f"## {item.heading}\n" not in page


def test_part_of_the_records_draws_part(tmp_path):
    some = Records(trainings(1, ("wood",)) + [r for r in others(("wood",)) if r.about["kind"] == "images"])
    files = {f.name for f in gallery.draw(some, tmp_path, {"fig4", "fig5", "fig7", "table2", "table4", "table7"})}
    assert {"fig4.png", "fig7.png", "table2.md", "table4.md"} <= files
    assert not any(name.startswith(("fig5", "table7")) for name in files)
    assert "1 of 5 categories: wood" in ITEMS["fig7"].make()(some).note
    assert "1 of 15 categories: wood" in (tmp_path / "table2.md").read_text()


def test_unknown_item():
    with pytest.raises(DFRError, match="fig10"):
        gallery.draw(Records(), "never written", {"fig10"})


# -------------------------------------------------------------------------------------------------- numbers


def test_only_what_is_paired_is_compared():
    missing = {"category": "tile", "layers": "1:2", "seed": 1}
    some = Records(r for r in trainings(3, ("wood", "tile")) if not missing.items() <= r.about.items())
    found = measured.cube(some, "roc_auc", [("1:2", "zeros"), ("1:16", "zeros")], paper.TEXTURES)
    assert found.categories == ("tile", "wood") and found.seeds == (0, 2)
    assert found.values[1, 0].tolist() == [quality("tile", "1:2", "zeros", 2), quality("tile", "1:16", "zeros", 2)]
    with pytest.raises(measured.Missing, match="5:7"):
        measured.cube(some, "roc_auc", [("5:7", "zeros")], paper.TEXTURES)


def test_table_ii_holds_means_and_differences(records):
    table = tables.table2(records)
    row = table.rows[paper.CATEGORIES.index("cable")]
    here = row[table.header.index("here: DFR f{1:12}")]
    values = [quality("cable", "1:12", "zeros", s) for s in (0, 1)]
    assert here.mean == pytest.approx(np.mean(values)) and here.sd == pytest.approx(np.std(values, ddof=1)) and here.seeds == 2
    assert row[table.header.index("difference: DFR f{1:12}")] == pytest.approx(np.mean(values) - 0.88)
    assert row[table.header.index("here: VAE-grad")] is None
    assert [r[0] for r in table.rows[-3:]] == ["mean, textures", "mean, objects", "mean, all"]
    header = table.csv().splitlines()[0].split(",")
    assert "here: DFR f{1:12}" in header and any("sd over seeds" in name for name in header)
    assert "± 0.000" in table.markdown() and "–" in table.markdown()


def test_stamp():
    one = [Record(COMMON | {"kind": "training", "seed": s, "created": f"2026-01-0{s + 1}T10:00"}) for s in (0, 1, 2)]
    assert measured.stamp(one) == (
        "test edition · synthetic data · untrained VGG19, 1/8 width · seeds 0 to 2 · records of 2026-01-01 to 2026-01-03"
    )
    assert "seed 1 ·" in measured.stamp(one[1:2])
    with pytest.raises(measured.Missing):
        measured.stamp([])


# -------------------------------------------------------------------------------------------------- verdicts


def test_interval_is_students():
    mean, low, high = verdicts.interval([1.0, 2.0, 3.0])
    assert mean == 2 and high - mean == pytest.approx(4.302653 / 3**0.5, rel=1e-6) and low == pytest.approx(4 - high)


def test_verdicts():
    assert verdicts.above([0.02, 0.021, 0.019]) == verdicts.HOLDS
    assert verdicts.above([-0.02, -0.021, -0.019]) == verdicts.FAILS
    assert verdicts.above([0.02, -0.01, 0.01]) == verdicts.UNKNOWN
    assert verdicts.above([0.9]) == verdicts.UNKNOWN  # one seed: the spread is unknown
    assert verdicts.below([0.02, 0.021, 0.019], 0.05) == verdicts.HOLDS
    assert verdicts.below([0.08, 0.081, 0.079], 0.05) == verdicts.FAILS
    assert verdicts.every([verdicts.HOLDS, verdicts.UNKNOWN]) == verdicts.UNKNOWN
    assert verdicts.every([verdicts.HOLDS, verdicts.UNKNOWN, verdicts.FAILS]) == verdicts.FAILS
    assert verdicts.every([]) == verdicts.UNKNOWN
    assert [verdicts.timed(speed, 100) for speed in (151, 120, 80, 60)] == ["holds", *["cannot be told"] * 2, "does not hold"]


def verdict(records: Records, sentence: str) -> list[str]:
    return [outcome.verdict for claim, outcome in claims.outcomes(records) if sentence in claim.sentence]


def test_claims_on_records_made_to_fit_them():
    found = Records(trainings(3) + others())
    assert verdict(found, "Every object category benefits") == ["holds", "holds"]
    assert verdict(found, "All 16 scales") == ["holds", "holds"]
    assert verdict(found, "Reflection padding improves") == ["holds"] * 4
    assert verdict(found, "relieves the boundary") == ["holds"]
    assert verdict(found, "Small scales add a little") == ["holds", "holds"]
    assert verdict(found, "Fewer scales are faster") == ["holds"]
    assert verdict(found, "About 100 frames") == ["does not hold"]
    assert verdict(found, "0.005 gives that rate") == ["holds"]
    assert verdict(found, "On wood") == ["does not hold"]  # PRO-AUC rises, too
    assert verdict(found, "Textures saturate") == ["does not hold"] * 2
    assert verdict(found, "baselines") == ["cannot be told"]


def test_claims_on_records_made_against_them():
    found = trainings(3, metric=lambda c, layers, p, s: 1.6 - quality(c, layers, p, s))
    assert verdict(found, "Every object category benefits") == ["does not hold"] * 2
    assert verdict(found, "Reflection padding improves") == ["does not hold"] * 4
    assert verdict(found, "Fewer scales are faster") == ["cannot be told"]  # no timings


def test_one_seed_tells_nothing_of_means():
    found = trainings(1)
    for sentence in ("All 16 scales", "Every object", "Reflection padding improves", "relieves", "Small scales"):
        assert set(verdict(found, sentence)) == {"cannot be told"}
    assert "(one seed)" in claims.table(found).markdown()


def test_wood_alone_can_fall():
    def metric(c, layers, p, s):
        return quality(c, layers, p, s)

    found = trainings(3, ("wood",), metric)
    for record in found:
        record.about["metrics"]["pro_auc"] = 1.5 - record.about["metrics"]["roc_auc"]
    assert verdict(found, "On wood") == ["holds"]


# ------------------------------------------------------------------------------------- whose records they are


def of(value: float, **changes) -> Records:
    """Trainings of wood and tile with one metric everywhere, of another network or method."""
    found = trainings(1, ("wood", "tile"), lambda *_: value)
    return Records(Record(r.about | changes, r.arrays) for r in found)


@pytest.mark.parametrize("change", [{"backbone": "vgg16"}, {"weights": "imagenet"}, {"width": 1.0}])
@pytest.mark.parametrize("turned", [False, True])
def test_records_of_another_network_are_never_mixed_in(change, turned):
    ours, theirs = of(0.9), of(0.5, **change)
    both = Records(theirs + ours if turned else ours + theirs)
    with pytest.raises(DFRError, match="they are of 2 protocols, .*DFR on vgg19"):
        measured.by_seed(both, "roc_auc", "wood", "1:12", "zeros")
    for value, protocol in ((0.9, Protocol.read(ours[0].about)), (0.5, Protocol.read(theirs[0].about))):
        chosen = measured.Evidence(both, protocol)
        assert measured.by_seed(chosen, "roc_auc", "wood", "1:12", "zeros") == {0: value}
        assert np.all(measured.cube(chosen, "roc_auc", [("1:12", "zeros"), ("1:12", "reflect")], paper.TEXTURES).values == value)
        table = tables.table2(chosen)
        assert table.rows[paper.CATEGORIES.index("wood")][table.header.index("here: DFR f{1:12}")].mean == value
        assert all(Protocol.read(r.about) == protocol for r in measured.training(chosen, [("1:12", "zeros")]))


def test_the_gallery_draws_one_protocol(tmp_path):
    both = Records(of(0.9) + of(0.5, backbone="vgg16"))
    with pytest.raises(DFRError, match="say which with protocol="):
        gallery.draw(both, tmp_path, {"table4"})
    gallery.draw(both, tmp_path, {"table4"}, Protocol.read(of(0.9)[0].about))
    assert "0.900" in (tmp_path / "table4.md").read_text() and "0.500" not in (tmp_path / "table4.md").read_text()


def test_two_records_of_one_trial_are_refused():
    with pytest.raises(DFRError, match="two are of one measurement .*wood"):
        measured.Evidence(of(0.9) + of(0.5))


def test_a_method_that_has_records_has_a_column():
    found = measured.Evidence(trainings(2) + of(0.5, method="VAE-grad") + of(0.4, method="Other"))
    assert found.methods == ["Other", "VAE-grad"] and found.protocol.method == "DFR"
    table = tables.table2(found)
    row = table.rows[paper.CATEGORIES.index("wood")]
    assert row[table.header.index("here: VAE-grad")].mean == 0.5 and row[table.header.index("here: Other")].mean == 0.4
    assert row[table.header.index("here: AnoGAN")] is None
    assert table.rows[-1][table.header.index("here: VAE-grad")].mean == 0.5
    assert row[table.header.index("here: DFR f{1:12}")].mean > 0.5
    assert "here: Other" not in tables.table2(trainings(1)).header


def verdicts_on_rivals(records: Records) -> list[str]:
    """Of the claims of IV-B about other methods, in the order of the table."""
    words = ("outperforms the", "in every category, by PRO", "transferred features (DFR", "shallow model", "better than one for ST")
    return [verdict(records, word)[0] for word in words]


def test_claims_about_rivals_need_their_records():
    assert verdicts_on_rivals(trainings(3)) == ["cannot be told"] * 5
    some = Records(trainings(3) + rivals(0.5, "AE-ssim", "AE-l2", "AnoGAN", "VAE-grad"))
    assert verdicts_on_rivals(some) == ["cannot be told"] * 5
    assert "trainings of all categories by ST-m" in claims.table(some).markdown()


def test_claims_about_rivals_hold_and_fail():
    ours = [quality(c, "1:16", "zeros", s) for c in paper.CATEGORIES for s in range(3)]
    scratch = rivals(0.5, "AE-ssim", "AE-l2", "AnoGAN", "VAE-grad", "CNN-FD")
    equal, single = rivals(float(np.mean(ours)), "ST-m"), rivals(0.7, "ST-p65")
    assert verdicts_on_rivals(Records(trainings(3) + scratch + equal + single)) == ["holds"] * 5
    far = Records(trainings(3) + rivals(2.0, *(name for name in paper.BASELINES if name != "ST-m")) + rivals(0.1, "ST-m"))
    assert verdicts_on_rivals(far) == ["does not hold"] * 5
    one = trainings(1, metric=lambda category, *_: 0.6 if category == "wood" else 0.9)
    assert "not wood" in claims.table(Records(one + rivals(0.7, *paper.BASELINES))).markdown()


@pytest.mark.parametrize(("theirs", "expected"), [(1.0, "holds"), (50.0, "does not hold")])
def test_one_network_is_faster_than_several(theirs, expected):
    found = Records(trainings(2) + others() + rival_speeds(theirs))
    assert verdict(found, "several networks") == [expected]


def test_tables_name_the_best_and_what_was_made_smaller():
    found = Records(trainings(1) + rivals(0.9, "ST-m") + rivals(0.1, "AnoGAN"))
    words = tables.table3(found).markdown()
    assert "ST-m in 15" in words and "AnoGAN (steps 5 for 5000)" in words
    assert tables.table2(found).together["AnoGAN"] == ["paper: AnoGAN", "here: AnoGAN", "difference: AnoGAN"]
    assert tables.table2(found).together["ST-m"] == ["here: ST-m"]  # Table II has no column of it


def test_what_the_flags_say():
    one = {"kind": "training", "mvtec": True, "synthetic": False, "trained": True, "backbone": "vgg19", "weights": "imagenet", "width": 1.0}
    assert measured.not_comparable([Record(one | {"data": "synthetic", "network": "untrained"})]) == ""
    assert "not MVTec AD" in measured.not_comparable([Record(one | {"mvtec": False})])
    assert "not the paper's" in measured.not_comparable([Record(one | {"weights": "distilled", "width": 0.125})])
    assert "never trained" in measured.not_comparable([Record(one | {"trained": False})])
    assert "data are synthetic" in measured.not_comparable([Record(one | {"mvtec": False, "synthetic": True})])

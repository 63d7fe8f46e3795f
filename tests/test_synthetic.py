"""The synthetic data: deterministic, exact masks, varied defects, and a data set that is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dfr_core.data import synthetic
from dfr_core.data.synthetic import CATEGORIES, OBJECTS, TEXTURES, defect_types, make_dataset, make_image
from dfr_core.data.synthetic.engine import X, Y, camera, cells, stream
from dfr_core.errors import DFRError

DEFECTS = [(category, defect) for category in CATEGORIES for defect in defect_types(category)]
GOLDEN = Path(__file__).parent / "golden_synthetic.json"


def tree(root: Path) -> dict[str, bytes]:
    """Every visible file below a folder."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def blocks(image: np.ndarray) -> list[float]:
    """Mean grey level of each of 4 x 4 blocks."""
    return np.round(image.reshape(4, 64, 4, 64, 3).mean(axis=(1, 3, 4)), 2).ravel().tolist()


def summary() -> dict:
    """What the golden file holds; `python tests/test_synthetic.py` writes it anew for a new generator version."""
    normal = {c: blocks(make_image(c, 3, seed=5)[0]) for c in CATEGORIES}
    defective = {f"{c}/{d}": int(make_image(c, 1, seed=5, split="test", defect=d)[1].sum()) for c, d in DEFECTS}
    return {"generator": synthetic.GENERATOR_VERSION, "normal": normal, "mask_pixels": defective}


@pytest.fixture(scope="module")
def sheet() -> list[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]]:
    """(category, defect, image, mask, normal twin) for an image of every defect type."""
    rows = []
    for index, (category, defect) in enumerate(DEFECTS):
        image, mask = make_image(category, index, split="test", defect=defect)
        rows.append((category, defect, image, mask, make_image(category, index, split="test")[0]))
    return rows


def test_the_categories_are_the_papers_in_its_order() -> None:
    assert TEXTURES == ("carpet", "grid", "leather", "tile", "wood")
    assert OBJECTS == ("bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw", "toothbrush", "transistor", "zipper")
    assert CATEGORIES == TEXTURES + OBJECTS
    for category in CATEGORIES:
        types = defect_types(category)
        assert 2 <= len(types) <= 5 and len(set(types)) == len(types)


def test_images_are_what_they_were() -> None:
    """Golden values; the tolerance allows a pixel here and there to round the other way on another processor."""
    now, golden = summary(), json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert now["generator"] == golden["generator"]
    for category in CATEGORIES:
        np.testing.assert_allclose(now["normal"][category], golden["normal"][category], atol=0.05, err_msg=category)
    for name, pixels in golden["mask_pixels"].items():
        assert abs(now["mask_pixels"][name] - pixels) <= 2, name


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(DEFECTS), st.integers(0, 10**6), st.integers(0, 2**40), st.sampled_from(["train", "test"]))
def test_pure_exact_and_inside_the_mask_only(kind: tuple[str, str], index: int, seed: int, split: str) -> None:
    category, defect = kind
    normal, none = make_image(category, index, seed=seed, split=split)
    image, mask = make_image(category, index, seed=seed, split=split, defect=defect)
    again, mask_again = make_image(category, index, seed=seed, split=split, defect=defect)
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8 and mask.shape == (256, 256) and mask.dtype == bool
    assert np.array_equal(image, again) and np.array_equal(mask, mask_again)
    assert not none.any() and mask.sum() >= 24
    assert np.array_equal(image[~mask], normal[~mask])
    # A misplaced part overlaps the place where it belongs, and black on black changes little there.
    assert (image != normal).any(axis=2)[mask].mean() > 0.5


def test_other_arguments_give_other_images() -> None:
    for category in CATEGORIES:
        first = make_image(category, 0)[0].astype(int)
        others = (make_image(category, 1)[0], make_image(category, 0, seed=1)[0], make_image(category, 0, split="test")[0])
        # More than noise: what varies between normal images shows too.
        assert all(np.abs(first - other).mean() > 2 for other in others), category


def test_every_defect_changes_what_its_mask_says(sheet) -> None:
    for category, defect, image, mask, normal in sheet:
        changed = (image != normal).any(axis=2)
        assert not (changed & ~mask).any(), (category, defect)
        assert changed[mask].mean() > (0.5 if defect == "misplaced" else 0.7), (category, defect)


def test_every_defect_can_be_seen() -> None:
    """The clearer half of every defect differs from its normal twin by far more than noise, ten grey levels of some colour."""
    for category, defect in DEFECTS:
        for index in range(3):
            image, mask = make_image(category, index, seed=9, split="test", defect=defect)
            normal, _ = make_image(category, index, seed=9, split="test")
            change = np.abs(image.astype(int) - normal).max(axis=2)[mask]
            assert np.percentile(change, 75) >= 10, (category, defect, index)


def test_the_camera_is_an_inspection_cameras() -> None:
    """Half a grey level of noise, a lamp that stands still and keeps its brightness, as in photographs of an inspection."""
    grey = np.stack([camera(np.full((3, 256, 256), 0.5), stream(1, k)).mean(axis=2) for k in range(20)])
    rough = grey - ndimage.uniform_filter(grey, (1, 5, 5))
    assert 0.3 < rough.std() < 0.9
    level = grey.mean(axis=(1, 2))
    assert level.std() / level.mean() < 0.015
    corner = grey[:, :64, :64].mean(axis=(1, 2)) - grey[:, -64:, -64:].mean(axis=(1, 2))
    assert (corner > 2).all() and (corner < 9).all()


def test_cells_are_distances_to_the_nearest_two_seeds() -> None:
    """Against all distances to all seeds; the 3 x 3 nearest lattice cells that the fast code looks at miss a few pixels."""
    rows, columns = 9, 6
    seeds = stream(4).random((2, rows + 2, columns + 2))
    x, y = (seeds[0] + np.arange(-1, columns + 1)) * 256 / columns, (seeds[1] + np.arange(-1, rows + 1)[:, None]) * 256 / rows
    each = np.sort(np.hypot(x.ravel()[:, None, None] - X, y.ravel()[:, None, None] - Y), axis=0)
    right = np.abs(cells(stream(4), rows, columns) - (each[1] - each[0])) < 1e-9
    assert right.mean() > 0.98


def test_defects_are_small_and_large_faint_and_strong_and_reach_the_border(sheet) -> None:
    area = np.array([mask.mean() for *_, mask, _ in sheet])
    contrast = np.array([np.abs(image.astype(int) - normal)[mask].mean() for *_, image, mask, normal in sheet])
    frame = np.ones((256, 256), dtype=bool)
    frame[1:-1, 1:-1] = False
    border = [category for category, _, _, mask, _ in sheet if (mask & frame).any()]
    assert area.min() < 0.005 and area.max() > 0.05
    assert (area < 0.005).mean() > 0.2 and (area > 0.02).mean() > 0.1
    assert contrast.min() < 10 and contrast.max() > 60
    assert len(border) >= 8 and set(border) & set(TEXTURES)


def test_the_layout_is_mvtecs(tmp_path: Path) -> None:
    make_dataset(tmp_path, ["bottle", "wood"], n_train=2, n_good=1, n_defect=2, seed=4)
    for category in ("bottle", "wood"):
        types = defect_types(category)
        expected = {"train/good/000.png", "train/good/001.png", "test/good/000.png", ".synthetic.json"}
        expected |= {f"test/{d}/00{i}.png" for d in types for i in (0, 1)}
        expected |= {f"ground_truth/{d}/00{i}_mask.png" for d in types for i in (0, 1)}
        assert set(tree(tmp_path / category)) == expected
        assert np.array_equal(np.asarray(Image.open(tmp_path / category / "train/good/001.png")), make_image(category, 1, seed=4)[0])
        for defect in types:
            mask = np.asarray(Image.open(tmp_path / category / "ground_truth" / defect / "001_mask.png"))
            assert mask.shape == (256, 256) and set(np.unique(mask)) == {0, 255}
    readme = (tmp_path / "README.txt").read_text()
    assert "synthetic" in readme and "seed: 4" in readme and f"version: {synthetic.GENERATOR_VERSION}" in readme
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.txt", "bottle", "wood"]


def test_no_two_images_of_a_data_set_share_a_normal_twin() -> None:
    files = list(synthetic._files("tile", 7, 5, 3))
    assert len({(split, index) for _, split, index, _ in files}) == len(files)


def test_a_second_run_touches_nothing_and_other_numbers_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"n_train": 1, "n_good": 0, "n_defect": 1}
    make_dataset(tmp_path, ["pill"], **numbers)
    before = tree(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(synthetic, "make_image", lambda *a, **k: pytest.fail("drew an image that was there already"))
        make_dataset(tmp_path, ["pill"], **numbers)
    assert tree(tmp_path) == before
    make_dataset(tmp_path, ["pill"], **{**numbers, "n_train": 2})
    assert (tmp_path / "pill/train/good/001.png").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.txt", "pill"]


def test_an_interrupted_run_leaves_no_half_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, calls = synthetic.make_image, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return draw(*args, **kwargs)

    monkeypatch.setattr(synthetic, "make_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path, ["leather", "pill"], n_train=4, n_good=0, n_defect=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.txt", "leather"]
    assert len(list((tmp_path / "leather/train/good").iterdir())) == 4


def test_a_killed_run_leaves_no_half_category_and_the_next_completes_it(tmp_path: Path) -> None:
    numbers = {"n_train": 25, "n_good": 1, "n_defect": 1}
    code = f"from dfr_core.data.synthetic import make_dataset; make_dataset({str(tmp_path / 'killed')!r}, ['leather'], **{numbers})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(synthetic.__file__).parents[1])
    while not list(tmp_path.glob("killed/.*.partial/leather/train/good/002.png")) and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/leather").exists()
    leftover = next((tmp_path / "killed").glob(".*.partial"))
    make_dataset(tmp_path / "killed", ["leather"], **numbers)
    make_dataset(tmp_path / "undisturbed", ["leather"], **numbers)
    assert tree(tmp_path / "killed/leather") == tree(tmp_path / "undisturbed/leather")
    # The leftover could belong to a run that is still going; only an old one is cleared away.
    assert leftover.exists()
    old = time.time() - 2 * synthetic._STALE_SECONDS
    os.utime(leftover, (old, old))
    make_dataset(tmp_path / "killed", ["leather"], **numbers)
    assert not leftover.exists()


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "screw").mkdir()
    (tmp_path / "screw/mine.txt").write_text("mine")
    with pytest.raises(DFRError, match="screw.*choose another folder"):
        make_dataset(tmp_path, ["screw"], n_train=1, n_good=0, n_defect=0)
    assert (tmp_path / "screw/mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_train": 0}, "n_train"),
        ({"n_train": 2.5}, "n_train"),
        ({"n_good": -1}, "n_good"),
        ({"n_defect": True}, "n_defect"),
        ({"n_defect": 10**6}, "n_defect"),
        ({"seed": -1}, "seed"),
        ({"categories": ["carpet", "sofa"]}, "sofa"),
    ],
)
def test_an_impossible_data_set_is_refused_before_anything_is_written(tmp_path: Path, change: dict, named: str) -> None:
    arguments = {"categories": ["carpet"], "n_train": 1, "n_good": 0, "n_defect": 0, **change}
    with pytest.raises(DFRError, match=named) as caught:
        make_dataset(tmp_path / "new", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"category": "sofa"}, "sofa"),
        ({"defect": "poke"}, "poke"),
        ({"split": "validation"}, "validation"),
        ({"index": -1}, "index"),
        ({"seed": "a"}, "seed"),
    ],
)
def test_an_impossible_image_is_refused(arguments: dict, named: str) -> None:
    given_ = {"category": "carpet", "index": 0, **arguments}
    with pytest.raises(DFRError, match=named):
        make_image(given_.pop("category"), given_.pop("index"), **given_)


def test_a_folder_that_cannot_be_made_is_a_user_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DFRError, match="file"):
        make_dataset(tmp_path / "file", ["carpet"], n_train=1, n_good=0, n_defect=0)


if __name__ == "__main__":
    lines = json.dumps(summary()).replace("], ", "],\n").replace(": {", ": {\n")
    GOLDEN.write_text(lines + "\n", encoding="utf-8")

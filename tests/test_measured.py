"""Labelled test images whose defects nobody drew: images are measured, pixels are not, in Python as at the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import make_images
from PIL import Image
from sklearn.metrics import roc_auc_score

from dfr_core import DFRError
from dfr_core.command import main
from dfr_core.data import Category, Sample


@pytest.fixture
def category(tmp_path, odd_images) -> Category:
    """Two good images and two defects, one of which has a mask."""
    images, masks = odd_images
    samples = []
    for k, kind in enumerate(("good", "good", "cut", "cut")):
        path, mask = tmp_path / f"cloth/test/{kind}/{k}.png", tmp_path / f"cloth/ground_truth/cut/{k}_mask.png"
        for each, values in ((path, images[k].permute(1, 2, 0).numpy()), (mask, masks[k].numpy())):
            if each == path or k == 2:
                each.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(each)
        samples.append(Sample(path, mask if k == 2 else None, kind))
    train = tmp_path / "cloth/train/good/0.png"
    train.parent.mkdir(parents=True)
    Image.fromarray(make_images(1)[0].permute(1, 2, 0).numpy()).save(train)
    return Category("cloth", (train,), tuple(samples))


def test_images_are_measured_where_masks_are_missing(fitted, category, odd_images, caplog):
    report = fitted.evaluate(category)
    scores = fitted.image_score(odd_images[0])
    assert report["image_roc_auc"] == pytest.approx(roc_auc_score([0, 0, 1, 1], scores))
    assert report["roc_auc"] is None and report["pro_auc"] is None and report["fps"] > 0
    assert report["counts"] == {"images": 4, "anomalous_images": 2, "anomalous_regions": None}
    assert "3.png: has no mask, so only images are measured, no pixels (roc_auc and pro_auc are null)" in caplog.text


def test_the_command_says_the_same(fitted, category, tmp_path, capsys):
    fitted.save(tmp_path / "m")
    assert main(["evaluate", str(tmp_path / "m"), str(tmp_path / "cloth")]) == 0
    printed = capsys.readouterr()
    report, ours = json.loads(printed.out), fitted.evaluate(category)
    assert all(report[name] == ours[name] for name in ("roc_auc", "pro_auc", "image_roc_auc"))
    assert report["counts"] == ours["counts"] | {"normal_images": 2} and "3.png: has no mask" in printed.err


def test_with_all_masks_pixels_are_measured(fitted, category, odd_images):
    path, mask = category.test[3].path, category.test[2].mask.with_name("3_mask.png")
    Image.fromarray(odd_images[1][3].numpy()).save(mask)
    whole = Category("cloth", (), (*category.test[:3], Sample(path, mask, "cut")))
    report, expected = fitted.evaluate(whole), fitted.evaluate((odd_images[0], odd_images[1]))
    assert all(report[name] == expected[name] for name in ("roc_auc", "pro_auc", "image_roc_auc", "counts"))


def test_what_still_cannot_be_measured(fitted, category):
    good, _, cut, _ = category.test
    bare = Sample(cut.path, None, "cut")
    for test, words in (
        ((bare,), "has no mask, so its pixels cannot be evaluated"),  # no good image: nothing to rank it against
        ((good, Sample(cut.path, None, "unknown")), "has no mask, so its pixels cannot be evaluated"),
        ((good, good), "data: no anomalous pixel in its test images"),
        ((), "has no test images to evaluate with"),
    ):
        with pytest.raises(DFRError, match=words):
            fitted.evaluate(Category("cloth", (), test))
    with pytest.raises(DFRError, match="data: no anomalous pixel in its test images, so there is nothing to measure"):
        fitted.evaluate((make_images(2), np.zeros((2, 64, 64), bool)))

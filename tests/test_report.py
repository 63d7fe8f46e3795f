"""`dfr report`: what it counts, what it chooses, and a page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import browser as tools
import numpy as np
import pytest
from PIL import Image

from dfr_core import DFR, load_category
from dfr_core.command import main
from dfr_core.command.report.findings import Finding, choices, findings, kinds, total
from dfr_core.command.report.make import SIDE, stamp
from dfr_core.data import Sample

SMALL = ["--layers", "1:3", "--width", "0.05", "--image-size", "64", "--steps", "20", "--positions", "16", "--weights", "untrained"]


class Page(HTMLParser):
    """The tags, texts and pictures of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def picture(path: Path, seed: int, spot: bool = False, size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(100, 130, (size[1], size[0], 3), np.uint8)
    if spot:
        values[10:26, 20:36] = 255
    Image.fromarray(values).save(path)


def mask(path: Path, size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((size[1], size[0]), np.uint8)
    values[10:26, 20:36] = 255
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A category `cloth`, photographs without masks, and a model for both."""
    root = tmp_path_factory.mktemp("report")
    cloth = root / "data/cloth"
    for k in range(3):
        picture(cloth / f"train/good/{k}.png", k)
        picture(cloth / f"test/good/{k}.png", 10 + k)
        picture(cloth / f"test/<cut>/{k}.png", 20 + k, spot=True)
        mask(cloth / f"ground_truth/<cut>/{k}_mask.png")
        picture(cloth / f"test/faint & small/{k}.png", 30 + k)
        mask(cloth / f"ground_truth/faint & small/{k}_mask.png")
        picture(root / f"mine/normal/{k}.png", k)
        picture(root / f"mine/test/{k}.png", 20 + k, spot=k == 0, size=(1000, 400))
    assert main(["fit", str(root / "data"), "--category", "cloth", "--out", str(root / "model.safetensors"), *SMALL]) == 0
    return root


def report(root: Path, *arguments: object, capsys: pytest.CaptureFixture, code: int = 0) -> tuple[str, str]:
    """What the command prints on standard output and standard error."""
    capsys.readouterr()
    assert main(["report", str(root / "model.safetensors"), *map(str, arguments)]) == code
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_the_page_holds_all_and_needs_nothing(root, tmp_path, capsys):
    said, _ = report(root, root / "data", "--category", "cloth", "--out", tmp_path / "out", capsys=capsys)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    assert re.match(r"\S+/out/index\.html: \d of 6 defective images called anomalous, ", said)
    text = (tmp_path / "out/index.html").read_text()
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and page.of("html") == [{"lang": "en"}]
    assert not page.of("script") and not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", text))
    assert all(link["href"].startswith("data:") for link in page.of("link"))
    images = page.of("img")
    assert len(images) == 4 + 2 * 9 and all(image["src"].startswith("data:image/") and len(image["alt"]) > 20 for image in images)
    assert len({image["alt"] for image in images}) >= len(images) - 9 + 3, "words of its own for each photograph and chart"
    for words in ("<cut>", "faint & small", "Defects found and missed", "ROC", "PRO", "model.safetensors on cloth", "layers 1:3", "seed 0"):
        assert words in page.text
    assert "synthetic" not in page.text and str(root) not in text, "nobody else's business where it lay"


def test_its_numbers_are_those_of_evaluate(root, tmp_path, capsys):
    said, _ = report(root, root / "data", "--category", "cloth", "--out", tmp_path, "--fpr", "0.01", capsys=capsys)
    assert main(["evaluate", str(root / "model.safetensors"), str(root / "data"), "--category", "cloth"]) == 0
    measured = json.loads(capsys.readouterr().out)
    detector, data = DFR.load(root / "model.safetensors"), load_category(root / "data", "cloth")
    for name, words in (("roc_auc", "ROC-AUC over pixels"), ("pro_auc", "PRO-AUC"), ("image_roc_auc", "ROC-AUC over images")):
        assert f"{measured[name]:.3f} {words}" in said
    scores = detector.image_score([sample.path for sample in data.test])
    called = (scores > detector.verdict_threshold()) & np.array(data.labels)
    assert f"{called.sum()} of 6 defective images called anomalous" in said
    page = Page((tmp_path / "index.html").read_text())
    assert stamp(detector, data, 0.01) in page.text and f"{detector.threshold(0.01):.6g} (FPR 0.01" in page.text
    assert detector.data_fingerprint_ in page.text and detector.weights_fingerprint_ in page.text


def test_equal_input_gives_an_equal_page(root, tmp_path, capsys):
    for name in ("a", "b.html"):
        report(root, root / "data", "--category", "cloth", "--out", tmp_path / name, capsys=capsys)
    assert (tmp_path / "a/index.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    report(root, root / "data", "--category", "cloth", "--out", tmp_path / "a", capsys=capsys)  # an earlier report may be replaced


def test_photographs_of_which_nobody_said_what_they_are(root, tmp_path, capsys):
    said, _ = report(root, root / "mine", "--out", tmp_path, capsys=capsys)
    assert re.fullmatch(r"\S+: \d of 3 images called anomalous\n", said)
    page = Page((tmp_path / "index.html").read_text())
    assert "no mask that says where the defects are" in page.text and "Nobody said which images are good" in page.text
    assert "ROC" not in page.text and len(page.of("img")) == 2 + 2 * 3
    sizes = [Image.open(io.BytesIO(base64.b64decode(i["src"].partition(",")[2]))).size for i in page.of("img") if "jpeg" in i["src"]]
    assert set(sizes) == {(SIDE, SIDE * 400 // 1000)}, "in their own shape"


def test_defects_without_masks_are_counted_by_image(root, tmp_path, capsys):
    for k in range(2):
        picture(tmp_path / f"d/train/good/{k}.png", k)
        picture(tmp_path / f"d/test/good/{k}.png", 10 + k)
        picture(tmp_path / f"d/test/cut/{k}.png", 20 + k, spot=True)
    said, _ = report(root, tmp_path / "d", "--out", tmp_path / "out", capsys=capsys)
    assert "2 of 2 defective images called anomalous" in said and "pixels" not in said
    assert "2 of 4 test images have no mask" in Page((tmp_path / "out/index.html").read_text()).text


@pytest.mark.parametrize(
    ("out", "spoil", "words"),
    [
        ("taken", lambda p: ((p / "taken").mkdir(), (p / "taken/index.html").write_text("<p>mine")), "is there already and is no report"),
        ("file", lambda p: (p / "file").write_text("x"), "--out: "),
        ("folder.html", lambda p: (p / "folder.html").mkdir(), "is a folder"),
    ],
)
def test_nothing_else_is_overwritten(root, tmp_path, capsys, out, spoil, words):
    spoil(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    said, wrong = report(root, root / "data", "--category", "cloth", "--out", tmp_path / out, capsys=capsys, code=2)
    assert said == "" and words in wrong and wrong.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# ------------------------------------------------------------------------------------------------ findings


def sample(defect: str, number: int = 0) -> Sample:
    return Sample(Path(f"{defect}/{number}.png"), None, defect)


def test_defects_are_found_in_part_or_missed():
    masks = np.zeros((3, 8, 8), bool)
    masks[0, 0, :4] = masks[0, 4, :4] = masks[0, 7, 7] = True  # three defects of 4, 4 and 1 pixels
    masks[1, :2, :2] = True
    maps = np.ones((3, 8, 8), np.float32)
    maps[0, 0, :2] = 3  # half of the first
    maps[0, 4, 0] = 3  # a quarter of the second
    maps[2, 5, 5] = 3  # a false alarm
    found = findings([sample("cut"), sample("hole"), sample("good")], maps, masks, 2.0, 2.5)
    assert [finding.found for finding in found] == [(1, 1, 1), (0, 0, 1), (0, 0, 0)]
    assert found[0].regions == (0.5, 0.25, 0.0) and found[0].ratio == pytest.approx(1.2) and found[0].share == 3 / 64
    assert [finding.anomalous for finding in found] == [True, False, True]
    rows = [(row.name, row.images, row.anomalous, row.defects) for row in kinds(found)]
    assert rows == [("cut", 1, 1, (1, 1, 1)), ("hole", 1, 0, (0, 0, 1)), ("good", 1, 1, None)]
    all_ = total(found)
    assert (all_.images, all_.anomalous, all_.defects) == (2, 1, (1, 1, 2))
    assert total(found[1:]) is None and kinds(findings([sample("cut")], maps[:1], None, 2.0, 2.5))[0].defects is None


def test_a_threshold_of_nothing():
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1] = 1
    assert [finding.ratio for finding in findings([sample("good"), sample("cut")], maps, None, 0.0, 0.0)] == [0.0, float("inf")]


@pytest.mark.parametrize(
    ("defective", "good", "unknown", "chosen"),
    [(20, 9, 0, (4, 4, 4)), (3, 0, 0, (2, 1)), (1, 1, 0, (1, 1)), (0, 2, 0, (2,)), (0, 0, 9, (4, 4)), (0, 0, 3, (3,))],
)
def test_no_image_is_shown_twice_and_no_heading_is_empty(defective, good, unknown, chosen):
    names = ["cut"] * defective + ["good"] * good + ["unknown"] * unknown
    found = [Finding(sample(name, k), k, float(k), float(k), 0.0, None) for k, name in enumerate(names)]
    made = choices(found)
    shown = [finding.index for *_, images in made for finding in images]
    assert tuple(len(images) for *_, images in made) == chosen and len(set(shown)) == len(shown)


@pytest.mark.browser
@pytest.mark.skipif(bool(tools.missing()), reason=tools.missing() or "everything is here")
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1920, 1080)], ids=["phone", "projector"])
def test_it_opens_offline_in_a_browser(root, tmp_path, capsys, width, height):
    report(root, root / "data", "--category", "cloth", "--out", tmp_path, capsys=capsys)
    asked: list[str] = []
    with tools.browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(f"file://{tmp_path}/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out to the side"
        assert page.evaluate("[...document.images].every(i => i.naturalWidth && i.getBoundingClientRect().width > 100)")
        page.click("summary")
        assert page.locator("details table tr").count() == 1 + 9
        if os.environ.get("DFR_SCREENSHOTS"):
            page.screenshot(path=Path(os.environ["DFR_SCREENSHOTS"]) / f"report-{width}.png", full_page=True)
    assert [url for url in asked if not url.startswith(("data:", f"file://{tmp_path}"))] == []

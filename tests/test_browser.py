"""Every widget of the course in a real browser, driven by keyboard and mouse, in JupyterLab and one of them in Voila.

Each gets a tiny notebook of its own; the pictures must change. Milliseconds from key press to new picture are reported,
never asserted. DFR_SCREENSHOTS names a folder for the screenshots and for milliseconds.csv.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import browser as tools
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(tools.missing()), reason=tools.missing() or "everything is here")]

DETECTOR = """
import numpy as np
from dataclasses import replace
from dfr_core import DFR, current_edition
from dfr_core.plotting import to_image

settings = current_edition().settings
category = current_edition().category("cable")
train = category.load_train(settings.image_size)[:4]
test, masks = category.load_test(settings.image_size)
test, masks = test[-4:], masks[-4:]
images = np.stack([to_image(image) for image in test])
names = [sample.defect for sample in category.test][-4:]
def fit(**changes):
    return DFR(replace(settings, steps=10, learning_rate=1e-3, **changes)).fit(train)
"""

RECEPTIVE_FIELD = """
from dfr_core import current_edition
from dfr_core.backbones.weights import build_backbone
from dfr_core.widgets import receptive_field as widget

images = current_edition().category("cable").load_train(256)[:1]
network = build_backbone("vgg19", "untrained", width=0.125, last=10, seed=0)
widget.build(images[0].numpy(), widget.measure(network, images))
"""

HIERARCHY = """
from dfr_core import current_edition
from dfr_core.backbones.weights import build_backbone
from dfr_core.widgets import hierarchy as widget

image = current_edition().category("cable").load_train(256)[0]
networks = {p: build_backbone("vgg19", "untrained", width=0.125, padding=p, last=12, seed=0) for p in widget.PADDINGS}
widget.build(image, networks)
"""

COSINE = """
from dfr_core import current_edition
from dfr_core.backbones.weights import build_backbone
from dfr_core.plotting import to_image
from dfr_core.receptive_field import conv_fields, regional_field
from dfr_core.regional import Generator, axis_operator
from dfr_core.widgets import cosine as widget

image = current_edition().category("cable").load_train(256)[:1]
network = build_backbone("vgg19", "untrained", width=0.125, padding="reflect", last=12, seed=0)
maps = [(layer, phi) for layer, phi in network.feature_maps(image, tuple(range(1, 13)))]
theory = conv_fields(network.stack)
fields = {
    layer: [regional_field(axis_operator(phi.shape[-2], 256), k, theory[layer - 1]) for k in range(64)] for layer, phi in maps
}
widget.build(to_image(image[0]), Generator()([(layer, phi.detach()) for layer, phi in maps], (256, 256)), fields, 32, 32)
"""

LATENT = f"""{DETECTOR}
from dfr_core.widgets import latent as widget

rows = np.random.default_rng(0).normal(size=(500, 400)) / np.arange(1, 401)
share = np.cumsum(rows.var(0)) / rows.var(0).sum()
tried = [
    widget.summarise(c_d, share, fit(latent_dim=c_d).anomaly_map(test[-1:])[0], masks[-1].numpy()) for c_d in (4, 16, 64)
]
widget.build(tried, share, images[-1], masks[-1].numpy(), 0.9)
"""

THRESHOLD = f"""{DETECTOR}
from dfr_core.widgets import threshold as widget

detector = fit()
normal, maps = detector.anomaly_map(train), detector.anomaly_map(test)
widget.build(normal, images, maps, masks.numpy(), names, first=len(test) - 1)
"""

HAND_MADE = """
from dfr_core.widgets import hand_made as widget

widget.build()
"""

SCALES = f"""{DETECTOR}
from dfr_core.widgets import scales as widget

results = {{}}
for last in (1, 4, 8, 12):
    detector = fit(layers=f"1:{{last}}")
    found = detector.evaluate(category)
    results[last] = widget.Result(detector.anomaly_map(test), found["roc_auc"], found["pro_auc"], detector.c_o_, detector.c_d_)
widget.build(images, masks.numpy(), results, names, image=3, last=4)
"""

BOUNDARY = f"""{DETECTOR}
from dfr_core.widgets import boundary as widget

anomaly = {{padding: fit(padding=padding).anomaly_map(test) for padding in ("zeros", "reflect")}}
widget.build(images, anomaly, masks.numpy(), names, first=3)
"""

STAGES = """
from dfr_core.widgets import stages as widget

widget.build()
"""

PAINT = f"""{DETECTOR}
from dfr_core.widgets import paint as widget

detector = fit()
clean = [to_image(image) for image in train[:2]]
widget.build(clean, lambda image: detector.anomaly_map(image)[0], detector.threshold(0))
"""

RIVALS = f"""{DETECTOR}
from dfr_core.widgets import rivals as widget

maps = {{name: fit(layers=layers) for name, layers in (("one layer", "4"), ("four", "1:4"))}}
limits = {{name: one.threshold() for name, one in maps.items()}}
maps = {{name: one.anomaly_map(test) for name, one in maps.items()}}
widget.build(
    [widget.Case(names[k], images[k], masks[k].numpy(), {{m: A[k] for m, A in maps.items()}}, limits) for k in range(len(test))],
    case=3,
)
"""

RIGHT, LEFT = "ArrowRight", "ArrowLeft"
#: Name -> the notebook's cell, and the keys (or the text) for each control; every control of the widget is there.
WIDGETS = {
    "01_receptive_field": (RECEPTIVE_FIELD, {"row": [RIGHT, RIGHT, LEFT], "column": [RIGHT, LEFT], "layer": [RIGHT]}),
    "02_hierarchy": (HIERARCHY, {"channel": [RIGHT, RIGHT, LEFT], "layer": [RIGHT]}),
    "03_cosine": (COSINE, {"row": [RIGHT, RIGHT, LEFT], "column": [RIGHT, LEFT], "layers": "1:2", "subtract": ["Space"]}),
    "04_latent": (LATENT, {"latent dimension": [RIGHT, LEFT, LEFT]}),
    "05_threshold": (THRESHOLD, {"acceptable FPR": [RIGHT, RIGHT, LEFT], "test image": [LEFT]}),
    "06_hand_made": (
        HAND_MADE,
        {"large": [LEFT, LEFT, RIGHT], "small round": [RIGHT], "small flat": [RIGHT], "normal spot": [RIGHT], "noise": [RIGHT]},
    ),
    "07_scales": (SCALES, {"last layer": [RIGHT, RIGHT, LEFT], "test image": [LEFT]}),
    "09_stages": (STAGES, {"latent": [RIGHT, RIGHT, LEFT], "layer set": [LEFT], "lean": ["Space"]}),
    "08_boundary": (BOUNDARY, {"reflection": ["Space", "Space"], "test image": [LEFT]}),
    "12_rivals": (RIVALS, {"method": [RIGHT, LEFT], "test image": [LEFT]}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def address(folder):
    with tools.jupyter(folder) as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    with tools.browser() as running:
        yield running


@pytest.fixture
def page(chromium):
    opened = chromium.new_page(viewport={"width": 1280, "height": 1000})
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def lab(page, address, folder):
    """A function that runs code in JupyterLab and gives the widget it shows; the kernel ends with the test."""

    requests = []
    page.on("request", lambda request: requests.append(request.url))

    def run(name: str, code: str) -> tools.Widget:
        tools.write_notebook(folder / f"{name}.ipynb", code)
        page.goto(f"{address}/doc/workspaces/{name}/tree/{name}.ipynb?reset", timeout=tools.OPEN)
        idle = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(idle, timeout=tools.OPEN)
        page.evaluate("void jupyterapp.commands.execute('runmenu:run-all').then(() => window.dfrRan = true)")
        page.wait_for_function("window.dfrRan", timeout=tools.RUN)  # only then does JupyterLab leave the focus alone
        return tools.Widget(page, tools.LAB)

    yield run
    if page.evaluate("() => !!window.jupyterapp?.shell.currentWidget?.sessionContext"):
        page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    elsewhere = {url for url in requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))}
    assert not elsewhere, f"the page asks for {elsewhere}: it must open offline"


@pytest.fixture
def keep(folder, record_property):
    """A function that keeps a screenshot and the milliseconds of a widget."""
    place = Path(os.environ.get("DFR_SCREENSHOTS") or folder / "screenshots")

    def save(name: str, widget: tools.Widget) -> None:
        place.mkdir(parents=True, exist_ok=True)
        widget.page.screenshot(path=place / f"{name}.png")
        middle, most = statistics.median(widget.milliseconds), max(widget.milliseconds)
        record_property("milliseconds", middle)
        with open(place / "milliseconds.csv", "a", encoding="utf-8") as file:
            file.write(f"{name},{len(widget.milliseconds)},{middle:.0f},{most:.0f}\n")
        print(f"{name}: {middle:.0f} ms from key press to new picture (at most {most:.0f})")

    return save


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_draws_another_picture(lab, keep, name):
    code, keys = WIDGETS[name]
    widget = lab(name, code)
    for label, pressed in keys.items():
        if isinstance(pressed, str):
            widget.enter(label, pressed)
        else:
            widget.press(label, *pressed)
    keep(name, widget)
    widget.check_layout()


def test_what_is_painted_shows_in_the_anomaly_map(lab, keep, page):
    widget = lab("10_paint", PAINT)
    canvas = page.locator(f":is({tools.LAB}) canvas").first
    canvas.scroll_into_view_if_needed()
    at = canvas.bounding_box()
    white = canvas.evaluate("canvas => canvas.toDataURL()")

    def drag():
        page.mouse.move(at["x"] + 0.3 * at["width"], at["y"] + 0.4 * at["height"])
        page.mouse.down()
        page.mouse.move(at["x"] + 0.7 * at["width"], at["y"] + 0.6 * at["height"], steps=8)
        page.mouse.up()

    widget.act(drag, event="mouseup")
    assert canvas.evaluate("canvas => canvas.toDataURL()") != white, "the stroke is not on the canvas"
    assert "nothing painted" not in widget.said() and "painted pixels found" in widget.said()
    keep("10_paint_mouse", widget)
    widget.milliseconds.clear()
    widget.press("Clear", "Enter")
    assert "nothing painted" in widget.said()
    for label in ("column of a dab", "row of a dab"):
        widget.control(label).focus()
        page.keyboard.press("PageUp")
    widget.press("Place a dab", "Enter")
    assert "painted pixels found" in widget.said()
    keep("10_paint_keyboard", widget)
    widget.press("image", RIGHT)
    widget.check_layout()


QUESTIONS = """
import ipywidgets
import numpy as np
from IPython.display import display
from dfr_core.course import predict, quiz
from dfr_core.plotting import png

predict("1.1", "How many?", "one", "two", "three")
quiz(1, [(f"Which is {k}?", ("left", "right"), 1, f"because of {k}") for k in range(5)])
display(ipywidgets.Image(value=png(np.zeros((8, 8, 3), np.uint8)), format="png"))
"""


def test_questions_are_answered_with_the_keyboard(lab, page):
    within = f":is({lab('questions', QUESTIONS).within})"
    radios = page.locator(f"{within} input[type=radio]")
    lock = page.locator(f"{within} button", has_text="lock")
    assert radios.count() == 3 + 5 * 2 and lock.is_disabled()
    radios.first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_function("lock => !lock.disabled", arg=lock.element_handle(), timeout=tools.ANSWER)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert lock.evaluate("lock => lock === document.activeElement"), "Tab leads from the choices to the lock"
    page.keyboard.press("Space")
    page.get_by_text("Locked: b) two").wait_for(timeout=tools.ANSWER)
    assert radios.first.is_disabled() and lock.is_disabled()
    radios.nth(3).focus()
    page.keyboard.press("Space")
    page.get_by_text("Not this one.").wait_for(timeout=tools.ANSWER)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.get_by_text("Right: because of 0").wait_for(timeout=tools.ANSWER)


def test_the_threshold_in_voila(page, address, folder, keep):
    # Voila's own page asks for web fonts and MathJax; the browser cannot reach them here, and the widget must do without.
    tools.write_notebook(folder / "voila.ipynb", THRESHOLD)
    page.goto(f"{address}/voila/render/voila.ipynb", timeout=tools.RUN)
    widget = tools.Widget(page, tools.VOILA)
    widget.press("acceptable FPR", RIGHT, RIGHT, LEFT)
    widget.press("test image", LEFT)
    keep("05_threshold_voila", widget)
    widget.check_layout()

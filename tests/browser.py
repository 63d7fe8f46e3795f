"""A JupyterLab of its own and a real Chromium, for tests/test_browser.py.

Nothing of the user's is read or written: home, settings and caches are folders of the test, the server listens on this
machine only, and the browser cannot resolve any other name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

#: Milliseconds until a test gives up. They guard against a browser that hangs, and judge no speed.
OPEN, RUN, ANSWER = 90_000, 120_000, 20_000
#: Where the output of a cell is: JupyterLab's and Voila's.
LAB, VOILA = ".jp-Notebook .jp-OutputArea-output", ".jp-OutputArea-output, .voila-widget"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
]

# Notes the time of a key press or mouse release, and of the frame that shows the picture which follows it.
_CLOCK = """([picture, event]) => {
    const image = document.querySelector(picture), old = image.src;
    window.dfrMilliseconds = null;
    let start = null;
    addEventListener(event, () => start = performance.now(), {capture: true, once: true});
    const watch = new MutationObserver(async () => {
        if (image.src === old) return;
        watch.disconnect();
        await image.decode().catch(() => {});
        requestAnimationFrame(() => window.dfrMilliseconds = start === null ? -1 : performance.now() - start);
    });
    watch.observe(image, {attributes: true, attributeFilter: ['src']});
}"""
_CONTROL = """([within, label]) => {
    for (const part of document.querySelectorAll(`:is(${within}) .widget-inline-hbox, :is(${within}) button.jupyter-button`)) {
        if (!part.textContent.replace(/[\\s\\u200b]+/g, ' ').trim().startsWith(label)) continue;
        const focus = part.matches('button') ? part : part.querySelector('.noUi-handle, select, input');
        if (focus) return focus;
    }
}"""
_BYTES = "async image => { const b = new Uint8Array(await (await fetch(image.src)).arrayBuffer()); return Array.from(b).join() }"


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> str:
    """Why there can be no browser tests here; empty if there can."""
    if not chromium():
        return "no Chromium here, so the widgets are not tried in a browser (Debian, Ubuntu: apt-get install chromium)"
    absent = [name for name in ("playwright", "jupyterlab", "voila") if not importlib.util.find_spec(name)]
    return f"{', '.join(absent)} not installed, so the widgets are not tried in a browser (run: make setup)" if absent else ""


@contextmanager
def jupyter(folder: Path) -> Iterator[str]:
    """JupyterLab, with Voila in it, over the notebooks in a folder; yields its address. Its kernels end with it."""
    home = folder / "home"
    _settings(home / "settings")
    log = folder / "server.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={_free_port()}", "--IdentityProvider.token="]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly", "--LabApp.news_url="]
    with open(log, "wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=_environment(home), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield _address(server, home, log)
        finally:
            _end(server)


def _environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "XDG_", "DFR_", "PYTEST_"))}
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "DFR_CACHE": "cache", "HOME": "."}
    paths = {name: str(home / place) for name, place in folders.items()}
    return ours | paths | {"DFR_EDITION": "quick", "DFR_QUIET": "1", "OMP_NUM_THREADS": "1"}


def _settings(folder: Path) -> None:
    """No news, and every output in the page, also those out of sight."""
    for plugin, values in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }.items():
        file = folder / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _address(server: subprocess.Popen, home: Path, log: Path) -> str:
    """Wait until the server answers. It says itself where it is, because it takes the next port if another took this one."""
    end = time.monotonic() + OPEN / 1000
    while time.monotonic() < end and server.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            try:
                address = f"http://127.0.0.1:{json.loads(file.read_text(encoding='utf-8'))['port']}"
                urllib.request.urlopen(f"{address}/api/status", timeout=10).close()
                return address
            except (OSError, ValueError):  # not written to the end, or not listening yet
                continue
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _end(server: subprocess.Popen) -> None:
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(server.pid, number)
            server.wait(seconds)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def browser() -> Iterator:
    """Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield running
        finally:
            running.close()


def write_notebook(path: Path, code: str) -> None:
    """A notebook of one cell."""
    cell = nbformat.v4.new_code_cell(code)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), path)


class Widget:
    """The widget of a notebook that is open and has run.

    Attributes:
        page: playwright's page.
        milliseconds: from key press (or mouse release) to new picture, one number an :meth:`act`.
    """

    def __init__(self, page, within: str) -> None:
        self.page, self.within = page, within
        self.image = f":is({within}) img.widget-image"
        self.milliseconds: list[float] = []
        bad = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
        page.wait_for_function(
            "([image, bad]) => document.querySelector(image)?.naturalWidth || document.querySelector(bad)",
            arg=[self.image, bad],
            timeout=RUN,
        )
        said = page.locator(bad).all_inner_texts()
        assert not said, f"the cell complains: {said[0][-2000:]}"
        page.evaluate("image => document.querySelector(image).dataset.first = 'yes'", self.image)

    def control(self, label: str):
        """What takes the focus of the slider, list, box, field or button of a label."""
        found = self.page.evaluate_handle(_CONTROL, [self.within, label]).as_element()
        assert found, f"no control {label!r} among {self.page.locator('.jupyter-widgets').all_inner_texts()}"
        return found

    def picture(self) -> str:
        """All bytes of the picture shown."""
        return self.page.locator(self.image).first.evaluate(_BYTES)

    def said(self) -> str:
        """The line of text about the picture."""
        return " ".join(self.page.locator(f":is({self.within}) .widget-label.widget-inline-hbox").all_inner_texts())

    def act(self, action, event: str = "keydown") -> None:
        """Do something that must lead to another picture, and wait for it.

        Args:
            action: does it.
            event: the browser event from which on time is counted.
        """
        before = self.picture()
        self.page.evaluate(_CLOCK, [self.image, event])
        action()
        try:
            self.page.wait_for_function("window.dfrMilliseconds !== null", timeout=ANSWER)
        except Exception as error:
            focus = self.page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
            raise AssertionError(f"no new picture within {ANSWER // 1000} s; the focus is on {focus}") from error
        self.milliseconds.append(self.page.evaluate("window.dfrMilliseconds"))
        assert self.picture() != before, "another picture, but with the same pixels"

    def press(self, label: str, *keys: str) -> None:
        """Press keys on a control; each must lead to another picture."""
        self.control(label).focus()
        for key in keys:
            self.act(lambda key=key: self.page.keyboard.press(key))

    def enter(self, label: str, text: str) -> None:
        """Type a text into a field and press Enter."""
        self.control(label).fill(text)
        self.act(lambda: self.page.keyboard.press("Enter"))

    def check_layout(self) -> None:
        """The picture is the one of the beginning with new bytes (no flicker), undistorted, and nothing is wider than the page."""
        found = self.page.evaluate(
            """image => {
                const i = document.querySelector(image), o = i.closest('.jp-OutputArea-output') || document.body;
                const distortion = i.clientWidth / i.clientHeight / (i.naturalWidth / i.naturalHeight);
                return [i.dataset.first, distortion, o.scrollWidth - o.clientWidth];
            }""",
            self.image,
        )
        assert found[0] == "yes", "the image element was replaced"
        assert abs(found[1] - 1) < 0.02, f"the picture is distorted by a factor {found[1]:.2f}"
        assert found[2] <= 1, f"the widget is {found[2]} pixels wider than its cell"

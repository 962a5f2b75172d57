"""The slider in a browser, without a kernel: by mouse, touch and keyboard, and without scripts."""

import json
import shutil
import subprocess
import time
from urllib.request import urlopen

import numpy
import pytest
import websocket
from matplotlib import pyplot

from ganlib import figures
from ganlib.publishing.pdf import BROWSERS

BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium to look at the page with")
LABELS = [f"round {index}" for index in range(5)]


class Page:
    """A tab of a headless Chromium, by its debugging protocol."""

    def __init__(self, port: int):
        (tab,) = (
            tab
            for tab in json.load(urlopen(f"http://127.0.0.1:{port}/json"))
            if tab["type"] == "page"
        )
        address = tab["webSocketDebuggerUrl"]
        self.socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self.number = 0

    def call(self, method: str, **parameters: object) -> dict:
        """Call a method; its result. Events in between are let go."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, address: str) -> None:
        """Go to a page, and wait until it is there."""
        self.call("Page.enable")
        self.number += 1
        command = {"id": self.number, "method": "Page.navigate", "params": {"url": address}}
        self.socket.send(json.dumps(command))
        while json.loads(self.socket.recv()).get("method") != "Page.loadEventFired":
            pass
        time.sleep(0.2)

    def value(self, script: str) -> object:
        """What an expression gives on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    def shown(self) -> tuple[str, int]:
        """The label beside the slider, and which picture is there."""
        time.sleep(0.1)
        label = self.value("document.querySelector('output').textContent")
        script = (
            "JSON.parse(document.querySelector('.scrub').dataset.frames).indexOf("
            "document.querySelector('img').src.split(',')[1])"
        )
        return label, self.value(script)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    options += ["--disable-background-networking", f"--user-data-dir={folder}"]
    command = [BROWSER, *options, "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = folder / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not port.exists() or not port.read_text():
            assert time.monotonic() < until and process.poll() is None, "Chromium did not start"
            time.sleep(0.1)
        time.sleep(0.5)
        yield Page(int(port.read_text().split()[0]))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with nothing but a slider of five pictures, at the third."""
    drawn = []
    for index in range(5):
        figure, axes = pyplot.subplots(figsize=(3, 2))
        axes.plot([0, 1], [index, index])
        axes.set_ylim(-1, 5)
        drawn.append(figure)
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", lambda data, raw: shown.append(data["text/html"]))
        figures.scrub(drawn, LABELS, "A line that rises.", start=2)
    file = tmp_path_factory.mktemp("page") / "slider.html"
    head = "<!doctype html><meta name=viewport content='width=device-width'>"
    file.write_text(head + shown[0], encoding="utf-8")
    return file.as_uri()


def bar(page: Page, share: float) -> dict[str, float]:
    """A place on the slider, a share of its width from the left."""
    box = page.value(
        "(() => { const b = document.querySelector('input').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    left, top, width, height = box
    return {"x": left + share * width, "y": top + height / 2}


def test_the_mouse_drags_it(page, address):
    page.open(address)
    assert page.shown() == ("round 2", 2)
    press = {"button": "left", "buttons": 1, "clickCount": 1}
    page.call("Input.dispatchMouseEvent", type="mousePressed", **bar(page, 0.5), **press)
    for share in (0.4, 0.2, 0.01):
        place = bar(page, share)
        page.call("Input.dispatchMouseEvent", type="mouseMoved", **place, button="left", buttons=1)
    assert page.shown() == ("round 0", 0)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", **bar(page, 0.01), **press)
    page.call("Input.dispatchMouseEvent", type="mousePressed", **bar(page, 0.99), **press)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", **bar(page, 0.99), **press)
    assert page.shown() == ("round 4", 4)


def test_a_finger_drags_it(page, address):
    page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
    page.open(address)
    touch = "Input.dispatchTouchEvent"
    page.call(touch, type="touchStart", touchPoints=[bar(page, 0.5)])
    for share in (0.6, 0.8, 0.99):
        page.call(touch, type="touchMove", touchPoints=[bar(page, share)])
    page.call(touch, type="touchEnd", touchPoints=[])
    assert page.shown() == ("round 4", 4)
    assert page.value("document.querySelector('input').getBoundingClientRect().height") >= 44
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_the_arrow_keys_move_it_and_a_screen_reader_hears_the_label(page, address):
    page.open(address)
    codes = {"Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}

    def press(key: str) -> None:
        for event in ("keyDown", "keyUp"):
            page.call(
                "Input.dispatchKeyEvent",
                type=event,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
            )

    press("Tab")
    for key, expected in (("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0), ("End", 4)):
        press(key)
        assert page.shown() == (f"round {expected}", expected)
        heard = page.value("document.querySelector('input').getAttribute('aria-valuetext')")
        assert heard == f"round {expected}"


def test_without_scripts_a_still_picture_stands_in_its_place(page, address):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address)
        root = page.call("DOM.getDocument")["root"]["nodeId"]

        def box(selector: str) -> list[float] | None:
            node = page.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
            try:
                return page.call("DOM.getBoxModel", nodeId=node)["model"]["border"]
            except AssertionError:  # what is not shown has no box
                return None

        left, top, right, *_, bottom = box("img")
        assert right - left > 100 and bottom - top > 50
        assert box("input") is None and box("output") is None
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    page.open(address)
    assert page.shown() == ("round 2", 2)


@pytest.fixture(scope="module")
def dialled(tmp_path_factory):
    """A page of 2 × 3 × 4 pictures, each of one grey of its own."""
    places = numpy.arange(24).reshape(2, 3, 4)
    pictures = (places[..., None, None] % 12 / 15).repeat(5, -2).repeat(7, -1)
    pictures[1, ..., 0, 0] = 1.0
    names = {"shape": "ab", "width": "cde", "slant": "fghi"}
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("IPython.display.display", lambda data, raw: shown.append(data["text/html"]))
        figures.dials(pictures, names, "Squares of grey.")
    file = tmp_path_factory.mktemp("page") / "dials.html"
    file.write_text("<!doctype html><meta charset=utf-8>" + shown[0], encoding="utf-8")
    return file.as_uri()


def test_dials_pick_the_picture_of_their_places(page, dialled):
    page.open(dialled)

    def picked() -> tuple[str, list[int]]:
        """What stands beside the sliders, and the grey of the corner and of the middle."""
        time.sleep(0.1)
        labels = page.value("[...document.querySelectorAll('output')].map(o => o.value).join('')")
        return labels, page.value(
            "(() => { const c = document.createElement('canvas').getContext('2d');"
            " c.drawImage(document.querySelector('img'), 0, 0);"
            " return [...c.getImageData(0, 0, 1, 1).data.slice(0, 1),"
            " ...c.getImageData(3, 3, 1, 1).data.slice(0, 1)]; })()"
        )

    def turn(dial: int, place: int) -> None:
        page.value(
            f"(() => {{ const bar = document.querySelectorAll('input')[{dial}];"
            f" bar.value = {place}; bar.dispatchEvent(new Event('input')); }})()"
        )

    # The middle of every axis, 1, 1, 2: the eighteenth picture of 24, whose grey is the sixth.
    assert picked() == ("bdh", [0, 255 - 6 * 17])
    for shape in range(2):
        for width in range(3):
            for slant in range(4):
                for dial, place in enumerate((shape, width, slant)):
                    turn(dial, place)
                labels, (corner, middle) = picked()
                assert labels == "ab"[shape] + "cde"[width] + "fghi"[slant]
                assert middle == 255 - 17 * (4 * width + slant)
                assert corner == (0 if shape else middle)
    said = "document.querySelectorAll('input')[2].getAttribute('aria-valuetext')"
    assert page.value(said) == "i"


def test_dials_work_by_keyboard(page, dialled):
    page.open(dialled)
    page.value("document.querySelectorAll('input')[1].focus()")
    for event in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=event, key="End", code="End", windowsVirtualKeyCode=35
        )
    time.sleep(0.1)
    assert page.value("document.querySelectorAll('output')[1].textContent") == "e"


def test_dials_leave_a_still_picture_without_scripts(page, dialled):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(dialled)
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        node = page.call("DOM.querySelector", nodeId=root, selector="img")["nodeId"]
        assert page.call("DOM.getBoxModel", nodeId=node)["model"]["width"] == 42
        bar = page.call("DOM.querySelector", nodeId=root, selector="input")["nodeId"]
        with pytest.raises(AssertionError):
            page.call("DOM.getBoxModel", nodeId=bar)
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize(
    ("pictures", "settings", "alt", "complaint"),
    [
        (numpy.zeros((2, 3, 4, 4)), {"a": "xy", "b": "xy"}, "Grey.", "expected"),
        (numpy.zeros((1, 4, 4)), {"a": "x"}, "Grey.", "two places"),
        (numpy.zeros((4, 4)), {}, "Grey.", "expected"),
        (numpy.full((2, 4, 4), numpy.nan), {"a": "xy"}, "Grey.", "not finite"),
        (numpy.zeros((2, 4, 4)), {"a": "xy"}, " ", "alt"),
    ],
)
def test_dials_that_fit_no_pictures_are_refused(pictures, settings, alt, complaint):
    with pytest.raises(ValueError, match=complaint):
        figures.dials(pictures, settings, alt)

"""`evenflow.report`: the page's structure, its pictures, and how a browser shows it."""

import base64
import math
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import evenflow
from evenflow import plotting
from evenflow.callbacks import History

LAYERS = ["dense", "dense_1", "dense_2"]
WARNING = "epoch 2: layer dense_1: 62 % of its units were zero for every row of this epoch: <dying> & ReLU"
QUANTITIES = ("mean", "std", "dead", "saturated", "gradient", "update")


def history(epochs=6, messages=(WARNING,)):
    """What `fit` returns, with numbers that are known."""
    found = History()
    found.epoch, found.messages = list(range(epochs)), list(messages)
    falling = [2.0 * 0.7**epoch for epoch in range(epochs)]
    found.history = {"loss": falling, "accuracy": [1 - 0.5 * 0.7**epoch for epoch in range(epochs)]}
    found.history |= {f"val_{name}": [1.1 * value for value in series] for name, series in found.history.items()}
    for i, layer in enumerate(LAYERS):
        found.history[f"health/{layer}/mean"] = [0.1 * (i - 1)] * epochs
        found.history[f"health/{layer}/std"] = [0.5 + i] * epochs
        found.history[f"health/{layer}/dead"] = [0.62 * (i == 1)] * epochs
        found.history[f"health/{layer}/saturated"] = [0.1 * i] * epochs
        found.history[f"health/{layer}/gradient"] = [10.0 ** (i - epoch) for epoch in range(epochs)]
        found.history[f"health/{layer}/update"] = [1e-3 * (epoch + 1) for epoch in range(epochs)]
    return found


class Page(HTMLParser):
    """Its elements, once every tag that opens was seen to close."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else None, data))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


@pytest.fixture
def written(tmp_path):
    pytest.importorskip("matplotlib")
    return evenflow.report(history(), tmp_path / "run.html", title="Digits & co")


def test_the_page_and_its_pictures(written, tmp_path):
    names = ["run.html", "run-learning_curves.png", *(f"run-{quantity}.png" for quantity in QUANTITIES)]
    assert [path.name for path in written] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    page = Page(written[0].read_text(encoding="utf-8"))
    assert page.tags[0][0] == "html"
    assert page.text("title") == page.text("h1") == ["Digits & co"]
    assert page.text("h2")[:3] == ["Warnings", "Learning curves", "Mean of activations"]
    assert page.text("li") == [WARNING]
    pictures = page.of("img")
    assert len(pictures) == 7
    for picture, path in zip(pictures, written[1:], strict=True):
        kind, data = picture["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == path.read_bytes()
        assert picture["alt"]
    cells = page.text("td")
    assert cells[:7] == ["dense", "-0.1", "0.5", "0.0%", "0.0%", "1e-05", "0.006"]
    assert "62.0%" in cells
    assert "6 epochs; at the end: loss 0.3361" in written[0].read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(written):
    text = written[0].read_text(encoding="utf-8")
    assert "http" not in text
    page = Page(text)
    assert not page.of("link")
    assert not page.of("script")
    assert all(source["src"].startswith("data:") for source in page.of("img"))


def test_without_health_there_are_curves_alone(tmp_path):
    pytest.importorskip("matplotlib")
    curves = {"loss": [2.0, 1.0], "gradient_norm/dense/kernel": [1.0, 2.0]}
    paths = evenflow.report(curves, str(tmp_path / "plain.htm"))
    assert [path.name for path in paths] == ["plain.htm", "plain-learning_curves.png"]
    page = Page(paths[0].read_text(encoding="utf-8"))
    assert page.text("h2") == ["Warnings", "Learning curves"]
    assert "not watched" in " ".join(page.text("p"))
    healthy = evenflow.report(history(messages=()), tmp_path / "healthy.html")
    assert "None." in Page(healthy[0].read_text(encoding="utf-8")).text("p")


def test_heat_maps():
    pytest.importorskip("matplotlib")
    rows = {"low": [1e-7, 1e-6, 0.0], "high": [1.0, math.nan, 10.0]}
    figure = plotting.heat_map(rows, "gradient", title="Gradient norm")
    axes = figure.axes[0]
    (image,) = axes.images
    values = image.get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(values)).tolist() == [[False, False, True], [False, True, False]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["low", "high"]
    assert (image.norm.vmin, image.norm.vmax) == (1e-7, 10)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer on top
    assert axes.get_title() == "Gradient norm"
    shares = plotting.heat_map({"a": [0.0, 0.2]}, "dead").axes[0].images[0].norm
    assert (shares.vmin, shares.vmax) == (0, 1)
    means = plotting.heat_map({"a": [-3.0, 1.0]}, "mean").axes[0].images[0].norm
    assert (means.vmin, means.vcenter, means.vmax) == (-3, 0, 3)
    plotting.heat_map({"a": [0.0, 0.0]}, "update")  # nothing that a logarithm has


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"report: path: expected a name that ends in .html, received '.*run.pdf'"):
        evenflow.report(history(), tmp_path / "run.pdf")
    with pytest.raises(TypeError, match="report: history: expected a History or its `history`"):
        evenflow.report([1.0], tmp_path / "run.html")
    with pytest.raises(ValueError, match="no finished epoch"):
        evenflow.report({}, tmp_path / "run.html")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'evenflow\[plot\]'"):
        evenflow.report(history(), tmp_path / "run.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.peers
def test_a_browser_shows_it(written, tmp_path):
    """Pixels of the warning's ground, of a curve, and of the darkest cell of the map of dead units."""
    image = pytest.importorskip("matplotlib.image")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    shot = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'user'}"]
    flags += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [browser, *flags, "--window-size=1100,4000", f"--screenshot={shot}", written[0].as_uri()]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    pixels = np.round(image.imread(shot)[:, :, :3] * 255).astype(int).reshape(-1, 3)

    def count(color):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        return int((np.abs(pixels - wanted).max(axis=1) <= 3).sum())

    assert count("#fff3e6") > 5000
    assert count(plotting.TRAINING) > 300
    assert count("#ffffff") < 0.97 * len(pixels)

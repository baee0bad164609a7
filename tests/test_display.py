"""Where a progress bar is drawn, and what stands in its place elsewhere."""

import io
import re
import sys
import time
import types

import pytest
from example import blobs, network

from evenflow.callbacks import Callback
from evenflow.callbacks.display import shows_bars


class Slow(Callback):
    """A bar is drawn again only after a while."""

    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(0.06)


def stream_of(module):
    """A stream whose class comes from that module."""
    return type("OutStream", (io.StringIO,), {"__module__": module})()


@pytest.fixture
def notebook(monkeypatch):
    """The stream of a notebook's cell: IPython with a kernel behind it."""
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    return stream_of("ipykernel.iostream")


def test_a_bar_in_a_notebook(notebook, monkeypatch):
    monkeypatch.setattr(sys, "stdout", notebook)
    assert shows_bars(notebook)
    x, y = blobs(64)
    network().fit(x, y, batch_size=16, callbacks=[Slow()])
    *bars, line = [part for part in re.split("[\r\n]+", notebook.getvalue()) if part.strip()]
    assert any("%|" in bar and "samples/s" in bar for bar in bars)
    assert line.startswith("Epoch 1/1 - ")


def test_a_bar_without_a_known_end(notebook, monkeypatch):
    monkeypatch.setattr(sys, "stdout", notebook)
    x, y = blobs(64)
    network().fit(((x[start : start + 8], y[start : start + 8]) for start in range(0, 64, 8)), callbacks=[Slow()])
    *bars, line = [part for part in re.split("[\r\n]+", notebook.getvalue()) if part.strip()]
    assert any(re.match(r"Epoch 1/1 \d+ samples, .*loss: ", bar) for bar in bars), bars
    assert line.startswith("Epoch 1/1 - ")


def test_lines_elsewhere(notebook, monkeypatch):
    assert not shows_bars(io.StringIO()), "redirected from a notebook"
    monkeypatch.delitem(sys.modules, "IPython")
    assert not shows_bars(stream_of("ipykernel.iostream"))
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    assert shows_bars(terminal)
    x, y = blobs(64)
    model = network()
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    model.fit(x, y, epochs=2, batch_size=16, callbacks=[Slow()])
    model.evaluate(x, y)
    lines = pipe.getvalue().splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["Epoch 1/2", "Epoch 2/2", "Evaluate"]
    assert "\r" not in pipe.getvalue()

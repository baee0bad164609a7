"""The progress bar where people see it: on a terminal, in a cell of a notebook, in a file."""

import fcntl
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

TRAINING = """
import time
import numpy as np
import evenflow
from evenflow.layers import Dense, Input

class Slow(evenflow.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.03)

model = evenflow.Sequential([Input((3,)), Dense(2, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.ones((400, 3), np.float32), np.zeros(400, np.int64)
history = model.fit(x, y, batch_size=40, epochs=2, validation_split=0.2, callbacks=[Slow()])
"""
LINES = [r"Epoch 1/2 - \d+\.\d\ds - .* samples/s - loss: .* - val_loss: .*", r"Epoch 2/2 - .*"]


def on_a_terminal(columns):
    """What a program writes to a terminal of so many columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", TRAINING], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # nobody holds the other end any more
            part = b""
        if not part:
            break
        written += part
    os.close(ours)
    assert child.wait() == 0, written
    return written.decode()


def screen(written):
    """The lines that are left, as a terminal overwrites them."""
    lines, at = [""], 0
    for part in re.split(r"(\r\n|\r|\n)", written):
        if part in ("\r\n", "\n"):
            lines.append("")
            at = 0
        elif part == "\r":
            at = 0
        else:
            lines[-1] = lines[-1][:at] + part + lines[-1][at + len(part) :]
            at += len(part)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal(columns):
    written = on_a_terminal(columns)
    bars = [part for part in re.split(r"[\r\n]+", written) if "%|" in part]
    assert len(bars) > 4
    assert all(len(bar) <= columns for bar in bars)
    assert any("loss: " in bar and "accuracy: " in bar and "samples/s" in bar for bar in bars)
    left = screen(written)
    assert len(left) == len(LINES), left
    for line, expected in zip(left, LINES, strict=True):
        assert re.fullmatch(expected, line), line


def test_in_a_file(tmp_path):
    with open(tmp_path / "log.txt", "w") as log:
        subprocess.run([sys.executable, "-c", TRAINING], stdout=log, stderr=subprocess.STDOUT, check=True)
    text = (tmp_path / "log.txt").read_text()
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == len(LINES)
    for line, expected in zip(lines, LINES, strict=True):
        assert re.fullmatch(expected, line), line


NOTEBOOK = """
import json, sys
import nbclient, nbformat

cells = [nbformat.v4.new_code_cell(source) for source in json.loads(sys.stdin.read())]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


@pytest.mark.peers
def test_in_a_notebook():
    """In a kernel that runs its cells, as a notebook's page would ask it to."""
    if not all(map(importlib.util.find_spec, ("nbclient", "ipykernel"))):
        pytest.skip("nbclient or ipykernel is not installed")
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK],
        input=json.dumps([TRAINING, "print(history.epoch)"]),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (training, after) = json.loads(done.stdout.splitlines()[-1])
    assert {output["output_type"] for output in training} == {"stream"}
    assert {output["name"] for output in training} == {"stdout"}
    written = "".join(output["text"] for output in training)
    assert "%|" in written
    left = screen(written)
    assert len(left) == len(LINES), left
    for line, expected in zip(left, LINES, strict=True):
        assert re.fullmatch(expected, line), line
    assert after[0]["text"] == "[0, 1]\n"

"""Real data: what `evenflow train` reaches with its defaults."""

import json
import statistics

import pytest

from evenflow import datasets
from evenflow.cli import main

# Test accuracy of Keras 3.15.1 with the same network, data and settings: seeds 1, 2 and 3, measured twice.
KERAS_ON_FASHION_MNIST = (0.8930, 0.8932, 0.8918, 0.8912, 0.8956, 0.8957)


def accuracy(folder, seed):
    """On the test rows, after `evenflow train`."""
    out = folder / str(seed)
    assert main(["train", "--quiet", "--seed", str(seed), "--out", str(out)]) == 0
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["scores"]["test"]["accuracy"]


@pytest.mark.peers
def test_digits(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(datasets.idx, "fashion_mnist_folder", lambda: None)
    assert statistics.median(accuracy(tmp_path, seed) for seed in (1, 2, 3)) >= 0.97


@pytest.mark.slow
def test_fashion_mnist_as_well_as_keras(tmp_path):
    if datasets.fashion_mnist_folder() is None:
        pytest.skip("Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist")
    reached = statistics.median(accuracy(tmp_path, seed) for seed in (1, 2, 3))
    assert abs(reached - statistics.median(KERAS_ON_FASHION_MNIST)) <= 0.005

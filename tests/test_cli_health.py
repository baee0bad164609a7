"""`evenflow train --report` and `evenflow check` as a user meets them."""

from pathlib import Path

import pytest
from test_cli import complaint, history, only_run
from test_datasets import write_idx_folder

import evenflow
from evenflow import cli, datasets


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A data set, with nothing beside it in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(datasets.idx, "DEBIAN_FOLDER", tmp_path / "not-installed")
    write_idx_folder(tmp_path / "images", rows=80)
    return str(tmp_path / "images")


def test_report(images, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["train", "--data", images, "--epochs", "2", "--layers", "4", "--report"]) == 0
    names = {path.name for path in only_run().iterdir()}
    assert {"report.html", "report-dead.png", "report-learning_curves.png"} <= names
    assert "report.html, report-learning_curves.png" in capsys.readouterr().out
    page = (only_run() / "report.html").read_text(encoding="utf-8")
    assert "<h2>Dead units</h2>" in page
    spreads = [float(value) for name, value in history(only_run())[0].items() if name.endswith("/std")]
    assert len(spreads) == 2
    assert min(spreads) > 0


def test_check_of_what_train_would_train(images, capsys):
    assert cli.main(["check", "--data", images, "--layers", "4,4"]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"
    selu = ["--activation", "selu", "--no-batch-norm"]
    assert cli.main(["check", "--data", images, "--layers", "4,4", *selu]) == 1
    found = capsys.readouterr().out.splitlines()
    assert sum("use 'lecun_normal'" in line for line in found) == 2
    assert not Path("runs").exists()


def test_check_of_a_saved_model(tmp_path, capsys):
    hidden = [evenflow.layers.Dense(3, "relu", name="hidden"), evenflow.layers.Dense(2, "softmax")]
    model = evenflow.Sequential([evenflow.Input((4,)), *hidden])
    model.save(tmp_path / "model.safetensors")
    assert cli.main(["check", str(tmp_path / "model.safetensors")]) == 1
    assert capsys.readouterr().out.startswith("layer hidden: relu with kernel_initializer='GlorotUniform'")
    assert cli.main(["check", str(tmp_path / "missing.safetensors")]) == 1
    assert "missing.safetensors" in complaint(capsys)

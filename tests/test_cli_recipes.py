"""`evenflow train --recipe`."""

import json
from pathlib import Path

import numpy as np
import pytest

from evenflow import cli
from evenflow.layers import Dense
from evenflow.models import load_model
from evenflow.recipes import RECIPES, tabular_mlp

every_recipe = pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((300, 3)) * [1, 1e-3, 1e4]
    y = 1000 + 50 * x[:, 0] - 20e3 * x[:, 1]
    lines = ["a,b,c,y", *(",".join(map(str, row)) for row in np.column_stack([x, y]))]
    Path("line.csv").write_text("\n".join(lines), encoding="utf-8")
    return ["train", "--data", "line.csv", "--target", "y", "--quiet"]


@every_recipe
def test_train_takes_a_recipe(make, table, capsys):
    name = make.__name__
    assert (
        cli.main([*table, "--recipe", name, "--layers", "20,10", "--epochs", "40", "--threads", "1", "--out", "run"])
        == 0
    )
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["scores"]["test"]["r2"] > 0.9
    settings = record["settings"]
    assert (settings["recipe"], settings["epochs"], settings["validation"]) == (name, 40, 0.2)
    assert settings["batch_size"] == (256 if make is tabular_mlp else 32)
    kept = load_model("run/model.safetensors")
    assert [layer.units for layer in kept.layers if isinstance(layer, Dense)] == [20, 10, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--recipe tabular", "--recipe='tabular' is not known. Did you mean 'tabular_mlp'?"),
        (
            "--recipe default_mlp --activation elu",
            "--activation belongs to a network of your own: --recipe default_mlp",
        ),
        ("--recipe default_mlp --no-batch-norm", "--no-batch-norm belongs to a network of your own"),
        ("--recipe default_mlp --validation 0", "--recipe default_mlp needs rows for validation"),
        ("--recipe default_mlp --learning-rate -1", "default_mlp: learning_rate: expected a finite number above 0"),
    ],
)
def test_train_refuses_what_a_recipe_chooses(table, options, message, capsys):
    assert cli.main([*table, *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()

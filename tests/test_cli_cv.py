"""`evenflow train --cv K`: scores of each fold, their mean and deviation, and what the folder keeps."""

import argparse
import csv
import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from test_cli import complaint, only_run, record, train
from test_datasets import write_csv

import evenflow
from evenflow import datasets, plotting
from evenflow.cli import cross_validation, train_arguments
from evenflow.cli.network import network

FILES = {"cv.csv", "history.csv", "run.json"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(250, 2))
    kinds = np.array(["few", "many"])[(rows[:, 0] > 0.8).astype(int)]
    lines = [f"{a},{b},{k},{3 * a - b}" for (a, b), k in zip(rows, kinds, strict=True)]
    return write_csv(tmp_path / "table.csv", "a,b,kind,y", *lines)


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


COMMON = ("--layers", "8", "--epochs", 3)


def test_a_run(table, capsys):
    assert train("--data", table, "--target", "kind", "--ignore", "y", "--cv", 4, *COMMON) == 0
    out = capsys.readouterr().out
    run = only_run()
    assert re.fullmatch(r"table-cv-\d{8}-\d{6}", run.name)
    assert {path.name for path in run.iterdir()} == FILES | (
        {"learning_curves.png"} if (run / "learning_curves.png").exists() else set()
    )  # no model, no backup
    folds = lines_of(run / "cv.csv")
    assert [fold["fold"] for fold in folds] == ["1", "2", "3", "4"]
    assert sum(int(fold["test_rows"]) for fold in folds) == 200  # all that are not for the final test
    assert {fold["epochs"] for fold in folds} == {"3"}
    accuracies = [float(fold["accuracy"]) for fold in folds]
    noted = record(run)
    assert noted["status"] == "completed"
    assert noted["settings"]["cv"] == 4
    assert noted["settings"]["learning_rate"] == pytest.approx(0.001)
    assert [fold["accuracy"] for fold in noted["scores"]["folds"]] == accuracies
    assert noted["scores"]["mean"]["accuracy"] == pytest.approx(statistics.mean(accuracies))
    assert noted["scores"]["std"]["accuracy"] == pytest.approx(statistics.stdev(accuracies))
    mean, std = statistics.mean(accuracies), statistics.stdev(accuracies)
    assert f"accuracy {mean:.4g} ± {std:.2g}  (standard deviation of 4 folds)" in out
    for fold, accuracy in zip(folds, accuracies, strict=True):
        assert re.search(rf"^Fold {fold['fold']} .*accuracy {accuracy:.4g}", out, re.MULTILINE)
    epochs = lines_of(run / "history.csv")
    expected = [(fold, epoch) for fold in "1234" for epoch in "123"]
    assert [(line["fold"], line["epoch"]) for line in epochs] == expected
    assert all(float(line["val_loss"]) > 0 for line in epochs)


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_those_of_each_fold_alone(table, threads):
    arguments = ("--data", table, "--target", "kind", "--ignore", "y", "--cv", 3, *COMMON, "--seed", 9)
    assert train(*arguments, "--out", f"run{threads}", "--threads", threads, "--quiet") == 0
    settings = record(Path(f"run{threads}"))["settings"]
    options = argparse.Namespace(**{**settings, "layers": tuple(settings["layers"]), "report": False, "resume": None})
    dataset = datasets.load_csv(table, "kind", ignore=("y",))
    for one, line in zip(
        cross_validation._fold_runs(options, dataset), lines_of(Path(f"run{threads}") / "cv.csv"), strict=True
    ):
        counts = np.bincount(one.data.y_test)
        assert (np.abs(counts - np.bincount(dataset.y_train) / 3) < 1).all()  # each class in its share
        model = network(options, one.data)
        model.fit(one.data.x_train, one.data.y_train, 32, 3, verbose=0, validation_split=0.1)
        scores = model.evaluate(one.data.x_test, one.data.y_test, verbose=0, return_dict=True)
        assert {name: float(line[name]) for name in scores} == scores


def test_regression_in_units_of_the_target(table):
    assert train("--data", table, "--target", "y", "--ignore", "kind", "--cv", 3, *COMMON, "--out", "run") == 0
    folds = lines_of(Path("run") / "cv.csv")
    assert {"rmse", "mae", "r2"} <= set(folds[0])


def test_with_early_stopping_and_recipes(table):
    data = ("--data", table, "--target", "kind", "--ignore", "y", "--cv", 3)
    stopping = ("--epochs", 200, "--early-stopping", 1, "--learning-rate", 0.05)
    assert train(*data, "--layers", "8", *stopping, "--out", "stopped") == 0
    assert all(int(fold["epochs"]) < 200 for fold in lines_of(Path("stopped") / "cv.csv"))
    assert train(*data, "--recipe", "tabular_mlp", "--epochs", 2, "--out", "recipe") == 0
    assert {fold["epochs"] for fold in lines_of(Path("recipe") / "cv.csv")} == {"2"}
    assert record(Path("recipe"))["settings"]["recipe"] == "tabular_mlp"


def test_refusals(table, capsys):
    data = ("--data", table, "--target", "kind", "--ignore", "y")
    for arguments, status, text in (
        ((*data, "--cv", 3, "--report"), 2, "--report"),
        ((*data, "--cv", 500), 2, "--cv: folds=500: expected at least as many rows, received 200"),
        ((*data, "--cv", 3, "--activation", "elo"), 2, "'elu'"),
    ):
        assert train(*arguments) == status
        assert text in complaint(capsys)
    for text in ("1", "x"):
        with pytest.raises(SystemExit) as ended:
            train(*data, "--cv", text)
        assert ended.value.code == 2
        assert "expected a whole number of at least 2" in complaint(capsys)
    assert not Path("runs").exists()


def test_resume_is_refused(table, capsys):
    assert train("--data", table, "--target", "kind", "--ignore", "y", "--cv", 3, *COMMON, "--out", "run") == 0
    noted = record(Path("run"))
    (Path("run") / "run.json").write_text(json.dumps({**noted, "status": "interrupted"}), encoding="utf-8")
    capsys.readouterr()
    assert train("--resume", "run") == 1
    assert "a run with --cv cannot go on" in complaint(capsys)
    assert train("--resume", "run", "--cv", 3) == 2
    assert "leave --cv out" in complaint(capsys)


def test_divergence(table, capsys):
    data = ("--data", table, "--target", "y", "--ignore", "kind", "--cv", 3, *COMMON)
    assert train(*data, "--optimizer", "sgd", "--learning-rate", 1e20, "--no-batch-norm", "--out", "run") == 1
    assert "not finite in fold 1, 2, 3" in complaint(capsys)
    assert record(Path("run"))["status"] == "diverged"


def test_a_fold_without_r2(tmp_path, capsys):
    lines = [f"{i / 10},{(-1) ** i * i}" for i in range(11)]
    table = write_csv(tmp_path / "short.csv", "a,y", *lines)
    assert train("--data", table, "--target", "y", "--task", "regression", "--cv", 6, *COMMON, "--out", "run") == 0
    noted = record(Path("run"))["scores"]
    have = [fold["r2"] for fold in noted["folds"] if "r2" in fold]
    assert 1 < len(have) < 6  # of the others the one row to test on is all there is
    assert noted["count"] == {"rmse": 6, "mae": 6, "r2": len(have)}
    assert noted["mean"]["r2"] == pytest.approx(statistics.mean(have))
    assert noted["mean"]["rmse"] == pytest.approx(statistics.mean(fold["rmse"] for fold in noted["folds"]))
    text = capsys.readouterr().out
    assert re.search(rf"Mean .*, r2 \S+ ± \S+ of {len(have)} folds  \(standard deviation of 6 folds\)", text)
    first = cross_validation.summarize([{"rmse": 1.0}, {"rmse": 2.0, "r2": 0.5}])  # the other way round
    assert first["mean"] == {"rmse": 1.5, "r2": 0.5}
    assert first["count"] == {"rmse": 2, "r2": 1}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_folds_beside_one_that_diverged_are_printed(table, capsys, monkeypatch, threads):
    run = cross_validation.FoldRun._run

    def second_diverges(self):
        if self.number == 2:
            self.model.optimizer.learning_rate = 1e30
        run(self)

    monkeypatch.setattr(cross_validation.FoldRun, "_run", second_diverges)
    data = ("--data", table, "--target", "y", "--ignore", "kind", "--cv", 4, *COMMON)
    settings = ("--optimizer", "sgd", "--no-batch-norm", "--threads", threads, "--out", "run")
    assert train(*data, *settings) == 1
    told = capsys.readouterr()
    assert "not finite in fold 2:" in told.err
    assert [line[:6] for line in told.out.splitlines() if re.match(r"Fold \d", line)] == [f"Fold {i}" for i in "1234"]
    assert re.search(r"^Fold 2 +diverged in epoch 1", told.out, re.MULTILINE)
    assert [fold["fold"] for fold in lines_of(Path("run") / "cv.csv")] == ["1", "3", "4"]


def test_what_fails_leaves_no_folder(table, capsys, monkeypatch):
    def third_fails(self):
        if self.number == 3:
            raise MemoryError("no room")

    monkeypatch.setattr(cross_validation.FoldRun, "_run", third_fails)
    arguments = ("--data", table, "--target", "kind", "--ignore", "y", "--cv", 3, *COMMON, "--out", "run")
    assert train(*arguments) == 1
    told = capsys.readouterr()
    assert told.err == "evenflow train: no room\n"
    assert re.search(r"^Fold 3 +failed", told.out, re.MULTILINE)
    assert not Path("run").exists()


def test_interrupt(table, capsys, monkeypatch):
    def interrupted(self, on_end=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(cross_validation.Together, "run", interrupted)
    assert train("--data", table, "--target", "kind", "--ignore", "y", "--cv", 3, *COMMON, "--out", "run") == 130
    assert record(Path("run"))["status"] == "interrupted"
    assert "interrupted after 0 of 3 folds" in capsys.readouterr().err


def test_fold_curves(tmp_path):
    pytest.importorskip("matplotlib")
    histories = [{"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 2.0]}, {"loss": [5.0, 4.0], "val_loss": [6.0, 5.0]}]
    figure = plotting.fold_curves(histories, tmp_path / "curves.png")
    (axes,) = figure.axes
    means = {line.get_label(): line.get_ydata().tolist() for line in axes.lines if line.get_linewidth() == 2}
    assert means == {"training, mean": [4.0, 3.0, 1.0], "validation, mean": [5.0, 4.0, 2.0]}
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="fold_curves"):
        plotting.fold_curves([])


def test_the_help_says_what_becomes_of_the_model():
    assert "no model" in train_arguments.DESCRIPTION + train_arguments.EXAMPLES
    assert evenflow.fit_many.__doc__

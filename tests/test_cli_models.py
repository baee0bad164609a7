"""`evenflow predict`, `evaluate` and `show`: what a run kept is enough for new data."""

import csv
import gzip
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import complaint, record, train
from test_datasets import write_csv, write_idx_folder

import evenflow
from evenflow import cli, datasets


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs: a table's classes, a table's values, images."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [f"{'wet' if i % 3 else 'dry'},{i % 7},{'rain' if i % 3 else 'sun'}" for i in range(120)]
    weather = write_csv(folder / "weather.csv", "ground,noise,sky", *rows)
    rng = np.random.default_rng(3)
    line = write_csv(folder / "line.csv", "a,b,y", *(f"{a},{b},{3 * a - b + 100}" for a, b in rng.normal(size=(90, 2))))
    write_idx_folder(folder / "images", rows=80)
    common = ("--layers", "8", "--learning-rate", "0.02", "--quiet")
    for name, arguments in (
        ("weather", ("--data", weather, "--target", "sky", "--epochs", 15)),
        ("line", ("--data", line, "--target", "y", "--epochs", 5)),
        ("digits", ("--data", folder / "images", "--epochs", 1)),
    ):
        assert train(*arguments, "--out", folder / name, *common) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_classes_come_back_by_name(runs, capsys):
    new = write_csv(Path("new.csv"), "noise;ground", "3;wet", "5;dry")
    assert call("predict", runs / "weather", new) == 0
    assert table(capsys.readouterr().out) == [{"sky": "rain"}, {"sky": "sun"}]
    assert call("predict", runs / "weather", new, "--probabilities", "--out", "p.csv") == 0
    rows = table(Path("p.csv").read_text(encoding="utf-8"))
    assert list(rows[0]) == ["sky", "sky=rain", "sky=sun"]
    assert float(rows[0]["sky=rain"]) > 0.6
    assert float(rows[1]["sky=sun"]) > 0.6
    assert call("predict", runs / "weather" / "model.safetensors", new, "--out", "p.npy") == 0
    found = np.load("p.npy")
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found[:, 0], [float(row["sky=rain"]) for row in rows], rtol=1e-6)


def test_values_come_back_in_their_units(runs, capsys):
    new = write_csv(Path("new.csv"), "b,a", "-1,2", "0,0")
    assert call("predict", runs / "line", new) == 0
    found = [float(row["y"]) for row in table(capsys.readouterr().out)]
    model = evenflow.models.load_model(runs / "line" / "model.safetensors")
    encoding = datasets.TableEncoding.from_json(record(runs / "line")["data"]["encoding"])
    assert found == encoding.decode(model.predict(encoding.read_csv(new))).tolist()


def test_images_in_every_form(runs, capsys):
    data = datasets.load_idx(runs / "images")
    model = evenflow.models.load_model(runs / "digits" / "model.safetensors")
    expected = model.predict(data.x_test)
    plain = next(path for path in (runs / "images").iterdir() if path.name.startswith("t10k-images"))
    content = gzip.decompress(plain.read_bytes()) if plain.suffix == ".gz" else plain.read_bytes()
    Path("images.gz").write_bytes(gzip.compress(content))
    Path("images").write_bytes(content)
    np.save("images.npy", data.x_test)
    for number, form in enumerate((runs / "images", "images", "images.gz", "images.npy")):
        assert call("predict", runs / "digits", form, "--out", f"{number}.npy") == 0
        np.testing.assert_array_equal(np.load(f"{number}.npy"), expected)
    assert call("predict", runs / "digits", "images") == 0
    assert [int(row["prediction"]) for row in table(capsys.readouterr().out)] == expected.argmax(axis=1).tolist()


def test_a_file_alone(runs, capsys):
    shutil.copy(runs / "line" / "model.safetensors", "m.safetensors")
    new = write_csv(Path("new.csv"), "a,b", "2,-1", "0,0")
    assert call("predict", "m.safetensors", new) == 0
    model = evenflow.models.load_model("m.safetensors")
    found = [float(row["prediction"]) for row in table(capsys.readouterr().out)]
    assert found == model.predict(np.array([[2.0, -1], [0, 0]]))[:, 0].tolist()


def test_evaluate_gives_the_scores_of_the_run(runs, capsys):
    assert call("evaluate", runs / "digits", runs / "images", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = found.pop("rows")
    assert rows == len(datasets.load_idx(runs / "images").x_test)
    assert found == pytest.approx(record(runs / "digits")["scores"]["test"], rel=1e-6)
    data = datasets.load_csv(runs / "line.csv", "y")
    names = dict(zip("ab", data.x_test.T, strict=True))
    encoding = data.encoding
    rows = [
        f"{names['a'][i] * encoding.columns[0].scale + encoding.columns[0].mean},"
        f"{names['b'][i] * encoding.columns[1].scale + encoding.columns[1].mean},{y}"
        for i, y in enumerate(encoding.decode(data.y_test[:, None]))
    ]
    test = write_csv(Path("test.csv"), "a,b,y", *rows)
    assert call("evaluate", runs / "line", test, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("rows") == len(data.x_test)
    assert found == pytest.approx(record(runs / "line")["scores"]["test"], rel=1e-4)
    assert call("evaluate", runs / "weather", runs / "weather.csv") == 0
    assert capsys.readouterr().out.startswith("120 rows: loss ")


def test_show(runs, capsys):
    assert call("show", runs / "weather") == 0
    out = capsys.readouterr().out
    assert "(BatchNormalization)" in out
    assert "Trained by Adam, learning rate 0.02, for " in out
    assert "15 epochs; loss sparse_categorical_crossentropy" in out
    assert "Predicts 'sky' (classification) from ground, noise\nClasses: rain, sun\n" in out
    assert "Program: float32" in out
    assert call("show", runs / "weather", "--no-plan") == 0
    assert "Program:" not in capsys.readouterr().out


def test_early_stopping(runs, capsys):
    options = ("--target", "y", "--layers", "none", "--learning-rate", "0.5", "--epochs", "500", "--quiet")
    assert train("--data", runs / "line.csv", *options, "--early-stopping", "2", "--out", "run") == 0
    noted = record(Path("run"))
    assert noted["epochs_completed"] < 400
    assert noted["settings"]["early_stopping"] == 2
    losses = [float(row["val_loss"]) for row in table(Path("run/history.csv").read_text(encoding="utf-8"))]
    assert min(losses) == losses[-3], "two epochs without a lower one"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("predict nowhere new.csv", 1, "there is no file 'nowhere'"),
        ("predict . new.csv", 1, ".: no model.safetensors there: not the folder of a run that ended"),
        ("predict new.csv new.csv", 1, "cannot use 'new.csv': it is not a whole safetensors file"),
        ("predict RUNS/weather nowhere.csv", 1, "nowhere.csv: No such file or directory"),
        ("predict RUNS/weather new.csv", 1, "column 'ground' has 'damp' on line 2, which is not one of its 2 levels"),
        ("predict RUNS/weather missing.csv", 1, "missing values in 1 of 2 columns, 1 rows: noise 1"),
        ("predict RUNS/weather few.csv", 1, "column='noise' is not known. Known: ground."),
        ("predict RUNS/weather new.csv --out p.txt", 2, "--out p.txt: expected a name that ends in .csv or .npy"),
        ("predict RUNS/weather new.csv --out there.csv", 2, "--out there.csv: exists, and is not overwritten"),
        ("predict RUNS/line line.csv --probabilities", 2, "--probabilities: the model has no classes"),
        ("predict RUNS/line junk.npy", 1, "junk.npy: not an array of numbers in NumPy's format"),
        ("predict RUNS/line junk", 1, "junk: not an IDX file"),
        ("evaluate RUNS/line junk.npy", 2, "DATA junk.npy: expected a CSV, or a folder of IDX files"),
        ("evaluate RUNS/weather few.csv", 1, "column='noise' is not known"),
        ("evaluate lone.safetensors line.csv", 2, "has no run.json that tells what the columns are"),
        ("predict lone.safetensors new.csv", 1, "could not convert string to float"),
        ("show nowhere", 1, "there is no file 'nowhere'"),
    ],
)
def test_wrong_on_purpose(runs, arguments, status, message, capsys):
    write_csv(Path("new.csv"), "noise,ground", "3,damp")
    write_csv(Path("missing.csv"), "noise,ground", "NA,wet")
    write_csv(Path("few.csv"), "ground", "wet")
    write_csv(Path("line.csv"), "a,b", "1,2")
    Path("junk.npy").write_text("junk", encoding="utf-8")
    Path("junk").write_text("junk", encoding="utf-8")
    Path("there.csv").touch()
    shutil.copy(runs / "line" / "model.safetensors", "lone.safetensors")
    assert call(*arguments.replace("RUNS", str(runs)).split()) == status
    assert message in complaint(capsys)


def test_a_record_that_is_none(runs, capsys):
    shutil.copytree(runs / "line", "run")
    for text in ("{", "{}", "[" * 100_000, '{"data": {"encoding": 3, "classes": []}}'):
        Path("run/run.json").write_text(text, encoding="utf-8")
        assert call("show", "run") == 1
        assert "run.json: not what 'evenflow train' writes" in complaint(capsys)

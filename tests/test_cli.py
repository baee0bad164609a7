"""The command line as a user meets it: what it prints, writes, refuses, and its exit status."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_datasets import write_csv, write_idx_folder

import evenflow
from evenflow import cli, datasets, plotting
from evenflow.tables import TableEncoding

FILES = {"model.safetensors", "history.csv", "run.json"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    """Runs go to runs/ below the current folder; and no data set of this machine is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(datasets.idx, "DEBIAN_FOLDER", tmp_path / "not-installed")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    write_idx_folder(folder, rows=80)
    return folder


@pytest.fixture
def line(tmp_path):
    """y = 3 a - b + 100: a table that a network without hidden layers learns."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(300, 2))
    return write_csv(tmp_path / "line.csv", "a,b,y", *(f"{a},{b},{3 * a - b + 100}" for a, b in rows))


def train(*arguments: object) -> int:
    return cli.main(["train", *map(str, arguments)])


def only_run(folder: Path = Path("runs")) -> Path:
    (run,) = folder.iterdir()
    return run


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def complaint(capsys) -> str:
    """The one line on standard error."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


# ---------------------------------------------------------------------------------------------------------- a whole run


def test_train_writes_a_run(images, capsys):
    assert train("--data", images, "--layers", "8", "--epochs", 3, "--seed", 7) == 0
    out = capsys.readouterr().out
    assert f"Data      images ({images}): 3 classes" in out
    assert re.search(r"^Epoch 3/3 .*samples/s.*loss: .*accuracy: .*val_loss: .*val_accuracy: ", out, re.MULTILINE)
    score = re.search(r"^Test      loss ([\d.]+), accuracy ([\d.]+)$", out, re.MULTILINE)
    run = only_run()
    assert re.fullmatch(r"images-\d{8}-\d{6}", run.name)
    assert {p.name for p in run.iterdir()} >= FILES

    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row[name]) > 0 for row in rows for name in ("loss", "val_loss", "seconds", "samples_per_second"))
    noted = record(run)
    assert (noted["status"], noted["epochs_completed"], noted["settings"]["seed"]) == ("completed", 3, 7)
    assert noted["settings"]["learning_rate"] == 0.001
    assert noted["versions"]["numpy"] == np.__version__
    assert noted["scores"]["test"]["accuracy"] == pytest.approx(float(score[2]), rel=1e-3)

    model = evenflow.models.load_model(run / "model.safetensors")
    data = datasets.load_idx(images)
    again = model.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
    assert again == pytest.approx(noted["scores"]["test"], rel=1e-6)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Rescaling", "Flatten", "BatchNormalization", "Dense", "BatchNormalization", "Dense"]


def test_defaults_are_the_chapters_network(images):
    assert train("--data", images, "--epochs", 1, "--quiet") == 0
    model = evenflow.models.load_model(only_run() / "model.safetensors")
    dense = [layer for layer in model.layers if isinstance(layer, evenflow.layers.Dense)]
    assert [layer.units for layer in dense] == [300, 100, 3]
    assert [layer.spec()[-1]["activation"] for layer in dense] == ["elu", "elu", "softmax"]
    assert [type(layer.kernel_initializer).__name__ for layer in dense] == ["HeNormal", "HeNormal", "GlorotUniform"]
    noted = record(only_run())["settings"]
    assert (noted["batch_size"], noted["optimizer"], noted["validation"]) == (32, "adam", 0.1)


def test_same_seed_same_bits(images):
    for out, seed, threads in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        options = ("--layers", "16", "--epochs", 2, "--dropout", 0.3, "--quiet")
        assert train("--data", images, "--out", out, "--seed", seed, "--threads", threads, *options) == 0
    a, b, c = (evenflow.models.load_model(f"{out}/model.safetensors").get_weights() for out in "abc")
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert any((x != y).any() for x, y in zip(a, c, strict=True))


def test_options_reach_the_model(images):
    options = "--layers 5,4 --activation selu --kernel-initializer lecun_normal --no-batch-norm --dropout 0.1"
    options += " --optimizer sgd --momentum 0.9 --learning-rate 0.05 --batch-size 16 --epochs 1 --dtype float64"
    assert train("--data", images, *options.split(), "--validation", 0, "--quiet", "--out", "run") == 0
    model = evenflow.models.load_model("run/model.safetensors")
    kinds = ["Rescaling", "Flatten", "Dense", "AlphaDropout", "Dense", "AlphaDropout", "Dense"]
    assert [type(layer).__name__ for layer in model.layers] == kinds
    assert (model.layers[3].rate, model.dtype) == (0.1, "float64")
    assert (model.optimizer.momentum, model.optimizer.learning_rate) == (0.9, 0.05)
    assert isinstance(model.layers[2].kernel_initializer, evenflow.initializers.LecunNormal)
    assert "val_loss" not in history(Path("run"))[0]
    assert model.optimizer.iterations == 5  # 80 rows, 16 at a time


def test_digits_without_any_data(capsys):
    pytest.importorskip("sklearn")
    assert train("--epochs", 1, "--layers", "10") == 0
    out = capsys.readouterr().out
    assert "Data      digits (scikit-learn): 10 classes" in out
    assert "apt-get install dataset-fashion-mnist" in out


def test_no_data_at_all(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert train() == 1
    assert "pip install 'evenflow[demo]'" in complaint(capsys)
    assert not Path("runs").exists()


# ----------------------------------------------------------------------------------------------------------- CSV tables


def test_regression_scores_are_in_the_targets_units(line, capsys):
    options = ["--target", "y", "--layers", "none", "--no-batch-norm", "--learning-rate", "0.1", "--epochs", "20"]
    assert train("--data", line, *options) == 0
    out = capsys.readouterr().out
    assert "regression of 'y'; --task overrides that" in out
    test = record(only_run())["scores"]["test"]
    assert test["r2"] > 0.999
    assert test["rmse"] < 0.1
    # what run.json keeps is enough to predict new rows
    encoding = TableEncoding.from_json(record(only_run())["data"]["encoding"])
    new = write_csv(Path("new.csv"), "b,a", "-1,2", "0,0")
    model = evenflow.models.load_model(only_run() / "model.safetensors")
    np.testing.assert_allclose(encoding.decode(model.predict(encoding.read_csv(new))), [107, 100], atol=0.3)


def test_classification_keeps_the_levels(tmp_path, capsys):
    rows = [f"{'wet' if i % 3 else 'dry'},{i % 7},{'rain' if i % 3 else 'sun'}" for i in range(200)]
    path = write_csv(tmp_path / "weather.csv", "ground,noise,sky", *rows)
    assert train("--data", path, "--target", "sky", "--layers", "8", "--epochs", 15, "--learning-rate", 0.01) == 0
    assert "classification of 'sky' (2 classes); --task overrides that" in capsys.readouterr().out
    noted = record(only_run())
    assert noted["scores"]["test"]["accuracy"] == 1
    assert noted["data"]["encoding"]["columns"][0] == {"name": "ground", "levels": ["dry", "wet"]}
    assert noted["data"]["classes"] == ["rain", "sun"]


def test_task_can_be_overridden(tmp_path, capsys):
    path = write_csv(tmp_path / "t.csv", "x,y", *(f"{i},{i % 3}" for i in range(60)))
    options = ("--data", path, "--target", "y", "--layers", "4", "--epochs", 1)
    assert train(*options, "--task", "regression") == 0
    out = capsys.readouterr().out
    assert "regression of 'y'\n" in out
    assert "r2" in out


# -------------------------------------------------------------------------------------------------- where the runs go


def test_a_run_is_never_overwritten(images, capsys):
    options = ("--data", images, "--epochs", 1, "--layers", "4", "--quiet")
    assert train(*options, "--out", "deep/run") == 0
    before = {p: p.read_bytes() for p in Path("deep/run").iterdir()}
    capsys.readouterr()
    assert train(*options, "--out", "deep/run") == 1
    assert "deep/run: not empty, and a run never overwrites another" in complaint(capsys)
    assert {p: p.read_bytes() for p in Path("deep/run").iterdir()} == before
    assert len({cli.runs.new_folder(None, "Fashion-MNIST") for _ in range(3)}) == 3


def test_folder_that_cannot_be_made(images, capsys):
    Path("file").touch()
    assert train("--data", images, "--out", "file/run") == 1
    assert "file/run: Not a directory" in complaint(capsys)
    assert train("--data", images, "--out", "file") == 1
    assert "file: File exists" in complaint(capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_is_read_only(images, capsys):
    Path("locked").mkdir(mode=0o500)
    assert train("--data", images, "--out", "locked/run") == 1
    assert "Permission denied" in complaint(capsys)
    assert train("--data", images, "--out", "locked") == 1
    assert "locked: no permission to write there" in complaint(capsys)


def test_quiet_prints_the_score_only(images, capsys):
    assert train("--data", images, "--epochs", 1, "--quiet") == 0
    out = capsys.readouterr().out
    assert out.startswith("Test ")
    assert out.count("\n") == 1


def test_learning_curves(images, capsys):
    pytest.importorskip("matplotlib")
    assert train("--data", images, "--epochs", 2, "--layers", "4") == 0
    assert "history.csv, learning_curves.png, run.json" in capsys.readouterr().out
    assert (only_run() / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_run_still_completes(images, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train("--data", images, "--epochs", 1, "--layers", "4") == 0
    assert "no learning_curves.png: learning_curves: matplotlib is not installed" in complaint(capsys)
    assert {p.name for p in only_run().iterdir()} == FILES
    assert record(only_run())["status"] == "completed"


def test_learning_curves_have_titles_labels_and_legends():
    pytest.importorskip("matplotlib")
    curves = {"loss": [3, 2, 1], "accuracy": [0.3, 0.5, 0.6], "val_loss": [3, 1, 2], "val_accuracy": [0.4, 0.6, 0.5]}
    figure = plotting.learning_curves(curves, title="A run")
    assert figure.get_suptitle() == "A run"
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Accuracy"]
    for axes, best in zip(figure.axes, (1, 0.6), strict=True):
        assert axes.get_xlabel() == "epoch"
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["training", "validation", f"best: {best:g} after epoch 2"]
        training, validation = axes.lines[0], axes.lines[1]
        assert training.get_xdata().tolist() == [0.5, 1.5, 2.5]
        assert validation.get_xdata().tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="no finished epoch"):
        plotting.learning_curves({})


# ----------------------------------------------------------------------------------------------------- wrong on purpose


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: command"),
        ("trian", "invalid choice: 'trian'"),
        ("train --epochs 0", "--epochs: expected a whole number of at least 1, received '0'"),
        ("train --epochs ten", "--epochs: expected a whole number of at least 1, received 'ten'"),
        ("train --batch-size -1", "--batch-size: expected a whole number"),
        ("train --seed -1", "--seed: expected a whole number of at least 0"),
        ("train --threads 0", "--threads: expected"),
        ("train --layers 10,,5", "--layers: expected a whole number"),
        ("train --layers 10,0", "--layers: expected a whole number"),
        ("train --validation 1", "expected a share from 0 to below 1, received '1'"),
        ("train --learning-rate fast", "--learning-rate: invalid float value"),
        ("train --epoch 3", "train: unrecognized arguments: --epoch 3. Did you mean --epochs?; see 'evenflow train"),
        ("train --lr=0.1", "unrecognized arguments: --lr=0.1. Did you mean --learning-rate?"),
        ("info --yaml", "evenflow info: unrecognized arguments: --yaml; see"),
    ],
)
def test_wrong_command_lines(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments.split())
    assert caught.value.code == 2
    text = complaint(capsys)
    assert message in text
    assert text.endswith("--help'\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--activation eluu", "Dense: activation='eluu' is not known. Did you mean 'elu'?"),
        ("--kernel-initializer he_norml", "kernel_initializer='he_norml' is not known. Did you mean 'he_normal'?"),
        ("--learning-rate -1", "learning_rate: expected a finite number at least 0"),
        ("--learning-rate nan", "learning_rate: expected a finite number"),
        ("--optimizer adan", "--optimizer='adan' is not known. Did you mean 'adam'?"),
        ("--momentum 0.9", "--momentum belongs to --optimizer sgd or rmsprop; adam has its own"),
        ("--optimizer sgd --momentum 2", "momentum: expected"),
        ("--target y", "--target, --task and --ignore belong to a CSV"),
    ],
)
def test_wrong_values(images, arguments, message, capsys):
    assert train("--data", images, *arguments.split()) == 2
    assert message in complaint(capsys)
    assert not Path("runs").exists()


def test_wrong_data(tmp_path, line, capsys):
    def refused(status: int, *arguments: object) -> str:
        assert train(*arguments) == status
        assert not Path("runs").exists()
        return complaint(capsys)

    assert "nowhere.csv: No such file or directory" in refused(1, "--data", "nowhere.csv", "--target", "y")
    assert "nowhere: No such file or directory" in refused(1, "--data", "nowhere")
    assert "needs --target COLUMN, the column to predict; it has: a, b, y" in refused(2, "--data", line)
    assert "target='z' is not known" in refused(1, "--data", line, "--target", "z")
    assert "--target belongs to a CSV: give its path with --data" in refused(2, "--target", "y")
    (tmp_path / "empty").mkdir()
    assert "no train-images-idx3-ubyte" in refused(1, "--data", tmp_path / "empty")
    broken = write_csv(tmp_path / "broken.csv", "a,y", *(f"{'NaN' if i == 3 else i},{i % 2}" for i in range(20)))
    assert "missing values in 1 of 2 columns, 20 rows: a 1" in refused(1, "--data", broken, "--target", "y")


def test_what_cannot_be_trained_leaves_no_folder(images, monkeypatch, capsys):
    assert train("--data", images, "--validation", "0.999", "--quiet") == 2
    assert "validation_split=0.999" in complaint(capsys)

    def too_large(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 1.46 TiB")

    monkeypatch.setattr(evenflow.Sequential, "fit", too_large)
    assert train("--data", images, "--quiet") == 1
    assert complaint(capsys) == "evenflow train: Unable to allocate 1.46 TiB\n"
    assert list(Path("runs").iterdir()) == []


def test_divergence_is_a_failure(line, capsys):
    options = "--target y --layers 8 --no-batch-norm --optimizer sgd --learning-rate 1e6 --epochs 50 --quiet"
    assert train("--data", line, *options.split()) == 1
    assert "the loss was not finite in epoch 1, so training ended: try a lower --learning-rate" in complaint(capsys)
    assert record(only_run())["status"] == "diverged"
    assert len(history(only_run())) == 1
    assert not (only_run() / "model.safetensors").exists()


def test_ctrl_c_keeps_what_is_complete(images):
    command = [sys.executable, "-m", "evenflow", "train", "--data", str(images), "--epochs", "1000000", "--out", "run"]
    # A test run in the background ignores SIGINT, and its children would inherit that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 20
        while not Path("run/history.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.fullmatch(r"\nevenflow train: interrupted in epoch \d+; saved in run; to go on: .* --resume run\n", err)
    noted = record(Path("run"))
    assert noted["status"] == "interrupted"
    assert noted["epochs_completed"] == len(history(Path("run"))) > 0
    assert np.isfinite(evenflow.models.load_model("run/model.safetensors").get_weights()[0]).all()


def test_interrupt_while_loading(monkeypatch, capsys):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_default", interrupt)
    assert train() == 130
    assert complaint(capsys) == "evenflow train: interrupted\n"


# ------------------------------------------------------------------------------------------------ info, version, help


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"evenflow {evenflow.__version__}\n"


def test_info(capsys, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["evenflow"] == evenflow.__version__
    assert facts["instruction set in use"] in facts["instruction sets"]
    assert facts["threads"] == evenflow.num_threads()
    assert facts["libraries"]["numpy"] == np.__version__
    assert facts["environment"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert facts["build"]
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"evenflow: {evenflow.__version__}\n" in out
    assert f"  numpy: {np.__version__}\n" in out
    assert "  OMP_WAIT_POLICY: PASSIVE\n" in out


def test_info_imports_nothing_heavy():
    code = "import sys; from evenflow.cli import main; main(['info']); print([m for m in ('torch', 'jax', 'sklearn', "
    code += "'matplotlib', 'keras', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_reader_that_goes_away():
    command = f"{sys.executable} -m evenflow info | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("command", [[], ["train"], ["info"]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    if command != ["info"]:
        assert "examples:\n  evenflow train " in text
    if command == ["train"]:
        for option in ("--layers", "--activation", "--optimizer", "--seed", "--threads", "--out", "exit status"):
            assert option in text


def test_bench_hands_over(monkeypatch):
    given = []

    class Bench:
        @staticmethod
        def main(argv: list[str]) -> int:
            given.append(argv)
            return 3

    monkeypatch.setattr(cli.importlib, "import_module", lambda name, package: Bench)
    assert cli.main(["bench", "--json", "--help"]) == 3
    assert given == [["--json", "--help"]]

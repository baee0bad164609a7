"""`evenflow train --resume`: a run that ended by force comes to the end that it would have come to."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import complaint, history, record, train as train_on
from test_datasets import write_csv, write_idx_folder

import evenflow
from evenflow.cli import runs
from evenflow.saving import files


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def options(tmp_path):
    write_idx_folder(tmp_path / "images", rows=80)
    options = "--data images --layers 8 --dropout 0.2 --early-stopping 3 --learning-rate 0.02 --threads 1 --quiet"
    return (*options.split(), "--epochs", 12)


def train(*arguments):
    """As in a process of its own: layers number themselves from the beginning."""
    evenflow.clear_session()
    return train_on(*arguments)


def outcome(run: Path) -> tuple:
    """What does not depend on time: the model, the history, the scores."""
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")} for row in history(run)]
    noted = record(run)
    model = files.File("test", run / "model.safetensors").metadata
    same = {name: noted[name] for name in ("status", "epochs_completed", "scores", "settings", "data")}
    return model[files.CHECKSUM], rows, same | {"settings": noted["settings"] | {"out": None, "threads": None}}


class Death(BaseException):
    """Nothing is done about it."""


@pytest.mark.parametrize("epoch", [0, 2, 5])
def test_a_run_that_died_goes_on(options, monkeypatch, epoch):
    assert train(*options, "--out", "calm") == 0
    with monkeypatch.context() as patch:
        write = runs.Recorder.on_epoch_end

        def last(self, number, logs=None):
            write(self, number, logs)
            if number == epoch:
                raise Death

        patch.setattr(runs.Recorder, "on_epoch_end", last)
        with pytest.raises(Death):
            train(*options, "--out", "killed")
    assert record(Path("killed"))["status"] == "running"
    assert train("--resume", "killed", "--quiet", "--threads", "2") == 0
    assert outcome(Path("killed")) == outcome(Path("calm"))
    assert {path.name for path in Path("killed").iterdir()} == {path.name for path in Path("calm").iterdir()}


def test_an_interrupted_run_goes_on(options, monkeypatch, capsys):
    assert train(*options, "--out", "calm") == 0
    with monkeypatch.context() as patch:

        def interrupt(self, number, logs=None):
            if number == 3:
                raise KeyboardInterrupt

        patch.setattr(runs.Recorder, "on_epoch_begin", interrupt)
        assert train(*options, "--out", "killed") == 130
    assert "evenflow train --resume killed" in capsys.readouterr().err
    assert train("--resume", "killed", "--quiet") == 0
    assert outcome(Path("killed")) == outcome(Path("calm"))


def test_a_run_killed_by_the_system_goes_on(options):
    assert train(*options, "--out", "calm") == 0
    code = """if True:
        import os, signal, sys
        from evenflow import cli
        from evenflow.cli import runs

        on_progress = runs.Recorder.on_train_progress

        def die(self, rows, logs):
            if len(self.rows) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            on_progress(self, rows, logs)

        runs.Recorder.on_train_progress = die
        cli.main(sys.argv[1:])
    """
    command = [sys.executable, "-c", code, "train", *map(str, options), "--out", "killed"]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert train("--resume", "killed", "--quiet") == 0
    assert outcome(Path("killed")) == outcome(Path("calm"))


def test_what_cannot_be_resumed(options, monkeypatch, capsys):
    def refused(status, *arguments):
        assert train("--resume", *arguments) == status
        return complaint(capsys)

    assert train(*options, "--out", "run") == 0
    capsys.readouterr()
    assert "run: the run is completed: there is nothing to resume" in refused(1, "run")
    assert "nowhere: no run.json there: not the folder of a run" in refused(1, "nowhere")
    noted = record(Path("run")) | {"status": "running"}
    Path("run/run.json").write_text(json.dumps(noted), encoding="utf-8")
    assert "--batch-size: a run goes on with its own settings: leave --batch-size out" in refused(
        2, "run", "--batch-size", 8
    )
    write_idx_folder(Path("images"), rows=70)
    assert "run: the data have changed since the run began (train_shape" in refused(1, "run")
    for text in ("{", "[]", '{"status": "running"}'):
        Path("run/run.json").write_text(text, encoding="utf-8")
        assert "run.json: not what 'evenflow train' writes" in refused(1, "run")


def test_a_table_goes_on(monkeypatch):
    rows = [f"{i % 7},{'ab'[i % 2]},{i % 7 + i % 2}" for i in range(60)]
    write_csv(Path("t.csv"), "x,c,y", *rows)
    options = [
        "--data",
        "t.csv",
        "--target",
        "y",
        "--task",
        "regression",
        "--ignore",
        "c",
        "--layers",
        "4,3",
        "--quiet",
    ]
    assert train(*options, "--out", "calm") == 0
    with monkeypatch.context() as patch:

        def die(self, number, logs=None):
            if number == 3:
                raise Death

        patch.setattr(runs.Recorder, "on_epoch_begin", die)
        with pytest.raises(Death):
            train(*options, "--out", "killed")
    assert train("--resume", "killed", "--quiet") == 0
    assert outcome(Path("killed")) == outcome(Path("calm"))

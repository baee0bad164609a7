"""`evenflow bench --cv` and `--estimators`: everybody does the same, and who does not is told so."""

import dataclasses

import pytest
from evenflow.bench import cli, cross_validation, estimators
from evenflow.bench.cross_validation import PEERS, Result, failed, settings, table


def test_settings():
    every = settings(200)
    assert len(set(every)) == 200
    assert settings(7) == every[:7]
    for field in dataclasses.fields(every[0]):
        assert len({getattr(one, field.name) for one in every}) > 1


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_each_peer_learns(peer, monkeypatch):
    for package in ("sklearn", "joblib", "torch"):
        pytest.importorskip(package)
    monkeypatch.setattr(cross_validation, "EPOCHS", 8)
    chosen = sorted(settings(40), key=lambda one: -one.learning_rate / one.batch_size)[:1]
    scores = PEERS[peer](chosen, 1)
    assert scores.shape == (1, cross_validation.FOLDS)
    assert scores.mean() > 0.9


def test_another_answer_is_told():
    good = Result("evenflow", [1.0, 2.0], 0.960, 0.001)
    near = Result("sklearn", [5.0, 4.0], 0.968, 0.001)
    away = Result("torch", [3.0], 0.980, 0.001)
    absent = Result("torch, stacked", error="ModuleNotFoundError: No module named 'torch'")
    text = table([good, near, away, absent], 10)
    assert [("NOT the same" in line) for line in text.splitlines()[2:]] == [False, False, True, False]
    assert " 4.0  0.9680" in text
    assert not failed([good, near, absent])
    assert failed([good, near, away])
    assert failed([good, Result("sklearn", error="ValueError: no")])
    text = table([Result("evenflow", error="MemoryError: no room"), near, away], 10)
    assert "NOT the same" not in text
    assert text.endswith("Nothing to compare with: evenflow failed: MemoryError: no room")
    assert failed([Result("evenflow", error="MemoryError: no room"), near])
    row = estimators.Row("iris", 150, 0.95, 0.949, 1.0, 3.0)
    assert not estimators.failed([row])
    assert estimators.failed([dataclasses.replace(row, score=0.93)])
    assert " 3.0" in estimators.table([row])


def test_arguments(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--cv", "0"])
    assert "expected more than 0" in capsys.readouterr().err

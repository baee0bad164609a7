"""The workloads of other projects: that each is the network it says, and that evenflow and all peers train it."""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest
from bench_cases import PLAIN, SMALL, cases, checked_in_a_child
from evenflow.bench import call_cases, calls, catalogue, cli, harness, report, session, workloads
from evenflow.bench.catalogue import CALLS, GPU_ONLY, GROUPS, TARGETS, WORKLOADS, UnknownWorkloadError, chosen
from evenflow.bench.kernels import check, timed
from evenflow.bench.numpy_peer import Numpy, error_function, loss_of
from evenflow.bench.peers import PEERS, Evenflow, EvenflowFit
from evenflow.bench.problem import FIRST_LOSSES, Problem, WrongAnswerError
from evenflow.bench.workloads import BINARY, CROSSENTROPY, FORWARD, GRADIENT, SQUARED, Optimizer

from evenflow import _core, reference

# ----------------------------------------------------------------------------------------------------------- catalogue


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_is_a_network(name):
    workload = WORKLOADS[name]
    program = _core.Program(workloads.spec(workload), batch_size=1)
    trained = sum(math.prod(shape) for _, shape, trainable in program.variables() if trainable)
    assert trained == workload.parameters
    assert workload.batches >= FIRST_LOSSES
    assert workload.block >= FIRST_LOSSES  # JAX takes its first losses from one block
    assert workload.batches % workload.block == 0
    assert workload.ground or workload.target
    listed = report.listing([workload], {}, {}, 1e9, [name])
    assert str(workload) in listed
    assert "by name" in listed


def test_operations_of_w7():
    step, forward = WORKLOADS["W7-step"], WORKLOADS["W7-forward"]
    assert forward.flops == 3 * 2 * 256 * 1024 * 1024
    assert step.flops == 8 * 2 * 256 * 1024 * 1024  # as libxsmm counts
    assert forward.update_bytes == 0
    assert step.update_bytes == 12 * step.parameters
    assert step.floor(1e9, 1e9) == (step.flops / 1e9, 12 * step.parameters / 1e9)


def test_shapes_of_others():
    assert WORKLOADS["W1"].kernels == ((4, 32), (32, 16), (16, 4))
    assert WORKLOADS["W3-160x8-128"].rows == 1024
    assert WORKLOADS["W5-sgd"].optimizer == Optimizer("sgd", 0.2, momentum=0.9)
    assert WORKLOADS["W9-512"].flops == (18 * 6 - 2) * 512 * 1024 * 1024
    assert WORKLOADS["W14"].rows == 250_000
    assert sum(catalogue.group_of(name) == "W16" for name in WORKLOADS) == 100


def test_groups_and_names():
    names, named = chosen(["W4", "tiny", "W8", "W4-32"])
    assert names[:3] == ["W4-32", "W4-45", "W4-46"]
    assert named == ["tiny", "W8", "W4-32"]
    assert len(names) == 8
    assert chosen(["all"])[0][:5] == [one.name for one in TARGETS]
    assert chosen(["W3"])[0] == list(catalogue.FEW["W3"])
    assert {name for group in GROUPS for name in catalogue.members(group)} <= {*WORKLOADS, *CALLS}
    assert [group for group in GROUPS if group != "targets"] == [f"W{n}" for n in range(1, 19)]
    with pytest.raises(UnknownWorkloadError, match=r"W11-half .* needs a GPU"):
        chosen(["W11-half"])
    with pytest.raises(UnknownWorkloadError, match=r"W18, all, or one that --list names, received 'W19'"):
        chosen(["W19"])


def test_what_takes_too_long_is_left_out_unless_it_is_named():
    def options(names):
        return cli.parser().parse_args(["--workloads", names])

    slow = WORKLOADS["W9-256"].flops  # a step of W9-256 takes a second
    assert session.chosen_workloads(options("W9"), slow) == (["W9-128"], ["W9-256", "W9-512"])
    assert session.chosen_workloads(options("W9,W9-512"), slow) == (["W9-128", "W9-512"], ["W9-256"])
    assert session.chosen_workloads(options("W15,W8"), 1e15) == (["W15", "W8"], [])
    run, left_out = session.chosen_workloads(options("all"), 1e15)
    assert left_out == ["W15"]  # its data
    assert "W10-top-12800" in run


# ----------------------------------------------------------------------------------------------------------- same work


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", [Evenflow, EvenflowFit, Numpy])
def test_own_answers(kind, name):
    workload = SMALL[name]
    if kind.unable(workload):
        assert workload.part not in kind.parts
        return
    peer = kind(Problem.of(workload), 1)
    losses, expected = peer.check()
    assert len(losses) == len(expected) == (10 if workload.part == GRADIENT else 5)
    assert peer.block() > 0


@pytest.mark.parametrize("name", [name for name in SMALL if SMALL[name].part != FORWARD and not SMALL[name].dropout])
def test_numpy_peer_is_the_reference(name):
    """Two float64 calculations, written apart."""
    problem = Problem.of(dataclasses.replace(SMALL[name], part="step"))
    peer, network = Numpy(problem, 1, dtype="float64"), reference.Network(workloads.spec(problem.workload))
    for path, value in network.variables.items():
        value[...] = problem.variables[path]
    expected = []
    for step in range(5):
        x, y = problem.batch(step)
        loss, _ = network.train_step(x, y, problem.workload.optimizer.learning_rate)
        expected.append(loss / len(x))
    np.testing.assert_allclose(peer.first_losses(5), expected, rtol=1e-6)
    for path, value in network.variables.items():
        np.testing.assert_allclose(peer.variables[path], value, rtol=1e-5, atol=1e-6)


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("peer", ["jax", "torch", "keras", "sklearn"])
def test_peers_train_what_evenflow_trains(peer):
    if not importlib.util.find_spec(peer):
        pytest.skip(f"{peer} is not installed")
    child = checked_in_a_child(peer)
    assert child.returncode == 0, child.stderr[-2000:]
    assert child.stdout.splitlines() == cases(peer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": Optimizer("adam", weight_decay=10.0)},  # no clipping
        {"optimizer": Optimizer("adam", clip=0.5)},  # no decay
        {"activation": "silu"},
        {"batch_norm": False},
    ],
)
def test_a_peer_that_leaves_something_out_is_found_out(wrong):
    problem = Problem.of(SMALL["cross-entropy, mish, AdamW, clipped"])
    expected = Numpy(problem, 1, dtype="float64").first_losses(5)
    other = Problem.of(dataclasses.replace(problem.workload, **wrong))
    with pytest.raises(WrongAnswerError, match="expected"):
        Numpy(other, 1).check(expected)


class Forgetful(Numpy):
    """Knows no dropout."""

    def build(self, threads, dtype="float32"):
        super().build(threads, dtype)
        self.workload = dataclasses.replace(self.workload, dropout=0.0)


def test_a_peer_without_dropout_is_found_out():
    with pytest.raises(WrongAnswerError, match="Forgetful, narrow: expected dropout"):
        Forgetful(Problem.of(SMALL["dropout, binary, l2"]), 1).check()


def test_who_cannot_says_why():
    assert PEERS["sklearn"].unable(SMALL["gelu, Adagrad"]) == "it has no Adagrad"
    assert PEERS["keras"].unable(SMALL["gradient"]) == "no public call for no update"
    assert PEERS["sklearn"].note(WORKLOADS["tabular"]) == "no batch normalization, ReLU, a bias in each layer"
    assert "two classes" in PEERS["sklearn"].note(WORKLOADS["W15"])
    assert PEERS["torch"].note(WORKLOADS["tabular"]) == ""


def test_a_workload_that_is_no_target_in_a_table():
    workload = dataclasses.replace(PLAIN, optimizer=Optimizer("adagrad", 0.05))
    comparison = harness.compare(
        workload, ["numpy", "sklearn"], threads=1, rounds=1, seconds=0.01, isa=_core.isa(), quick=True
    )
    text = report.table(comparison)
    assert "narrow: 6-9-7-3, relu, batch 8; cross-entropy, Adagrad 0.05" in text
    assert "sklearn: cannot do this: it has no Adagrad" in text
    assert "rows/s" in text


def test_numpys_settings():
    names = [variant.name for variant in Numpy.variants(4, quick=False)]
    assert names[:3] == ["1 thr.", "2 thr.", "4 thr."]
    kinds = {v.environment.get("OPENBLAS_CORETYPE") for v in Numpy.variants(4, quick=False)}
    assert kinds == {None, *({"avx512": "SkylakeX", "avx2": "Haswell"}[i] for i in _core.isas() if i != "baseline")}
    assert [variant.name for variant in Numpy.variants(4, quick=True)] == ["1 thr.", "4 thr."]


@pytest.mark.parametrize("kind", [SQUARED, BINARY, CROSSENTROPY])
def test_gradients_of_losses(kind):
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((4, 3))
    y = {SQUARED: rng.standard_normal((4, 3)), BINARY: rng.integers(0, 2, (4, 3)).astype(float)}.get(kind)
    y = rng.integers(0, 3, 4) if y is None else y
    _, gradient = loss_of(kind, outputs, y)
    step = 1e-6
    for place in np.ndindex(outputs.shape):
        up, down = outputs.copy(), outputs.copy()
        up[place] += step
        down[place] -= step
        slope = (loss_of(kind, up, y)[0] - loss_of(kind, down, y)[0]) / (2 * step)
        assert slope == pytest.approx(gradient[place], abs=1e-8)


def test_error_function_with_and_without_scipy(monkeypatch):
    x = np.linspace(-5, 5, 201)
    expected = [math.erf(value) for value in x]
    monkeypatch.setitem(__import__("sys").modules, "scipy.special", None)
    np.testing.assert_allclose(error_function(x), expected, rtol=0, atol=2e-7)
    monkeypatch.undo()
    np.testing.assert_allclose(error_function(x), expected, rtol=0, atol=2e-7)


# --------------------------------------------------------------------------------------------------------------- calls


def test_calls_agree_and_are_timed():
    for group in ("W8", "W17-lists", "W18"):
        cases = call_cases.cases(group)
        assert len({case.what for case in cases}) == len(cases)
        for case in cases:
            if calls.affordable(case, quick=True, named=False):
                made = case.make(None)
                check(case.what, len(made), made)
                assert case.flops or case.moved


def test_a_row_of_calls():
    case = next(case for case in call_cases.cases("W18") if case.what == "silu, backward, 1,024")
    row = calls.run(case, None, 1, 2, 0.001)
    assert {who: len(times) for who, times in row["rounds"].items()} == {"evenflow": 2, "numpy": 2}
    assert row["ceiling"] > 0
    text = calls.table([row | {"errors": {"evenflow": 0.5, "numpy": 2.25}}])
    assert "silu, backward, 1,024" in text
    assert "evenflow 0.5, numpy 2.25" in text


def test_errors_of_activations():
    for name in call_cases.ACTIVATIONS:
        found = call_cases.errors(name, None)
        assert set(found) == {"evenflow", "numpy"}
        assert 0 < found["evenflow"] < 5, name  # what the core's own tests allow


def test_large_cases_are_left_out_unless_named():
    large = call_cases.cases("W17-large")
    assert large
    assert not any(calls.affordable(case, quick=False, named=False) for case in large)
    assert all(calls.affordable(case, quick=False, named=True) for case in large)
    row = {"group": "W17-large", "what": "x", "threads": 1, "rounds": {}, "least": {}, "left_out": 7e9}
    assert "x: left out, it takes 7.0 GB (--workloads W17-large)" in calls.table([row])


def test_calls_by_the_tool(tmp_path, monkeypatch, capfd):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["--workloads", "W18", "--quick", "--rounds", "1", "--seconds", "0.001", "--threads", "1"]
    assert cli.main(arguments) == 0
    out = capfd.readouterr().out
    assert "W18, 1 thread" in out
    assert "mish, backward, 16,384" in out
    assert "10,000,000" not in out


@pytest.mark.peers
def test_calls_beside_pytorch():
    torch = pytest.importorskip("torch")
    for group in ("W8", "W17-lists", "W18"):
        for case in call_cases.cases(group):
            if calls.affordable(case, quick=True, named=False):
                check(case.what, 0, case.make(torch))
    assert set(call_cases.errors("gelu", torch)) == {"evenflow", "numpy", "torch"}


@pytest.mark.parametrize("listed", [[*WORKLOADS], [*CALLS], [*GPU_ONLY]], ids=["workloads", "calls", "gpu"])
def test_list(listed, capsys):
    assert cli.main(["--list"]) == 0
    out = capsys.readouterr().out
    for name in listed:
        assert any(line.split()[:1] == [name] for line in out.splitlines()), name


def test_times_of_all_in_turn():
    times = timed({"a": lambda: None, "b": lambda: None}, 0.0)
    assert {who: len(found) for who, found in times.items()} == {"a": 3, "b": 3}

"""The benchmark: its workloads, its harness, and what it prints. Whether peers train the same network, too."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from evenflow.bench import (
    activations,
    beside,
    cli,
    harness,
    kernels,
    pieces,
    random_layers,
    report,
    rules,
    session,
    worker,
    workloads,
)
from evenflow.bench.catalogue import TARGETS, WORKLOADS
from evenflow.bench.harness import Comparison, MissingError, Series, Worker, WorkerError
from evenflow.bench.numpy_peer import Numpy
from evenflow.bench.peers import PEERS, Evenflow, EvenflowFit
from evenflow.bench.problem import Problem, Variant, WrongAnswerError

from evenflow import _core

PLAIN = Variant("plain")


@pytest.fixture
def problem():
    return Problem.of(WORKLOADS["tiny"])


# ----------------------------------------------------------------------------------------------------------- workloads


def test_operations_and_floor_of_geron():
    geron = WORKLOADS["geron"]
    assert geron.flops == 32 * (4 * 784 * 300 + 6 * 300 * 100 + 6 * 100 * 10)
    assert geron.parameters == 784 * 300 + 300 * 100 + 100 * 10 + 2 * (300 + 100) + 10
    assert geron.floor(1e9, 1e6) == (geron.flops / 1e9, 28 * geron.parameters / 1e6)


@pytest.mark.parametrize("name", [one.name for one in TARGETS])
def test_spec_and_variables_fit(name):
    workload = WORKLOADS[name]
    program = _core.Program(workloads.spec(workload), batch_size=workload.batch)
    shapes = {path: shape for path, shape, _ in program.variables()}
    assert {path: value.shape for path, value in workloads.initial_variables(workload).items()} == shapes
    assert sum(int(np.prod(shape)) for _, shape, trainable in program.variables() if trainable) == workload.parameters
    assert workload.batches >= 20
    assert workload.batches % workload.block == 0


def test_problem_is_a_function_of_the_seed(problem):
    again, other = Problem.of(problem.workload), Problem.of(problem.workload, seed=1)
    for field in ("x", "y", "order"):
        np.testing.assert_array_equal(getattr(problem, field), getattr(again, field))
        assert not np.array_equal(getattr(problem, field), getattr(other, field))
    assert problem.x.dtype == np.float32
    assert set(problem.y) == set(range(4))
    np.testing.assert_array_equal(np.sort(problem.order), np.arange(64 * 256))
    np.testing.assert_array_equal(problem.rows(3, 2), problem.order[3 * 64 : 5 * 64])


# --------------------------------------------------------------------------------------------------------------- peers


@pytest.mark.parametrize("kind", [Evenflow, EvenflowFit, Numpy])
def test_own_answers_are_checked(kind, problem):
    losses, expected = kind(problem, 1).check()
    assert len(losses) == len(expected) == 5


def test_blocks_walk_through_the_epoch(problem):
    geron = dataclasses.replace(problem.workload, block=100)
    peer = Numpy(dataclasses.replace(problem, workload=dataclasses.replace(geron, batches=200)), 1)
    seen = []
    peer.steps = lambda first, count: seen.append((first, count))
    assert [peer.block() for _ in range(3)] == [100, 100, 100]
    assert seen == [(0, 100), (100, 100), (0, 100)]


def test_a_wrong_answer_is_refused(problem, monkeypatch):
    peer = Numpy(problem, 1)
    expected = peer.expected_losses()
    monkeypatch.setattr(peer, "expected_losses", lambda: expected)
    monkeypatch.setattr(workloads, "BN_EPSILON", 2e-3)
    with pytest.raises(WrongAnswerError, match="Numpy, tiny: losses of the first steps expected"):
        peer.check()


@pytest.mark.peers
@pytest.mark.parametrize("peer", ["jax", "torch", "keras", "sklearn"])
def test_peers_train_the_same_network(peer):
    variant = PEERS[peer].variants(1, quick=True)[0]
    try:
        with Worker(peer, variant, WORKLOADS["tiny"], 1) as live:
            assert live.hello["version"]
            assert all(0 < seconds < 1 for seconds in live.time(0.01))
    except MissingError as error:
        pytest.skip(f"{error} is not installed")


def test_variants_use_no_more_threads_than_asked_for():
    for kind in PEERS.values():
        for variant in kind.variants(3, quick=False):
            counts = {int(variant.environment[key]) for key in variant.environment if key.endswith("_NUM_THREADS")}
            assert counts <= {1, 3}
        assert len(kind.variants(3, quick=True)) <= len(kind.variants(3, quick=False))


# ------------------------------------------------------------------------------------------------------------- harness


def test_worker_environment(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("HOME", "/somewhere")
    environment = harness.child_environment(Variant("", {"OMP_NUM_THREADS": "2"}))
    assert "OPENBLAS_CORETYPE" not in environment
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["HOME"] == "/somewhere"


def test_time_blocks_leaves_the_first_block_out(monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(clock))
    calls = []
    times = worker.time_blocks(lambda: calls.append(1) or 4, 0.0)
    assert times == [0.25, 0.25, 0.25]  # a second per block of four steps
    assert len(calls) == 4


def test_missing_library(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match=r"^torch$"):
        Worker("torch", PLAIN, WORKLOADS["tiny"], 1)


def test_failing_worker_shows_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise RuntimeError('out of order')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkerError, match=r"(?s)torch \(plain\), tiny: .*Traceback.*out of order"):
        Worker("torch", PLAIN, WORKLOADS["tiny"], 1)


def test_dying_worker(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text(
        "import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos._exit(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkerError, match=r"(?s)the process died.*last words"):
        Worker("torch", PLAIN, WORKLOADS["tiny"], 1)


def series(*rounds):
    return Series("name", "", "", "", [], {}, [list(times) for times in rounds])


def test_ratios_are_taken_round_by_round():
    own = series([1, 1, 9], [10, 10, 10], [2, 2, 2])
    peer = series([3, 3, 3], [20, 20, 20], [2, 8, 8])
    assert peer.ratio(own) == 3  # of 3, 2 and 4
    assert own.median == 2
    assert own.least == 1


def test_share_of_the_floor():
    workload = dataclasses.replace(WORKLOADS["tiny"])
    comparison = Comparison(workload, 1, {"evenflow": series([4.0], [2.0], [4.0])})
    halves = {"fma": float(workload.flops), "bandwidth": 28.0 * workload.parameters}  # a floor of two seconds
    comparison.ceilings = [halves, halves, halves]
    assert comparison.shares() == [0.5, 1.0, 0.5]
    assert comparison.share == 0.5


# ---------------------------------------------------------------------------------------------------------------- tool


def test_bench_prints_a_table_and_writes_json(tmp_path, capfd):
    file = tmp_path / "bench.json"
    arguments = ["--workloads", "tiny", "--peers", "numpy,fit", "--rounds", "2", "--seconds", "0.01", "--threads", "1"]
    assert cli.main([*arguments, "--json", str(file)]) == 0
    out = capfd.readouterr().out
    assert "tiny: 8-64-64-4, relu, batch 64" in out
    assert "40%" in out
    found = json.loads(file.read_text(encoding="utf-8"))
    assert (found["format"], found["version"]) == ("evenflow bench", 2)
    assert found["machine"]["threads"] == [1]
    assert found["machine"]["isa"] == _core.isa()
    (tiny,) = found["runs"]
    assert (tiny["workload"], tiny["threads"]) == ("tiny", 1)
    assert list(tiny["peers"]) == ["evenflow", "numpy", "fit"]
    assert tiny["share_of_floor"] > 0
    for peer in tiny["peers"].values():
        assert len(peer["rounds"]) == 2
        assert 0 < peer["least"] <= peer["median"] <= peer["p95"]
        assert peer["spread"] >= 0
    assert tiny["peers"]["evenflow"]["ratio"] == 1


def test_bench_names_what_is_missing(tmp_path, monkeypatch, capfd):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('No module named jax', name='jax')\n")
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["--workloads", "tiny", "--peers", "jax", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]
    assert cli.main(arguments) == 0
    out = capfd.readouterr().out
    assert "jax: not installed" in out
    assert "pip install 'evenflow[bench]'" in out


def test_bench_fails_when_a_peer_does(tmp_path, monkeypatch, capfd):
    (tmp_path / "jax.py").write_text("raise RuntimeError('out of order')\n")
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["--workloads", "tiny", "--peers", "jax", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]
    assert cli.main(arguments) == 1
    assert "out of order" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "tinny"], "expected workloads out of tiny, geron, deep, tabular, wide, targets, W1, W2, W3"),
        (["--peers", ""], "expected peers out of fit, jax, torch, keras, sklearn, numpy, received ''"),
        (["--workloads", ","], "expected names of workloads or groups, received ','"),
        (["--peers", "tensorflow"], "expected peers out of fit, jax, torch, keras, sklearn, numpy, received"),
        (["--workloads", "W11-half"], "W11-half (W11 in float16, bfloat16 and TF32) needs a GPU"),
        (["--rounds", "0"], "expected more than 0, received 0"),
        (["--threads", "0"], "expected all, or numbers from 1 to"),
        (["--threads", "1,two"], "received 'two'"),
        (["--threads", ","], "received ','"),
        (["--isa", "sse9"], "argument --isa: expected one of"),
    ],
)
def test_bench_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    assert error.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_pieces_on_their_own(tmp_path, monkeypatch, capfd):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    monkeypatch.syspath_prepend(tmp_path)
    options = ["--predict", "--optimizer", "--import", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]
    assert cli.main(options) == 0
    lines = capfd.readouterr().out.splitlines()
    for piece in (piece for piece in pieces.PIECES if piece.group != "rules"):
        if piece.peer == "evenflow":
            assert any(line.strip().startswith(piece.what) and line.endswith("evenflow") for line in lines), piece.what
        else:
            assert f"  {piece.what}, torch: not installed" in lines


def test_activations_beside_relu(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(activations, "catalogue", lambda: ["relu", "gelu", "prelu", "prelu, shared"])
    monkeypatch.setattr(activations, "WORKLOAD", WORKLOADS["tiny"])
    file = tmp_path / "bench.json"
    options = ["--activations", "--rounds", "2", "--seconds", "0.001", "--threads", "1", "--json", str(file)]
    assert cli.main(options) == 0
    lines = capfd.readouterr().out.splitlines()
    found = json.loads(file.read_text(encoding="utf-8"))["activations"]
    assert list(found) == ["relu", "gelu", "prelu", "prelu, shared"]
    for name, cost in found.items():
        assert any(line.strip().startswith(name) for line in lines)
        assert len(cost["times"]) == len(cost["beside"]) >= 2
        assert cost["ratio_of_least"] == min(cost["times"]) / min(cost["beside"])


def test_random_layers_beside_none(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(random_layers.measure, "__defaults__", (("tiny",),))
    file = tmp_path / "bench.json"
    options = ["--random-layers", "--rounds", "2", "--seconds", "0.001", "--threads", "1", "--json", str(file)]
    assert cli.main(options) == 0
    lines = capfd.readouterr().out.splitlines()
    found = json.loads(file.read_text(encoding="utf-8"))["random_layers"]
    assert list(found) == [f"tiny, {name}" for name in random_layers.LAYERS]
    for name, cost in found.items():
        assert any(line.strip().startswith(name) for line in lines)
        assert len(cost["times"]) == len(cost["beside"]) >= 2
    drawn = random_layers.spec(WORKLOADS["tiny"], "dropout")["layers"]
    assert [layer["name"] for layer in drawn if layer["kind"] == "noise"] == [
        "dropout of activation",
        "dropout of activation_1",
    ]


def test_kernels_beside_numpy(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(kernels, "SIZES", (8, 33))
    file = tmp_path / "bench.json"
    assert cli.main(["--kernels", "--seconds", "0.001", "--threads", "1", "--json", str(file)]) == 0
    _core.set_num_threads(0)
    out = capfd.readouterr().out
    found = json.loads(file.read_text(encoding="utf-8"))["kernels"]
    assert [(row["kernel"], row["n"]) for row in found] == [(name, n) for name in kernels.KERNELS for n in (8, 33)]
    for row in found:
        assert row["kernel"] in out
        assert all(seconds > 0 for seconds in row["seconds"].values())
    assert "never slower from" in out


def test_crossover_is_where_the_peer_is_left_behind():
    def row(n, own, peer):
        return {"kernel": "relu", "n": n, "seconds": {"evenflow": own, "numpy": peer}}

    rows = [row(8, 1, 3), row(16, 2, 1), row(32, 1, 2), row(64, 2, 2)]
    assert kernels.crossover(rows, "relu", "numpy") == 32
    assert kernels.crossover(rows, "relu", "torch") is None
    assert kernels.crossover([row(8, 2, 1)], "relu", "numpy") is None


def test_a_wrong_answer_of_a_kernel_is_refused():
    with pytest.raises(AssertionError, match="relu, n = 2: evenflow differs from NumPy"):
        kernels.check("relu", 2, {"evenflow": lambda: np.ones(2), "numpy": lambda: np.zeros(2)})


def test_catalogue_of_activations_and_their_answers(monkeypatch):
    names = activations.catalogue()
    assert names[0] == "relu"
    learned = {f"{name}{of}" for name in _core.learned_activations() for of in ("", ", shared")}
    assert set(names) == {*_core.activations(), *learned}
    monkeypatch.setattr(activations, "WORKLOAD", WORKLOADS["tiny"])
    expected = activations.training("prelu, shared", 1)
    assert expected.spec["layers"][2]["shared"]
    monkeypatch.setattr(beside, "LOSS_TOLERANCE", 0.0)
    with pytest.raises(WrongAnswerError, match="gelu, tiny: loss of a first step expected"):
        activations.training("gelu", 1)


@pytest.mark.parametrize("rule", rules.RULES)
def test_rules_on_their_own(rule):
    found = pieces.evenflow_rule("50,000", rule, threads=1, seconds=0.01)
    assert all(0 < seconds < 1 for seconds in [*found["times"], found["ceiling"]])


def test_a_share_is_shown():
    answer = {"times": [2e-6, 3e-6], "ceiling": 1e-6}
    piece = {"group": "rules", "what": "Lion", "peer": "evenflow", "target": None, "rounds": [answer]}
    assert "50%" in report.piece_table([piece])


@pytest.mark.peers
@pytest.mark.parametrize("piece", [p for p in pieces.PIECES if p.peer == "torch"], ids=lambda p: p.what)
def test_pieces_of_torch(piece):
    pytest.importorskip("torch")
    assert all(0 < seconds < 1 for seconds in pieces.measure(piece, 1, 0.01, _core.isa())["times"])


def test_affordable_workloads():
    options = cli.parser().parse_args([])
    fast = WORKLOADS["wide"].flops / 0.5
    assert session.chosen_workloads(options, fast) == ([one.name for one in TARGETS], [])
    assert session.chosen_workloads(options, fast / 4) == (["tiny", "geron", "deep", "tabular"], ["wide"])


def test_ceilings_are_rates_of_this_machine(isa):
    assert 1e8 < _core.measure_fma(1, 0.02) < 1e13
    assert 1e8 < _core.measure_bandwidth(1 << 20, 1, 0.02) < 1e13


def test_bench_imports_no_peer():
    code = (
        "import sys, evenflow.bench.cli; print([m for m in ('torch', 'jax', 'keras', 'sklearn') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=environment).strip() == "[]"

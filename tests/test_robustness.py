"""A good guest in the process: fork, threads, signals, imports, environment.

Each scenario that could hang or die has a process of its own.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scenario import data, program, run, train

from evenflow import _core

# ------------------------------------------------------------------------------------------------- fork and processes

FORK = """
    import os, signal
    from scenario import train
    before = train(threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if train(threads=2) == before and train(threads=1) == before else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert train(threads=2) == before
"""


def test_fork_after_use():
    run(FORK, timeout=10)


def test_fork_of_a_fork():
    code = """
        import os
        from scenario import train
        before = train(threads=2)
        if os.fork() == 0:
            same = train(threads=2) == before
            if os.fork() == 0:
                os._exit(0 if train(threads=2) == before else 3)
            os._exit(3 if os.wait()[1] or not same else 0)
        assert os.wait()[1] == 0
    """
    run(code, timeout=10)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method):
    code = f"""
        import multiprocessing
        from scenario import train
        if __name__ == "__main__":
            before = train(0), train(1)
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                assert tuple(pool.map(train, [0, 1])) == before
    """
    run(code, timeout=30)


@pytest.mark.peers
def test_loky_workers():
    pytest.importorskip("joblib")
    code = """
        from joblib import Parallel, delayed
        from scenario import train
        before = [train(0), train(1)]
        assert Parallel(n_jobs=2, backend="loky")(delayed(train)(seed) for seed in (0, 1)) == before
    """
    run(code, timeout=30)


@pytest.mark.peers
def test_torch_data_loader_workers():
    pytest.importorskip("torch")
    code = """
        import torch
        from scenario import data, program
        made, (x, _) = program(0, threads=2), data(0)
        expected = made.predict(x)
        class Rows(torch.utils.data.Dataset):
            def __len__(self): return 8
            def __getitem__(self, i): return made.predict(x[i : i + 1])[0]
        loader = torch.utils.data.DataLoader(Rows(), batch_size=4, num_workers=2, multiprocessing_context="fork")
        assert (torch.cat(list(loader)).numpy() == expected[:8]).all()
    """
    run(code, timeout=60)


# ------------------------------------------------------------------------------------------------------------ threads


def test_two_models_in_two_threads():
    alone = [train(0), train(1)]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(train, [0, 1])) == alone


def test_kernels_in_eight_threads():
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((77, 100), (100, 65), (65,)))

    def work(_: int) -> bytes:
        return _core.activation_forward("gelu", _core.dense_forward(x, w, b)).tobytes()

    alone = work(0)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(200))) == {alone}


def test_one_program_in_two_threads():
    made = program(0)
    x, y = (np.concatenate([a] * 256) for a in data(0))
    done = threading.Event()

    def busy() -> None:
        made.train(x, y, learning_rate=1e-3)
        done.set()

    worker = threading.Thread(target=busy)
    worker.start()
    refused = 0
    while not done.is_set():
        try:
            made.predict(x[:1])
        except RuntimeError as error:
            refused += 1
            assert "thread" in str(error)
        time.sleep(1e-4)
    worker.join()
    assert refused
    made.predict(x[:1])


def test_other_threads_run_during_training():
    made, (x, y) = program(0, threads=1), data(0)
    x, y = (np.concatenate([a] * 64) for a in (x, y))
    ticks, done = [], threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(1e-3)

    worker = threading.Thread(target=tick)
    worker.start()
    begin = time.perf_counter()
    made.train(x, y, learning_rate=1e-3)
    end = time.perf_counter()
    done.set()
    worker.join()
    assert sum(begin < t < end for t in ticks) >= 3, f"{end - begin:.3f} s of training"


# ------------------------------------------------------------------------------------------------------------- limits


def limit(expression: str = "c.num_threads()", **environment: str) -> int:
    drop = "".join(
        f"os.environ.pop('{k}', None);" for k in ("OMP_NUM_THREADS", "EVENFLOW_NUM_THREADS") if k not in environment
    )
    return int(run(f"import os;{drop}from evenflow import _core as c; print({expression})", **environment).stdout)


def test_thread_limits_are_obeyed():
    assert limit() >= 1
    assert limit(OMP_NUM_THREADS="1") == 1
    assert limit(EVENFLOW_NUM_THREADS="3") == 3
    assert limit(EVENFLOW_NUM_THREADS="2", OMP_NUM_THREADS="1") == 2
    assert limit("(os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}), c.num_threads())[1]") == 1


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e3", "99999999999999999999", " "])
def test_wrong_thread_count_in_the_environment(value):
    done = run("from evenflow import _core; _core.num_threads()", check=False, EVENFLOW_NUM_THREADS=value)
    assert done.returncode == 1
    assert "EVENFLOW_NUM_THREADS" in done.stderr.splitlines()[-1]
    assert value.strip() in done.stderr.splitlines()[-1]


def test_set_num_threads():
    before = _core.num_threads()
    try:
        _core.set_num_threads(3)
        assert _core.num_threads() == 3
        with pytest.raises(ValueError, match=r"threads.*-1"):
            _core.set_num_threads(-1)
        assert _core.num_threads() == 3
    finally:
        _core.set_num_threads(0)
    assert _core.num_threads() == before


@pytest.mark.peers
def test_threadpoolctl_limits_are_obeyed():
    pytest.importorskip("threadpoolctl")
    if not _core.build_info()["openmp"]:
        pytest.skip("this build has no OpenMP for threadpoolctl to limit")
    code = """
        import os
        os.environ.pop("EVENFLOW_NUM_THREADS", None)
        from threadpoolctl import threadpool_limits
        from evenflow import _core
        from scenario import data, program
        with threadpool_limits(1):
            assert _core.num_threads() == 1
            assert program(0).train(*data(0), learning_rate=1e-3).threads == 1
    """
    run(code)


# --------------------------------------------------------------------------------------------------- import and process


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    [("torch", "sklearn", "evenflow"), ("torch", "evenflow", "sklearn"), ("sklearn", "torch", "evenflow"),
     ("sklearn", "evenflow", "torch"), ("evenflow", "torch", "sklearn"), ("evenflow", "sklearn", "torch")],
)  # fmt: skip
def test_import_beside_torch_and_sklearn(order):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    code = f"""
        import importlib
        for name in {order}: importlib.import_module(name)
        import torch
        from sklearn.neural_network import MLPClassifier
        from scenario import data, train
        x, y = data(0)
        first = train(threads=2)
        torch.from_numpy(x) @ torch.from_numpy(x).T
        MLPClassifier((8,), max_iter=1, early_stopping=True).fit(x, y)
        assert train(threads=2) == first
        print(hash(first) and first.hex()[:64])
    """
    alone = train(threads=2).hex()[:64]
    assert run(code, timeout=120, PYTHONWARNINGS="ignore").stdout.strip() == alone


def test_import_and_training_change_nothing():
    code = """
        import ctypes, json, locale, os, signal, sys, threading, warnings
        import numpy as np

        def c_environment():
            environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
            names, i = [], 0
            while environ[i] is not None:
                names.append(environ[i].decode(errors="replace")); i += 1
            return sorted(names)

        def subnormal():
            found = []
            worker = threading.Thread(target=lambda: found.append(float(np.float32(1e-40) * np.float32(0.5))))
            worker.start(); worker.join()
            return found + [float(np.float32(1e-40) * np.float32(0.5)), sys.float_info.min / 2]

        def state():
            return dict(
                environ=dict(os.environ), c=c_environment(), subnormal=subnormal(), errors=np.geterr(), cwd=os.getcwd(),
                affinity=sorted(os.sched_getaffinity(0)), rounding=ctypes.CDLL("libm.so.6").fegetround(),
                filters=[str(f) for f in warnings.filters], locale=locale.setlocale(locale.LC_ALL),
                handlers={s.name: str(signal.getsignal(s)) for s in signal.Signals}, switch=sys.getswitchinterval(),
                random=np.random.get_state()[1].tolist(),
            )

        before = state()
        assert min(before["subnormal"]) > 0
        import evenflow.models
        after_import = state()
        from scenario import train
        train()
        after_training = state()
        changed = [k for s in (after_import, after_training) for k in s if s[k] != before[k]]
        print(json.dumps(changed))
    """
    assert json.loads(run(code).stdout) == []


def test_library_is_silent():
    code = """
        import numpy as np
        from evenflow import _core
        from scenario import SPEC, data, program, train
        train(threads=2)
        made, (x, y) = program(0), data(0)
        made.evaluate(x, y)
        for call in (lambda: made.train(x, y[:-1], learning_rate=1), lambda: made.predict(x[:, 1:]),
                     lambda: _core.Program({**SPEC, "inputs": -1}), lambda: _core.use_isa("sse9")):
            try:
                call()
            except (ValueError, TypeError):
                continue
            raise AssertionError("accepted")
    """
    done = run(code)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("name", ["sse9", "AVX-512", ""])
def test_unknown_instruction_set(name):
    done = run("from evenflow import _core; print(_core.isa())", check=False, EVENFLOW_ISA=name)
    if name == "":
        assert done.returncode == 0, "an empty variable counts as unset"
        return
    message = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "EVENFLOW_ISA" in message
    assert name in message
    assert all(isa in message for isa in _core.isas())


@pytest.mark.parametrize("name", _core.isas())
def test_forced_instruction_set_runs(name):
    code = "from evenflow import _core; from scenario import program; print(_core.isa(), program(0).isa)"
    assert run(code, EVENFLOW_ISA=name).stdout.split() == [name, name]


@pytest.mark.slow
def test_import_is_fast():
    code = "import numpy, time; t = time.process_time(); import evenflow.models; print(time.process_time() - t)"
    assert min(float(run(code).stdout) for _ in range(10)) < 0.150


@pytest.mark.slow
def test_import_is_small():
    code = """
        import numpy, psutil
        before = psutil.Process().memory_info().rss
        import evenflow.models
        print(psutil.Process().memory_info().rss - before)
    """
    assert int(run(code).stdout) < 40e6


# ---------------------------------------------------------------------------------------------------------- interrupts

INTERRUPT = """
    import os, signal, threading, time
    import numpy as np
    import evenflow
    from evenflow import layers

    rng = np.random.default_rng(0)
    x = rng.standard_normal((400_000, 64)).astype(np.float32)
    y = rng.integers(0, 10, len(x))

    def fresh():
        hidden = [layers.Dense(256, activation="relu"), layers.BatchNormalization()]
        model = evenflow.Sequential([layers.Input((64,)), *hidden, layers.Dense(10, activation="softmax")])
        model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
        rng = np.random.default_rng(1)
        model.set_weights([rng.uniform(0, 0.1, w.shape).astype(np.float32) for w in model.get_weights()])
        return model

    sent = []
    def interrupt():
        time.sleep(0.3)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    model = fresh()
    model.fit(x[:64], y[:64], epochs=1, batch_size=32, shuffle=False, verbose=0)
    model = fresh()
    threading.Thread(target=interrupt).start()
    try:
        model.fit(x, y, epochs=1000, batch_size=32, shuffle=False, verbose=0)
    except KeyboardInterrupt:
        pass
    late = time.perf_counter() - sent[0]
    steps = model.optimizer.iterations
    assert steps % (len(x) // 32) > 0, f"{steps} steps: not inside an epoch"

    # The same number of steps, undisturbed, gives the same bits.
    again = fresh()
    epochs, rest = divmod(steps, len(x) // 32)
    again.fit(x, y, epochs=epochs, batch_size=32, shuffle=False, verbose=0)
    again.fit(x[: rest * 32], y[: rest * 32], epochs=1, batch_size=32, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    print(late)
"""


def test_interrupt_ends_an_epoch_after_a_whole_step():
    # Where other processes want the cores too, a thread may have to wait for one as long as that.
    assert any(float(run(INTERRUPT).stdout.split()[-1]) < 0.1 for _ in range(10))

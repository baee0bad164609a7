"""What we tell people to run, run: the examples, and the code of the README, the guide and the reference."""

import re
import runpy
from pathlib import Path

import pytest

import evenflow

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CHAPTER = ROOT / "examples" / "chapter"
SHARED = {"layerwise", "picture"}  # what the chapter's examples import
PAGES = [
    ROOT / "README.md",
    *(page for part in ("guide", "reference") for page in sorted((ROOT / "docs" / part).glob("*.md"))),
]
NEED_PEERS = {"jax", "keras", "onnx", "pytorch"}
WITH_CODE = [
    pytest.param(
        page, marks=[pytest.mark.peers] if page.stem in NEED_PEERS else [], id=f"{page.parent.name}-{page.stem}"
    )
    for page in PAGES
    if "```python" in page.read_text(encoding="utf-8")
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Nothing that runs here may need the current folder, or leave the number of threads changed."""
    monkeypatch.chdir(tmp_path)
    yield
    evenflow.set_num_threads(0)
    assert list(tmp_path.iterdir()) == []


def run(name: str) -> dict:
    """The namespace that an example leaves."""
    return runpy.run_path(str(ROOT / "examples" / name))


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES} == {
        "columns.py",
        "digits.py",
        "eager_mlp.py",
        "embedding.py",
        "fashion_mnist.py",
        "health.py",
        "jax_trainer.py",
        "many_networks.py",
        "onnx_export.py",
        "pytorch_trainer.py",
        "scikit_learn.py",
        "table.py",
        "transfer.py",
    }


def test_columns():
    pytest.importorskip("sklearn")
    found = run("columns.py")["main"]()
    assert found.keys() == {"left out", "one_hot", "embeddings"}
    assert all(share > 0.4 for share in found.values())


def test_every_example_of_the_chapter_has_a_test_and_a_place_in_the_guide():
    names = {path.stem for path in CHAPTER.glob("*.py")} - SHARED
    assert {f"test_chapter_{name}" for name in names} <= globals().keys()
    page = (ROOT / "docs" / "guide" / "the-chapter.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r"^\.venv/bin/python examples/chapter/(\w+)\.py", page, re.MULTILINE))


@pytest.fixture
def show(tmp_path_factory, monkeypatch, capsys):
    """Runs an example of the chapter: what it found, once its picture and its printed lines are there."""
    for package in ("sklearn", "matplotlib"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(CHAPTER)

    def run_and_look(name):
        folder = tmp_path_factory.mktemp("pictures")
        results = run(f"chapter/{name}.py")["main"](folder)
        (picture,) = folder.iterdir()
        assert picture.name == f"{name}.png"
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert f"picture: {picture}" in capsys.readouterr().out
        return results

    return run_and_look


@pytest.mark.slow
def test_chapter_saturation(show):
    seen = show("saturation")
    for name, least, most in (("sigmoid, N(0, 1)", 0.3, 0.9), ("tanh, N(0, 1)", 0.6, 0.95)):
        assert all(least < share < most for share in seen[name]["flat"]), name
        assert seen[name]["sums"][-1] > 4
    downwards = {name: of["gradient"][0] / of["gradient"][-1] for name, of in seen.items()}
    for name in ("sigmoid, Glorot", "tanh, Glorot"):
        assert max(seen[name]["flat"]) < 0.05
        assert seen[name]["sums"][-1] < 1
    assert downwards["sigmoid, Glorot"] < 4.0**-8  # nine layers, each with a slope of at most 1/4
    assert downwards["tanh, N(0, 1)"] > 100
    assert 0.05 < downwards["tanh, Glorot"] < 2
    assert seen["tanh, Glorot"]["accuracy"] > 0.95
    assert seen["sigmoid, Glorot"]["accuracy"] < 0.3
    assert seen["tanh, N(0, 1)"]["accuracy"] < 0.5


@pytest.mark.slow
def test_chapter_dying_relu(show):
    seen = show("dying_relu")
    large = seen["ReLU, rate 0.02"]
    assert large["dead"] > 0.2
    assert large["dead"] == pytest.approx(large["asleep"], abs=0.01)  # a ReLU that is negative everywhere is dead
    assert seen["leaky ReLU, rate 0.02"]["asleep"] < large["asleep"] / 2
    for name in ("leaky ReLU, rate 0.02", "ELU, rate 0.02"):
        assert seen[name]["dead"] < 0.01
    assert seen["ReLU, rate 0.001"]["dead"] < 0.1
    assert seen["ReLU + BN, rate 0.02"]["dead"] < 0.02


def test_chapter_selu(show):
    seen = show("selu")
    for deviation, mean in zip(seen["SELU, LeCun"]["deviation"], seen["SELU, LeCun"]["mean"], strict=True):
        assert 0.8 < deviation < 1.2
        assert abs(mean) < 0.2
    shifted = seen["SELU, LeCun, inputs 3 ± 5"]
    assert shifted["deviation"][0] > 3
    assert shifted["deviation"][-1] == pytest.approx(1, abs=0.2)
    assert shifted["mean"][-1] == pytest.approx(0, abs=0.25)
    assert seen["SELU, He"]["deviation"][-1] > 5
    assert seen["SELU, N(0, 0.05)"]["deviation"][-1] < 1e-10
    assert seen["ReLU, LeCun"]["deviation"][-1] < 1e-10
    assert seen["ReLU, He"]["mean"][0] > 0.3
    assert seen["ReLU, LeCun, BN"]["deviation"] == pytest.approx([1] * 100, abs=0.02)
    assert seen["SELU, LeCun, alpha dropout"]["deviation"] == pytest.approx([1] * 100, abs=0.2)
    assert seen["SELU, LeCun, dropout"]["deviation"][-1] > 1.2
    assert seen["SELU, LeCun, BN"]["deviation"] == pytest.approx([1] * 100, abs=0.02)
    growth = {name: one["growth"] for name, one in seen.items()}
    assert 20 < growth["SELU, LeCun"] < 100
    assert growth["SELU, LeCun, BN"] > 2 * growth["SELU, LeCun"]
    assert growth["SELU, He"] > 20 * growth["SELU, LeCun"]
    # Of a gradient's variance alpha dropout keeps (1 - rate) a^2 per layer: see its docstring.
    kept = 1 / (1 + 0.1 * 1.7580993408473766**2)
    assert growth["SELU, LeCun, alpha dropout"] == pytest.approx((1.0716 * kept) ** 49.5, rel=1)


@pytest.mark.slow
def test_chapter_batch_normalization(show):
    seen = show("batch_normalization")
    for name, pair in seen["networks"].items():
        assert pair[False]["loss"][-1] > 1.8, name  # guessing among ten classes: log 10 = 2.3
        assert pair[True]["loss"][-1] < 0.9, name
        assert pair[True]["val_accuracy"][-1] > 0.7, name
    rates = {normalize: [share > 0.8 for share in accuracy] for normalize, accuracy in seen["rates"].items()}
    assert sum(rates[True]) > sum(rates[False])


def test_chapter_clipping(show):
    seen = show("clipping")
    assert seen["pair"]["by value"].tolist() == [0.9, 1.0]
    assert seen["pair"]["by norm"] == pytest.approx([0.00899964, 0.9999595], abs=5e-8)
    growth = {name: norms[0] / norms[-1] for name, norms in seen["layers"].items()}
    assert growth["0.5 x He's"] < 0.01
    assert 0.2 < growth["He's"] < 5
    assert growth["1.5 x He's"] > 10
    training = seen["training"]
    assert len(training["no clipping"]["loss"]) < 10  # diverged
    for name in ("clipvalue=0.1", "clipnorm=1", "global_clipnorm=1"):
        assert len(training[name]["loss"]) == 400
        assert sum(training[name]["loss"][-50:]) / 50 < 1.5, name
        assert training[name]["norm"][0] == training["no clipping"]["norm"][0]  # before clipping: the same step


@pytest.mark.slow
def test_chapter_optimizers(show):
    seen = show("optimizers")
    at_the_same_rate = {name: seen[name]["by_rate"][0.01][-5:].mean() for name in ("SGD", "momentum", "Nesterov")}
    assert at_the_same_rate["momentum"] < 0.7 * at_the_same_rate["SGD"]
    assert at_the_same_rate["Nesterov"] < 0.7 * at_the_same_rate["SGD"]
    for name in ("Adagrad", "Adam", "AdamW", "Adamax", "Nadam"):
        assert seen[name]["epochs"] < seen["SGD"]["epochs"], name
    for name, optimizer in seen.items():
        assert min(optimizer["loss"]) < 0.2, name


@pytest.mark.slow
def test_chapter_schedules(show):
    seen = show("schedules")
    constant = min(of["error"][-1] for name, of in seen.items() if name.startswith("constant"))
    for name, schedule in seen.items():
        assert len(schedule["rates"]) == 30 * 125
        if name.startswith("constant"):
            assert len(set(schedule["rates"])) == 1
        else:
            assert schedule["error"][-1] < 0.7 * constant, name
            assert schedule["rates"][-1] < schedule["rates"][0] / 3, name
    assert seen["1cycle"]["rates"].index(max(seen["1cycle"]["rates"])) > 1000  # it rises first


def test_chapter_gelu(show):
    seen = show("gelu")
    for name, x, value in (("GELU", -0.7518, -0.16997), ("Swish", -1.2785, -0.27846), ("Mish", -1.1924, -0.30884)):
        assert seen["lowest"][name] == pytest.approx((x, value), abs=6e-5)
    gaps = {name: value for name, (_, value) in seen["gap"].items()}
    assert gaps["x sigmoid(1.702 x) and GELU"] == pytest.approx(0.0203, abs=5e-5)
    assert gaps["tanh formula and GELU"] == pytest.approx(4.7e-4, abs=5e-6)
    assert gaps["Mish and Swish, x < 0"] == pytest.approx(0.0359, abs=5e-5)
    assert gaps["Mish and GELU, x > 0"] == pytest.approx(0.0308, abs=5e-5)


@pytest.mark.slow
def test_chapter_pretraining(show):
    seen = show("pretraining")
    medians = {name: [sorted(column)[2] for column in zip(*pairs, strict=True)] for name, pairs in seen.items()}
    least = {  # points between the medians; measured: 13, 22, 12 and 7
        "stacked denoising autoencoder": 0.08,
        "greedy autoencoders, sigmoid": 0.14,
        "auxiliary task": 0.08,
        "semi-supervised GAN": 0.04,
    }
    assert medians.keys() == least.keys()
    for name, (scratch, pretrained) in medians.items():
        assert pretrained - scratch > least[name], name
        assert pretrained > 0.75, name
        assert sum(after > before for before, after in seen[name]) >= 4, name


def test_digits(capsys):
    pytest.importorskip("sklearn")
    assert run("digits.py")["accuracy"] >= 0.97


def test_table(capsys):
    assert run("table.py")["main"]() < 0.06  # 5 % of the noise cannot be learnt
    assert "mean error on 400 test rows" in capsys.readouterr().out


def test_transfer(capsys):
    pytest.importorskip("sklearn")
    scratch, transfer = run("transfer.py")["main"]()
    assert transfer > 0.86
    assert transfer - scratch > 0.03  # 5 to 9 points for six other seeds
    assert "a closed loop or not, 30 labels" in capsys.readouterr().out


def test_embedding(capsys):
    assert run("embedding.py")["main"]() == pytest.approx(0.8, abs=0.05)
    assert "of new rows lie between" in capsys.readouterr().out


def test_eager_mlp(capsys):
    losses = run("eager_mlp.py")["main"]()
    assert losses[-1] < losses[0] / 3
    assert "mean loss by epoch" in capsys.readouterr().out


@pytest.mark.peers
def test_pytorch_trainer(capsys):
    pytest.importorskip("torch")
    found = run("pytorch_trainer.py")["main"](epochs=2, rows=1024)
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-3)
    assert "two lines changed: loss" in capsys.readouterr().out


@pytest.mark.peers
def test_jax_trainer(capsys):
    pytest.importorskip("jax.ffi")
    found = run("jax_trainer.py")["main"](epochs=2, rows=1024)
    assert found["evenflow.jax"][0] == pytest.approx(found["jax.numpy"][0], rel=1e-3)
    assert "evenflow.jax: loss" in capsys.readouterr().out


def test_health(capsys, tmp_path_factory):
    for package in ("sklearn", "matplotlib"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("pages")
    found = run("health.py")["main"](folder, epochs=8)
    assert {path.name for path in folder.glob("*.html")} == {"dying.html", "vanishing.html", "healthy.html"}
    assert (folder / "dying-dead.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert any("dying ReLU" in text for text in found["dying"]["messages"])
    assert any("vanishing" in text for text in found["vanishing"]["messages"])
    assert any("hidden layers of sigmoid" in text for text in found["vanishing"]["check"])
    assert found["healthy"]["check"] == found["healthy"]["messages"] == []
    assert found["healthy"]["history"]["accuracy"][-1] > 0.97
    assert "dying ReLU" in capsys.readouterr().out


def test_fashion_mnist(capsys):
    accuracy = run("fashion_mnist.py")["main"](epochs=2)
    name = capsys.readouterr().out.split()[0]
    assert accuracy > {"Fashion-MNIST": 0.82, "digits": 0.85}[name]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # Keras'
@pytest.mark.parametrize("page", WITH_CODE)
def test_code_of_the_pages(page, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    text = page.read_text(encoding="utf-8")
    needs = {
        "keras": "import keras",
        "onnxruntime": "import onnxruntime",
        "sklearn": "load_digits",
        "torch": "import torch",
        "jax": "import jax",
        "pandas": "ParquetStream",
        "pyarrow": "ParquetStream",
    }
    for package, word in needs.items():
        if word in text:
            pytest.importorskip(package)
    namespace: dict = {"__name__": "page"}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block[1], str(page), "exec")  # errors name the line of the page
        exec(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.peers
def test_onnx_export(capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    error, apart = run("onnx_export.py")["main"]()
    assert error < 0.06  # 0.04 of it is noise
    assert apart < 1e-5
    assert "bytes; mean error" in capsys.readouterr().out


@pytest.mark.peers
def test_scikit_learn(capsys):
    pytest.importorskip("sklearn")
    ours, theirs = run("scikit_learn.py")["main"]()
    assert ours == pytest.approx(theirs, abs=0.01)
    assert "the same course" in capsys.readouterr().out


def test_many_networks(capsys):
    pytest.importorskip("sklearn")
    mean, accuracy = run("many_networks.py")["main"]()
    assert mean > 0.93
    assert accuracy > 0.93
    assert "60 networks in" in capsys.readouterr().out


def test_guide_lists_its_pages():
    index = (ROOT / "docs" / "guide" / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in (ROOT / "docs" / "guide").glob("*.md")} - {"README.md"} <= set(
        re.findall(r"\]\(([^)]+)\)", index)
    )


def test_guide_lists_every_activation():
    page = (ROOT / "docs" / "guide" / "activations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"glorot_uniform", "glorot_normal"}
    assert listed == {*evenflow.activations.FUNCTIONS, "hard_swish"}

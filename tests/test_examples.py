"""What we tell people to run, run: the examples, and the code of the README and the user's guide."""

import re
import runpy
from pathlib import Path

import pytest

import evenflow

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


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
    assert {path.name for path in EXAMPLES} == {"digits.py", "embedding.py", "fashion_mnist.py", "table.py"}


def test_digits(capsys):
    pytest.importorskip("sklearn")
    assert run("digits.py")["accuracy"] >= 0.97


def test_table(capsys):
    assert run("table.py")["main"]() < 0.06  # 5 % of the noise cannot be learnt
    assert "mean error on 400 test rows" in capsys.readouterr().out


def test_embedding(capsys):
    assert run("embedding.py")["main"]() == pytest.approx(0.8, abs=0.05)
    assert "of new rows lie between" in capsys.readouterr().out


def test_fashion_mnist(capsys):
    accuracy = run("fashion_mnist.py")["main"](epochs=2)
    name = capsys.readouterr().out.split()[0]
    assert accuracy > {"Fashion-MNIST": 0.82, "digits": 0.85}[name]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_of_the_pages(page, capsys):
    if "load_digits" in page.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn")
    namespace: dict = {"__name__": "page"}
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block[1], str(page), "exec")  # errors name the line of the page
        exec(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


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

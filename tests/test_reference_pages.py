"""The reference (docs/reference): every public name has an entry there, and examples in docstrings run."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import evenflow
from evenflow.layers import Dense, Input

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
DIRECTIVE = re.compile(r"^ *\.\. (auto|py:)(\w+):: ([\w.]+).*\n((?: +:.*\n)*)", re.MULTILINE)
DOORS = ("jax", "keras", "sklearn", "torch")
MODULES = sorted({name for name in evenflow._MODULES if name not in DOORS})


def public_names(module: str) -> list[str]:
    found = importlib.import_module(module)
    names = [*found.__all__, *getattr(found, "ON_DEMAND", ())]
    return [name for name in names if name[0] != "_" and not inspect.ismodule(getattr(found, name))]


@pytest.fixture(scope="module")
def entries() -> dict[str, set[str]]:
    """What the pages name, and the modules whose members they have."""
    found: dict[str, set[str]] = {"names": set(), "modules": set()}
    for page in PAGES:
        within = ""
        for kind, what, name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if (kind, what) == ("auto", "module"):
                within = name
            found["names"].add(name if name.startswith("evenflow") else f"{within}.{name}")
            if (kind, what) == ("auto", "module") and ":members:" in options:
                found["modules"].add(name)
    return found


def missing(module: str, entries: dict[str, set[str]]) -> list[str]:
    """Public names without an entry; those of a whole module have one if they are described."""
    found = importlib.import_module(module)
    names = public_names(module)
    if module in entries["modules"]:
        names = [n for n in names if not (inspect.isclass(getattr(found, n)) or inspect.isroutine(getattr(found, n)))]
    return [name for name in names if f"{module}.{name}" not in entries["names"]]


@pytest.mark.parametrize("module", ["", *MODULES])
def test_every_public_name_has_an_entry(module, entries):
    name = f"evenflow.{module}" if module else "evenflow"
    assert name in entries["names"], f"no page about {name}"
    assert not missing(name, entries)


@pytest.mark.peers
@pytest.mark.parametrize("door", [*DOORS, "torch.optim"])
def test_every_public_name_of_a_door_has_an_entry(door, entries, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(door.split(".")[0])
    assert f"evenflow.{door}" in entries["names"]
    assert not missing(f"evenflow.{door}", entries)


def test_pages_name_only_what_there_is(entries):
    for name in entries["names"]:
        module, found = name.split("."), None
        if module[1:] and module[1] in DOORS:
            continue
        for end in range(len(module), 0, -1):
            try:
                found = importlib.import_module(".".join(module[:end]))
            except ModuleNotFoundError:
                continue
            for attribute in module[end:]:
                found = getattr(found, attribute)
            break
        assert found is not None, name


def test_index_lists_the_pages():
    index = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    assert {page.stem for page in PAGES} - {"index"} <= set(index.split())
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert {f"guide/{page.stem}" for page in (ROOT / "docs" / "guide").glob("*.md")} - {"guide/README"} <= set(
        start.split()
    )


def docstrings() -> dict[str, str]:
    """Every docstring of the package that holds an example, by place."""
    found = {}
    for path in sorted((ROOT / "python" / "evenflow").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ast.get_docstring(node) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else None
            if text and examples(text):
                found[f"{path.parent.name}.{path.stem}.{getattr(node, 'name', '')}"] = text
    return found


def examples(docstring: str) -> str:
    """The paragraphs of a docstring that are set in as a whole: code."""
    return "\n".join(inspect.cleandoc(block) for block in docstring.split("\n\n") if block.startswith("    "))


EXAMPLES = docstrings()


def test_docstrings_have_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("place", EXAMPLES)
def test_examples_in_docstrings_run(place, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 64), dtype=np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    names: dict = {"x": x, "x_train": x, "y_train": labels, "x_test": x[:16], "y_test": labels[:16]}
    evenflow.set_seed(0)
    exec(
        compile(examples(EXAMPLES[place]), place, "exec"),
        {"evenflow": evenflow, "Dense": Dense, "Input": Input, **names},
    )
